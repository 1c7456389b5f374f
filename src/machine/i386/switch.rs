//! From one stack to another.

use super::{I386, registers};
use crate::address::{FRAME_BYTES, widen};
use crate::context::{Entry, State, Top};
use crate::machine::Machine;
use crate::mmu::PagingMode;
use crate::sva::Sva;
use core::arch::naked_asm;
use core::ptr;

/// What [`switch`] finds on a stack, lowest address first: what the ABI lets a callee keep, and where to go on.
#[repr(C)]
struct Saved {
    edi: u32,
    esi: u32,
    ebx: u32,
    ebp: u32,
    eip: u32,
}

/// Saves what a callee keeps on this stack, and the stack pointer at `save`; takes `next` for it, and what is saved
/// there. EAX is `sva` then: who begins reads it, who goes on does not.
///
/// # Safety
///
/// As [`Context::switch`](crate::machine::Context::switch).
#[unsafe(naked)]
pub(super) unsafe extern "C" fn switch(save: *mut u32, next: u32, sva: *const ()) {
    naked_asm!(
        "movl 4(%esp), %ecx",
        "movl 8(%esp), %edx",
        "movl 12(%esp), %eax",
        "pushl %ebp",
        "pushl %ebx",
        "pushl %esi",
        "pushl %edi",
        "movl %esp, (%ecx)",
        "movl %edx, %esp",
        "popl %edi",
        "popl %esi",
        "popl %ebx",
        "popl %ebp",
        "ret",
        options(att_syntax),
    )
}

/// Where a thread goes on that never ran: calls ESI, which is [`first`], with EAX, the handle, and EBX, the entry.
/// The ABI wants ESP on a multiple of 16 where a call's arguments begin. Nobody is to return to.
#[unsafe(naked)]
unsafe extern "C" fn begin() {
    naked_asm!(
        "andl $-16, %esp",
        "subl $8, %esp",
        "pushl %ebx",
        "pushl %eax",
        "xorl %ebp, %ebp",
        "calll *%esi",
        "ud2",
        options(att_syntax),
    )
}

/// The life of a thread.
///
/// # Safety
///
/// 1. `sva` is the handle of whoever switched here, who lives on the stack that was left, until that is published.
/// 2. `entry` was put there by [`prepare`], and nobody else takes it. Interrupts are off.
unsafe extern "C" fn first<P: PagingMode, F: Entry>(sva: *const Sva<I386<P>>, entry: *mut F) -> ! {
    // SAFETY: 1. of the caller: a copy is made while it is there.
    let sva = unsafe { &*sva }.clone();
    sva.arrive();
    // SAFETY: every vector has its gate, and no intrinsic is at work on this CPU.
    unsafe { registers::interrupts_on() }
    // SAFETY: 2. of the caller.
    let entry = unsafe { entry.read() };
    let next = entry();
    sva.end(State::Ending, next);
    sva.machine.stop("a thread that has ended goes on")
}

/// # Safety
///
/// `entry` was put there by [`prepare`], and nobody else takes it.
unsafe extern "C" fn discard_entry<F>(entry: *mut F) {
    // SAFETY: the caller's.
    unsafe { entry.drop_in_place() }
}

/// Puts `entry` on top of a stack, and below it what [`switch`] takes to begin there. `memory` is the top page, as
/// it can be written now. Answers with the stack pointer.
///
/// # Safety
///
/// `memory` is a page that nobody else uses, and the one mapped at the top of the stack.
#[expect(clippy::as_conversions, reason = "addresses of functions")]
pub(super) unsafe fn prepare<P: PagingMode, F: Entry>(top: Top, memory: *mut u8, entry: F) -> u32 {
    const ALIGNMENT: u32 = 16;
    let bytes = u32::try_from(size_of::<F>()).unwrap_or(FRAME_BYTES);
    let entry_at = FRAME_BYTES.wrapping_sub(bytes) & !ALIGNMENT.wrapping_sub(1);
    let saved_at = entry_at.wrapping_sub(const { size_of::<Saved>() as u32 });
    // SAFETY: it ends at the end of the page, or less than 16 bytes before, aligned: `new_thread` refuses what is
    // larger than a part of the page, or more aligned.
    unsafe { memory.wrapping_add(widen(entry_at)).cast::<F>().write(entry) }
    let first: unsafe extern "C" fn(*const Sva<I386<P>>, *mut F) -> ! = first;
    let discard: unsafe extern "C" fn(*mut F) = discard_entry;
    let begin: unsafe extern "C" fn() = begin;
    let page = top.page.start().get();
    let saved = Saved {
        edi: discard as usize as u32,
        esi: first as usize as u32,
        ebx: page.wrapping_add(entry_at),
        ebp: 0,
        eip: begin as usize as u32,
    };
    // SAFETY: below the entry, in the same page.
    unsafe { memory.wrapping_add(widen(saved_at)).cast::<Saved>().write(saved) }
    page.wrapping_add(saved_at)
}

/// Drops the entry that [`prepare`] put on a stack and answered `stack_pointer` for.
///
/// # Safety
///
/// The stack is mapped, and nobody began on it.
pub(super) unsafe fn discard(stack_pointer: u32) {
    let saved: *const Saved = ptr::with_exposed_provenance(widen(stack_pointer));
    // SAFETY: what `prepare` wrote, by the caller.
    let Saved { edi, ebx, .. } = unsafe { saved.read() };
    // SAFETY: the address of `discard_entry` for the type of the entry.
    let discard: unsafe extern "C" fn(*mut ()) = unsafe { core::mem::transmute(widen(edi)) };
    // SAFETY: the entry is there, and nobody else takes it.
    unsafe { discard(ptr::with_exposed_provenance_mut(widen(ebx))) }
}

/// What a CPU does while no thread is to run: waits for an interrupt, whose hook may swap away.
pub(crate) fn idle() -> Option<crate::context::ThreadId> {
    loop {
        registers::wait();
    }
}
