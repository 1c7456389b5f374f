//! What comes next: a strategy over steps that looks at the world as the model has it.

use super::operation::{Act, Call, MidAct, Step, Way};
use super::pick::Picker;
use super::reference::{MOST_MAPPINGS, MOST_WRITABLE, Start, World};
use crate::common::world::{Place, count};
use core::marker::PhantomData;
use proptest::prelude::{BoxedStrategy, Just, Rng, Strategy, any};
use proptest::prop_oneof;
use proptest::strategy::{NewTree, ValueTree};
use proptest::test_runner::TestRunner;
use proptest_state_machine::ReferenceStateMachine;
use std::rc::Rc;
use sva_os::address::{FRAME_BYTES, Frame, Page, PageRange};
use sva_os::frame::Kind;
use sva_os::mmu::{PagingMode, Rights};

/// The reference as proptest's state machine, for one mode and one layout.
pub(crate) struct Machine<P, const HIGH: bool>(PhantomData<P>);

impl<P: PagingMode, const HIGH: bool> ReferenceStateMachine for Machine<P, HIGH> {
    type State = Rc<World>;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self::State> {
        let place = if HIGH { Place::HighHalf } else { Place::Identity };
        // The clock runs through all of a word, and counts in half of it.
        let near = |end: u32| (0..40u32).prop_map(move |before| end.wrapping_sub(2 * before + 1));
        let clock = prop_oneof![3 => Just(1u32), 2 => near(0), 2 => near(1 << 31), 1 => any::<u32>()];
        let flood = prop_oneof![15 => Just(false), 1 => Just(true)];
        (1..=4u32, 64..=80u32, clock, flood)
            .prop_map(move |(cpus, frames, clock, flood)| {
                Rc::new(World::new::<P>(Start { place, cpus, frames, clock: clock | 1, flood }))
            })
            // Steps name CPUs and frames of this very world.
            .no_shrink()
            .boxed()
    }

    fn transitions(state: &Self::State) -> BoxedStrategy<Step> {
        Choice(Rc::clone(state)).boxed()
    }

    fn apply(mut state: Self::State, step: &Step) -> Self::State {
        Rc::make_mut(&mut state).call(step.cpu, &step.call);
        state
    }
}

/// A step in that world.
#[derive(Debug)]
struct Choice(Rc<World>);

impl Strategy for Choice {
    type Tree = StepTree;
    type Value = Step;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let mut picker = Picker { world: &self.0, rng: runner.rng() };
        Ok(StepTree::new(step(&mut picker)))
    }
}

/// A step, and simpler ones: what the adversary does goes away, bit by bit.
pub(crate) struct StepTree {
    now: Step,
    before: Option<Step>,
    tried: usize,
}

impl StepTree {
    fn new(now: Step) -> Self {
        Self { now, before: None, tried: 0 }
    }
}

impl ValueTree for StepTree {
    type Value = Step;

    fn current(&self) -> Step {
        self.now.clone()
    }

    fn simplify(&mut self) -> bool {
        loop {
            let mut simpler = self.now.clone();
            match self.tried {
                0 => simpler.before.clear(),
                1 => simpler.during = None,
                2 => simpler.interrupts = true,
                nth if nth - 3 < 8 => {
                    let nth = 7 - (nth - 3);
                    if nth < simpler.before.len() {
                        simpler.before.remove(nth);
                    }
                }
                _ => return false,
            }
            self.tried += 1;
            if simpler != self.now {
                self.before = Some(core::mem::replace(&mut self.now, simpler));
                return true;
            }
        }
    }

    fn complicate(&mut self) -> bool {
        match self.before.take() {
            Some(before) => {
                self.now = before;
                true
            }
            None => false,
        }
    }
}

fn step(picker: &mut Picker<'_>) -> Step {
    let call = call(picker);
    let cpu = picker.cpu();
    let near = page_near(picker.world, &call);
    let acts = picker.one(&[0, 0, 1, 1, 2, 3]);
    let before = (0..acts).map(|_| act(picker, near)).collect();
    let during = picker.percent(25).then(|| during(picker, cpu, near));
    Step { before, cpu, interrupts: picker.percent(85), call, during }
}

/// What happens in the middle of a call of `cpu`.
fn during(picker: &mut Picker<'_>, cpu: u32, near: Option<Page>) -> (u32, Vec<MidAct>) {
    if let Some(page) = near.filter(|_| picker.below(100) < 70) {
        // Another CPU flushes, and remembers at once what may be gone a moment later.
        let mut others = picker.cpus_that_see(page);
        others.retain(|other| *other != cpu);
        if let Some(other) = picker.of(&others) {
            let way = Way { cpu: other, page, nth: 0, store: picker.percent(40) };
            return (2 + picker.below(6), vec![MidAct::Flush(other), MidAct::Fill(way)]);
        }
    }
    let acts = picker.one(&[1, 1, 2, 3]);
    let end = picker.one(&[4, 8, 16]);
    (picker.below(end), (0..acts).map(|_| mid_act(picker, cpu, near)).collect())
}

