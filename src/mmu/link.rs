//! The tree: a table hangs in one entry of its parent, or in none.

use super::entry::Slot;
use super::mode::{Entry, Half, PagingMode};
use crate::address::Frame;
use crate::frame::Kind;
use crate::frame::stamp::Stamp;
use crate::frame::word::Uses;
use crate::machine::Machine;
use crate::sva::{Held, Sva};
use crate::violation::Violation;

impl<M: Machine> Sva<M> {
    /// Links `table` in the empty entry `index` of `parent`: a root, or a table one level above it.
    ///
    /// # Errors
    ///
    /// Of `parent`: [`NotATable`](Violation::NotATable), [`WrongLevel`](Violation::WrongLevel) for a
    /// table of leaves, [`FrameSealed`](Violation::FrameSealed);
    /// of `index`: [`NoSuchEntry`](Violation::NoSuchEntry), [`KernelEntry`](Violation::KernelEntry),
    /// [`EntryPresent`](Violation::EntryPresent);
    /// of `table`: [`NotATable`](Violation::NotATable), [`WrongLevel`](Violation::WrongLevel),
    /// [`TableLinked`](Violation::TableLinked);
    /// of either frame: [`NoSuchFrame`](Violation::NoSuchFrame), [`FrameBusy`](Violation::FrameBusy).
    ///
    /// # Checks
    ///
    /// Levels fit (invariant 2); one parent a table (6), so no cycle; the kernel half stays as it
    /// is (7). Attacks T1 to T4, T7, E15.
    #[doc(alias = "sva_update_l2_mapping")]
    #[doc(alias = "sva_update_l3_mapping")]
    pub fn link(&self, parent: Frame, index: u32, table: Frame) -> Result<(), Violation> {
        self.intrinsic(|| {
            let (parent, level) = self.hold_parent(parent)?;
            let entry = parent.child_entry(level, index)?;
            let kind = Kind::table(level.saturating_sub(1)).ok_or(Violation::NotATable(parent.frame))?;
            let child = self.acquire_link(table, kind)?;
            let before = self.frames.stamp(&self.machine, table);
            // Before the entry is there for another CPU to unlink: from then on the stamp is its.
            self.frames.set_stamp(&self.machine, table, Stamp::Linked { table: parent.frame, index });
            if let Err(violation) = entry.fill(M::Mode::link(level, table, Half::User)) {
                self.frames.set_stamp(&self.machine, table, before);
                return Err(violation);
            }
            child.keep();
            self.root_entry_changed(level, parent.frame);
            parent.keep();
            Ok(())
        })
    }

    /// Empties entry `index` of `parent`, a root or a table above the leaves, and says which table
    /// it linked.
    ///
    /// # Errors
    ///
    /// Of `parent` and `index` as [`link`](Self::link), but
    /// [`EntryEmpty`](Violation::EntryEmpty) where nothing stands.
    ///
    /// # Checks
    ///
    /// Only an entry of the user half is ever emptied (7); the table is stamped, so that it stays a
    /// table until no structure cache leads to it (9). Attacks F14, T4, C13.
    #[doc(alias = "sva_remove_mapping")]
    pub fn unlink(&self, parent: Frame, index: u32) -> Result<Frame, Violation> {
        self.intrinsic(|| {
            let (parent, level) = self.hold_parent(parent)?;
            let old = parent.child_entry(level, index)?.clear()?;
            let table = match M::Mode::decode(level, old) {
                Entry::Table(table) => table,
                Entry::Empty | Entry::Leaf(_) | Entry::Illegal => self.machine.stop("a table links no table"),
            };
            self.frames.set_stamp(&self.machine, table, Stamp::Dropped(self.clock.now(&self.machine)));
            self.release(self.place(table), Uses::LINK);
            self.root_entry_changed(level, parent.frame);
            parent.release_also(Uses::ENTRY);
            Ok(table)
        })
    }

    /// Holds `parent`, a root or a table above the leaves, and says its level.
    #[inline(always)]
    fn hold_parent(&self, parent: Frame) -> Result<(Held<'_, M>, u8), Violation> {
        let kind = self.kind(parent);
        let level = match kind {
            Kind::Root => M::Mode::LEVELS,
            other => match other.level() {
                Some(level @ 2..) => level,
                Some(_) => return Err(Violation::WrongLevel(parent)),
                None => return Err(not_a_parent(parent, kind)),
            },
        };
        Ok((self.acquire(parent, kind, Uses::ENTRY)?, level))
    }

    /// Makes the CPUs that keep the entries of `root` in registers read them again.
    #[inline(always)]
    fn root_entry_changed(&self, level: u8, root: Frame) {
        if !M::Mode::ROOT_IN_REGISTERS || level != M::Mode::LEVELS {
            return;
        }
        if cfg!(sva_os_unchecked) {
            // Uses are not counted, and there is one CPU.
            if root == self.machine.root() {
                self.flush();
            }
        } else if self.mappings(root).writable != 0 {
            self.flush_since(self.clock.now(&self.machine));
        }
    }
}

impl<M: Machine> Held<'_, M> {
    /// Entry `index` of this parent of `level`: of a root, only the client's.
    #[inline(always)]
    fn child_entry(&self, level: u8, index: u32) -> Result<Slot<'_, M>, Violation> {
        if level == M::Mode::LEVELS { self.user_entry(index) } else { self.entry(index) }
    }
}

#[cold]
fn not_a_parent(frame: Frame, kind: Kind) -> Violation {
    if kind == Kind::None { Violation::NoSuchFrame(frame) } else { Violation::NotATable(frame) }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
