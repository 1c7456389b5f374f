//! A value that interrupt handlers and the rest of a kernel share.

use core::fmt;
use spin::Mutex;
use sva_os::interrupt::Interrupts;
use sva_os::machine::Machine;

/// A value behind a lock that is held with interrupts off: a handler that comes finds it free on its own CPU.
///
/// What runs inside must be short, and must not take the same lock.
pub struct Quiet<'m, M: Machine, T> {
    interrupts: Interrupts<'m, M>,
    value: Mutex<T>,
}

impl<'m, M: Machine, T> Quiet<'m, M, T> {
    /// Guards `value`.
    pub const fn new(interrupts: Interrupts<'m, M>, value: T) -> Self {
        Self { interrupts, value: Mutex::new(value) }
    }

    /// Calls `run` with the value.
    pub fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R {
        self.interrupts.without_interrupts(|| run(&mut self.value.lock()))
    }
}

impl<M: Machine, T> fmt::Debug for Quiet<'_, M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Quiet")
    }
}
