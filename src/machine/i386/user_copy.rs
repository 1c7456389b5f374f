//! Copies that survive a fault.
//!
//! Each kind of copy is one instruction that touches user memory, or a pair, in a row of three entries: [`copy`],
//! [`zero`] and [`string`]. While one is at work ECX, EDX, ESI and EDI say how far it is, and EBX and EBP which user
//! range it may touch. A page fault there, with CR2 in that range, goes on at the instruction's way out. Any other
//! page fault of ring 0 is the kernel's.
//!
//! A dword that faults in its middle is done again byte by byte, so what is reported is exact.
//!
//! AC is set meanwhile, and with it user pages are open to ring 0 where SMAP is on. It is set and cleared by POPF,
//! which does no harm to a CPU without. An interrupt clears it on its way in, and IRET brings it back.

use crate::address::VirtAddr;
use crate::interrupt::frame::Saved;
use crate::machine::i386::tables::address;
use core::arch::global_asm;

/// AC in EFLAGS (Intel SDM vol. 1, 3.4.3).
const ALIGNMENT_CHECK: u32 = 1 << 18;

global_asm!(
    ".pushsection .text.sva_os_copy, \"ax\", @progbits",
    // copy(to, from, length, range) -> bytes left
    ".globl sva_os_copy",
    "sva_os_copy:",
    "pushl %ebp",
    "pushl %ebx",
    "pushl %esi",
    "pushl %edi",
    "movl 20(%esp), %edi",
    "movl 24(%esp), %esi",
    "movl 28(%esp), %edx",
    "movl 32(%esp), %ebx",
    "movl %edx, %ebp",
    "pushfl",
    "pushfl",
    "orl ${ac}, (%esp)",
    "popfl",
    "movl %edx, %ecx",
    "shrl $2, %ecx",
    "andl $3, %edx",
    ".globl sva_os_copy_words",
    "sva_os_copy_words:",
    "rep movsl",
    ".globl sva_os_copy_rest",
    "sva_os_copy_rest:",
    "leal (%edx,%ecx,4), %ecx",
    ".globl sva_os_copy_bytes",
    "sva_os_copy_bytes:",
    "rep movsb",
    ".globl sva_os_copy_end",
    "sva_os_copy_end:",
    "popfl",
    "movl %ecx, %eax",
    "popl %edi",
    "popl %esi",
    "popl %ebx",
    "popl %ebp",
    "ret",
    // zero(to, length) -> bytes left
    ".globl sva_os_zero",
    "sva_os_zero:",
    "pushl %ebp",
    "pushl %ebx",
    "pushl %esi",
    "pushl %edi",
    "movl 20(%esp), %edi",
    "movl 24(%esp), %edx",
    "movl %edi, %ebx",
    "movl %edx, %ebp",
    "pushfl",
    "pushfl",
    "orl ${ac}, (%esp)",
    "popfl",
    "xorl %eax, %eax",
    "movl %edx, %ecx",
    "shrl $2, %ecx",
    "andl $3, %edx",
    ".globl sva_os_zero_words",
    "sva_os_zero_words:",
    "rep stosl",
    ".globl sva_os_zero_rest",
    "sva_os_zero_rest:",
    "leal (%edx,%ecx,4), %ecx",
    ".globl sva_os_zero_bytes",
    "sva_os_zero_bytes:",
    "rep stosb",
    "jmp sva_os_copy_end",
    // string(to, from, length) -> bytes left, and in the high half whether a zero was found
    ".globl sva_os_string",
    "sva_os_string:",
    "pushl %ebp",
    "pushl %ebx",
    "pushl %esi",
    "pushl %edi",
    "movl 20(%esp), %edi",
    "movl 24(%esp), %esi",
    "movl 28(%esp), %ecx",
    "movl %esi, %ebx",
    "movl %ecx, %ebp",
    "xorl %edx, %edx",
    "pushfl",
    "pushfl",
    "orl ${ac}, (%esp)",
    "popfl",
    "jecxz sva_os_copy_end",
    ".globl sva_os_string_byte",
    "sva_os_string_byte:",
    "lodsb",
    "testb %al, %al",
    "jz 2f",
    "stosb",
    "decl %ecx",
    "jnz sva_os_string_byte",
    "jmp sva_os_copy_end",
    "2: incl %edx",
    "jmp sva_os_copy_end",
    ".popsection",
    ac = const ALIGNMENT_CHECK,
    options(att_syntax),
);

unsafe extern "C" {
    /// Copies `length` bytes, and answers how many are left. The user range begins at `range`.
    fn sva_os_copy(to: *mut u8, from: *const u8, length: u32, range: u32) -> u32;
    fn sva_os_zero(to: *mut u8, length: u32) -> u32;
    fn sva_os_string(to: *mut u8, from: *const u8, length: u32) -> u64;
    safe static sva_os_copy_words: u8;
    safe static sva_os_copy_rest: u8;
    safe static sva_os_copy_bytes: u8;
    safe static sva_os_copy_end: u8;
    safe static sva_os_zero_words: u8;
    safe static sva_os_zero_rest: u8;
    safe static sva_os_zero_bytes: u8;
    safe static sva_os_string_byte: u8;
}

/// Lets a copy that was interrupted by a page fault at `fault` go on at its way out. `false` if it was none.
pub(crate) fn recover(saved: &mut Saved, fault: VirtAddr) -> bool {
    let ways = [
        (&raw const sva_os_copy_words, &raw const sva_os_copy_rest),
        (&raw const sva_os_copy_bytes, &raw const sva_os_copy_end),
        (&raw const sva_os_zero_words, &raw const sva_os_zero_rest),
        (&raw const sva_os_zero_bytes, &raw const sva_os_copy_end),
        (&raw const sva_os_string_byte, &raw const sva_os_copy_end),
    ];
    let way_out = ways.into_iter().find(|(at, _)| address(*at).get() == saved.eip);
    match way_out {
        Some((_, way_out)) if fault.get().wrapping_sub(saved.ebx) < saved.ebp => {
            saved.eip = address(way_out).get();
            true
        }
        _ => false,
    }
}

/// # Safety
///
/// `length` bytes at `to` may be written, or those at `from` may be read; the others are those of user memory from
/// `range` on.
#[inline(always)]
pub(super) unsafe fn copy(to: *mut u8, from: *const u8, length: u32, range: u32) -> u32 {
    // SAFETY: the caller's.
    length.wrapping_sub(unsafe { sva_os_copy(to, from, length, range) })
}

/// # Safety
///
/// The `length` bytes from `to` on are user memory.
pub(super) unsafe fn zero(to: *mut u8, length: u32) -> u32 {
    // SAFETY: the caller's.
    length.wrapping_sub(unsafe { sva_os_zero(to, length) })
}

/// # Safety
///
/// `length` bytes at `to` may be written; those from `from` on are user memory.
#[expect(clippy::as_conversions, reason = "the halves are what is wanted")]
pub(super) unsafe fn string(to: *mut u8, from: *const u8, length: u32) -> (u32, bool) {
    // SAFETY: the caller's.
    let result = unsafe { sva_os_string(to, from, length) };
    (length.wrapping_sub(result as u32), result >> 32 != 0)
}
