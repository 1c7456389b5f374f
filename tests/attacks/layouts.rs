//! B2: layouts that are wrong in every way.

use crate::common::world::{frame, frames, page, pages};
use crate::plan::{BASE, Plan, RAM, accepted, available, refused, reserved, segment};
use sva_os::Violation;
use sva_os::address::{FRAME_LIMIT, FrameRange, PageRange};
use sva_os::layout::{DirectMap, InUse, Role, SEGMENT_LIMIT};
use sva_os::mmu::Geometry;

attacks! {
    fn attack_b02_segments_that_share_pages_are_refused<P>() {
        // One contains the other, in either order, and each end.
        for (first, count) in [(BASE + 1, 1), (BASE, 3), (BASE + 2, 1), (BASE + 2, 4), (BASE, 2)] {
            refused::<P>(Violation::PagesOverlap(page(BASE + 1)), |plan| {
                plan.direct_map = DirectMap { first: page(BASE + 0x1000), frames: frames((0, RAM)) };
                plan.image =
                    vec![segment(BASE + 1, (1, 2), Role::Text), segment(first, (20, count), Role::Data)];
            });
        }
    }

    fn attack_b02_segments_that_share_frames_are_refused<P>() {
        for part in [(1, 1), (0, 4), (2, 1), (2, 4), (1, 2)] {
            refused::<P>(Violation::FramesOverlap(frame(1)), |plan| {
                plan.direct_map = DirectMap { first: page(BASE + 0x1000), frames: frames((0, RAM)) };
                plan.image =
                    vec![segment(BASE + 1, (1, 2), Role::Text), segment(BASE + 0x100, part, Role::Data)];
            });
        }
    }

    fn attack_b02_a_segment_in_the_user_window_is_refused<P>() {
        for first in [0, 0x8048, BASE - 1, BASE - 2] {
            let at = page(first);
            refused::<P>(Violation::InUserWindow(at), |plan| {
                plan.image.push(segment(first, (20, 2), Role::Data));
            });
        }
        // A segment that contains the window.
        let span = 1 << P::ROOT_SPAN_BITS;
        refused::<P>(Violation::InUserWindow(page(BASE - 2 * span - 8)), |plan| {
            plan.user = pages((BASE - 2 * span, span));
            plan.image.push(segment(BASE - 2 * span - 8, (20, span + 16), Role::Data));
        });
    }

    fn attack_b02_a_direct_map_in_the_user_window_is_refused<P>() {
        for first in [0, BASE - 1, 0x8_0000] {
            refused::<P>(Violation::InUserWindow(page(first)), |plan| plan.direct_map.first = page(first));
        }
        // One that contains the window.
        refused::<P>(Violation::InUserWindow(page(0)), |plan| {
            let span = 1 << P::ROOT_SPAN_BITS;
            plan.user = pages((span, span));
            plan.direct_map = DirectMap { first: page(0), frames: frames((0, 3 * span)) };
        });
    }

    fn attack_b02_a_segment_that_is_not_ram_is_refused<P>() {
        refused::<P>(Violation::NotRam(frame(20)), |plan| {
            plan.map = vec![available(0, 20), available(21, RAM - 21)];
            plan.image.push(segment(BASE + 20, (20, 1), Role::Data));
        });
        // Its middle.
        refused::<P>(Violation::NotRam(frame(21)), |plan| {
            plan.map.push(reserved(21, 1));
            plan.image.push(segment(BASE + 20, (20, 3), Role::Data));
        });
    }

    fn attack_b02_a_part_beyond_the_direct_map_is_refused<P>() {
        for (first, beyond) in [(RAM, RAM), (RAM - 1, RAM), (0x1000, 0x1000)] {
            let expected = Violation::NotDirectlyMapped(frame(beyond));
            refused::<P>(expected, |plan| plan.image.push(segment(BASE + 0x1000, (first, 2), Role::Data)));
            refused::<P>(expected, |plan| plan.in_use.push(InUse::Kept(frames((first, 2)))));
            refused::<P>(expected, |plan| plan.in_use.push(InUse::Heap(frames((first, 2)))));
        }
        refused::<P>(Violation::NotDirectlyMapped(frame(1)), |plan| {
            plan.direct_map = DirectMap { first: page(BASE + 2), frames: frames((2, RAM - 2)) };
        });
    }

    fn attack_b02_an_image_without_text_is_refused<P>() {
        refused::<P>(Violation::NoImage(u32::MAX), |plan| plan.image.clear());
        refused::<P>(Violation::NoImage(u32::MAX), |plan| {
            plan.image.retain(|segment| segment.role != Role::Text);
        });
    }

    fn attack_b02_an_empty_segment_is_refused<P>() {
        for index in 0..4u32 {
            refused::<P>(Violation::NoImage(index), |plan| {
                plan.image[index as usize].frames = FrameRange::new(frame(30), 0).unwrap();
            });
        }
    }

    fn attack_b02_too_many_segments_are_refused<P>() {
        let fill = |plan: &mut Plan, count: usize| {
            let more = (20..).map(|n| segment(BASE + n, (n, 1), Role::Data));
            let missing = count - plan.image.len();
            plan.image.extend(more.take(missing));
        };
        accepted::<P>(|plan| fill(plan, SEGMENT_LIMIT));
        for many in [SEGMENT_LIMIT + 1, SEGMENT_LIMIT + 8] {
            let expected = Violation::TooManySegments(many as u32);
            refused::<P>(expected, |plan| fill(plan, many));
        }
    }

    fn attack_b02_a_user_window_of_parts_of_entries_is_refused<P>() {
        let span = 1u32 << P::ROOT_SPAN_BITS;
        for (first, count) in
            [(1, span), (span, span - 1), (span / 2, span), (span, span + 1), (0, 1), (span - 1, 1)]
        {
            refused::<P>(Violation::UserWindow(page(first)), |plan| plan.user = pages((first, count)));
        }
    }

    fn attack_b02_a_user_window_that_leaves_nothing_is_refused<P>() {
        refused::<P>(Violation::UserWindow(page(0)), |plan| plan.user = pages((0, FRAME_LIMIT)));
    }

    /// Without users there is nothing to map, and all else works.
    fn attack_b02_an_empty_user_window_is_accepted<P>() {
        let (sva, free) = accepted::<P>(|plan| plan.user = PageRange::EMPTY);
        let (root, table) = (frame(free[0]), frame(free[1]));
        sva.declare_root(root).unwrap();
        sva.declare_table(table, P::LEVELS - 1).unwrap();
        for index in 0..P::ROOT_ENTRIES {
            crate::stage::refused(&sva, |sva| sva.link(root, index, table), Violation::KernelEntry(index));
        }
    }

    /// A stack needs two guard pages below it, and there are none below page 0.
    fn attack_b02_a_stack_at_the_first_pages_is_refused<P>() {
        for first in [0, 1] {
            refused::<P>(Violation::PagesOverlap(page(first)), |plan| {
                plan.user = pages((0x4_0000, BASE));
                plan.direct_map = DirectMap { first: page(0x1000), frames: frames((0, RAM)) };
                plan.image = vec![segment(0x100, (1, 1), Role::Text), segment(first, (20, 2), Role::Stack)];
                plan.in_use.clear();
            });
        }
    }

    fn attack_b02_a_segment_on_a_guard_page_is_refused<P>() {
        // On the upper guard, on the lower, on both, over the stack as well.
        for (first, count) in [(18, 1), (19, 1), (18, 2), (17, 2), (17, 8)] {
            for stack_first in [true, false] {
                let stack = segment(BASE + 0x1000 + 20, (20, 2), Role::Stack);
                let other = segment(BASE + 0x1000 + first, (30, count), Role::Data);
                let mut plan = Plan::sound();
                plan.image = vec![segment(BASE + 1, (1, 1), Role::Text)];
                plan.image.extend(if stack_first { [stack, other] } else { [other, stack] });
                let answer = plan.init::<P>().map(drop);
                assert!(matches!(answer, Err(Violation::PagesOverlap(_))), "{answer:?}");
            }
        }
        // Right below the guards is no overlap.
        accepted::<P>(|plan| {
            plan.image = vec![
                segment(BASE + 1, (1, 1), Role::Text),
                segment(BASE + 3, (3, 1), Role::ReadOnly),
                segment(BASE + 0x1000 + 20, (20, 2), Role::Stack),
                segment(BASE + 0x1000 + 16, (30, 2), Role::Data),
            ];
        });
    }

    /// The frames that the direct map would show at guard pages hold nothing of the kernel.
    fn attack_b02_values_behind_a_guard_page_are_refused<P>() {
        for hidden in [6, 7] {
            refused::<P>(Violation::FramesOverlap(frame(hidden)), |plan| {
                plan.in_use.push(InUse::Kept(frames((hidden, 1))));
            });
        }
    }

    fn attack_b02_in_use_ranges_that_overlap_are_refused<P>() {
        for part in [(20, 4), (21, 1), (18, 3), (23, 5), (18, 12)] {
            let expected = Violation::FramesOverlap(frame(part.0));
            for (one, two) in [
                (InUse::Heap(frames((20, 4))), InUse::Kept(frames(part))),
                (InUse::Kept(frames((20, 4))), InUse::Kept(frames(part))),
                (InUse::Kept(frames((20, 4))), InUse::Heap(frames(part))),
            ] {
                refused::<P>(expected, |plan| plan.in_use = vec![one, two]);
            }
        }
        // With the image.
        for part in [(1, 1), (4, 2), (0, 6), (9, 1)] {
            refused::<P>(Violation::FramesOverlap(frame(part.0)), |plan| {
                plan.in_use = vec![InUse::Heap(frames(part))];
            });
        }
    }

    fn attack_b02_an_in_use_range_that_is_not_ram_is_refused<P>() {
        refused::<P>(Violation::NotRam(frame(21)), |plan| {
            plan.map.push(reserved(21, 1));
            plan.in_use.push(InUse::Kept(frames((20, 4))));
        });
    }

    /// The image and the direct map at one page, which would have to be two frames.
    fn attack_b02_an_image_against_the_direct_map_is_refused<P>() {
        refused::<P>(Violation::PagesOverlap(page(BASE + 20)), |plan| {
            plan.image.push(segment(BASE + 20, (30, 1), Role::Data));
        });
        // Only its last page.
        refused::<P>(Violation::PagesOverlap(page(BASE + RAM - 1)), |plan| {
            plan.direct_map.first = page(BASE + 1);
            plan.direct_map.frames = frames((1, RAM - 1));
            plan.image.push(segment(BASE + RAM - 1, (30, 1), Role::Data));
        });
    }

    fn attack_b02_pages_past_4_gib_are_refused<P>() {
        refused::<P>(Violation::RangeTooLong(RAM), |plan| plan.direct_map.first = page(FRAME_LIMIT - 1));
        refused::<P>(Violation::RangeTooLong(2), |plan| {
            plan.image.push(segment(FRAME_LIMIT - 1, (20, 2), Role::Data));
        });
    }
}
