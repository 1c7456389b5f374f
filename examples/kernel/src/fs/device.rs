//! Character devices that need no hardware.

use super::data::{Sink, Source};
use super::random;
use crate::errno::{Errno, Result};

/// Which device a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceNumber {
    pub major: u16,
    /// Twenty bits.
    pub minor: u32,
}

impl DeviceNumber {
    /// `/dev/tty`: whatever terminal the caller's session has.
    pub const OWN_TERMINAL: Self = Self { major: 5, minor: 0 };
    pub const CONSOLE: Self = Self { major: 5, minor: 1 };

    /// As system calls encode it: the minor number's low eight bits, twelve of the major, the others of the minor.
    pub const fn from_u32(encoded: u32) -> Self {
        Self { major: ((encoded >> 8) & 0xfff) as u16, minor: (encoded & 0xff) | ((encoded >> 12) & 0xfff00) }
    }

    pub const fn to_u32(self) -> u32 {
        (self.minor & 0xff) | ((self.major as u32 & 0xfff) << 8) | ((self.minor & 0xfff00) << 12)
    }
}

/// The devices of major number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Null,
    Zero,
    Full,
    Random,
}

impl Memory {
    pub(super) const fn of(device: DeviceNumber) -> Option<Self> {
        match (device.major, device.minor) {
            (1, 3) => Some(Self::Null),
            (1, 5) => Some(Self::Zero),
            (1, 7) => Some(Self::Full),
            (1, 8 | 9) => Some(Self::Random),
            _ => None,
        }
    }

    pub(super) fn read(self, count: usize, sink: &mut dyn Sink) -> Result<usize> {
        match self {
            Self::Null => Ok(0),
            Self::Zero | Self::Full => sink.put_zeros(count),
            Self::Random => random::put(count, sink),
        }
    }

    pub(super) fn write(self, count: usize, source: &mut dyn Source) -> Result<usize> {
        match self {
            Self::Null | Self::Zero => Ok(count),
            Self::Full => Err(Errno::ENOSPC),
            Self::Random => random::mix(count, source),
        }
    }
}
