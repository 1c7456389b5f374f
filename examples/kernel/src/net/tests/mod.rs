//! Sockets over a loopback, over a wire that loses packets, and beside the host's own.

#[cfg(target_os = "linux")]
mod host;
mod wire;

use super::address::NONE;
use super::network::{Network, World};
use super::option::{Flag, Name};
use super::socket::{Protocol, Shutdown, Socket, Take, Value};
use crate::errno::{Errno, Result};
use crate::fs::poll::Events;
use crate::wait::TaskId;
use crate::wait::tests::woken;
use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddrV4};
use std::cell::Cell;

thread_local! {
    /// The time of this test, in nanoseconds.
    static NOW: Cell<u64> = const { Cell::new(0) };
}

const SECOND: u64 = 1_000_000_000;
const BUDGET: usize = 4 << 20;

/// Lets time pass, as the timer's ticks see it.
fn pass(networks: &[&Network], nanoseconds: u64) {
    const TICK: u64 = SECOND / 250;
    for _ in 0..nanoseconds.div_ceil(TICK) {
        NOW.set(NOW.get() + TICK);
        networks.iter().for_each(|network| network.poll());
    }
}

fn network_with(budget: usize, seed: u64) -> Arc<Network> {
    Network::new(World { clock: || NOW.get(), has_room: |_| true, budget, seed }).unwrap()
}

fn network() -> Arc<Network> {
    network_with(BUDGET, 1)
}

fn at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

fn tcp(network: &Arc<Network>) -> Socket {
    Socket::new(network, Protocol::Tcp)
}

fn listener(network: &Arc<Network>, port: u16, backlog: u32) -> Socket {
    let socket = tcp(network);
    socket.bind(at(port)).unwrap();
    socket.listen(backlog).unwrap();
    socket
}

/// A connection: its two ends.
fn connection(network: &Arc<Network>) -> (Socket, Socket) {
    let listener = listener(network, 80, 1);
    let client = tcp(network);
    client.connect(Some(at(80))).unwrap();
    (client, listener.accept().unwrap().0)
}

fn send(socket: &Socket, mut bytes: &[u8]) -> Result<usize> {
    socket.send(bytes.len(), &mut bytes, None)
}

fn receive(socket: &Socket, count: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    socket.receive(count, &mut bytes, Take::All)?;
    Ok(bytes)
}

#[test]
fn bytes_go_both_ways_until_each_side_ends() {
    let network = network();
    let (client, server) = connection(&network);
    assert_eq!((client.peer(), server.peer()), (Ok(at(80)), Ok(client.name())));
    assert_eq!(receive(&client, 9), Err(Errno::EAGAIN));
    assert_eq!(send(&client, b"question"), Ok(8));
    assert_eq!((server.waiting(), server.poll()), (8, Events::IN | Events::OUT));
    let mut peeked = Vec::new();
    assert_eq!(server.receive(4, &mut peeked, Take::None).unwrap().put, 4);
    assert_eq!(receive(&server, 99).unwrap(), b"question");
    assert_eq!(send(&server, b"answer"), Ok(6));
    server.shutdown(Shutdown::Writes).unwrap();
    assert_eq!(send(&server, b"more"), Err(Errno::EPIPE));
    assert_eq!(receive(&client, 3).unwrap(), b"ans");
    assert_eq!(client.poll(), Events::IN | Events::OUT | Events::RDHUP);
    assert_eq!((receive(&client, 9).unwrap(), receive(&client, 9).unwrap()), (b"wer".to_vec(), vec![]));
    assert_eq!(send(&client, b"late"), Ok(4));
    drop(client);
    assert_eq!((receive(&server, 9).unwrap(), receive(&server, 9).unwrap()), (b"late".to_vec(), vec![]));
    assert!(server.poll().contains(Events::HUP));
    drop(server);
    pass(&[&network], 11 * SECOND);
    assert!(network.is_quiet() && network.with(|stack| stack.memory.is_whole()));
}

