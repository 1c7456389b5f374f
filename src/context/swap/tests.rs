//! From one thread to another, and to the end.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::context::fixture::{
    CPUS, FIRST, FREE, at, handler, hook, in_both_modes, nothing, on, record, refused, sound, stack, state,
    stops, thread, threads,
};
use crate::context::{PerCpu, TlsLimit, TlsSegment, UserContext};
use crate::init::tests::world::{SLOTS, World, cpu, frame, world};
use crate::interrupt::{Exception, Line, Vector};
use crate::machine::emulated::{Step, Trap};
use crate::mmu::PagingMode;
use std::boxed::Box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

const ROOT: u32 = 30;
const OTHER_ROOT: u32 = 31;

in_both_modes! {
    /// CR3 is the root of whoever runs, also when a thread changes it; a thread has it again when it comes back.
    fn the_root_goes_with_the_thread<P>() {
        let sva = threads::<P>();
        let [root, other, sealed] = [frame(ROOT), frame(OTHER_ROOT), sva.sealed_root()];
        sva.declare_root(root).unwrap();
        sva.declare_root(other).unwrap();
        let boot = sva.current_thread();
        let first = sva.new_thread(stack(sva, FREE), Some(root), nothing()).unwrap();
        let second = sva.new_thread(stack(sva, FREE + 1), Some(other), nothing()).unwrap();
        let uses = || [root, other].map(|root| sva.mappings(root).writable);
        assert_eq!(uses(), [1, 1]);
        for (next, expected) in [(first, root), (second, other), (boot, sealed), (second, other)] {
            sva.swap(next).unwrap();
            assert_eq!(sva.root(), expected);
            assert_eq!(uses(), [1, 1]);
            sound(sva);
        }
        // The running thread, which is `second`, goes over to another root: the count moves.
        sva.load_root(root).unwrap();
        assert_eq!(uses(), [2, 0]);
        sva.swap(boot).unwrap();
        assert_eq!((sva.root(), uses()), (sealed, [2, 0]));
        sva.remove_root(other).unwrap();
        on(sva, 1, || sva.swap(second)).unwrap();
        assert_eq!(sva.machine().root_of(cpu(1)), root);
        assert_eq!(sva.mappings(root).writable, 2);
        sound(sva);
    }

    /// A root that a thread will load cannot be removed: ready, running here or elsewhere, saved.
    fn the_root_of_a_thread_stays<P>() {
        let sva = threads::<P>();
        let root = frame(ROOT);
        sva.declare_root(root).unwrap();
        let boot = sva.current_thread();
        let id = sva.new_thread(stack(sva, FREE), Some(root), nothing()).unwrap();
        let stays = |number: u32| {
            on(sva, number, || refused(sva, || sva.remove_root(root), Violation::RootInUse(root)));
        };
        stays(0);
        sva.swap(id).unwrap();
        stays(0);
        stays(1);
        sva.swap(boot).unwrap();
        stays(0);
        on(sva, 1, || {
            let boot = sva.current_thread();
            sva.swap(id).unwrap();
            stays(0);
            sva.end_thread(Some(boot));
            assert_eq!(sva.root(), sva.sealed_root());
        });
        sva.remove_root(root).unwrap();
        sound(sva);
    }

    /// Two threads of one root: nothing is loaded, and the root is counted for both.
    fn one_root_is_not_loaded_twice<P>() {
        let sva = threads::<P>();
        let root = frame(ROOT);
        sva.declare_root(root).unwrap();
        let boot = sva.current_thread();
        let ids = [0, 1].map(|n| sva.new_thread(stack(sva, FREE + n), Some(root), nothing()).unwrap());
        sva.swap(ids[0]).unwrap();
        sva.machine().reset_counters();
        sva.swap(ids[1]).unwrap();
        sva.swap(ids[0]).unwrap();
        assert_eq!(sva.machine().counters(cpu(0)).root_loads, 0);
        assert_eq!(sva.mappings(root).writable, 2);
        sva.end_thread(Some(ids[1]));
        assert_eq!((sva.root(), sva.mappings(root).writable), (root, 1));
        sound(sva);
        sva.end_thread(Some(boot));
        assert_eq!((sva.root(), sva.mappings(root).writable), (sva.sealed_root(), 0));
        sva.remove_root(root).unwrap();
        sound(sva);
    }

    /// The old thread is resumable when its stack was left, and not before.
    fn the_old_thread_is_published_last<P>() {
        let sva = threads::<P>();
        let boot = sva.current_thread();
        let id = thread(sva, FREE);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();
        sva.machine().set_hook(Some(Arc::new(move |event| {
            if matches!(event.what, Step::Switch) {
                on(sva, 1, || {
                    refused(sva, || sva.swap(boot), Violation::ThreadRunning(SLOTS));
                    refused(sva, || sva.release_stack(boot.stack()), Violation::ThreadRunning(SLOTS));
                });
                noted.lock().unwrap().push((state(sva, SLOTS), state(sva, FIRST)));
            }
        })));
        sva.swap(id).unwrap();
        sva.machine().set_hook(None);
        assert_eq!(*seen.lock().unwrap(), [(State::Running, State::Running)]);
        assert_eq!((state(sva, SLOTS), state(sva, FIRST)), (State::Saved, State::Running));
        on(sva, 1, || sva.swap(boot)).unwrap();
    }

    /// The same of one that ends: its stack is nobody's while a CPU is on it.
    fn an_ending_stack_is_nobodys<P>() {
        let sva = threads::<P>();
        let boot = sva.current_thread();
        let id = thread(sva, FREE);
        sva.swap(id).unwrap();
        let came = Arc::new(AtomicU32::new(0));
        let counted = came.clone();
        sva.machine().set_hook(Some(Arc::new(move |event| {
            if matches!(event.what, Step::Switch) {
                let running = Violation::ThreadRunning(FIRST);
                on(sva, 1, || {
                    refused(sva, || sva.swap(id), running);
                    refused(sva, || sva.release_stack(id.stack()), running);
                    refused(sva, || sva.new_thread(id.stack(), None, nothing()), running);
                });
                counted.fetch_add(1, Ordering::Relaxed);
            }
        })));
        sva.end_thread(Some(boot));
        sva.machine().set_hook(None);
        assert_eq!(came.load(Ordering::Relaxed), 1);
        sva.release_stack(id.stack()).unwrap();
    }

    /// IF is as it was, and a swap is made with it clear.
    fn interrupts_are_as_they_were<P>() {
        let sva = threads::<P>();
        let boot = sva.current_thread();
        let id = thread(sva, FREE);
        sva.machine().set_hook(Some(Arc::new(move |event| {
            let during = matches!(event.what, Step::Switch | Step::Store(_) | Step::LoadRoot(_));
            assert!(!during || !sva.machine().interrupts_enabled(cpu(0)));
        })));
        for (next, enabled) in [(id, true), (boot, false), (id, false), (boot, true)] {
            sva.machine().set_interrupts(cpu(0), enabled);
            sva.swap(next).unwrap();
            assert_eq!(sva.machine().interrupts_enabled(cpu(0)), enabled);
        }
        sva.machine().set_hook(None);
    }

    fn the_running_thread_is_not_taken<P>() {
        let sva = threads::<P>();
        let boot = sva.current_thread();
        refused(sva, || sva.swap(boot), Violation::ThreadRunning(SLOTS));
        on(sva, 1, || refused(sva, || sva.swap(boot), Violation::ThreadRunning(SLOTS)));
        let none = world::<P>(1);
        refused(&none, || none.swap(boot), Violation::NoSuchThread(SLOTS));
    }

    /// TLS segments are the thread's on whichever CPU it runs, and nobody else's.
    fn tls_segments_go_with_the_thread<P>() {
        let sva = threads::<P>();
        let ids = [thread(sva, FREE), thread(sva, FREE + 1)];
        let tls = |number| [0, 1, 2].map(|slot| sva.machine().tls_descriptor(cpu(number), slot));
        let segment = |base| Some(TlsSegment { base, limit: TlsLimit::Pages(0xf_ffff) });
        let boots = [0, 1].map(|number| on(sva, number, || sva.current_thread()));
        sva.swap(ids[0]).unwrap();
        assert_eq!(sva.set_tls(0, segment(0x1000)), Ok(0x3b));
        assert_eq!(sva.set_tls(2, segment(0x2000)), Ok(0x4b));
        let of_first = tls(0);
        assert!(of_first[0] != 0 && of_first[1] == 0 && of_first[2] != 0);
        assert_eq!(tls(1), [0; 3]);
        sva.swap(ids[1]).unwrap();
        assert_eq!(tls(0), [0; 3]);
        sva.set_tls(1, segment(0x3000)).unwrap();
        let of_second = tls(0);
        on(sva, 1, || sva.swap(ids[0])).unwrap();
        assert_eq!((tls(0), tls(1)), (of_second, of_first));
        sva.swap(boots[0]).unwrap();
        on(sva, 1, || sva.swap(ids[1])).unwrap();
        assert_eq!((tls(0), tls(1)), ([0; 3], of_second));
        on(sva, 1, || sva.end_thread(Some(ids[0])));
        assert_eq!((tls(0), tls(1)), ([0; 3], of_first));
        on(sva, 1, || sva.end_thread(None));
        assert_eq!((tls(0), tls(1)), ([0; 3], [0; 3]));
        sound(sva);
    }

    fn there_are_three_tls_slots<P>() {
        let sva = threads::<P>();
        let segment = TlsSegment { base: 0, limit: TlsLimit::Bytes(0) };
        for slot in [3, 4, 7, 1 << 16, 1 << 31, u32::MAX] {
            for segment in [Some(segment), None] {
                refused(sva, || sva.set_tls(slot, segment), Violation::NoSuchTlsSlot(slot));
            }
        }
        for slot in 0..3 {
            // Index 7 on, of ring 3.
            assert_eq!(sva.set_tls(slot, Some(segment)).map(u32::from), Ok((7 + slot) << 3 | 3));
            assert_eq!(sva.set_tls(slot, None).map(u32::from), Ok((7 + slot) << 3 | 3));
        }
        assert!(!record(sva, SLOTS).has_tls(sva.machine()));
    }

    /// The next thread is whom the entry names; if nobody is or may be, the CPU's idle thread.
    fn who_is_next_at_the_end<P>() {
        let sva = threads::<P>();
        let boot = sva.current_thread();
        let ended = thread(sva, FREE);
        let told: &Mutex<Vec<Violation>> = Box::leak(Box::default());
        assert!(sva.observe_refusals(Box::leak(Box::new(|violation| told.lock().unwrap().push(violation)))));
        sva.swap(ended).unwrap();
        sva.end_thread(Some(boot));
        assert_eq!((sva.current_thread(), state(sva, FIRST)), (boot, State::Unused));
        let running = on(sva, 1, || sva.current_thread());
        let refusals = [
            (None, None),
            (Some(ended), Some(Violation::StaleThread(FIRST))),
            (Some(running), Some(Violation::ThreadRunning(SLOTS + 1))),
        ];
        let mut id = ended;
        for (next, violation) in refusals {
            id = sva.new_thread(id.stack(), None, move || next).unwrap();
            sva.swap(id).unwrap();
            sva.play_entry();
            assert_eq!(sva.current_thread().number(), 0);
            assert_eq!((state(sva, 0), state(sva, FIRST)), (State::Idle, State::Unused));
            assert_eq!(told.lock().unwrap().pop(), violation);
            sound(sva);
            sva.swap(boot).unwrap();
        }
        // Itself is one that runs.
        let itself = sva.new_thread(id.stack(), None, nothing()).unwrap();
        sva.swap(itself).unwrap();
        sva.end_thread(Some(itself));
        assert_eq!(sva.current_thread().number(), 0);
        sound(sva);
    }

    /// An entry is called when its thread runs, and names the next.
    fn an_entry_runs_to_its_end<P>() {
        let sva = threads::<P>();
        let boot = sva.current_thread();
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        let last = sva
            .new_thread(stack(sva, FREE), None, move || {
                counted.fetch_add(1, Ordering::Relaxed);
                Some(boot)
            })
            .unwrap();
        let first = sva.new_thread(stack(sva, FREE + 1), None, move || Some(last)).unwrap();
        sva.swap(first).unwrap();
        sva.play_entry();
        assert_eq!((sva.current_thread(), runs.load(Ordering::Relaxed)), (last, 0));
        sva.play_entry();
        assert_eq!((sva.current_thread(), runs.load(Ordering::Relaxed)), (boot, 1));
        for id in [first, last] {
            refused(sva, || sva.swap(id), Violation::ThreadEnded(id.number()));
            sva.release_stack(id.stack()).unwrap();
        }
        sound(sva);
    }

    /// The stack of an abandoned thread is never released, nor does the thread go on.
    fn an_abandoned_thread_keeps_its_stack<P>() {
        let sva = threads::<P>();
        let free = sound(sva);
        let root = frame(ROOT);
        sva.declare_root(root).unwrap();
        let boot = sva.current_thread();
        for next in [Some(boot), None] {
            let id = sva.new_thread(stack(sva, FREE + u32::from(next.is_none())), Some(root), nothing()).unwrap();
            sva.swap(id).unwrap();
            sva.abandon_thread(next);
            assert_eq!(sva.current_thread().number(), next.map_or(0, ThreadId::number));
            let ended = Violation::ThreadEnded(id.number());
            for number in 0..CPUS {
                on(sva, number, || {
                    refused(sva, || sva.swap(id), ended);
                    refused(sva, || sva.release_stack(id.stack()), ended);
                    refused(sva, || sva.new_thread(id.stack(), None, nothing()), ended);
                });
            }
            sound(sva);
        }
        // All but the two stacks is given back.
        sva.remove_root(root).unwrap();
        assert_eq!(sound(sva), free - 2);
        assert_eq!(sva.audit().unwrap().stacks, 2);
    }

    /// Each CPU has one idle thread; when that ends too, there is nobody.
    fn without_an_idle_thread_the_machine_stops<P>() {
        let sva = threads::<P>();
        sva.end_thread(None);
        assert_eq!(state(sva, 0), State::Idle);
        on(sva, 1, || {
            sva.abandon_thread(None);
            assert_eq!(sva.current_thread().number(), 1);
        });
        stops(|| sva.end_thread(None), "no thread is left to run");
        on(sva, 1, || stops(|| sva.abandon_thread(None), "no thread is left to run"));
    }

    /// An idle thread that a hook took to another root has it until it runs again.
    fn an_idle_thread_keeps_its_root<P>() {
        let sva = threads::<P>();
        let root = frame(ROOT);
        sva.declare_root(root).unwrap();
        let next = [0, 1].map(|n| thread(sva, FREE + n));
        sva.end_thread(None);
        sva.load_root(root).unwrap();
        sva.swap(next[0]).unwrap();
        assert_eq!((sva.root(), state(sva, 0)), (sva.sealed_root(), State::Waiting));
        sound(sva);
        refused(sva, || sva.remove_root(root), Violation::RootInUse(root));
        sva.end_thread(None);
        assert_eq!((sva.root(), state(sva, 0)), (root, State::Idle));
        sva.load_root(sva.sealed_root()).unwrap();
        sva.swap(next[1]).unwrap();
        sva.remove_root(root).unwrap();
        sound(sva);
    }

    /// In a handler of any kind, and nested: no thread is left, none ends, and it is told how deep.
    fn no_handler_leaves_its_thread<P>() {
        let sva = threads::<P>();
        let id = thread(sva, FREE);
        let runs: &AtomicU32 = Box::leak(Box::default());
        let attack = handler(move |_| {
            let depth = runs.fetch_add(1, Ordering::Relaxed) + 1;
            refused_here(sva, id, Violation::InHandler(depth));
            let why = "a thread ends inside a handler, or while per-CPU data is borrowed";
            stops(|| sva.end_thread(Some(id)), why);
            stops(|| sva.abandon_thread(None), why);
            // A borrow inside a handler is inside a handler.
            let data = PerCpu::new([0; 2]);
            data.with(sva, |_| refused_here(sva, id, Violation::InHandler(depth))).unwrap();
            if depth < 3 {
                sva.machine().raise(cpu(0), Trap::new(Exception::PageFault.vector()));
            }
        });
        let calls = sva.interrupts();
        calls.register_line(Line::TIMER, attack).unwrap();
        calls.register_exception(Exception::PageFault, attack).unwrap();
        calls.register_software(0x80, attack).unwrap();
        for vector in [Vector::of_line(Line::TIMER), Exception::PageFault.vector(), Vector::SYSTEM_CALL] {
            runs.store(0, Ordering::Relaxed);
            assert!(sva.machine().raise(cpu(0), Trap::new(vector)));
            assert_eq!(runs.load(Ordering::Relaxed), 3);
            sva.machine().set_interrupts(cpu(0), true);
        }
        // Another CPU is not concerned, nor this one afterwards.
        sva.swap(id).unwrap();
        sound(sva);
    }

    /// After the outermost handler of a line a thread may be left.
    fn the_hook_at_the_tail_swaps<P>() {
        let sva = threads::<P>();
        let boot = sva.current_thread();
        let id = thread(sva, FREE);
        let calls = sva.interrupts();
        calls.register_line(Line::TIMER, &|_| {}).unwrap();
        calls.register_software(0x80, &|_| {}).unwrap();
        calls.set_preempt(hook(move || sva.swap(if sva.current_thread() == boot { id } else { boot }).unwrap()));
        let timer = Trap::new(Vector::of_line(Line::TIMER));
        for expected in [id, boot, id] {
            assert!(sva.machine().raise(cpu(0), timer));
            assert_eq!(sva.current_thread(), expected);
            assert!(sva.machine().interrupts_enabled(cpu(0)));
            sound(sva);
        }
        // Not for a software interrupt, not under a guard, not while per-CPU data is borrowed.
        assert!(sva.machine().raise(cpu(0), Trap::new(Vector::SYSTEM_CALL)));
        let guard = calls.no_preempt();
        assert!(sva.machine().raise(cpu(0), timer));
        drop(guard);
        let data = PerCpu::new([0; 2]);
        data.with(sva, |_| assert!(sva.machine().raise(cpu(0), timer))).unwrap();
        assert_eq!(sva.current_thread(), id);
        assert!(sva.machine().raise(cpu(0), timer));
        assert_eq!(sva.current_thread(), boot);
    }
}

/// What leaves the thread, changes its root, or lets interrupts in, on this CPU.
#[track_caller]
fn refused_here<P: PagingMode>(sva: &World<P>, id: ThreadId, violation: Violation) {
    let root = sva.sealed_root();
    refused(sva, || sva.swap(id), violation);
    refused(sva, || sva.load_root(root), violation);
    let mut context = UserContext::new(at(0), at(0));
    refused(sva, || sva.run(root, &mut context), violation);
    refused(sva, || sva.interrupts().wait(), violation);
    refused(sva, || sva.interrupts().enable(), violation);
}
