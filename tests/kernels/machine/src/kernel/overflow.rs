//! The boot stack overflows: a double fault, reported, by its own task; nothing below is touched.

use super::{Boot, Mode};
use core::arch::asm;
use core::hint::black_box;

/// Frames of 200 bytes, one below the other.
pub(super) fn small(_: &'static Boot<Mode>) {
    #[expect(unconditional_recursion, reason = "that is the point")]
    #[inline(never)]
    fn recurse(depth: u32) -> u32 {
        let bytes = black_box([depth as u8; 200]);
        recurse(depth + 1) + u32::from(bytes[black_box(7)])
    }
    black_box(recurse(0));
}

/// One frame that is larger than the stack and its guard pages: the probes find these first.
pub(super) fn large(_: &'static Boot<Mode>) {
    #[inline(never)]
    fn fill() -> u8 {
        let bytes = black_box([1u8; 80 << 10]);
        bytes[black_box(0)]
    }
    black_box(fill());
}

/// ESP exactly at the stack's base: the CPU pushes an exception's frame into the guard.
pub(super) fn at_base(_: &'static Boot<Mode>) {
    unsafe extern "C" {
        static sva_os_stack: u8;
    }
    // SAFETY: ends the kernel.
    unsafe { asm!("movl {base}, %esp", "ud2", base = in(reg) &raw const sva_os_stack, options(att_syntax)) }
}

/// The gate of the double fault, entered by an instruction.
pub(super) fn task_gate(_: &'static Boot<Mode>) {
    // SAFETY: ends the kernel.
    unsafe { asm!("int 8") }
}
