//! All of the network, under one lock.

use super::datagram::Datagram;
use super::link::{Facts, Joined, LOOPBACK, Links};
use super::loopback::{self, Loopback};
use super::memory::Memory;
use super::stream::Stream;
use crate::errno::Result;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use smoltcp::iface::{Config, Interface};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Cidr};
use spin::Mutex;

/// What the network needs from around it.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Nanoseconds since some moment.
    pub clock: fn() -> u64,
    /// Whether the heap has room for so many bytes.
    pub has_room: fn(usize) -> bool,
    /// Bytes that sockets may take together.
    pub budget: usize,
    /// A random number.
    pub seed: u64,
}

/// The network.
pub struct Network {
    stack: Mutex<Stack>,
    clock: fn() -> u64,
}

/// Links and sockets.
pub(super) struct Stack {
    pub(super) links: Links,
    /// By number.
    pub(super) streams: BTreeMap<u32, Stream>,
    /// By number.
    pub(super) datagrams: BTreeMap<u32, Datagram>,
    pub(super) memory: Memory,
    /// Microseconds.
    pub(super) now: u64,
    /// When streams are looked at that only wait for late packets.
    pub(super) next_look: u64,
    /// The last number, and the last port that was given to who asked for any.
    last: u32,
    pub(super) last_port: u16,
}

impl Network {
    /// A network that has the loopback.
    ///
    /// # Errors
    ///
    /// ENOMEM, ENOBUFS.
    pub fn new(world: World) -> Result<Arc<Self>> {
        let memory = Memory::new(world.budget, world.has_room);
        let mut device = Loopback::new()?;
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = world.seed;
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        let address = Ipv4Cidr::new(core::net::Ipv4Addr::LOCALHOST, 8);
        // There is room for one.
        interface.update_ip_addrs(|addresses| _ = addresses.push(IpCidr::Ipv4(address)));
        // All of 127.0.0.0/8, and whatever address a card has.
        interface.set_any_ip(true);
        let mut links = Links::new();
        let facts = Facts { address, has_gateway: false, longest: loopback::LONGEST };
        links.push(Box::new(Joined { interface, device }), facts);
        let last_port = super::port::first(world.seed);
        let stack = Stack {
            links,
            streams: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            memory,
            now: 0,
            next_look: 0,
            last: 0,
            last_port,
        };
        Ok(Arc::new(Self { stack: Mutex::new(stack), clock: world.clock }))
    }

    /// Adds a link.
    #[cfg(any(test, target_os = "none"))]
    pub(super) fn add(&self, carrier: Box<dyn super::link::Carrier>, facts: Facts) {
        self.stack.lock().links.push(carrier, facts);
    }

    /// What there is, as it is now.
    pub(super) fn with<T>(&self, run: impl FnOnce(&mut Stack) -> T) -> T {
        let mut stack = self.stack.lock();
        stack.now = (self.clock)().checked_div(1000).unwrap_or_default();
        run(&mut stack)
    }

    /// Moves packets, and lets happen what is due.
    pub fn poll(&self) {
        self.with(Stack::run);
    }

    /// Whether there is no socket, so that nothing will ever be due.
    pub fn is_quiet(&self) -> bool {
        let stack = self.stack.lock();
        stack.streams.is_empty() && stack.datagrams.is_empty()
    }
}

/// How often each link is asked for more, at most: what is left then waits for the next time.
const ROUNDS: u32 = 256;
/// How many packets of a link are taken before others get their turn.
const MOST_AT_ONCE: u32 = 64;

impl Stack {
    pub(super) fn instant(&self) -> Instant {
        Instant::from_micros(i64::try_from(self.now).unwrap_or(i64::MAX))
    }

    /// A number that no socket had.
    pub(super) fn new_number(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.last
    }

    /// Moves packets until none is left, and wakes those for whom something has happened.
    pub(super) fn run(&mut self) {
        self.links.begin();
        self.exchange();
        // What is reset because of what came is to be told too.
        if self.advance() {
            self.exchange();
            self.advance();
        }
        self.links.end();
        self.wake();
    }

    fn exchange(&mut self) {
        let at = self.instant();
        for _ in 0..ROUNDS {
            let mut moved = false;
            for link in LOOPBACK..self.links.count() {
                moved |= self.links.send(link, at);
                for _ in 0..MOST_AT_ONCE {
                    if !self.links.receive(link, at) {
                        break;
                    }
                    moved = true;
                    self.refill();
                }
            }
            if !moved {
                break;
            }
        }
    }

    fn wake(&self) {
        for (number, stream) in &self.streams {
            if !stream.queues.is_empty() {
                stream.queues.wake(self.stream_events(*number));
            }
        }
        for (number, datagram) in &self.datagrams {
            if !datagram.queues.is_empty() {
                datagram.queues.wake(self.datagram_events(*number));
            }
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}
