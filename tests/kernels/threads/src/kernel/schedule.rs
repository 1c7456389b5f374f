//! Threads that take turns: each goes to the end of the queue, and the first goes on.

use super::{Kernel, frames, kernel};
use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::context::{PerCpu, StackId, ThreadId};
use sva_os::interrupt::{Line, TrapFrame};

/// The number of the idle thread, which only the library resumes.
pub(super) const IDLE: u32 = 0;

static WAITING: PerCpu<VecDeque<ThreadId>, 1> = PerCpu::new([VecDeque::new()]);

/// How often a thread went over to another.
static SWAPS: AtomicU32 = AtomicU32::new(0);
/// How often the timer made it do so.
static PREEMPTIONS: AtomicU32 = AtomicU32::new(0);

pub(super) fn swaps() -> u32 {
    SWAPS.load(Ordering::Relaxed)
}

pub(super) fn preemptions() -> u32 {
    PREEMPTIONS.load(Ordering::Relaxed)
}

/// A stack of so many pages.
pub(super) fn stack(sva: &Kernel, pages: usize) -> StackId {
    sva.declare_stack(&frames::free(sva, pages)).unwrap()
}

/// Puts a thread at the end of the queue.
pub(super) fn add(sva: &Kernel, thread: ThreadId) {
    sva.interrupts().without_interrupts(|| WAITING.with(sva, |waiting| waiting.push_back(thread)).unwrap());
}

/// Takes the first of the queue, for a thread that ends.
pub(super) fn next(sva: &Kernel) -> Option<ThreadId> {
    sva.interrupts().without_interrupts(|| WAITING.with(sva, VecDeque::pop_front).unwrap())
}

/// Lets the others have their turns; `false` if there is no other.
pub(super) fn pass(sva: &Kernel) -> bool {
    sva.interrupts().without_interrupts(|| {
        let me = sva.current_thread();
        let next = WAITING.with(sva, |waiting| {
            let next = waiting.pop_front()?;
            if me.number() != IDLE {
                waiting.push_back(me);
            }
            Some(next)
        });
        let Some(next) = next.unwrap() else {
            return false;
        };
        SWAPS.fetch_add(1, Ordering::Relaxed);
        sva.swap(next).unwrap();
        true
    })
}

/// Lets the timer interrupt so often, with a handler that is told of each; after it the turn passes on.
pub(super) fn start_preempting(
    sva: &'static Kernel,
    hz: u32,
    handler: &'static (dyn Fn(&TrapFrame<'_>) + Sync),
) {
    let interrupts = sva.interrupts();
    interrupts.register_line(Line::TIMER, handler).unwrap();
    interrupts.set_preempt(&|| {
        PREEMPTIONS.fetch_add(u32::from(pass(kernel())), Ordering::Relaxed);
    });
    interrupts.unmask(Line::TIMER).unwrap();
    sva.timer().start_periodic(hz).unwrap();
    interrupts.enable().unwrap();
}

/// Ends what [`start_preempting`] began. An interrupt that is on its way may still come.
pub(super) fn stop_preempting(sva: &'static Kernel) {
    sva.interrupts().disable();
    sva.timer().stop();
    sva.interrupts().set_preempt(&|| ());
    sva.interrupts().unregister(32).unwrap();
}
