//! Page-table entries as the CPU reads them (Intel SDM vol. 3, 4.3 to 4.5).
//!
//! Written from the manual alone, so that it can judge what the library writes. MAXPHYADDR is 32,
//! CR4.PSE and EFER.NXE are set, and pages of 1 GiB exist where there are four levels.

use crate::address::{Frame, Page};
use crate::mmu::PagingMode;
use core::sync::atomic::{AtomicU64, Ordering};

pub(super) const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
pub(super) const ACCESSED: u64 = 1 << 5;
pub(super) const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const NO_EXECUTE: u64 = 1 << 63;
/// Where an entry names a frame.
const FRAME: u64 = 0xffff_f000;

/// What the entries on the way to a page allow together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Allowed {
    /// Every entry has RW set.
    pub writable: bool,
    /// Every entry has U set.
    pub user: bool,
    /// No entry has NX set.
    pub executable: bool,
}

impl Allowed {
    /// Before any entry is read.
    pub const ALL: Self = Self { writable: true, user: true, executable: true };

    /// What both allow.
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            writable: self.writable & other.writable,
            user: self.user & other.user,
            executable: self.executable & other.executable,
        }
    }

    /// As a number below 8.
    pub(super) const fn bits(self) -> u64 {
        self.writable as u64 | (self.user as u64) << 1 | (self.executable as u64) << 2
    }
}

/// What the CPU makes of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    /// P = 0.
    Absent,
    /// P = 1, and a bit is set that must not be.
    Reserved,
    /// It names the next table.
    Table(Frame, Allowed),
    /// It translates; for a large page, to this frame and those behind it.
    Leaf(Frame, Allowed),
}

/// The shape of a paging mode's tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// 32-bit paging.
    TwoLevel,
    /// PAE paging: the root's four entries have a form of their own.
    Pae,
    /// 4-level paging, of which linear addresses below 4 GiB are used.
    FourLevel,
}

impl Format {
    /// The format of a mode with that many levels.
    pub(super) const fn of<P: PagingMode>() -> Self {
        match P::LEVELS {
            2 => Self::TwoLevel,
            3 => Self::Pae,
            4 => Self::FourLevel,
            _ => panic!("no i386 has that many levels"),
        }
    }

    /// The level of the root; a table of 4 KiB leaves has level 1.
    #[inline(always)]
    pub(super) const fn levels(self) -> u8 {
        match self {
            Self::TwoLevel => 2,
            Self::Pae => 3,
            Self::FourLevel => 4,
        }
    }

    #[inline(always)]
    pub(super) const fn entry_bytes(self) -> u32 {
        match self {
            Self::TwoLevel => 4,
            Self::Pae | Self::FourLevel => 8,
        }
    }

    /// Whether the CPU keeps the root's entries in registers.
    #[inline(always)]
    pub(super) const fn root_in_registers(self) -> bool {
        matches!(self, Self::Pae)
    }

    /// log2 of the pages that one entry of a table of `level` spans.
    #[inline(always)]
    pub(super) const fn span_bits(self, level: u8) -> u32 {
        let index_bits = match self {
            Self::TwoLevel => 10,
            Self::Pae | Self::FourLevel => 9,
        };
        (level as u32 - 1) * index_bits
    }

    /// Which entry of a table of `level` serves `page`.
    #[inline(always)]
    pub(super) const fn index(self, level: u8, page: Page) -> u32 {
        let mask = match self {
            Self::TwoLevel => 0x3ff,
            Self::Pae | Self::FourLevel => 0x1ff,
        };
        page.number() >> self.span_bits(level) & mask
    }

    /// An entry of a table, as RAM holds it. Outside of RAM, all ones.
    #[inline(always)]
    pub(super) fn entry(self, table: Option<&[AtomicU64; 512]>, index: u32) -> u64 {
        let index = index as usize;
        match (table, self.entry_bytes()) {
            (Some(words), 8) => words[index % 512].load(Ordering::Acquire),
            (Some(words), _) => {
                words[index / 2 % 512].load(Ordering::Acquire) >> (index % 2 * 32) & u64::from(u32::MAX)
            }
            (None, bytes) => u64::MAX >> (64 - 8 * bytes),
        }
    }

    /// Reads an entry of a table of `level`.
    #[inline(always)]
    pub(super) fn read(self, level: u8, raw: u64) -> Reading {
        if raw & PRESENT == 0 {
            return Reading::Absent;
        }
        let pointer = matches!(self, Self::Pae) && level == 3;
        let large = level > 1 && !pointer && raw & LARGE != 0;
        if raw & self.reserved(level, pointer, large) != 0 {
            return Reading::Reserved;
        }
        let frame = frame(raw);
        if pointer {
            return Reading::Table(frame, Allowed::ALL);
        }
        let allowed =
            Allowed { writable: raw & WRITE != 0, user: raw & USER != 0, executable: raw & NO_EXECUTE == 0 };
        if large || level == 1 { Reading::Leaf(frame, allowed) } else { Reading::Table(frame, allowed) }
    }

    #[inline(always)]
    const fn reserved(self, level: u8, pointer: bool, large: bool) -> u64 {
        let high = match self {
            Self::TwoLevel => 0,
            // Tables 4-8 to 4-11: bits 62:32, and 63 too in a register's entry.
            Self::Pae if pointer => 0xffff_ffff_0000_01e6,
            Self::Pae => 0x7fff_ffff_0000_0000,
            // Tables 4-15 to 4-20: bits 51:32.
            Self::FourLevel => 0x000f_ffff_0000_0000,
        };
        let low = match (self, level, large) {
            (_, _, false) => 0,
            // Table 4-4: bits 20:13 hold address bits past MAXPHYADDR, bit 21 is reserved.
            (Self::TwoLevel, ..) => 0x003f_e000,
            (_, 2, true) => 0x001f_e000,
            (_, 3, true) => 0x3fff_e000,
            // A PML4E: bit 7 itself.
            (..) => LARGE,
        };
        high | low
    }

    /// Whether an entry of a table of `level` has an accessed bit.
    #[inline(always)]
    pub(super) const fn has_accessed(self, level: u8) -> bool {
        !(matches!(self, Self::Pae) && level == 3)
    }
}

/// The frame that an entry names; of a large page, the first.
#[inline(always)]
fn frame(raw: u64) -> Frame {
    let number = (raw & FRAME) as u32 >> 12;
    Frame::new(number).unwrap_or(Frame::ZERO)
}

/// Whether `raw` is present and names what `other` names.
pub(super) const fn same_target(raw: u64, other: u64) -> bool {
    raw & PRESENT != 0 && raw & (FRAME | LARGE) == other & (FRAME | LARGE)
}

/// Whether a leaf has G set.
pub(super) const fn is_global(raw: u64) -> bool {
    raw & GLOBAL != 0
}

/// Whether a leaf has PCD and PWT set: with the page-attribute table of reset, and without one, what lies there is not
/// cached (table 12-11).
pub(super) const fn is_uncached(raw: u64) -> bool {
    raw & WRITE_THROUGH != 0 && raw & CACHE_DISABLE != 0
}
