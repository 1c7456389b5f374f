//! Interrupts and exceptions, as a CPU would take them.

use super::Emulated;
use super::hook::Step;
use crate::address::VirtAddr;
use crate::interrupt::dispatch::dispatch;
use crate::interrupt::frame::{OuterStack, Saved};
use crate::interrupt::{Exception, Source, Vector};
use crate::machine::{Cpu, Machine};
use crate::mmu::PagingMode;

const KERNEL_CODE: u32 = 0x08;
const USER_CODE: u32 = 0x1b;
/// IF in EFLAGS, and the bit that is always set.
const INTERRUPT_FLAG: u32 = 1 << 9;
const ALWAYS_SET: u32 = 1 << 1;

/// What a CPU is interrupted by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Trap {
    /// The vector.
    pub vector: Vector,
    /// What the CPU pushes, if it pushes an error code.
    pub error_code: u32,
    /// CR2.
    pub fault: VirtAddr,
    /// Whether it strikes in ring 3.
    pub from_user: bool,
}

impl Trap {
    /// In ring 0, with an error code of zero.
    pub const fn new(vector: Vector) -> Self {
        Self { vector, error_code: 0, fault: VirtAddr::new(0), from_user: false }
    }
}

impl<P: PagingMode> Emulated<P> {
    /// EIP of the instruction that [`raise`](Self::raise) interrupts.
    pub const INTERRUPTED: VirtAddr = VirtAddr::new(0x1234_5678);

    /// Lets `cpu` enter the kernel, on this thread, and come back. `false` if IF holds a line's interrupt
    /// back. What the library has no answer to stops the machine.
    pub fn raise(&self, cpu: Cpu, trap: Trap) -> bool {
        self.as_cpu(cpu, || {
            let is_line = matches!(trap.vector.source(), Source::Line(_));
            if is_line && !self.interrupts_enabled(cpu) {
                return false;
            }
            if trap.vector == Exception::Nmi.vector() {
                // Its stub does no more.
                self.handlers.count_nmi();
                return true;
            }
            let was_on = self.interrupts_off();
            self.step(Step::Enter);
            let mut saved = Saved {
                vector: trap.vector.into(),
                error_code: trap.error_code,
                eip: Self::INTERRUPTED.get(),
                cs: if trap.from_user { USER_CODE } else { KERNEL_CODE },
                eflags: if was_on { INTERRUPT_FLAG | ALWAYS_SET } else { ALWAYS_SET },
                ..Saved::default()
            };
            dispatch(self, &mut saved, OuterStack::default(), trap.fault.get());
            self.step(Step::Leave);
            self.set_interrupts(cpu, was_on);
            true
        })
    }
}

#[cfg(test)]
mod tests;
