//! A look at every refusal.
//!
//! A refused call answers with its [`Violation`]; that is all a caller needs. Whoever wants to see the
//! refusals of a whole kernel, to log them or to stop at the first, registers a function that is told of each.

use crate::interrupt::quiet::Quiet;
use crate::machine::{Cpu, Machine};
use crate::sva::Sva;
use crate::violation::{Progress, Violation};
use core::sync::atomic::{AtomicBool, Ordering};

/// What is called with each refusal.
pub type Observe = &'static (dyn Fn(Violation) + Sync);

/// Who is told of refusals. One for each machine; a machine holds it, and only the library uses it.
#[derive(Debug)]
pub struct Observer {
    observe: spin::Once<Told>,
    /// Which CPUs are telling it right now: of what it is refused itself it is not told.
    telling: [AtomicBool; crate::address::widen(Cpu::LIMIT)],
}

struct Told(Observe);

impl core::fmt::Debug for Told {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Told")
    }
}

impl Observer {
    /// Nobody is told.
    pub const fn new() -> Self {
        Self { observe: spin::Once::new(), telling: [const { AtomicBool::new(false) }; _] }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn tell<M: Machine>(&self, machine: &M, violation: Violation) {
        let (Some(Told(observe)), Some(telling)) =
            (self.observe.get(), self.telling.get(crate::address::widen(machine.cpu().number())))
        else {
            return;
        };
        if !telling.swap(true, Ordering::Acquire) {
            observe(violation);
            telling.store(false, Ordering::Release);
        }
    }
}

impl Default for Observer {
    fn default() -> Self {
        Self::new()
    }
}

/// `result`, of which the observer of `machine` is told if it is a refusal. No lock is held.
#[inline(always)]
pub(crate) fn observed<M: Machine, T>(machine: &M, result: Result<T, Violation>) -> Result<T, Violation> {
    if let Err(violation) = &result {
        machine.observer().tell(machine, *violation);
    }
    result
}

impl<M: Machine> Sva<M> {
    /// Makes `observe` be told of every refusal of an intrinsic from now on, when the refused call has ended
    /// and before its caller knows; of what conveniences refuse by themselves, their callers are told alone. `false` if somebody is told already: once set, it stays.
    ///
    /// It runs on the CPU that made the call, with interrupts as they were there. It may call the
    /// library; of what is refused then it is not told.
    pub fn observe_refusals(&self, observe: Observe) -> bool {
        let mut first = false;
        self.machine.observer().observe.call_once(|| {
            first = true;
            Told(observe)
        });
        first
    }

    /// Does `body` with interrupts off on this CPU, all of an intrinsic, and has its refusal told.
    #[inline(always)]
    pub(crate) fn intrinsic<T>(&self, body: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
        let quiet = self.quiet();
        match body() {
            Ok(value) => {
                drop(quiet);
                Ok(value)
            }
            Err(violation) => Err(self.refuse(quiet, violation)),
        }
    }

    /// The way out of an intrinsic that refuses. It is one of its own, so that nobody asks twice what the answer is.
    #[cold]
    #[inline(never)]
    fn refuse(&self, quiet: Quiet<'_, M>, violation: Violation) -> Violation {
        drop(quiet);
        self.machine.observer().tell(&self.machine, violation);
        violation
    }

    /// As [`intrinsic`](Self::intrinsic), of a batch.
    #[inline(always)]
    pub(crate) fn intrinsics(&self, body: impl FnOnce() -> Progress) -> Progress {
        let quiet = self.quiet();
        let progress = body();
        drop(quiet);
        if let Some(violation) = progress.refused {
            self.machine.observer().tell(&self.machine, violation);
        }
        progress
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
