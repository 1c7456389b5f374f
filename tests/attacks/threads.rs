//! S1 to S5, S9, S11, S13, and F13, C9 with threads: saved state, and who may resume whom.

use crate::common::world::{FIRST_FREE, frame, world_with_threads};
use crate::stage::{CPUS, Live, Machine, RAM, SLOTS, Stage, cpu, sound};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use sva_os::Violation;
use sva_os::address::Frame;
use sva_os::context::{PerCpu, ThreadId, UserContext};
use sva_os::frame::Kind;
use sva_os::interrupt::{Exception, Line, Vector};
use sva_os::machine::Emulated;
use sva_os::machine::emulated::{Trap, explore};
use sva_os::mmu::PagingMode;

/// A stage with a thread that has the stage's root: saved, or running here or elsewhere.
pub(crate) struct Threads<P: PagingMode> {
    pub(crate) stage: Stage<P>,
    pub(crate) victim: ThreadId,
    /// The frames of its stack.
    pub(crate) frames: [Frame; 2],
    /// What the CPUs booted with.
    pub(crate) boots: [ThreadId; 3],
}

impl<P: PagingMode> Threads<P> {
    pub(crate) fn new(live: Live) -> Self {
        let stage = Stage::<P>::with_threads(Live::Nowhere);
        let frames = [stage.spare(0), stage.spare(1)];
        let boots = [0, 1, 2].map(|number| stage.on(cpu(number), || stage.sva.current_thread()));
        let stack = stage.sva.declare_stack(&frames).unwrap();
        let victim = stage.sva.new_thread(stack, Some(stage.root), || None).unwrap();
        let runner = cpu(if live == Live::Here { 0 } else { 1 });
        stage.on(runner, || {
            stage.sva.swap(victim).unwrap();
            if live == Live::Nowhere {
                stage.sva.swap(boots[1]).unwrap();
            }
        });
        stage.sound();
        Self { stage, victim, frames, boots }
    }

    /// A thread more, on the `n`-th spare frame.
    pub(crate) fn other(&self, n: u32) -> ThreadId {
        new_thread(&self.stage.sva, self.stage.spare(n))
    }

    #[track_caller]
    pub(crate) fn refused<T: core::fmt::Debug>(
        &self,
        call: impl FnOnce(&Machine<P>) -> Result<T, Violation>,
        violation: Violation,
    ) {
        self.stage.refused(call, violation);
    }
}

pub(crate) fn new_thread<P: PagingMode>(sva: &Machine<P>, frame: Frame) -> ThreadId {
    let stack = sva.declare_stack(&[frame]).unwrap();
    sva.new_thread(stack, None, || None).unwrap()
}

/// What becomes of a victim that is wanted by name while it runs.
pub(crate) fn running(live: Live, victim: ThreadId) -> Violation {
    assert_ne!(live, Live::Nowhere);
    Violation::ThreadRunning(victim.number())
}

