//! Into ring 3 and back.
//!
//! [`enter`] leaves its own frame on the stack and makes the place below it that of ring 0's stack: ESP0. So
//! whatever brings ring 3 back pushes there what the CPU and the stub push, and [`leave`], to which the common
//! part of the stubs goes when CS says that ring 3 was interrupted, finds above that the frame of `enter`, puts all
//! registers into the context, and returns from `enter`.
//!
//! The context is read and written where it lies. The stack is in SS, which is the kernel's on both ways; DS is the
//! program's at the last instruction before IRET, and the kernel's again before anything in `leave` needs it.

use crate::context::{UserContext, UserTrap};
use crate::interrupt::Registers;
use crate::interrupt::descriptor::{NO_FLAGS, Selector, TaskState};
use crate::interrupt::tables::TASK;
use core::arch::{asm, naked_asm};
use core::mem::offset_of;

const ESP0: usize = offset_of!(TaskState, esp0);
const REGISTERS: usize = offset_of!(UserContext, registers);
const EAX: usize = REGISTERS + offset_of!(Registers, eax);
const EBX: usize = REGISTERS + offset_of!(Registers, ebx);
const ECX: usize = REGISTERS + offset_of!(Registers, ecx);
const EDX: usize = REGISTERS + offset_of!(Registers, edx);
const ESI: usize = REGISTERS + offset_of!(Registers, esi);
const EDI: usize = REGISTERS + offset_of!(Registers, edi);
const EBP: usize = REGISTERS + offset_of!(Registers, ebp);
const ESP: usize = REGISTERS + offset_of!(Registers, esp);
const EIP: usize = offset_of!(UserContext, instruction);
const FLAGS: usize = offset_of!(UserContext, flags);
const DS: usize = offset_of!(UserContext, ds);
const ES: usize = offset_of!(UserContext, es);
const FS: usize = offset_of!(UserContext, fs);
const GS: usize = offset_of!(UserContext, gs);

/// Bytes from what `pushal` pushed last to the context's address: EDI to EAX, vector, error code, and EIP to SS.
const CONTEXT: usize = 4 * (8 + 2 + 5);

/// Enters ring 3 with `context`; returns the vector that brought it back, and in the high half the
/// error code.
///
/// # Safety
///
/// As [`Context::enter_user`](crate::machine::Context::enter_user).
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter(context: *mut UserContext) -> u64 {
    naked_asm!(
        "movl 4(%esp), %eax",
        "pushl %ebp",
        "pushl %ebx",
        "pushl %esi",
        "pushl %edi",
        "pushl %eax",
        "movl %esp, {task}+{esp0}",
        "pushl ${user_data}",
        "pushl {esp}(%eax)",
        "pushl {flags}(%eax)",
        "pushl ${user_code}",
        "pushl {eip}(%eax)",
        "movl {ebx}(%eax), %ebx",
        "movl {ecx}(%eax), %ecx",
        "movl {edx}(%eax), %edx",
        "movl {esi}(%eax), %esi",
        "movl {edi}(%eax), %edi",
        "movl {ebp}(%eax), %ebp",
        "movw {es}(%eax), %es",
        "movw {ds}(%eax), %ds",
        "movl %ss:{eax}(%eax), %eax",
        "iretl",
        task = sym TASK,
        esp0 = const ESP0,
        user_data = const Selector::USER_DATA.bits(),
        user_code = const Selector::USER_CODE.bits(),
        eax = const EAX,
        ebx = const EBX,
        ecx = const ECX,
        edx = const EDX,
        esi = const ESI,
        edi = const EDI,
        ebp = const EBP,
        esp = const ESP,
        eip = const EIP,
        flags = const FLAGS,
        ds = const DS,
        es = const ES,
        options(att_syntax),
    )
}

/// Where the stubs go with a trap from ring 3, after `pushal`: returns from [`enter`].
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn leave() {
    naked_asm!(
        "movl {context}(%esp), %eax",
        "movw %ds, %ss:{ds}(%eax)",
        "movw %es, %ss:{es}(%eax)",
        "movw %fs, %ss:{fs}(%eax)",
        "movw %gs, %ss:{gs}(%eax)",
        "movl ${data}, %ecx",
        "movl %ecx, %ds",
        "movl %ecx, %es",
        "pushl ${kernel_flags}",
        "popfl",
        "popl {edi}(%eax)",
        "popl {esi}(%eax)",
        "popl {ebp}(%eax)",
        "popl %ecx",
        "popl {ebx}(%eax)",
        "popl {edx}(%eax)",
        "popl {ecx}(%eax)",
        "popl {eax}(%eax)",
        "popl %ecx",
        "popl %edx",
        "popl {eip}(%eax)",
        "popl %ebx",
        "popl {flags}(%eax)",
        "popl {esp}(%eax)",
        "addl $8, %esp",
        "movl %ecx, %eax",
        "popl %edi",
        "popl %esi",
        "popl %ebx",
        "popl %ebp",
        "ret",
        context = const CONTEXT,
        data = const Selector::KERNEL_DATA.bits(),
        kernel_flags = const NO_FLAGS,
        eax = const EAX,
        ebx = const EBX,
        ecx = const ECX,
        edx = const EDX,
        esi = const ESI,
        edi = const EDI,
        ebp = const EBP,
        esp = const ESP,
        eip = const EIP,
        flags = const FLAGS,
        ds = const DS,
        es = const ES,
        fs = const FS,
        gs = const GS,
        options(att_syntax),
    )
}

/// The two halves of what [`enter`] returns.
#[inline(always)]
#[expect(clippy::as_conversions, reason = "the halves are what is wanted")]
pub(super) const fn trap(result: u64) -> UserTrap {
    UserTrap { vector: result as u32, error_code: (result >> 32) as u32 }
}

/// Loads FS and GS.
///
/// # Safety
///
/// Both are null or name a data segment of ring 3 in the GDT.
pub(super) unsafe fn load_thread_selectors(fs: u16, gs: u16) {
    // SAFETY: the kernel uses neither; what they name can be loaded, by the caller.
    unsafe {
        asm!("mov fs, {fs:x}", "mov gs, {gs:x}", fs = in(reg) fs, gs = in(reg) gs,
            options(nostack, preserves_flags));
    }
}
