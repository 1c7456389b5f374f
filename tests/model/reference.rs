//! The plain reference model: maps, and no page table.
//!
//! It knows what each frame is, what each entry of each table says, who hangs where and which root
//! each CPU has loaded. What a call must answer follows from that alone; see [`super::predict`].

use super::operation::{Answer, Seen};
use crate::common::world::{self, Place};
use std::collections::{BTreeMap, BTreeSet};
use sva_os::Violation;
use sva_os::address::{Frame, FrameRange, Page};
use sva_os::frame::Kind;
use sva_os::mmu::{PagingMode, Rights};

/// The most mappings of a frame that can be counted: twelve bits.
pub(crate) const MOST_MAPPINGS: u32 = 0xfff;
/// The most of them that may allow writing: eleven bits.
pub(crate) const MOST_WRITABLE: u32 = 0x7ff;

/// A paging mode in numbers, from the manual.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// The level of the root.
    pub(crate) levels: u8,
    /// log2 of the entries of a table below the root.
    pub(crate) index_bits: u32,
    pub(crate) root_entries: u32,
    pub(crate) entry_bytes: u32,
    /// Whether execution can be forbidden, and the root's entries are kept in registers.
    pub(crate) pae: bool,
}

impl Shape {
    pub(crate) fn of<P: PagingMode>() -> Self {
        match P::LEVELS {
            2 => Self { levels: 2, index_bits: 10, root_entries: 1024, entry_bytes: 4, pae: false },
            3 => Self { levels: 3, index_bits: 9, root_entries: 4, entry_bytes: 8, pae: true },
            levels => panic!("no mode of {levels} levels is modelled"),
        }
    }

    /// Entries of a table below the root.
    pub(crate) fn entries(self) -> u32 {
        1 << self.index_bits
    }

    /// Entries of a table of `level`.
    pub(crate) fn entries_at(self, level: u8) -> u32 {
        if level == self.levels { self.root_entries } else { self.entries() }
    }

    /// log2 of the pages that an entry of a table of `level` spans.
    pub(crate) fn span_bits(self, level: u8) -> u32 {
        u32::from(level - 1) * self.index_bits
    }

    /// The entry of a table of `level` that serves `page`.
    pub(crate) fn index(self, level: u8, page: Page) -> u32 {
        let index = page.number() >> self.span_bits(level);
        if level == self.levels { index } else { index % self.entries() }
    }

    /// What a leaf with these rights reads back as.
    pub(crate) fn effective(self, rights: Rights) -> Rights {
        Rights::new(rights.write(), rights.execute() || !self.pae)
    }
}

/// How a world begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Start {
    pub(crate) place: Place,
    pub(crate) cpus: u32,
    pub(crate) frames: u32,
    /// What the clock word shows: odd.
    pub(crate) clock: u32,
    /// Whether one frame is mapped as often as can be counted.
    pub(crate) flood: bool,
}

/// What a present entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    /// The rights are effective ones.
    Leaf(Frame, Rights),
    Table(Frame),
}

/// What else a call may have done besides answering.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Effect {
    pub(crate) answer: Option<Answer>,
    /// Entries that may have changed, with whether the CPU's notes of use survive.
    pub(crate) slots: BTreeMap<(Frame, u32), History>,
    /// Frames whose kind changed.
    pub(crate) retyped: BTreeSet<Frame>,
    /// Those that were filled with zeroes, whatever they are in the end.
    pub(crate) zeroed: BTreeSet<Frame>,
    /// Frames of which a mapping or link came or went: their stamps may have changed.
    pub(crate) stamped: BTreeSet<Frame>,
    /// Frames of which bytes were written.
    pub(crate) written: BTreeSet<Frame>,
    /// Whether CPUs may have flushed.
    pub(crate) flushed: bool,
}

/// What a call does to accessed and dirty of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum History {
    Kept,
    Cleared,
}

/// The state of the model.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) start: Start,
    pub(crate) shape: Shape,
    /// Every frame below the end of the frame table.
    pub(crate) kinds: BTreeMap<Frame, Kind>,
    /// Frames whose kind is for ever.
    pub(crate) sealed: BTreeSet<Frame>,
    /// User-half tables and roots but the sealed one: their user entries.
    pub(crate) tables: BTreeMap<Frame, BTreeMap<u32, Item>>,
    /// Where a linked table hangs.
    pub(crate) parents: BTreeMap<Frame, (Frame, u32)>,
    /// How many leaves map a frame, and how many of these allow writing.
    pub(crate) mapped: BTreeMap<Frame, (u32, u32)>,
    pub(crate) cr3: Vec<Frame>,
    /// `KernelPages` that live, by their first frame.
    pub(crate) pages: BTreeMap<Frame, FrameRange>,
    /// `AddressSpace`s that live, by their root.
    pub(crate) spaces: BTreeSet<Frame>,
    /// Bytes that are not zero, of frames of the three kinds that have bytes.
    pub(crate) bytes: BTreeMap<Frame, BTreeMap<u32, u8>>,
    /// Frames that lost a mapping or a link lately: where stale translations lead.
    pub(crate) dropped: Vec<Frame>,
    /// Whether the last call dropped something: the moment to make something else of it.
    pub(crate) has_dropped: bool,
    pub(crate) effect: Effect,
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.start.fmt(f)
    }
}

