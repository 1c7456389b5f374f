//! Sockets: what a program's descriptor is.

use super::address::NONE;
use super::datagram::Datagram;
use super::network::Network;
use super::option::{Name, Options};
use super::queues::Queues;
use super::stream::{BUFFER, Stream};
use crate::errno::{Errno, Result};
use crate::fs::data::{Sink, Source};
use crate::fs::poll::Events;
use crate::wait::WaitQueue;
use alloc::sync::Arc;
use core::net::SocketAddrV4;

pub use super::datagram::Taken;
pub use super::port::Protocol;
pub use super::stream::{Shutdown, Take};

/// A socket. It is closed when it is dropped.
#[derive(Debug)]
pub struct Socket {
    network: Arc<Network>,
    protocol: Protocol,
    number: u32,
    queues: Arc<Queues>,
}

/// What an option is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Word(u32),
    /// Whether it is on, and for how many seconds.
    Linger(Option<u32>),
}

/// `SOCK_STREAM`, `SOCK_DGRAM`.
pub const STREAM: u32 = 1;
pub const DATAGRAM: u32 = 2;
/// `IPPROTO_TCP`, `IPPROTO_UDP`.
pub const TCP: u32 = 6;
pub const UDP: u32 = 17;

impl Socket {
    /// A socket that is nowhere, and connected to nobody.
    pub fn new(network: &Arc<Network>, protocol: Protocol) -> Self {
        let queues = Arc::new(Queues::default());
        let number = network.with(|stack| {
            let number = stack.new_number();
            match protocol {
                Protocol::Tcp => drop(stack.streams.insert(number, Stream::new(queues.clone()))),
                Protocol::Udp => drop(stack.datagrams.insert(number, Datagram::new(queues.clone()))),
            }
            number
        });
        Self { network: network.clone(), protocol, number, queues }
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Its number, which no other socket has.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Gives it an address.
    ///
    /// # Errors
    ///
    /// EINVAL if it has one, EADDRINUSE, EADDRNOTAVAIL, ENOBUFS.
    pub fn bind(&self, address: SocketAddrV4) -> Result<()> {
        self.network.with(|stack| match self.protocol {
            Protocol::Tcp => stack.bind_stream(self.number, address),
            Protocol::Udp => stack.bind_datagram(self.number, address),
        })
    }

    /// Lets connections come, so many of which may wait to be accepted.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP, EINVAL, EADDRINUSE, ENOBUFS.
    pub fn listen(&self, backlog: u32) -> Result<()> {
        self.stream()?;
        self.network.with(|stack| stack.listen(self.number, backlog))
    }

    /// A connection that has come, and its peer.
    ///
    /// # Errors
    ///
    /// EAGAIN if there is none yet; EOPNOTSUPP, EINVAL.
    pub fn accept(&self) -> Result<(Self, SocketAddrV4)> {
        self.stream()?;
        let (number, queues, peer) = self.network.with(|stack| stack.accept(self.number))?;
        Ok((Self { network: self.network.clone(), protocol: Protocol::Tcp, number, queues }, peer))
    }

    /// Begins to connect; for datagrams that is all, and `None` undoes it.
    ///
    /// # Errors
    ///
    /// EINPROGRESS if it has begun, EALREADY if it had: [`outcome`](Self::outcome) tells the rest. ECONNREFUSED,
    /// EISCONN, ENETUNREACH, EADDRNOTAVAIL, ENOBUFS.
    pub fn connect(&self, peer: Option<SocketAddrV4>) -> Result<()> {
        self.network.with(|stack| match (self.protocol, peer) {
            (Protocol::Udp, peer) => stack.connect_datagram(self.number, peer),
            (Protocol::Tcp, Some(peer)) => stack.connect_stream(self.number, peer),
            (Protocol::Tcp, None) => Err(Errno::EAFNOSUPPORT),
        })
    }

    /// What came of [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// EAGAIN as long as nothing did.
    pub fn outcome(&self) -> Result<()> {
        self.network.with(|stack| stack.outcome(self.number))
    }

    /// Reads at most so many bytes, and tells whom they are from.
    ///
    /// # Errors
    ///
    /// EAGAIN if there are none yet; ENOTCONN, ECONNRESET and what else befell the connection.
    pub fn receive(&self, count: usize, sink: &mut dyn Sink, take: Take) -> Result<Taken> {
        self.network.with(|stack| match self.protocol {
            Protocol::Tcp => {
                let put = stack.read_stream(self.number, count, sink, take)?;
                Ok(Taken { put, length: put, from: NONE })
            }
            Protocol::Udp => stack.take_datagram(self.number, count, sink, take),
        })
    }

    /// Writes so many bytes, or fewer; of a datagram all, to `to` or to whom it is connected to.
    ///
    /// # Errors
    ///
    /// EAGAIN if there is no room yet; EPIPE, ECONNRESET, EMSGSIZE, EDESTADDRREQ, ENETUNREACH.
    pub fn send(&self, count: usize, source: &mut dyn Source, to: Option<SocketAddrV4>) -> Result<usize> {
        self.network.with(|stack| match self.protocol {
            // Whom a connection leads to does not change.
            Protocol::Tcp => stack.write_stream(self.number, count, source),
            Protocol::Udp => stack.send_datagram(self.number, count, source, to),
        })
    }

    /// Ends one direction of a connection, or both.
    ///
    /// # Errors
    ///
    /// ENOTCONN.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        self.network.with(|stack| match self.protocol {
            Protocol::Tcp => stack.shutdown(self.number, how),
            Protocol::Udp => stack.datagram_ends(self.number).1.map(drop).ok_or(Errno::ENOTCONN),
        })
    }

    /// Where it is.
    pub fn name(&self) -> SocketAddrV4 {
        self.network.with(|stack| match self.protocol {
            Protocol::Tcp => stack.streams.get(&self.number).and_then(|stream| stream.local).unwrap_or(NONE),
            Protocol::Udp => stack.datagram_ends(self.number).0,
        })
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    ///
    /// ENOTCONN.
    pub fn peer(&self) -> Result<SocketAddrV4> {
        let peer = self.network.with(|stack| match self.protocol {
            Protocol::Tcp => stack.streams.get(&self.number).and_then(Stream::peer),
            Protocol::Udp => stack.datagram_ends(self.number).1,
        });
        peer.ok_or(Errno::ENOTCONN)
    }

    /// What an option is.
    pub fn option(&self, name: Name) -> Value {
        let is_stream = self.protocol == Protocol::Tcp;
        let word = |word: u32| Value::Word(word);
        match name {
            Name::Type => word(if is_stream { STREAM } else { DATAGRAM }),
            Name::Domain => word(super::address::INTERNET.into()),
            Name::Protocol => word(if is_stream { TCP } else { UDP }),
            Name::SendBuffer | Name::ReceiveBuffer => word(u32::try_from(BUFFER).unwrap_or(u32::MAX)),
            Name::Flag(flag) => word((*self.options().flag(flag)).into()),
            Name::Linger => Value::Linger(self.options().lingers),
            Name::Error => word(self.take_error().map_or(0, |error| error.number().into())),
            Name::Listens => word(self.with_stream(|stream| stream.listens()).unwrap_or(false).into()),
        }
    }

    /// Changes an option.
    ///
    /// # Errors
    ///
    /// ENOPROTOOPT if it can only be asked for.
    pub fn set_option(&self, name: Name, value: Value) -> Result<()> {
        match (name, value) {
            (Name::Flag(flag), Value::Word(word)) => self.change(|options| *options.flag(flag) = word != 0),
            (Name::Linger, Value::Linger(seconds)) => self.change(|options| options.lingers = seconds),
            // They are as large as they are.
            (Name::SendBuffer | Name::ReceiveBuffer, _) => {}
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn options(&self) -> Options {
        let options = self.network.with(|stack| match self.protocol {
            Protocol::Tcp => stack.streams.get(&self.number).map(|stream| stream.options),
            Protocol::Udp => stack.datagrams.get(&self.number).map(|datagram| datagram.options),
        });
        options.unwrap_or_default()
    }

    fn change(&self, change: impl FnOnce(&mut Options)) {
        self.network.with(|stack| match self.protocol {
            Protocol::Tcp => stack.change_stream(self.number, change),
            Protocol::Udp => {
                if let Some(datagram) = stack.datagrams.get_mut(&self.number) {
                    change(&mut datagram.options);
                }
            }
        });
    }

    fn with_stream<T>(&self, run: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        self.network.with(|stack| stack.streams.get_mut(&self.number).map(run))
    }

    fn take_error(&self) -> Option<Errno> {
        self.with_stream(|stream| stream.error.take()).flatten()
    }

    /// What can be done with it now.
    pub fn poll(&self) -> Events {
        self.network.with(|stack| match self.protocol {
            Protocol::Tcp => stack.stream_events(self.number),
            Protocol::Udp => stack.datagram_events(self.number),
        })
    }

    /// Shows the queues that are woken when one of these events may have come.
    pub fn queues(&self, interest: Events, visit: &mut dyn FnMut(&WaitQueue)) {
        self.queues.visit(interest, visit);
    }

    /// How many bytes can be read.
    pub fn waiting(&self) -> usize {
        self.network.with(|stack| match self.protocol {
            Protocol::Tcp => stack.waiting(self.number).0,
            Protocol::Udp => stack.next_length(self.number),
        })
    }

    /// How many bytes the peer has not got yet.
    pub fn unsent(&self) -> usize {
        self.network.with(|stack| stack.waiting(self.number).1)
    }

    fn stream(&self) -> Result<()> {
        if self.protocol == Protocol::Tcp { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.network.with(|stack| match self.protocol {
            Protocol::Tcp => stack.close_stream(self.number),
            Protocol::Udp => stack.close_datagram(self.number),
        });
    }
}
