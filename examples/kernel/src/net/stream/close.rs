//! The end of streams.

use super::{Owner, Phase, Stream};
use crate::errno::{Errno, Result};
use crate::net::memory::bytes;
use crate::net::network::Stack;
use alloc::vec::Vec;
use core::mem::replace;
use smoltcp::socket::tcp::{RecvError, Socket, State};

/// How many streams linger, at most.
const LINGERING: usize = 16;
/// How long one does, at most, in microseconds.
const PATIENCE: u64 = 60_000_000;
/// How often those are looked at that only wait for late packets, in microseconds.
const BETWEEN_LOOKS: u64 = 100_000;

/// Which directions `shutdown` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    Reads,
    Writes,
    Both,
}

/// Whether a socket will never send anything again: one that was aborted has to say so first.
fn is_gone(socket: &Socket<'_>) -> bool {
    socket.state() == State::Closed && socket.remote_endpoint().is_none()
}

impl Stack {
    /// `shutdown`.
    pub(in crate::net) fn shutdown(&mut self, number: u32, how: Shutdown) -> Result<()> {
        let stream = self.streams.get_mut(&number).ok_or(Errno::EBADF)?;
        match &stream.phase {
            Phase::Unconnected | Phase::Ended { .. } => return Err(Errno::ENOTCONN),
            Phase::Listening { .. } if how == Shutdown::Writes => {}
            Phase::Listening { .. } | Phase::Connecting { .. } => {
                self.disconnect(number);
                if let Some(stream) = self.streams.get_mut(&number) {
                    stream.remote = None;
                }
            }
            Phase::Connected { place, .. } => {
                stream.reads_end |= how != Shutdown::Writes;
                stream.writes_end |= how != Shutdown::Reads;
                if how != Shutdown::Reads
                    && let Some(socket) = self.links.tcp_mut(place)
                {
                    socket.close();
                }
            }
        }
        self.run();
        Ok(())
    }

    /// The last descriptor of a stream is closed.
    pub(in crate::net) fn close_stream(&mut self, number: u32) {
        self.disconnect(number);
        let until = self.now.saturating_add(PATIENCE);
        if let Some(stream) = self.streams.get_mut(&number) {
            match stream.phase {
                Phase::Connected { .. } | Phase::Ended { place: Some(_), .. } => {
                    stream.owner = Owner::Nobody { until };
                }
                _ => drop(self.streams.remove(&number)),
            }
        }
        self.run();
        while self.lingering().count() > LINGERING {
            self.forget_oldest();
        }
    }

