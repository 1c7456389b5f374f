//! Calls on sockets: by numbers of their own, and all behind one.

use super::file::{broken, vector};
use super::number::*;
use crate::errno::{Errno, Result};
use crate::fs::file::File;
use crate::fs::flags::OpenFlags;
use crate::fs::poll::Events;
use crate::memory::{pool, user};
use crate::net::address::{self, LONGEST};
use crate::net::machine;
use crate::net::option::{self, Name};
use crate::net::socket::{self, Protocol, Shutdown, Socket, Take, Taken, Value};
use crate::process::Current;
use crate::process::current::UserSink;
use alloc::vec::Vec;
use core::net::SocketAddrV4;

/// The calls behind `socketcall`, from 1 on: the number of their own, and how many arguments they have. Those that
/// they have not are zero.
const CALLS: [(u32, usize); 18] = [
    (SOCKET, 3),
    (BIND, 3),
    (CONNECT, 3),
    (LISTEN, 2),
    (ACCEPT4, 3),
    (GETSOCKNAME, 3),
    (GETPEERNAME, 3),
    (SOCKETPAIR, 4),
    (SENDTO, 4),
    (RECVFROM, 4),
    (SENDTO, 6),
    (RECVFROM, 6),
    (SHUTDOWN, 2),
    (SETSOCKOPT, 5),
    (GETSOCKOPT, 5),
    (SENDMSG, 3),
    (RECVMSG, 3),
    (ACCEPT4, 4),
];

/// `socketcall`.
pub(super) fn behind_one(current: &mut Current, which: u32, at: u32) -> Result<u32> {
    let call = usize::try_from(which).ok().and_then(|which| CALLS.get(which.checked_sub(1)?));
    let (number, count) = call.ok_or(Errno::EINVAL)?;
    let mut words = [[0; 4]; 6];
    let bytes = words.get_mut(..*count).unwrap_or_default().as_flattened_mut();
    user::read(&current.space, at, bytes)?;
    call_by_number(current, *number, words.map(u32::from_le_bytes))
}

/// A call by its own number.
#[inline(never)]
pub(super) fn call_by_number(current: &mut Current, number: u32, arguments: [u32; 6]) -> Result<u32> {
    let [a, b, c, d, e, f] = arguments;
    match number {
        SOCKET => create(current, a, b, c),
        // There are no sockets of that kind.
        SOCKETPAIR => family(a).and(Err(Errno::EOPNOTSUPP)),
        BIND => bind(current, a, b, c),
        CONNECT => connect(current, a, b, c),
        LISTEN => listen(current, a, b),
        ACCEPT4 => accept(current, a, b, c, d),
        GETSOCKOPT => get_option(current, a, [b, c], d, e),
        SETSOCKOPT => set_option(current, a, [b, c], d, e),
        GETSOCKNAME => name(current, a, b, c, |socket| Ok(socket.name())),
        GETPEERNAME => name(current, a, b, c, Socket::peer),
        SENDTO => send(current, a, b, c, d, (e, f)),
        RECVFROM => receive(current, a, b, c, d, (e, f)),
        SENDMSG => send_message(current, a, b, c),
        RECVMSG => receive_message(current, a, b, c),
        SHUTDOWN => shut_down(current, a, b),
        _ => Err(Errno::ENOSYS),
    }
}

/// EAFNOSUPPORT for all but one.
fn family(family: u32) -> Result<()> {
    if family == u32::from(address::INTERNET) { Ok(()) } else { Err(Errno::EAFNOSUPPORT) }
}

/// `SOCK_NONBLOCK`, `SOCK_CLOEXEC`.
const FLAGS: OpenFlags = OpenFlags::NONBLOCK.union(OpenFlags::CLOEXEC);

fn create(current: &mut Current, domain: u32, kind: u32, protocol: u32) -> Result<u32> {
    /// What of `kind` is no flag, and how many kinds and protocols there can be.
    const KIND: u32 = 0xf;
    const KINDS: u32 = 11;
    const PROTOCOLS: u32 = 263;
    let flags = OpenFlags::from_bits_retain(kind & !KIND);
    if !FLAGS.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let families = 46;
    if domain >= families {
        return Err(Errno::EAFNOSUPPORT);
    }
    if kind & KIND >= KINDS {
        return Err(Errno::EINVAL);
    }
    family(domain)?;
    let protocol = match (kind & KIND, protocol) {
        (_, PROTOCOLS..) => return Err(Errno::EINVAL),
        (socket::STREAM, 0 | socket::TCP) => Protocol::Tcp,
        (socket::DATAGRAM, 0 | socket::UDP) => Protocol::Udp,
        (socket::STREAM | socket::DATAGRAM, _) => return Err(Errno::EPROTONOSUPPORT),
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    };
    insert(current, machine::socket(protocol)?, flags)
}