/// A page that the call is about.
fn page_near(world: &World, call: &Call) -> Option<Page> {
    match *call {
        Call::Map(table, index, ..)
        | Call::Unmap(table, index)
        | Call::Protect(table, index, _)
        | Call::Replace(table, index, ..)
        | Call::MapBatch(table, index, _)
        | Call::UnmapBatch(table, index, _)
        | Call::ProtectBatch(table, index, _)
        | Call::Link(table, index, _)
        | Call::Unlink(table, index)
        | Call::TakeAccessedDirty(table, index) => {
            let level = world.level(table).filter(|level| index < world.shape.entries_at(*level));
            level.and_then(|_| world.page_of(table, index))
        }
        Call::SpaceMap(_, page, ..) | Call::SpaceUnmap(_, page) | Call::FlushPage(page) => Some(page),
        _ => None,
    }
}

fn act(picker: &mut Picker<'_>, near: Option<Page>) -> Act {
    match picker.below(100) {
        0..54 => Act::Fill(picker.way(near)),
        54..62 => Act::Note(picker.way(near)),
        62..70 => Act::Begin(picker.way(near)),
        70..78 => Act::Finish(count(picker.below(8))),
        78..84 => Act::Evict(picker.cpu(), count(picker.below(6))),
        84..89 => Act::EvictStructure(picker.cpu(), count(picker.below(4))),
        89..97 => {
            let offset = picker.one(&[0, 1, 0x7ff, 0xfff]);
            Act::Store(picker.way(near), offset, picker.rng.next_u32().to_le_bytes()[0])
        }
        97..99 => Act::Defer(picker.cpu(), picker.below(4)),
        _ => Act::Leap,
    }
}

fn mid_act(picker: &mut Picker<'_>, caller: u32, near: Option<Page>) -> MidAct {
    match picker.below(100) {
        0..50 => MidAct::Fill(picker.way(near)),
        50..65 => MidAct::Begin(picker.way(near)),
        _ => {
            let other = picker.cpu();
            if other == caller { MidAct::Fill(picker.way(near)) } else { MidAct::Flush(other) }
        }
    }
}

/// How many frames of a kind there should be, about.
fn wants(picker: &mut Picker<'_>, kind: Kind, enough: usize) -> bool {
    picker.world.of_kind(kind).count() < enough && picker.percent(40)
}

fn call(picker: &mut Picker<'_>) -> Call {
    let (pae, flood) = (picker.world.shape.pae, picker.world.start.flood);
    if wants(picker, Kind::Root, 3) {
        return Call::DeclareRoot(picker.frame_of(&[Kind::Free]));
    }
    if wants(picker, Kind::UserData, 5) {
        return Call::Retype(picker.frame_of(&[Kind::Free]), Kind::UserData);
    }
    if pae && wants(picker, Kind::Table2, 3) {
        return Call::DeclareTable(picker.frame_of(&[Kind::Free]), 2);
    }
    if wants(picker, Kind::Table1, if flood { 10 } else { 4 }) {
        return Call::DeclareTable(picker.frame_of(&[Kind::Free]), 1);
    }
    if flood
        && picker.percent(30)
        && let Some(call) = flood_call(picker)
    {
        return call;
    }
    if picker.world.has_dropped
        && picker.percent(40)
        && let Some(call) = reuse(picker)
    {
        return call;
    }
    match picker.below(1000) {
        0..640 => entry_call(picker),
        640..840 => frame_call(picker),
        840..900 => flush_call(picker),
        _ => space_call(picker),
    }
}

/// Makes something else of what was dropped a moment ago.
fn reuse(picker: &mut Picker<'_>) -> Option<Call> {
    let world = picker.world;
    let frame = *world.dropped.last()?;
    match world.kind(frame) {
        Kind::UserData if world.counts(frame) == (0, 0) => {
            let kind = picker.one(&[Kind::Free, Kind::KernelData, Kind::UserData]);
            Some(Call::Retype(frame, kind))
        }
        Kind::Table1 | Kind::Table2 if world.counts(frame) == (0, 0) => Some(Call::RemoveTable(frame)),
        _ => None,
    }
}

