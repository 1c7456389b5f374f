//! Many leaves of one table in one call.
//!
//! The table is held once, with the counts of all entries that the call may write; what is left over
//! is given back at the end. Each element is checked as the single call checks it, and the first
//! refused one ends the batch: those before it are done, it and those behind it are not.

use super::entry::Slot;
use super::mode::{Entry, Geometry, Leaf, PagingMode, Rights};
use crate::address::Frame;
use crate::frame::Kind;
use crate::frame::word::Uses;
use crate::machine::Machine;
use crate::sva::Sva;
use crate::violation::{Progress, Violation};

/// What a batch does to the number of present entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Adds,
    Removes,
    Keeps,
}

impl<M: Machine> Sva<M> {
    /// Maps `leaves` in the empty entries of `table` from `first` on.
    ///
    /// # Checks
    ///
    /// Each as [`map`](Self::map). Attacks E17, X4.
    pub fn map_batch(&self, table: Frame, first: u32, leaves: &[(Frame, Rights)]) -> Progress {
        let step = |entry: Slot<'_, M>, &(frame, rights): &_| self.fill_leaf(entry, frame, rights);
        self.batch_in(table, first, leaves.iter(), Change::Adds, step)
    }

    /// Empties the entries of `table` from `first` on, as many as `old` has places, and puts there what
    /// they were.
    ///
    /// # Checks
    ///
    /// Each as [`unmap`](Self::unmap). Attack E17.
    pub fn unmap_batch(&self, table: Frame, first: u32, old: &mut [Option<Leaf>]) -> Progress {
        let step = |entry: Slot<'_, M>, place: &mut Option<Leaf>| {
            *place = Some(self.clear_leaf(entry)?);
            Ok(())
        };
        self.batch_in(table, first, old.iter_mut(), Change::Removes, step)
    }

    /// Gives the leaves in the entries of `table` from `first` on, as many as `rights` has elements,
    /// these rights.
    ///
    /// # Checks
    ///
    /// Each as [`protect`](Self::protect). Attack E17.
    pub fn protect_batch(&self, table: Frame, first: u32, rights: &[Rights]) -> Progress {
        let step = |entry: Slot<'_, M>, rights: &Rights| self.protect_leaf(entry, *rights).map(drop);
        self.batch_in(table, first, rights.iter(), Change::Keeps, step)
    }

    /// Puts in `leaves` what stands in the entries of `table` from `first` on, as many as there are places.
    ///
    /// # Checks
    ///
    /// Each as [`read_entry`](Self::read_entry). Attacks E1, E2.
    pub fn read_batch(&self, table: Frame, first: u32, leaves: &mut [Option<Leaf>]) -> Progress {
        let step = |entry: Slot<'_, M>, place: &mut Option<Leaf>| {
            *place = match M::Mode::decode(1, entry.load()) {
                Entry::Leaf(leaf) => Some(leaf),
                Entry::Empty | Entry::Table(_) | Entry::Illegal => None,
            };
            Ok(())
        };
        self.batch_in(table, first, leaves.iter_mut(), Change::Keeps, step)
    }

    /// Does `step` to the entries of `table` from `first` on, one for each of `elements`.
    #[inline(always)]
    fn batch_in<T>(
        &self,
        table: Frame,
        first: u32,
        elements: impl ExactSizeIterator<Item = T>,
        change: Change,
        step: impl Fn(Slot<'_, M>, T) -> Result<(), Violation>,
    ) -> Progress {
        self.intrinsics(|| {
            let room = M::Mode::ENTRIES.saturating_sub(first);
            let length = u32::try_from(elements.len()).unwrap_or(u32::MAX);
            let wanted = length.min(room);
            let reserved = if change == Change::Adds { wanted } else { 0 };
            // One for this call, and one for each entry that it may write.
            let held = match self.acquire(table, Kind::Table1, Uses::ENTRY.times(reserved.saturating_add(1)))
            {
                Ok(held) => held,
                Err(violation) => return Progress { done: 0, refused: Some(violation) },
            };
            let entries = held.entries(first, wanted).zip(elements);
            let mut progress = batch(entries, |_, (entry, element)| step(entry, element));
            if progress.done == wanted && wanted < length {
                progress.refused = Some(Violation::NoSuchEntry(first.saturating_add(wanted)));
            }
            let left = match change {
                Change::Adds => reserved.wrapping_sub(progress.done),
                Change::Removes => progress.done,
                Change::Keeps => 0,
            };
            held.release_instead(Uses::ENTRY.times(left.saturating_add(1)));
            progress
        })
    }
}

/// Does `step`, with how many are done, for each element until one is refused.
#[inline(always)]
pub(super) fn batch<T>(
    elements: impl Iterator<Item = T>,
    mut step: impl FnMut(u32, T) -> Result<(), Violation>,
) -> Progress {
    let mut done = 0u32;
    for element in elements {
        if let Err(violation) = step(done, element) {
            return Progress { done, refused: Some(violation) };
        }
        done = done.wrapping_add(1);
    }
    Progress { done, refused: None }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
