//! What the checks ask of a paging mode, and nothing more.
//!
//! A mode says how many levels there are, how wide an entry is and how to write and read one. The
//! checks are written once, over this trait; another mode is another implementation.

use crate::address::{Frame, Page, PhysAddr};
use crate::machine::{Word, sealed::Sealed};
use bitflags::bitflags;

/// What a user-half page allows user programs. Reading always.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Rights {
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
    /// Read, write and execute.
    ReadWriteExecute,
}

impl Rights {
    /// All four.
    pub const ALL: [Rights; 4] =
        [Rights::Read, Rights::ReadWrite, Rights::ReadExecute, Rights::ReadWriteExecute];

    /// The rights with these two, or without.
    pub const fn new(write: bool, execute: bool) -> Self {
        match (write, execute) {
            (false, false) => Rights::Read,
            (true, false) => Rights::ReadWrite,
            (false, true) => Rights::ReadExecute,
            (true, true) => Rights::ReadWriteExecute,
        }
    }

    /// Whether a store is allowed.
    pub const fn write(self) -> bool {
        matches!(self, Rights::ReadWrite | Rights::ReadWriteExecute)
    }

    /// Whether an instruction fetch is allowed.
    pub const fn execute(self) -> bool {
        matches!(self, Rights::ReadExecute | Rights::ReadWriteExecute)
    }
}

/// Who may use a translation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Half {
    /// Ring 3 too (U = 1).
    User,
    /// Ring 0 only (U = 0).
    Kernel,
}

bitflags! {
    /// The low twelve bits of a [`Leaf`]: those of the entry's low word (Intel SDM vol. 3, tables
    /// 4-6 and 4-11), and one of ours.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct LeafFlags: u32 {
        const PRESENT = 1 << 0;
        const WRITE = 1 << 1;
        const USER = 1 << 2;
        const ACCESSED = 1 << 5;
        const DIRTY = 1 << 6;
        /// PWT and PCD: set in the leaf of a device, and in no other.
        const UNCACHED = 3 << 3;
        /// An available bit that no entry in RAM has set: here it says that NX is clear.
        const EXECUTE = 1 << 9;
    }
}

/// A present entry that translates a page: the frame, the rights, the CPU's notes. One word.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Leaf(u32);

impl Leaf {
    /// From the low word of a leaf in RAM, and whether it allows execution.
    #[inline(always)]
    pub(crate) const fn from_low_word(word: u32, execute: bool) -> Self {
        Self(word | if execute { LeafFlags::EXECUTE.bits() } else { 0 })
    }

    const fn has(self, flags: LeafFlags) -> bool {
        self.0 & flags.bits() != 0
    }

    /// What it translates to.
    #[inline(always)]
    pub const fn frame(self) -> Frame {
        PhysAddr::new(self.0).containing()
    }

    /// What it allows. Where the mode has no NX, execution always.
    pub const fn rights(self) -> Rights {
        Rights::new(self.has(LeafFlags::WRITE), self.has(LeafFlags::EXECUTE))
    }

    /// Whether it allows writing.
    #[inline(always)]
    pub const fn write(self) -> bool {
        self.has(LeafFlags::WRITE)
    }

    /// Who may use it.
    pub const fn half(self) -> Half {
        if self.has(LeafFlags::USER) { Half::User } else { Half::Kernel }
    }

    /// Whether it leads to registers of a device, past the caches, and not to RAM.
    #[inline(always)]
    pub const fn is_device(self) -> bool {
        self.has(LeafFlags::UNCACHED)
    }

    /// The CPU has used it (A).
    pub const fn accessed(self) -> bool {
        self.has(LeafFlags::ACCESSED)
    }

    /// The CPU has written through it (D).
    pub const fn dirty(self) -> bool {
        self.has(LeafFlags::DIRTY)
    }
}

impl core::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Leaf")
            .field("frame", &self.frame())
            .field("rights", &self.rights())
            .field("half", &self.half())
            .field("device", &self.is_device())
            .field("accessed", &self.accessed())
            .field("dirty", &self.dirty())
            .finish()
    }
}

/// A page-table entry, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Entry {
    /// All bits clear.
    Empty,
    /// It links the next table down.
    Table(Frame),
    /// It translates a page.
    Leaf(Leaf),
    /// Bits that this library never writes, present or not.
    Illegal,
}