/// Maps one frame in a whole table: as long as counts go.
fn flood_call(picker: &mut Picker<'_>) -> Option<Call> {
    let world = picker.world;
    let data = world.of_kind(Kind::UserData).next()?;
    let (total, writable) = world.counts(data);
    let table = world.of_kind(Kind::Table1).find(|table| world.present(*table) < 8)?;
    if total >= MOST_MAPPINGS {
        return None;
    }
    let rights = if writable < MOST_WRITABLE { Rights::ReadWrite } else { Rights::Read };
    let first =
        world.tables.get(&table)?.keys().next_back().map_or(0, |last| (last + 1) % world.shape.entries());
    Some(Call::MapBatch(table, first, vec![(data, rights, world.shape.entries())]))
}

fn entry_call(picker: &mut Picker<'_>) -> Call {
    match picker.below(64) {
        0..15 => Call::Map(picker.leaf_table(), picker.index(), picker.data(), picker.rights()),
        15..23 => {
            let (table, index) = picker.leaf_slot();
            Call::Unmap(table, index)
        }
        23..30 => {
            let (table, index) = picker.leaf_slot();
            Call::Protect(table, index, picker.rights())
        }
        30..36 => {
            let (table, index) = picker.leaf_slot();
            Call::Replace(table, index, picker.data(), picker.rights())
        }
        36..40 => {
            let (table, index) = picker.leaf_slot();
            Call::TakeAccessedDirty(table, index)
        }
        40..42 => {
            let (table, first) = picker.leaf_slot();
            if picker.percent(50) {
                return Call::UnmapBatch(table, first, picker.below(4));
            }
            let length = picker.below(4);
            Call::ProtectBatch(table, first, (0..length).map(|_| picker.rights()).collect())
        }
        42..44 => {
            let runs = picker.one(&[0, 1, 2, 2, 3]);
            let leaves = (0..runs).map(|_| (picker.data(), picker.rights(), 1 + picker.below(2))).collect();
            Call::MapBatch(picker.leaf_table(), picker.index(), leaves)
        }
        44..51 => {
            let (parent, index) = picker.parent_slot();
            let below = match picker.world.level(parent) {
                Some(3) => Kind::Table2,
                _ => Kind::Table1,
            };
            let unlinked: Vec<_> = picker
                .world
                .of_kind(below)
                .filter(|table| !picker.world.parents.contains_key(table))
                .collect();
            let table = match picker.of(&unlinked) {
                Some(table) if picker.percent(75) => table,
                _ => picker.frame_of(&[Kind::Table1, Kind::Table2, Kind::Root]),
            };
            Call::Link(parent, index, table)
        }
        51..55 => {
            let present = picker.present(false);
            let (parent, index) = match present {
                Some(slot) if picker.percent(60) => slot,
                _ => picker.parent_slot(),
            };
            Call::Unlink(parent, index)
        }
        55..58 => Call::LoadRoot(picker.root()),
        58..61 => {
            let root = if picker.percent(90) { picker.root() } else { picker.any_frame() };
            Call::Translate(root, picker.page(None))
        }
        _ => {
            if picker.percent(50) {
                let (table, index) = picker.leaf_slot();
                return Call::ReadEntry(table, index);
            }
            let (table, index) = picker.parent_slot();
            Call::ReadEntry(table, index)
        }
    }
}

fn frame_call(picker: &mut Picker<'_>) -> Call {
    const DATA: [Kind; 2] = [Kind::UserData, Kind::KernelData];
    const BYTES: [Kind; 3] = [Kind::UserData, Kind::KernelData, Kind::Dma];
    match picker.below(400) {
        0..130 => {
            let dropped = picker.dropped(&DATA);
            let frame = match dropped {
                Some(frame) if picker.percent(70) => frame,
                _ => {
                    picker.frame_of(&[Kind::Free, Kind::UserData, Kind::KernelData, Kind::Table1, Kind::Dma])
                }
            };
            let kind = match picker.below(100) {
                0..40 => Kind::Free,
                40..70 => Kind::UserData,
                70..91 => Kind::KernelData,
                91..94 => Kind::Dma,
                _ => picker.one(&Kind::ALL),
            };
            Call::Retype(frame, kind)
        }
        130..165 => {
            let level = picker.one(&[1, 1, 1, 2, 2, 0, 3, 255]);
            // The root of a space that was removed behind its back, now and then.
            let lost = picker.world.spaces.iter().find(|root| picker.world.kind(**root) == Kind::Free);
            match lost {
                Some(root) if picker.percent(15) => Call::DeclareTable(*root, level),
                _ => Call::DeclareTable(picker.frame_of(&[Kind::Free]), level),
            }
        }
        165..225 => {
            let dropped = picker.dropped(&[Kind::Table1, Kind::Table2]);
            Call::RemoveTable(match dropped {
                Some(table) if picker.percent(75) => table,
                _ => picker.frame_of(&[Kind::Table1, Kind::Table2, Kind::Root]),
            })
        }
        225..240 => Call::DeclareRoot(picker.frame_of(&[Kind::Free])),
        240..265 => {
            let world = picker.world;
            let idle: Vec<_> = world
                .of_kind(Kind::Root)
                .filter(|root| world.counts(*root) == (0, 0) && !world.sealed.contains(root))
                .collect();
            Call::RemoveRoot(match picker.of(&idle) {
                Some(root) if picker.percent(50) => root,
                _ => picker.root(),
            })
        }
        265..300 => {
            let frame = if picker.percent(30) { picker.data() } else { picker.frame_of(&BYTES) };
            let (offset, length) = bytes(picker);
            Call::ReadBytes(frame, offset, length)
        }
        300..340 => {
            let frame = if picker.percent(30) { picker.data() } else { picker.frame_of(&BYTES) };
            let (offset, length) = bytes(picker);
            let byte = picker.rng.next_u32().to_le_bytes()[0];
            Call::WriteBytes(frame, offset, vec![byte; count(length)])
        }
        340..343 => Call::GrantMemory(picker.frames(&[Kind::Free])),
        343..363 => Call::PagesNew(picker.frames(&[Kind::Free])),
        363..383 => {
            let first = picker.world.pages.keys().next().copied();
            let offset = picker.below(3 * FRAME_BYTES);
            let byte = picker.rng.next_u32().to_le_bytes()[0];
            Call::PagesWrite(first.unwrap_or(Frame::ZERO), offset, byte)
        }
        _ => {
            let tokens: Vec<_> = picker.world.pages.keys().copied().collect();
            Call::PagesDrop(picker.of(&tokens).unwrap_or(Frame::ZERO))
        }
    }
}

