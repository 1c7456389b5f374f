//! The calls: who handles what, and when interrupts come.

use super::handlers::{Counts, Handler, Preempt};
use super::lines::Line;
use super::quiet::Quiet;
use super::vector::{Exception, FIRST_SOFTWARE, Source, Vector};
use crate::machine::{Cpu, Machine};
use crate::observer::observed;
use crate::sva::Sva;
use crate::violation::Violation;
use core::marker::PhantomData;

/// The interrupts of a machine. It stands for the whole machine, and can be copied.
///
/// Its calls may be made from handlers too, their own included, unless they say otherwise.
#[derive(Debug)]
pub struct Interrupts<'m, M> {
    machine: &'m M,
}

impl<M> Clone for Interrupts<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Interrupts<'_, M> {}

impl<M: Machine> Sva<M> {
    /// The interrupts of the machine.
    pub const fn interrupts(&self) -> Interrupts<'_, M> {
        Interrupts::new(&self.machine)
    }
}

impl<'m, M: Machine> Interrupts<'m, M> {
    pub(crate) const fn new(machine: &'m M) -> Self {
        Self { machine }
    }

    pub(super) const fn machine(self) -> &'m M {
        self.machine
    }

    /// Lets `handler` handle `exception`.
    ///
    /// It is called on the CPU that had the exception, on the stack of what was interrupted, with
    /// interrupts off. When it returns, what was interrupted goes on, or tries again.
    ///
    /// # Errors
    ///
    /// [`VectorReserved`](Violation::VectorReserved), [`VectorTaken`](Violation::VectorTaken).
    ///
    /// # Checks
    ///
    /// Not one that the library keeps ([`Exception::is_reserved`]); the slot is empty. Attack D2.
    #[doc(alias = "sva_register_general_exception")]
    #[doc(alias = "sva_register_memory_exception")]
    pub fn register_exception(self, exception: Exception, handler: Handler) -> Result<(), Violation> {
        if exception.is_reserved() {
            return self.refused(Violation::VectorReserved(exception.vector().into()));
        }
        self.register(exception.vector(), handler)
    }

    /// Lets `handler` handle interrupts by `line`. The line stays masked until it is
    /// [unmasked](Self::unmask).
    ///
    /// # Errors
    ///
    /// [`VectorTaken`](Violation::VectorTaken).
    ///
    /// # Checks
    ///
    /// The slot is empty. Attack D2.
    #[doc(alias = "sva_register_interrupt")]
    pub fn register_line(self, line: Line, handler: Handler) -> Result<(), Violation> {
        self.register(Vector::of_line(line), handler)
    }

    /// Lets `handler` handle the software interrupt `vector`, 48 to 239. Of these user programs may use
    /// [`SYSTEM_CALL`](Vector::SYSTEM_CALL) alone.
    ///
    /// # Errors
    ///
    /// [`NoSuchVector`](Violation::NoSuchVector), [`NotSoftware`](Violation::NotSoftware),
    /// [`VectorReserved`](Violation::VectorReserved), [`VectorTaken`](Violation::VectorTaken).
    ///
    /// # Checks
    ///
    /// The vector is neither an exception's, nor a line's, nor the library's; the slot is empty. Attack D2.
    #[doc(alias = "sva_register_syscall")]
    pub fn register_software(self, vector: u32, handler: Handler) -> Result<(), Violation> {
        let Some(known) = Vector::new(vector) else {
            return self.refused(Violation::NoSuchVector(vector));
        };
        match known.source() {
            Source::Software => self.register(known, handler),
            _ if known.number() < FIRST_SOFTWARE => self.refused(Violation::NotSoftware(vector)),
            _ => self.refused(Violation::VectorReserved(vector)),
        }
    }

    fn register(self, vector: Vector, handler: Handler) -> Result<(), Violation> {
        if self.machine.handlers().put(self.machine, vector, handler) {
            Ok(())
        } else {
            self.refused(Violation::VectorTaken(vector.into()))
        }
    }

    /// Answers with `violation`, of which the observer is told.
    #[cold]
    pub(super) fn refused<T>(self, violation: Violation) -> Result<T, Violation> {
        observed(self.machine, Err(violation))
    }

    /// Forgets the handler of `vector`, whichever call registered it, and masks its line if it has one.
    /// The handler may still be running, here or on another CPU.
    ///
    /// # Errors
    ///
    /// [`NoSuchVector`](Violation::NoSuchVector), [`NotRegistered`](Violation::NotRegistered).
    ///
    /// # Checks
    ///
    /// The slot is full.
    pub fn unregister(self, vector: u32) -> Result<(), Violation> {
        let Some(known) = Vector::new(vector) else {
            return self.refused(Violation::NoSuchVector(vector));
        };
        if !self.machine.handlers().take(self.machine, known) {
            return self.refused(Violation::NotRegistered(vector));
        }
        if let Source::Line(line) = known.source() {
            self.mask(line);
        }
        Ok(())
    }

    /// Holds interrupts by `line` back.
    pub fn mask(self, line: Line) {
        self.machine.handlers().lines.mask(self.machine, line);
    }

    /// Lets interrupts by `line` through.
    ///
    /// # Errors
    ///
    /// [`NotRegistered`](Violation::NotRegistered).
    ///
    /// # Checks
    ///
    /// The line has a handler. Without one the first interrupt would only mask it again.
    pub fn unmask(self, line: Line) -> Result<(), Violation> {
        let (handlers, vector) = (self.machine.handlers(), Vector::of_line(line));
        if handlers.get(self.machine, vector).is_none() {
            return self.refused(Violation::NotRegistered(vector.into()));
        }
        handlers.lines.unmask(self.machine, line);
        Ok(())
    }

    /// Whether interrupts by `line` are held back.
    pub fn is_masked(self, line: Line) -> bool {
        self.machine.handlers().lines.is_masked(self.machine, line)
    }

    /// Lets interrupts come on this CPU.
    ///
    /// # Errors
    ///
    /// [`InHandler`](Violation::InHandler), [`PerCpuBorrowed`](Violation::PerCpuBorrowed).
    ///
    /// # Checks
    ///
    /// No handler runs on this CPU, and no per-CPU data is borrowed; the preemption hook is no handler.
    /// Attack S13.
    #[doc(alias = "sva_load_lif")]
    pub fn enable(self) -> Result<(), Violation> {
        let quiet = Quiet::new(self.machine);
        if let Err(violation) = check_outside_handlers(self.machine) {
            drop(quiet);
            return self.refused(violation);
        }
        // SAFETY: no handler runs on this CPU, and client code that runs now runs in no intrinsic.
        unsafe { self.machine.interrupts_on() }
        Ok(())
    }

    /// Holds interrupts on this CPU back, and says whether they could come before.
    #[doc(alias = "sva_save_lif")]
    pub fn disable(self) -> bool {
        self.machine.interrupts_off()
    }

    /// Waits for the next interrupt on this CPU, which may come: halted, with interrupts on. Afterwards they are as
    /// they were before.
    ///
    /// # Errors
    ///
    /// As [`enable`](Self::enable).
    ///
    /// # Checks
    ///
    /// As [`enable`](Self::enable).
    pub fn wait(self) -> Result<(), Violation> {
        let quiet = Quiet::new(self.machine);
        if let Err(violation) = check_outside_handlers(self.machine) {
            drop(quiet);
            return self.refused(violation);
        }
        // SAFETY: as in `enable`.
        unsafe { self.machine.wait() }
        Ok(())
    }

    /// Calls `run` with interrupts off on this CPU. Afterwards they are as they were before, whatever
    /// `run` did, so calls may be nested.
    pub fn without_interrupts<R>(self, run: impl FnOnce() -> R) -> R {
        let _restored = Restored { machine: self.machine, were_on: self.machine.interrupts_off() };
        run()
    }

    /// Keeps this CPU from [preemption](Self::set_preempt) until the guard is dropped. To forget the guard is
    /// to give preemption on this CPU up.
    pub fn no_preempt(self) -> NoPreempt<'m, M> {
        let _quiet = Quiet::new(self.machine);
        let cpu = self.machine.cpu();
        self.machine.handlers().forbid_preemption(cpu);
        NoPreempt { machine: self.machine, cpu, thread: PhantomData }
    }

    /// Makes `hook` be called at the end of the outermost handler of an interrupt line, in place of the one
    /// before: when the end of interrupt was signalled, no handler runs on this CPU any more and no
    /// [`NoPreempt`] guard lives on it. Interrupts are off.
    ///
    /// That is the one place in an interrupt where a kernel may go over to another thread.
    pub fn set_preempt(self, hook: Preempt) {
        self.machine.handlers().set_preempt(self.machine, hook);
    }

    /// What came and led to no handler.
    pub fn counts(self) -> Counts {
        self.machine.handlers().counts()
    }
}