impl World {
    /// The world as init must leave it.
    pub(crate) fn new<P: PagingMode>(start: Start) -> Self {
        let shape = Shape::of::<P>();
        let mut world = Self {
            start,
            shape,
            kinds: (0..start.frames).map(|number| (world::frame(number), Kind::Free)).collect(),
            sealed: BTreeSet::new(),
            tables: BTreeMap::new(),
            parents: BTreeMap::new(),
            mapped: BTreeMap::new(),
            cr3: Vec::new(),
            pages: BTreeMap::new(),
            spaces: BTreeSet::new(),
            bytes: BTreeMap::new(),
            dropped: Vec::new(),
            has_dropped: false,
            effect: Effect::default(),
        };
        let parts = [
            ((0, 1), Kind::Kept),
            (world::TEXT, Kind::Code),
            (world::READ_ONLY, Kind::Image),
            (world::DATA, Kind::Image),
            (world::GUARD, Kind::None),
            (world::STACK, Kind::Stack),
            (world::HEAP, Kind::Heap),
            (world::KEPT, Kind::Kept),
            (world::RESERVED, Kind::None),
            ((world.frame_table().number(), 2), Kind::Monitor),
            ((world.sealed_root().number(), 1), Kind::Root),
            ((world.first_kernel_table().number(), world.kernel_table_count()), Kind::KernelTable),
            ((world.first_kernel_table().number() + world.kernel_table_count(), 1), Kind::Monitor),
        ];
        for (part, kind) in parts {
            for frame in world::frames(part).iter() {
                world.kinds.insert(frame, kind);
                if kind != Kind::None {
                    world.sealed.insert(frame);
                }
            }
        }
        world.cr3 = vec![world.sealed_root(); world::count(start.cpus)];
        world
    }

    /// The library's memory is the end of RAM: frame table, clock, sealed root, kernel tables, records of flows.
    pub(crate) fn frame_table(&self) -> Frame {
        world::frame(self.start.frames - 3 - self.kernel_table_count() - 1)
    }

    pub(crate) fn clock(&self) -> Frame {
        world::frame(self.frame_table().number() + 1)
    }

    pub(crate) fn sealed_root(&self) -> Frame {
        world::frame(self.frame_table().number() + 2)
    }

    pub(crate) fn first_kernel_table(&self) -> Frame {
        world::frame(self.frame_table().number() + 3)
    }

    /// The kernel's pages all lie in the span of one table of leaves: one table a level.
    pub(crate) fn kernel_table_count(&self) -> u32 {
        u32::from(self.shape.levels - 1)
    }

    /// What `frame` is.
    pub(crate) fn kind(&self, frame: Frame) -> Kind {
        self.kinds.get(&frame).copied().unwrap_or(Kind::None)
    }

