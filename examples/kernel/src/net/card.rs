//! The network card: an NE2000 on the PCI bus (RTL8029AS).

use super::link::{Carrier, Facts, Joined};
use super::machine;
use super::setting::Setting;
use crate::console;
use crate::fs::random;
use crate::machine::{Machine, sva};
use crate::{schedule, time};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use drivers::ne2000::{LONGEST, Ne2000};
use drivers::wait::Clock;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};
use sva_os::interrupt::Line;
use sva_os::io::PortRange;

/// Vendor and device.
const IDENTITY: (u16, u16) = (0x10ec, 0x8029);
/// The dword of its configuration space whose low byte is its line.
const INTERRUPT: u8 = 0x3c;
/// Bytes of the header of Ethernet.
const HEADER: usize = 14;

/// The card asks for the CPU. Its line is masked until somebody has looked.
static ASKS: AtomicBool = AtomicBool::new(false);

/// The kernel's clock, by which the driver waits.
struct Time;

impl Clock for Time {
    fn now(&self) -> Duration {
        Duration::from_nanos(time::now())
    }

    fn pause(&self) {
        sva().io().delay();
    }
}

type Device = Ne2000<PortRange<'static, Machine>, Time>;

/// A card, its interface, and its line.
pub(super) struct Card {
    joined: Joined<Device>,
    line: Line,
    /// It has asked, and its line is masked.
    has_asked: bool,
}

impl Carrier for Card {
    fn begin(&mut self) {
        if ASKS.swap(false, Ordering::Relaxed) {
            self.has_asked = true;
            self.joined.device.acknowledge();
        }
    }

    fn receive(&mut self, at: Instant, sockets: &mut SocketSet<'static>) -> bool {
        self.joined.receive(at, sockets)
    }

    fn send(&mut self, at: Instant, sockets: &mut SocketSet<'static>) -> bool {
        self.joined.send(at, sockets)
    }

    fn end(&mut self) {
        if self.has_asked {
            // It is ours.
            _ = sva().interrupts().unmask(self.line);
            self.has_asked = false;
        }
    }

    fn interface(&mut self) -> &mut Interface {
        &mut self.joined.interface
    }
}

/// Opens the first card on the PCI bus, if there is one.
pub(super) fn open(setting: &Setting) -> Result<Option<(Card, Facts)>, &'static str> {
    let Some(pci) = sva().io().pci() else { return Ok(None) };
    let is_card = |function: &_| {
        let identity = pci.identity(*function);
        (identity.vendor, identity.device) == IDENTITY
    };
    let Some(function) = pci.functions().find(is_card) else { return Ok(None) };
    let line = Line::new(pci.read(function, INTERRUPT) & 0xff).ok_or("the card has no line")?;
    let ports = pci.claim_ports(function, 0).map_err(|_| "the card's ports cannot be had")?;
    let mut device = Ne2000::open(ports, Time).map_err(|_| "the card does not work")?;

    let hardware = EthernetAddress(device.address());
    let mut config = Config::new(HardwareAddress::Ethernet(hardware));
    let mut seed = [0; 8];
    random::put(seed.len(), &mut &mut seed[..]).map_err(|_| "no random numbers")?;
    config.random_seed = u64::from_le_bytes(seed);
    let at = i64::try_from(time::now().checked_div(1000).unwrap_or_default()).unwrap_or(i64::MAX);
    let mut interface = Interface::new(config, &mut device, Instant::from_micros(at));
    // There is room for one of each.
    interface.update_ip_addrs(|addresses| _ = addresses.push(IpCidr::Ipv4(setting.address)));
    if let Some(gateway) = setting.gateway {
        _ = interface.routes_mut().add_default_ipv4_route(gateway);
    }

    sva()
        .interrupts()
        .register_line(line, &|frame| {
            // What is masked does not come again before somebody has looked.
            if let Some(line) =
                Line::all().find(|line| sva_os::interrupt::Vector::of_line(*line) == frame.vector())
            {
                sva().interrupts().mask(line);
            }
            ASKS.store(true, Ordering::Relaxed);
            machine::want();
            schedule::set_due();
        })
        .and_then(|()| sva().interrupts().unmask(line))
        .map_err(|_| "the card's line cannot be had")?;
    device.enable_interrupts();
    console::print(format_args!(
        "kernel: network card {hardware}, line {}, {}\n",
        line.number(),
        setting.address
    ));
    let facts = Facts {
        address: setting.address,
        has_gateway: setting.gateway.is_some(),
        longest: LONGEST.saturating_sub(HEADER),
    };
    Ok(Some((Card { joined: Joined { interface, device }, line, has_asked: false }, facts)))
}
