//! Address spaces and lent frames, as a client uses them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

mod common;

use common::world::{FIRST_FREE, frame, low_world, page, world};
use sva_os::address::{Frame, FrameRange, Page, PageRange};
use sva_os::frame::Kind;
use sva_os::machine::{Cpu, Emulated};
use sva_os::mmu::{AddressSpace, FrameSource, Geometry, KernelPages, Pae, PagingMode, Rights, TwoLevel};
use sva_os::{Progress, Sva, Violation};

type World<P> = Sva<Emulated<P>>;

const RAM: u32 = 96;
/// The root of the address space, and the frames that are its pages.
const ROOT: u32 = FIRST_FREE;
const DATA: u32 = 40;

/// So many of the frames from 20 on, the last given back first out again.
struct Stack(Vec<Frame>);

impl Stack {
    fn of(count: u32) -> Self {
        Self((20..20 + count).rev().map(frame).collect())
    }
}

impl FrameSource for Stack {
    fn take(&mut self) -> Option<Frame> {
        self.0.pop()
    }

    fn give_back(&mut self, frame: Frame) {
        assert!(!self.0.contains(&frame), "{frame} is given back twice");
        self.0.push(frame);
    }
}

fn world_with_data<P: PagingMode>() -> World<P> {
    let sva = world::<P>(2, RAM);
    (DATA..DATA + 20).for_each(|data| sva.retype(frame(data), Kind::UserData).unwrap());
    sva
}

fn data(n: u32) -> FrameRange {
    FrameRange::new(frame(DATA), n).unwrap()
}

/// Pages whose `before` first are served by one table, the others by the next.
fn across<P: PagingMode>(before: u32) -> Page {
    page((2 << P::span_bits(2)) - before)
}

/// How many tables a page needs below the root.
fn depth<P: PagingMode>() -> u32 {
    u32::from(P::LEVELS) - 1
}

#[track_caller]
fn refused<P: PagingMode, T: std::fmt::Debug>(
    sva: &World<P>,
    call: impl FnOnce() -> Result<T, Violation>,
    violation: Violation,
) {
    let before = sva.machine().digest();
    assert_eq!(call().err(), Some(violation));
    assert_eq!(sva.machine().digest(), before);
}

/// The kinds of all frames.
fn kinds<P: PagingMode>(sva: &World<P>) -> Vec<Kind> {
    (0..RAM).map(|number| sva.kind(frame(number))).collect()
}

fn destroyed<P: PagingMode>(space: AddressSpace<'_, Emulated<P>>, source: &mut Stack) -> u32 {
    let mut leaves = 0;
    space.destroy(source, |_| leaves += 1).map_err(|(_, violation)| violation).unwrap();
    leaves
}

