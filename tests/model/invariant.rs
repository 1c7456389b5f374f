//! The invariants of the design, over RAM, registers and caches, by the test's own reading.
//!
//! Every table is read entry by entry. What a CPU's walk from CR3 may pass is then known to be
//! legal, table by table; so it is enough that CR3, the PDPTE registers and every cached entry
//! lead to a table of the right level *now*: whatever a stale walk goes on to read is legal too.

use super::adversary::cpu;
use super::memory::{Memory, loaded};
use super::raw::{self, HISTORY, Raw};
use super::reference::World;
use super::{Failure, fail};
use crate::common::world::{self, count};
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use sva_os::Sva;
use sva_os::address::{FRAME_LIMIT, Frame, Page, PhysAddr};
use sva_os::frame::Kind;
use sva_os::machine::Emulated;
use sva_os::machine::emulated::Translation;
use sva_os::mmu::PagingMode;

/// What the present entries of a table lead to, as last read.
#[derive(Clone, Default)]
struct Tally {
    /// Frame and whether it may be written.
    leaves: Vec<(Frame, bool)>,
    /// Table and the entry that links it.
    links: Vec<(Frame, u32)>,
}

#[derive(Default)]
pub(crate) struct Invariants {
    tallies: BTreeMap<Frame, Tally>,
}

impl Invariants {
    /// Forgets what was read of `tables`: they were written.
    pub(crate) fn touched(&mut self, tables: impl IntoIterator<Item = Frame>) {
        for table in tables {
            self.tallies.remove(&table);
        }
    }

    /// Reads every table anew next time.
    pub(crate) fn forget(&mut self) {
        self.tallies.clear();
    }

    /// Checks what holds at any moment at which no intrinsic is at work.
    pub(crate) fn check<P: PagingMode>(
        &mut self,
        sva: &Sva<Emulated<P>>,
        world: &World,
        memory: &Memory,
    ) -> Result<(), Failure> {
        let words = FrameWords::read(sva.machine(), world);
        self.check_tables(world, memory, &words)?;
        for number in 0..world.start.cpus {
            check_cpu(sva, world, memory, &words, number)?;
        }
        Ok(())
    }

    /// Invariants 1, 2, 3, 5, 6, 12: every entry of every table, reachable or not; a recount.
    fn check_tables(&mut self, world: &World, memory: &Memory, words: &FrameWords) -> Result<(), Failure> {
        let mut counts = vec![(0u32, 0u32); words.0.len()];
        let mut parents = BTreeMap::new();
        let tables = || words.frames().filter_map(|frame| Some((frame, words.level(world, frame)?)));
        for (table, level) in tables() {
            if table == world.sealed_root() {
                continue;
            }
            let tally = match self.tallies.entry(table) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(read_table(world, memory, table, level)?),
            };
            let mut add = |frame: Frame, writable: bool| {
                if let Some(counts) = counts.get_mut(count(frame.number())) {
                    counts.0 += 1;
                    counts.1 += u32::from(writable);
                }
            };
            for (frame, writable) in &tally.leaves {
                if words.kind(*frame) != Kind::UserData as u32 {
                    return fail(format!("{table} maps {frame}, {:?}", world.kind(*frame)));
                }
                add(*frame, *writable);
                add(table, false);
            }
            for (child, index) in &tally.links {
                if words.level(world, *child) != Some(level - 1) || *child == world.sealed_root() {
                    return fail(format!("{table}[{index}] links {child}, {:?}", world.kind(*child)));
                }
                if let Some(other) = parents.insert(*child, (table, *index)) {
                    return fail(format!("{child} hangs in {table}[{index}] and {other:?}"));
                }
                add(*child, true);
                add(table, false);
            }
        }
        for root in world.cr3.iter().filter(|root| **root != world.sealed_root()) {
            let counts = &mut counts[count(root.number())];
            *counts = (counts.0 + 1, counts.1 + 1);
        }
        for (frame, word) in words.frames().zip(&words.0) {
            let (total, writable) = counts[count(frame.number())];
            if (word >> 19, word >> 7 & 0x7ff) != (total, writable) {
                return fail(format!("{frame}: a recount gives {total}, {writable}; the word is {word:#x}"));
            }
            if word & (1 << 5 | 1 << 18 | 1 << 31) != 0 {
                return fail(format!("{frame} is busy or a count overflowed: {word:#x}"));
            }
        }
        Ok(())
    }
}

