//! Streams that listen, and the connections that come to them.

use super::{Owner, Phase, Stream};
use crate::errno::{Errno, Result};
use crate::net::address::NONE;
use crate::net::link::Place;
use crate::net::network::Stack;
use crate::net::option::Options;
use crate::net::port::Protocol;
use crate::net::queues::Queues;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

/// The most connections that wait to be accepted.
const MOST_WAITING: u32 = 64;

/// An endpoint as an address.
fn address(endpoint: IpEndpoint) -> SocketAddrV4 {
    let smoltcp::wire::IpAddress::Ipv4(address) = endpoint.addr;
    SocketAddrV4::new(address, endpoint.port)
}

/// A connection that has come, and to whom.
struct Begun {
    place: Place,
    local: SocketAddrV4,
    backlog: usize,
    options: Options,
}

impl Stack {
    /// `listen`.
    pub(in crate::net) fn listen(&mut self, number: u32, backlog: u32) -> Result<()> {
        // One more than it says, as in Linux.
        let backlog = usize::try_from(backlog.min(MOST_WAITING)).unwrap_or_default().saturating_add(1);
        let stream = self.streams.get_mut(&number).ok_or(Errno::EBADF)?;
        match &mut stream.phase {
            Phase::Unconnected => {}
            Phase::Listening { backlog: before, .. } => {
                *before = backlog;
                return Ok(());
            }
            Phase::Connecting { .. } | Phase::Connected { .. } | Phase::Ended { .. } => {
                return Err(Errno::EINVAL);
            }
        }
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let (bound, sharing, options) = (stream.local, stream.sharing(), stream.options);
        let local = match bound {
            Some(local) => local,
            None => self.free_address(Protocol::Tcp, any, sharing)?,
        };
        let listens_there = |other: &Stream| other.listens() && other.forbids(local, sharing);
        if self.streams.values().any(listens_there) {
            return Err(Errno::EADDRINUSE);
        }
        let mut places = Vec::new();
        for link in self.links.of(*local.ip()) {
            match self.make(link, options) {
                Ok(place) => {
                    self.open(&place, local);
                    places.push(place);
                }
                Err(error) => {
                    places.into_iter().for_each(|place| self.unmake(place));
                    return Err(error);
                }
            }
        }
        let stream = self.streams.get_mut(&number).ok_or(Errno::EBADF)?;
        stream.local = Some(local);
        stream.phase = Phase::Listening { backlog, places };
        Ok(())
    }

    /// Lets a new socket take a connection.
    fn open(&mut self, place: &Place, local: SocketAddrV4) {
        let addr = (!local.ip().is_unspecified()).then_some((*local.ip()).into());
        if let Some(socket) = self.links.tcp_mut(place) {
            // The port is not 0, and the socket is new.
            _ = socket.listen(IpListenEndpoint { addr, port: local.port() });
        }
    }

    /// Looks for connections that came to streams that listen, before they are answered.
    pub(in crate::net) fn refill(&mut self) {
        let mut last = 0;
        while let Some(number) = self.next_listener(last) {
            last = number.saturating_add(1);
            while let Some(begun) = self.next_begun(number) {
                self.take_or_leave(number, begun);
            }
        }
    }

    fn next_listener(&self, from: u32) -> Option<u32> {
        self.streams.range(from..).find(|(_, stream)| stream.listens()).map(|(number, _)| *number)
    }

    /// A socket that no longer listens, for a connection has come.
    fn next_begun(&mut self, number: u32) -> Option<Begun> {
        let stream = self.streams.get_mut(&number)?;
        let (Phase::Listening { backlog, places }, Some(local)) = (&mut stream.phase, stream.local) else {
            return None;
        };
        let state = |place| self.links.tcp(place).map(Socket::state);
        let begun = places.iter().position(|place| state(place) != Some(State::Listen))?;
        Some(Begun { place: places.swap_remove(begun), local, backlog: *backlog, options: stream.options })
    }

    /// Makes a stream of a connection that has come, if fewer wait than may and another socket can listen instead. If
    /// not, it is as if nothing had come: the peer will ask again.
    fn take_or_leave(&mut self, number: u32, begun: Begun) {
        let Begun { place, local, backlog, options } = begun;
        let waiting = self.streams.values().filter(|stream| stream.owner == Owner::Listener(number)).count();
        let next = if waiting < backlog { self.make(place.link(), options).ok() } else { None };
        let listens = match next {
            Some(next) => {
                self.take(number, place, options);
                next
            }
            None => {
                if let Some(socket) = self.links.tcp_mut(&place) {
                    socket.abort();
                }
                place
            }
        };
        self.open(&listens, local);
        match self.streams.get_mut(&number).map(|stream| &mut stream.phase) {
            Some(Phase::Listening { places, .. }) => places.push(listens),
            _ => self.unmake(listens),
        }
    }

    fn take(&mut self, number: u32, place: Place, options: Options) {
        let socket = self.links.tcp(&place);
        let ends = socket.and_then(|socket| socket.local_endpoint().zip(socket.remote_endpoint()));
        let Some((local, remote)) = ends else { return self.unmake(place) };
        let mut stream = Stream::new(Arc::new(Queues::default()));
        stream.local = Some(address(local));
        stream.remote = Some(address(remote));
        stream.owner = Owner::Listener(number);
        stream.options = options;
        stream.phase = Phase::Connecting { place, since: self.now };
        let own = self.new_number();
        self.streams.insert(own, stream);
    }

    /// The connection that is to be accepted next.
    pub(super) fn accepted(&self, number: u32) -> Option<u32> {
        let is_ready = |stream: &Stream| {
            stream.owner == Owner::Listener(number)
                && matches!(stream.phase, Phase::Connected { .. } | Phase::Ended { .. })
        };
        self.streams.iter().find(|(_, stream)| is_ready(stream)).map(|(number, _)| *number)
    }

    /// `accept`: the number of the new stream, its queues, and its peer.
    pub(in crate::net) fn accept(&mut self, number: u32) -> Result<(u32, Arc<Queues>, SocketAddrV4)> {
        let stream = self.streams.get(&number).ok_or(Errno::EBADF)?;
        if !stream.listens() {
            return Err(Errno::EINVAL);
        }
        let accepted = self.accepted(number).ok_or(Errno::EAGAIN)?;
        let stream = self.streams.get_mut(&accepted).ok_or(Errno::EAGAIN)?;
        stream.owner = Owner::Program;
        Ok((accepted, stream.queues.clone(), stream.remote.unwrap_or(NONE)))
    }
}
