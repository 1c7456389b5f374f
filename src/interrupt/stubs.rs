//! The ways into the kernel: what the CPU jumps to.
//!
//! Each vector has a stub of 16 bytes, so that its address says its number. There are six ways in:
//!
//! * **An exception without an error code.** The CPU pushes EFLAGS, CS and EIP, from ring 3 also SS and
//!   ESP before them, on the stack of ring 0. The stub pushes a zero, so that all frames look alike.
//! * **An exception with an error code.** The CPU has pushed it; the stub adds nothing. Which ones do is
//!   the manual's table, in [`Exception::has_error_code`](super::Exception::has_error_code), and the same
//!   bits are in `WITH_ERROR_CODE` for the assembler.
//! * **An interrupt line**, and **a software interrupt.** As without an error code. They differ only in
//!   what `dispatch` does: a line wants an end of interrupt, and may end in the preemption hook.
//! * **NMI.** It comes with interrupts off, between any two instructions: within another stub, while a
//!   spin lock is held, while DS is still that of a user program. So its stub is complete in itself: it adds
//!   one to a counter, which it reaches through SS (in ring 0 always the kernel's), and returns. It
//!   touches no register, takes no lock, calls nothing, and cannot fault: the counter is a variable of
//!   the image. A task gate instead would bring back CR3 from the TSS, which is not that of the
//!   interrupted code.
//! * **A machine check** comes likewise, but nothing resumes after it. It takes the common way, and
//!   `dispatch` reports and stops before it touches a lock.
//! * **A double fault** means that the stack cannot be used, so it cannot be pushed to. Its gate is a task
//!   gate: the CPU saves all registers in the TSS and begins at [`double_fault_entry`] with a stack, a CR3
//!   and segments of its own. It never returns.
//!
//! What came from **ring 3** leaves all of these ways after `pushal`, by [`ring3::leave`]: it returns to whoever
//! entered ring 3. So what follows is about ring 0 alone.
//!
//! All gates are interrupt gates, so IF is clear from the first instruction on, and TF, NT, RF and VM with
//! it. What a gate does not clear the common part does, by loading EFLAGS with nothing set: DF, which Rust
//! code wants clear, and AC, which opens user pages to ring 0 where SMAP is on. And it loads DS and ES,
//! which may be a user program's. It does so also when ring 0 was interrupted: a test for that would
//! cost as much, and could be wrong within a stub. FS and GS are left alone: the kernel uses neither, so
//! they stay what the interrupted program has.
//!
//! DS and ES go back as they came. That cannot fault: a selector that could be loaded before can be loaded
//! again, since no entry of the GDT changes in between.
//!
//! AT&T syntax, since in LLVM's Intel syntax `push ds` and `push offset symbol` come out wrong.

use super::descriptor::{NO_FLAGS, Selector};
use super::dispatch::dispatch;
use super::frame::{OuterStack, Saved};
use super::handlers::Handlers;
use super::tables;
use super::vector::{Exception, Vector};
use crate::address::{FrameRange, Page, VirtAddr};
use crate::layout::DirectMap;
use crate::machine::I386;
use crate::machine::i386::{HANDLERS, registers, ring3, tables::address, user_copy};
use crate::mmu::TwoLevel;
use core::arch::{global_asm, naked_asm};

/// Bytes from one stub to the next.
const STUB_BYTES: u32 = 16;

/// A bit for each exception that pushes an error code.
const WITH_ERROR_CODE: u32 = {
    let mut bits = 0;
    let mut rest = Exception::ALL;
    while let [exception, others @ ..] = rest {
        if exception.has_error_code() {
            bits |= 1 << exception.vector().number();
        }
        rest = others;
    }
    bits
};

