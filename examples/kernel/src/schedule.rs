//! Whose turn it is.
//!
//! The kernel is not preempted, and takes interrupts only while a program runs and while it has nothing to do. So
//! none of its locks is ever contended: a task that holds one is not left before it has given it back.
//!
//! A task's turn ends when it must wait, when it says so, and when the timer struck while its program ran.

use crate::machine::sva;
use crate::memory::pool;
use crate::net::machine as network;
use crate::wait::TaskId;
use crate::{console, time};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use spin::Mutex;
use sva_os::address::Frame;
use sva_os::context::{Entry, StackId, ThreadId};

/// The most threads that the library has slots for.
const MOST_THREADS: usize = 260;
/// Pages of a kernel stack.
const STACK_PAGES: usize = 8;

#[derive(Clone, Copy)]
struct Slot {
    thread: Option<ThreadId>,
    /// It is not in the queue, and does not run.
    waits: bool,
}

struct Turns {
    /// Those who could go on, in order.
    queue: VecDeque<ThreadId>,
    /// By the numbers of threads.
    slots: [Slot; MOST_THREADS],
    /// Stacks of threads that have ended, for the next.
    stacks: Vec<StackId>,
}

static TURNS: Mutex<Turns> = Mutex::new(Turns {
    queue: VecDeque::new(),
    slots: [Slot { thread: None, waits: false }; MOST_THREADS],
    stacks: Vec::new(),
});

/// Something has happened that others may want the CPU for.
static RESCHEDULE: AtomicBool = AtomicBool::new(false);

/// Makes room for all that the queue can hold.
pub fn init() {
    let mut turns = TURNS.lock();
    turns.queue.reserve_exact(MOST_THREADS);
    turns.stacks.reserve_exact(MOST_THREADS);
}

/// What a thread is called here.
fn name(thread: ThreadId) -> TaskId {
    TaskId(thread.number())
}

/// A thread on a stack of the kernel's, in the address space `root`, which waits until it is woken first.
pub fn spawn(root: Option<Frame>, entry: impl Entry) -> Option<TaskId> {
    let stack = match TURNS.lock().stacks.pop() {
        Some(stack) => stack,
        None => new_stack()?,
    };
    match sva().new_thread(stack, root, entry) {
        Ok(thread) => {
            add(thread);
            Some(name(thread))
        }
        Err(_) => {
            release(stack);
            None
        }
    }
}

/// Makes `thread` known, which runs, or waits to be woken.
pub fn add(thread: ThreadId) {
    if let Some(slot) = TURNS.lock().slots.get_mut(thread.number() as usize) {
        *slot = Slot { thread: Some(thread), waits: true };
    }
}

fn new_stack() -> Option<StackId> {
    let mut frames = [Frame::ZERO; STACK_PAGES];
    for place in 0..STACK_PAGES {
        match pool::take_free() {
            Some(frame) => frames[place] = frame,
            None => {
                frames[..place].iter().for_each(|frame| pool::give_free(*frame));
                return None;
            }
        }
    }
    let stack = sva().declare_stack(&frames).ok();
    if stack.is_none() {
        frames.iter().for_each(|frame| pool::give_free(*frame));
    }
    stack
}

fn release(stack: StackId) {
    if let Ok(frames) = sva().release_stack(stack) {
        frames.for_each(pool::give_free);
    }
}

/// Gives the frames of unused stacks back.
pub fn release_stacks() {
    while let Some(stack) = { TURNS.lock().stacks.pop() } {
        release(stack);
    }
}

/// Lets `task` go on, if it waits.
pub fn wake(task: TaskId) {
    let mut guard = TURNS.lock();
    let turns = &mut *guard;
    if let Some(slot) = turns.slots.get_mut(task.0 as usize)
        && let Slot { thread: Some(thread), waits: true } = *slot
    {
        slot.waits = false;
        turns.queue.push_back(thread);
    }
}

/// Makes `me`, who runs, wait until it is woken.
pub fn block(me: TaskId) {
    if let Some(slot) = TURNS.lock().slots.get_mut(me.0 as usize) {
        slot.waits = true;
    }
    loop {
        let next = TURNS.lock().queue.pop_front();
        match next {
            Some(next) if name(next) == me => return,
            Some(next) => {
                if sva().swap(next).is_ok() {
                    return;
                }
            }
            None => idle(),
        }
    }
}

/// Lets the others have their turns; `me` runs.
pub fn pass(me: TaskId) {
    let next = {
        let mut guard = TURNS.lock();
        let turns = &mut *guard;
        let Some(next) = turns.queue.pop_front() else {
            return;
        };
        if let Some(Slot { thread: Some(me), .. }) = turns.slots.get(me.0 as usize) {
            turns.queue.push_back(*me);
        }
        next
    };
    if sva().swap(next).is_err() {
        // Only this task is left to go on with.
        TURNS.lock().queue.retain(|other| name(*other) != me);
    }
}

/// The running thread `me` ends: who is next. Its stack is the next thread's.
pub fn end(me: TaskId) -> Option<ThreadId> {
    let mut ending = None;
    if let Some(slot) = TURNS.lock().slots.get_mut(me.0 as usize) {
        ending = slot.thread.take();
    }
    loop {
        let mut turns = TURNS.lock();
        if let Some(next) = turns.queue.pop_front() {
            turns.stacks.extend(ending.map(ThreadId::stack));
            return Some(next);
        }
        drop(turns);
        idle();
    }
}

/// Waits for an interrupt, and does what it calls for.
fn idle() {
    if sva().interrupts().wait().is_ok() {
        attend();
    }
}

/// Does what interrupts have left to do.
pub fn attend() {
    time::attend();
    console::attend();
    network::attend();
}

/// Whether the running program should let others have their turns.
#[inline(always)]
pub fn is_due() -> bool {
    RESCHEDULE.load(Ordering::Relaxed)
}

/// From a handler: the turn of the program that runs is over.
pub fn set_due() {
    RESCHEDULE.store(true, Ordering::Relaxed);
}

/// Ends the turn of `me`.
#[cold]
pub fn reschedule(me: TaskId) {
    RESCHEDULE.store(false, Ordering::Relaxed);
    attend();
    pass(me);
}
