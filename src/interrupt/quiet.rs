//! Interrupts off, for a while.

use crate::machine::Machine;

/// Interrupts are off on this CPU; dropping it restores what was.
#[must_use]
pub(crate) struct Quiet<'m, M: Machine> {
    machine: &'m M,
    was_on: bool,
}

impl<'m, M: Machine> Quiet<'m, M> {
    /// Turns interrupts off on this CPU.
    #[inline(always)]
    pub(crate) fn new(machine: &'m M) -> Self {
        Self { machine, was_on: machine.interrupts_off() }
    }

    /// Leaves interrupts off, whatever they were.
    #[cfg(all(target_arch = "x86", target_os = "none"))]
    pub(crate) fn stay(self) {
        core::mem::forget(self);
    }
}

impl<M: Machine> Drop for Quiet<'_, M> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.was_on {
            // SAFETY: undoes the `interrupts_off` of `new`, which found them on.
            unsafe { self.machine.interrupts_on() }
        }
    }
}

/// A value behind a spin lock that is held with interrupts off, for a few instructions, and never while
/// code of the client runs. So nothing that may come meanwhile on this CPU waits for it: NMI and #MC
/// take no lock.
pub(crate) struct Locked<T>(spin::Mutex<T>);

// No caller leaves the value half changed, whoever unwinds.
impl<T> core::panic::RefUnwindSafe for Locked<T> {}
impl<T> core::panic::UnwindSafe for Locked<T> {}

impl<T> Locked<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Calls `run` with the value.
    #[inline(always)]
    pub(crate) fn with<M: Machine, R>(&self, machine: &M, run: impl FnOnce(&mut T) -> R) -> R {
        let _quiet = Quiet::new(machine);
        run(&mut self.0.lock())
    }

    /// Holds the lock, as another CPU would.
    #[cfg(test)]
    pub(super) fn hold(&self) -> impl Sized + '_ {
        self.0.lock()
    }

    /// The value, for a machine that stands still.
    #[cfg(feature = "emulated")]
    pub(super) fn peek(&self) -> T
    where
        T: Copy,
    {
        *self.0.lock()
    }
}