fn insert(current: &Current, socket: Socket, flags: OpenFlags) -> Result<u32> {
    let file = File::socket(socket, flags)?;
    current.files.lock().insert(file, flags.contains(OpenFlags::CLOEXEC))
}

/// What a program has for an address: its bytes, and how many there are.
fn address_bytes(current: &Current, at: u32, length: u32) -> Result<([u8; LONGEST], usize)> {
    let mut bytes = [0; LONGEST];
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    user::read(&current.space, at, bytes.get_mut(..length).ok_or(Errno::EINVAL)?)?;
    Ok((bytes, length))
}

fn address_at(current: &Current, at: u32, length: u32) -> Result<SocketAddrV4> {
    let (bytes, length) = address_bytes(current, at, length)?;
    address::from_bytes(bytes.get(..length).unwrap_or_default())
}

/// Writes an address to where a program wants it, which says how much room it has there, and is told how long it is.
fn put_address(current: &Current, to: u32, length_at: u32, address: Option<SocketAddrV4>) -> Result<()> {
    let room = user::word(&current.space, length_at)?;
    if room.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let bytes = address.map(address::to_bytes);
    let bytes = bytes.as_ref().map_or(&[][..], |bytes| bytes);
    super::file::put_some(current, to, room, bytes)?;
    user::put_words(&current.space, length_at, [bytes.len() as u32])
}

fn bind(current: &mut Current, descriptor: u32, at: u32, length: u32) -> Result<u32> {
    const FIRST_FOR_ALL: u16 = 1024;
    let file = current.file(descriptor)?;
    let socket = file.as_socket()?;
    let address = address_at(current, at, length)?;
    if (1..FIRST_FOR_ALL).contains(&address.port()) && current.subject.lock().uid != 0 {
        return Err(Errno::EACCES);
    }
    socket.bind(address)?;
    Ok(0)
}

fn listen(current: &mut Current, descriptor: u32, backlog: u32) -> Result<u32> {
    current.file(descriptor)?.as_socket()?.listen(backlog)?;
    Ok(0)
}

fn connect(current: &mut Current, descriptor: u32, at: u32, length: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    let socket = file.as_socket()?;
    let (bytes, length) = address_bytes(current, at, length)?;
    let bytes = bytes.get(..length).unwrap_or_default();
    let peer = match address::family(bytes)? {
        address::UNSPECIFIED => None,
        _ => Some(address::from_bytes(bytes)?),
    };
    let mut result = socket.connect(peer);
    if matches!(result, Err(Errno::EINPROGRESS | Errno::EALREADY)) && !file.is_nonblocking() {
        loop {
            current.wait_for(&file, Events::OUT.bits())?;
            result = socket.outcome();
            if result != Err(Errno::EAGAIN) {
                break;
            }
        }
    }
    result?;
    Ok(0)
}

fn accept(current: &mut Current, descriptor: u32, to: u32, length_at: u32, flags: u32) -> Result<u32> {
    let flags = OpenFlags::from_bits_retain(flags);
    if !FLAGS.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let file = current.file(descriptor)?;
    let socket = file.as_socket()?;
    if !pool::has_room(0) {
        return Err(Errno::ENOBUFS);
    }
    let (accepted, peer) = wait(current, &file, Events::IN, Patience::new(&file, 0), || socket.accept())?;
    if to != 0 {
        put_address(current, to, length_at, Some(peer))?;
    }
    insert(current, accepted, flags)
}

/// Whether who would have to wait does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Waits,
    None,
}

impl Patience {
    /// As the file says, and the flags of the call.
    fn new(file: &File, flags: u32) -> Self {
        if file.is_nonblocking() || flags & message::NO_WAIT != 0 { Self::None } else { Self::Waits }
    }
}

/// Tries until there is something else than EAGAIN.
fn wait<T>(
    current: &Current,
    file: &File,
    events: Events,
    patience: Patience,
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    loop {
        match attempt() {
            Err(Errno::EAGAIN) if patience == Patience::Waits => current.wait_for(file, events.bits())?,
            result => return result,
        }
    }
}

fn name(
    current: &mut Current,
    descriptor: u32,
    to: u32,
    length_at: u32,
    name: impl FnOnce(&Socket) -> Result<SocketAddrV4>,
) -> Result<u32> {
    let file = current.file(descriptor)?;
    let address = name(file.as_socket()?)?;
    put_address(current, to, length_at, Some(address))?;
    Ok(0)
}

fn shut_down(current: &mut Current, descriptor: u32, how: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    let socket = file.as_socket()?;
    socket.shutdown(match how {
        0 => Shutdown::Reads,
        1 => Shutdown::Writes,
        2 => Shutdown::Both,
        _ => return Err(Errno::EINVAL),
    })?;
    Ok(0)
}

