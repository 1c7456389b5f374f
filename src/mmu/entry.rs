//! One entry of a table that is held.

use super::mode::{Geometry, PagingMode};
use crate::address::{Frame, PhysAddr};
use crate::machine::{Machine, Word};
use crate::sva::{Held, Sva};
use crate::violation::Violation;

/// Where entry `index` of `table` lies.
#[inline(always)]
pub(crate) const fn entry_address<P: PagingMode>(table: Frame, index: u32) -> PhysAddr {
    table.start().plus(index.wrapping_mul(<P::Raw as Word>::BYTES))
}

/// An entry of a table that `Held` keeps a table. Two words, so that it never needs memory of its own.
pub(crate) struct Slot<'h, M: Machine> {
    sva: &'h Sva<M>,
    at: PhysAddr,
}

impl<M: Machine> Clone for Slot<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Machine> Copy for Slot<'_, M> {}

impl<M: Machine> Held<'_, M> {
    /// Entry `index` of this table below the root.
    #[inline(always)]
    pub(crate) fn entry(&self, index: u32) -> Result<Slot<'_, M>, Violation> {
        if cfg!(sva_os_unchecked) || index < M::Mode::ENTRIES {
            Ok(self.slot(index))
        } else {
            Err(Violation::NoSuchEntry(index))
        }
    }

    /// The `count` entries from `first` on of this table below the root.
    #[inline(always)]
    pub(crate) fn entries(&self, first: u32, count: u32) -> impl Iterator<Item = Slot<'_, M>> {
        let last = first.saturating_add(count).min(M::Mode::ENTRIES);
        (first..last).map(|index| self.slot(index))
    }

    /// Entry `index` of this root, which must be the client's to change.
    #[inline(always)]
    pub(crate) fn user_entry(&self, index: u32) -> Result<Slot<'_, M>, Violation> {
        if cfg!(sva_os_unchecked) || self.sva.half.is_user_entry::<M::Mode>(index) {
            Ok(self.slot(index))
        } else {
            Err(no_user_entry::<M::Mode>(index))
        }
    }

    /// Entry `index` of this root, whosever it is.
    pub(crate) fn root_entry(&self, index: u32) -> Result<Slot<'_, M>, Violation> {
        if cfg!(sva_os_unchecked) || index < M::Mode::ROOT_ENTRIES {
            Ok(self.slot(index))
        } else {
            Err(Violation::NoSuchEntry(index))
        }
    }

    /// `index` is below the table's number of entries.
    #[inline(always)]
    fn slot(&self, index: u32) -> Slot<'_, M> {
        Slot { sva: self.sva, at: entry_address::<M::Mode>(self.frame, index) }
    }
}

#[cold]
#[inline(never)]
fn no_user_entry<P: PagingMode>(index: u32) -> Violation {
    if index < P::ROOT_ENTRIES { Violation::KernelEntry(index) } else { Violation::NoSuchEntry(index) }
}

/// An entry as RAM holds it.
pub(crate) type Raw<M> = <<M as Machine>::Mode as PagingMode>::Raw;

impl<M: Machine> Slot<'_, M> {
    /// Which entry of its table it is: a table begins where its frame does.
    pub(crate) const fn index(self) -> u32 {
        self.at.offset().wrapping_shr(<Raw<M> as Word>::BYTES.trailing_zeros())
    }

    /// What stands in it.
    #[inline(always)]
    pub(crate) fn load(self) -> Raw<M> {
        // SAFETY: 1. `slot` computed it from a table's frame, which is RAM, and an index in range.
        // 2. The table is held, so the frame stays a table.
        unsafe { self.sva.machine.load(self.at) }
    }

    /// Writes `new` where nothing stands.
    #[inline(always)]
    pub(crate) fn fill(self, new: Raw<M>) -> Result<(), Violation> {
        if cfg!(sva_os_unchecked) {
            // SAFETY: 1. and 2. as in `load`.
            unsafe { self.sva.machine.store(self.at, new) }
            return Ok(());
        }
        // SAFETY: 1. and 2. as in `load`; the caller acquired what `new` leads to.
        match unsafe { self.sva.machine.compare_exchange(self.at, Raw::<M>::ZERO, new) } {
            Ok(_) => Ok(()),
            Err(_) => Err(Violation::EntryPresent(self.index())),
        }
    }

    /// Empties it and says what stood there, which must have been something.
    #[inline(always)]
    pub(crate) fn clear(self) -> Result<Raw<M>, Violation> {
        // SAFETY: 1. and 2. as in `load`; an empty entry leads nowhere.
        let old = unsafe { self.sva.machine.exchange(self.at, Raw::<M>::ZERO) };
        self.present(old)
    }

    /// Replaces `old`, which was loaded from here, by `new`. `Err` says what stands there instead.
    #[inline(always)]
    pub(crate) fn replace(self, old: Raw<M>, new: Raw<M>) -> Result<(), Raw<M>> {
        // SAFETY: 1. and 2. as in `load`; the caller acquired what `new` leads to.
        match unsafe { self.sva.machine.compare_exchange(self.at, old, new) } {
            Ok(_) => Ok(()),
            Err(seen) => Err(seen),
        }
    }

    /// `raw`, which was loaded from here, unless it is empty.
    #[inline(always)]
    pub(crate) fn present(self, raw: Raw<M>) -> Result<Raw<M>, Violation> {
        if raw == Raw::<M>::ZERO { Err(Violation::EntryEmpty(self.index())) } else { Ok(raw) }
    }

    /// Changes what stands in it, which must be something, by `change`, as often as a CPU's note
    /// of use or another CPU gets in between. `Ok` is what stood there.
    #[inline(always)]
    pub(crate) fn update(self, change: impl Fn(Raw<M>) -> Raw<M>) -> Result<Raw<M>, Violation> {
        let mut old = self.load();
        loop {
            match self.replace(self.present(old)?, change(old)) {
                Ok(()) => return Ok(old),
                Err(seen) => old = seen,
            }
        }
    }
}