    /// The frames of a kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = Frame> + '_ {
        self.kinds.iter().filter(move |(_, found)| **found == kind).map(|(frame, _)| *frame)
    }

    /// First user entry of a root, and how many.
    pub(crate) fn user_slots(&self) -> (u32, u32) {
        let (first, count) = self.start.place.user();
        let bits = self.shape.span_bits(self.shape.levels);
        (first >> bits, count >> bits)
    }

    pub(crate) fn is_user_slot(&self, index: u32) -> bool {
        let (first, count) = self.user_slots();
        (first..first + count).contains(&index)
    }

    pub(crate) fn is_user_page(&self, page: Page) -> bool {
        world::pages(self.start.place.user()).contains(page)
    }

    /// Total and writable count that a recount gives for `frame`.
    pub(crate) fn counts(&self, frame: Frame) -> (u32, u32) {
        match self.kind(frame) {
            _ if self.sealed.contains(&frame) => (0, 0),
            Kind::Root => {
                let loads = self.loads(frame);
                (self.present(frame) + loads, loads)
            }
            Kind::Table1 | Kind::Table2 | Kind::Table3 => {
                let links = u32::from(self.parents.contains_key(&frame));
                (self.present(frame) + links, links)
            }
            _ => self.mapped.get(&frame).copied().unwrap_or((0, 0)),
        }
    }

    /// CPUs that have `root` loaded.
    pub(crate) fn loads(&self, root: Frame) -> u32 {
        self.cr3.iter().filter(|loaded| **loaded == root).map(|_| 1).sum()
    }

    /// Present user entries of a table.
    pub(crate) fn present(&self, table: Frame) -> u32 {
        self.tables.get(&table).map_or(0, |entries| u32::try_from(entries.len()).expect("at most 1024"))
    }

    /// What stands in a user entry.
    pub(crate) fn item(&self, table: Frame, index: u32) -> Option<Item> {
        self.tables.get(&table)?.get(&index).copied()
    }

    /// The level of a user-half table or of a root.
    pub(crate) fn level(&self, table: Frame) -> Option<u8> {
        match self.kind(table) {
            Kind::Root => Some(self.shape.levels),
            Kind::Table1 => Some(1),
            Kind::Table2 => Some(2),
            Kind::Table3 => Some(3),
            _ => None,
        }
    }

    /// What the kernel half makes of `page`: the image as its segments say, and all RAM, to be
    /// written unless it is text or read-only data, never to be executed.
    pub(crate) fn kernel_leaf(&self, page: Page) -> Option<Seen> {
        let frame = Frame::new(page.number().checked_sub(self.start.place.first_page())?)?;
        if self.is_user_page(page) || self.kind(frame) == Kind::None {
            return None;
        }
        let within = |part| world::frames(part).contains(frame);
        let text = within(world::TEXT);
        let rights = Rights::new(!text && !within(world::READ_ONLY), text);
        Some(Seen { frame, rights: self.shape.effective(rights), kernel: true })
    }

    /// What `root`'s user half makes of `page`.
    pub(crate) fn user_leaf(&self, root: Frame, page: Page) -> Option<Seen> {
        let mut table = root;
        for level in (1..=self.shape.levels).rev() {
            match self.item(table, self.shape.index(level, page))? {
                Item::Leaf(frame, rights) => return Some(Seen::user(frame, rights)),
                Item::Table(child) => table = child,
            }
        }
        None
    }

    /// The tables that a walk of `page` from `root` passes, and the last one's level.
    pub(crate) fn deepest(&self, root: Frame, page: Page) -> (Frame, u8) {
        let (mut table, mut level) = (root, self.shape.levels);
        while level > 1 {
            match self.item(table, self.shape.index(level, page)) {
                Some(Item::Table(child)) => table = child,
                _ => break,
            }
            level -= 1;
        }
        (table, level)
    }

    /// The first page that entry `index` of `table` serves, if the table hangs under a root.
    pub(crate) fn page_of(&self, mut table: Frame, mut index: u32) -> Option<Page> {
        let mut number = 0;
        let mut level = self.level(table)?;
        loop {
            number += index << self.shape.span_bits(level);
            if level == self.shape.levels {
                return Page::new(number);
            }
            (table, index) = self.parents.get(&table).copied()?;
            level += 1;
        }
    }

    /// Whether a CPU has the root loaded that `table` hangs under, or that it is.
    pub(crate) fn is_live(&self, mut table: Frame) -> bool {
        while let Some((parent, _)) = self.parents.get(&table) {
            table = *parent;
        }
        self.cr3.contains(&table)
    }

    /// Adds a leaf to what stands on `frame`.
    pub(crate) fn gain(&mut self, frame: Frame, rights: Rights) {
        let counts = self.mapped.entry(frame).or_default();
        counts.0 += 1;
        counts.1 += u32::from(rights.write());
    }

    /// Takes a leaf away from what stands on `frame`.
    pub(crate) fn lose(&mut self, frame: Frame, rights: Rights) {
        let counts = self.mapped.get_mut(&frame).expect("a frame that is mapped");
        counts.0 -= 1;
        counts.1 -= u32::from(rights.write());
        if *counts == (0, 0) {
            self.mapped.remove(&frame);
        }
        self.note_drop(frame);
    }

    pub(crate) fn note_drop(&mut self, frame: Frame) {
        self.has_dropped = true;
        self.effect.stamped.insert(frame);
        self.dropped.retain(|other| *other != frame);
        self.dropped.push(frame);
        if self.dropped.len() > 4 {
            self.dropped.remove(0);
        }
    }

    /// Changes what `frame` is. Whatever it held reads as zero from now on.
    pub(crate) fn become_kind(&mut self, frame: Frame, kind: Kind) {
        self.kinds.insert(frame, kind);
        self.bytes.remove(&frame);
        self.tables.remove(&frame);
        if matches!(kind, Kind::Root | Kind::Table1 | Kind::Table2 | Kind::Table3) {
            self.tables.insert(frame, BTreeMap::new());
        }
        self.effect.retyped.insert(frame);
        if kind != Kind::Free {
            self.effect.zeroed.insert(frame);
        }
        self.effect.flushed = true;
    }

    /// Whether another leaf would overflow what can be counted of `frame`.
    pub(crate) fn check_room(&self, frame: Frame, total: u32, writable: u32) -> Result<(), Violation> {
        let (has_total, has_writable) = self.counts(frame);
        if has_total + total > MOST_MAPPINGS || has_writable + writable > MOST_WRITABLE {
            Err(Violation::TooManyMappings(frame))
        } else {
            Ok(())
        }
    }
}