/// Refuses inside a handler, and while per-CPU data is borrowed. Interrupts are off.
#[inline(always)]
pub(crate) fn check_outside_handlers<M: Machine>(machine: &M) -> Result<(), Violation> {
    if cfg!(sva_os_unchecked) || machine.handlers().is_outside(machine.cpu()) {
        return Ok(());
    }
    Err(machine.handlers().why_not_outside(machine.cpu()))
}

/// Interrupts go back to what they were when it is dropped.
struct Restored<'m, M: Machine> {
    machine: &'m M,
    were_on: bool,
}

impl<M: Machine> Drop for Restored<'_, M> {
    fn drop(&mut self) {
        if self.were_on {
            // SAFETY: undoes an `interrupts_off` that found them on.
            unsafe { self.machine.interrupts_on() }
        } else {
            self.machine.interrupts_off();
        }
    }
}

/// While it lives the preemption hook is not called on its CPU.
///
/// It stays with the thread that made it:
///
/// ```compile_fail
/// fn to_another_thread<T: Send>() {}
/// to_another_thread::<sva_os::interrupt::NoPreempt<'static, sva_os::machine::Emulated<sva_os::mmu::Pae>>>();
/// ```
#[must_use]
#[derive(Debug)]
pub struct NoPreempt<'m, M: Machine> {
    machine: &'m M,
    cpu: Cpu,
    thread: PhantomData<*const ()>,
}

impl<M: Machine> Drop for NoPreempt<'_, M> {
    fn drop(&mut self) {
        self.machine.handlers().allow_preemption(self.cpu);
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
