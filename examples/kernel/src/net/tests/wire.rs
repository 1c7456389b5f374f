//! Two networks and a wire between them that loses packets.

use super::*;
use crate::net::link::{Facts, Joined};
use alloc::boxed::Box;
use smoltcp::iface::{Config, Interface};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Cidr};
use std::collections::VecDeque;
use std::sync::Mutex;

type Packets = Arc<Mutex<VecDeque<Vec<u8>>>>;

/// One end of the wire: every `loss`th packet that goes in does not come out.
struct End {
    there: Packets,
    here: Packets,
    loss: u32,
    sent: u32,
}

struct Receive(Vec<u8>);
struct Transmit<'e>(&'e mut End);

impl RxToken for Receive {
    fn consume<T, F: FnOnce(&[u8]) -> T>(self, run: F) -> T {
        run(&self.0)
    }
}

impl TxToken for Transmit<'_> {
    fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, length: usize, run: F) -> T {
        let mut packet = vec![0; length];
        let answer = run(&mut packet);
        self.0.sent += 1;
        if !self.0.sent.is_multiple_of(self.0.loss) {
            self.0.there.lock().unwrap().push_back(packet);
        }
        answer
    }
}

impl Device for End {
    type RxToken<'t> = Receive;
    type TxToken<'t> = Transmit<'t>;

    fn receive(&mut self, _now: Instant) -> Option<(Receive, Transmit<'_>)> {
        let packet = self.here.lock().unwrap().pop_front()?;
        Some((Receive(packet), Transmit(self)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmit<'_>> {
        Some(Transmit(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];

/// Two networks that the wire joins.
fn joined(loss: u32) -> [Arc<Network>; 2] {
    let wires = [Packets::default(), Packets::default()];
    [0, 1].map(|end| {
        let network = network_with(BUDGET, end as u64);
        let (here, there) = (wires[end].clone(), wires[1 - end].clone());
        let mut device = End { there, here, loss, sent: 0 };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = end as u64;
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        let address = Ipv4Cidr::new(ADDRESSES[end], 24);
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::Ipv4(address)).unwrap());
        let facts = Facts { address, has_gateway: false, longest: 1500 };
        network.add(Box::new(Joined { interface, device }), facts);
        network
    })
}

fn tick(networks: &[Arc<Network>; 2]) {
    pass(&[&networks[0], &networks[1]], 1);
}

/// Waits until a call answers something else than EAGAIN.
fn until<T>(networks: &[Arc<Network>; 2], mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::EAGAIN) => tick(networks),
            answer => return answer,
        }
    }
}

#[test]
fn a_stream_is_whole_though_packets_are_lost() {
    let networks = joined(7);
    let listener = tcp(&networks[1]);
    listener.bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 80)).unwrap();
    listener.listen(1).unwrap();
    let client = tcp(&networks[0]);
    let peer = SocketAddrV4::new(ADDRESSES[1], 80);
    assert_eq!(client.connect(Some(peer)), Err(Errno::EINPROGRESS));
    assert_eq!(client.connect(Some(peer)), Err(Errno::EALREADY));
    assert_eq!((client.poll(), send(&client, b"early")), (Events::empty(), Err(Errno::EAGAIN)));
    until(&networks, || client.outcome()).unwrap();
    assert_eq!(client.connect(Some(peer)), Err(Errno::EISCONN));
    let (server, from) = until(&networks, || listener.accept()).unwrap();
    assert_eq!(from, SocketAddrV4::new(ADDRESSES[0], client.name().port()));

    let text: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).take(300_000).collect();
    let (mut sent, mut received) = (0, Vec::new());
    while received.len() < text.len() {
        if sent < text.len() {
            sent += send(&client, &text[sent..]).unwrap_or(0);
        }
        tick(&networks);
        received.extend(receive(&server, 5000).unwrap_or_default());
    }
    assert!(received == text);
    drop(client);
    assert_eq!(until(&networks, || receive(&server, 9)).unwrap(), b"");
    drop((server, listener));
    pass(&[&networks[0], &networks[1]], 70 * SECOND);
    for network in networks {
        assert!(network.is_quiet() && network.with(|stack| stack.memory.is_whole()));
    }
}

#[test]
fn a_peer_that_does_not_answer_is_given_up() {
    // Nothing comes through.
    let networks = joined(1);
    let client = tcp(&networks[0]);
    assert_eq!(client.connect(Some(SocketAddrV4::new(ADDRESSES[1], 80))), Err(Errno::EINPROGRESS));
    pass(&[&networks[0]], 120 * SECOND);
    assert_eq!(client.outcome(), Err(Errno::EAGAIN));
    pass(&[&networks[0]], 10 * SECOND);
    assert_eq!(client.outcome(), Err(Errno::ETIMEDOUT));
    let nowhere = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 1), 80);
    assert_eq!(client.connect(Some(nowhere)), Err(Errno::ENETUNREACH));
}

#[test]
fn ones_own_address_is_reached_without_the_wire() {
    let [network, _] = joined(1);
    let listener = tcp(&network);
    listener.bind(SocketAddrV4::new(ADDRESSES[0], 80)).unwrap();
    listener.listen(1).unwrap();
    let client = tcp(&network);
    client.connect(Some(SocketAddrV4::new(ADDRESSES[0], 80))).unwrap();
    assert_eq!(client.name().ip(), &ADDRESSES[0]);
    assert_eq!(tcp(&network).connect(Some(at(80))), Err(Errno::ECONNREFUSED), "it listens there alone");
    let bound = tcp(&network);
    bound.bind(at(0)).unwrap();
    let outside = SocketAddrV4::new(ADDRESSES[1], 80);
    assert_eq!(bound.connect(Some(outside)), Err(Errno::EINVAL));
}
