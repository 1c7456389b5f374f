//! The network: up to two cards, their interrupts, an answer to every ping, and HTTP on the first.

use super::http::Server;
use super::port::{LINK, Port};
use super::{Failure, Machine, World, say};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use drivers::ne2000::{self, Ne2000};
use drivers::wait::{Clock, MachineClock};
use heapless::Vec;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{icmp, tcp};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, Icmpv4Packet, Icmpv4Repr, IpAddress, IpCidr, Ipv4Address,
};
use spin::Once;
use sva_os::Sva;
use sva_os::interrupt::{Line, TrapFrame, Vector};
use sva_os::io::PortRange;

type Card = Ne2000<PortRange<'static, Machine>, &'static MachineClock<'static, Machine>>;

/// QEMU's user network: our address there, and the host's.
const ADDRESSES: [Ipv4Address; 2] = [Ipv4Address::new(10, 0, 2, 15), Ipv4Address::new(10, 0, 3, 15)];
const GATEWAY: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// Where the ISA card is.
const ISA_PORTS: u16 = 0x300;
const ISA_LINE: u32 = 9;
/// The PCI card (RTL8029AS), and the dword of its configuration space whose low byte is its line.
const PCI_CARD: (u16, u16) = (0x10ec, 0x8029);
const INTERRUPT: u8 = 0x3c;
/// How many frames of a card are looked at before something else is.
const MOST_AT_ONCE: u32 = 64;

/// Lines by which a card asked for the CPU. They are masked until somebody has looked.
static ASKING: AtomicU32 = AtomicU32::new(0);
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);
static SVA: Once<&'static Sva<Machine>> = Once::new();

fn on_interrupt(frame: &TrapFrame<'_>) {
    let line = Line::all().find(|line| Vector::of_line(*line) == frame.vector());
    if let (Some(line), Some(sva)) = (line, SVA.get()) {
        sva.interrupts().mask(line);
        ASKING.fetch_or(1 << line.number(), Ordering::Relaxed);
        INTERRUPTS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Memory of the sockets.
pub(super) struct Buffers {
    http: ([u8; 1024], [u8; 8192]),
    icmp: ([u8; 256], [u8; 256]),
    packets: ([icmp::PacketMetadata; 4], [icmp::PacketMetadata; 4]),
}

/// A card and what is spoken over it.
struct Station {
    card: Card,
    line: Line,
    interface: Interface,
}

/// All cards.
pub(super) struct Network<'b> {
    world: World,
    stations: Vec<Station, 2>,
    sockets: SocketSet<'b>,
    http: SocketHandle,
    icmp: SocketHandle,
    server: Server,
}

impl Station {
    fn open(
        world: &World,
        ports: PortRange<'static, Machine>,
        line: Line,
        address: Ipv4Address,
    ) -> Result<Self, Failure> {
        let mut card = Ne2000::open(ports, world.clock)?;
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(card.address())));
        config.random_seed = world.sva.timer().time_stamp().unwrap_or_default();
        let mut interface = Interface::new(config, &mut card, at(world));
        interface.update_ip_addrs(|addresses| {
            // There is room for one.
            _ = addresses.push(IpCidr::new(IpAddress::Ipv4(address), 24));
        });
        SVA.call_once(|| world.sva);
        world.sva.interrupts().register_line(line, &on_interrupt)?;
        world.sva.interrupts().unmask(line)?;
        card.enable_interrupts();
        let hardware = EthernetAddress(card.address());
        say!(world, "network: card {hardware}, line {}, {address}", line.number());
        Ok(Self { card, line, interface })
    }

    fn poll(&mut self, world: &World, sockets: &mut SocketSet<'_>) -> Result<(), Failure> {
        let bit = 1 << self.line.number();
        let asked = ASKING.fetch_and(!bit, Ordering::Relaxed) & bit != 0;
        if asked {
            self.card.acknowledge();
        }
        for _ in 0..MOST_AT_ONCE {
            let result = self.interface.poll_ingress_single(at(world), &mut self.card, sockets);
            if result == PollIngressSingleResult::None {
                break;
            }
        }
        self.interface.poll_egress(at(world), &mut self.card, sockets);
        if asked {
            world.sva.interrupts().unmask(self.line)?;
        }
        Ok(())
    }
}

impl Buffers {
    pub(super) const fn new() -> Self {
        const NONE: icmp::PacketMetadata = icmp::PacketMetadata::EMPTY;
        Self { http: ([0; 1024], [0; 8192]), icmp: ([0; 256], [0; 256]), packets: ([NONE; 4], [NONE; 4]) }
    }
}

