//! Datagrams: sockets of UDP.

use super::address::{NONE, overlap};
use super::link::Place;
use super::memory::bytes;
use super::network::Stack;
use super::option::Options;
use super::port::{Protocol, Sharing};
use super::queues::Queues;
use super::stream::Take;
use crate::errno::{Errno, Result};
use crate::fs::data::{Sink, Source};
use crate::fs::poll::Events;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

/// Bytes that wait in each direction on each link, and in how many datagrams, at most.
const BUFFER: usize = 32 << 10;
const PACKETS: usize = 16;
/// What a socket costs on each link.
const COST: usize = 2 * (BUFFER + PACKETS * size_of::<PacketMetadata>()) + size_of::<Socket<'_>>();
/// Bytes of the headers of IP and UDP.
const HEADERS: usize = 28;

/// A socket for datagrams.
pub(super) struct Datagram {
    /// Where it is, if it is anywhere.
    pub(super) local: Option<SocketAddrV4>,
    /// Whom it speaks to alone.
    remote: Option<SocketAddrV4>,
    /// One for each link, once it is somewhere.
    places: Vec<Place>,
    pub(super) options: Options,
    pub(super) queues: Arc<Queues>,
}

/// A datagram that was read: how much of it was put, how long it was, and from whom it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub put: usize,
    pub length: usize,
    pub from: SocketAddrV4,
}

impl Datagram {
    pub(super) fn new(queues: Arc<Queues>) -> Self {
        Self { local: None, remote: None, places: Vec::new(), options: Options::default(), queues }
    }

    fn sharing(&self) -> Sharing {
        if self.options.reuses_address { Sharing::Reuse } else { Sharing::Never }
    }

    /// Whether no other may be bound to `wanted` because of it.
    pub(super) fn forbids(&self, wanted: SocketAddrV4, sharing: Sharing) -> bool {
        let share = sharing == Sharing::Reuse && self.sharing() == Sharing::Reuse;
        self.local.is_some_and(|local| overlap(local, wanted)) && !share
    }
}

fn address(endpoint: IpEndpoint) -> SocketAddrV4 {
    let smoltcp::wire::IpAddress::Ipv4(address) = endpoint.addr;
    SocketAddrV4::new(address, endpoint.port)
}

impl Stack {
    /// `bind`.
    pub(super) fn bind_datagram(&mut self, number: u32, wanted: SocketAddrV4) -> Result<()> {
        let datagram = self.datagrams.get(&number).ok_or(Errno::EBADF)?;
        if datagram.local.is_some() {
            return Err(Errno::EINVAL);
        }
        let sharing = datagram.sharing();
        let local = self.free_address(Protocol::Udp, wanted, sharing)?;
        let mut places = Vec::new();
        for link in self.links.of(*local.ip()) {
            match self.make_datagram(link, local) {
                Ok(place) => places.push(place),
                Err(error) => {
                    places.into_iter().for_each(|place| self.unmake_datagram(place));
                    return Err(error);
                }
            }
        }
        let datagram = self.datagrams.get_mut(&number).ok_or(Errno::EBADF)?;
        datagram.local = Some(local);
        datagram.places = places;
        Ok(())
    }

    fn make_datagram(&mut self, link: usize, local: SocketAddrV4) -> Result<Place> {
        self.memory.take(COST)?;
        let buffer =
            || bytes(BUFFER).map(|bytes| PacketBuffer::new(vec![PacketMetadata::EMPTY; PACKETS], bytes));
        let place = buffer().and_then(|receive| {
            let mut socket = Socket::new(receive, buffer()?);
            let addr = (!local.ip().is_unspecified()).then_some((*local.ip()).into());
            let endpoint = IpListenEndpoint { addr, port: local.port() };
            socket.bind(endpoint).map_err(|_| Errno::EADDRNOTAVAIL)?;
            self.links.add(link, socket).ok_or(Errno::ENODEV)
        });
        if place.is_err() {
            self.memory.give(COST);
        }
        place
    }

    fn unmake_datagram(&mut self, place: Place) {
        self.links.remove(place);
        self.memory.give(COST);
    }

    /// `connect`: whom it speaks to from now on, or `None` for all.
    pub(super) fn connect_datagram(&mut self, number: u32, peer: Option<SocketAddrV4>) -> Result<()> {
        let peer = peer.map(|peer| match peer.ip().is_unspecified() {
            true => SocketAddrV4::new(Ipv4Addr::LOCALHOST, peer.port()),
            false => peer,
        });
        let own = match peer {
            Some(peer) => Some(self.links.route(*peer.ip()).ok_or(Errno::ENETUNREACH)?.1),
            None => None,
        };
        let datagram = self.datagrams.get(&number).ok_or(Errno::EBADF)?;
        if let (None, Some(own)) = (datagram.local, own) {
            self.bind_datagram(number, SocketAddrV4::new(own, 0))?;
        }
        self.datagrams.get_mut(&number).ok_or(Errno::EBADF)?.remote = peer;
        Ok(())
    }

