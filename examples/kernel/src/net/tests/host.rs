//! The same calls on sockets here and on the host's Linux, with the same answers.

use super::*;
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags};
use rustix::io;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

/// Sockets by their places, ports by theirs.
#[derive(Clone, Copy, Debug)]
enum Call {
    Open,
    Reuse(usize),
    Bind(usize, u16),
    Listen(usize),
    Connect(usize, u16),
    Accept(usize),
    Send(usize, usize),
    Receive(usize, usize),
    Shutdown(usize, u32),
    Close(usize),
    Poll(usize),
    Error(usize),
    Peer(usize),
    Name(usize),
}

fn call() -> impl Strategy<Value = Call> {
    let (socket, port) = (0..6_usize, 1..4_u16);
    prop_oneof![
        6 => Just(Call::Open),
        2 => socket.clone().prop_map(Call::Reuse),
        6 => (socket.clone(), port.clone()).prop_map(|(socket, port)| Call::Bind(socket, port)),
        6 => socket.clone().prop_map(Call::Listen),
        10 => (socket.clone(), port).prop_map(|(socket, port)| Call::Connect(socket, port)),
        8 => socket.clone().prop_map(Call::Accept),
        8 => (socket.clone(), 0..500_usize).prop_map(|(socket, count)| Call::Send(socket, count)),
        8 => (socket.clone(), 0..700_usize).prop_map(|(socket, count)| Call::Receive(socket, count)),
        // Of those that read no more, Linux resets some when something comes.
        3 => (socket.clone(), 1..2_u32).prop_map(|(socket, how)| Call::Shutdown(socket, how)),
        2 => socket.clone().prop_map(Call::Close),
        10 => socket.clone().prop_map(Call::Poll),
        2 => socket.clone().prop_map(Call::Error),
        2 => socket.clone().prop_map(Call::Peer),
        2 => socket.prop_map(Call::Name),
    ]
}

/// A listener, a connection, and perhaps its other end: what random calls alone seldom come to.
const BEGINNING: [Call; 7] = [
    Call::Open,
    Call::Open,
    Call::Open,
    Call::Bind(0, 1),
    Call::Listen(0),
    Call::Connect(1, 1),
    Call::Accept(0),
];

/// An address that no other test has: then all its ports are free.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = (std::process::id() << 12).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    Ipv4Addr::from_bits(0x7f80_0000 | number & 0x3f_ffff)
}

fn port(place: u16) -> u16 {
    20_000 + place
}

/// Which of the known ports it is; 0 for another, which was chosen, or was once: Linux tells those too.
fn known(address: SocketAddrV4) -> u32 {
    if (port(1)..port(4)).contains(&address.port()) { address.port().into() } else { 0 }
}

/// What a call answers: a number, or an error's.
type Answer<T = u32> = core::result::Result<T, u16>;

/// A socket of some system.
trait Like: Sized {
    fn reuse(&self) -> Answer<()>;
    fn bind(&self, address: SocketAddrV4) -> Answer<()>;
    fn listen(&self) -> Answer<()>;
    fn connect(&self, peer: SocketAddrV4) -> Answer<()>;
    fn accept(&self) -> Answer<Self>;
    fn send(&self, bytes: &[u8]) -> Answer<usize>;
    fn receive(&self, count: usize) -> Answer<usize>;
    fn shutdown(&self, how: u32) -> Answer<()>;
    fn poll(&self) -> u32;
    fn error(&self) -> u32;
    fn peer(&self) -> Answer<SocketAddrV4>;
    fn name(&self) -> SocketAddrV4;
}

/// How many connections may wait, which no test exceeds.
const BACKLOG: u32 = 20;

fn ours(error: Errno) -> u16 {
    error.number()
}

impl Like for Socket {
    fn reuse(&self) -> Answer<()> {
        self.set_option(Name::Flag(Flag::ReusesAddress), Value::Word(1)).map_err(ours)
    }

    fn bind(&self, address: SocketAddrV4) -> Answer<()> {
        Self::bind(self, address).map_err(ours)
    }

    fn listen(&self) -> Answer<()> {
        Self::listen(self, BACKLOG).map_err(ours)
    }

    fn connect(&self, peer: SocketAddrV4) -> Answer<()> {
        Self::connect(self, Some(peer)).map_err(ours)
    }

    fn accept(&self) -> Answer<Self> {
        Self::accept(self).map(|(socket, _)| socket).map_err(ours)
    }

    fn send(&self, bytes: &[u8]) -> Answer<usize> {
        send(self, bytes).map_err(ours)
    }

    fn receive(&self, count: usize) -> Answer<usize> {
        receive(self, count).map(|bytes| bytes.len()).map_err(ours)
    }

    fn shutdown(&self, how: u32) -> Answer<()> {
        let how = [Shutdown::Reads, Shutdown::Writes, Shutdown::Both][how as usize];
        Self::shutdown(self, how).map_err(ours)
    }

    fn poll(&self) -> u32 {
        Self::poll(self).bits().into()
    }

    fn error(&self) -> u32 {
        match self.option(Name::Error) {
            Value::Word(error) => error,
            Value::Linger(_) => unreachable!(),
        }
    }

    fn peer(&self) -> Answer<SocketAddrV4> {
        Self::peer(self).map_err(ours)
    }

    fn name(&self) -> SocketAddrV4 {
        Self::name(self)
    }
}

fn theirs(error: io::Errno) -> u16 {
    error.raw_os_error() as u16
}

impl Like for OwnedFd {
    fn reuse(&self) -> Answer<()> {
        sockopt::set_socket_reuseaddr(self, true).map_err(theirs)
    }

