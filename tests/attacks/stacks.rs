//! S6, S7, S12, and F7 with threads: whose stacks are, and when their frames are free.

use crate::calls::{refuse_all, to_a_sealed_frame, to_a_stranger};
use crate::common::world::{FIRST_FREE, frame};
use crate::stage::{CPUS, Live, Machine, RAM, SLOTS, cpu};
use crate::threads::{Threads, new_thread, running};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use sva_os::Violation;
use sva_os::address::Frame;
use sva_os::context::{STACK_PAGES, StackId};
use sva_os::frame::Kind;
use sva_os::machine::emulated::explore;
use sva_os::mmu::PagingMode;

attacks! {
    fn attack_s06_stacks_of_no_size_are_refused<P>(live: Live) {
        let threads = Threads::<P>::new(live);
        let spare: Vec<_> = (2..30).map(|n| threads.stage.spare(n)).collect();
        for count in [0, STACK_PAGES + 1, STACK_PAGES + 2, 28] {
            let frames = &spare[..count as usize];
            threads.refused(|sva| sva.declare_stack(frames), Violation::NoSuchStackSize(count));
        }
    }

    /// With another stack, with itself, with whatever else a frame can be.
    fn attack_s06_stacks_that_overlap_are_refused<P>(live: Live) {
        let threads = Threads::<P>::new(live);
        let stage = &threads.stage;
        let [a, b] = [stage.spare(2), stage.spare(3)];
        let machine = stage.sva.machine();
        for spare in [a, b] {
            machine.poke(sva_os::address::PhysAddr::new(spare.start().get() + 0x10), 0x0bad_cafe_u32);
        }
        let mut used = threads.frames.to_vec();
        used.extend([stage.root, stage.leaf_table(), stage.data, stage.sva.sealed_root(), Frame::ZERO]);
        used.extend((1..12).filter(|number| !(6..8).contains(number)).map(frame));
        used.push(a);
        for used in used {
            let frames = [a, b, used];
            threads.refused(|sva| sva.declare_stack(&frames), Violation::NotFree(used));
            if used != a {
                let frames = [used, a];
                threads.refused(|sva| sva.declare_stack(&frames), Violation::NotFree(used));
            }
        }
        for missing in [12, 6, RAM, 0xf_ffff].map(frame) {
            let frames = [a, missing, b];
            threads.refused(|sva| sva.declare_stack(&frames), Violation::NoSuchFrame(missing));
        }
        stage.sound();
    }

    fn attack_s06_a_used_stack_is_refused<P>(live: Live) {
        let threads = Threads::<P>::new(live);
        let stack = threads.victim.stack();
        let violation = match live {
            Live::Nowhere => Violation::StackInUse(stack.number()),
            _ => running(live, threads.victim),
        };
        for root in [None, Some(threads.stage.root)] {
            threads.refused(|sva| sva.new_thread(stack, root, || None), violation);
        }
        // A thread that never ran.
        let ready = threads.other(2).stack();
        threads.refused(|sva| sva.new_thread(ready, None, || None), Violation::StackInUse(ready.number()));
        threads.stage.sound();
    }

    /// The running one, one that runs elsewhere, a suspended one.
    fn attack_s07_release_a_used_stack_is_refused<P>(live: Live) {
        let threads = Threads::<P>::new(live);
        let stack = threads.victim.stack();
        let violation = match live {
            Live::Nowhere => Violation::StackInUse(stack.number()),
            _ => running(live, threads.victim),
        };
        for number in 0..CPUS {
            threads.stage.on(cpu(number), || threads.refused(|sva| sva.release_stack(stack), violation));
        }
        for boot in threads.boots {
            let number = boot.number();
            let suspended = live == Live::Here && number == SLOTS || live == Live::Elsewhere && number == SLOTS + 1;
            let violation =
                if suspended { Violation::StackInUse(number) } else { Violation::ThreadRunning(number) };
            threads.refused(|sva| sva.release_stack(boot.stack()), violation);
        }
        assert!(threads.frames.iter().all(|frame| threads.stage.sva.kind(*frame) == Kind::Stack));
    }

    /// An abandoned one, and twice.
    fn attack_s07_release_an_abandoned_stack_is_refused<P>() {
        for live in [Live::Here, Live::Elsewhere] {
            let threads = Threads::<P>::new(live);
            let sva = &threads.stage.sva;
            let number = if live == Live::Here { 0 } else { 1 };
            threads.stage.on(cpu(number), || sva.abandon_thread(None));
            let stack = threads.victim.stack();
            for _ in 0..2 {
                threads.refused(|sva| sva.release_stack(stack), Violation::ThreadEnded(stack.number()));
                threads.refused(|sva| sva.new_thread(stack, None, || None), Violation::ThreadEnded(stack.number()));
            }
            threads.stage.sound();
            let other = threads.other(2).stack();
            assert_eq!(sva.release_stack(other).unwrap().count(), 1);
            threads.refused(|sva| sva.release_stack(other), Violation::StaleThread(other.number()));
            threads.stage.sound();
        }
    }

    /// Two CPUs release one stack: one gets the frames.
    fn attack_s07_two_cpus_release_one<P>() {
        type World<P> = (Threads<P>, StackId, AtomicU32);
        let make = || {
            let threads = Threads::<P>::new(Live::Nowhere);
            let stack = threads.other(2).stack();
            (threads, stack, AtomicU32::new(0))
        };
        let release = |(threads, stack, frames): &World<P>| match threads.stage.sva.release_stack(*stack) {
            Ok(released) => _ = frames.fetch_add(released.count() as u32, Ordering::Relaxed),
            Err(violation) => {
                let number = stack.number();
                let expected = [Violation::ThreadBusy(number), Violation::StaleThread(number)];
                assert!(expected.contains(&violation), "{violation:?}");
            }
        };
        let orders = explore(1, make, |world| world.0.stage.sva.machine(), &[&release, &release], |world| {
            assert_eq!(world.2.load(Ordering::Relaxed), 1);
            world.0.stage.sound();
        });
        assert!(orders.unwrap_or_else(|failure| panic!("{failure}")) > 20);
    }

    /// Its drop calls the library, with interrupts on, and nobody gets the stack meanwhile.
    fn attack_s12_a_captured_value_is_dropped_outside_of_locks<P>(live: Live) {
        struct Probe<P: PagingMode>(Arc<Machine<P>>, Frame, Arc<AtomicU32>);
        impl<P: PagingMode> Drop for Probe<P> {
            fn drop(&mut self) {
                let Self(sva, spare, drops) = self;
                drops.fetch_add(1, Ordering::Relaxed);
                assert!(sva.machine().interrupts_enabled(cpu(0)));
                sva.release_stack(new_thread(sva, *spare).stack()).unwrap();
                sva.retype(*spare, Kind::UserData).unwrap();
                sva.retype(*spare, Kind::Free).unwrap();
                sva.flush_all();
                sva.audit_with(&mut []).unwrap_err();
            }
        }
        let threads = Threads::<P>::new(live);
        let sva = &threads.stage.sva;
        let drops = Arc::new(AtomicU32::new(0));
        let probe = Probe(sva.clone(), threads.stage.spare(3), drops.clone());
        let stack = sva.declare_stack(&[threads.stage.spare(2)]).unwrap();
        let never = sva
            .new_thread(stack, Some(threads.stage.root), move || {
                let _probe = &probe;
                None
            })
            .unwrap();
        threads.stage.sound();
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        sva.release_stack(never.stack()).unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        threads.refused(|sva| sva.release_stack(never.stack()), Violation::StaleThread(never.number()));
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        threads.stage.sound();
    }

    /// The frames of a running stack, here and elsewhere, of a saved one, of one that no thread is on, of an
    /// abandoned one, of the idle threads: by every call that takes a frame's number.
    fn attack_f07_stacks_of_threads_are_refused<P>(live: Live) {
        let threads = Threads::<P>::new(live);
        let stage = &threads.stage;
        for frame in threads.frames {
            refuse_all(stage, frame, to_a_stranger);
        }
        let unused = stage.spare(2);
        stage.sva.declare_stack(&[unused]).unwrap();
        refuse_all(stage, unused, to_a_stranger);
        let idle = (0..RAM).map(frame).filter(|frame| frame.number() > FIRST_FREE + 20);
        let idle: Vec<_> = idle.filter(|frame| stage.sva.kind(*frame) == Kind::Stack && *frame != unused).collect();
        assert_eq!(idle.len(), 12);
        for frame in idle {
            refuse_all(stage, frame, to_a_sealed_frame);
        }
        if live != Live::Nowhere {
            stage.on(cpu(if live == Live::Here { 0 } else { 1 }), || stage.sva.abandon_thread(None));
            refuse_all(stage, threads.frames[0], to_a_stranger);
        }
        stage.sound();
    }
}
