//! The page walker: every way in which a CPU might now translate a page.

use super::Emulated;
use super::cache::{Caches, Structure, Translation};
use super::format::{self, Allowed, Format, Reading};
use crate::address::{Frame, Page, PhysAddr};
use crate::machine::Cpu;
use crate::mmu::PagingMode;
use std::vec::Vec;

/// Where a walk begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Start {
    /// At the root that CR3 names, in RAM. In PAE mode a CPU may reload a PDPTE register from there.
    Root,
    /// At a PDPTE register.
    Register,
    /// At an entry of the paging-structure cache.
    Structure,
}

/// How a walk ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum End {
    /// At a leaf.
    Leaf(Translation),
    /// At an entry of a table of this level, that is not present.
    Absent(u8),
    /// At an entry of a table of this level, in which a reserved bit is set.
    Reserved(u8),
}

/// An entry that a walk went through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Passed {
    /// Where it was read; a register has no address.
    pub(super) at: Option<PhysAddr>,
    pub(super) raw: u64,
}

const NOT_PASSED: Passed = Passed { at: None, raw: 0 };

/// One way in which a CPU might translate a page.
///
/// It holds what was read at the time. The CPU may finish it later, but not after something was
/// invalidated in that CPU: that ends all walks under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Walk {
    page: Page,
    start: Start,
    end: End,
    for_write: bool,
    epoch: u64,
    /// The level of the first table read, and what the levels above it allow.
    first_level: u8,
    allowed: Allowed,
    passed: [Passed; 4],
    count: u8,
}

impl Walk {
    /// The page that is translated.
    pub const fn page(&self) -> Page {
        self.page
    }

    /// Where it begins.
    pub const fn start(&self) -> Start {
        self.start
    }

    /// How it ends.
    pub const fn end(&self) -> End {
        self.end
    }

    /// The translation, if it ends in one.
    pub const fn translation(&self) -> Option<Translation> {
        match self.end {
            End::Leaf(translation) => Some(translation),
            End::Absent(_) | End::Reserved(_) => None,
        }
    }

    /// The entries in RAM that it passes, a leaf last, as address and what was read there.
    pub fn entries(&self) -> impl Iterator<Item = (PhysAddr, u64)> {
        self.passed().filter_map(|passed| Some((passed.at?, passed.raw)))
    }

    /// The same walk on behalf of a store: it sets D too, where RW allows.
    pub const fn for_write(mut self) -> Self {
        self.for_write = true;
        self
    }

    fn passed(&self) -> impl Iterator<Item = Passed> {
        self.passed.into_iter().take(self.count.into())
    }

    /// Whether it sets D in its leaf.
    const fn sets_dirty(&self) -> bool {
        matches!(self.end, End::Leaf(translation) if translation.writable && self.for_write)
    }
}

/// A table that a walk goes on from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) level: u8,
    pub(super) table: Frame,
    pub(super) allowed: Allowed,
}

impl<P: PagingMode> Emulated<P> {
    pub(super) const FORMAT: Format = Format::of::<P>();

    /// Every way in which `cpu` could now translate `page`: from the root (in PAE mode from the
    /// PDPTE register, and from RAM where that differs), and from each entry of the
    /// paging-structure cache that serves the page, oldest first. Never empty.
    pub fn walks(&self, cpu: Cpu, page: Page) -> Vec<Walk> {
        let mut walks = Vec::new();
        self.each_walk(&self.core(cpu).caches(), page, |walk| walks.push(walk));
        walks
    }