attacks! {
    /// Of a world with more slots, and with slots that had many threads.
    fn attack_s01_names_of_another_world_are_refused<P>(live: Live) {
        let threads = Threads::<P>::new(live);
        let other = world_with_threads::<P>(1, RAM, 32);
        let first = other.declare_stack(&[frame(FIRST_FREE)]).unwrap();
        let first = other.new_thread(first, None, || None).unwrap();
        let mut names = Vec::new();
        for number in 1..31 {
            names.push(new_thread(&other, frame(FIRST_FREE + number)));
        }
        // Another generation of each slot.
        for name in names.clone().into_iter().chain([first]) {
            let freed = other.release_stack(name.stack()).unwrap().next().unwrap();
            names.push(new_thread(&other, freed));
        }
        for name in names.into_iter().filter(|name| *name != threads.victim) {
            let number = name.number();
            let violation = match number {
                0..SLOTS => Violation::StaleThread(number),
                // What the CPUs booted with has no generation but the first.
                number if number < SLOTS + CPUS => Violation::StaleThread(number),
                number => Violation::NoSuchThread(number),
            };
            threads.refused(|sva| sva.swap(name), violation);
            threads.refused(|sva| sva.release_stack(name.stack()), violation);
            threads.refused(|sva| sva.new_thread(name.stack(), None, || None), violation);
        }
        threads.stage.sound();
    }

    /// The stack's name before there was a thread on it, and the thread's when another has the stack.
    fn attack_s01_stale_names_are_refused<P>(live: Live) {
        let threads = Threads::<P>::new(live);
        let sva = &threads.stage.sva;
        let stack = sva.declare_stack(&[threads.stage.spare(2)]).unwrap();
        let old = sva.new_thread(stack, None, || None).unwrap();
        let stale = Violation::StaleThread(old.number());
        threads.refused(|sva| sva.release_stack(stack), stale);
        threads.refused(|sva| sva.new_thread(stack, None, || None), stale);
        threads.stage.on(cpu(2), || {
            sva.swap(old).unwrap();
            sva.end_thread(Some(threads.boots[2]));
        });
        let ended = Violation::ThreadEnded(old.number());
        threads.refused(|sva| sva.swap(old), ended);
        let new = sva.new_thread(old.stack(), None, || None).unwrap();
        threads.refused(|sva| sva.swap(old), stale);
        threads.refused(|sva| sva.release_stack(old.stack()), stale);
        threads.refused(|sva| sva.new_thread(old.stack(), None, || None), stale);
        sva.swap(new).unwrap();
        threads.stage.sound();
    }

    fn attack_s01_freed_names_are_refused<P>(live: Live) {
        let threads = Threads::<P>::new(live);
        let sva = &threads.stage.sva;
        let freed = threads.other(2);
        sva.release_stack(freed.stack()).unwrap();
        for again in [false, true] {
            if again {
                assert_eq!(threads.other(2).number(), freed.number());
            }
            let stale = Violation::StaleThread(freed.number());
            threads.refused(|sva| sva.swap(freed), stale);
            threads.refused(|sva| sva.release_stack(freed.stack()), stale);
            threads.refused(|sva| sva.new_thread(freed.stack(), None, || None), stale);
        }
        threads.stage.sound();
    }

    /// By the CPU that did it first, and by the others.
    fn attack_s02_resume_twice_is_refused<P>() {
        let threads = Threads::<P>::new(Live::Nowhere);
        let victim = threads.victim;
        threads.stage.on(cpu(1), || threads.stage.sva.swap(victim)).unwrap();
        for number in [1, 0, 2, 1] {
            threads.stage.on(cpu(number), || {
                threads.refused(|sva| sva.swap(victim), running(Live::Elsewhere, victim));
            });
        }
        threads.stage.sound();
    }

    /// In every order of two CPUs' steps with one preemption: one has it, and the other is where it was.
    fn attack_s03_two_cpus_resume_one<P>() {
        let make = || (Threads::<P>::new(Live::Nowhere), [const { Mutex::new(None) }; 2]);
        type World<P> = (Threads<P>, [Mutex<Option<Result<(), Violation>>>; 2]);
        let resume = |number: usize| {
            move |(threads, answers): &World<P>| {
                *answers[number].lock().unwrap() = Some(threads.stage.sva.swap(threads.victim));
            }
        };
        let (first, second) = (resume(0), resume(1));
        let orders = explore(1, make, |world| world.0.stage.sva.machine(), &[&first, &second], |world| {
            let (threads, answers) = world;
            let answers = answers.each_ref().map(|answer| answer.lock().unwrap().unwrap());
            let running = Err(Violation::ThreadRunning(threads.victim.number()));
            assert!(answers == [Ok(()), running] || answers == [running, Ok(())], "{answers:?}");
            for (number, answer) in (0..).zip(answers) {
                let current = threads.stage.on(cpu(number), || threads.stage.sva.current_thread());
                let expected = if answer.is_ok() { threads.victim } else { threads.boots[number as usize] };
                assert_eq!(current, expected);
            }
            threads.stage.sound();
        });
        assert!(orders.unwrap_or_else(|failure| panic!("{failure}")) > 20);
    }

    fn attack_s04_resume_a_running_thread_is_refused<P>(live: Live) {
        let threads = Threads::<P>::new(live);
        if live == Live::Nowhere {
            // As for itself.
            let boot = threads.boots[0];
            threads.refused(|sva| sva.swap(boot), Violation::ThreadRunning(boot.number()));
        } else {
            threads.refused(|sva| sva.swap(threads.victim), running(live, threads.victim));
        }
        let boot = threads.boots[2];
        threads.refused(|sva| sva.swap(boot), Violation::ThreadRunning(boot.number()));
        // An idle thread, which waits, is nobody's to resume.
        threads.stage.on(cpu(2), || {
            threads.stage.sva.end_thread(None);
            let idle = threads.stage.sva.current_thread();
            threads.refused(|sva| sva.swap(idle), Violation::ThreadRunning(idle.number()));
            let other = threads.other(2);
            threads.stage.sva.swap(other).unwrap();
            for number in [2, 0] {
                let waits = Violation::ThreadBusy(idle.number());
                threads.stage.on(cpu(number), || threads.refused(|sva| sva.swap(idle), waits));
            }
        });
        threads.stage.sound();
    }

    /// Each check that can fail: CR3, TLB, counts, TLS, who runs, all is as it was, and afterwards it works.
    fn attack_s05_a_failed_swap_changes_nothing<P>(live: Live) {
        let threads = Threads::<P>::new(live);
        let sva = &threads.stage.sva;
        let (ended, freed) = (threads.other(2), threads.other(3));
        threads.stage.on(cpu(2), || {
            sva.swap(ended).unwrap();
            sva.end_thread(Some(threads.boots[2]));
        });
        sva.release_stack(freed.stack()).unwrap();
        let far = world_with_threads::<P>(1, RAM, 20);
        let far = (0..19).map(|n| new_thread(&far, frame(FIRST_FREE + n))).last().unwrap();
        let current = sva.current_thread();
        let all = || {
            threads.refused(|sva| sva.swap(ended), Violation::ThreadEnded(ended.number()));
            threads.refused(|sva| sva.swap(freed), Violation::StaleThread(freed.number()));
            threads.refused(|sva| sva.swap(far), Violation::NoSuchThread(19));
            let boot = threads.boots[2];
            threads.refused(|sva| sva.swap(boot), Violation::ThreadRunning(boot.number()));
            if live != Live::Nowhere {
                threads.refused(|sva| sva.swap(threads.victim), running(live, threads.victim));
            }
        };
        all();
        let data = PerCpu::new([(); 3]);
        data.with(sva, |()| {
            for id in [threads.victim, ended, freed, far] {
                threads.refused(|sva| sva.swap(id), Violation::PerCpuBorrowed(1));
            }
        })
        .unwrap();
        sva.interrupts().disable();
        all();
        assert!(!sva.machine().interrupts_enabled(cpu(0)));
        assert_eq!(sva.current_thread(), current);
        threads.stage.sound();
        let next = if live == Live::Here { threads.boots[0] } else { threads.other(4) };
        sva.swap(next).unwrap();
        threads.stage.sound();
    }

    /// While data of this CPU is borrowed, its thread stays; other CPUs are not concerned.
    fn attack_s09_no_swap_while_per_cpu_data_is_borrowed<P>(live: Live) {
        let threads = Threads::<P>::new(live);
        let (data, more) = (PerCpu::new([1, 2, 3]), PerCpu::new([4, 5, 6]));
        let sva = &threads.stage.sva;
        let other = threads.other(2);
        data.with(sva, |value| {
            assert_eq!(*value, 1);
            left_by_nobody(&threads.stage, &[other, threads.victim], Violation::PerCpuBorrowed(1));
            more.with(sva, |_| {
                left_by_nobody(&threads.stage, &[other, threads.victim], Violation::PerCpuBorrowed(2));
            })
            .unwrap();
            threads.refused(|sva| data.with(sva, |_| ()), Violation::PerCpuBorrowed(1));
            threads.stage.on(cpu(2), || sva.swap(other)).unwrap();
        })
        .unwrap();
        threads.stage.on(cpu(2), || sva.swap(threads.boots[2])).unwrap();
        sva.swap(other).unwrap();
        threads.stage.sound();
    }

    /// A CPU goes over to a thread that never ran; the old one goes on elsewhere, as soon as its stack was left
    /// and never before: the machine objects to two CPUs on one stack.
    fn attack_s11_the_old_thread_goes_on_elsewhere<P>() {
        type World<P> = (Threads<P>, ThreadId);
        let make = || {
            let threads = Threads::<P>::new(Live::Nowhere);
            let fresh = threads.other(2);
            (threads, fresh)
        };
        let leave = |(threads, fresh): &World<P>| {
            threads.stage.sva.swap(*fresh).unwrap();
            threads.stage.sva.play_entry();
        };
        let resume = |(threads, _): &World<P>| {
            let sva = &threads.stage.sva;
            let boot = threads.boots[0];
            while let Err(violation) = sva.swap(boot) {
                assert_eq!(violation, Violation::ThreadRunning(boot.number()));
                sva.machine().pause();
            }
        };
        let orders = explore(1, make, |world| world.0.stage.sva.machine(), &[&leave, &resume], |world| {
            let (threads, fresh) = world;
            let sva = &threads.stage.sva;
            assert_eq!(threads.stage.on(cpu(1), || sva.current_thread()), threads.boots[0]);
            assert_eq!(sva.current_thread().number(), 0, "the idle thread");
            sva.release_stack(fresh.stack()).unwrap();
            threads.stage.sound();
        });
        assert!(orders.unwrap_or_else(|failure| panic!("{failure}")) > 20);
    }

    /// In handlers of all kinds, one inside the other.
    fn attack_s13_no_handler_leaves_its_thread<P>(live: Live) {
        let threads = Arc::new(Threads::<P>::new(live));
        let other = threads.other(2);
        let runs = Arc::new(AtomicU32::new(0));
        let (inner, counted) = (threads.clone(), runs.clone());
        let attack: sva_os::interrupt::Handler = Box::leak(Box::new(move |_: &sva_os::interrupt::TrapFrame<'_>| {
            let depth = counted.fetch_add(1, Ordering::Relaxed) + 1;
            left_by_nobody(&inner.stage, &[other, inner.victim], Violation::InHandler(depth));
            if depth < 3 {
                let machine = inner.stage.sva.machine();
                assert!(machine.raise(cpu(0), Trap::new(Exception::PageFault.vector())));
            }
        }));
        let calls = threads.stage.sva.interrupts();
        calls.register_line(Line::TIMER, attack).unwrap();
        calls.register_exception(Exception::PageFault, attack).unwrap();
        calls.register_software(0x80, attack).unwrap();
        for vector in [Vector::of_line(Line::TIMER), Exception::PageFault.vector(), Vector::SYSTEM_CALL] {
            runs.store(0, Ordering::Relaxed);
            assert!(threads.stage.sva.machine().raise(cpu(0), Trap::new(vector)));
            assert_eq!(runs.load(Ordering::Relaxed), 3);
        }
        threads.stage.sound();
    }

    /// The one place in an interrupt where a thread may be left.
    fn attack_s13_the_tail_goes_over_to_another_thread<P>(live: Live) {
        let threads = Arc::new(Threads::<P>::new(live));
        let other = threads.other(2);
        let inner = threads.clone();
        let hooked = move || inner.stage.sva.swap(other).unwrap();
        let calls = threads.stage.sva.interrupts();
        calls.register_line(Line::TIMER, &|_| {}).unwrap();
        calls.set_preempt(Box::leak(Box::new(hooked)));
        assert!(threads.stage.sva.machine().raise(cpu(0), Trap::new(Vector::of_line(Line::TIMER))));
        assert_eq!(threads.stage.sva.current_thread(), other);
        threads.stage.sound();
    }

    /// The root of a thread: ready, saved, running here, running elsewhere; empty, so that nothing else keeps it.
    fn attack_f13_remove_the_root_of_a_thread_is_refused<P>(live: Live) {
        let threads = Threads::<P>::new(live);
        let stage = &threads.stage;
        let root = stage.root;
        let table = stage.sva.unlink(root, stage.root_index()).unwrap();
        let stays = || {
            for number in 0..CPUS {
                stage.on(cpu(number), || threads.refused(|sva| sva.remove_root(root), Violation::RootInUse(root)));
            }
        };
        stays();
        // One more thread of it, which never ran; then the first ends.
        let stack = stage.sva.declare_stack(&[stage.spare(2)]).unwrap();
        let ready = stage.sva.new_thread(stack, Some(root), || None).unwrap();
        stays();
        let runner = cpu(if live == Live::Here { 0 } else { 1 });
        stage.on(runner, || {
            if live == Live::Nowhere {
                stage.sva.swap(threads.victim).unwrap();
            }
            stage.sva.end_thread(None);
            assert_eq!(stage.sva.root(), stage.sva.sealed_root());
        });
        stays();
        stage.sva.release_stack(ready.stack()).unwrap();
        stage.sva.remove_root(root).unwrap();
        stage.sva.release_stack(threads.victim.stack()).unwrap();
        assert_ne!(stage.sva.kind(table), Kind::Free);
        stage.sound();
    }

    /// A process ends while a kernel thread still has its root: the tables stay, and the thread goes on in them.
    fn attack_c09_a_saved_thread_keeps_its_root<P>() {
        let threads = Threads::<P>::new(Live::Nowhere);
        let stage = &threads.stage;
        stage.sva.unlink(stage.root, stage.root_index()).unwrap();
        threads.refused(|sva| sva.remove_root(stage.root), Violation::RootInUse(stage.root));
        let free = stage.root;
        threads.refused(|sva| sva.declare_table(free, 1), Violation::NotFree(free));
        stage.sva.swap(threads.victim).unwrap();
        assert_eq!(stage.sva.root(), stage.root);
        stage.sva.load_root(stage.sva.sealed_root()).unwrap();
        stage.sva.remove_root(stage.root).unwrap();
        stage.sva.swap(threads.boots[0]).unwrap();
        assert_eq!(stage.sva.root(), stage.sva.sealed_root());
        stage.sound();
    }
}

/// Nothing that leaves this CPU's thread, changes its address space or lets interrupts in is done.
#[track_caller]
fn left_by_nobody<P: PagingMode>(stage: &Stage<P>, ids: &[ThreadId], violation: Violation) {
    for id in ids {
        stage.refused(|sva| sva.swap(*id), violation);
    }
    for root in [stage.root, stage.sva.sealed_root(), stage.data] {
        stage.refused(|sva| sva.load_root(root), violation);
        let mut context = UserContext::new(stage.address(), stage.address());
        let before = context;
        stage.refused(|sva| sva.run(root, &mut context), violation);
        assert_eq!(context, before);
    }
    stage.refused(|sva| sva.interrupts().enable(), violation);
    stage.refused(|sva| sva.interrupts().wait(), violation);
    for end in [true, false] {
        let sva: &sva_os::Sva<Emulated<P>> = &stage.sva;
        let machine = sva.machine();
        let before = machine.interrupts_enabled(cpu(0));
        let stopped = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            if end { sva.end_thread(None) } else { sva.abandon_thread(None) }
        }));
        assert!(stopped.is_err(), "the thread was left");
        machine.set_interrupts(cpu(0), before);
    }
    sound(&stage.sva);
}
