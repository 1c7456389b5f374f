//! Everything that a CPU's MMU might answer: what it remembers, and what its walks may find.

use super::Emulated;
use super::cache::{Caches, Structure, Translation};
use super::format::{Allowed, PRESENT, Reading};
use super::walk::{Position, position};
use crate::address::{FRAME_LIMIT, Page, PageRange};
use crate::machine::Cpu;
use crate::mmu::PagingMode;
use std::vec::Vec;

impl<P: PagingMode> Emulated<P> {
    /// Every translation that `cpu` might use for `page` now: those in its TLB, and what every
    /// [walk](Self::walks) finds. Each once; none if an access can only fault.
    pub fn outcomes(&self, cpu: Cpu, page: Page) -> Vec<Translation> {
        let caches = self.core(cpu).caches();
        let mut outcomes: Vec<_> = caches.cached(page).collect();
        self.each_walk(&caches, page, |walk| {
            if let Some(translation) = walk.translation()
                && !outcomes.contains(&translation)
            {
                outcomes.push(translation);
            }
        });
        outcomes
    }

    /// Every translation that `cpu` might use now, of all pages in `range`. One that can be reached
    /// in several ways may be there several times; the order means nothing.
    pub fn reachable(&self, cpu: Cpu, range: PageRange) -> Vec<(Page, Translation)> {
        let mut found = Vec::new();
        self.visit_reachable(cpu, range, |page, translation| found.push((page, translation)));
        found
    }

    /// Calls `visit` with every translation that [`reachable`](Self::reachable) would list. It may
    /// let the machine act; what is listed is what the caches held at the beginning.
    pub fn visit_reachable(&self, cpu: Cpu, range: PageRange, mut visit: impl FnMut(Page, Translation)) {
        let caches = self.core(cpu).caches().clone();
        for (page, translation) in &caches.translations {
            if range.contains(*page) {
                visit(*page, *translation);
            }
        }
        let mut leaf = |page: Page, mut translation: Translation| {
            translation.global &= caches.global_pages;
            visit(page, translation);
        };
        let levels = Self::FORMAT.levels();
        let root = Position { level: levels, table: caches.root, allowed: Allowed::ALL };
        self.enumerate(root, 0, range, &mut leaf);
        if Self::FORMAT.root_in_registers() {
            for (register, slot) in caches.registers.into_iter().zip(0..) {
                if let Reading::Table(table, allowed) = Self::FORMAT.read(levels, register)
                    && self.entry(caches.root, slot) != register
                {
                    let below = Position { level: levels - 1, table, allowed };
                    self.enumerate(below, slot << Self::FORMAT.span_bits(levels), range, &mut leaf);
                }
            }
        }
        for structure in &caches.structures {
            if !self.agrees(&caches, structure) {
                self.enumerate(position(structure), structure.page.number(), range, &mut leaf);
            }
        }
    }

    /// Whether a walk from the root or a register comes to the same table with the same rights, so
    /// that the cached entry adds nothing.
    fn agrees(&self, caches: &Caches, structure: &Structure) -> bool {
        let target = position(structure);
        let levels = Self::FORMAT.levels();
        let slot = Self::FORMAT.index(levels, structure.page);
        let first = [
            Some(self.entry(caches.root, slot)),
            Self::FORMAT.root_in_registers().then(|| caches.registers[slot as usize]),
        ];
        first.into_iter().flatten().any(|mut raw| {
            let mut here = Position { level: levels, table: caches.root, allowed: Allowed::ALL };
            while let Reading::Table(table, allowed) = Self::FORMAT.read(here.level, raw) {
                here = Position { level: here.level - 1, table, allowed: here.allowed.and(allowed) };
                if here.level <= target.level {
                    return here == target;
                }
                raw = self.entry(table, Self::FORMAT.index(here.level, structure.page));
            }
            false
        })
    }

    /// Visits each leaf at or below a table that serves the pages from `base` on.
    fn enumerate(
        &self,
        from: Position,
        base: u32,
        range: PageRange,
        visit: &mut dyn FnMut(Page, Translation),
    ) {
        let shift = Self::FORMAT.span_bits(from.level);
        let first = range.first().number().max(base);
        let end = range.end().min(base.saturating_add(self.pages_served(from.level)));
        if first >= end || self.ram.is_untouched(from.table) {
            return;
        }
        let table = self.ram.table(from.table);
        for number in first >> shift..=(end - 1) >> shift {
            let Some(page) = Page::new(number << shift) else { return };
            let raw = Self::FORMAT.entry(table, Self::FORMAT.index(from.level, page));
            if raw & PRESENT == 0 {
                continue;
            }
            match Self::FORMAT.read(from.level, raw) {
                Reading::Absent | Reading::Reserved => {}
                Reading::Table(table, allowed) => {
                    let below = Position { level: from.level - 1, table, allowed: from.allowed.and(allowed) };
                    self.enumerate(below, page.number(), range, visit);
                }
                Reading::Leaf(frame, allowed) => {
                    let allowed = from.allowed.and(allowed);
                    for number in first.max(number << shift)..end.min((number + 1) << shift) {
                        let Some(page) = Page::new(number) else { return };
                        visit(page, Self::translation(from.level, page, frame, allowed, raw));
                    }
                }
            }
        }
    }

