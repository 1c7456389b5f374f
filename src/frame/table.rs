//! The frame table in RAM and the four moves on it.
//!
//! * **acquire** adds uses to a frame of a known kind, or refuses;
//! * **release** gives them back;
//! * **take** makes an unused frame of a known kind busy, or refuses;
//! * **settle** gives a busy frame its new kind.
//!
//! Acquire and take are one compare-exchange of word 0, so of an acquire and a take that race
//! exactly one wins. Only the CPU that took a frame writes its word until it settles it.

use super::kind::Kind;
use super::stamp::{Stamp, Time};
use super::word::{Uses, Word};
use crate::address::{Frame, PhysAddr};
use crate::machine::Memory;
use crate::violation::Violation;

/// Bytes of an entry: word 0 and word 1.
pub(crate) const ENTRY_BYTES: u32 = 8;
const STAMP: u32 = 4;

/// Where the frame table lies. All else about it is in RAM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frames {
    base: PhysAddr,
    count: u32,
}

impl Frames {
    /// The table of frames 0 to `count` - 1 at `base`.
    ///
    /// # Safety
    ///
    /// 1. `base` is a multiple of 8, and `count` entries from there on lie in RAM.
    /// 2. Nothing but this table's own methods writes them from now on.
    pub(crate) const unsafe fn new(base: PhysAddr, count: u32) -> Self {
        Self { base, count }
    }

    /// How many frames the table has an entry for.
    pub(crate) const fn count(self) -> u32 {
        self.count
    }

    /// Whether the table itself lies in `frame`, all or in part.
    pub(crate) const fn lies_in(self, frame: Frame) -> bool {
        let last = self.base.plus(self.count.wrapping_mul(ENTRY_BYTES).wrapping_sub(1)).containing();
        self.base.containing().number() <= frame.number() && frame.number() <= last.number()
    }

    /// Where the entry of `frame` lies, or `None` past the end.
    #[inline(always)]
    fn entry(self, frame: Frame) -> Option<PhysAddr> {
        if frame.number() < self.count {
            Some(self.base.plus(frame.number().wrapping_mul(ENTRY_BYTES)))
        } else {
            None
        }
    }

    /// Word 0 of `frame`; past the end, that of a frame that does not exist.
    #[inline(always)]
    pub(crate) fn word(self, ram: &impl Memory, frame: Frame) -> Word {
        match self.entry(frame) {
            // SAFETY: 1. `entry` answers only for entries of the table, in RAM and aligned (`new`, 1).
            // 2. The table belongs to the library (`new`, 2).
            Some(at) => Word::from_bits(unsafe { ram.load(at) }),
            None => Word::NONE,
        }
    }

    /// Word 1 of `frame`; past the end, clean.
    pub(crate) fn stamp(self, ram: &impl Memory, frame: Frame) -> Stamp {
        match self.entry(frame) {
            // SAFETY: 1. as in `word`; the stamp is the entry's second half. 2. as in `word`.
            Some(at) => Stamp::from_bits(unsafe { ram.load(at.plus(STAMP)) }),
            None => Stamp::Clean,
        }
    }

    /// Adds `uses` to `frame` if `fits` its word; `kind` is what the caller asked for.
    #[inline(always)]
    fn add(
        self,
        ram: &impl Memory,
        frame: Frame,
        kind: Kind,
        uses: Uses,
        fits: impl Fn(Word) -> bool,
    ) -> Result<(), Violation> {
        if cfg!(sva_os_unchecked) {
            return Ok(());
        }
        let mut word = self.word(ram, frame);
        loop {
            let next = word.with(uses);
            let Some(at) = self.entry(frame) else {
                return Err(diagnose(frame, word, kind));
            };
            if !fits(word) || next.overflowed() {
                let full = word.is(kind) && next.overflowed();
                return Err(if full {
                    Violation::TooManyMappings(frame)
                } else {
                    diagnose(frame, word, kind)
                });
            }
            // SAFETY: 1. and 2. as in `word`.
            match unsafe { ram.compare_exchange(at, word.bits(), next.bits()) } {
                Ok(_) => return Ok(()),
                Err(seen) => word = Word::from_bits(seen),
            }
        }
    }

    /// Adds `uses` to `frame`, which must be of `kind`, neither busy nor sealed.
    #[inline(always)]
    pub(crate) fn acquire(
        self,
        ram: &impl Memory,
        frame: Frame,
        kind: Kind,
        uses: Uses,
    ) -> Result<(), Violation> {
        self.add(ram, frame, kind, uses, |word| word.is(kind))
    }

    /// As [`acquire`](Self::acquire), for the one writable use of a table: its link.
    #[inline(always)]
    pub(crate) fn acquire_link(self, ram: &impl Memory, table: Frame, kind: Kind) -> Result<(), Violation> {
        self.add(ram, table, kind, Uses::LINK, |word| word.is_unlinked(kind))
    }

    /// Gives `uses` of `frame` back. The caller acquired them.
    ///
    /// A count that would fall below zero is a bug of this library: the answer is then `false`, and
    /// the machine must be stopped.
    #[inline(always)]
    #[must_use]
    pub(crate) fn release(self, ram: &impl Memory, frame: Frame, uses: Uses) -> bool {
        if cfg!(sva_os_unchecked) {
            return true;
        }
        let Some(at) = self.entry(frame) else {
            return false;
        };
        let less = Word::from_bits(0).without(uses).bits();
        // SAFETY: 1. and 2. as in `word`.
        let before = Word::from_bits(unsafe { ram.fetch_add(at, less) });
        !before.without(uses).overflowed()
    }

