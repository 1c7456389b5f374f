//! Data of each CPU.

use crate::address::widen;
use crate::machine::{Cpu, Machine};
use crate::sva::Sva;
use crate::violation::Violation;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

/// One `T` for each of `CPUS` CPUs, borrowed by whoever runs there.
///
/// ```
/// use sva_os::context::PerCpu;
/// static TICKS: PerCpu<u64, 4> = PerCpu::new([0; 4]);
/// ```
///
/// A borrow is for the time of a closure. While it lasts this CPU stays with its thread: to swap, to end, to
/// run a user program, to load a root and to enable interrupts is refused, and the preemption hook is not
/// called. A handler that comes meanwhile and wants the same data is refused.
///
/// What it holds goes from one thread to another, so it is `Send`:
///
/// ```compile_fail
/// static DATA: sva_os::context::PerCpu<core::cell::Cell<*const u8>, 1> =
///     sva_os::context::PerCpu::new([core::cell::Cell::new(core::ptr::null())]);
/// ```
#[derive(Debug)]
pub struct PerCpu<T, const CPUS: usize> {
    /// A bit for each CPU whose value is borrowed.
    borrowed: AtomicU32,
    values: UnsafeCell<[T; CPUS]>,
}

// SAFETY: a value is reached only by whoever set its bit, one at a time; `Send` lets those be different threads.
unsafe impl<T: Send, const CPUS: usize> Sync for PerCpu<T, CPUS> {}

impl<T, const CPUS: usize> PerCpu<T, CPUS> {
    /// Of these values, the first for CPU 0.
    pub const fn new(values: [T; CPUS]) -> Self {
        Self { borrowed: AtomicU32::new(0), values: UnsafeCell::new(values) }
    }

    /// Calls `run` with the value of this CPU.
    ///
    /// # Errors
    ///
    /// [`PerCpuBorrowed`](Violation::PerCpuBorrowed) if this CPU's value is borrowed already: by what a handler
    /// interrupted, or by the caller itself; [`CpuCount`](Violation::CpuCount) if there is none for this CPU.
    ///
    /// # Checks
    ///
    /// One borrow at a time; it does not outlast the thread's stay on this CPU. Attacks S9, S13.
    pub fn with<M: Machine, R>(&self, sva: &Sva<M>, run: impl FnOnce(&mut T) -> R) -> Result<R, Violation> {
        let borrow = sva.intrinsic(|| Borrow::new(&self.borrowed, sva, CPUS))?;
        let place = widen(borrow.cpu.number());
        let value: *mut T = self.values.get().cast::<T>().wrapping_add(place);
        // SAFETY: `Borrow::new` found that there is such a value, and set its bit, which was clear: nobody else
        // reaches it until `borrow` is dropped.
        let value = unsafe { &mut *value };
        Ok(run(value))
    }
}

/// The most borrows on a CPU, one inside the other: the word that counts them beside the handlers holds no more.
const MOST_BORROWS: u32 = 0xffff;

/// One borrow more on a CPU.
struct Borrow<'b, M: Machine> {
    borrowed: &'b AtomicU32,
    sva: &'b Sva<M>,
    cpu: Cpu,
}

impl<'b, M: Machine> Borrow<'b, M> {
    /// Interrupts are off, so that this stays the CPU until the borrow is counted; then it keeps its thread.
    fn new(borrowed: &'b AtomicU32, sva: &'b Sva<M>, cpus: usize) -> Result<Self, Violation> {
        let cpu = sva.machine.cpu();
        if widen(cpu.number()) >= cpus {
            return Err(Violation::CpuCount(u32::try_from(cpus).unwrap_or(u32::MAX)));
        }
        let borrows = sva.machine.handlers().borrows_on(cpu);
        if borrows >= MOST_BORROWS {
            return Err(Violation::PerCpuBorrowed(borrows));
        }
        if borrowed.fetch_or(Self::bit(cpu), Ordering::Acquire) & Self::bit(cpu) != 0 {
            return Err(Violation::PerCpuBorrowed(borrows));
        }
        sva.machine.handlers().begin_borrow(cpu);
        Ok(Self { borrowed, sva, cpu })
    }

    const fn bit(cpu: Cpu) -> u32 {
        1 << cpu.number()
    }
}

impl<M: Machine> Drop for Borrow<'_, M> {
    fn drop(&mut self) {
        self.borrowed.fetch_and(!Self::bit(self.cpu), Ordering::Release);
        self.sva.machine.handlers().end_borrow(self.cpu);
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