global_asm!(
    ".pushsection .text.sva_os_stubs, \"ax\", @progbits",
    ".balign {stub}",
    ".globl sva_os_stubs",
    "sva_os_stubs:",
    ".set .Lsva_os_vector, 0",
    ".rept {count}",
    ".balign {stub}",
    ".if .Lsva_os_vector == {nmi}",
    "lock incl %ss:{handlers}+{nmis}",
    "iretl",
    ".else",
    ".if .Lsva_os_vector >= 32 || !(({with_error_code} >> (.Lsva_os_vector & 31)) & 1)",
    "pushl $0",
    ".endif",
    "pushl $.Lsva_os_vector",
    "jmp {common}",
    ".endif",
    ".set .Lsva_os_vector, .Lsva_os_vector + 1",
    ".endr",
    ".balign {stub}",
    ".popsection",
    count = const Vector::COUNT,
    stub = const STUB_BYTES,
    nmi = const Exception::Nmi.vector().number(),
    handlers = sym HANDLERS,
    nmis = const Handlers::NMIS,
    with_error_code = const WITH_ERROR_CODE,
    common = sym common,
    options(att_syntax),
);

unsafe extern "C" {
    /// The stub of vector 0. Global, so that two instances of the library do not link.
    safe static sva_os_stubs: u8;
}

/// Where the stub of `vector` begins.
pub(super) fn stub(vector: Vector) -> VirtAddr {
    let offset = u32::from(vector.number()).wrapping_mul(STUB_BYTES);
    VirtAddr::new(address(&raw const sva_os_stubs).get().wrapping_add(offset))
}

/// Bytes from what `pushal` pushed last to CS: EDI to EAX, vector, error code, EIP.
const CS: usize = 4 * (8 + 2 + 1);

/// Completes [`Saved`], calls [`trap`] with it and resumes what was interrupted.
///
/// EBX is the stack pointer meanwhile: the callee keeps it. The ABI wants ESP on a multiple of 16 where a
/// call's arguments begin.
#[unsafe(naked)]
unsafe extern "C" fn common() {
    naked_asm!(
        "pushal",
        "testb $3, {cs}(%esp)",
        "jnz {leave}",
        "pushl %ds",
        "pushl %es",
        "movl ${data}, %eax",
        "movl %eax, %ds",
        "movl %eax, %es",
        "pushl ${flags}",
        "popfl",
        "movl %esp, %ebx",
        "andl $-16, %esp",
        "subl $12, %esp",
        "pushl %ebx",
        "call {trap}",
        "movl %ebx, %esp",
        "popl %es",
        "popl %ds",
        "popal",
        "addl $8, %esp",
        "iretl",
        data = const Selector::KERNEL_DATA.bits(),
        flags = const NO_FLAGS,
        cs = const CS,
        leave = sym ring3::leave,
        trap = sym trap,
        options(att_syntax),
    )
}

/// Serves what the stub saved.
///
/// # Safety
///
/// `saved` is what a stub pushed, and nothing else reaches it. Interrupts are off.
unsafe extern "C" fn trap(saved: *mut Saved) {
    // CR2 is that of this fault as long as nothing else faults, and nothing did since.
    let fault = registers::fault_address().get();
    // SAFETY: the caller's.
    let saved = unsafe { &mut *saved };
    if saved.vector == u32::from(Exception::PageFault.vector())
        && user_copy::recover(saved, VirtAddr::new(fault))
    {
        return;
    }
    const NOTHING: DirectMap = DirectMap { first: Page::ZERO, frames: FrameRange::EMPTY };
    // SAFETY: `dispatch` reads and writes no RAM by physical address, so no direct map is needed, and
    // the mode does not matter.
    let machine = unsafe { I386::<TwoLevel>::new(&NOTHING) };
    dispatch(&machine, saved, OuterStack::default(), fault);
}

/// Where the task of the double fault begins: on its own stack, to which the CPU has pushed the error code.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn double_fault_entry() {
    naked_asm!(
        "andl $-16, %esp",
        "call {report}",
        "ud2",
        report = sym tables::double_fault,
        options(att_syntax),
    )
}
