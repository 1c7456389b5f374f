//! 32-bit paging: 10 + 10 + 12 bits, 4-byte entries (Intel SDM vol. 3, 4.3).

use super::mode::{Entry, Half, Leaf, PagingMode, Rights};
use crate::address::{Frame, PhysAddr};
use crate::machine::sealed::Sealed;
use bitflags::bitflags;

/// Two levels of 1024 entries. Every i386 has it; it cannot forbid execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TwoLevel {}

bitflags! {
    /// The low twelve bits of an entry, of either mode (Intel SDM vol. 3, tables 4-5, 4-6 and 4-8 to 4-11).
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Flags: u32 {
        const PRESENT = 1 << 0;
        const WRITE = 1 << 1;
        const USER = 1 << 2;
        const WRITE_THROUGH = 1 << 3;
        const CACHE_DISABLE = 1 << 4;
        const ACCESSED = 1 << 5;
        const DIRTY = 1 << 6;

        /// Entry 3 of the page-attribute table, which init leaves as it is at reset: uncacheable (Intel SDM vol. 3,
        /// 12.12.4), as without such a table.
        const UNCACHED = Self::WRITE_THROUGH.bits() | Self::CACHE_DISABLE.bits();
        const HISTORY = Self::ACCESSED.bits() | Self::DIRTY.bits();
        /// What may be set in an entry that links a table. Bit 6 is ignored there, and stays clear.
        const OF_LINK = Self::PRESENT.bits() | Self::WRITE.bits() | Self::USER.bits() | Self::ACCESSED.bits();
        /// What may be set in a leaf.
        const OF_LEAF = Self::OF_LINK.bits() | Self::DIRTY.bits();
        /// What is set in the leaf of a device, besides what may be set in a leaf.
        const OF_DEVICE = Self::UNCACHED.bits() | Self::WRITE.bits();
    }
}

/// The low word of a leaf.
#[inline]
pub(crate) const fn leaf_word(frame: Frame, write: bool, half: Half) -> u32 {
    let mut flags = Flags::PRESENT;
    if write {
        flags = flags.union(Flags::WRITE);
    }
    if matches!(half, Half::User) {
        flags = flags.union(Flags::USER);
    }
    frame.start().get() | flags.bits()
}

/// The low word of a leaf for a device.
#[inline]
pub(crate) const fn device_word(frame: Frame, half: Half) -> u32 {
    leaf_word(frame, true, half) | Flags::UNCACHED.bits()
}

/// The low word of an entry that links a table: it takes no right away, leaves alone do.
#[inline]
pub(crate) const fn link_word(table: Frame, half: Half) -> u32 {
    leaf_word(table, true, half)
}

/// Reads the low word of an entry of a table of `level`, for a leaf that allows execution or not.
#[inline]
pub(crate) const fn decode_word(level: u8, word: u32, execute: bool) -> Entry {
    let flags = Flags::from_bits_retain(word & 0xfff);
    let frame = PhysAddr::new(word).containing();
    if word == 0 {
        Entry::Empty
    } else if !flags.contains(Flags::PRESENT) {
        Entry::Illegal
    } else if level > 1 {
        if Flags::OF_LINK.contains(flags) && flags.contains(Flags::WRITE) {
            Entry::Table(frame)
        } else {
            Entry::Illegal
        }
    } else if Flags::OF_LEAF.contains(flags)
        || flags.contains(Flags::OF_DEVICE) && Flags::OF_LEAF.union(Flags::UNCACHED).contains(flags)
    {
        Entry::Leaf(Leaf::from_low_word(word, execute))
    } else {
        Entry::Illegal
    }
}

/// The bits that a CPU sets by itself in an entry of a table of `level` that has them.
#[inline]
pub(crate) const fn history_of(level: u8) -> Flags {
    if level == 1 { Flags::HISTORY } else { Flags::ACCESSED }
}

impl Sealed for TwoLevel {}

impl PagingMode for TwoLevel {
    type Raw = u32;

    const NAME: &'static str = "two-level";
    const LEVELS: u8 = 2;
    const INDEX_BITS: u32 = 10;
    const ROOT_INDEX_BITS: u32 = 10;
    const NO_EXECUTE: bool = false;
    const ROOT_IN_REGISTERS: bool = false;

    #[inline(always)]
    fn leaf(frame: Frame, rights: Rights, half: Half) -> u32 {
        leaf_word(frame, rights.write(), half)
    }

    #[inline]
    fn device_leaf(frame: Frame, half: Half) -> u32 {
        device_word(frame, half)
    }

    #[inline]
    fn link(_level: u8, table: Frame, half: Half) -> u32 {
        link_word(table, half)
    }

    #[inline]
    fn decode(level: u8, raw: u32) -> Entry {
        decode_word(level, raw, true)
    }

    #[inline(always)]
    fn unpack(raw: u32) -> Leaf {
        Leaf::from_low_word(raw, true)
    }

    #[inline]
    fn without_history(raw: u32) -> u32 {
        raw & !Flags::HISTORY.bits()
    }

    #[inline]
    fn at_rest(level: u8, raw: u32) -> u32 {
        raw & !history_of(level).bits()
    }

    #[inline]
    fn with_history(raw: u32, history: u32) -> u32 {
        raw | history & Flags::HISTORY.bits()
    }
}

#[cfg(test)]
pub(crate) mod tests;
