//! Leaves: map, unmap, protect, replace, and the CPU's notes of use.
//!
//! Each holds the table, so that it stays one; acquires what the new entry leads to *before* it
//! is written; and drops what the old entry led to *after* it is gone, as the old entry says.

use super::entry::Slot;
use super::mode::{Half, Leaf, PagingMode, Rights};
use crate::address::Frame;
use crate::frame::Kind;
use crate::frame::table::Place;
use crate::frame::word::Uses;
use crate::machine::Machine;
use crate::sva::{Held, Sva};
use crate::violation::Violation;

impl<M: Machine> Sva<M> {
    /// Maps `frame`, user data, in the empty entry `index` of `table`, a table of leaves.
    ///
    /// # Errors
    ///
    /// Of `table`: [`NotATable`](Violation::NotATable), [`WrongLevel`](Violation::WrongLevel);
    /// of `index`: [`NoSuchEntry`](Violation::NoSuchEntry), [`EntryPresent`](Violation::EntryPresent);
    /// of `frame`: [`NotMappable`](Violation::NotMappable), [`TooManyMappings`](Violation::TooManyMappings);
    /// of either frame: [`NoSuchFrame`](Violation::NoSuchFrame), [`FrameBusy`](Violation::FrameBusy).
    ///
    /// # Checks
    ///
    /// Only user data is ever mapped for users, whatever the rights (invariants 3, 4, 19); the
    /// frame's counts follow (5). Attacks E1 to E20, F8 to F10, X1.
    #[doc(alias = "sva_update_l1_mapping")]
    #[inline]
    pub fn map(&self, table: Frame, index: u32, frame: Frame, rights: Rights) -> Result<(), Violation> {
        self.intrinsic(|| {
            let table = self.acquire(table, Kind::Table1, Uses::ENTRY)?;
            self.fill_leaf(table.entry(index)?, frame, rights)?;
            table.keep();
            Ok(())
        })
    }

    /// Empties entry `index` of `table`, a table of leaves, and says what stood there.
    ///
    /// CPUs may go on using the translation until they flush. The frame stays user data at least
    /// until they have: a change of its kind flushes by itself where the kernel did not.
    ///
    /// # Errors
    ///
    /// Of `table`: [`NotATable`](Violation::NotATable), [`WrongLevel`](Violation::WrongLevel),
    /// [`NoSuchFrame`](Violation::NoSuchFrame), [`FrameBusy`](Violation::FrameBusy);
    /// of `index`: [`NoSuchEntry`](Violation::NoSuchEntry), [`EntryEmpty`](Violation::EntryEmpty).
    ///
    /// # Checks
    ///
    /// The entry lies in a table (E1); the frame that loses a mapping is the one the entry named,
    /// and is stamped before its count falls (invariants 5, 9; C4, C7).
    #[doc(alias = "sva_remove_mapping")]
    #[inline]
    pub fn unmap(&self, table: Frame, index: u32) -> Result<Leaf, Violation> {
        self.intrinsic(|| {
            let table = self.acquire(table, Kind::Table1, Uses::ENTRY)?;
            let old = M::Mode::unpack(table.entry(index)?.clear()?);
            table.release_also(Uses::ENTRY);
            self.drop_leaf(old);
            Ok(old)
        })
    }

    /// Changes the rights of the leaf in entry `index` of `table`, a table of leaves, and says
    /// what it was. The CPU's notes of use stay.
    ///
    /// # Errors
    ///
    /// As [`unmap`](Self::unmap), [`TooManyMappings`](Violation::TooManyMappings), and
    /// [`DeviceEntry`](Violation::DeviceEntry) of a leaf that leads to a device.
    ///
    /// # Checks
    ///
    /// A right to write is counted before it is given and after it is gone (invariants 3, 5).
    /// Attacks E5, E14, E16.
    #[doc(alias = "sva_update_l1_mapping")]
    #[inline]
    pub fn protect(&self, table: Frame, index: u32, rights: Rights) -> Result<Leaf, Violation> {
        self.intrinsic(|| {
            let table = self.acquire(table, Kind::Table1, Uses::ENTRY)?;
            let old = self.protect_leaf(table.entry(index)?, rights)?;
            table.release();
            Ok(old)
        })
    }

    /// Replaces the leaf in entry `index` of `table`, a table of leaves, by one to `frame`, user
    /// data, and says what it was. No moment passes without a translation.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map), but [`EntryEmpty`](Violation::EntryEmpty) where nothing stands.
    ///
    /// # Checks
    ///
    /// As [`map`](Self::map) for the new frame and as [`unmap`](Self::unmap) for the old one.
    /// Attacks E13, X2.
    #[doc(alias = "sva_update_l1_mapping")]
    #[inline]
    pub fn replace(&self, table: Frame, index: u32, frame: Frame, rights: Rights) -> Result<Leaf, Violation> {
        self.intrinsic(|| {
            let table = self.acquire(table, Kind::Table1, Uses::ENTRY)?;
            let entry = table.entry(index)?;
            let target = self.acquire_for_leaf(frame, rights.write())?;
            let old = entry.update(|_| M::Mode::leaf(frame, rights, Half::User))?;
            target.keep();
            let old = M::Mode::unpack(old);
            self.drop_leaf(old);
            table.release();
            Ok(old)
        })
    }

