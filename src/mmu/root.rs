//! CR3.

use super::mode::{Entry, Geometry, Leaf, PagingMode};
use crate::address::{Frame, Page, PhysAddr};
use crate::frame::Kind;
use crate::frame::word::Uses;
use crate::interrupt::check_outside_handlers;
use crate::machine::Machine;
use crate::mmu::entry::{Raw, entry_address};
use crate::mmu::kernel_half::Expected;
use crate::sva::{Held, Sva};
use crate::violation::Violation;

impl<M: Machine> Sva<M> {
    /// The root in this CPU's CR3.
    pub fn root(&self) -> Frame {
        self.machine.root()
    }

    /// Loads CR3 of this CPU with `root`, which also flushes this CPU.
    ///
    /// # Errors
    ///
    /// [`NotARoot`](Violation::NotARoot), [`TooManyMappings`](Violation::TooManyMappings),
    /// [`NoSuchFrame`](Violation::NoSuchFrame), [`FrameBusy`](Violation::FrameBusy),
    /// [`InHandler`](Violation::InHandler), [`PerCpuBorrowed`](Violation::PerCpuBorrowed).
    ///
    /// # Checks
    ///
    /// The frame is a root, and stays one as long as it is loaded (invariant 8). What is given back
    /// is the root that CR3 held, not one remembered elsewhere. No handler runs on this CPU: what it
    /// interrupted may be in the midst of a user copy. Attacks C1, C3, F13, S13.
    #[doc(alias = "sva_mm_load_pgtable")]
    pub fn load_root(&self, root: Frame) -> Result<(), Violation> {
        self.intrinsic(|| {
            check_outside_handlers(&self.machine)?;
            self.change_root(root)
        })
    }

    /// Loads `root`, which is held as long as it is loaded. Interrupts are off, no handler runs here.
    #[inline(always)]
    pub(crate) fn change_root(&self, root: Frame) -> Result<(), Violation> {
        if cfg!(sva_os_unchecked) {
            // SAFETY: nothing vouches for it in this build.
            unsafe { self.machine.load_root(root) }
            return Ok(());
        }
        let held = self.hold_root(root, Uses::LOAD)?;
        let old = self.machine.root();
        let time = self.clock.tick(&self.machine);
        // SAFETY: `root` is a root, sealed or held; what is held is kept for this CPU below.
        unsafe { self.machine.load_root(root) }
        self.clock.publish(&self.machine, self.machine.cpu(), time);
        self.loaded.set(&self.machine, self.machine.cpu(), root);
        if let Some(held) = held {
            held.keep();
        }
        self.release_root(old);
        self.renew(time);
        Ok(())
    }