/// Offset and length of a copy.
fn bytes(picker: &mut Picker<'_>) -> (u32, u32) {
    let length = picker.one(&[0, 1, 7, 8, 9, 33]);
    match picker.below(20) {
        0 => (FRAME_BYTES - length + 1, length),
        1 => (u32::MAX - picker.below(3), length),
        2 => (0, FRAME_BYTES + 1),
        3 => (FRAME_BYTES - length, length),
        _ => (picker.below(2048), length),
    }
}

fn flush_call(picker: &mut Picker<'_>) -> Call {
    match picker.below(10) {
        0..2 => Call::Flush,
        2..6 => Call::FlushPage(picker.page(None)),
        6..8 => {
            let first = picker.page(None);
            let length = picker.one(&[0, 1, 2, 3, 31, 32, 33, 1 << 20]);
            let length = length.min((1 << 20) - first.number());
            Call::FlushRange(PageRange::new(first, length).expect("cut to fit"))
        }
        _ => Call::FlushAll,
    }
}

fn space_call(picker: &mut Picker<'_>) -> Call {
    let spaces: Vec<_> = picker.world.spaces.iter().copied().collect();
    let root = match picker.of(&spaces) {
        Some(root) if spaces.len() > 2 || picker.percent(94) => root,
        _ => return Call::SpaceNew(picker.frame_of(&[Kind::Free])),
    };
    // A space whose root was taken from under it stays, to be tried now and then.
    let page = match picker.below(100) {
        0..90 => picker.user_page(),
        90..95 => picker.kernel_page(),
        _ => picker.page(None),
    };
    let mapped: Vec<_> = picker
        .world
        .tables
        .iter()
        .flat_map(|(table, entries)| entries.keys().next().map(|index| (*table, *index)))
        .filter_map(|(table, index)| picker.world.page_of(table, index))
        .filter(|page| picker.world.user_leaf(root, *page).is_some())
        .collect();
    let there = match picker.of(&mapped) {
        Some(page) if picker.percent(80) => page,
        _ if picker.percent(20) => picker.kernel_page(),
        _ => page,
    };
    match picker.below(100) {
        0..28 => Call::SpaceMap(root, page, picker.data(), picker.rights(), picker.source()),
        28..40 => {
            let frames = picker.frames(&[Kind::UserData]);
            Call::SpaceMapRange(root, page, frames, picker.rights(), picker.source())
        }
        40..54 => Call::SpaceUnmap(root, there),
        54..60 => {
            let length = picker.one(&[0, 1, 2, 3, 600, 1100]);
            let length = length.min((1 << 20) - there.number());
            Call::SpaceUnmapRange(root, PageRange::new(there, length).expect("cut to fit"))
        }
        60..66 => Call::SpaceProtect(root, there, picker.rights()),
        66..72 => Call::SpaceReplace(root, there, picker.data(), picker.rights()),
        72..77 => Call::SpaceTranslate(root, there),
        77..86 => Call::SpaceLoad(root),
        86..90 => Call::SpaceTableCount(root),
        _ => Call::SpaceDestroy(root),
    }
}
