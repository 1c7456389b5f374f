//! Futexes: tasks that wait at a word of memory.
//!
//! A word is named by the address space that it is in, and its address. Those that several processes share through
//! memory that they inherited are told apart, so a futex between processes does not wake: only tasks of one process meet.

use crate::errno::{Errno, Result};
use crate::memory::user::{self, Shared};
use crate::process::Current;
use crate::schedule;
use crate::time::{self, Event};
use crate::wait::TaskId;
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Mutex;

/// Where somebody waits: address space, address.
type Word = (usize, u32);

#[derive(Clone, Copy)]
struct Waiter {
    word: Word,
    task: TaskId,
    bits: u32,
}

static WAITERS: Mutex<Vec<Waiter>> = Mutex::new(Vec::new());

fn word(space: &Arc<Shared>, at: u32) -> Word {
    (Arc::as_ptr(space).addr(), at)
}

/// Waits at `at` as long as it holds `value`, until `deadline`; only for who wakes one of `bits`.
///
/// # Errors
///
/// EAGAIN if it holds something else, ETIMEDOUT, EINTR, EFAULT.
pub fn wait(current: &Current, at: u32, value: u32, deadline: Option<u64>, bits: u32) -> Result<()> {
    if bits == 0 || !at.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if user::word(&current.space, at)? != value {
        return Err(Errno::EAGAIN);
    }
    let word = word(&current.space, at);
    WAITERS.lock().push(Waiter { word, task: current.turn, bits });
    let alarm = deadline.map(|deadline| time::at(deadline, Event::Wake(current.turn)));
    let result = loop {
        if !WAITERS.lock().iter().any(|waiter| waiter.task == current.turn) {
            break Ok(());
        }
        if deadline.is_some_and(|deadline| time::now() >= deadline) {
            break Err(Errno::ETIMEDOUT);
        }
        if let Err(error) = current.sleep() {
            break Err(error);
        }
    };
    if let Some(alarm) = alarm {
        time::call_off(alarm);
    }
    // Who was woken is not in the list any more, whatever else has come.
    let mut waiters = WAITERS.lock();
    let before = waiters.len();
    waiters.retain(|waiter| waiter.task != current.turn);
    if waiters.len() == before { Ok(()) } else { result }
}

/// Wakes up to `count` of those who wait at `at` for one of `bits`, and says how many.
pub fn wake(space: &Arc<Shared>, at: u32, count: u32, bits: u32) -> u32 {
    requeue(space, at, count, bits, 0, 0)
}

/// As [`wake`], for one that waits for anything.
pub fn wake_at(space: &Arc<Shared>, at: u32, count: u32) -> u32 {
    wake(space, at, count, u32::MAX)
}

/// As [`wake`], and lets up to `moved` others wait at `to` instead.
pub fn requeue(space: &Arc<Shared>, at: u32, count: u32, bits: u32, to: u32, moved: u32) -> u32 {
    let from = word(space, at);
    let (mut woken, mut left) = (0, moved);
    let mut waiters = WAITERS.lock();
    waiters.retain_mut(|waiter| {
        if waiter.word != from || waiter.bits & bits == 0 {
            return true;
        }
        if woken < count {
            woken += 1;
            schedule::wake(waiter.task);
            return false;
        }
        if left > 0 {
            left -= 1;
            waiter.word = word(space, to);
        }
        true
    });
    woken + (moved - left)
}