/// Word 0 of every frame, as RAM has it.
struct FrameWords(Vec<u32>);

impl FrameWords {
    fn read<P: PagingMode>(machine: &Emulated<P>, world: &World) -> Self {
        let base = world.frame_table().start().get();
        Self((0..world.start.frames).map(|number| machine.peek(PhysAddr::new(base + number * 8))).collect())
    }

    fn frames(&self) -> impl Iterator<Item = Frame> + Clone + use<> {
        (0..u32::try_from(self.0.len()).expect("few frames")).map(world::frame)
    }

    /// The number of the frame's kind.
    fn kind(&self, frame: Frame) -> u32 {
        self.0.get(count(frame.number())).map_or(0, |word| word & 0x1f)
    }

    fn level(&self, world: &World, frame: Frame) -> Option<u8> {
        match self.kind(frame) {
            16 => Some(world.shape.levels),
            17 => Some(1),
            18 => Some(2),
            19 => Some(3),
            _ => None,
        }
    }
}

/// Reads a user-half table, or the user half of a root.
fn read_table(world: &World, memory: &Memory, table: Frame, level: u8) -> Result<Tally, Failure> {
    let shape = world.shape;
    let mut tally = Tally::default();
    for index in 0..shape.entries_at(level) {
        let entry = memory.entry(shape, table, index);
        if entry == 0 || (level == shape.levels && !world.is_user_slot(index)) {
            continue;
        }
        match raw::decode(shape, level, entry) {
            Raw::Leaf { frame, rights } => tally.leaves.push((frame, rights.write())),
            Raw::Table(child) => tally.links.push((child, index)),
            Raw::Empty | Raw::Bad => return fail(format!("{table}[{index}] is {entry:#x}")),
        }
    }
    Ok(tally)
}

/// Invariants 4, 7, 8, 9, 10 for one CPU, and 18.
fn check_cpu<P: PagingMode>(
    sva: &Sva<Emulated<P>>,
    world: &World,
    memory: &Memory,
    words: &FrameWords,
    number: u32,
) -> Result<(), Failure> {
    let machine = sva.machine();
    let root = machine.root_of(cpu(number));
    if root != world.cr3[count(number)] || words.kind(root) != Kind::Root as u32 {
        return fail(format!("CR3 of CPU {number} names {root}, {:?}", world.kind(root)));
    }
    if loaded(machine, world, number) != root.number() {
        return fail(format!("CPU {number} has {root} loaded, the record says otherwise"));
    }
    if world.shape.pae {
        for (register, index) in machine.root_registers(cpu(number)).into_iter().zip(0..) {
            let entry = memory.entry(world.shape, root, index);
            if register != entry {
                return fail(format!("PDPTE {index} of CPU {number} is {register:#x}, not {entry:#x}"));
            }
        }
    }
    for (page, translation) in machine.cached(cpu(number)) {
        check_translation(world, words, page, translation)
            .map_err(|failure| Failure::new(format!("CPU {number}: {}", failure.0)))?;
    }
    for structure in machine.structures(cpu(number)) {
        let good = if world.is_user_page(structure.page) {
            words.level(world, structure.table) == Some(structure.level)
        } else {
            let depth = u32::from(world.shape.levels - 1 - structure.level);
            let kernel = world::frame(world.first_kernel_table().number() + depth);
            let kernel_only = world.shape.pae && structure.level == 2 || !structure.allowed.user;
            structure.table == kernel && kernel_only
        };
        if !good {
            let kind = world.kind(structure.table);
            return fail(format!("CPU {number} remembers {structure:?}, now {kind:?}"));
        }
    }
    Ok(())
}

