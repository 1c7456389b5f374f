//! Links: an interface, its device, and the sockets that speak over it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::ops::RangeInclusive;
use smoltcp::iface::{Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::Device;
use smoltcp::socket::{AnySocket, tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::Ipv4Cidr;

/// What packets go over.
pub(super) trait Carrier: Send {
    /// Before packets move.
    fn begin(&mut self) {}

    /// Takes a packet, if one has come.
    fn receive(&mut self, at: Instant, sockets: &mut SocketSet<'static>) -> bool;

    /// Sends at most one packet of each socket; whether there was any.
    fn send(&mut self, at: Instant, sockets: &mut SocketSet<'static>) -> bool;

    /// When no more packets move.
    fn end(&mut self) {}

    fn interface(&mut self) -> &mut Interface;
}

/// An interface and its device.
pub(super) struct Joined<D> {
    pub(super) interface: Interface,
    pub(super) device: D,
}

impl<D: Device + Send> Carrier for Joined<D> {
    fn receive(&mut self, at: Instant, sockets: &mut SocketSet<'static>) -> bool {
        let result = self.interface.poll_ingress_single(at, &mut self.device, sockets);
        result != PollIngressSingleResult::None
    }

    fn send(&mut self, at: Instant, sockets: &mut SocketSet<'static>) -> bool {
        self.interface.poll_egress(at, &mut self.device, sockets) != PollResult::None
    }

    fn interface(&mut self) -> &mut Interface {
        &mut self.interface
    }
}

/// What a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Its address, and which others it leads to by itself.
    pub(super) address: Ipv4Cidr,
    /// Whether it leads to all others.
    pub(super) has_gateway: bool,
    /// The longest packet of IP.
    pub(super) longest: usize,
}

struct Link {
    carrier: Box<dyn Carrier>,
    sockets: SocketSet<'static>,
    facts: Facts,
}

/// Where a socket of smoltcp's is. Whoever has this has the socket: it is not copied, and given back to
/// [`Links::remove`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    link: usize,
    handle: SocketHandle,
}

impl Place {
    /// The link that it is on.
    pub(super) const fn link(&self) -> usize {
        self.link
    }
}

/// All links: the loopback first.
pub(super) struct Links(Vec<Link>);

/// The loopback.
pub(super) const LOOPBACK: usize = 0;

impl Links {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, carrier: Box<dyn Carrier>, facts: Facts) {
        self.0.push(Link { carrier, sockets: SocketSet::new(Vec::new()), facts });
    }

    pub(super) fn facts(&self, link: usize) -> Option<&Facts> {
        self.0.get(link).map(|link| &link.facts)
    }

    /// The links that a socket at this address speaks over.
    pub(super) fn of(&self, address: Ipv4Addr) -> RangeInclusive<usize> {
        let last = if address.is_loopback() { LOOPBACK } else { self.0.len().saturating_sub(1) };
        LOOPBACK..=last
    }

    /// Whether a socket can be at this address.
    pub(super) fn is_own(&self, address: Ipv4Addr) -> bool {
        let is_one = |link: &Link| link.facts.address.address() == address;
        address.is_unspecified() || address.is_loopback() || self.0.iter().any(is_one)
    }

    /// The link that leads to an address of somebody, and our address there.
    pub(super) fn route(&self, to: Ipv4Addr) -> Option<(usize, Ipv4Addr)> {
        if to.is_broadcast() || to.is_multicast() || to.is_unspecified() {
            return None;
        }
        if self.is_own(to) && !to.is_loopback() {
            return Some((LOOPBACK, to));
        }
        let leads = |link: &Link| link.facts.address.contains_addr(&to);
        let direct = self.0.iter().position(leads);
        let link = direct.or_else(|| self.0.iter().position(|link| link.facts.has_gateway))?;
        let facts = self.facts(link)?;
        (facts.address.broadcast() != Some(to)).then_some((link, facts.address.address()))
    }

    pub(super) fn add<T: AnySocket<'static>>(&mut self, link: usize, socket: T) -> Option<Place> {
        let handle = self.0.get_mut(link)?.sockets.add(socket);
        Some(Place { link, handle })
    }

    /// The socket goes, without a word to its peer.
    pub(super) fn remove(&mut self, place: Place) {
        if let Some(link) = self.0.get_mut(place.link) {
            drop(link.sockets.remove(place.handle));
        }
    }

    pub(super) fn tcp(&self, place: &Place) -> Option<&tcp::Socket<'static>> {
        self.0.get(place.link).map(|link| link.sockets.get(place.handle))
    }

    pub(super) fn tcp_mut(&mut self, place: &Place) -> Option<&mut tcp::Socket<'static>> {
        self.0.get_mut(place.link).map(|link| link.sockets.get_mut(place.handle))
    }

    /// A socket, and the interface that it is to connect by.
    pub(super) fn tcp_to_connect(
        &mut self,
        place: &Place,
    ) -> Option<(&mut tcp::Socket<'static>, &mut Interface)> {
        let link = self.0.get_mut(place.link)?;
        Some((link.sockets.get_mut(place.handle), link.carrier.interface()))
    }

    pub(super) fn udp(&self, place: &Place) -> Option<&udp::Socket<'static>> {
        self.0.get(place.link).map(|link| link.sockets.get(place.handle))
    }

    pub(super) fn udp_mut(&mut self, place: &Place) -> Option<&mut udp::Socket<'static>> {
        self.0.get_mut(place.link).map(|link| link.sockets.get_mut(place.handle))
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn begin(&mut self) {
        self.0.iter_mut().for_each(|link| link.carrier.begin());
    }

    pub(super) fn end(&mut self) {
        self.0.iter_mut().for_each(|link| link.carrier.end());
    }

    pub(super) fn send(&mut self, link: usize, at: Instant) -> bool {
        self.0.get_mut(link).is_some_and(|link| link.carrier.send(at, &mut link.sockets))
    }

    pub(super) fn receive(&mut self, link: usize, at: Instant) -> bool {
        self.0.get_mut(link).is_some_and(|link| link.carrier.receive(at, &mut link.sockets))
    }
}