/// A paging mode of the i386. Sealed: [`TwoLevel`](super::TwoLevel) and [`Pae`](super::Pae).
pub trait PagingMode: Sealed + Copy + Send + Sync + core::fmt::Debug + 'static {
    /// An entry as RAM holds it. All zero is empty.
    type Raw: Word;

    /// The name for people.
    const NAME: &'static str;
    /// The level of the root; a table of leaves has level 1.
    const LEVELS: u8;
    /// log2 of the entries of a table.
    const INDEX_BITS: u32;
    /// log2 of the entries of a root.
    const ROOT_INDEX_BITS: u32;
    /// Whether an entry can forbid execution. Where not, `Rights` without execution mean the
    /// same as those with it, and reading an entry back says so.
    const NO_EXECUTE: bool;
    /// Whether a CPU keeps the root's entries in registers, so that a change of one reaches a
    /// CPU only when it loads CR3 again.
    const ROOT_IN_REGISTERS: bool;

    /// The entry that translates a page to `frame`, accessed and dirty clear.
    fn leaf(frame: Frame, rights: Rights, half: Half) -> Self::Raw;

    /// The entry that translates a page to registers of a device at `frame`: to read and write, never to execute where
    /// the mode can forbid it, not cached. Accessed and dirty clear.
    fn device_leaf(frame: Frame, half: Half) -> Self::Raw;

    /// The entry, in a table or root of `level` (2 or more), that links `table`.
    fn link(level: u8, table: Frame, half: Half) -> Self::Raw;

    /// Reads an entry of a table or root of `level`.
    fn decode(level: u8, raw: Self::Raw) -> Entry;

    /// Reads `raw`, which is a leaf that this library wrote.
    fn unpack(raw: Self::Raw) -> Leaf;

    /// `raw`, a leaf, with accessed and dirty clear.
    fn without_history(raw: Self::Raw) -> Self::Raw;

    /// `raw`, an entry of a table or root of `level`, without what a CPU notes there by itself.
    fn at_rest(level: u8, raw: Self::Raw) -> Self::Raw;

    /// `raw`, a leaf, with accessed and dirty as they are set in `history`, another.
    fn with_history(raw: Self::Raw, history: Self::Raw) -> Self::Raw;
}

/// What follows from a mode's constants. Blanket, so that no mode can answer otherwise.
pub trait Geometry: PagingMode {
    /// How many entries a table has.
    const ENTRIES: u32 = 1 << Self::INDEX_BITS;
    /// How many entries a root has.
    const ROOT_ENTRIES: u32 = 1 << Self::ROOT_INDEX_BITS;
    /// log2 of the pages that one entry of a root spans.
    const ROOT_SPAN_BITS: u32 = span_bits(Self::LEVELS, Self::INDEX_BITS);
    /// The modes cover the 20 bits of a page number exactly, and a table fits its frame.
    const CONSISTENT: () = assert!(
        Self::ROOT_SPAN_BITS + Self::ROOT_INDEX_BITS == 20
            && Self::ENTRIES * Self::Raw::BYTES == crate::address::FRAME_BYTES
            && Self::ROOT_ENTRIES * Self::Raw::BYTES <= crate::address::FRAME_BYTES
            && Self::LEVELS >= 2
    );

    /// How many entries a table or root of `level` has.
    fn entries(level: u8) -> u32 {
        if level == Self::LEVELS { Self::ROOT_ENTRIES } else { Self::ENTRIES }
    }

    /// log2 of the pages that one entry of a table of `level` spans.
    fn span_bits(level: u8) -> u32 {
        span_bits(level, Self::INDEX_BITS)
    }

    /// Which entry of a table of `level` serves `page`.
    fn index(level: u8, page: Page) -> u32 {
        let index = page.number() >> Self::span_bits(level);
        if level == Self::LEVELS { index } else { index & (Self::ENTRIES.wrapping_sub(1)) }
    }
}

impl<P: PagingMode> Geometry for P {}

#[expect(clippy::as_conversions, reason = "`From` is not const, and u8 fits u32")]
const fn span_bits(level: u8, index_bits: u32) -> u32 {
    (level as u32).saturating_sub(1).saturating_mul(index_bits)
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
