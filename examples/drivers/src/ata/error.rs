//! What can go wrong with a disk.

use core::fmt;

/// Why a disk did not do what it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// Nothing is connected there.
    NoDevice,
    /// What is connected is no disk, or not one whose sectors can be named.
    NotADisk,
    /// The device did not answer in time.
    TimedOut,
    /// The device could not do it: its error register.
    Device(u8),
    /// The device wants to move data where it should not, or the reverse.
    OutOfStep,
    /// There are no such sectors.
    Outside,
    /// More was read or written than was allowed.
    TooMuch,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice => f.write_str("no device is connected"),
            Self::NotADisk => f.write_str("the device is no disk"),
            Self::TimedOut => f.write_str("the device did not answer in time"),
            Self::Device(error) => write!(f, "the device reports the error {error:#04x}"),
            Self::OutOfStep => f.write_str("the device lost its step"),
            Self::Outside => f.write_str("there are no such sectors"),
            Self::TooMuch => f.write_str("more was read or written than allowed"),
        }
    }
}

impl core::error::Error for Error {}
