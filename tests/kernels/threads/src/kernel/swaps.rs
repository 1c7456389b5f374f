//! Threads that go over to one another, end, and leave their stacks.

use super::program::Program;
use super::{Kernel, frames, println, schedule};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::Violation;
use sva_os::context::{ENTRY_BYTES, STACK_PAGES, ThreadId};

pub(super) fn run(sva: &'static Kernel) {
    let free = frames::count_free(sva);
    let boot = sva.current_thread();
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
    roots(sva, boot);
    sizes(sva, boot);
    assert_eq!(frames::count_free(sva), free);
}

/// C9, F13: a root stays one as long as any thread may load it.
fn roots(sva: &'static Kernel, boot: ThreadId) {
    let program = Program::new(sva, &[]);
    let root = program.root();
    let in_use = Violation::RootInUse(root);
    let loads = || sva.mappings(root).writable;
    let thread = || {
        let entry = move || {
            assert_eq!(sva.root(), root);
            sva.swap(boot).unwrap();
            assert_eq!(sva.root(), root);
            Some(boot)
        };
        sva.new_thread(schedule::stack(sva, 2), Some(root), entry).unwrap()
    };
    // Ready, and never run.
    let never = thread();
    assert_eq!((loads(), sva.remove_root(root)), (1, Err(in_use)));
    sva.release_stack(never.stack()).unwrap();
    assert_eq!(loads(), 0);
    // Ready, saved, ended.
    let thread = thread();
    for left in [1, 0] {
        assert_eq!((loads(), sva.remove_root(root)), (1, Err(in_use)));
        sva.swap(thread).unwrap();
        assert_eq!((sva.root(), loads()), (sva.sealed_root(), left));
    }
    sva.release_stack(thread.stack()).unwrap();
    program.destroy(sva);
}

/// S6: what is no stack, and what does not fit on one.
fn sizes(sva: &'static Kernel, boot: ThreadId) {
    let none = frames::free(sva, 0);
    assert_eq!(sva.declare_stack(&none), Err(Violation::NoSuchStackSize(0)));
    let many = frames::free(sva, STACK_PAGES as usize + 1);
    assert_eq!(sva.declare_stack(&many), Err(Violation::NoSuchStackSize(STACK_PAGES + 1)));
    let twice = [many[0], many[1], many[0]];
    assert_eq!(sva.declare_stack(&twice), Err(Violation::NotFree(many[0])));
    let stack = sva.declare_stack(&many[..1]).unwrap();
    let captured = [1_u8; ENTRY_BYTES as usize + 1];
    let too_large = sva.new_thread(stack, None, move || {
        assert_eq!(captured[0], 1);
        None
    });
    assert_eq!(too_large, Err(Violation::EntryTooLarge(ENTRY_BYTES + 1)));
    let captured = [7_u8; ENTRY_BYTES as usize - size_of::<ThreadId>()];
    let largest = sva.new_thread(stack, None, move || {
        assert!(captured.iter().all(|byte| *byte == 7));
        Some(boot)
    });
    let largest = largest.unwrap();
    sva.swap(largest).unwrap();
    assert_eq!(sva.release_stack(largest.stack()).unwrap().count(), 1);
}