#[test]
fn what_was_received_can_be_read_long_after_the_end() {
    let network = network();
    let (client, server) = connection(&network);
    client.shutdown(Shutdown::Writes).unwrap();
    send(&server, b"kept").unwrap();
    drop(server);
    pass(&[&network], 20 * SECOND);
    assert_eq!((receive(&client, 9).unwrap(), receive(&client, 9).unwrap()), (b"kept".to_vec(), vec![]));
    assert_eq!(client.peer(), Err(Errno::ENOTCONN));
}

#[test]
fn who_closes_with_something_unread_resets() {
    let network = network();
    let (client, server) = connection(&network);
    send(&server, b"first").unwrap();
    send(&client, b"never read").unwrap();
    drop(server);
    assert_eq!(receive(&client, 9).unwrap(), b"first");
    assert!(client.poll().contains(Events::ERR | Events::HUP));
    assert_eq!(receive(&client, 9), Err(Errno::ECONNRESET));
    assert_eq!(receive(&client, 9).unwrap(), b"");
    assert_eq!(send(&client, b"x"), Err(Errno::EPIPE));
    let (client, server) = connection(&network);
    client.set_option(Name::Linger, Value::Linger(Some(0))).unwrap();
    drop(client);
    assert_eq!(server.option(Name::Error), Value::Word(104));
    assert_eq!(server.option(Name::Error), Value::Word(0));
}

#[test]
fn those_who_wait_are_woken() {
    let network = network();
    let waiting = |socket: &Socket, events, task| {
        socket.queues(events, &mut |queue| queue.add(TaskId(task)));
    };
    let listener = listener(&network, 80, 1);
    woken();
    waiting(&listener, Events::IN, 1);
    let client = tcp(&network);
    client.connect(Some(at(80))).unwrap();
    assert_eq!(woken(), [TaskId(1)]);
    let server = listener.accept().unwrap().0;
    waiting(&server, Events::IN, 2);
    waiting(&client, Events::IN, 3);
    send(&client, b"x").unwrap();
    assert_eq!(woken(), [TaskId(2)]);
    while send(&client, &[0; 10_000]).is_ok() {}
    waiting(&client, Events::OUT, 4);
    receive(&server, 100).unwrap();
    assert_eq!(woken(), [], "a little room is not worth waking anybody");
    while receive(&server, 10_000).is_ok() {}
    assert_eq!(woken(), [TaskId(4)]);
    drop(server);
    assert_eq!(woken(), [TaskId(3)]);
}

#[test]
fn no_more_than_the_backlog_wait() {
    let network = network();
    let listener = listener(&network, 80, 2);
    let clients: Vec<_> = (0..4).map(|_| tcp(&network)).collect();
    let answers: Vec<_> = clients.iter().map(|client| client.connect(Some(at(80)))).collect();
    assert_eq!(answers, [Ok(()), Ok(()), Ok(()), Err(Errno::EINPROGRESS)]);
    pass(&[&network], 10 * SECOND);
    assert_eq!(clients[3].outcome(), Err(Errno::EAGAIN));
    assert_eq!(listener.accept().unwrap().1, clients[0].name(), "first come, first served");
    pass(&[&network], 10 * SECOND);
    assert_eq!(clients[3].outcome(), Ok(()), "it has asked again");
    drop(listener);
    assert_eq!(receive(&clients[1], 1), Err(Errno::ECONNRESET));
    assert_eq!(tcp(&network).connect(Some(at(80))), Err(Errno::ECONNREFUSED));
}

#[test]
fn a_port_is_one_listeners() {
    let network = network();
    let first = listener(&network, 80, 1);
    let second = tcp(&network);
    assert_eq!(second.bind(at(80)), Err(Errno::EADDRINUSE));
    second.set_option(Name::Flag(Flag::ReusesAddress), Value::Word(1)).unwrap();
    assert_eq!(second.bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 80)), Err(Errno::EADDRINUSE));
    assert_eq!(second.bind(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 80)), Err(Errno::EADDRNOTAVAIL));
    drop(first);
    assert_eq!(second.bind(at(80)), Ok(()));
    assert_eq!(second.bind(at(81)), Err(Errno::EINVAL));
    let (one, other) = (tcp(&network), tcp(&network));
    one.bind(at(0)).unwrap();
    other.bind(at(0)).unwrap();
    assert_ne!(one.name().port(), other.name().port());
    assert_eq!(tcp(&network).name(), NONE);
}