    /// Ends what a stream has with others: those that wait to be accepted are reset, a connection is closed, or reset
    /// if there is something that nobody will read.
    fn disconnect(&mut self, number: u32) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let resets = stream.options.lingers == Some(0);
        match &mut stream.phase {
            Phase::Unconnected => {}
            Phase::Ended { rest, .. } => *rest = Vec::new(),
            Phase::Listening { .. } | Phase::Connecting { .. } => {
                match replace(&mut stream.phase, Phase::Unconnected) {
                    Phase::Listening { places, .. } => {
                        places.into_iter().for_each(|place| self.unmake(place));
                        self.refuse(number);
                    }
                    Phase::Connecting { place, .. } => self.unmake(place),
                    _ => {}
                }
            }
            Phase::Connected { place, .. } => {
                stream.writes_end = true;
                if let Some(socket) = self.links.tcp_mut(place) {
                    if resets || socket.can_recv() {
                        socket.abort();
                    } else {
                        socket.close();
                    }
                }
            }
        }
    }

    /// Nobody will accept what came to a stream that listened.
    fn refuse(&mut self, number: u32) {
        let until = self.now.saturating_add(PATIENCE);
        let Self { links, streams, .. } = self;
        for stream in streams.values_mut().filter(|stream| stream.owner == Owner::Listener(number)) {
            stream.owner = Owner::Nobody { until };
            if let Phase::Connecting { place, .. } | Phase::Connected { place, .. } = &stream.phase
                && let Some(socket) = links.tcp_mut(place)
            {
                socket.abort();
            }
        }
    }

    fn lingering(&self) -> impl Iterator<Item = u32> {
        let is_nobodys = |owner| matches!(owner, Owner::Nobody { .. });
        self.streams.iter().filter(move |(_, stream)| is_nobodys(stream.owner)).map(|(number, _)| *number)
    }

    /// Forgets a stream that lingers: the oldest one that only waits for late packets, or else the oldest. Whether there
    /// was any.
    pub(super) fn forget_oldest(&mut self) -> bool {
        let waits_only = |number: &u32| {
            let phase = self.streams.get(number).map(|stream| &stream.phase);
            matches!(phase, Some(Phase::Ended { .. }))
        };
        let Some(number) = self.lingering().find(waits_only).or_else(|| self.lingering().next()) else {
            return false;
        };
        self.forget(number);
        true
    }

    fn forget(&mut self, number: u32) {
        let Some(stream) = self.streams.remove(&number) else { return };
        match stream.phase {
            Phase::Connecting { place, .. } | Phase::Connected { place, .. } => self.unmake(place),
            Phase::Ended { place, .. } => place.into_iter().for_each(|place| self.unmake(place)),
            Phase::Listening { places, .. } => places.into_iter().for_each(|place| self.unmake(place)),
            Phase::Unconnected => {}
        }
    }

    /// Looks how far each stream is; whether one was reset, whose peer does not know yet.
    pub(in crate::net) fn advance(&mut self) -> bool {
        let is_due = self.now >= self.next_look;
        if is_due {
            self.next_look = self.now.saturating_add(BETWEEN_LOOKS);
        }
        let moves = |stream: &Stream| match stream.phase {
            Phase::Unconnected | Phase::Listening { .. } => false,
            Phase::Connecting { .. } | Phase::Connected { .. } => true,
            // Time alone changes it.
            Phase::Ended { .. } => is_due,
        };
        let (mut last, mut has_reset) = (0, false);
        while let Some(number) = self.next_stream(last, moves) {
            last = number.saturating_add(1);
            let goes_on = self.progress(number);
            self.settle(number);
            has_reset |= self.reset_unread(number);
            let is_over = match self.streams.get(&number) {
                Some(stream) => match stream.owner {
                    Owner::Program => false,
                    Owner::Listener(_) => !goes_on,
                    Owner::Nobody { until } => self.now >= until || !self.lingers(number),
                },
                None => true,
            };
            if is_over {
                self.forget(number);
            }
        }
        has_reset
    }

    /// The first stream from `last` on of which `is_wanted` is true.
    fn next_stream(&self, last: u32, is_wanted: impl Fn(&Stream) -> bool) -> Option<u32> {
        self.streams.range(last..).find(|(_, stream)| is_wanted(stream)).map(|(number, _)| *number)
    }

    /// Resets a stream that nobody has when something comes that nobody will read.
    fn reset_unread(&mut self, number: u32) -> bool {
        let Some(stream) = self.streams.get(&number) else { return false };
        let (Owner::Nobody { .. }, Phase::Connected { place, .. }) = (stream.owner, &stream.phase) else {
            return false;
        };
        let socket = self.links.tcp_mut(place);
        socket.filter(|socket| socket.can_recv() && socket.is_active()).map(|socket| socket.abort()).is_some()
    }

    /// Whether the peer of a stream that nobody has is still to be told of the end.
    fn lingers(&self, number: u32) -> bool {
        match self.streams.get(&number).map(|stream| &stream.phase) {
            Some(Phase::Connected { place, .. } | Phase::Connecting { place, .. }) => {
                self.links.tcp(place).is_some_and(|socket| !is_gone(socket))
            }
            Some(Phase::Ended { place, .. }) => place.is_some(),
            _ => false,
        }
    }

    /// Ends a connection on which nothing more will happen: what is left to be read is taken over.
    fn settle(&mut self, number: u32) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let (Phase::Connected { place, .. } | Phase::Ended { place: Some(place), .. }) = &stream.phase else {
            return;
        };
        let Some(socket) = self.links.tcp_mut(place) else { return };
        let is_gone = is_gone(socket);
        if !is_gone && socket.state() != State::TimeWait {
            return;
        }
        if matches!(stream.phase, Phase::Connected { .. }) {
            let Ok(mut rest) = bytes(socket.recv_queue()) else { return };
            _ = socket.recv_slice(&mut rest);
            stream.error = match socket.recv(|_| (0, ())) {
                // The peer was not at its end.
                Err(RecvError::InvalidState) => Some(Errno::ECONNRESET),
                // It was, but takes nothing more.
                _ if is_gone && !stream.writes_end => Some(Errno::EPIPE),
                _ => None,
            };
            if let Phase::Connected { place, .. } = replace(&mut stream.phase, Phase::Unconnected) {
                stream.phase = Phase::Ended { rest, place: Some(place) };
            }
        }
        if is_gone
            && let Phase::Ended { place, .. } = &mut stream.phase
            && let Some(place) = place.take()
        {
            self.unmake(place);
        }
    }
}
