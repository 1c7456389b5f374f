//! The frame table in RAM and the four moves on it.
//!
//! * **acquire** adds uses to a frame of a known kind, or refuses;
//! * **release** gives them back;
//! * **take** makes an unused frame of a known kind busy, or refuses;
//! * **settle** gives a busy frame its new kind.
//!
//! Acquire and take are one compare-exchange of word 0, so of an acquire and a take that race
//! exactly one wins. Only the CPU that took a frame writes its word until it settles it.
//!
//! What happens when another CPU gets in between, and why a frame is refused, are functions of their
//! own: the way that calls take is short, and falls through.

use super::kind::Kind;
use super::stamp::{Stamp, Time};
use super::word::{Uses, Word};
use crate::address::{Frame, PhysAddr};
use crate::machine::Memory;
use crate::violation::Violation;

/// Bytes of an entry: word 0 and word 1.
pub(crate) const ENTRY_BYTES: u32 = 8;
const STAMP: u32 = 4;

/// Where the entry of a frame lies that exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place(PhysAddr);

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
    pub(crate) fn place(self, frame: Frame) -> Option<Place> {
        if cfg!(sva_os_unchecked) || frame.number() < self.count {
            Some(Place(self.base.plus(frame.number().wrapping_mul(ENTRY_BYTES))))
        } else {
            None
        }
    }

    /// Word 0 of `frame`; past the end, that of a frame that does not exist.
    #[inline(always)]
    pub(crate) fn word(self, ram: &impl Memory, frame: Frame) -> Word {
        self.place(frame).map_or(Word::NONE, |place| place.word(ram))
    }

    /// Word 1 of `frame`; past the end, clean.
    pub(crate) fn stamp(self, ram: &impl Memory, frame: Frame) -> Stamp {
        match self.place(frame) {
            // SAFETY: 1. as in `Place::word`; the stamp is the entry's second half. 2. as there.
            Some(place) => Stamp::from_bits(unsafe { ram.load(place.stamp()) }),
            None => Stamp::Clean,
        }
    }

    /// Adds `uses` to `frame` if its word with them `fits`, and says where its entry lies; `kind` is
    /// what the caller asked for.
    #[inline(always)]
    fn add(
        &self,
        ram: &impl Memory,
        frame: Frame,
        kind: Kind,
        uses: Uses,
        fits: impl Fn(Word, Kind) -> bool + Copy,
    ) -> Result<Place, Violation> {
        match self.place(frame) {
            Some(place) if cfg!(sva_os_unchecked) || place.try_add(ram, kind, uses, fits) == Some(Ok(())) => {
                Ok(place)
            }
            _ => self.add_again(ram, frame, kind, uses, fits),
        }
    }

    /// As [`add`](Self::add), however often another CPU gets in between; says why the word does not fit.
    #[cold]
    #[inline(never)]
    fn add_again(
        &self,
        ram: &impl Memory,
        frame: Frame,
        kind: Kind,
        uses: Uses,
        fits: impl Fn(Word, Kind) -> bool + Copy,
    ) -> Result<Place, Violation> {
        let place = self.place(frame).ok_or(Violation::NoSuchFrame(frame))?;
        loop {
            match place.try_add(ram, kind, uses, fits) {
                Some(Ok(())) => return Ok(place),
                Some(Err(word)) if word.is(kind) && word.with(uses).overflowed() => {
                    return Err(Violation::TooManyMappings(frame));
                }
                Some(Err(word)) => return Err(diagnose(frame, word, kind)),
                None => {}
            }
        }
    }

    /// Adds `uses` to `frame`, which must be of `kind`, neither busy nor sealed, and says where its entry
    /// lies.
    #[inline(always)]
    pub(crate) fn acquire(
        &self,
        ram: &impl Memory,
        frame: Frame,
        kind: Kind,
        uses: Uses,
    ) -> Result<Place, Violation> {
        self.add(ram, frame, kind, uses, Word::is)
    }

    /// As [`acquire`](Self::acquire), for the one writable use of a table: its link.
    #[inline(always)]
    pub(crate) fn acquire_link(
        &self,
        ram: &impl Memory,
        table: Frame,
        kind: Kind,
    ) -> Result<Place, Violation> {
        self.add(ram, table, kind, Uses::LINK, Word::is_linked_once)
    }

    /// Makes `frame` busy. It must be of kind `from`, used by nobody, neither busy nor sealed.
    #[inline(always)]
    pub(crate) fn take(self, ram: &impl Memory, frame: Frame, from: Kind) -> Result<(), Violation> {
        if cfg!(sva_os_unchecked) {
            return Ok(());
        }
        let Some(place) = self.place(frame) else {
            return Err(Violation::NoSuchFrame(frame));
        };
        let unused = Word::unused(from);
        // SAFETY: 1. and 2. as in `Place::word`.
        match unsafe { ram.compare_exchange(place.0, unused.bits(), Word::busy(from).bits()) } {
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
        if let Some(place) = self.place(frame) {
            // SAFETY: 1. and 2. as in `Place::word`; nobody else writes the word of a busy frame.
            unsafe { ram.store(place.0, word.bits()) }
        }
    }

    /// Writes word 1 of a frame whose only writable use, or whose kind, the caller holds.
    #[inline(always)]
    pub(crate) fn set_stamp(self, ram: &impl Memory, frame: Frame, stamp: Stamp) {
        if cfg!(sva_os_unchecked) {
            return;
        }
        if let Some(place) = self.place(frame) {
            // SAFETY: 1. and 2. as in `stamp`.
            unsafe { ram.store(place.stamp(), stamp.bits()) }
        }
    }

    /// Makes the stamp of `frame` clean if it still is `old`.
    pub(crate) fn forget_drop(self, ram: &impl Memory, frame: Frame, old: Time) {
        if let Some(place) = self.place(frame) {
            let (old, clean) = (Stamp::Dropped(old).bits(), Stamp::Clean.bits());
            // SAFETY: 1. and 2. as in `stamp`.
            // A failure means a newer stamp, or a link: there is nothing left to forget.
            let _ = unsafe { ram.compare_exchange(place.stamp(), old, clean) };
        }
    }
}