    /// Clears accessed and dirty of the leaf in entry `index` of `table`, a table of leaves, and
    /// says what it was. A CPU that cached it as used may not note its use again until it flushes.
    ///
    /// # Errors
    ///
    /// As [`unmap`](Self::unmap).
    ///
    /// # Checks
    ///
    /// Nothing but these two bits changes (invariant 17). Attack E14.
    pub fn take_accessed_dirty(&self, table: Frame, index: u32) -> Result<Leaf, Violation> {
        self.intrinsic(|| {
            let table = self.acquire(table, Kind::Table1, Uses::ENTRY)?;
            let old = table.entry(index)?.update(M::Mode::without_history)?;
            table.release();
            Ok(M::Mode::unpack(old))
        })
    }

    /// Writes a leaf to `frame` in an empty entry, counted.
    #[inline(always)]
    pub(crate) fn fill_leaf(
        &self,
        entry: Slot<'_, M>,
        frame: Frame,
        rights: Rights,
    ) -> Result<(), Violation> {
        self.acquire_for_leaf(frame, rights.write())?.keep();
        let leaf = M::Mode::leaf(frame, rights, Half::User);
        entry.fill(leaf).inspect_err(|_| self.give_back_leaf(M::Mode::unpack(leaf)))
    }

    /// Gives back what was acquired for `leaf`, which was not written. All is told by the leaf, so that the
    /// way that succeeds has nothing else to remember.
    #[cold]
    #[inline(never)]
    fn give_back_leaf(&self, leaf: Leaf) {
        let uses = if leaf.write() { Uses::WRITE } else { Uses::READ };
        self.release(self.place(leaf.frame()), uses);
    }

    /// Acquires what a leaf to `frame` uses. With RW and without are ways of their own: the compiler then
    /// knows what is added, and needs no register for it.
    #[inline(always)]
    fn acquire_for_leaf(&self, frame: Frame, write: bool) -> Result<Held<'_, M>, Violation> {
        if write {
            self.acquire(frame, Kind::UserData, Uses::WRITE)
        } else {
            self.acquire(frame, Kind::UserData, Uses::READ)
        }
    }

    /// Empties an entry and drops what it counted.
    #[inline(always)]
    pub(crate) fn clear_leaf(&self, entry: Slot<'_, M>) -> Result<Leaf, Violation> {
        let old = M::Mode::unpack(entry.clear()?);
        self.drop_leaf(old);
        Ok(old)
    }

    /// Changes the rights of the leaf in an entry, and its counts with them.
    #[inline(always)]
    pub(crate) fn protect_leaf(&self, entry: Slot<'_, M>, rights: Rights) -> Result<Leaf, Violation> {
        match self.try_protect(entry, rights) {
            Some(answer) => answer,
            None => self.protect_again(entry, rights),
        }
    }

    /// As [`protect_leaf`](Self::protect_leaf); `None` if a CPU's note of use or another CPU got in between.
    #[inline(always)]
    fn try_protect(&self, entry: Slot<'_, M>, rights: Rights) -> Option<Result<Leaf, Violation>> {
        let old = entry.load();
        let leaf = match entry.present(old) {
            Ok(raw) => M::Mode::unpack(raw),
            Err(violation) => return Some(Err(violation)),
        };
        if !cfg!(sva_os_unchecked) && leaf.is_device() {
            return Some(Err(Violation::DeviceEntry(entry.index())));
        }
        let gains = rights.write() && !leaf.write();
        if gains {
            match self.acquire(leaf.frame(), Kind::UserData, Uses::GAIN_WRITE) {
                Ok(gained) => gained.keep(),
                // Another CPU may have emptied the entry, and the frame be something else by now.
                Err(violation) => return (entry.load() == old).then_some(Err(violation)),
            }
        }
        let new = M::Mode::with_history(M::Mode::leaf(leaf.frame(), rights, Half::User), old);
        if entry.replace(old, new).is_err() {
            if gains {
                self.give_back(leaf.frame(), Uses::GAIN_WRITE);
            }
            return None;
        }
        if leaf.write() && !rights.write() {
            self.release(self.stamp(leaf.frame()), Uses::GAIN_WRITE);
        }
        Some(Ok(leaf))
    }

    /// As [`protect_leaf`](Self::protect_leaf), as often as somebody gets in between.
    #[cold]
    #[inline(never)]
    fn protect_again(&self, entry: Slot<'_, M>, rights: Rights) -> Result<Leaf, Violation> {
        loop {
            if let Some(answer) = self.try_protect(entry, rights) {
                return answer;
            }
        }
    }

    /// Drops what `old`, now gone, used of its frame: stamp first, then the count.
    #[inline(always)]
    fn drop_leaf(&self, old: Leaf) {
        if let Some(place) = self.frames.place(old.frame()) {
            self.put_stamp(place);
            if old.write() {
                self.release(place, Uses::WRITE);
            } else {
                self.release_of_total(place, Uses::READ);
            }
        } else if !old.is_device() {
            // A device that is lent to programs is so for ever, so nothing counts its mappings.
            self.machine.stop("a leaf names a frame that does not exist")
        }
    }

    /// Stamps `frame`, which an entry named until now, and says where its count lies.
    #[inline(always)]
    fn stamp(&self, frame: Frame) -> Place {
        let place = self.place(frame);
        self.put_stamp(place);
        place
    }

    #[inline(always)]
    fn put_stamp(&self, place: Place) {
        if cfg!(not(sva_os_unchecked)) {
            place.drop_at(&self.machine, self.clock.now(&self.machine));
        }
    }
}
