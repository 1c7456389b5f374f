//! B2: memory maps that are wrong in every way.

use crate::common::world::{frame, frames, page};
use crate::plan::{BASE, RAM, accepted, available, refused, region, reserved};
use sva_os::Violation;
use sva_os::address::FRAME_LIMIT;
use sva_os::frame::Kind;
use sva_os::layout::DirectMap;
use sva_os::memory_map::Usage;

attacks! {
    fn attack_b02_regions_may_overlap_and_be_unsorted<P>() {
        let whole = accepted::<P>(|_| {}).1;
        let maps = [
            vec![available(32, 32), available(0, 32)],
            vec![available(0, 40), available(10, RAM - 10), available(5, 3)],
            vec![available(20, 1), available(0, RAM), available(0, RAM)],
            (0..RAM).rev().map(|n| available(n, 1)).collect(),
        ];
        for map in maps {
            assert_eq!(accepted::<P>(|plan| plan.map = map).1, whole);
        }
    }

    fn attack_b02_empty_regions_say_nothing<P>() {
        let whole = accepted::<P>(|_| {}).1;
        for usage in [Usage::Available, Usage::Reserved] {
            for start in [0, 1, 0x14_000, 0x14_001, 0x14_fff, 1 << 32, u64::MAX] {
                for at in [0, 1] {
                    let (_, free) = accepted::<P>(|plan| plan.map.insert(at, region(start, 0, usage)));
                    assert_eq!(free, whole, "{usage:?} at {start:#x}");
                }
            }
        }
    }

    fn attack_b02_a_region_that_wraps_is_refused<P>() {
        for usage in [Usage::Available, Usage::Reserved] {
            for (start, length) in
                [(u64::MAX, 1), (1, u64::MAX), (0x1000, u64::MAX - 0xffe), (1 << 63, 1 << 63)]
            {
                refused::<P>(Violation::BadRegion(1), |plan| plan.map.push(region(start, length, usage)));
                refused::<P>(Violation::BadRegion(0), |plan| {
                    plan.map.insert(0, region(start, length, usage))
                });
            }
        }
    }

    fn attack_b02_memory_beyond_4_gib_is_left_alone<P>() {
        let whole = accepted::<P>(|_| {}).1;
        for (start, length) in
            [(1 << 32, 1 << 32), (u64::MAX - 1, 1), (1 << 44, 0x1000), ((1 << 32) + (20 << 12), 0x1000)]
        {
            for usage in [Usage::Available, Usage::Reserved] {
                let (_, free) = accepted::<P>(|plan| plan.map.push(region(start, length, usage)));
                assert_eq!(free, whole, "{usage:?} at {start:#x}");
            }
        }
    }

    fn attack_b02_only_whole_frames_are_ram<P>() {
        // 20 and 40 are cut in halves; what lies between is whole.
        let cut = vec![
            available(0, 20),
            region((20 << 12) + 1, (20 << 12) + 0x7fe, Usage::Available),
            available(41, 23),
        ];
        let (sva, free) = accepted::<P>(|plan| plan.map = cut);
        for (number, kind) in [(20, Kind::None), (21, Kind::Free), (39, Kind::Free), (40, Kind::None)] {
            assert_eq!(sva.kind(frame(number)), kind, "{number}");
            assert_eq!(free.contains(&number), kind == Kind::Free);
        }
        // Two halves that touch make no whole frame.
        let halves = vec![
            available(0, 20),
            region(20 << 12, 0x800, Usage::Available),
            region((20 << 12) + 0x800, (43 << 12) + 0x800, Usage::Available),
        ];
        assert_eq!(accepted::<P>(|plan| plan.map = halves).0.kind(frame(20)), Kind::None);
    }

    fn attack_b02_a_reserved_byte_takes_its_frame<P>() {
        for (start, length, taken) in [
            ((20 << 12) + 5, 1, 20..21),
            ((20 << 12) + 0xfff, 1, 20..21),
            ((20 << 12) + 0xfff, 2, 20..22),
            (20 << 12, 0x1000, 20..21),
            (20 << 12, 0x1001, 20..22),
        ] {
            for first in [true, false] {
                let (sva, _) = accepted::<P>(|plan| {
                    plan.map.insert(usize::from(!first), region(start, length, Usage::Reserved));
                });
                for number in 19..23 {
                    assert_eq!(sva.kind(frame(number)) == Kind::None, taken.contains(&number), "{number}");
                }
            }
        }
    }

    fn attack_b02_reserved_wins_over_the_image<P>() {
        for (taken, first) in [(1, 1), (3, 3), (9, 9), (10, 10), (11, 11)] {
            refused::<P>(Violation::NotRam(frame(first)), |plan| plan.map.push(reserved(taken, 1)));
        }
        // Containing, contained, and over either end.
        for (first, count) in [(0, 64), (1, 1), (0, 2), (2, 1)] {
            let expected = if first == 2 { 2 } else { 1 };
            refused::<P>(Violation::NotRam(frame(expected)), |plan| {
                plan.map.insert(0, reserved(first, count))
            });
        }
    }

    fn attack_b02_no_ram_at_all_is_refused<P>() {
        refused::<P>(Violation::NotRam(frame(1)), |plan| plan.map.clear());
        refused::<P>(Violation::NotRam(frame(1)), |plan| plan.map = vec![reserved(0, RAM)]);
        refused::<P>(Violation::NotRam(frame(1)), |plan| plan.map = vec![region(0, 0, Usage::Available)]);
        refused::<P>(Violation::NotRam(frame(1)), |plan| plan.map = vec![region(1, 0xffe, Usage::Available)]);
    }

    /// The tables need a few contiguous frames: with one less than that there is no room.
    fn attack_b02_too_little_ram_is_refused<P>() {
        // The frame table, the clock, the root, the records of flows, and one table for each level below the root.
        let needed = 4 + u32::from(P::LEVELS) - 1;
        for spare in 0..needed {
            refused::<P>(Violation::NoRoom(needed), |plan| plan.map = vec![available(0, 12 + spare)]);
        }
        assert!(accepted::<P>(|plan| plan.map = vec![available(0, 12 + needed)]).1.is_empty());
        // As many, but never together.
        refused::<P>(Violation::NoRoom(needed), |plan| {
            plan.map.extend((12..RAM).filter(|n| n % needed == 0).map(|n| reserved(n, 1)));
        });
    }

    fn attack_b02_ram_beyond_the_direct_map_is_unused<P>() {
        let (sva, free) = accepted::<P>(|plan| plan.direct_map.frames = frames((0, 40)));
        assert_eq!(sva.frame_count(), 40);
        assert!(free.iter().all(|number| *number < 40));
        assert!((40..RAM).all(|number| sva.kind(frame(number)) == Kind::None));
        // Below its start too.
        let (sva, free) = accepted::<P>(|plan| {
            plan.direct_map = DirectMap { first: page(BASE + 1), frames: frames((1, 40)) };
        });
        assert_eq!(sva.kind(frame(0)), Kind::None);
        assert!(!free.contains(&0) && free.iter().all(|number| *number < 41));
    }

    fn attack_b02_ram_that_is_not_there_is_refused<P>() {
        for (first, count) in [(RAM, 1), (0, RAM + 1), (RAM - 1, 2), (0xfee00, 1), (RAM, FRAME_LIMIT - RAM)] {
            refused::<P>(Violation::NotRam(frame(first)), |plan| plan.map.push(available(first, count)));
        }
        refused::<P>(Violation::NotRam(frame(0)), |plan| {
            plan.map = vec![region(0, u64::MAX, Usage::Available)];
        });
    }
}