    fn bind(&self, address: SocketAddrV4) -> Answer<()> {
        net::bind(self, &address).map_err(theirs)
    }

    fn listen(&self) -> Answer<()> {
        net::listen(self, BACKLOG as i32).map_err(theirs)
    }

    fn connect(&self, peer: SocketAddrV4) -> Answer<()> {
        // The handshake may not be over when it answers, but it is when it is asked again.
        let answer = net::connect(self, &peer);
        let answer = if answer == Err(io::Errno::INPROGRESS) { net::connect(self, &peer) } else { answer };
        answer.map_err(theirs)
    }

    fn accept(&self) -> Answer<Self> {
        net::accept_with(self, SocketFlags::NONBLOCK).map_err(theirs)
    }

    fn send(&self, bytes: &[u8]) -> Answer<usize> {
        net::send(self, bytes, SendFlags::NOSIGNAL).map_err(theirs)
    }

    fn receive(&self, count: usize) -> Answer<usize> {
        net::recv(self, &mut vec![0; count][..], RecvFlags::empty()).map(|(_, count)| count).map_err(theirs)
    }

    fn shutdown(&self, how: u32) -> Answer<()> {
        let how = [net::Shutdown::Read, net::Shutdown::Write, net::Shutdown::Both][how as usize];
        net::shutdown(self, how).map_err(theirs)
    }

    fn poll(&self) -> u32 {
        let all = PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP | PollFlags::PRI;
        let mut one = [PollFd::new(self, all)];
        rustix::event::poll(&mut one, Some(&Default::default())).unwrap();
        one[0].revents().bits().into()
    }

    fn error(&self) -> u32 {
        match sockopt::socket_error(self).unwrap() {
            Ok(()) => 0,
            Err(error) => theirs(error).into(),
        }
    }

    fn peer(&self) -> Answer<SocketAddrV4> {
        let address = net::getpeername(self).map_err(theirs)?;
        Ok(address.unwrap().try_into().unwrap())
    }

    fn name(&self) -> SocketAddrV4 {
        net::getsockname(self).unwrap().try_into().unwrap()
    }
}

/// A system's sockets.
struct Table<S> {
    sockets: Vec<Option<S>>,
    address: Ipv4Addr,
    open: fn() -> S,
}

impl<S: Like> Table<S> {
    fn new(address: Ipv4Addr, open: fn() -> S) -> Self {
        Self { sockets: Vec::new(), address, open }
    }

    fn push(&mut self, socket: S) -> u32 {
        self.sockets.push(Some(socket));
        self.sockets.len() as u32
    }

    fn perform(&mut self, call: Call) -> Answer {
        let there = |place| SocketAddrV4::new(self.address, port(place));
        let get = |socket: usize| self.sockets.get(socket).and_then(Option::as_ref).ok_or(9);
        match call {
            Call::Open => {
                let socket = (self.open)();
                Ok(self.push(socket))
            }
            Call::Reuse(socket) => get(socket)?.reuse().map(|()| 0),
            // Where one can be after a connection, Linux lets depend on how it ended.
            Call::Bind(socket, _) if get(socket)?.poll() & u32::from(Events::RDHUP.bits()) != 0 => Ok(0),
            Call::Bind(socket, place) => get(socket)?.bind(there(place)).map(|()| 0),
            Call::Listen(socket) => get(socket)?.listen().map(|()| 0),
            Call::Connect(socket, place) => get(socket)?.connect(there(place)).map(|()| 0),
            Call::Accept(socket) => {
                let socket = get(socket)?.accept()?;
                Ok(self.push(socket))
            }
            Call::Send(socket, count) => get(socket)?.send(&vec![7; count]).map(|count| count as u32),
            Call::Receive(socket, count) => get(socket)?.receive(count).map(|count| count as u32),
            // Linux refuses it for who has no peer, and remembers it nevertheless.
            Call::Shutdown(socket, _) if get(socket)?.peer().is_err() => Ok(0),
            Call::Shutdown(socket, how) => get(socket)?.shutdown(how).map(|()| 0),
            Call::Close(socket) => {
                get(socket)?;
                self.sockets[socket] = None;
                Ok(0)
            }
            Call::Poll(socket) => Ok(get(socket)?.poll()),
            Call::Error(socket) => Ok(get(socket)?.error()),
            Call::Peer(socket) => get(socket)?.peer().map(known),
            Call::Name(socket) => get(socket).map(|socket| known(socket.name())),
        }
    }
}

thread_local! {
    static NETWORK: std::cell::RefCell<Option<Arc<Network>>> = const { std::cell::RefCell::new(None) };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn sockets_answer_as_the_hosts_do(
        begun in 0..=BEGINNING.len(),
        calls in prop::collection::vec(call(), 1..60),
    ) {
        NETWORK.set(Some(network_with(64 << 20, 1)));
        let address = own_address();
        let mut here = Table::new(address, || NETWORK.with_borrow(|network| tcp(network.as_ref().unwrap())));
        let mut host = Table::new(address, || {
            let kind = SocketType::STREAM;
            let socket = net::socket_with(AddressFamily::INET, kind, SocketFlags::NONBLOCK, None).unwrap();
            // It would wait for acknowledgements, which take their time.
            sockopt::set_tcp_nodelay(&socket, true).unwrap();
            socket
        });
        for (place, call) in BEGINNING.iter().take(begun).chain(&calls).enumerate() {
            prop_assert_eq!(here.perform(*call), host.perform(*call), "{} {:?}", place, call);
        }
    }
}
