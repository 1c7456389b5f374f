//! A CPU: its caches, its interrupt flag, and what is counted of it.

use super::cache::Caches;
use super::context::Context;
use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread_local;

thread_local! {
    /// The CPU that this thread is.
    static CURRENT: Cell<u32> = const { Cell::new(0) };
    /// The CPUs that this thread runs an interrupt for, a bit each.
    static DELIVERING: Cell<u32> = const { Cell::new(0) };
}

/// IF of a CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flag {
    Clear,
    Set,
    /// Clear, because an interrupt that found it set is being run.
    Interrupted,
}

const CLEAR: u8 = 0;
const SET: u8 = 1;
const INTERRUPTED: u8 = 2;

/// What a CPU was made to do. Not part of any digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Loads of CR3.
    pub root_loads: u64,
    /// INVLPGs.
    pub invalidations: u64,
    /// Interrupts that it took.
    pub interrupts: u64,
    /// Interrupt requests that did nothing, because IF was clear or the request was told to fail.
    pub deferred: u64,
}

#[derive(Default)]
pub(super) struct Tally {
    pub(super) root_loads: AtomicU64,
    pub(super) invalidations: AtomicU64,
    pub(super) interrupts: AtomicU64,
    pub(super) deferred: AtomicU64,
}

impl Tally {
    pub(super) fn counters(&self) -> Counters {
        Counters {
            root_loads: self.root_loads.load(Ordering::Relaxed),
            invalidations: self.invalidations.load(Ordering::Relaxed),
            interrupts: self.interrupts.load(Ordering::Relaxed),
            deferred: self.deferred.load(Ordering::Relaxed),
        }
    }

    pub(super) fn set(&self, counters: Counters) {
        self.root_loads.store(counters.root_loads, Ordering::Relaxed);
        self.invalidations.store(counters.invalidations, Ordering::Relaxed);
        self.interrupts.store(counters.interrupts, Ordering::Relaxed);
        self.deferred.store(counters.deferred, Ordering::Relaxed);
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// One CPU.
pub(super) struct Core {
    caches: Mutex<Caches>,
    context: Mutex<Context>,
    flag: AtomicU8,
    /// How many interrupt requests are still to be told to fail.
    pub(super) refusing: AtomicU32,
    /// Requests deferred since the last one that was taken.
    pub(super) deferred_in_a_row: AtomicU32,
    pub(super) tally: Tally,
}

impl Core {
    pub(super) fn new(caches: Caches) -> Self {
        Self {
            caches: Mutex::new(caches),
            context: Mutex::new(Context::default()),
            flag: AtomicU8::new(SET),
            refusing: AtomicU32::new(0),
            deferred_in_a_row: AtomicU32::new(0),
            tally: Tally::default(),
        }
    }

    /// The caches, locked. Whoever holds the lock calls nothing outside of the machine.
    pub(super) fn caches(&self) -> MutexGuard<'_, Caches> {
        // No invariant can break half-way, so a panic elsewhere leaves nothing to fear.
        self.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The registers that programs and threads have, locked.
    pub(super) fn context(&self) -> MutexGuard<'_, Context> {
        self.context.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn flag(&self) -> Flag {
        match self.flag.load(Ordering::SeqCst) {
            CLEAR => Flag::Clear,
            SET => Flag::Set,
            _ => Flag::Interrupted,
        }
    }

    /// Clears IF if it is set, and says what it was.
    pub(super) fn clear_flag(&self) -> Flag {
        match self.flag.compare_exchange(SET, CLEAR, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Flag::Set,
            Err(CLEAR) => Flag::Clear,
            Err(_) => Flag::Interrupted,
        }
    }

    pub(super) fn set_flag(&self, set: bool) {
        self.flag.store(if set { SET } else { CLEAR }, Ordering::SeqCst);
    }

    /// Begins an interrupt if IF is set. It ends when the answer is dropped.
    pub(super) fn begin_interrupt(&self, cpu: u32) -> Option<Delivery<'_>> {
        self.flag.compare_exchange(SET, INTERRUPTED, Ordering::SeqCst, Ordering::SeqCst).ok()?;
        let before = DELIVERING.get();
        DELIVERING.set(before | 1 << cpu);
        Some(Delivery { core: self, before })
    }

    pub(super) fn digest(&self) -> u64 {
        let flag = u64::from(self.flag() == Flag::Set);
        super::ram::mix(self.caches().digest(), super::ram::mix(self.context().digest(), flag))
    }
}

impl Clone for Core {
    fn clone(&self) -> Self {
        let copy = Self::new(self.caches().clone());
        *copy.context() = self.context().clone();
        copy.set_flag(self.flag() != Flag::Clear);
        copy.refusing.store(self.refusing.load(Ordering::Relaxed), Ordering::Relaxed);
        copy.tally.set(self.tally.counters());
        copy
    }
}

/// An interrupt under way on a CPU, run by this thread.
pub(super) struct Delivery<'c> {
    core: &'c Core,
    before: u32,
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        DELIVERING.set(self.before);
        self.core.set_flag(true);
    }
}

/// Whether this thread runs an interrupt for `cpu`.
pub(super) fn delivers_for(cpu: u32) -> bool {
    DELIVERING.get() & 1 << cpu != 0
}

/// The number of the CPU that this thread is.
#[inline(always)]
pub(super) fn current() -> u32 {
    CURRENT.get()
}

/// Makes this thread `cpu` until the answer is dropped.
pub(super) fn become_cpu(cpu: u32) -> Role {
    Role { before: CURRENT.replace(cpu) }
}

/// The CPU that this thread is, until it is dropped.
pub(super) struct Role {
    before: u32,
}

impl Drop for Role {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}
