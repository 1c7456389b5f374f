//! Word 1 of a frame's entry: when the frame was last dropped, or which slot links it.
//!
//! A [`Time`] is a value of the flush clock (see [`crate::mmu::clock`]): odd, 31 bits, on a circle. Of two
//! times less than half the circle apart the later is known, and the clock's hand sees to it that
//! no stamp grows older than that.

use crate::address::Frame;
use core::hint::cold_path;
use static_assertions::const_assert;

const BITS: u32 = 31;
const MASK: u32 = (1 << BITS) - 1;
const HALF: u32 = 1 << (BITS - 1);
/// A stamp or flush time older than this, in units of the clock, is renewed by the clock's hand.
pub(crate) const OLD: u32 = 1 << (BITS - 2);

/// A moment of the flush clock. Odd, so that 0 is free to mean "never".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Time(u32);

impl Time {
    /// The clock's first value.
    pub(crate) const FIRST: Self = Self(1);
    /// What one tick adds, so that times stay odd.
    pub(crate) const TICK: u32 = 2;

    /// The time that a clock word shows. The word runs through all of `u32`.
    pub(crate) const fn of_clock(word: u32) -> Self {
        Self(word & MASK | 1)
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Whether a clock ever shows it: only odd times.
    pub(crate) const fn is_shown(self) -> bool {
        self.0 & 1 != 0
    }

    /// How far this is past `earlier`, round the circle.
    pub(crate) const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0) & MASK
    }

    /// Whether this is strictly later than `other`: less than half the circle past it.
    #[inline(always)]
    pub(crate) const fn is_after(self, other: Self) -> bool {
        // The sign of the distance, in the highest of its 31 bits, moved to where a register has it.
        (self.0.wrapping_sub(other.0) << (u32::BITS - BITS)).cast_signed() > 0
    }
}

const SLOT_INDEX_BITS: u32 = 10;
const IS_PARENT: u32 = 1 << BITS;
const_assert!(20 + SLOT_INDEX_BITS < u32::BITS);

/// Word 1 of a frame's entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stamp {
    /// No CPU can hold a translation that leads here.
    Clean,
    /// The last translation that led here was dropped at this time.
    Dropped(Time),
    /// A table: linked in entry `index` of `table`.
    Linked {
        /// The parent.
        table: Frame,
        /// The parent's entry, below 1024.
        index: u32,
    },
}

impl Stamp {
    /// Whether a drop at `now` takes the place of the stamp with these bits: not of one at `now`, nor of
    /// a later one.
    #[inline(always)]
    pub(crate) const fn yields(bits: u32, now: Time) -> bool {
        // The sign of the way from `now` to the stamp, round the circle.
        if bits.wrapping_sub(now.0) & HALF != 0 {
            return true;
        }
        cold_path();
        !matches!(Self::from_bits(bits), Stamp::Dropped(_))
    }

    pub(crate) const fn from_bits(bits: u32) -> Self {
        if bits & IS_PARENT != 0 {
            match Frame::new((bits & MASK) >> SLOT_INDEX_BITS) {
                Some(table) => Stamp::Linked { table, index: bits & ((1 << SLOT_INDEX_BITS) - 1) },
                None => Stamp::Clean,
            }
        } else if bits == 0 {
            Stamp::Clean
        } else {
            Stamp::Dropped(Time(bits))
        }
    }

    pub(crate) const fn bits(self) -> u32 {
        match self {
            Stamp::Clean => 0,
            Stamp::Dropped(time) => time.bits(),
            Stamp::Linked { table, index } => IS_PARENT | (table.number() << SLOT_INDEX_BITS) | index,
        }
    }
}

#[cfg(test)]
mod tests;
