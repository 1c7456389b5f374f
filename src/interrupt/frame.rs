//! What was interrupted.

use super::descriptor::Selector;
use super::vector::{ErrorCode, Exception, Vector};
use crate::address::VirtAddr;
use crate::context::{UserContext, UserTrap};
use core::fmt;

/// What stands on the stack when a stub calls `trap`, lowest address first: what the stub pushed last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub(crate) struct Saved {
    pub(crate) es: u32,
    pub(crate) ds: u32,
    pub(crate) edi: u32,
    pub(crate) esi: u32,
    pub(crate) ebp: u32,
    /// ESP as `pushal` found it: it points at `vector`.
    pub(crate) esp: u32,
    pub(crate) ebx: u32,
    pub(crate) edx: u32,
    pub(crate) ecx: u32,
    pub(crate) eax: u32,
    /// From the stub.
    pub(crate) vector: u32,
    /// From the CPU, or 0 from the stub.
    pub(crate) error_code: u32,
    // From the CPU.
    pub(crate) eip: u32,
    pub(crate) cs: u32,
    pub(crate) eflags: u32,
}

impl Saved {
    /// Bytes from `vector` to the end: what lies between the interrupted ESP of ring 0 and that of `pushal`.
    const ABOVE: u32 = 5 * 4;

    /// Whether ring 3 was interrupted: the low bits of CS say so.
    pub(crate) const fn is_from_user(&self) -> bool {
        self.cs & 3 != 0
    }
}

/// The stack pointer of ring 3, which the CPU pushed above [`Saved`] if it came from there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub(crate) struct OuterStack {
    pub(crate) esp: u32,
    pub(crate) ss: u32,
}

/// The general registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "registers have no other names")]
pub struct Registers {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
    pub esi: u32,
    pub edi: u32,
    pub ebp: u32,
    pub esp: u32,
}

/// What was interrupted, and by what. Read only: nothing that a handler does changes where it resumes.
#[doc(alias = "sva_was_privileged")]
#[doc(alias = "sva_icontext_lif")]
#[derive(Clone, Copy)]
pub struct TrapFrame<'t> {
    saved: &'t Saved,
    outer: OuterStack,
    fault: u32,
}

impl<'t> TrapFrame<'t> {
    /// `outer` counts if ring 3 was interrupted, `fault` (CR2) for a page fault.
    pub(crate) const fn new(saved: &'t Saved, outer: OuterStack, fault: u32) -> Self {
        Self { saved, outer, fault }
    }

    /// By which vector.
    #[expect(clippy::as_conversions, reason = "a stub pushes its own number, below 256")]
    pub const fn vector(&self) -> Vector {
        Vector::from_number(self.saved.vector as u8)
    }

    /// Which exception it is, if it is one.
    pub const fn exception(&self) -> Option<Exception> {
        Exception::new(self.vector())
    }

    /// What the exception says about itself.
    pub const fn error_code(&self) -> ErrorCode {
        ErrorCode::new(self.vector(), self.saved.error_code)
    }

    /// CR2: the address of a page fault. `None` for any other vector.
    pub const fn fault_address(&self) -> Option<VirtAddr> {
        match self.exception() {
            Some(Exception::PageFault) => Some(VirtAddr::new(self.fault)),
            _ => None,
        }
    }

    /// Whether a user program was interrupted, and not the kernel.
    pub const fn is_from_user(&self) -> bool {
        self.saved.is_from_user()
    }

    /// EIP: the instruction that goes on, or begins anew.
    pub const fn instruction(&self) -> VirtAddr {
        VirtAddr::new(self.saved.eip)
    }

    /// CS.
    #[expect(clippy::as_conversions, reason = "a selector has 16 bits")]
    pub const fn code_segment(&self) -> u16 {
        self.saved.cs as u16
    }

    /// EFLAGS.
    pub const fn flags(&self) -> u32 {
        self.saved.eflags
    }

    /// The general registers.
    pub const fn registers(&self) -> Registers {
        let Saved { edi, esi, ebp, ebx, edx, ecx, eax, esp, .. } = *self.saved;
        let esp = if self.is_from_user() { self.outer.esp } else { esp.wrapping_add(Saved::ABOVE) };
        Registers { eax, ebx, ecx, edx, esi, edi, ebp, esp }
    }
}

/// A user program that was interrupted, as a [`TrapFrame`] wants it.
pub(crate) struct Interrupted {
    saved: Saved,
    outer: OuterStack,
    fault: VirtAddr,
}

impl Interrupted {
    /// The program in `context`, interrupted by `trap`; `fault` is CR2.
    pub(crate) fn of_user(trap: UserTrap, context: &UserContext, fault: VirtAddr) -> Self {
        let UserContext { registers, instruction, flags, ds, es, .. } = *context;
        let Registers { eax, ebx, ecx, edx, esi, edi, ebp, esp } = registers;
        let saved = Saved {
            es: es.into(),
            ds: ds.into(),
            edi,
            esi,
            ebp,
            esp,
            ebx,
            edx,
            ecx,
            eax,
            vector: trap.vector,
            error_code: trap.error_code,
            eip: instruction,
            cs: Selector::USER_CODE.bits().into(),
            eflags: flags.bits(),
        };
        Self { saved, outer: OuterStack { esp, ss: Selector::USER_DATA.bits().into() }, fault }
    }

    pub(crate) const fn frame(&self) -> TrapFrame<'_> {
        TrapFrame::new(&self.saved, self.outer, self.fault.get())
    }
}

impl fmt::Debug for TrapFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrapFrame")
            .field("vector", &self.vector())
            .field("error_code", &self.error_code())
            .field("fault_address", &self.fault_address())
            .field("instruction", &self.instruction())
            .field("is_from_user", &self.is_from_user())
            .field("flags", &self.flags())
            .field("registers", &self.registers())
            .finish()
    }
}

/// Three lines: what happened, where, and the registers.
impl fmt::Display for TrapFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(exception) = self.exception() {
            write!(f, "{} ({}), ", exception.mnemonic(), exception.name())?;
        }
        write!(f, "vector {}, error code {:#x}", self.vector(), self.saved.error_code)?;
        if let Some(address) = self.fault_address() {
            write!(f, ", at address {address}")?;
        }
        let Registers { eax, ebx, ecx, edx, esi, edi, ebp, esp } = self.registers();
        let (cs, eip, flags) = (self.code_segment(), self.instruction(), self.flags());
        writeln!(f)?;
        writeln!(f, "  CS {cs:#06x} EIP {eip} EFLAGS {flags:#010x} ESP {esp:#010x} EBP {ebp:#010x}")?;
        write!(
            f,
            "  EAX {eax:#010x} EBX {ebx:#010x} ECX {ecx:#010x} EDX {edx:#010x} ESI {esi:#010x} EDI {edi:#010x}"
        )
    }
}

#[cfg(test)]
mod tests;
