//! Threads that go over to one another, end, and leave their stacks.

use super::{Kernel, frames, println};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::Violation;

pub(super) fn run(sva: &'static Kernel) {
    let free = frames::count_free(sva);
    let boot = sva.current_thread().unwrap();
    assert_eq!(sva.swap(boot), Err(Violation::ThreadRunning(boot.number())));

    // One that comes back ten times, and ends.
    let stack = sva.declare_stack(&frames::free(sva, 2)).unwrap();
    static STEPS: AtomicU32 = AtomicU32::new(0);
    let captured = Box::new(7);
    let thread = sva
        .new_thread(stack, None, move || {
            for _ in 0..10 {
                STEPS.fetch_add(*captured, Ordering::Relaxed);
                sva.swap(boot).unwrap();
            }
            Some(boot)
        })
        .unwrap();
    assert_eq!(sva.release_stack(stack).unwrap_err(), Violation::StaleThread(stack.number()));
    for step in 1..=10 {
        sva.swap(thread).unwrap();
        assert_eq!(STEPS.load(Ordering::Relaxed), 7 * step);
        assert_eq!(sva.release_stack(thread.stack()).unwrap_err(), Violation::StackInUse(thread.number()));
    }
    sva.swap(thread).unwrap();
    assert_eq!(sva.swap(thread), Err(Violation::ThreadEnded(thread.number())));

    // Its stack again, for one that never runs: what it captured is dropped.
    let shared = Arc::new(());
    let held = Arc::clone(&shared);
    let never = sva
        .new_thread(thread.stack(), None, move || {
            drop(held);
            None
        })
        .unwrap();
    assert_eq!(Arc::strong_count(&shared), 2);
    assert_eq!(sva.release_stack(never.stack()).unwrap().count(), 2);
    assert_eq!(Arc::strong_count(&shared), 1);
    assert_eq!(sva.swap(never), Err(Violation::StaleThread(never.number())));
    assert_eq!(frames::count_free(sva), free);
    println!("{STEPS:?} steps");
}
