//! B1 and B3: init once, and what it leaves behind.

use crate::common::world::{
    DATA, HEAP, KEPT, Place, READ_ONLY, RESERVED, STACK, TEXT, frame, frames, image, memory_map, page, pages,
    world_at,
};
use crate::hardware::{all_pages, isolated};
use crate::stage::{Machine, RAM, Stage, cpu, cpus, raw_entry, sound};
use std::collections::BTreeMap;
use sva_os::address::{Frame, Page, PageRange};
use sva_os::frame::Kind;
use sva_os::layout::{DirectMap, InUse, Layout};
use sva_os::mmu::{Geometry, PagingMode};
use sva_os::{Sva, Violation};

/// A present entry that maps a page: to which frame, for writing, for execution.
type Mapped = (Frame, bool, bool);

/// Every page that the kernel half must map, from the layout alone.
fn expected<P: PagingMode>(sva: &Machine<P>, place: Place) -> BTreeMap<Page, Mapped> {
    let base = place.first_page();
    let guards = STACK.0 - 2..STACK.0;
    (0..RAM)
        .filter(|number| *number != RESERVED.0 && !guards.contains(number))
        .map(|number| {
            let is = |part| frames(part).contains(frame(number));
            let write = !is(TEXT) && !is(READ_ONLY);
            assert_ne!(sva.kind(frame(number)), Kind::None, "frame {number} is RAM");
            (page(base + number), (frame(number), write, is(TEXT) || !P::NO_EXECUTE))
        })
        .collect()
}

/// What a walk from `root` finds in the kernel half, by the manual: the leaves, and the number of all
/// present entries of the root's kernel half and below it.
fn walk<P: PagingMode>(sva: &Machine<P>, root: Frame) -> (BTreeMap<Page, Mapped>, u32) {
    let mut found = BTreeMap::new();
    let mut entries = 0;
    let mut open = vec![(root, P::LEVELS, 0)];
    while let Some((table, level, first)) = open.pop() {
        for index in 0..P::entries(level) {
            let raw = raw_entry(sva, table, index);
            let number = first + (index << P::span_bits(level));
            if raw & 1 == 0 {
                assert_eq!(raw, 0, "entry {index} of {table} is not present and not empty");
                continue;
            }
            if sva.user_window().contains(page(number)) {
                continue;
            }
            entries += 1;
            let to = frame((raw & 0xffff_f000) as u32 >> 12);
            assert_eq!(raw >> 32 & 0x7fff_ffff, 0);
            if level > 1 {
                assert!(sva.kernel_tables().contains(to), "{to} is no kernel table");
                open.push((to, level - 1, number));
            } else {
                let execute = !P::NO_EXECUTE || raw >> 63 == 0;
                assert_eq!(raw & 1 << 2, 0, "U at {number:#x}");
                assert!(found.insert(page(number), (to, raw & 2 != 0, execute)).is_none());
            }
        }
    }
    (found, entries)
}