impl<'b> Network<'b> {
    /// Opens every card that there is, the one on the PCI bus first.
    pub(super) fn open(
        world: &World,
        buffers: &'b mut Buffers,
        storage: &'b mut [SocketStorage<'b>; 2],
    ) -> Result<Self, Failure> {
        let mut stations = Vec::new();
        if let Some((ports, line)) = pci_card(world)? {
            let mut station = Station::open(world, ports, line, ADDRESSES[0])?;
            // There is room for one.
            _ = station.interface.routes_mut().add_default_ipv4_route(GATEWAY);
            _ = stations.push(station);
        }
        let isa = world.sva.io().claim(ISA_PORTS, ne2000::REGISTERS)?;
        let line = Line::new(ISA_LINE).ok_or_else(|| Failure::new("there is no line 9"))?;
        let address = ADDRESSES[stations.len().min(1)];
        match Station::open(world, isa, line, address) {
            Ok(station) => _ = stations.push(station),
            Err(error) if stations.is_empty() => return Err(error),
            Err(_) => {}
        }
        let (receive, send) = (&mut buffers.http.0[..], &mut buffers.http.1[..]);
        let http = tcp::Socket::new(tcp::SocketBuffer::new(receive), tcp::SocketBuffer::new(send));
        let receive = icmp::PacketBuffer::new(&mut buffers.packets.0[..], &mut buffers.icmp.0[..]);
        let send = icmp::PacketBuffer::new(&mut buffers.packets.1[..], &mut buffers.icmp.1[..]);
        let icmp = icmp::Socket::new(receive, send);
        let mut sockets = SocketSet::new(&mut storage[..]);
        let (http, icmp) = (sockets.add(http), sockets.add(icmp));
        Ok(Self { world: *world, stations, sockets, http, icmp, server: Server::new() })
    }

    /// Takes and sends what there is.
    pub(super) fn poll(&mut self) -> Result<(), Failure> {
        let mut none = SocketSet::new(&mut [][..]);
        for (index, station) in self.stations.iter_mut().enumerate() {
            // The sockets are the first station's.
            station.poll(&self.world, if index == 0 { &mut self.sockets } else { &mut none })?;
        }
        self.server.poll(self.sockets.get_mut(self.http));
        Ok(())
    }

    /// Pings the host, and answers how long that took.
    fn ping(&mut self) -> Result<Duration, Failure> {
        const IDENTITY: u16 = 0x5a05;
        const DATA: &[u8] = b"sixteen letters.";
        let world = self.world;
        let request = Icmpv4Repr::EchoRequest { ident: IDENTITY, seq_no: 1, data: DATA };
        let socket = self.sockets.get_mut::<icmp::Socket<'_>>(self.icmp);
        socket.bind(icmp::Endpoint::Ident(IDENTITY)).map_err(|_| Failure::new("no ping"))?;
        let bytes = socket.send(request.buffer_len(), GATEWAY.into()).map_err(|_| Failure::new("no ping"))?;
        request.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
        let start = world.clock.now();
        world.until(Duration::from_secs(5), || {
            if let Err(failure) = self.poll() {
                return Some(Err(failure));
            }
            let socket = self.sockets.get_mut::<icmp::Socket<'_>>(self.icmp);
            let (bytes, from) = socket.recv().ok()?;
            let packet = Icmpv4Packet::new_checked(bytes).ok()?;
            let reply = Icmpv4Repr::parse(&packet, &ChecksumCapabilities::default()).ok()?;
            let expected = Icmpv4Repr::EchoReply { ident: IDENTITY, seq_no: 1, data: DATA };
            (reply == expected && from == GATEWAY.into()).then_some(Ok(()))
        })??;
        Ok(world.clock.now().saturating_sub(start))
    }
}

/// The first card on the PCI bus, and its line.
fn pci_card(world: &World) -> Result<Option<(PortRange<'static, Machine>, Line)>, Failure> {
    let Some(pci) = world.sva.io().pci() else { return Ok(None) };
    let is_card = |identity: sva_os::io::pci::Identity| (identity.vendor, identity.device) == PCI_CARD;
    let Some(function) = pci.functions().find(|function| is_card(pci.identity(*function))) else {
        return Ok(None);
    };
    let line = Line::new(pci.read(function, INTERRUPT) & 0xff);
    let line = line.ok_or_else(|| Failure::new("the firmware gave the card no line"))?;
    Ok(Some((pci.claim_ports(function, 0)?, line)))
}

/// The time, for smoltcp.
fn at(world: &World) -> Instant {
    Instant::from_micros(i64::try_from(world.clock.now().as_micros()).unwrap_or(i64::MAX))
}

/// Pings, then serves until the host says that it is done.
pub(super) fn run(world: &World) -> Result<(), Failure> {
    let link = Port::open(world.sva, world.clock, LINK)?;
    let (mut buffers, mut storage) = (Buffers::new(), [SocketStorage::EMPTY; 2]);
    let mut network = Network::open(world, &mut buffers, &mut storage)?;
    let time = network.ping()?;
    say!(world, "network: the host answers after {} us", time.as_micros());
    link.send(world.clock, b"network\n")?;
    world.until(Duration::from_secs(30), || {
        if let Err(failure) = network.poll() {
            return Some(Err(failure));
        }
        link.next_byte().filter(|byte| *byte == b'\n').map(|_| Ok(()))
    })??;
    say!(world, "network: {} requests served", network.server.served());
    for station in &network.stations {
        say!(world, "network: {:?}", station.card.counts());
    }
    if INTERRUPTS.load(Ordering::Relaxed) == 0 {
        return Err(Failure::new("no frame came by an interrupt"));
    }
    Ok(())
}