    /// Holds `root`, or nothing if it is the sealed one, which needs no holding.
    #[inline(always)]
    pub(crate) fn hold_root(&self, root: Frame, uses: Uses) -> Result<Option<Held<'_, M>>, Violation> {
        if root == self.half.root { Ok(None) } else { self.acquire(root, Kind::Root, uses).map(Some) }
    }

    /// Gives back the use of a root that a CPU or a thread had.
    #[inline(always)]
    pub(crate) fn release_root(&self, root: Frame) {
        if cfg!(not(sva_os_unchecked)) && root != self.half.root {
            self.release(self.place(root), Uses::LOAD);
        }
    }

    /// What `root` translates `page` to, in either half; `None` where it is not mapped.
    ///
    /// Another CPU may change the tables meanwhile: the answer was true at some moment of the call.
    ///
    /// # Errors
    ///
    /// [`NotARoot`](Violation::NotARoot), [`NoSuchFrame`](Violation::NoSuchFrame),
    /// [`FrameBusy`](Violation::FrameBusy).
    ///
    /// # Checks
    ///
    /// Every table stays one while it is read.
    #[doc(alias = "sva_get_physical_address")]
    pub fn translate(&self, root: Frame, page: Page) -> Result<Option<Leaf>, Violation> {
        self.intrinsic(|| {
            let mut held = self.hold_root(root, Uses::ENTRY)?;
            if !self.half.user.contains(page) {
                return Ok(self.translate_kernel(page));
            }
            let mut level = M::Mode::LEVELS;
            while let Some(table) = held {
                let raw = table.root_or_table_entry(level, page)?;
                let found = match M::Mode::decode(level, raw) {
                    Entry::Leaf(leaf) => Some(leaf),
                    Entry::Empty | Entry::Illegal => None,
                    Entry::Table(child) => {
                        let below = level.saturating_sub(1);
                        let Some(kind) = Kind::table(below) else {
                            return Ok(None);
                        };
                        let child = self.acquire(child, kind, Uses::ENTRY);
                        // Still linked here, or it may by now be another's table: then look again.
                        held = Some(if table.root_or_table_entry(level, page)? == raw {
                            table.release();
                            level = below;
                            child?
                        } else {
                            table
                        });
                        continue;
                    }
                };
                table.release();
                return Ok(found);
            }
            Ok(None)
        })
    }

    /// Where the leaf of the kernel half for `page` lies; `None` where no table serves it.
    fn kernel_leaf(&self, page: Page) -> Option<PhysAddr> {
        let mut table = self.half.root;
        for level in (2..=M::Mode::LEVELS).rev() {
            let at = entry_address::<M::Mode>(table, M::Mode::index(level, page));
            // SAFETY: 1. an entry of the sealed root or of a kernel table, in RAM. 2. Both are sealed.
            let raw: Raw<M> = unsafe { self.machine.load(at) };
            let Entry::Table(child) = M::Mode::decode(level, raw) else {
                return None;
            };
            table = child;
        }
        Some(entry_address::<M::Mode>(table, M::Mode::index(1, page)))
    }

    /// Makes `page`, of a window of the kernel half, be what `expected` says.
    ///
    /// # Safety
    ///
    /// The page is the caller's to change: one of a slot for stacks that it made busy, or of those for devices that it
    /// took.
    pub(crate) unsafe fn set_kernel_leaf(&self, page: Page, expected: Expected) {
        let Some(at) = self.kernel_leaf(page) else {
            self.machine.stop("no table serves a window of the kernel half")
        };
        // SAFETY: 1. an entry of a kernel table, in RAM. 2. Each of a window's belongs to somebody, and this one to the
        // caller.
        unsafe { self.machine.store(at, expected.encode::<M::Mode>(1)) }
    }

    /// What the kernel half translates `page` to.
    fn translate_kernel(&self, page: Page) -> Option<Leaf> {
        let at = self.kernel_leaf(page)?;
        // SAFETY: 1. an entry of a kernel table, in RAM. 2. It is sealed.
        let raw: Raw<M> = unsafe { self.machine.load(at) };
        match M::Mode::decode(1, raw) {
            Entry::Leaf(leaf) => Some(leaf),
            Entry::Table(_) | Entry::Empty | Entry::Illegal => None,
        }
    }

    /// What stands in entry `index` of `table`, a user-half table or a root.
    ///
    /// # Errors
    ///
    /// [`NotATable`](Violation::NotATable), [`NoSuchEntry`](Violation::NoSuchEntry),
    /// [`NoSuchFrame`](Violation::NoSuchFrame), [`FrameBusy`](Violation::FrameBusy).
    ///
    /// # Checks
    ///
    /// The frame stays a table while it is read.
    pub fn read_entry(&self, table: Frame, index: u32) -> Result<Entry, Violation> {
        self.intrinsic(|| {
            let kind = self.kind(table);
            let (level, wanted) = match (kind, kind.level()) {
                (Kind::Root, _) => (M::Mode::LEVELS, Kind::Root),
                (_, Some(level)) => (level, kind),
                (_, None) => (1, Kind::Table1),
            };
            if table == self.half.root {
                return Err(Violation::FrameSealed(table));
            }
            let held = self.acquire(table, wanted, Uses::ENTRY)?;
            let entry = if wanted == Kind::Root { held.root_entry(index)? } else { held.entry(index)? };
            let raw = entry.load();
            held.release();
            Ok(M::Mode::decode(level, raw))
        })
    }
}

impl<M: Machine> Held<'_, M> {
    /// The entry of this table or root of `level` that serves `page`.
    fn root_or_table_entry(&self, level: u8, page: Page) -> Result<Raw<M>, Violation> {
        let index = M::Mode::index(level, page);
        let entry = if level == M::Mode::LEVELS { self.root_entry(index)? } else { self.entry(index)? };
        // Accessed bits come and go by themselves; a table's link has no other history.
        let raw = entry.load();
        Ok(if level == 1 { raw } else { M::Mode::at_rest(level, raw) })
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