#[test]
fn a_server_comes_back_to_its_port_only_if_it_says_so() {
    let network = network();
    let serve = |reuses: bool| {
        let socket = tcp(&network);
        socket.set_option(Name::Flag(Flag::ReusesAddress), Value::Word(reuses.into())).unwrap();
        socket.bind(at(80)).map(|()| socket)
    };
    let listener = serve(true).unwrap();
    listener.listen(1).unwrap();
    let client = tcp(&network);
    client.connect(Some(at(80))).unwrap();
    let server = listener.accept().unwrap().0;
    // The server's side waits for late packets.
    drop(server);
    drop((client, listener));
    assert_eq!(serve(false).err(), Some(Errno::EADDRINUSE));
    assert!(serve(true).is_ok());
    pass(&[&network], 11 * SECOND);
    assert!(serve(false).is_ok());
}

#[test]
fn what_lingers_makes_room() {
    // For five sockets.
    let network = network_with(5 * 67_000, 1);
    let listener = listener(&network, 80, 9);
    for _ in 0..100 {
        let client = tcp(&network);
        client.connect(Some(at(80))).unwrap();
        let server = listener.accept().unwrap().0;
        drop(client);
        drop(server);
    }
    let clients: Vec<_> = (0..9).map(|_| tcp(&network)).collect();
    let answers: Vec<_> = clients.iter().map(|client| client.connect(Some(at(80)))).collect();
    assert_eq!(answers[..2], [Ok(()), Ok(())]);
    assert_eq!(answers[8], Err(Errno::ENOBUFS));
    drop((clients, listener));
    pass(&[&network], 70 * SECOND);
    assert!(network.is_quiet() && network.with(|stack| stack.memory.is_whole()));
}

#[test]
fn few_linger() {
    let network = network_with(64 << 20, 1);
    let listener = listener(&network, 80, 9);
    for _ in 0..100 {
        let client = tcp(&network);
        client.connect(Some(at(80))).unwrap();
        drop(listener.accept().unwrap());
    }
    assert_eq!(network.with(|stack| stack.streams.len()), 17);
}

#[test]
fn datagrams_come_whole_or_not_at_all() {
    let network = network();
    let (one, other) = (Socket::new(&network, Protocol::Udp), Socket::new(&network, Protocol::Udp));
    let to = |socket: &Socket, bytes: &[u8], port| socket.send(bytes.len(), &mut &*bytes, Some(at(port)));
    assert_eq!(send(&one, b"x"), Err(Errno::EDESTADDRREQ));
    other.bind(at(53)).unwrap();
    assert_eq!(to(&one, b"first", 53), Ok(5));
    assert_eq!(to(&one, b"", 53), Ok(0));
    assert_eq!(to(&one, &[0; 20_000], 53), Err(Errno::EMSGSIZE));
    assert_eq!(other.waiting(), 5);
    let mut bytes = Vec::new();
    let taken = other.receive(2, &mut bytes, Take::All).unwrap();
    assert_eq!((taken.put, taken.length, taken.from.port()), (2, 5, one.name().port()));
    assert_eq!((receive(&other, 9), receive(&other, 9)), (Ok(vec![]), Err(Errno::EAGAIN)));
    // Who is connected hears only one.
    other.connect(Some(at(9))).unwrap();
    to(&one, b"unheard", 53).unwrap();
    assert_eq!(receive(&other, 9), Err(Errno::EAGAIN));
    other.connect(None).unwrap();
    to(&one, b"heard", 53).unwrap();
    assert_eq!(receive(&other, 9).unwrap(), b"heard");
    assert_eq!(one.listen(1), Err(Errno::EOPNOTSUPP));
    drop((one, other));
    assert!(network.is_quiet() && network.with(|stack| stack.memory.is_whole()));
}
