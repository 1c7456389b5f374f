//! Stacks come whole or not at all, and go without a trace.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::address::PhysAddr;
use crate::context::fixture::{
    CPUS, FIRST, FREE, in_both_modes, kernel_leaf, nothing, record, refused, sound, stack, state as state_of,
    thread, threads,
};
use crate::context::{ThreadId, state};
use crate::frame::word::Word;
use crate::init::tests::world::{SLOTS, STACKS, World, cpu, frame, page, world};
use crate::mmu::PagingMode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec;

/// The first page of slot `number`.
fn first_page(number: u32) -> u32 {
    STACKS + 16 * number
}

fn frames_of(numbers: impl IntoIterator<Item = u32>) -> Vec<Frame> {
    numbers.into_iter().map(frame).collect()
}

/// A word in the middle of a frame, which tells whether somebody wrote it.
fn word_in(frame: u32) -> PhysAddr {
    PhysAddr::new(frame << 12 | 0x840)
}

in_both_modes! {
    /// The first frame is on top, the last above the guards, and nothing is mapped anywhere else.
    fn all_sizes_are_mapped_from_the_top_down<P>() {
        for count in 1..=STACK_PAGES {
            let sva = threads::<P>();
            let free = sound(sva);
            let frames = frames_of((FREE..FREE + count).rev());
            let id = sva.declare_stack(&frames).unwrap();
            assert_eq!(id.number(), FIRST);
            assert_eq!(sound(sva), free - count);
            let first = first_page(FIRST);
            for place in 0..16 {
                let mapped = kernel_leaf(sva, page(first + 15 - place));
                assert_eq!(mapped, frames.get(place as usize).copied(), "page {place} from the top of {count}");
            }
            for (index, frame) in frames.iter().enumerate() {
                assert_eq!(sva.kind(*frame), Kind::Stack, "frame {index}");
                assert_eq!(sva.mappings(*frame).total, 0);
            }
            assert!(sva.release_stack(id).unwrap().eq(frames));
            assert_eq!(sound(sva), free);
            assert!((0..16).all(|place| kernel_leaf(sva, page(first + place)).is_none()));
        }
    }

    fn no_other_size_is_taken<P>() {
        let sva = threads::<P>();
        for count in [0, STACK_PAGES + 1, STACK_PAGES + 2, 16, 17, 256, 0x1_0000, 0x1_0001] {
            let frames: Vec<_> = (0..count).map(|number| frame(FREE + number % 20)).collect();
            refused(sva, || sva.declare_stack(&frames), Violation::NoSuchStackSize(count));
        }
        // Before anything else is asked of the frames, or of the slots.
        refused(sva, || sva.declare_stack(&[frame(0xf_ffff); 15]), Violation::NoSuchStackSize(15));
        let none = world::<P>(1);
        refused(&none, || none.declare_stack(&[]), Violation::NoSuchStackSize(0));
    }

    /// Wherever the culprit is among frames that are sound: these keep their kinds, their contents, and what
    /// CPUs may remember of them.
    fn one_frame_that_is_not_free_refuses_all<P>() {
        let sva = threads::<P>();
        let [data, kernel, root, busy, used] = [30, 31, 32, 33, 34];
        sva.retype(frame(data), Kind::UserData).unwrap();
        sva.retype(frame(kernel), Kind::KernelData).unwrap();
        sva.declare_root(frame(root)).unwrap();
        stack(sva, used);
        sva.force(frame(busy), Word::busy(Kind::Free));
        // Left over from an earlier use.
        (FREE..30).for_each(|number| sva.machine().poke(word_in(number), number));
        let not_free = [data, kernel, root, used, 1, 3, 4, 8, 10, 11, 0, sva.sealed_root().number()];
        let culprits = not_free.map(|number| Violation::NotFree(frame(number))).into_iter();
        let missing = [12, 64, 0xf_ffff].map(|number| Violation::NoSuchFrame(frame(number)));
        for violation in culprits.chain(missing).chain([Violation::FrameBusy(frame(busy))]) {
            let (Violation::NotFree(culprit) | Violation::NoSuchFrame(culprit) | Violation::FrameBusy(culprit)) =
                violation
            else {
                panic!("{violation:?}")
            };
            for place in [0, 1, 7, 13] {
                let mut frames = frames_of(FREE..FREE + STACK_PAGES);
                frames[place] = culprit;
                refused(sva, || sva.declare_stack(&frames), violation);
                refused(sva, || sva.declare_stack(&frames[..=place]), violation);
            }
            refused(sva, || sva.declare_stack(&[culprit]), violation);
        }
        sva.force(frame(busy), Word::unused(Kind::Free));
        sound(sva);
    }

    fn one_frame_twice_refuses_all<P>() {
        let sva = threads::<P>();
        (FREE..30).for_each(|number| sva.machine().poke(word_in(number), number));
        let [a, b, c] = [FREE, FREE + 1, FREE + 2].map(frame);
        for frames in [[a, a].as_slice(), &[a, b, a], &[b, a, a], &[a, b, c, b, a, a], &[a; 14]] {
            let second = (1..).find(|index| frames[..*index].contains(&frames[*index])).unwrap();
            refused(sva, || sva.declare_stack(frames), Violation::NotFree(frames[second]));
        }
    }

    /// What an earlier owner wrote is not there any more, also in frames that were a stack.
    fn a_stack_begins_zeroed<P>() {
        let sva = threads::<P>();
        for _ in 0..2 {
            sva.machine().poke(word_in(FREE), 0xdead_u32);
            let id = stack(sva, FREE);
            assert_eq!(sva.machine().peek::<u32>(word_in(FREE)), 0);
            sva.release_stack(id).unwrap();
        }
    }

    fn there_are_so_many_slots<P>() {
        let sva = threads::<P>();
        let count = SLOTS - CPUS;
        let ids: Vec<_> = (0..count).map(|number| stack(sva, FREE + number)).collect();
        assert!(ids.iter().map(|id| id.number()).eq(FIRST..SLOTS));
        let spare = [frame(FREE + count)];
        refused(sva, || sva.declare_stack(&spare), Violation::NoStackSlot(SLOTS));
        // The slot that becomes vacant is the one that is given next, by another name.
        sva.release_stack(ids[1]).unwrap();
        let again = sva.declare_stack(&spare).unwrap();
        assert_eq!((again.number(), again == ids[1]), (ids[1].number(), false));
        refused(sva, || sva.release_stack(ids[1]), Violation::StaleThread(ids[1].number()));
        refused(sva, || sva.declare_stack(&[frame(FREE + 1)]), Violation::NoStackSlot(SLOTS));
        sound(sva);
    }

    /// Without a window there are none, nor is there any thread.
    fn without_a_window_there_are_no_slots<P>() {
        let sva = world::<P>(2);
        refused(&sva, || sva.declare_stack(&[frame(FREE)]), Violation::NoStackSlot(0));
        // Also the names of another instance.
        let id = stack(threads::<P>(), FREE);
        refused(&sva, || sva.release_stack(id), Violation::NoSuchThread(FIRST));
    }

    /// A slot that had as many stacks and threads as can be told apart has no more.
    fn no_name_comes_twice<P>() {
        let sva = threads::<P>();
        let id = stack(sva, FREE);
        sva.release_stack(id).unwrap();
        let last = state::Word::from_bits(u32::MAX).to(State::Vacant);
        let before_last = state::Word::from_bits(u32::MAX - 16).to(State::Vacant);
        record(sva, FIRST).set_word(sva.machine(), before_last);
        let stack_id = stack(sva, FREE);
        assert_eq!(stack_id.number(), FIRST);
        // Its last name is taken: it can have no thread, but can be released.
        let refusal = Violation::StaleThread(FIRST);
        refused(sva, || sva.new_thread(stack_id, None, nothing()), refusal);
        assert_eq!(sva.release_stack(stack_id).unwrap().count(), 1);
        assert_eq!(record(sva, FIRST).word(sva.machine()), last);
        assert_eq!(stack(sva, FREE).number(), FIRST + 1);
        // And as the last that is vacant it is none.
        (2..SLOTS - CPUS).for_each(|number| _ = stack(sva, FREE + number));
        refused(sva, || sva.declare_stack(&[frame(30)]), Violation::NoStackSlot(SLOTS));
        sound(sva);
    }

    /// No CPU remembers where a stack was once its frames are free.
    fn released_frames_are_remembered_by_nobody<P>() {
        let sva = threads::<P>();
        let id = sva.declare_stack(&frames_of([FREE, FREE + 1])).unwrap();
        let pages = [page(first_page(FIRST) + 15), page(first_page(FIRST) + 14)];
        for number in 0..CPUS {
            assert!(pages.iter().all(|page| sva.machine().fill_nth(cpu(number), *page, 0)));
        }
        sva.release_stack(id).unwrap();
        for number in 0..CPUS {
            let cached = sva.machine().cached(cpu(number));
            assert!(!cached.iter().any(|(page, _)| pages.contains(page)), "CPU {number}");
        }
        sound(sva);
    }

    /// The frames of a stack whose thread never ran are free, and the root is nobody's.
    fn a_ready_thread_gives_all_back<P>() {
        let sva = threads::<P>();
        let free = sound(sva);
        sva.declare_root(frame(30)).unwrap();
        let id = sva.new_thread(stack(sva, FREE), Some(frame(30)), nothing()).unwrap();
        refused(sva, || sva.remove_root(frame(30)), Violation::RootInUse(frame(30)));
        sound(sva);
        assert!(sva.release_stack(id.stack()).unwrap().eq([frame(FREE)]));
        sva.remove_root(frame(30)).unwrap();
        assert_eq!(sound(sva), free);
        refused(sva, || sva.release_stack(id.stack()), Violation::StaleThread(FIRST));
        refused(sva, || sva.swap(id), Violation::StaleThread(FIRST));
    }

    /// What a thread that never ran captured is dropped once: outside of all locks, with interrupts as they were,
    /// while nobody else gets the stack.
    fn a_captured_value_is_dropped_at_release<P>() {
        static DROPS: AtomicU32 = AtomicU32::new(0);
        for enabled in [true, false] {
            let sva = threads::<P>();
            let id = stack(sva, FREE);
            let probe = Probe(sva, id, enabled);
            let id = sva.new_thread(id, None, move || { let _probe = &probe; None }).unwrap();
            let before = DROPS.load(Ordering::Relaxed);
            sva.machine().set_interrupts(cpu(0), enabled);
            sva.release_stack(id.stack()).unwrap();
            assert_eq!(sva.machine().interrupts_enabled(cpu(0)), enabled);
            assert_eq!(DROPS.load(Ordering::Relaxed), before + 1);
            sound(sva);
        }

        struct Probe<P: PagingMode>(&'static World<P>, StackId, bool);
        impl<P: PagingMode> Drop for Probe<P> {
            fn drop(&mut self) {
                let Self(sva, old, enabled) = *self;
                assert_eq!(sva.machine().interrupts_enabled(cpu(0)), enabled);
                let number = old.number();
                let now = Name::new(number, record(sva, number).word(sva.machine()));
                assert_eq!(state_of(sva, number), State::Busy);
                refused(sva, || sva.swap(ThreadId(now)), Violation::ThreadBusy(number));
                refused(sva, || sva.release_stack(StackId(now)), Violation::ThreadBusy(number));
                refused(sva, || sva.new_thread(StackId(now), None, nothing()), Violation::ThreadBusy(number));
                refused(sva, || sva.release_stack(old), Violation::StaleThread(number));
                sva.retype(frame(40), Kind::UserData).unwrap();
                sva.retype(frame(40), Kind::Free).unwrap();
                let other = thread(sva, FREE + 1);
                sva.swap(other).unwrap();
                sva.end_thread(None);
                sva.release_stack(other.stack()).unwrap();
                DROPS.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The frames that a release answers with are the stack's, in their order, and no more.
    fn the_frames_come_back_in_order<P>() {
        let sva = threads::<P>();
        let frames = frames_of([20, 14, 17, 13]);
        let released = sva.release_stack(sva.declare_stack(&frames).unwrap()).unwrap();
        let copy = released.clone();
        assert!(released.eq(frames.iter().copied()));
        assert_eq!(copy.count(), 4);
        assert!(frames.iter().all(|frame| sva.kind(*frame) == Kind::Free));
    }
}