    #[inline]
    pub(super) fn each_walk(&self, caches: &Caches, page: Page, mut visit: impl FnMut(Walk)) {
        let root = Position { level: Self::FORMAT.levels(), table: caches.root, allowed: Allowed::ALL };
        if Self::FORMAT.root_in_registers() {
            let index = Self::FORMAT.index(root.level, page);
            let register = caches.registers[index as usize];
            visit(self.walk(caches, page, Start::Register, root, Some(register)));
            if self.entry(root.table, index) != register {
                visit(self.walk(caches, page, Start::Root, root, None));
            }
        } else {
            visit(self.walk(caches, page, Start::Root, root, None));
        }
        for structure in caches.structures.iter().filter(|structure| Self::serves(structure, page)) {
            visit(self.walk(caches, page, Start::Structure, position(structure), None));
        }
    }

    /// Walks from `from` on; `first` is the first entry if it does not come from RAM.
    fn walk(&self, caches: &Caches, page: Page, start: Start, from: Position, first: Option<u64>) -> Walk {
        let mut walk = Walk {
            page,
            start,
            end: End::Absent(from.level),
            for_write: false,
            epoch: caches.epoch,
            first_level: from.level,
            allowed: from.allowed,
            passed: [NOT_PASSED; 4],
            count: 0,
        };
        let Position { mut level, mut table, mut allowed } = from;
        let mut register = first;
        loop {
            let index = Self::FORMAT.index(level, page);
            let (at, raw) = match register.take() {
                Some(raw) => (None, raw),
                None => (Some(Self::entry_address(table, index)), self.entry(table, index)),
            };
            let reading = Self::FORMAT.read(level, raw);
            if let Reading::Absent | Reading::Reserved = reading {
                walk.end = if reading == Reading::Absent { End::Absent(level) } else { End::Reserved(level) };
                return walk;
            }
            walk.passed[usize::from(walk.count)] = Passed { at, raw };
            walk.count += 1;
            match reading {
                Reading::Table(next, here) => {
                    allowed = allowed.and(here);
                    table = next;
                    level -= 1;
                }
                Reading::Leaf(first, here) => {
                    let mut translation = Self::translation(level, page, first, allowed.and(here), raw);
                    translation.global &= caches.global_pages;
                    walk.end = End::Leaf(translation);
                    return walk;
                }
                Reading::Absent | Reading::Reserved => return walk,
            }
        }
    }

    /// What a leaf in a table of `level` makes of `page`. G is taken as if CR4.PGE were set.
    #[inline(always)]
    pub(super) fn translation(
        level: u8,
        page: Page,
        first: Frame,
        allowed: Allowed,
        raw: u64,
    ) -> Translation {
        let within = (1 << Self::FORMAT.span_bits(level)) - 1;
        let number = first.number() & !within | page.number() & within;
        Translation {
            frame: Frame::new(number).unwrap_or(first),
            writable: allowed.writable,
            user: allowed.user,
            executable: allowed.executable,
            global: format::is_global(raw),
            dirty: raw & format::DIRTY != 0,
        }
    }

    #[inline(always)]
    fn entry_address(table: Frame, index: u32) -> PhysAddr {
        table.start().plus(index * Self::FORMAT.entry_bytes())
    }

    /// What the MMU reads as that entry of a table.
    #[inline(always)]
    pub(super) fn entry(&self, table: Frame, index: u32) -> u64 {
        Self::FORMAT.entry(self.ram.table(table), index)
    }

    /// Whether a cached structure entry covers `page`.
    #[inline(always)]
    pub(super) fn serves(structure: &Structure, page: Page) -> bool {
        (structure.page.number() ^ page.number()) >> Self::FORMAT.span_bits(structure.level + 1) == 0
    }

    /// Lets `cpu` finish `walk` and remember it: sets A in the entries passed (and D in the leaf of
    /// a walk [for a store](Walk::for_write)), caches each table that it goes through and last the
    /// translation. Says whether the translation is cached now.
    ///
    /// A CPU sets A and D with an atomic update that needs the entry to be present still and to
    /// name the same frame; where it is not, the walk ends there. Where A (and D) were set already
    /// nothing is read again: the CPU may well remember an entry that changed since it was read.
    /// Nothing happens if `cpu` has invalidated something since.
    pub fn fill(&self, cpu: Cpu, walk: &Walk) -> bool {
        let mut caches = self.core(cpu).caches();
        self.fill_in(&mut caches, walk)
    }