/// What a CPU may use must be allowed by what the frame is now.
fn check_translation(
    world: &World,
    words: &FrameWords,
    page: Page,
    translation: Translation,
) -> Result<(), Failure> {
    if world.is_user_page(page) {
        if words.kind(translation.frame) == Kind::UserData as u32 && translation.user && !translation.global {
            return Ok(());
        }
        return fail(format!("{page} -> {translation:?}, now {:?}", world.kind(translation.frame)));
    }
    let same = world.kernel_leaf(page).is_some_and(|leaf| {
        leaf.frame == translation.frame
            && leaf.rights.write() == translation.writable
            && leaf.rights.execute() == translation.executable
            && !translation.user
            && !translation.global
    });
    if same { Ok(()) } else { fail(format!("{page} of the kernel half -> {translation:?}")) }
}

/// All that the MMU of every CPU might answer, found by the machine's own walker.
pub(crate) fn check_reachable<P: PagingMode>(sva: &Sva<Emulated<P>>, world: &World) -> Result<(), Failure> {
    let words = FrameWords::read(sva.machine(), world);
    let everything = world::pages((0, FRAME_LIMIT));
    for number in 0..world.start.cpus {
        let mut found = Ok(());
        let mut kernel = BTreeSet::new();
        sva.machine().visit_reachable(cpu(number), everything, |page, translation| {
            if found.is_ok() {
                found = check_translation(world, &words, page, translation);
            }
            if !world.is_user_page(page) {
                kernel.insert(page);
            }
        });
        found?;
        for frame in words.frames() {
            let page = world::page(world.start.place.first_page() + frame.number());
            if world.kernel_leaf(page).is_some() != kernel.contains(&page) {
                return fail(format!("CPU {number} and {page} of the kernel half, the frame {frame}"));
            }
        }
    }
    Ok(())
}

/// Whether what `number` remembers of `page` (of all pages, if `None`) is what the tables say now.
pub(crate) fn check_fresh<P: PagingMode>(
    sva: &Sva<Emulated<P>>,
    world: &World,
    number: u32,
    page: Option<Page>,
) -> Result<(), Failure> {
    let root = world.cr3[count(number)];
    for (cached, translation) in sva.machine().cached(cpu(number)) {
        if !world.is_user_page(cached) || page.is_some_and(|page| page != cached) {
            continue;
        }
        let fresh = world.user_leaf(root, cached).is_some_and(|leaf| {
            leaf.frame == translation.frame
                && leaf.rights.write() == translation.writable
                && leaf.rights.execute() == translation.executable
        });
        if !fresh {
            return fail(format!("CPU {number} was flushed and still has {cached} -> {translation:?}"));
        }
    }
    for structure in sva.machine().structures(cpu(number)) {
        if world.is_user_page(structure.page) {
            let mut table = root;
            for level in (structure.level + 1..=world.shape.levels).rev() {
                match world.item(table, world.shape.index(level, structure.page)) {
                    Some(super::reference::Item::Table(child)) => table = child,
                    _ => return fail(format!("CPU {number} was flushed and still has {structure:?}")),
                }
            }
            if table != structure.table {
                return fail(format!("CPU {number} was flushed and still has {structure:?}"));
            }
        }
    }
    Ok(())
}

/// Accessed and dirty of the user leaf that serves `page` from `root`, as RAM has it.
pub(crate) fn leaf_history(world: &World, memory: &Memory, root: Frame, page: Page) -> (bool, bool) {
    let (table, level) = if world.is_user_page(page) {
        world.deepest(root, page)
    } else {
        let depth = u32::from(world.shape.levels - 2);
        (world::frame(world.first_kernel_table().number() + depth), 1)
    };
    let history = memory.entry(world.shape, table, world.shape.index(level, page)) & HISTORY;
    (history & raw::ACCESSED != 0, history & raw::DIRTY != 0)
}
