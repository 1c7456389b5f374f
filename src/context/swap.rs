//! Going over from one thread to another.
//!
//! The next thread is **taken**, by one atomic step, before anything is saved; all that can be refused is refused
//! before that. The old one is **published** only when its stack has been left: by the next thread, on its own
//! stack, as the first thing that it does. Until then no other CPU can resume it.

use super::name::ThreadId;
use super::state::State;
use super::threads::Record;
use crate::address::Frame;
use crate::interrupt::check_outside_handlers;
use crate::machine::Machine;
use crate::observer::observed;
use crate::sva::Sva;
use crate::violation::Violation;

impl<M: Machine> Sva<M> {
    /// Leaves the running thread and goes on with `next`, in its address space. Returns when somebody swaps
    /// back, perhaps on another CPU, with interrupts as they were here.
    ///
    /// # Errors
    ///
    /// [`NoSuchThread`](Violation::NoSuchThread), [`StaleThread`](Violation::StaleThread),
    /// [`ThreadRunning`](Violation::ThreadRunning), [`ThreadEnded`](Violation::ThreadEnded),
    /// [`ThreadBusy`](Violation::ThreadBusy); [`InHandler`](Violation::InHandler),
    /// [`PerCpuBorrowed`](Violation::PerCpuBorrowed).
    ///
    /// # Checks
    ///
    /// `next` is ready or saved, and of two that want it one gets it (invariant 13); its root is one as long as
    /// it holds it (invariant 8); no handler runs here, and no per-CPU data is borrowed. Attacks S1 to S5, S9,
    /// S11, S13.
    #[doc(alias = "sva_swap_integer")]
    pub fn swap(&self, next: ThreadId) -> Result<(), Violation> {
        self.intrinsic(|| {
            check_outside_handlers(&self.machine)?;
            let next = self.half.threads.take(&self.machine, next.0)?;
            self.leave_for(next);
            Ok(())
        })
    }

    /// Saves the running thread and resumes `next`, which was taken. Interrupts are off.
    #[inline(always)]
    fn leave_for(&self, next: Record) {
        let processor = self.processor();
        let old = processor.current(&self.machine);
        self.put_fp_away(processor);
        let root = self.machine.root();
        old.set_root(&self.machine, root);
        processor.set_current(&self.machine, next);
        if cfg!(not(sva_os_unchecked)) {
            processor.leave(&self.machine, old);
        }
        self.go_to_root_of(next, root);
        if old.has_tls(&self.machine) || next.has_tls(&self.machine) {
            self.install_tls_of(next);
        }
        self.drop_selectors(processor);
        // SAFETY: `next` was taken, so its stack is nobody else's, and its stack pointer is what `prepare` or an
        // earlier `switch` left there. `old` is this CPU's until it is published.
        unsafe { self.machine.switch(self, old.stack_pointer(), next.saved_stack_pointer(&self.machine)) }
        self.arrive();
    }

    /// Loads the root of `next` instead of `root`. Its use of it becomes this CPU's; that of the running thread goes
    /// with it.
    #[inline(always)]
    fn go_to_root_of(&self, next: Record, root: Frame) {
        let next = next.root(&self.machine);
        if next != root {
            // SAFETY: a thread holds its root, or it is the sealed one.
            unsafe { self.machine.load_root(next) }
            self.loaded.set(&self.machine, self.machine.cpu(), next);
        }
    }

    /// The first thing that is done on the stack of a thread: publishes the one that was left.
    #[inline(always)]
    pub(crate) fn arrive(&self) {
        if cfg!(not(sva_os_unchecked)) {
            self.processor().publish(&self.machine);
        }
    }

    /// The running thread is over: `state` says how. Goes on with `next`, or with the CPU's idle thread if that
    /// is none or refused. On hardware it does not return.
    pub(crate) fn end(&self, state: State, next: Option<ThreadId>) {
        self.machine.interrupts_off();
        if check_outside_handlers(&self.machine).is_err() {
            self.machine.stop("a thread ends inside a handler, or while per-CPU data is borrowed")
        }
        let next =
            next.and_then(|next| observed(&self.machine, self.half.threads.take(&self.machine, next.0)).ok());
        // The observer of a refusal may have turned them on.
        self.machine.interrupts_off();
        let Some(next) = next.or_else(|| self.half.threads.take_idle(&self.machine, self.machine.cpu()))
        else {
            self.machine.stop("no thread is left to run")
        };
        let old = self.processor().current(&self.machine);
        let word = old.word(&self.machine).to(state);
        // Without checks nothing is published when the stack has been left, and nobody else is there to take it.
        old.set_word(&self.machine, if cfg!(sva_os_unchecked) { word.left() } else { word });
        let root = self.machine.root();
        self.go_to_root_of(next, root);
        self.release_root(root);
        self.leave_for(next);
    }
}

#[cfg(all(target_arch = "x86", target_os = "none"))]
impl<P: crate::mmu::PagingMode> Sva<crate::machine::I386<P>> {
    /// Abandons the running thread, for a panic handler: it never goes on, and its stack is never released, since
    /// there may be borrows of what lies on it. Goes on with `next`, or with the CPU's idle thread if that is none
    /// or refused.
    ///
    /// In a handler, or while per-CPU data is borrowed, there is nobody to go on with: the machine stops.
    pub fn abandon(&self, next: Option<ThreadId>) -> ! {
        self.end(State::Abandoning, next);
        self.machine.stop("a thread that was abandoned goes on")
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