macro_rules! both {
    ($($(#[$doc:meta])* fn $name:ident<$mode:ident>() $body:block)*) => {$(
        $(#[$doc])*
        fn $name<$mode: PagingMode>() $body
        mod $name {
            #[test]
            fn two_level() { super::$name::<super::TwoLevel>() }
            #[test]
            fn pae() { super::$name::<super::Pae>() }
        }
    )*};
}

both! {
    fn a_range_across_tables_is_mapped_changed_and_unmapped<P>() {
        let sva = world_with_data::<P>();
        let before = kinds(&sva);
        let mut source = Stack::of(10);
        let space = AddressSpace::new(&sva, frame(ROOT)).unwrap();
        let first = across::<P>(3);
        let mapped = space.map_range(first, data(7), Rights::ReadWrite, &mut source);
        assert_eq!(mapped, Progress { done: 7, refused: None });
        // Two tables of leaves, and what is above them.
        assert_eq!(space.table_count(), 1 + 2 + depth::<P>() - 1);
        assert_eq!(source.0.len() as u32, 10 - (2 + depth::<P>() - 1));
        for n in 0..7 {
            let leaf = space.translate(page(first.number() + n)).unwrap().unwrap();
            assert_eq!((leaf.frame(), leaf.write()), (frame(DATA + n), true));
        }
        for n in [0, 2, 3, 6] {
            let at = page(first.number() + n);
            assert!(space.protect(at, Rights::Read).unwrap().write());
            let old = space.replace(at, frame(DATA + 10), Rights::ReadWrite).unwrap();
            assert_eq!((old.frame(), old.write()), (frame(DATA + n), false));
            assert_eq!(space.translate(at).unwrap().unwrap().frame(), frame(DATA + 10));
        }
        assert_eq!(sva.mappings(frame(DATA + 10)).writable, 4);
        sva.audit().unwrap();
        let mut seen = Vec::new();
        let range = PageRange::new(page(first.number() - 2), 12).unwrap();
        let unmapped = space.unmap_range(range, |page, leaf| seen.push((page.number(), leaf.frame())));
        assert_eq!(unmapped.complete(), Ok(12));
        assert_eq!(seen.len(), 7);
        assert!(seen.iter().zip(first.number()..).all(|((page, _), expected)| *page == expected));
        assert!((DATA..DATA + 11).all(|number| sva.mappings(frame(number)).total == 0));
        assert_eq!(destroyed(space, &mut source), 0);
        assert_eq!(source.0.len(), 11, "all tables and the root");
        assert_eq!(kinds(&sva), before);
        sva.audit().unwrap();
    }

    fn destroy_gives_everything_back<P>() {
        let sva = world_with_data::<P>();
        let before = kinds(&sva);
        let mut source = Stack::of(16);
        let space = AddressSpace::new(&sva, frame(ROOT)).unwrap();
        let window = sva.user_window();
        let ends = [window.first(), page(window.end() - 1), page(window.end() / 2), across::<P>(1)];
        for (n, at) in (0..).zip(ends) {
            space.map(at, frame(DATA + n), Rights::ALL[n as usize], &mut source).unwrap();
        }
        sva.audit().unwrap();
        assert_eq!(destroyed(space, &mut source), 4);
        assert_eq!(source.0.len(), 17);
        assert!(source.0.iter().all(|frame| sva.kind(*frame) == Kind::Free));
        assert_eq!(kinds(&sva), before);
        sva.audit().unwrap();
        // And once more, out of the frames that came back.
        let space = AddressSpace::new(&sva, source.take().unwrap()).unwrap();
        space.map(page(5), frame(DATA), Rights::Read, &mut source).unwrap();
        assert_eq!(destroyed(space, &mut source), 1);
        assert_eq!(kinds(&sva), before);
    }

    /// The kernel lies low and the window above it: entries before the window are not the client's.
    fn a_window_that_starts_higher_is_emptied_whole<P>() {
        let sva = low_world::<P>(2, RAM);
        (DATA..DATA + 2).for_each(|data| sva.retype(frame(data), Kind::UserData).unwrap());
        let before = kinds(&sva);
        let mut source = Stack::of(10);
        let space = AddressSpace::new(&sva, frame(ROOT)).unwrap();
        let window = sva.user_window();
        assert_ne!(window.first(), Page::ZERO);
        for (n, at) in (0..).zip([window.first(), page(window.end() - 1)]) {
            space.map(at, frame(DATA + n), Rights::Read, &mut source).unwrap();
        }
        assert_eq!(space.table_count(), 1 + 2 * depth::<P>());
        assert_eq!(destroyed(space, &mut source), 2);
        assert_eq!(kinds(&sva), before);
        sva.audit().unwrap();
    }

    /// The source runs dry at every place: nothing is left behind.
    fn a_source_that_runs_dry_leaves_nothing_behind<P>() {
        for frames in 0..depth::<P>() {
            let sva = world_with_data::<P>();
            let mut source = Stack::of(frames);
            let space = AddressSpace::new(&sva, frame(ROOT)).unwrap();
            let before = kinds(&sva);
            let at = page(0x8048);
            let mapped = space.map(at, frame(DATA), Rights::Read, &mut source);
            assert_eq!(mapped, Err(Violation::NoTable(at)));
            assert_eq!(source.0.len() as u32, frames);
            assert_eq!(kinds(&sva), before);
            assert_eq!((space.table_count(), sva.mappings(frame(ROOT)).total), (1, 0));
            sva.audit().unwrap();
        }
    }

    /// In the midst of a range: what is done is done, and the rest is not begun.
    fn a_range_stops_where_the_source_runs_dry<P>() {
        let sva = world_with_data::<P>();
        let mut source = Stack::of(depth::<P>());
        let space = AddressSpace::new(&sva, frame(ROOT)).unwrap();
        let first = across::<P>(4);
        let mapped = space.map_range(first, data(9), Rights::Read, &mut source);
        let dry = Some(Violation::NoTable(page(first.number() + 4)));
        assert_eq!(mapped, Progress { done: 4, refused: dry });
        assert_eq!(space.table_count(), 1 + depth::<P>());
        assert_eq!(sva.mappings(frame(DATA + 4)).total, 0);
        sva.audit().unwrap();
    }

    /// Tables that were made for a page which is then refused go back; those that were there stay.
    fn a_refused_page_gives_its_tables_back<P>() {
        let sva = world_with_data::<P>();
        let mut source = Stack::of(6);
        let space = AddressSpace::new(&sva, frame(ROOT)).unwrap();
        let evil = [
            (frame(ROOT), Violation::NotMappable(frame(ROOT))),
            (frame(1), Violation::NotMappable(frame(1))),
            (frame(RAM), Violation::NoSuchFrame(frame(RAM))),
            (frame(70), Violation::NotMappable(frame(70))),
        ];
        for (target, violation) in evil {
            let before = kinds(&sva);
            assert_eq!(space.map(page(0x8048), target, Rights::Read, &mut source), Err(violation));
            assert_eq!((kinds(&sva), source.0.len()), (before, 6));
            assert_eq!(space.table_count(), 1);
        }
        space.map(page(0x8048), frame(DATA), Rights::Read, &mut source).unwrap();
        let tables = space.table_count();
        for (target, violation) in evil {
            assert_eq!(space.map(page(0x8049), target, Rights::Read, &mut source), Err(violation));
            assert_eq!(space.table_count(), tables);
        }
        let index = P::index(1, page(0x8048));
        let again = space.map(page(0x8048), frame(DATA), Rights::Read, &mut source);
        assert_eq!(again, Err(Violation::EntryPresent(index)));
        sva.audit().unwrap();
    }

    /// A source that hands out what is not free: refused, and given back.
    fn a_source_of_frames_that_are_not_free_is_refused<P>() {
        let sva = world_with_data::<P>();
        let space = AddressSpace::new(&sva, frame(ROOT)).unwrap();
        for bad in [frame(DATA), frame(ROOT), frame(1), sva.sealed_root(), frame(12), frame(RAM + 7)] {
            let mut source = Stack(vec![bad]);
            let violation = match sva.kind(bad) {
                Kind::None => Violation::NoSuchFrame(bad),
                _ => Violation::NotFree(bad),
            };
            refused(&sva, || space.map(page(9), frame(DATA), Rights::Read, &mut source), violation);
            assert_eq!(source.0, [bad]);
        }
        sva.audit().unwrap();
    }

    fn pages_outside_the_user_window_are_refused<P>() {
        let sva = world_with_data::<P>();
        let mut source = Stack::of(6);
        let space = AddressSpace::new(&sva, frame(ROOT)).unwrap();
        let end = sva.user_window().end();
        for number in [end, end + 1, end + 4, end + 0x1000, 0xf_ffff] {
            let at = page(number);
            let violation = Violation::NotAUserPage(at);
            refused(&sva, || space.map(at, frame(DATA), Rights::Read, &mut source), violation);
            refused(&sva, || space.unmap(at), violation);
            refused(&sva, || space.protect(at, Rights::ReadWrite), violation);
            refused(&sva, || space.replace(at, frame(DATA), Rights::Read), violation);
        }
        // A range that leaves the window stops there.
        let mapped = space.map_range(page(end - 2), data(4), Rights::Read, &mut source);
        assert_eq!(mapped, Progress { done: 2, refused: Some(Violation::NotAUserPage(page(end))) });
        let unmapped = space.unmap_range(PageRange::new(page(end - 3), 5).unwrap(), |_, _| {});
        assert_eq!(unmapped, Progress { done: 3, refused: Some(Violation::NotAUserPage(page(end))) });
        sva.audit().unwrap();
    }

    fn pages_that_are_not_mapped_are_refused<P>() {
        let sva = world_with_data::<P>();
        let mut source = Stack::of(6);
        let space = AddressSpace::new(&sva, frame(ROOT)).unwrap();
        let at = page(0x8048);
        for _ in 0..2 {
            refused(&sva, || space.unmap(at), Violation::NoTable(at));
            refused(&sva, || space.protect(at, Rights::Read), Violation::NoTable(at));
            refused(&sva, || space.replace(at, frame(DATA), Rights::Read), Violation::NoTable(at));
        }
        assert_eq!(space.translate(at), Ok(None));
        space.map(page(0x8049), frame(DATA), Rights::Read, &mut source).unwrap();
        let empty = Violation::EntryEmpty(P::index(1, at));
        refused(&sva, || space.unmap(at), empty);
        refused(&sva, || space.protect(at, Rights::Read), empty);
        refused(&sva, || space.replace(at, frame(DATA), Rights::Read), empty);
        assert_eq!(space.translate(at), Ok(None));
    }

    fn destroy_is_refused_while_it_is_loaded<P>() {
        for number in 0..2 {
            let cpu = Cpu::new(number).unwrap();
            let sva = world_with_data::<P>();
            let mut source = Stack::of(6);
            let space = AddressSpace::new(&sva, frame(ROOT)).unwrap();
            space.map(page(7), frame(DATA), Rights::ReadWrite, &mut source).unwrap();
            sva.machine().as_cpu(cpu, || space.load()).unwrap();
            assert_eq!(sva.machine().root_of(cpu), space.root());
            let before = sva.machine().digest();
            let Err((space, violation)) = space.destroy(&mut source, |_| panic!("it unmapped something"))
            else {
                panic!("it destroyed what CPU {number} runs on");
            };
            assert_eq!(violation, Violation::RootInUse(frame(ROOT)));
            assert_eq!(sva.machine().digest(), before);
            assert_eq!(space.translate(page(7)).unwrap().unwrap().frame(), frame(DATA));
            sva.machine().as_cpu(cpu, || sva.load_root(sva.sealed_root())).unwrap();
            assert_eq!(destroyed(space, &mut source), 1);
            sva.audit().unwrap();
        }
    }

    /// Where it is loaded, a change is there at once: no stale translation is left on this CPU.
    fn a_loaded_space_changes_at_once<P>() {
        let sva = world_with_data::<P>();
        let mut source = Stack::of(6);
        let space = AddressSpace::new(&sva, frame(ROOT)).unwrap();
        let (at, cpu) = (page(0x8048), Cpu::new(0).unwrap());
        space.map(at, frame(DATA), Rights::ReadWrite, &mut source).unwrap();
        space.load().unwrap();
        let outcomes = || {
            sva.machine().walks(cpu, at).iter().for_each(|walk| {
                sva.machine().fill(cpu, walk);
            });
            sva.machine().outcomes(cpu, at)
        };
        assert!(!outcomes().is_empty() && outcomes().iter().all(|to| to.frame == frame(DATA) && to.writable));
        space.protect(at, Rights::Read).unwrap();
        assert!(
            !outcomes().is_empty() && outcomes().iter().all(|to| to.frame == frame(DATA) && !to.writable)
        );
        space.replace(at, frame(DATA + 1), Rights::Read).unwrap();
        assert!(!outcomes().is_empty() && outcomes().iter().all(|to| to.frame == frame(DATA + 1)));
        space.unmap(at).unwrap();
        assert!(outcomes().is_empty());
    }

    fn a_root_that_is_not_free_is_refused<P>() {
        let sva = world_with_data::<P>();
        for bad in [frame(DATA), frame(1), sva.sealed_root()] {
            refused(&sva, || AddressSpace::new(&sva, bad).map(drop), Violation::NotFree(bad));
        }
        let gone = frame(RAM);
        refused(&sva, || AddressSpace::new(&sva, gone).map(drop), Violation::NoSuchFrame(gone));
    }

    /// Whoever changes the tree by number meanwhile gets refusals, and no panics, out of the value.
    fn a_space_survives_calls_by_number<P>() {
        let sva = world_with_data::<P>();
        let mut source = Stack::of(8);
        let space = AddressSpace::new(&sva, frame(ROOT)).unwrap();
        let at = page(0x8048);
        space.map(at, frame(DATA), Rights::ReadWrite, &mut source).unwrap();
        let table = sva.unlink(frame(ROOT), P::index(P::LEVELS, at)).unwrap();
        assert_eq!(space.unmap(at), Err(Violation::NoTable(at)));
        space.map(at, frame(DATA), Rights::Read, &mut source).unwrap();
        assert_eq!(sva.mappings(frame(DATA)).total, 2);
        assert_eq!(sva.kind(table).number_of_levels(), depth::<P>());
        assert_eq!(destroyed(space, &mut source), 1);
        sva.audit().unwrap();
    }

    fn owned_pages_are_written_dropped_and_used_again<P>() {
        let sva = world_with_data::<P>();
        let range = FrameRange::new(frame(60), 3).unwrap();
        for round in 0..3u8 {
            let mut pages = KernelPages::new(&sva, range).unwrap();
            assert_eq!((pages.len(), pages.frames()), (3 * 4096, range));
            assert!(pages.iter().all(|byte| *byte == 0), "round {round} reads what the last one wrote");
            pages.iter_mut().zip(0u32..).for_each(|(byte, n)| *byte = n as u8 ^ round ^ 0x5a);
            assert!(pages.iter().zip(0u32..).all(|(byte, n)| *byte == n as u8 ^ round ^ 0x5a));
            assert!(range.iter().all(|frame| sva.kind(frame) == Kind::Pages));
            sva.audit().unwrap();
            drop(pages);
            assert!(range.iter().all(|frame| sva.kind(frame) == Kind::Free));
            sva.audit().unwrap();
        }
        // As a table: none of the bytes is an entry.
        sva.declare_table(frame(61), 1).unwrap();
        let empty =
            (0..P::ENTRIES).all(|index| sva.read_entry(frame(61), index) == Ok(sva_os::mmu::Entry::Empty));
        assert!(empty);
    }

    fn a_range_that_is_not_all_free_is_refused_whole<P>() {
        let sva = world_with_data::<P>();
        let data = frame(DATA);
        for (first, count, violation) in [
            (DATA - 1, 3, Violation::NotFree(data)),
            (DATA - 4, 5, Violation::NotFree(data)),
            (DATA, 1, Violation::NotFree(data)),
            (11, 4, Violation::NotFree(frame(11))),
            (12, 2, Violation::NoSuchFrame(frame(12))),
            (RAM, 1, Violation::NoSuchFrame(frame(RAM))),
            (60, 0, Violation::EmptyRange(60)),
        ] {
            let range = FrameRange::new(frame(first), count).unwrap();
            refused(&sva, || KernelPages::new(&sva, range).map(drop), violation);
            refused(&sva, || sva.grant_memory(range).map(drop), violation);
        }
        sva.audit().unwrap();
    }

    fn granted_memory_is_heap_for_ever<P>() {
        let sva = world_with_data::<P>();
        let range = FrameRange::new(frame(60), 2).unwrap();
        let memory = sva.grant_memory(range).unwrap();
        assert_eq!(memory.len(), 2 * 4096);
        assert!(memory.iter_mut().all(|byte| *byte.write(0xa5) == 0xa5));
        refused(&sva, || sva.grant_memory(range).map(drop), Violation::NotFree(frame(60)));
        refused(&sva, || sva.retype(frame(61), Kind::Free), Violation::FrameSealed(frame(61)));
        sva.audit().unwrap();
    }
}

/// The level of a table, by its kind.
trait Levels {
    fn number_of_levels(self) -> u32;
}

impl Levels for Kind {
    fn number_of_levels(self) -> u32 {
        match self {
            Kind::Table1 => 1,
            Kind::Table2 => 2,
            _ => 0,
        }
    }
}
