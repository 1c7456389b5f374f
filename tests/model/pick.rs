//! Arguments for calls: mostly such as fit, some that are hostile.

use super::operation::Way;
use super::reference::{Item, World};
use crate::common::world::{self, count};
use proptest::prelude::Rng;
use proptest::test_runner::TestRng;
use sva_os::address::{FRAME_LIMIT, Frame, FrameRange, Page};
use sva_os::frame::Kind;
use sva_os::mmu::Rights;

/// Chance, and the world it chooses from.
pub(crate) struct Picker<'a> {
    pub(crate) world: &'a World,
    pub(crate) rng: &'a mut TestRng,
}

impl Picker<'_> {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.rng.next_u32() % end.max(1)
    }

    /// True `percent` times in a hundred.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// One of them, if there are any.
    pub(crate) fn of<T: Copy>(&mut self, options: &[T]) -> Option<T> {
        let length = u32::try_from(options.len()).expect("few");
        options.get(count(self.below(length))).copied()
    }

    pub(crate) fn one<T: Copy>(&mut self, options: &[T]) -> T {
        self.of(options).expect("at least one")
    }

    pub(crate) fn cpu(&mut self) -> u32 {
        self.below(self.world.start.cpus)
    }

    pub(crate) fn rights(&mut self) -> Rights {
        self.one(&Rights::ALL)
    }

    /// Any frame at all, those that must never be touched among them.
    pub(crate) fn any_frame(&mut self) -> Frame {
        let world = self.world;
        let special = [
            0,
            world::TEXT.0,
            world::READ_ONLY.0,
            world::DATA.0,
            world::GUARD.0,
            world::STACK.0,
            world::HEAP.0,
            world::KEPT.0,
            world::RESERVED.0,
            world::RESERVED.0,
            world.frame_table().number(),
            world.clock().number(),
            world.sealed_root().number(),
            world.first_kernel_table().number(),
            world.start.frames,
            FRAME_LIMIT - 1,
        ];
        if self.percent(50) {
            let end = world.start.frames + 2;
            return world::frame(self.below(end));
        }
        world::frame(self.one(&special))
    }

    /// A frame of one of these kinds nearly always, else any.
    pub(crate) fn frame_of(&mut self, kinds: &[Kind]) -> Frame {
        if self.percent(90) {
            let kind = self.one(kinds);
            let frames: Vec<_> = self.world.of_kind(kind).collect();
            if let Some(frame) = self.of(&frames) {
                return frame;
            }
        }
        self.any_frame()
    }

    /// A root, the sealed one seldom.
    pub(crate) fn root(&mut self) -> Frame {
        let sealed = self.world.sealed_root();
        let roots: Vec<_> = self.world.of_kind(Kind::Root).filter(|root| *root != sealed).collect();
        match self.of(&roots).filter(|_| self.below(100) < 90) {
            Some(root) => root,
            None if self.percent(60) => sealed,
            None => self.any_frame(),
        }
    }

    /// A frame that was dropped lately and is used by nobody, of one of these kinds.
    pub(crate) fn dropped(&mut self, kinds: &[Kind]) -> Option<Frame> {
        let world = self.world;
        let unused = |frame: &Frame| world.counts(*frame) == (0, 0) && kinds.contains(&world.kind(*frame));
        let frames: Vec<_> = world.dropped.iter().copied().filter(unused).collect();
        self.of(&frames)
    }

    /// User data: in a flood mostly the same.
    pub(crate) fn data(&mut self) -> Frame {
        if self.world.start.flood
            && self.percent(60)
            && let Some(frame) = self.world.of_kind(Kind::UserData).next()
        {
            return frame;
        }
        self.frame_of(&[Kind::UserData])
    }

    /// A table of leaves.
    pub(crate) fn leaf_table(&mut self) -> Frame {
        if self.percent(4) {
            return self.frame_of(&[Kind::Root, Kind::Table2, Kind::KernelTable]);
        }
        self.frame_of(&[Kind::Table1])
    }

    /// An index of a table of leaves: one of few, so that calls meet.
    pub(crate) fn index(&mut self) -> u32 {
        let entries = self.world.shape.entries();
        match self.below(100) {
            0..86 => self.one(&[0, 1, 2, entries - 1]),
            86..95 => self.below(entries),
            _ => {
                let beyond = [entries, entries + 1, u32::MAX, self.rng.next_u32()];
                self.one(&beyond)
            }
        }
    }

    /// Any entry of a table above the leaves.
    pub(crate) fn parent_slot(&mut self) -> (Frame, u32) {
        let shape = self.world.shape;
        let middle = shape.pae && self.percent(60);
        let parent = match self.below(100) {
            0..5 => self.frame_of(&[Kind::Table1]),
            5..9 => self.world.sealed_root(),
            _ if middle => self.frame_of(&[Kind::Table2]),
            _ => self.root(),
        };
        let index = match self.world.level(parent) {
            Some(level) if level == shape.levels => self.root_index(),
            _ => self.index(),
        };
        (parent, index)
    }

    /// An index of a root: of the user half, of the kernel's, or past the end.
    pub(crate) fn root_index(&mut self) -> u32 {
        let entries = self.world.shape.root_entries;
        let (first, length) = self.world.user_slots();
        match self.below(100) {
            0..86 => self.one(&[first, first + 1, first + length - 1]),
            86..92 => {
                let kernel = self.world.start.place.first_page()
                    >> self.world.shape.span_bits(self.world.shape.levels);
                let around = [kernel, first.wrapping_sub(1) % entries, (first + length) % entries];
                self.one(&around)
            }
            92..95 => self.below(entries),
            _ => {
                let beyond = [entries, entries + 1, u32::MAX, self.rng.next_u32()];
                self.one(&beyond)
            }
        }
    }

    /// An entry that is present, of a table of leaves or of one above: one that a CPU may be using,
    /// if there is one, rather than any.
    pub(crate) fn present(&mut self, leaf: bool) -> Option<(Frame, u32)> {
        let fits = |item: &Item| matches!(item, Item::Leaf(..)) == leaf;
        let mut tables: Vec<_> = Vec::new();
        for (table, entries) in &self.world.tables {
            if entries.values().next().is_some_and(fits) {
                tables.push((*table, entries));
            }
        }
        if self.percent(60) {
            let live: Vec<_> =
                tables.iter().copied().filter(|(table, _)| self.world.is_live(*table)).collect();
            if !live.is_empty() {
                tables = live;
            }
        }
        let (table, entries) = self.of(&tables)?;
        let nth = self.below(u32::try_from(entries.len()).expect("at most 1024"));
        entries.keys().nth(count(nth)).map(|index| (table, *index))
    }

    /// A leaf's place: present nearly always.
    pub(crate) fn leaf_slot(&mut self) -> (Frame, u32) {
        if self.percent(82)
            && let Some(slot) = self.present(true)
        {
            return slot;
        }
        (self.leaf_table(), self.index())
    }

    /// A page of the user window: one of few, so that walks meet.
    pub(crate) fn user_page(&mut self) -> Page {
        let shape = self.world.shape;
        let (first, length) = self.world.user_slots();
        let mut number = self.one(&[first, first + 1, first + length - 1]);
        for _ in 1..shape.levels {
            let index = self.one(&[0, 1, 2, shape.entries() - 1]);
            number = (number << shape.index_bits) + index;
        }
        world::page(number)
    }

    /// Any page: mostly one where something is, or was, or is being done.
    pub(crate) fn page(&mut self, near: Option<Page>) -> Page {
        if let Some(page) = near.filter(|_| self.below(100) < 45) {
            return page;
        }
        match self.below(100) {
            0..55 => self.user_page(),
            55..85 => {
                let slot = self.present(true);
                match slot.and_then(|(table, index)| self.world.page_of(table, index)) {
                    Some(page) => page,
                    None => self.user_page(),
                }
            }
            85..96 => self.kernel_page(),
            _ => world::page(self.below(FRAME_LIMIT)),
        }
    }

    /// A page of the direct map, or just behind it.
    pub(crate) fn kernel_page(&mut self) -> Page {
        let (first, frames) = (self.world.start.place.first_page(), self.world.start.frames);
        world::page(first + self.below(frames + 2))
    }

    /// A walk of one of the CPUs.
    pub(crate) fn way(&mut self, near: Option<Page>) -> Way {
        let page = self.page(near);
        // Past the first, walks begin in caches.
        let nth = count(self.one(&[0, 0, 1, 2]));
        let seeing = self.cpus_that_see(page);
        let cpu = match self.of(&seeing) {
            Some(cpu) if self.percent(70) => cpu,
            _ => self.cpu(),
        };
        Way { cpu, page, nth, store: self.percent(40) }
    }

    /// The CPUs in whose root at least one table serves `page`.
    pub(crate) fn cpus_that_see(&self, page: Page) -> Vec<u32> {
        let world = self.world;
        let sees = |cpu: &u32| world.deepest(world.cr3[count(*cpu)], page).1 < world.shape.levels;
        (0..world.start.cpus).filter(sees).collect()
    }

    /// Frames next to each other: free ones, mostly.
    pub(crate) fn frames(&mut self, kinds: &[Kind]) -> FrameRange {
        let first = self.frame_of(kinds);
        let length = self.one(&[0, 1, 1, 1, 2, 2, 3]);
        FrameRange::new(first, length).unwrap_or(FrameRange::EMPTY)
    }

    /// Frames to make tables of.
    pub(crate) fn source(&mut self) -> Vec<Frame> {
        let frames = self.one(&[0, 1, 2, 2, 3, 3]);
        (0..frames).map(|_| self.frame_of(&[Kind::Free])).collect()
    }
}