/// `MSG_*`.
mod message {
    pub(super) const URGENT: u32 = 1;
    pub(super) const PEEK: u32 = 2;
    pub(super) const TRUNCATED: u32 = 0x20;
    pub(super) const NO_WAIT: u32 = 0x40;
    pub(super) const ALL: u32 = 0x100;
    pub(super) const NO_SIGNAL: u32 = 0x4000;
}

fn send(
    current: &mut Current,
    descriptor: u32,
    from: u32,
    count: u32,
    flags: u32,
    (to, length): (u32, u32),
) -> Result<u32> {
    let file = current.file(descriptor)?;
    let socket = file.as_socket()?;
    let to = if to == 0 { None } else { Some(address_at(current, to, length)?) };
    send_part(current, &file, socket, (from, count), flags, to)
}

/// Sends what lies at a place in the program's memory.
fn send_part(
    current: &Current,
    file: &File,
    socket: &Socket,
    (from, count): (u32, u32),
    flags: u32,
    to: Option<SocketAddrV4>,
) -> Result<u32> {
    if flags & message::URGENT != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let sent = match Patience::new(file, flags) {
        Patience::None => current.try_write(from, count, |count, source| socket.send(count, source, to)),
        Patience::Waits => {
            current.write_file(file, from, count, |_, count, source| socket.send(count, source, to))
        }
    };
    if flags & message::NO_SIGNAL != 0 { sent } else { broken(current, sent) }
}

fn take(flags: u32) -> Result<Take> {
    if flags & message::URGENT != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(if flags & message::PEEK != 0 { Take::None } else { Take::All })
}

fn receive(
    current: &mut Current,
    descriptor: u32,
    to: u32,
    count: u32,
    flags: u32,
    (from, length_at): (u32, u32),
) -> Result<u32> {
    let file = current.file(descriptor)?;
    let socket = file.as_socket()?;
    let (received, taken) = receive_part(current, &file, socket, (to, count), flags)?;
    if from != 0 {
        put_address(current, from, length_at, source_of(socket, taken))?;
    }
    Ok(received)
}

/// Whom what was taken is from; of a stream that is known already, and not told.
fn source_of(socket: &Socket, taken: Option<Taken>) -> Option<SocketAddrV4> {
    taken.filter(|_| socket.protocol() == Protocol::Udp).map(|taken| taken.from)
}

/// Receives to a place in the program's memory.
fn receive_part(
    current: &Current,
    file: &File,
    socket: &Socket,
    (to, count): (u32, u32),
    flags: u32,
) -> Result<(u32, Option<Taken>)> {
    let take = take(flags)?;
    let waits_for_all = flags & message::ALL != 0 && take == Take::All && socket.protocol() == Protocol::Tcp;
    let mut last = None;
    let mut received = 0;
    loop {
        let (to, left) = (to.wrapping_add(received), count.saturating_sub(received));
        let mut once = |count: usize, sink: &mut UserSink| {
            let taken = socket.receive(count, sink, take)?;
            last = Some(taken);
            Ok(taken.put)
        };
        let more = match Patience::new(file, flags) {
            Patience::None => current.try_read(to, left, once),
            Patience::Waits => current.read_file(file, to, left, |_, count, sink| once(count, sink)),
        };
        match more {
            Ok(more) => received = received.saturating_add(more),
            Err(_) if received > 0 => break,
            Err(error) => return Err(error),
        }
        if !waits_for_all || received >= count || more == Ok(0) {
            break;
        }
    }
    Ok((received, last))
}

/// `struct msghdr`.
struct Message {
    name: u32,
    name_length: u32,
    parts: u32,
    count: u32,
}

impl Message {
    fn at(current: &Current, at: u32) -> Result<Self> {
        let [name, name_length, parts, count] = user::words(&current.space, at)?;
        Ok(Self { name, name_length, parts, count })
    }
}

/// The most bytes of a datagram that is put together.
const LONGEST_DATAGRAM: usize = 64 << 10;

/// The places of the parts of a datagram, and how long they are together.
fn parts(current: &mut Current, message: &Message) -> Result<(Vec<(u32, usize)>, usize)> {
    let (mut parts, mut total) = (Vec::new(), 0_usize);
    if !pool::has_room(2 * LONGEST_DATAGRAM) {
        return Err(Errno::ENOBUFS);
    }
    vector(current, message.parts, message.count, |_, start, length| {
        let length = length as usize;
        total = total.saturating_add(length);
        parts.push((start, length));
        Ok(length as u32)
    })?;
    Ok((parts, total))
}