    /// [`fill`](Self::fill) with the `n`-th of the [`walks`](Self::walks) for `page`, counted
    /// modulo their number.
    pub fn fill_nth(&self, cpu: Cpu, page: Page, n: usize) -> bool {
        let mut caches = self.core(cpu).caches();
        let mut walks = Vec::new();
        self.each_walk(&caches, page, |walk| walks.push(walk));
        self.fill_in(&mut caches, &walks[n % walks.len()])
    }

    fn fill_in(&self, caches: &mut Caches, walk: &Walk) -> bool {
        if walk.epoch != caches.epoch {
            return false;
        }
        let mut level = walk.first_level;
        let mut allowed = walk.allowed;
        for passed in walk.passed() {
            let reading = Self::FORMAT.read(level, passed.raw);
            let dirty = matches!(reading, Reading::Leaf(..)) && walk.sets_dirty();
            if !self.set_bits(level, passed, dirty) {
                return false;
            }
            let Reading::Table(table, here) = reading else { break };
            level -= 1;
            allowed = allowed.and(here);
            let shift = Self::FORMAT.span_bits(level + 1);
            let page = Page::new(walk.page.number() >> shift << shift).unwrap_or(walk.page);
            caches.insert_structure(Structure { level, page, table, allowed });
        }
        let End::Leaf(mut translation) = walk.end else { return false };
        translation.dirty |= walk.sets_dirty();
        caches.insert(walk.page, translation);
        true
    }

    /// Lets `cpu` set A in the entries of `walk` (and D in the leaf of a walk
    /// [for a store](Walk::for_write)) and remember nothing. Says whether all were set; see
    /// [`fill`](Self::fill) for when they are not.
    pub fn set_history(&self, cpu: Cpu, walk: &Walk) -> bool {
        let caches = self.core(cpu).caches();
        walk.epoch == caches.epoch && self.set_history_in(walk)
    }

    pub(super) fn set_history_in(&self, walk: &Walk) -> bool {
        let mut level = walk.first_level;
        walk.passed().all(|passed| {
            let leaf = matches!(Self::FORMAT.read(level, passed.raw), Reading::Leaf(..));
            let done = self.set_bits(level, passed, leaf && walk.sets_dirty());
            level -= 1;
            done
        })
    }

    /// Sets A, and D if `dirty`, in an entry of a table of `level`, unless it has changed its
    /// target. What was read may already have them.
    fn set_bits(&self, level: u8, passed: Passed, dirty: bool) -> bool {
        let Some(at) = passed.at else { return true };
        let bits = match (Self::FORMAT.has_accessed(level), dirty) {
            (false, _) => 0,
            (true, false) => format::ACCESSED,
            (true, true) => format::ACCESSED | format::DIRTY,
        };
        if passed.raw & bits == bits {
            return true;
        }
        self.ram.refuse_lent(at);
        // Outside of RAM nothing is present for good: it reads as all ones, A and D among them.
        loop {
            let now: u64 = match Self::FORMAT.entry_bytes() {
                8 => self.ram.load(at),
                _ => self.ram.load::<u32>(at).into(),
            };
            if !format::same_target(now, passed.raw) {
                return false;
            }
            let done = now & bits == bits
                || match Self::FORMAT.entry_bytes() {
                    8 => self.ram.compare_exchange(at, now, now | bits).is_ok(),
                    _ => self.ram.compare_exchange(at, now as u32, (now | bits) as u32).is_ok(),
                };
            if done {
                return true;
            }
        }
    }
}

/// Where a walk from a cached structure entry begins.
pub(super) const fn position(structure: &Structure) -> Position {
    Position { level: structure.level, table: structure.table, allowed: structure.allowed }
}

#[cfg(test)]
mod tests;