    /// Makes `frame` busy. It must be of kind `from`, used by nobody, neither busy nor sealed.
    #[inline(always)]
    pub(crate) fn take(self, ram: &impl Memory, frame: Frame, from: Kind) -> Result<(), Violation> {
        if cfg!(sva_os_unchecked) {
            return Ok(());
        }
        let Some(at) = self.entry(frame) else {
            return Err(diagnose(frame, Word::NONE, from));
        };
        let unused = Word::unused(from);
        // SAFETY: 1. and 2. as in `word`.
        match unsafe { ram.compare_exchange(at, unused.bits(), Word::busy(from).bits()) } {
            Ok(_) => Ok(()),
            Err(seen) => Err(diagnose(frame, Word::from_bits(seen), from)),
        }
    }

    /// Gives `frame`, which the caller took, the kind `kind`.
    #[inline(always)]
    pub(crate) fn settle(self, ram: &impl Memory, frame: Frame, kind: Kind) {
        self.write(ram, frame, Word::unused(kind));
    }

    /// Gives `frame`, which nobody else can name yet or which the caller took, the word `word`.
    #[inline(always)]
    pub(crate) fn write(self, ram: &impl Memory, frame: Frame, word: Word) {
        if let Some(at) = self.entry(frame) {
            // SAFETY: 1. as in `word`. 2. as in `word`; nobody else writes the word of a busy frame.
            unsafe { ram.store(at, word.bits()) }
        }
    }

    /// Notes that a translation to `frame` was dropped no later than `now`.
    #[inline(always)]
    pub(crate) fn drop_at(self, ram: &impl Memory, frame: Frame, now: Time) {
        if cfg!(sva_os_unchecked) {
            return;
        }
        let Some(at) = self.entry(frame) else { return };
        let at = at.plus(STAMP);
        // SAFETY: 1. and 2. as in `stamp`.
        let mut stamp: u32 = unsafe { ram.load(at) };
        while match Stamp::from_bits(stamp) {
            Stamp::Dropped(time) => now.is_after(time),
            Stamp::Clean | Stamp::Linked { .. } => true,
        } {
            // SAFETY: 1. and 2. as in `stamp`.
            match unsafe { ram.compare_exchange(at, stamp, now.bits()) } {
                Ok(_) => return,
                Err(seen) => stamp = seen,
            }
        }
    }

    /// Writes word 1 of a frame whose only writable use, or whose kind, the caller holds.
    #[inline(always)]
    pub(crate) fn set_stamp(self, ram: &impl Memory, frame: Frame, stamp: Stamp) {
        if cfg!(sva_os_unchecked) {
            return;
        }
        if let Some(at) = self.entry(frame) {
            // SAFETY: 1. and 2. as in `stamp`.
            unsafe { ram.store(at.plus(STAMP), stamp.bits()) }
        }
    }

    /// Makes the stamp of `frame` clean if it still is `old`.
    pub(crate) fn forget_drop(self, ram: &impl Memory, frame: Frame, old: Time) {
        if let Some(at) = self.entry(frame) {
            let (old, clean) = (Stamp::Dropped(old).bits(), Stamp::Clean.bits());
            // SAFETY: 1. and 2. as in `stamp`.
            // A failure means a newer stamp, or a link: there is nothing left to forget.
            let _ = unsafe { ram.compare_exchange(at.plus(STAMP), old, clean) };
        }
    }
}

/// Why `word` of `frame` was refused where an unused or usable `wanted` was needed.
#[cold]
#[inline(never)]
fn diagnose(frame: Frame, word: Word, wanted: Kind) -> Violation {
    let kind = word.kind();
    match (kind, wanted) {
        (Kind::None, _) => Violation::NoSuchFrame(frame),
        (found, wanted) if found == wanted => {
            let counted = word.writable() != 0;
            if word.is_busy() {
                Violation::FrameBusy(frame)
            } else if word.is_sealed() {
                Violation::FrameSealed(frame)
            } else {
                match (kind, counted) {
                    (Kind::Root, true) => Violation::RootInUse(frame),
                    (Kind::Root, false) => Violation::RootNotEmpty(frame),
                    (Kind::Table1 | Kind::Table2 | Kind::Table3, true) => Violation::TableLinked(frame),
                    (Kind::Table1 | Kind::Table2 | Kind::Table3, false) => Violation::TableNotEmpty(frame),
                    _ => Violation::FrameInUse(frame),
                }
            }
        }
        (
            Kind::Root | Kind::Table1 | Kind::Table2 | Kind::Table3,
            Kind::Table1 | Kind::Table2 | Kind::Table3,
        ) => Violation::WrongLevel(frame),
        (_, Kind::Free) => Violation::NotFree(frame),
        (_, Kind::UserData) => Violation::NotMappable(frame),
        (_, Kind::Root) => Violation::NotARoot(frame),
        (_, Kind::Table1 | Kind::Table2 | Kind::Table3) => Violation::NotATable(frame),
        (_, _) => Violation::NotRetypable(frame),
    }
}

#[cfg(test)]
pub(crate) mod tests;
