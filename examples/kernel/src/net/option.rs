//! Options of sockets.

use crate::errno::{Errno, Result};

/// What `setsockopt` changes and `getsockopt` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `SO_REUSEADDR`.
    pub reuses_address: bool,
    /// `SO_KEEPALIVE`.
    pub keeps_alive: bool,
    /// `SO_BROADCAST`.
    pub broadcasts: bool,
    /// `SO_OOBINLINE`: there is no other way here.
    pub inlines_urgent: bool,
    /// `TCP_NODELAY`.
    pub never_delays: bool,
    /// `SO_LINGER`: for how many seconds.
    pub lingers: Option<u32>,
}

/// An option by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Options that are on or off.
    Flag(Flag),
    Linger,
    /// What can only be asked for: `SO_TYPE`, `SO_ERROR`, `SO_ACCEPTCONN`, `SO_DOMAIN`, `SO_PROTOCOL`.
    Type,
    Error,
    Listens,
    Domain,
    Protocol,
    /// `SO_SNDBUF`, `SO_RCVBUF`: what is wished for is not asked back.
    SendBuffer,
    ReceiveBuffer,
}

/// An option that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    ReusesAddress,
    KeepsAlive,
    Broadcasts,
    InlinesUrgent,
    NeverDelays,
}

const SOCKET: u32 = 1;
const TCP: u32 = 6;

impl Name {
    /// By level and number.
    ///
    /// # Errors
    ///
    /// ENOPROTOOPT if there is none.
    pub const fn new(level: u32, number: u32) -> Result<Self> {
        Ok(match (level, number) {
            (SOCKET, 2) => Self::Flag(Flag::ReusesAddress),
            (SOCKET, 3) => Self::Type,
            (SOCKET, 4) => Self::Error,
            (SOCKET, 6) => Self::Flag(Flag::Broadcasts),
            (SOCKET, 7) => Self::SendBuffer,
            (SOCKET, 8) => Self::ReceiveBuffer,
            (SOCKET, 9) => Self::Flag(Flag::KeepsAlive),
            (SOCKET, 10) => Self::Flag(Flag::InlinesUrgent),
            (SOCKET, 13) => Self::Linger,
            (SOCKET, 30) => Self::Listens,
            (SOCKET, 38) => Self::Protocol,
            (SOCKET, 39) => Self::Domain,
            (TCP, 1) => Self::Flag(Flag::NeverDelays),
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }
}

impl Options {
    pub(super) fn flag(&mut self, flag: Flag) -> &mut bool {
        match flag {
            Flag::ReusesAddress => &mut self.reuses_address,
            Flag::KeepsAlive => &mut self.keeps_alive,
            Flag::Broadcasts => &mut self.broadcasts,
            Flag::InlinesUrgent => &mut self.inlines_urgent,
            Flag::NeverDelays => &mut self.never_delays,
        }
    }
}

/// The word that an option is set to.
///
/// # Errors
///
/// EINVAL if it is too short.
pub fn word(bytes: &[u8]) -> Result<u32> {
    bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).ok_or(Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_linuxs_numbers() {
        assert_eq!(Name::new(1, 2), Ok(Name::Flag(Flag::ReusesAddress)));
        assert_eq!(Name::new(6, 1), Ok(Name::Flag(Flag::NeverDelays)));
        assert_eq!(Name::new(1, 4), Ok(Name::Error));
        assert_eq!(Name::new(1, 99), Err(Errno::ENOPROTOOPT));
        assert_eq!(Name::new(0, 2), Err(Errno::ENOPROTOOPT));
        assert_eq!((word(&[1, 2, 0, 0]), word(&[1, 0, 0])), (Ok(0x201), Err(Errno::EINVAL)));
    }

    #[test]
    fn each_flag_is_its_own() {
        let all =
            [Flag::ReusesAddress, Flag::KeepsAlive, Flag::Broadcasts, Flag::InlinesUrgent, Flag::NeverDelays];
        for flag in all {
            let mut options = Options::default();
            *options.flag(flag) = true;
            assert_eq!(all.map(|other| *options.flag(other)), all.map(|other| other == flag));
        }
    }
}