    /// How many pages a table of `level` serves.
    fn pages_served(&self, level: u8) -> u32 {
        if level == Self::FORMAT.levels() { FRAME_LIMIT } else { 1 << Self::FORMAT.span_bits(level + 1) }
    }
}

impl Caches {
    /// The TLB's entries for `page`, oldest first.
    pub(super) fn cached(&self, page: Page) -> impl Iterator<Item = Translation> {
        let entries = self.translations.iter().filter(move |(cached, _)| *cached == page);
        entries.map(|(_, translation)| *translation)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::ram::mix;
    use super::*;
    use crate::mmu::{Pae, TwoLevel};
    use std::collections::BTreeSet;

    /// Tables of chance entries that name each other, themselves and nothing; changed, used and
    /// loaded again, so that caches and registers differ from RAM.
    fn chance<M: PagingMode>(seed: u64) -> Emulated<M> {
        let machine = machine::<M>();
        let mut count = 0;
        let mut below = |limit: u64| {
            count += 1;
            mix(seed, count) % limit
        };
        let last = if M::LEVELS == 2 { 1023 } else { 511 };
        for _ in 0..150 {
            let bits = [0, P, W, U, WU, WU | A, WU | D, WU | G, W | NX, U | LARGE][below(10) as usize];
            let table = below(7) as u32;
            let raw = entry(below(8) as u32, bits);
            let index = [0, 1, 2, last][below(4) as usize];
            if M::LEVELS == 2 {
                machine.poke(word(table, index), raw as u32);
            } else {
                machine.poke(quad(table, index), raw);
            }
            match below(8) {
                0 => {
                    if M::ROOT_IN_REGISTERS {
                        // Else the load is a #GP: chance sets bits, and so do walks through the root as a table.
                        (0..4).for_each(|index| {
                            let raw: u64 = machine.peek(quad(0, index));
                            machine.poke(quad(0, index), raw & entry(0xf_ffff, P));
                        });
                    }
                    load_root(&machine, BOOT, 0);
                }
                1..4 => _ = machine.fill_nth(BOOT, pages::<M>()[below(32) as usize], below(8) as usize),
                4 => _ = machine.evict(BOOT, below(4) as usize),
                _ => {}
            }
        }
        machine
    }

    /// Pages that the first few and the last entries serve.
    fn pages<M: PagingMode>() -> Vec<Page> {
        let format = Emulated::<M>::FORMAT;
        let steps = (1..=M::LEVELS).rev().map(|level| 1 << format.span_bits(level).min(18));
        let mut pages: BTreeSet<u32> = [0, 0xf_ffff].into();
        for step in steps {
            let more: Vec<_> = pages.iter().flat_map(|page| [page + step, page + 2 * step]).collect();
            pages.extend(more.into_iter().filter(|page| *page < 1 << 20));
        }
        pages.extend([0x1ff, 0x3ff, 0xf_fc00, 0xf_fe00].into_iter().chain(100..120));
        pages.into_iter().map(page).collect()
    }

    fn agree<M: PagingMode>() {
        let mut total = 0;
        for seed in 0..300 {
            let machine = chance::<M>(seed);
            let listed: BTreeSet<_> = machine.reachable(BOOT, all_pages()).into_iter().map(key).collect();
            for page in pages::<M>() {
                let outcomes: BTreeSet<_> =
                    machine.outcomes(BOOT, page).into_iter().map(|outcome| key((page, outcome))).collect();
                let of_page: BTreeSet<_> =
                    listed.iter().filter(|(number, ..)| *number == page.number()).copied().collect();
                assert_eq!(of_page, outcomes, "seed {seed}, {page:?}");
                let alone = PageRange::new(page, 1).unwrap();
                let alone: BTreeSet<_> = machine.reachable(BOOT, alone).into_iter().map(key).collect();
                assert_eq!(alone, outcomes, "seed {seed}, {page:?} alone");
                total += outcomes.len();
            }
        }
        assert!(total > 2000, "{total}");
    }

    fn key((page, translation): (Page, Translation)) -> (u32, u32, u64, bool, bool) {
        let allowed = translation.allowed().bits();
        (page.number(), translation.frame.number(), allowed, translation.global, translation.dirty)
    }

    #[test]
    fn what_is_listed_is_what_each_page_can_have() {
        agree::<TwoLevel>();
        agree::<Pae>();
        agree::<FourLevel>();
    }
}
