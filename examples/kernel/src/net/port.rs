//! Ports: who is where, and which are free.

use super::address::overlap;
use super::network::Stack;
use crate::errno::{Errno, Result};
use core::net::{Ipv4Addr, SocketAddrV4};

/// What is given to who asks for any port, as Linux does.
const FIRST: u16 = 32_768;
const LAST: u16 = 60_999;
const COUNT: u16 = LAST - FIRST + 1;

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Somewhere among those.
pub(super) fn first(seed: u64) -> u16 {
    let some = seed.checked_rem(COUNT.into()).and_then(|some| u16::try_from(some).ok());
    FIRST.saturating_add(some.unwrap_or_default())
}

/// Whether a socket may be where another one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    Never,
    /// With others that share.
    Reuse,
}

impl Stack {
    /// An address for a new socket: `wanted`, if nobody is in the way, with some port if it has none.
    pub(super) fn free_address(
        &mut self,
        protocol: Protocol,
        wanted: SocketAddrV4,
        sharing: Sharing,
    ) -> Result<SocketAddrV4> {
        if !self.links.is_own(*wanted.ip()) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if wanted.port() == 0 {
            return self.any_port(protocol, *wanted.ip());
        }
        let in_the_way = match protocol {
            Protocol::Tcp => self.streams.values().any(|stream| stream.forbids(wanted, sharing)),
            Protocol::Udp => self.datagrams.values().any(|datagram| datagram.forbids(wanted, sharing)),
        };
        if in_the_way { Err(Errno::EADDRINUSE) } else { Ok(wanted) }
    }

    /// A port that nobody has.
    fn any_port(&mut self, protocol: Protocol, address: Ipv4Addr) -> Result<SocketAddrV4> {
        for _ in 0..COUNT {
            self.last_port = if self.last_port < LAST { self.last_port.saturating_add(1) } else { FIRST };
            let found = SocketAddrV4::new(address, self.last_port);
            let everywhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, self.last_port);
            let is_at = |local: Option<SocketAddrV4>| local.is_some_and(|local| overlap(local, everywhere));
            let is_used = match protocol {
                Protocol::Tcp => self.streams.values().any(|stream| is_at(stream.occupied())),
                Protocol::Udp => self.datagrams.values().any(|datagram| is_at(datagram.local)),
            };
            if !is_used {
                return Ok(found);
            }
        }
        Err(Errno::EADDRINUSE)
    }
}