fn send_message(current: &mut Current, descriptor: u32, at: u32, flags: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    let socket = file.as_socket()?;
    let message = Message::at(current, at)?;
    let to = match message.name {
        0 => None,
        at => Some(address_at(current, at, message.name_length)?),
    };
    if socket.protocol() == Protocol::Tcp {
        return vector(current, message.parts, message.count, |current, from, count| {
            send_part(current, &file, socket, (from, count), flags, to)
        });
    }
    let (parts, total) = parts(current, &message)?;
    if total > LONGEST_DATAGRAM {
        return Err(Errno::EMSGSIZE);
    }
    let mut bytes = alloc::vec![0; total];
    let mut rest = &mut bytes[..];
    for (from, length) in parts {
        let (part, behind) = rest.split_at_mut_checked(length).ok_or(Errno::EMSGSIZE)?;
        user::read(&current.space, from, part)?;
        rest = behind;
    }
    let patience = Patience::new(&file, flags);
    let sent = wait(current, &file, Events::OUT, patience, || socket.send(total, &mut &bytes[..], to))?;
    Ok(sent as u32)
}

fn receive_message(current: &mut Current, descriptor: u32, at: u32, flags: u32) -> Result<u32> {
    /// Where in the structure the name's length, and the length of what else there is, and the flags lie.
    const NAME_LENGTH: u32 = 4;
    const CONTROL_LENGTH: u32 = 20;
    let file = current.file(descriptor)?;
    let socket = file.as_socket()?;
    let message = Message::at(current, at)?;
    let (mut received, mut told, mut taken) = (0, 0, None);
    if socket.protocol() == Protocol::Tcp {
        let mut flags = flags;
        received = vector(current, message.parts, message.count, |current, to, count| {
            if count == 0 {
                return Ok(0);
            }
            let (received, last) = receive_part(current, &file, socket, (to, count), flags)?;
            // What is there already is not held back for more to come.
            flags |= if flags & message::ALL != 0 { 0 } else { message::NO_WAIT };
            taken = last;
            Ok(received)
        })?;
    } else {
        let (parts, total) = parts(current, &message)?;
        let (take, patience) = (take(flags)?, Patience::new(&file, flags));
        let mut bytes = Vec::new();
        let datagram = wait(current, &file, Events::IN, patience, || {
            socket.receive(total.min(LONGEST_DATAGRAM), &mut bytes, take)
        })?;
        let mut rest = &bytes[..];
        for (to, length) in parts {
            let (part, behind) = rest.split_at(length.min(rest.len()));
            user::write(&current.space, to, part)?;
            received += part.len() as u32;
            rest = behind;
        }
        told = if datagram.length > datagram.put { message::TRUNCATED } else { 0 };
        taken = Some(datagram);
    }
    if message.name != 0 {
        put_address(current, message.name, at.wrapping_add(NAME_LENGTH), source_of(socket, taken))?;
    }
    user::put_words(&current.space, at.wrapping_add(CONTROL_LENGTH), [0, told])?;
    Ok(received)
}

/// What an option of a socket is called.
fn option_of(socket: &Socket, [level, number]: [u32; 2]) -> Result<Name> {
    if level == socket::TCP && socket.protocol() != Protocol::Tcp {
        return Err(Errno::ENOPROTOOPT);
    }
    Name::new(level, number)
}

fn set_option(current: &mut Current, descriptor: u32, name: [u32; 2], at: u32, length: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    let socket = file.as_socket()?;
    let mut bytes = [0; 8];
    let length = usize::try_from(length).ok().filter(|_| length.cast_signed() >= 0).ok_or(Errno::EINVAL)?;
    let name = option_of(socket, name)?;
    let size = if name == Name::Linger { 8 } else { 4 };
    let some = bytes.get_mut(..size).filter(|_| length >= size).ok_or(Errno::EINVAL)?;
    user::read(&current.space, at, some)?;
    let word = option::word(&bytes)?;
    let value = match name {
        Name::Linger if word == 0 => Value::Linger(None),
        Name::Linger => Value::Linger(Some(option::word(&bytes[4..])?)),
        _ => Value::Word(word),
    };
    socket.set_option(name, value)?;
    Ok(0)
}

fn get_option(
    current: &mut Current,
    descriptor: u32,
    name: [u32; 2],
    to: u32,
    length_at: u32,
) -> Result<u32> {
    let file = current.file(descriptor)?;
    let socket = file.as_socket()?;
    let room = user::word(&current.space, length_at)?;
    if room.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let (words, size) = match socket.option(option_of(socket, name)?) {
        Value::Word(word) => ([word, 0], 4),
        Value::Linger(seconds) => ([seconds.is_some().into(), seconds.unwrap_or(0)], 8),
    };
    let bytes = words.map(u32::to_le_bytes);
    let bytes = bytes.as_flattened().get(..size).unwrap_or_default();
    let put = super::file::put_some(current, to, room, bytes)?;
    user::put_words(&current.space, length_at, [put])?;
    Ok(0)
}
