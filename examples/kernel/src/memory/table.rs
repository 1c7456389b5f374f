//! The page tables of an address space, by the library's intrinsics for one table each.
//!
//! Beside each table of leaves stands which of its entries are present, so that to go through an address space is to
//! go through its pages, and neighbours are changed together.

use super::pool;
use crate::machine::{Mode, sva};
use alloc::vec::Vec;
use sva_os::Violation;
use sva_os::address::{Frame, Page};
use sva_os::mmu::{Entry, Geometry, Leaf, PagingMode, Rights};

const WORDS: usize = (Mode::ENTRIES / 32) as usize;

/// A table of leaves.
pub(super) struct Table {
    /// Its place among all of the address space.
    number: u32,
    pub(super) frame: Frame,
    present: [u32; WORDS],
}

/// Entries of one table, one after the other, all present; no more than 32.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) count: u32,
}

impl Run {
    /// It, in parts of `most` entries and a last one of fewer.
    pub(super) fn parts(self, most: u32) -> impl Iterator<Item = Self> {
        let mut left = self;
        core::iter::from_fn(move || {
            let part = Self { first: left.first, count: left.count.min(most) };
            left = Self { first: left.first + part.count, count: left.count - part.count };
            (part.count > 0).then_some(part)
        })
    }
}

/// A root and what is below it. Dropping it gives all frames back.
pub(super) struct Tables {
    root: Frame,
    /// Tables between root and leaves, where the mode has any: by the entry of the root.
    middle: [Option<Frame>; 4],
    /// Sorted by number.
    leaves: Vec<Table>,
}

/// No frame is left, or the library refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoFrame;

impl From<Violation> for NoFrame {
    fn from(_: Violation) -> Self {
        Self
    }
}

/// log2 of the pages that a table of leaves serves.
const BITS: u32 = Mode::INDEX_BITS;
const HAS_MIDDLE: bool = Mode::LEVELS == 3;
/// Tables that may stay although they are empty.
const MOST_EMPTY: usize = 16;

fn index(page: u32) -> u32 {
    page & (Mode::ENTRIES - 1)
}

impl Table {
    /// The first page that it serves.
    pub(super) fn first_page(&self) -> u32 {
        self.number << BITS
    }

    fn is_present(&self, index: u32) -> bool {
        self.present.get((index / 32) as usize).is_some_and(|word| word >> (index % 32) & 1 != 0)
    }