attacks! {
    /// A claimed machine is refused, whatever layout is given, and in use or not.
    fn attack_b01_init_twice_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let before = stage.sva.machine().digest();
        let copy = stage.sva.machine().clone();
        let place = Place::HighHalf;
        let layout = Layout {
            image: &image(place),
            user: pages(place.user()),
            direct_map: DirectMap { first: page(place.first_page()), frames: frames((0, RAM)) },
            stacks: PageRange::EMPTY,
            devices: PageRange::EMPTY,
            in_use: &[InUse::Heap(frames(HEAP)), InUse::Kept(frames(KEPT))],
        };
        let loaded = copy.root_of(cpu(0)).start();
        let again = Sva::emulate(copy, &layout, &memory_map(RAM));
        assert_eq!(again.err(), Some(Violation::AlreadyInitialised(loaded)));
        assert_eq!(stage.sva.machine().digest(), before);
        stage.sound();
    }

    /// A machine's own copy counts as claimed, and a copy of that too.
    fn attack_b01_a_copy_is_claimed_too<P>() {
        let place = Place::Identity;
        let sva = world_at::<P>(place, 2, RAM);
        let copy = sva.machine().clone().clone();
        let layout = Layout {
            image: &image(place),
            user: pages(place.user()),
            direct_map: DirectMap { first: page(place.first_page()), frames: frames((0, RAM)) },
            stacks: PageRange::EMPTY,
            devices: PageRange::EMPTY,
            in_use: &[],
        };
        let again = Sva::emulate(copy, &layout, &memory_map(RAM));
        assert_eq!(again.err(), Some(Violation::AlreadyInitialised(sva.sealed_root().start())));
    }

    /// The leaves are those that the layout explains, the other entries link the kernel's tables, and
    /// the audit counted as many.
    fn attack_b03_every_present_entry_is_accounted_for<P>() {
        for place in Place::ALL {
            let sva = world_at::<P>(place, 2, RAM);
            let (leaves, entries) = walk(&sva, sva.sealed_root());
            assert_eq!(leaves, expected(&sva, place));
            let summary = sva.audit().unwrap();
            assert_eq!(summary.kernel_entries, entries);
            assert_eq!(entries, leaves.len() as u32 + sva.kernel_tables().count());
            assert_eq!(
                (summary.user_entries, summary.user_leaves, summary.tables, summary.roots),
                (0, 0, 0, 1)
            );
            let free = (0..RAM).map(frame).filter(|frame| sva.kind(*frame) == Kind::Free).count();
            assert_eq!(summary.free, free as u32);
            sound(&sva);
        }
    }

    /// No table has a present entry that no walk from the sealed root comes to.
    fn attack_b03_no_entry_is_out_of_reach<P>() {
        let sva = world_at::<P>(Place::HighHalf, 1, RAM);
        let present = |table: Frame, entries: u32| {
            (0..entries).filter(|index| raw_entry(&sva, table, *index) != 0).count() as u32
        };
        let below: u32 = sva.kernel_tables().iter().map(|table| present(table, P::ENTRIES)).sum();
        let all = below + present(sva.sealed_root(), P::ENTRIES);
        assert_eq!(walk(&sva, sva.sealed_root()).1, all);
    }

    /// What every CPU can reach is what the walk found: nothing left over from before init, though
    /// each TLB held global translations of everything.
    fn attack_b03_nothing_is_left_over_in_any_tlb<P>() {
        for place in Place::ALL {
            let sva = world_at::<P>(place, 3, RAM);
            let leaves = expected(&sva, place);
            for cpu in cpus() {
                assert_eq!(sva.machine().root_of(cpu), sva.sealed_root());
                assert_eq!(sva.machine().cached_count(cpu), 0);
                let reachable = sva.machine().reachable(cpu, all_pages()).into_iter();
                let reached = reachable.map(|(page, to)| (page, (to.frame, to.writable, to.executable)));
                assert_eq!(reached.collect::<BTreeMap<_, _>>(), leaves);
            }
            isolated(&sva);
        }
    }

    /// Each frame is of the kind that the layout and the map give it.
    fn attack_b03_every_frame_has_its_kind<P>() {
        for place in Place::ALL {
            let sva = world_at::<P>(place, 1, RAM);
            let parts = [
                (TEXT, Kind::Code),
                (READ_ONLY, Kind::Image),
                (DATA, Kind::Image),
                ((STACK.0 - 2, 2), Kind::None),
                (STACK, Kind::Stack),
                (HEAP, Kind::Heap),
                (KEPT, Kind::Kept),
                (RESERVED, Kind::None),
                ((0, 1), Kind::Kept),
            ];
            for (part, kind) in parts {
                assert!(frames(part).iter().all(|frame| sva.kind(frame) == kind), "{part:?}");
            }
            let named = |frame: &Frame| parts.iter().any(|(part, _)| frames(*part).contains(*frame));
            let rest = (0..RAM).map(frame).filter(|frame| !named(frame));
            let own = |kind| matches!(kind, Kind::Monitor | Kind::Root | Kind::KernelTable);
            let (own, free): (Vec<_>, Vec<_>) = rest.partition(|frame| own(sva.kind(*frame)));
            assert_eq!(own.len() as u32, 3 + 1 + sva.kernel_tables().count());
            assert!(free.iter().all(|frame| sva.kind(*frame) == Kind::Free));
        }
    }
}
