//! Streams that listen, and the connections that come to them.

use super::super::link::Place;
use super::super::network::Stack;
use super::super::port::Protocol;
use super::super::queues::Queues;
use super::{Owner, Phase, Stream};
use crate::errno::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};
use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

/// The most connections that wait to be accepted.
const MOST_WAITING: u32 = 64;

/// An endpoint as an address.
fn address(endpoint: IpEndpoint) -> SocketAddrV4 {
    let smoltcp::wire::IpAddress::Ipv4(address) = endpoint.addr;
    SocketAddrV4::new(address, endpoint.port)
}

impl Stack {
    /// `listen`.
    pub(in super::super) fn listen(&mut self, number: u32, backlog: u32) -> Result<()> {
        // One more than it says, as in Linux.
        let backlog = usize::try_from(backlog.min(MOST_WAITING)).unwrap_or_default().saturating_add(1);
        let stream = self.streams.get_mut(&number).ok_or(Errno::EBADF)?;
        match &mut stream.phase {
            Phase::Unconnected => {}
            Phase::Listening { backlog: before, .. } => {
                *before = backlog;
                self.refill();
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

    /// Where a connection came to a stream that listens, makes room for the next.
    pub(in super::super) fn refill(&mut self) {
        let mut last = 0;
        while let Some(number) = self.next_listener(last) {
            last = number.saturating_add(1);
            self.take_begun(number);
            self.open_more(number);
        }
    }

    fn next_listener(&self, from: u32) -> Option<u32> {
        self.streams.range(from..).find(|(_, stream)| stream.listens()).map(|(number, _)| *number)
    }

    /// Makes streams of the sockets that no longer listen.
    fn take_begun(&mut self, number: u32) {
        while let Some((place, options)) = self.next_begun(number) {
            let ends = self
                .links
                .tcp(&place)
                .and_then(|socket| socket.local_endpoint().zip(socket.remote_endpoint()));
            let Some((local, remote)) = ends else {
                self.unmake(place);
                continue;
            };
            let mut stream = Stream::new(Arc::new(Queues::default()));
            stream.local = Some(address(local));
            stream.remote = Some(address(remote));
            stream.owner = Owner::Listener(number);
            stream.options = options;
            stream.phase = Phase::Connecting { place, since: self.now };
            let own = self.new_number();
            self.streams.insert(own, stream);
        }
    }

    fn next_begun(&mut self, number: u32) -> Option<(Place, super::Options)> {
        let stream = self.streams.get_mut(&number)?;
        let Phase::Listening { places, .. } = &mut stream.phase else { return None };
        let listens =
            |place: &Place| self.links.tcp(place).map(|socket| socket.state()) == Some(State::Listen);
        let begun = places.iter().position(|place| !listens(place))?;
        Some((places.swap_remove(begun), stream.options))
    }

    /// A socket for each link, while fewer wait than may.
    fn open_more(&mut self, number: u32) {
        let waiting = self.streams.values().filter(|stream| stream.owner == Owner::Listener(number)).count();
        let Some(stream) = self.streams.get(&number) else { return };
        let (Phase::Listening { backlog, places }, Some(local)) = (&stream.phase, stream.local) else {
            return;
        };
        let links = self.links.of(*local.ip());
        if waiting >= *backlog || places.len() == links.clone().count() {
            return;
        }
        let (options, mut missing) = (stream.options, [None; 2]);
        let open = |link: &usize| places.iter().any(|place| place.link() == *link);
        missing.iter_mut().zip(links.filter(|link| !open(link))).for_each(|(to, link)| *to = Some(link));
        for link in missing.into_iter().flatten() {
            // If there is no memory, who comes is refused, until there is.
            let Ok(place) = self.make(link, options) else { return };
            self.open(&place, local);
            let phase = self.streams.get_mut(&number).map(|stream| &mut stream.phase);
            match phase {
                Some(Phase::Listening { places, .. }) => places.push(place),
                _ => self.unmake(place),
            }
        }
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
    pub(in super::super) fn accept(&mut self, number: u32) -> Result<(u32, Arc<Queues>, SocketAddrV4)> {
        let stream = self.streams.get(&number).ok_or(Errno::EBADF)?;
        if !stream.listens() {
            return Err(Errno::EINVAL);
        }
        let accepted = self.accepted(number).ok_or(Errno::EAGAIN)?;
        let stream = self.streams.get_mut(&accepted).ok_or(Errno::EAGAIN)?;
        stream.owner = Owner::Program;
        let answer = (accepted, stream.queues.clone(), stream.remote.unwrap_or(super::super::address::NONE));
        self.refill();
        Ok(answer)
    }
}
