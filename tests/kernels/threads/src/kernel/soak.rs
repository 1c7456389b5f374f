//! A hundred kernel threads and fifty programs, each in an address space of its own, for a long time: they pass
//! their turns, are preempted by the timer, end and are made anew. At the end nothing is missing.

use super::soak_bodies::{kernel_thread, user_thread};
use super::{Kernel, cpu, frames, println, schedule};
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use sva_os::Violation;
use sva_os::context::{FpPolicy, StackId, ThreadId};

const KERNEL_THREADS: u32 = 100;
const PROGRAMS: u32 = 50;
const STACK_PAGES: usize = 4;
/// Swaps between two audits.
const AUDIT: u32 = 1000;

/// Threads are to end.
pub(super) static STOP: AtomicBool = AtomicBool::new(false);

/// What happened, for the report.
pub(super) struct Counts {
    pub(super) ended: AtomicU32,
    pub(super) calls: AtomicU32,
    pub(super) faults: AtomicU32,
    pub(super) interrupts: AtomicU32,
}
pub(super) static COUNTS: Counts = Counts {
    ended: AtomicU32::new(0),
    calls: AtomicU32::new(0),
    faults: AtomicU32::new(0),
    interrupts: AtomicU32::new(0),
};

pub(super) fn run(sva: &'static Kernel) {
    // The dev profile is several times slower.
    soak(sva, if cfg!(debug_assertions) { 10_000 } else { 100_000 });
}

pub(super) fn run_long(sva: &'static Kernel) {
    soak(sva, 1_000_000);
}

/// Makes the thread with this number on `stack`, in its `life`-th life.
fn begin(sva: &'static Kernel, stack: StackId, number: u32, life: u32) -> Result<ThreadId, Violation> {
    let seed = number << 20 | life << 1 | 1;
    let entry = move || {
        match number < KERNEL_THREADS {
            true => kernel_thread(sva, seed),
            false => user_thread(sva, seed),
        }
        COUNTS.ended.fetch_add(1, Ordering::Relaxed);
        schedule::next(sva)
    };
    let thread = sva.new_thread(stack, None, entry)?;
    schedule::add(sva, thread);
    Ok(thread)
}

/// Makes a thread that has ended anew, with other frames or on the stack that it had. Refused if it goes on.
fn begin_again(
    sva: &'static Kernel,
    thread: ThreadId,
    number: u32,
    life: u32,
) -> Result<ThreadId, Violation> {
    if life.is_multiple_of(2) {
        return begin(sva, thread.stack(), number, life);
    }
    assert_eq!(sva.release_stack(thread.stack())?.count(), STACK_PAGES);
    begin(sva, schedule::stack(sva, STACK_PAGES), number, life)
}

fn soak(sva: &'static Kernel, swaps: u32) {
    let free = frames::count_free(sva);
    let mut scratch = vec![0; sva.frame_count() as usize];
    let mut threads: Vec<(ThreadId, u32)> = (0..KERNEL_THREADS + PROGRAMS)
        .map(|number| (begin(sva, schedule::stack(sva, STACK_PAGES), number, 0).unwrap(), 0))
        .collect();
    schedule::start_preempting(sva, 1000, &|_| cpu::check_kernel_state());
    // By its next turn each has begun: of one that has not, the stack could be released at once.
    assert!(schedule::pass(sva));
    let (mut turns, mut audits) = (0_usize, 0);
    while schedule::swaps() < swaps {
        turns += 1;
        // One after the other is asked whether it has ended.
        let number = turns % threads.len();
        let (thread, life) = threads[number];
        match begin_again(sva, thread, number as u32, life + 1) {
            Ok(thread) => threads[number] = (thread, life + 1),
            Err(violation) => assert_eq!(violation, Violation::StackInUse(thread.number())),
        }
        if schedule::swaps() / AUDIT > audits {
            audits += 1;
            sva.set_fp_policy(if audits % 2 == 0 { FpPolicy::Lazy } else { FpPolicy::Eager });
            sva.audit_with(&mut scratch).unwrap();
        }
        assert!(schedule::pass(sva));
    }
    STOP.store(true, Ordering::Relaxed);
    while schedule::pass(sva) {}
    schedule::stop_preempting(sva);
    for (thread, _) in &threads {
        assert_eq!(sva.release_stack(thread.stack()).unwrap().count(), STACK_PAGES);
    }
    let load = |count: &AtomicU32| count.load(Ordering::Relaxed);
    println!(
        "{} swaps, {} of them preemptions; {} threads ended; {} calls, {} faults, {} interrupts of programs; {audits} audits",
        schedule::swaps(),
        schedule::preemptions(),
        load(&COUNTS.ended),
        load(&COUNTS.calls),
        load(&COUNTS.faults),
        load(&COUNTS.interrupts),
    );
    assert!(schedule::preemptions() > 10 && load(&COUNTS.ended) >= KERNEL_THREADS + PROGRAMS);
    assert!(load(&COUNTS.faults) > 100 && load(&COUNTS.interrupts) > 0);
    sva.audit_with(&mut scratch).unwrap();
    assert_eq!(frames::count_free(sva), free);
}
