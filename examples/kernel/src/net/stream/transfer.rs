//! Bytes to a peer and from it.

use super::{Phase, is_finished};
use crate::errno::{Errno, Result};
use crate::fs::data::{Sink, Source};
use crate::net::network::Stack;
use smoltcp::socket::tcp::Socket;

/// Whether what is read stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// It is taken.
    All,
    /// It stays: `MSG_PEEK`.
    None,
}

/// Puts what a socket received, at most so much.
fn receive(socket: &mut Socket<'_>, count: usize, sink: &mut dyn Sink, take: Take) -> Result<usize> {
    let mut done = 0_usize;
    // What it holds may go round the end of its buffer: then it is in two parts.
    for _ in 0..2 {
        let left = count.saturating_sub(done);
        let part = socket.recv(|bytes| {
            let some = bytes.get(..left.min(bytes.len())).unwrap_or_default();
            let put = if some.is_empty() { Ok(0) } else { sink.put(some) };
            let taken = if take == Take::All { put.unwrap_or(0) } else { 0 };
            (taken, put.map(|put| (put, some.len())))
        });
        match part.unwrap_or(Ok((0, 0))) {
            Ok((put, asked)) => {
                done = done.saturating_add(put);
                if put < asked || asked == 0 || take == Take::None {
                    break;
                }
            }
            // What went before is done.
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Gets what a socket is to send, as much as there is room for.
fn send(socket: &mut Socket<'_>, count: usize, source: &mut dyn Source) -> Result<usize> {
    let mut done = 0_usize;
    for _ in 0..2 {
        let left = count.saturating_sub(done);
        let part = socket.send(|room| {
            let length = left.min(room.len());
            let some = room.get_mut(..length).unwrap_or_default();
            let got = if some.is_empty() { Ok(0) } else { source.get(some) };
            (got.unwrap_or(0), got.map(|got| (got, length)))
        });
        match part.map_err(|_| Errno::EPIPE)? {
            Ok((got, asked)) => {
                done = done.saturating_add(got);
                if got < asked || asked == 0 {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

impl Stack {
    /// Reads from a stream.
    ///
    /// # Errors
    ///
    /// EAGAIN if there is nothing yet.
    pub(in crate::net) fn read_stream(
        &mut self,
        number: u32,
        count: usize,
        sink: &mut dyn Sink,
        take: Take,
    ) -> Result<usize> {
        let stream = self.streams.get_mut(&number).ok_or(Errno::EBADF)?;
        match &mut stream.phase {
            Phase::Unconnected | Phase::Listening { .. } => {
                Err(stream.error.take().unwrap_or(Errno::ENOTCONN))
            }
            Phase::Connecting { .. } => Err(Errno::EAGAIN),
            Phase::Ended { rest, .. } if !rest.is_empty() => {
                let put = sink.put(rest.get(..count.min(rest.len())).unwrap_or_default())?;
                if take == Take::All {
                    rest.drain(..put.min(rest.len()));
                }
                Ok(put)
            }
            // That nothing can be written is for who writes.
            Phase::Ended { .. } if stream.error == Some(Errno::EPIPE) => Ok(0),
            Phase::Ended { .. } => stream.error.take().map_or(Ok(0), Err),
            Phase::Connected { place, .. } => {
                let socket = self.links.tcp_mut(place).ok_or(Errno::EBADF)?;
                if !socket.can_recv() {
                    let over = stream.reads_end || is_finished(socket.state());
                    return if over { Ok(0) } else { Err(Errno::EAGAIN) };
                }
                let done = receive(socket, count, sink, take)?;
                if done > 0 && take == Take::All {
                    // The peer may be waiting for room.
                    self.run();
                }
                Ok(done)
            }
        }
    }

    /// Writes to a stream.
    ///
    /// # Errors
    ///
    /// EAGAIN if there is no room yet; EPIPE if nothing can be sent any more.
    pub(in crate::net) fn write_stream(
        &mut self,
        number: u32,
        count: usize,
        source: &mut dyn Source,
    ) -> Result<usize> {
        let stream = self.streams.get_mut(&number).ok_or(Errno::EBADF)?;
        match &stream.phase {
            Phase::Connecting { .. } => Err(Errno::EAGAIN),
            Phase::Unconnected | Phase::Listening { .. } | Phase::Ended { .. } => {
                Err(stream.error.take().unwrap_or(Errno::EPIPE))
            }
            Phase::Connected { place, .. } => {
                let socket = self.links.tcp_mut(place).ok_or(Errno::EBADF)?;
                if !socket.may_send() {
                    return Err(Errno::EPIPE);
                }
                if count == 0 {
                    return Ok(0);
                }
                if !socket.can_send() {
                    return Err(Errno::EAGAIN);
                }
                let done = send(socket, count, source)?;
                self.run();
                Ok(done)
            }
        }
    }

    /// How many bytes can be read, and how many the peer has not got yet.
    pub(in crate::net) fn waiting(&self, number: u32) -> (usize, usize) {
        match self.streams.get(&number).map(|stream| &stream.phase) {
            Some(Phase::Connected { place, .. }) => {
                let socket = self.links.tcp(place);
                socket.map_or((0, 0), |socket| (socket.recv_queue(), socket.send_queue()))
            }
            Some(Phase::Ended { rest, .. }) => (rest.len(), 0),
            _ => (0, 0),
        }
    }
}
