//! Tasks that wait for something to change.
//!
//! Nothing here blocks. Who must wait adds itself to a queue, looks once more whether it must, and gives the
//! CPU away; who changes something wakes the queue. A task may be woken for nothing, and looks again.

use alloc::vec::Vec;
use spin::{Mutex, Once};

/// The name of a task, which is the kernel's to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

static WAKER: Once<fn(TaskId)> = Once::new();

/// Says how a task is woken. The first call counts.
pub fn set_waker(waker: fn(TaskId)) {
    WAKER.call_once(|| waker);
}

fn wake(task: TaskId) {
    if let Some(wake) = WAKER.get() {
        wake(task);
    }
}

/// Those who wait for one thing.
#[derive(Debug, Default)]
pub struct WaitQueue {
    /// Keeps its capacity: who waits again and again allocates once.
    tasks: Mutex<Vec<TaskId>>,
}

impl WaitQueue {
    pub const fn new() -> Self {
        Self { tasks: Mutex::new(Vec::new()) }
    }

    /// A task waits; to add it twice is to add it once. If there is no memory to remember it, it is woken at once.
    pub fn add(&self, task: TaskId) {
        let mut tasks = self.tasks.lock();
        if tasks.contains(&task) {
            return;
        }
        if tasks.try_reserve(1).is_ok() {
            tasks.push(task);
            return;
        }
        drop(tasks);
        wake(task);
    }

    /// A task waits no longer.
    pub fn remove(&self, task: TaskId) {
        self.tasks.lock().retain(|other| *other != task);
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.lock().is_empty()
    }

    /// Wakes all who wait. They are no longer in the queue.
    #[inline(always)]
    pub fn wake_all(&self) {
        let waiting = self.tasks.lock().len();
        // One by one, so that no lock is held in the waker; those it adds are not woken.
        for _ in 0..waiting {
            let Some(task) = self.pop() else { return };
            wake(task);
        }
    }

    fn pop(&self) -> Option<TaskId> {
        let mut tasks = self.tasks.lock();
        if tasks.is_empty() { None } else { Some(tasks.remove(0)) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::RefCell;

    thread_local! {
        static WOKEN: RefCell<Vec<TaskId>> = const { RefCell::new(Vec::new()) };
    }

    /// Whom this test has woken since it last asked.
    pub(crate) fn woken() -> Vec<TaskId> {
        set_waker(|task| WOKEN.with_borrow_mut(|woken| woken.push(task)));
        WOKEN.take()
    }

    #[test]
    fn those_who_wait_are_woken_once_and_in_order() {
        woken();
        let queue = WaitQueue::new();
        for task in [3, 1, 3, 2] {
            queue.add(TaskId(task));
        }
        queue.remove(TaskId(1));
        queue.wake_all();
        assert_eq!(woken(), [TaskId(3), TaskId(2)]);
        queue.wake_all();
        assert_eq!(woken(), []);
        assert!(queue.is_empty());
    }
}
