//! The hook: whoever wants to know, or to choose what runs next, is told before every step.

use crate::address::{Frame, Page, PhysAddr};
use crate::machine::Cpu;
use core::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What a CPU is about to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// Read RAM.
    Load(PhysAddr),
    /// Write RAM.
    Store(PhysAddr),
    /// Read and write RAM in one step, or try to.
    Exchange(PhysAddr),
    /// Fill a frame with zeroes.
    Zero(Frame),
    /// Copy bytes out of RAM, from here on.
    CopyOut(PhysAddr),
    /// Copy bytes into RAM, from here on.
    CopyIn(PhysAddr),
    /// Load CR3.
    LoadRoot(Frame),
    /// INVLPG.
    InvalidatePage(Page),
    /// Clear IF.
    InterruptsOff,
    /// Set IF.
    InterruptsOn,
    /// Go over to another stack.
    Switch,
    /// Go over to a program in ring 3.
    EnterUser,
    /// Come back from it.
    LeaveUser,
    /// Ask a CPU to take an interrupt.
    Interrupt(Cpu),
    /// Begin an interrupt. The event's `cpu` takes it, on the thread of the one that asked.
    Enter,
    /// End that interrupt.
    Leave,
    /// Wait: this cannot go on before another CPU has done something.
    Wait,
}

/// A step, and the CPU that is about to take it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Event {
    /// Which CPU.
    pub cpu: Cpu,
    /// What it does.
    pub what: Step,
    /// The digest of RAM before it.
    pub ram: u64,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPU {}: {:?}", self.cpu.number(), self.what)
    }
}

/// What [`Emulated::set_hook`](super::Emulated::set_hook) takes.
pub type Hook = Arc<dyn Fn(Event) + Send + Sync>;

/// The place for a hook.
#[derive(Default)]
pub(super) struct HookSlot {
    present: AtomicBool,
    hook: RwLock<Option<Hook>>,
}

impl HookSlot {
    /// Whether there is one: all that a step costs where there is none.
    #[inline(always)]
    pub(super) fn is_present(&self) -> bool {
        self.present.load(Ordering::Relaxed)
    }

    pub(super) fn replace(&self, hook: Option<Hook>) -> Option<Hook> {
        let mut slot = self.hook.write().unwrap_or_else(PoisonError::into_inner);
        self.present.store(hook.is_some(), Ordering::Relaxed);
        core::mem::replace(&mut *slot, hook)
    }

    /// Calls the hook, if there is one, with no lock held.
    #[cold]
    pub(super) fn call(&self, event: Event) {
        let hook = self.hook.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = hook {
            hook(event)
        }
    }
}
