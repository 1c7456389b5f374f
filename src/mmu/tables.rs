//! Declaring and removing tables and roots, and every other change of a frame's kind.
//!
//! One move for all: take the frame (nothing may stand on it), flush what may still lead to it,
//! fill it with what the new kind begins as, settle it.

use super::entry::{Raw, entry_address};
use super::mode::{Geometry, PagingMode};
use crate::address::Frame;
use crate::frame::Kind;
use crate::frame::stamp::Stamp;
use crate::machine::Machine;
use crate::sva::Sva;
use crate::violation::Violation;

impl<M: Machine> Sva<M> {
    /// Makes a free frame an empty user-half page table of `level`, 1 for a table of leaves.
    ///
    /// # Errors
    ///
    /// [`NoSuchLevel`](Violation::NoSuchLevel), [`NoSuchFrame`](Violation::NoSuchFrame),
    /// [`NotFree`](Violation::NotFree), [`FrameBusy`](Violation::FrameBusy).
    ///
    /// # Checks
    ///
    /// The frame is free, so nothing maps it (invariants 3, 5, 6); it is zeroed before it is a
    /// table (F5). Attacks F1 to F10, F17.
    #[doc(alias = "sva_declare_l1_page")]
    #[doc(alias = "sva_declare_l2_page")]
    pub fn declare_table(&self, frame: Frame, level: u8) -> Result<(), Violation> {
        self.intrinsic(|| {
            let kind = Kind::table(level)
                .filter(|_| level < M::Mode::LEVELS)
                .ok_or(Violation::NoSuchLevel(u32::from(level)))?;
            self.change_kind(frame, Kind::Free, kind)
        })
    }

    /// Makes an empty, unlinked table free again.
    ///
    /// # Errors
    ///
    /// [`NotATable`](Violation::NotATable), [`TableLinked`](Violation::TableLinked),
    /// [`TableNotEmpty`](Violation::TableNotEmpty), [`NoSuchFrame`](Violation::NoSuchFrame),
    /// [`FrameBusy`](Violation::FrameBusy).
    ///
    /// # Checks
    ///
    /// No entry is present and no entry links it; no CPU's structure cache still leads to it
    /// (invariants 2, 9). Attacks F11, F12, F14, F15.
    #[doc(alias = "sva_remove_page")]
    pub fn remove_table(&self, frame: Frame) -> Result<(), Violation> {
        self.intrinsic(|| {
            let kind = self.kind(frame);
            let kind = if kind.level().is_some() { kind } else { Kind::Table1 };
            self.change_kind(frame, kind, Kind::Free)
        })
    }

    /// Makes a free frame a root: the kernel half, and an empty user half.
    ///
    /// # Errors
    ///
    /// [`NoSuchFrame`](Violation::NoSuchFrame), [`NotFree`](Violation::NotFree),
    /// [`FrameBusy`](Violation::FrameBusy).
    ///
    /// # Checks
    ///
    /// As [`declare_table`](Self::declare_table); a root without the kernel half cannot exist
    /// (invariant 7). Attacks F1 to F10, T5.
    #[doc(alias = "sva_declare_l2_page")]
    #[doc(alias = "sva_declare_l3_page")]
    pub fn declare_root(&self, frame: Frame) -> Result<(), Violation> {
        self.intrinsic(|| self.change_kind(frame, Kind::Free, Kind::Root))
    }

    /// Makes an empty root, which no CPU and no thread uses, free again.
    ///
    /// # Errors
    ///
    /// [`NotARoot`](Violation::NotARoot), [`RootInUse`](Violation::RootInUse),
    /// [`RootNotEmpty`](Violation::RootNotEmpty), [`FrameSealed`](Violation::FrameSealed),
    /// [`NoSuchFrame`](Violation::NoSuchFrame), [`FrameBusy`](Violation::FrameBusy).
    ///
    /// # Checks
    ///
    /// It is in no CR3 and no thread will load it (invariant 8); its user half is empty. Attacks
    /// F13, F15, C9.
    #[doc(alias = "sva_remove_page")]
    pub fn remove_root(&self, frame: Frame) -> Result<(), Violation> {
        self.intrinsic(|| self.change_kind(frame, Kind::Root, Kind::Free))
    }

    /// Makes an unused frame of kind `from` one of kind `to`. Interrupts are off. In line, where the kinds are known.
    #[inline(always)]
    pub(crate) fn change_kind(&self, frame: Frame, from: Kind, to: Kind) -> Result<(), Violation> {
        self.frames.take(&self.machine, frame, from)?;
        self.flush_dropped(frame);
        self.begin(frame, to);
        self.frames.settle(&self.machine, frame, to);
        Ok(())
    }

    /// Makes every CPU forget what it may remember of `frame`, which this CPU took.
    #[inline(always)]
    pub(crate) fn flush_dropped(&self, frame: Frame) {
        if cfg!(sva_os_unchecked) {
            return;
        }
        if let Stamp::Dropped(dropped) = self.frames.stamp(&self.machine, frame) {
            self.flush_since(dropped);
        }
    }

    /// Gives `frame`, which this CPU took and no CPU remembers, the contents of a new `kind`.
    #[inline(always)]
    pub(crate) fn begin(&self, frame: Frame, kind: Kind) {
        if kind != Kind::Free {
            // SAFETY: 1. a frame that was taken is RAM. 2. This CPU holds it, busy.
            unsafe { self.machine.zero(frame) }
        }
        if kind == Kind::Root {
            self.copy_kernel_half(frame);
        }
    }

    /// Copies the kernel half's root entries to `root`, which this CPU took and zeroed.
    #[inline(never)]
    fn copy_kernel_half(&self, root: Frame) {
        let entries = (0..M::Mode::ROOT_ENTRIES).filter(|index| !self.half.is_user_entry::<M::Mode>(*index));
        for index in entries {
            // SAFETY: 1. an entry of the sealed root, in RAM. 2. The sealed root never changes.
            let entry: Raw<M> = unsafe { self.machine.load(entry_address::<M::Mode>(self.half.root, index)) };
            // SAFETY: 1. an entry of `root`, which is RAM. 2. This CPU holds it, busy.
            unsafe { self.machine.store(entry_address::<M::Mode>(root, index), entry) }
        }
    }
}