    fn set(&mut self, run: Run, present: bool) {
        for index in run.first..run.first + run.count {
            if let Some(word) = self.present.get_mut((index / 32) as usize) {
                *word = *word & !(1 << (index % 32)) | u32::from(present) << (index % 32);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.present.iter().all(|word| *word == 0)
    }

    /// The first run of present entries from entry `from` on, below `end`.
    fn run(&self, from: u32, end: u32) -> Option<Run> {
        let mut at = from;
        while at < end {
            let word = self.present.get((at / 32) as usize)? >> (at % 32);
            if word == 0 {
                at = (at / 32 + 1) * 32;
                continue;
            }
            let first = at + word.trailing_zeros();
            let ones = (word >> word.trailing_zeros()).trailing_ones();
            return (first < end).then(|| Run { first, count: ones.min(end - first) });
        }
        None
    }

    /// What entry `index`, which is present, holds.
    pub(super) fn leaf(&self, index: u32) -> Option<Leaf> {
        match sva().read_entry(self.frame, index) {
            Ok(Entry::Leaf(leaf)) => Some(leaf),
            _ => None,
        }
    }

    /// What the entries of `run` hold.
    pub(super) fn leaves(&self, run: Run, leaves: &mut [Option<Leaf>]) {
        if let Some(leaves) = leaves.get_mut(..run.count as usize) {
            _ = sva().read_batch(self.frame, run.first, leaves);
        }
    }
}

impl Tables {
    /// A root with nothing below it.
    pub(super) fn new() -> Result<Self, NoFrame> {
        let root = pool::take_free().ok_or(NoFrame)?;
        if sva().declare_root(root).is_err() {
            pool::give_free(root);
            return Err(NoFrame);
        }
        Ok(Self { root, middle: [None; 4], leaves: Vec::new() })
    }

    pub(super) fn root(&self) -> Frame {
        self.root
    }

    fn place(&self, page: u32) -> Result<usize, usize> {
        self.leaves.binary_search_by_key(&(page >> BITS), |table| table.number)
    }

    fn table(&self, page: u32) -> Option<&Table> {
        self.place(page).ok().and_then(|place| self.leaves.get(place))
    }

    /// Makes `frame` a table of `level`, linked in `parent` for `page`.
    fn link(parent: Frame, page: u32, level: u8) -> Result<Frame, NoFrame> {
        let page = Page::new(page).ok_or(NoFrame)?;
        let frame = pool::take_free().ok_or(NoFrame)?;
        if sva().declare_table(frame, level).is_err() {
            pool::give_free(frame);
            return Err(NoFrame);
        }
        if sva().link(parent, Mode::index(level + 1, page), frame).is_err() {
            if sva().remove_table(frame).is_ok() {
                pool::give_free(frame);
            }
            return Err(NoFrame);
        }
        Ok(frame)
    }

    /// Takes the table of `level` for `page` out of `parent`.
    fn unlink(parent: Frame, page: u32, level: u8) {
        if let Some(page) = Page::new(page) {
            _ = sva().unlink(parent, Mode::index(level + 1, page));
        }
    }

    /// Gives back a table that is empty and linked nowhere. If the CPU has not forgotten it since it was, it is made to.
    fn remove(table: Frame) {
        if sva().remove_table(table).is_ok() {
            pool::give_free(table);
        }
    }

    /// What tables of leaves for `page` hang in.
    fn parent(&self, page: u32) -> Option<Frame> {
        if HAS_MIDDLE {
            self.middle.get((page >> (2 * BITS)) as usize).copied().flatten()
        } else {
            Some(self.root)
        }
    }

    fn table_or_make(&mut self, page: u32) -> Result<&mut Table, NoFrame> {
        let place = match self.place(page) {
            Ok(place) => place,
            Err(place) => {
                let parent = match self.parent(page) {
                    Some(parent) => parent,
                    None => {
                        let middle = Self::link(self.root, page, 2)?;
                        *self.middle.get_mut((page >> (2 * BITS)) as usize).ok_or(NoFrame)? = Some(middle);
                        middle
                    }
                };
                let frame = Self::link(parent, page, 1)?;
                self.leaves.insert(place, Table { number: page >> BITS, frame, present: [0; WORDS] });
                place
            }
        };
        self.leaves.get_mut(place).ok_or(NoFrame)
    }

    /// What `page` is mapped to.
    pub(super) fn leaf(&self, page: u32) -> Option<Leaf> {
        let table = self.table(page)?;
        if table.is_present(index(page)) { table.leaf(index(page)) } else { None }
    }

    /// Maps `frame` at `page`, where nothing is.
    pub(super) fn map(&mut self, page: u32, frame: Frame, rights: Rights) -> Result<(), NoFrame> {
        let table = self.table_or_make(page)?;
        sva().map(table.frame, index(page), frame, rights)?;
        table.set(Run { first: index(page), count: 1 }, true);
        Ok(())
    }

    /// Maps `leaves` at the entries of the table for `page` from that of `page` on, where nothing is.
    pub(super) fn map_run(&mut self, page: u32, leaves: &[(Frame, Rights)]) -> Result<(), (usize, NoFrame)> {
        let table = self.table_or_make(page).map_err(|error| (0, error))?;
        let progress = sva().map_batch(table.frame, index(page), leaves);
        table.set(Run { first: index(page), count: progress.done }, true);
        progress.complete().map(drop).map_err(|error| (progress.done as usize, error.into()))
    }

    /// Changes what may be done with `page`, which is mapped.
    pub(super) fn protect(&self, page: u32, rights: Rights) -> Result<(), NoFrame> {
        let table = self.table(page).ok_or(NoFrame)?;
        sva().protect(table.frame, index(page), rights)?;
        self.forget(page);
        Ok(())
    }

    /// Maps `page`, which is mapped, to `frame` instead.
    pub(super) fn replace(&self, page: u32, frame: Frame, rights: Rights) -> Result<(), NoFrame> {
        let table = self.table(page).ok_or(NoFrame)?;
        sva().replace(table.frame, index(page), frame, rights)?;
        self.forget(page);
        Ok(())
    }

    /// Lets this CPU forget what it knows of `page`.
    pub(super) fn forget(&self, page: u32) {
        if let Some(page) = Page::new(page) {
            sva().flush_page(page);
        }
    }

    /// The runs of mapped pages in `first..end`, each with its table.
    pub(super) fn runs(&self, first: u32, end: u32) -> impl Iterator<Item = (&Table, Run)> {
        let from = self.place(first).unwrap_or_else(|place| place);
        let tables = self.leaves.get(from..).unwrap_or_default().iter();
        tables.take_while(move |table| table.first_page() < end).flat_map(move |table| {
            let base = table.first_page();
            let last = end.saturating_sub(base).min(Mode::ENTRIES);
            let mut at = first.saturating_sub(base);
            core::iter::from_fn(move || {
                let run = table.run(at, last)?;
                at = run.first + run.count;
                Some((table, run))
            })
        })
    }

    /// Unmaps what is mapped in `first..end`. Hands `gone` the pages from its first argument on and their leaves, when
    /// this CPU has forgotten them.
    pub(super) fn unmap(&mut self, first: u32, end: u32, mut gone: impl FnMut(u32, &[Option<Leaf>])) {
        let from = self.place(first).unwrap_or_else(|place| place);
        let is_loaded = sva().root() == self.root;
        for table in self.leaves.get_mut(from..).unwrap_or_default() {
            let base = table.first_page();
            if base >= end {
                break;
            }
            let last = end.saturating_sub(base).min(Mode::ENTRIES);
            let mut at = first.saturating_sub(base);
            while let Some(run) = table.run(at, last) {
                at = run.first + run.count;
                let mut old = [None; 32];
                let Some(old) = old.get_mut(..run.count as usize) else {
                    break;
                };
                let done = sva().unmap_batch(table.frame, run.first, old).done;
                table.set(Run { first: run.first, count: done }, false);
                if is_loaded {
                    for page in (base + run.first..).take(old.len()).filter_map(Page::new) {
                        sva().flush_page(page);
                    }
                }
                gone(base + run.first, old);
            }
        }
        if self.leaves.len() > MOST_EMPTY {
            self.drop_empty(first, end);
        }
    }

    /// Gives back tables that serve pages of `first..end` and are empty.
    fn drop_empty(&mut self, first: u32, end: u32) {
        let mut place = self.place(first).unwrap_or_else(|place| place);
        while let Some(table) = self.leaves.get(place).filter(|table| table.first_page() < end) {
            if !table.is_empty() {
                place += 1;
                continue;
            }
            let (page, frame) = (table.first_page(), table.frame);
            self.leaves.remove(place);
            if let Some(parent) = self.parent(page) {
                Self::unlink(parent, page, 1);
                Self::remove(frame);
            }
        }
    }
}

impl Drop for Tables {
    /// Unlinks tables before another root is loaded, which makes the CPU forget them all: then none is removed with a
    /// flush of its own.
    fn drop(&mut self) {
        for table in &self.leaves {
            if let Some(parent) = self.parent(table.first_page()) {
                Self::unlink(parent, table.first_page(), 1);
            }
        }
        if sva().root() == self.root && sva().load_root(sva().sealed_root()).is_err() {
            return;
        }
        self.unmap(0, super::END_PAGE, |_, leaves| {
            pool::give_user(leaves.iter().flatten().map(|leaf| leaf.frame()));
        });
        // A root's own entries are changed while it is not loaded, for with PAE the CPU has them in registers.
        for (place, _) in (0..).zip(&self.middle).filter(|(_, middle)| middle.is_some()) {
            Self::unlink(self.root, place << (2 * BITS), 2);
        }
        let leaves = core::mem::take(&mut self.leaves).into_iter().map(|table| table.frame);
        leaves.chain(self.middle.into_iter().flatten()).for_each(Self::remove);
        if sva().remove_root(self.root).is_ok() {
            pool::give_free(self.root);
        }
    }
}