    /// Sends a datagram to `to`, or to whom it is connected to.
    ///
    /// # Errors
    ///
    /// EAGAIN if there is no room yet.
    pub(super) fn send_datagram(
        &mut self,
        number: u32,
        count: usize,
        source: &mut dyn Source,
        to: Option<SocketAddrV4>,
    ) -> Result<usize> {
        let datagram = self.datagrams.get(&number).ok_or(Errno::EBADF)?;
        let to = to.or(datagram.remote).ok_or(Errno::EDESTADDRREQ)?;
        if to.port() == 0 {
            return Err(Errno::EINVAL);
        }
        let to =
            if to.ip().is_unspecified() { SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port()) } else { to };
        let (link, own) = self.links.route(*to.ip()).ok_or(Errno::ENETUNREACH)?;
        let longest = self.links.facts(link).map_or(0, |facts| facts.longest).saturating_sub(HEADERS);
        if count > longest {
            return Err(Errno::EMSGSIZE);
        }
        if self.datagrams.get(&number).is_some_and(|datagram| datagram.local.is_none()) {
            self.bind_datagram(number, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))?;
        }
        let datagram = self.datagrams.get(&number).ok_or(Errno::EBADF)?;
        let place = datagram.places.iter().find(|place| place.link() == link).ok_or(Errno::EINVAL)?;
        let socket = self.links.udp_mut(place).ok_or(Errno::EBADF)?;
        let mut datagram = bytes(count)?;
        if source.get(&mut datagram)? < count {
            // A part of it is no datagram.
            return Ok(0);
        }
        let mut meta = smoltcp::socket::udp::UdpMetadata::from(IpEndpoint::from(to));
        meta.local_address = Some(own.into());
        socket.send_slice(&datagram, meta).map_err(|_| Errno::EAGAIN)?;
        self.run();
        Ok(count)
    }

    /// Takes the next datagram; what there is no room for is lost.
    ///
    /// # Errors
    ///
    /// EAGAIN if there is none yet.
    pub(super) fn take_datagram(
        &mut self,
        number: u32,
        count: usize,
        sink: &mut dyn Sink,
        take: Take,
    ) -> Result<Taken> {
        let datagram = self.datagrams.get(&number).ok_or(Errno::EBADF)?;
        for place in &datagram.places {
            let Some(socket) = self.links.udp_mut(place) else { continue };
            while let Ok((bytes, meta)) = socket.peek() {
                let from = address(meta.endpoint);
                if datagram.remote.is_some_and(|remote| remote != from) {
                    _ = socket.recv();
                    continue;
                }
                let length = bytes.len();
                let some = bytes.get(..count.min(length)).unwrap_or_default();
                let put = sink.put(some)?;
                if put < some.len() {
                    // A page is missing: it is all put again when that is there.
                    return Ok(Taken { put: 0, length, from });
                }
                if take == Take::All {
                    _ = socket.recv();
                }
                return Ok(Taken { put, length, from });
            }
        }
        Err(Errno::EAGAIN)
    }

    pub(super) fn close_datagram(&mut self, number: u32) {
        // What was sent goes before the socket does.
        self.run();
        if let Some(datagram) = self.datagrams.remove(&number) {
            datagram.places.into_iter().for_each(|place| self.unmake_datagram(place));
        }
    }

    /// Where it is, and whom it speaks to.
    pub(super) fn datagram_ends(&self, number: u32) -> (SocketAddrV4, Option<SocketAddrV4>) {
        let datagram = self.datagrams.get(&number);
        let local = datagram.and_then(|datagram| datagram.local).unwrap_or(NONE);
        (local, datagram.and_then(|datagram| datagram.remote))
    }

    /// The length of the next datagram.
    pub(super) fn next_length(&mut self, number: u32) -> usize {
        let Some(datagram) = self.datagrams.get(&number) else { return 0 };
        let mut lengths = datagram.places.iter().filter_map(|place| {
            let socket = self.links.udp_mut(place)?;
            socket.peek().ok().map(|(bytes, _)| bytes.len())
        });
        lengths.next().unwrap_or(0)
    }

    /// What can be done with it now.
    pub(super) fn datagram_events(&self, number: u32) -> Events {
        let Some(datagram) = self.datagrams.get(&number) else { return Events::NVAL };
        let mut sockets = datagram.places.iter().filter_map(|place| self.links.udp(place));
        let mut events = Events::empty();
        events.set(Events::OUT, sockets.clone().all(Socket::can_send));
        events.set(Events::IN, sockets.any(Socket::can_recv));
        events
    }
}
