//! PAE paging with NX: 2 + 9 + 9 + 12 bits, 8-byte entries (Intel SDM vol. 3, 4.4).
//!
//! The root has four entries, which a CPU copies into registers when it loads CR3. Every CPU with
//! PAE has CMPXCHG8B, so an entry is read and written whole.

use super::mode::{Entry, Half, Leaf, PagingMode, Rights};
use super::two_level::{Flags, decode_word, device_word, history_of, leaf_word, link_word};
use crate::address::{Frame, PhysAddr};
use crate::machine::{Word, sealed::Sealed};

/// Three levels of 4, 512 and 512 entries, each leaf with an NX bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pae {}

/// Bit 63 of a leaf: no instruction is fetched through it (needs EFER.NXE).
const NO_EXECUTE: u64 = 1 << 63;

impl Sealed for Pae {}

impl PagingMode for Pae {
    type Raw = u64;

    const NAME: &'static str = "pae";
    const LEVELS: u8 = 3;
    const INDEX_BITS: u32 = 9;
    const ROOT_INDEX_BITS: u32 = 2;
    const NO_EXECUTE: bool = true;
    const ROOT_IN_REGISTERS: bool = true;

    #[inline(always)]
    fn leaf(frame: Frame, rights: Rights, half: Half) -> u64 {
        let low = u64::from(leaf_word(frame, rights.write(), half));
        if rights.execute() { low } else { low | NO_EXECUTE }
    }

    #[inline]
    fn device_leaf(frame: Frame, half: Half) -> u64 {
        u64::from(device_word(frame, half)) | NO_EXECUTE
    }

    #[inline]
    fn link(level: u8, table: Frame, half: Half) -> u64 {
        if level == Self::LEVELS {
            // A PDPTE: bits 1, 2, 5 and 6 are reserved and must be clear.
            u64::from(table.start().get() | Flags::PRESENT.bits())
        } else {
            u64::from(link_word(table, half))
        }
    }

    #[inline]
    fn decode(level: u8, raw: u64) -> Entry {
        let low = u32::low_bits_of(raw);
        let high = raw & !u64::from(u32::MAX);
        if level == Self::LEVELS {
            // The manual reserves bit 5 in a PDPTE; QEMU's TCG notes there that it was used, as in any
            // other entry. It means nothing, so it is overlooked.
            let flags = Flags::from_bits_retain(low & 0xfff).difference(Flags::ACCESSED);
            return match (raw, flags == Flags::PRESENT && high == 0) {
                (0, _) => Entry::Empty,
                (_, true) => Entry::Table(PhysAddr::new(low).containing()),
                (_, false) => Entry::Illegal,
            };
        }
        match high {
            0 => decode_word(level, low, true),
            NO_EXECUTE if level == 1 && low != 0 => decode_word(level, low, false),
            _ => Entry::Illegal,
        }
    }

    #[inline(always)]
    fn unpack(raw: u64) -> Leaf {
        Leaf::from_low_word(u32::low_bits_of(raw), raw & NO_EXECUTE == 0)
    }

    #[inline]
    fn without_history(raw: u64) -> u64 {
        raw & !u64::from(Flags::HISTORY.bits())
    }

    #[inline]
    fn at_rest(level: u8, raw: u64) -> u64 {
        raw & !u64::from(history_of(level).bits())
    }

    #[inline]
    fn with_history(raw: u64, history: u64) -> u64 {
        raw | history & u64::from(Flags::HISTORY.bits())
    }
}

#[cfg(test)]
mod tests;