impl Place {
    /// Word 0.
    #[inline(always)]
    fn word(self, ram: &impl Memory) -> Word {
        // SAFETY: 1. only `Frames::place` makes one, for entries of the table, in RAM and aligned
        // (`Frames::new`, 1). 2. The table belongs to the library (`Frames::new`, 2).
        Word::from_bits(unsafe { ram.load(self.0) })
    }

    /// Where word 1 lies.
    #[inline(always)]
    const fn stamp(self) -> PhysAddr {
        self.0.plus(STAMP)
    }

    /// Adds `uses` if the word with them `fits`, or says which word refuses; `None` if another CPU
    /// changed it meanwhile.
    #[inline(always)]
    fn try_add(
        self,
        ram: &impl Memory,
        kind: Kind,
        uses: Uses,
        fits: impl Fn(Word, Kind) -> bool,
    ) -> Option<Result<(), Word>> {
        let word = self.word(ram);
        let next = word.with(uses);
        if !fits(next, kind) {
            return Some(Err(word));
        }
        // SAFETY: 1. and 2. as in `word`.
        unsafe { ram.compare_exchange(self.0, word.bits(), next.bits()) }.ok().map(|_| Ok(()))
    }

    /// Gives `uses` back. The caller acquired them.
    ///
    /// A count that would fall below zero is a bug of this library: the answer is then `false`, and
    /// the machine must be stopped.
    #[inline(always)]
    #[must_use]
    pub(crate) fn release(self, ram: &impl Memory, uses: Uses) -> bool {
        if cfg!(sva_os_unchecked) {
            return true;
        }
        !self.take_off(ram, uses).overflowed()
    }

    /// As [`release`](Self::release), for uses that only the total counts, so that no other count can leave
    /// its range. The total's guard is the sign, which the subtraction tests by itself.
    #[inline(always)]
    #[must_use]
    pub(crate) fn release_of_total(self, ram: &impl Memory, uses: Uses) -> bool {
        cfg!(sva_os_unchecked) || !self.take_off(ram, uses).total_overflowed()
    }

    /// The word without `uses`.
    #[inline(always)]
    fn take_off(self, ram: &impl Memory, uses: Uses) -> Word {
        let less = Word::from_bits(0).without(uses).bits();
        // SAFETY: 1. and 2. as in `word`.
        Word::from_bits(unsafe { ram.fetch_add(self.0, less) }).without(uses)
    }

    /// Notes that a translation to the frame was dropped no later than `now`.
    #[inline(always)]
    pub(crate) fn drop_at(self, ram: &impl Memory, now: Time) {
        if !self.try_drop_at(ram, now) {
            self.drop_again(ram, now);
        }
    }

    /// `false` if another CPU stamped the frame meanwhile.
    #[inline(always)]
    fn try_drop_at(self, ram: &impl Memory, now: Time) -> bool {
        // SAFETY: 1. as in `word`; the stamp is the entry's second half. 2. as there.
        let stamp: u32 = unsafe { ram.load(self.stamp()) };
        // SAFETY: 1. and 2. as before.
        !Stamp::yields(stamp, now) || unsafe { ram.compare_exchange(self.stamp(), stamp, now.bits()) }.is_ok()
    }

    /// As [`drop_at`](Self::drop_at), however often another CPU gets in between.
    #[cold]
    #[inline(never)]
    fn drop_again(self, ram: &impl Memory, now: Time) {
        while !self.try_drop_at(ram, now) {}
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
