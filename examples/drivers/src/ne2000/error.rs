//! What can go wrong with a network card.

use core::fmt;

/// Why a card did not do what it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// There is no card.
    NoCard,
    /// The card does not move words: an NE1000, or none of this kind.
    NotWords,
    /// The address in the card's PROM is none of one station.
    NoAddress,
    /// The card did not answer in time.
    TimedOut,
    /// What stood in the ring made no sense. It is empty now.
    BrokenRing,
    /// A frame is too long.
    TooLong,
    /// The frame before was not sent: too many collisions.
    NotSent,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCard => "there is no card",
            Self::NotWords => "the card does not move words",
            Self::NoAddress => "the card has no address",
            Self::TimedOut => "the card did not answer in time",
            Self::BrokenRing => "the card's ring made no sense",
            Self::TooLong => "the frame is too long",
            Self::NotSent => "the frame before was not sent",
        })
    }
}

impl core::error::Error for Error {}
