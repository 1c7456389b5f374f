//! Where records lie, and what a slot in each state is good for.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::audit::Finding;
use crate::context::fixture::{
    CPUS, FIRST, FREE, flows, in_both_modes, nothing, on, record, refused, sound, stack, state, thread,
    threads,
};
use crate::context::state::tests::ALL;
use crate::context::{StackId, ThreadId};
use crate::init::tests::world::{SLOTS, STACKS, cpu, frame, page, world};
use std::vec::Vec;

#[test]
fn a_table_takes_so_many_frames() {
    let window = |slots: u32| PageRange::new(page(STACKS), slots * SLOT_PAGES).unwrap();
    // Records and states, 640 bytes for each slot and for each CPU's first flow.
    assert_eq!(Threads::frames_needed(PageRange::EMPTY, 4), (1, 0));
    assert_eq!(Threads::frames_needed(window(1), 1), (1, 4));
    assert_eq!(Threads::frames_needed(window(5), 1), (1, 4));
    assert_eq!(Threads::frames_needed(window(6), 1), (2, 4));
    assert_eq!(Threads::frames_needed(window(32), 32), (10, 128));
}

in_both_modes! {
    /// Invariant 13: of each record the audit knows whether a CPU must run it, and that what waits holds a root.
    fn the_audit_sees_records_that_are_wrong<P>() {
        let sva = threads::<P>();
        let machine = sva.machine();
        _ = thread(sva, FREE);
        let (idle, ready, vacant, boot) = (1, FIRST, FIRST + 1, SLOTS);
        let finds = |number: u32| assert_eq!(sva.audit(), Err(Finding::Thread(number)));
        for number in [idle, ready, vacant, boot] {
            let record = record(sva, number);
            let was = record.word(machine);
            for state in ALL {
                record.set_word(machine, was.to(state));
                let runs = matches!(state, State::Running | State::Idle);
                let between = matches!(state, State::Busy | State::Ending | State::Abandoning);
                // What is vacant has no stack.
                let has_stack = state == State::Vacant && [idle, ready].contains(&number);
                if between || has_stack || runs != (number == boot) {
                    finds(number);
                }
            }
            record.set_word(machine, was);
            sound(sva);
        }
        // The second CPU runs one that is not running.
        let processor = sva.processors.of(cpu(1));
        let runs = processor.current(machine);
        for number in [idle, ready, vacant] {
            processor.set_current(machine, record(sva, number));
            finds(number);
        }
        processor.set_current(machine, runs);
        for number in [idle, ready] {
            let root = record(sva, number).root(machine);
            record(sva, number).set_root(machine, frame(FREE));
            finds(number);
            record(sva, number).set_root(machine, root);
        }
        sound(sva);
    }

    /// So many frames, and none around them.
    fn the_table_lies_in_its_frames<P>() {
        for sva in [threads::<P>(), flows::<P>()] {
            let table = sva.half.threads;
            let (count, _) = Threads::frames_needed(table.window, table.cpus);
            let first = table.states.containing().number();
            let lies_in = |number: u32| table.lies_in(frame(number));
            assert!(!lies_in(first - 1) && (first..first + count).all(lies_in) && !lies_in(first + count));
        }
    }

    fn records_and_states_share_nothing<P>() {
        let sva = threads::<P>();
        let table = sva.half.threads;
        assert_eq!((table.slots(), table.count()), (SLOTS, SLOTS + CPUS));
        let mut ranges: Vec<_> = table
            .all()
            .flat_map(|(number, record)| {
                assert_eq!(table.number(record), number);
                assert_eq!(table.record(number), Ok(record));
                [(record.address().get(), 128), (table.fp_state(record).get(), 512)]
            })
            .collect();
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            let [(first, length), (second, _)] = *pair else { unreachable!() };
            assert!(first + length <= second);
        }
        for (start, length) in ranges {
            assert!(start.is_multiple_of(16), "FXSAVE wants that");
            for at in [start, start + length - 1] {
                assert!(table.lies_in(PhysAddr::new(at).containing()));
                assert_eq!(sva.kind(PhysAddr::new(at).containing()), crate::frame::Kind::Monitor);
            }
        }
        for number in [table.count(), table.count() + 1, 0x0200_0000, u32::MAX] {
            assert_eq!(table.record(number), Err(Violation::NoSuchThread(number)));
        }
    }

    fn at_the_start_cpus_run_their_first_flow<P>() {
        let sva = threads::<P>();
        for number in 0..CPUS {
            let id = on(sva, number, || sva.current_thread());
            assert_eq!(id.number(), SLOTS + number);
            assert_eq!(sva.half.threads.boot_of(cpu(number)), record(sva, SLOTS + number));
            assert_eq!(state(sva, SLOTS + number), State::Running);
            assert_eq!(state(sva, number), State::Waiting);
        }
        assert!((CPUS..SLOTS).all(|number| state(sva, number) == State::Vacant));
        // The idle threads have stacks of the library's own.
        let pages: Vec<_> = (0..CPUS * SLOT_PAGES)
            .map(|number| crate::context::fixture::kernel_leaf(sva, page(STACKS + number)))
            .collect();
        for (number, frame) in (0..).zip(&pages) {
            let is_stack = number % SLOT_PAGES >= SLOT_PAGES - IDLE_PAGES;
            assert_eq!(frame.is_some(), is_stack, "page {number}");
            assert!(frame.is_none_or(|frame| sva.half.threads.idle().contains(frame)));
        }
        let mut stacks: Vec<_> = pages.into_iter().flatten().collect();
        stacks.sort_unstable();
        stacks.dedup();
        assert_eq!(stacks.len() as u32, CPUS * IDLE_PAGES);
    }

    /// What each call answers to each state, by the documentation of the calls.
    fn every_state_has_its_answer<P>() {
        let sva = threads::<P>();
        let id = thread(sva, FREE);
        let record = record(sva, FIRST);
        let ready = record.word(sva.machine());
        for state in ALL {
            let [running, busy, ended, used, stale] = [
                Violation::ThreadRunning,
                Violation::ThreadBusy,
                Violation::ThreadEnded,
                Violation::StackInUse,
                Violation::StaleThread,
            ]
            .map(|violation| Some(violation(FIRST)));
            let [swap, new, release] = match state {
                State::Vacant => [stale; 3],
                State::Busy | State::Waiting => [busy; 3],
                State::Ready => [None, used, None],
                State::Saved => [None, used, used],
                State::Running | State::Idle | State::Ending | State::Abandoning => [running; 3],
                State::Unused => [ended, None, None],
                State::Abandoned => [ended; 3],
            };
            record.set_word(sva.machine(), ready.to(state));
            if let Some(violation) = swap {
                refused(sva, || sva.swap(id), violation);
            }
            if let Some(violation) = new {
                refused(sva, || sva.new_thread(id.stack(), None, nothing()), violation);
            }
            if let Some(violation) = release {
                refused(sva, || sva.release_stack(id.stack()), violation);
            }
            // In each state, a name of another time is nobody's.
            for other in [ready.next().unwrap(), Word::from_bits(0), Word::from_bits(u32::MAX)] {
                let other = Name::new(FIRST, other);
                let stale = Violation::StaleThread(FIRST);
                refused(sva, || sva.swap(ThreadId(other)), stale);
                refused(sva, || sva.new_thread(StackId(other), None, nothing()), stale);
                refused(sva, || sva.release_stack(StackId(other)), stale);
            }
        }
        record.set_word(sva.machine(), ready);
        sound(sva);
    }

    fn a_number_past_the_end_is_nobodys<P>() {
        let sva = threads::<P>();
        let none = world::<P>(1);
        for number in [SLOTS + CPUS, SLOTS + CPUS + 1, 1 << 16, 0x0200_0000, 0x0200_0002, u32::MAX] {
            for word in [0, 16, 18, u32::MAX] {
                let name = Name::new(number, Word::from_bits(word));
                for sva in [sva, &none] {
                    let missing = Violation::NoSuchThread(number);
                    refused(sva, || sva.swap(ThreadId(name)), missing);
                    refused(sva, || sva.new_thread(StackId(name), None, nothing()), missing);
                    refused(sva, || sva.release_stack(StackId(name)), missing);
                }
            }
        }
    }

    /// Between its look at the word and its exchange somebody else takes the thread.
    fn who_comes_second_is_refused<P>() {
        let sva = threads::<P>();
        let id = thread(sva, FREE);
        let record = record(sva, FIRST);
        let words = [
            (State::Running, Violation::ThreadRunning(FIRST)),
            (State::Busy, Violation::ThreadBusy(FIRST)),
            (State::Unused, Violation::ThreadEnded(FIRST)),
            (State::Vacant, Violation::StaleThread(FIRST)),
        ];
        let ready = record.word(sva.machine());
        for (state, violation) in words {
            record.set_word(sva.machine(), ready);
            let at = record.address();
            sva.machine().set_hook(Some(std::sync::Arc::new(move |event| {
                if event.what == crate::machine::emulated::Step::Exchange(at) {
                    sva.machine().poke(at, ready.to(state).bits());
                }
            })));
            let answer = sva.swap(id).err();
            assert_eq!(answer, Some(violation));
            if state != State::Unused {
                record.set_word(sva.machine(), ready);
                assert_eq!(sva.release_stack(id.stack()).err(), Some(violation));
            }
            sva.machine().set_hook(None);
            assert_eq!(record.word(sva.machine()), ready.to(state), "the word is the other's");
        }
    }

    /// What is told is why it was refused, although it is otherwise a moment later.
    fn a_refusal_is_of_the_state_that_was_seen<P>() {
        let sva = threads::<P>();
        let id = thread(sva, FREE);
        let record = record(sva, FIRST);
        let ready = record.word(sva.machine());
        for (state, violation) in [
            (State::Running, Violation::ThreadRunning(FIRST)),
            (State::Ending, Violation::ThreadRunning(FIRST)),
            (State::Busy, Violation::ThreadBusy(FIRST)),
        ] {
            for later in ALL {
                let calls: [&dyn Fn() -> Option<Violation>; 3] = [
                    &|| sva.swap(id).err(),
                    &|| sva.release_stack(id.stack()).err(),
                    &|| sva.new_thread(id.stack(), None, nothing()).err(),
                ];
                for call in calls {
                    record.set_word(sva.machine(), ready.to(state));
                    let at = record.address();
                    let looked = std::sync::atomic::AtomicBool::new(false);
                    sva.machine().set_hook(Some(std::sync::Arc::new(move |event| {
                        if looked.load(std::sync::atomic::Ordering::Relaxed) {
                            sva.machine().poke(at, ready.to(later).bits());
                        }
                        if event.what == crate::machine::emulated::Step::Load(at) {
                            looked.store(true, std::sync::atomic::Ordering::Relaxed);
                        }
                    })));
                    let answer = call();
                    sva.machine().set_hook(None);
                    assert_eq!(answer, Some(violation), "{state:?}, then {later:?}");
                }
            }
        }
    }

    /// What stands in a record is kept apart from what stands beside it.
    fn a_record_keeps_what_it_is_told<P>() {
        let sva = threads::<P>();
        let ram = sva.machine();
        stack(sva, FREE);
        let [left, record, right] = [1, FIRST, FIRST + 1].map(|number| record(sva, number));
        let others = || [left, right].map(|record| (record.word(ram), record.tls(ram), record.pages(ram)));
        let before = others();
        let frames: Vec<_> = (0..STACK_PAGES).map(|n| frame(20 + n)).collect();
        let segments = [1, 2, 3].map(|n| Descriptor::from_halves(n, 0xffff_0000 + n));
        record.set_frames(ram, frames.iter().copied());
        record.set_tls(ram, segments);
        record.set_root(ram, frame(0xf_ffff));
        record.set_stack_pointer(ram, 0xdead_beef);
        assert_eq!(record.tls(ram), segments);
        assert!(record.has_tls(ram));
        assert_eq!(record.pages(ram), STACK_PAGES);
        assert!((0..STACK_PAGES).all(|n| record.frame(ram, n) == Some(frame(20 + n))));
        assert_eq!((record.root(ram), record.saved_stack_pointer(ram)), (frame(0xf_ffff), 0xdead_beef));
        record.set_tls(ram, Segments::default());
        assert!(!record.has_tls(ram));
        assert_eq!(others(), before);
    }
}
