//! S8: the stack of a thread overflows, in its own code and inside an intrinsic: a double fault, reported by its
//! own task, and nothing of the neighbour's below is touched.

use super::{Kernel, frames, println, schedule};
use alloc::boxed::Box;
use core::arch::{asm, naked_asm};
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::address::Frame;
use sva_os::context::{PerCpu, ThreadId};

/// Where stacks are mapped: each has 16 pages, of which the top ones are there.
const WINDOW: u32 = 0xf800_0000;
const SLOT: u32 = 16 << 12;

/// The lowest address of the stack that this thread is on, of so many pages.
fn base(sva: &Kernel, pages: u32) -> u32 {
    let number = sva.current_thread().number();
    let base = WINDOW + (number + 1) * SLOT - (pages << 12);
    let local = 0_u32;
    let here = (&raw const local).addr() as u32;
    assert!((base..base + (pages << 12)).contains(&here), "{here:#x} is not on the stack at {base:#x}");
    base
}

/// Runs `overflow` in a thread of so many pages, between two others.
fn run(sva: &'static Kernel, pages: usize, overflow: impl FnOnce() + Send + 'static) {
    let thread = |entry: Option<Box<dyn FnOnce() + Send>>| {
        let stack = schedule::stack(sva, pages);
        sva.new_thread(stack, None, move || {
            if let Some(entry) = entry {
                entry();
            }
            None
        })
        .unwrap()
    };
    let _below = thread(None);
    let overflows: ThreadId = thread(Some(Box::new(overflow)));
    let _above = thread(None);
    println!("thread {} overflows", overflows.number());
    sva.swap(overflows).unwrap();
}

/// Frames of 200 bytes, one below the other.
pub(super) fn small(sva: &'static Kernel) {
    #[expect(unconditional_recursion, reason = "that is the point")]
    #[inline(never)]
    fn recurse(depth: u32) -> u32 {
        let bytes = black_box([depth as u8; 200]);
        recurse(depth + 1) + u32::from(bytes[black_box(7)])
    }
    run(sva, 2, || _ = black_box(recurse(0)));
}

/// One frame that is larger than any stack and its guard pages: the probes find these first.
pub(super) fn large(sva: &'static Kernel) {
    #[inline(never)]
    fn fill() -> u8 {
        let bytes = black_box([1u8; 64 << 10]);
        bytes[black_box(0)]
    }
    run(sva, 4, || _ = black_box(fill()));
}

/// ESP exactly at the stack's base: the CPU pushes an exception's frame into the guard.
pub(super) fn at_base(sva: &'static Kernel) {
    run(sva, 3, || {
        let base = base(sva, 3);
        println!("base {base:#010x}");
        // SAFETY: ends the kernel.
        unsafe { asm!("movl {base}, %esp", "ud2", base = in(reg) base, options(att_syntax)) }
    });
}

/// What the intrinsics below work on: the number of a free frame, and the thread that goes on.
static FRAME: AtomicU32 = AtomicU32::new(0);
static BOOT: PerCpu<Option<ThreadId>, 1> = PerCpu::new([None]);

extern "C" fn swap() {
    let sva = super::kernel();
    let next = BOOT.with(sva, |boot| boot.unwrap()).unwrap();
    sva.swap(next).unwrap();
}

extern "C" fn declare() {
    let sva = super::kernel();
    let frame = Frame::new(FRAME.load(Ordering::Relaxed)).unwrap();
    sva.declare_root(frame).unwrap();
    sva.remove_root(frame).unwrap();
}

extern "C" fn audit() {
    super::kernel().audit_with(&mut []).unwrap();
}

/// Calls `call` with so many bytes of stack left, and comes back.
#[unsafe(naked)]
unsafe extern "C" fn call_at(stack_pointer: u32, call: extern "C" fn()) {
    naked_asm!(
        "pushl %ebp",
        "movl %esp, %ebp",
        "movl 12(%ebp), %eax",
        "movl 8(%ebp), %esp",
        "andl $-16, %esp",
        "calll *%eax",
        "movl %ebp, %esp",
        "popl %ebp",
        "ret",
        options(att_syntax),
    )
}

/// Calls it again and again, each time with so many bytes less: at some time the overflow is inside, with interrupts
/// off.
fn ever_deeper(sva: &Kernel, step: usize, call: extern "C" fn()) {
    let base = base(sva, 2);
    for left in (0..4096 - 16).rev().step_by(step) {
        // SAFETY: below the base is the guard; above it, as far as this thread has come, nothing else lies so deep.
        unsafe { call_at(base + left, call) }
    }
}

pub(super) fn in_swap(sva: &'static Kernel) {
    let boot = sva.current_thread();
    BOOT.with(sva, |place| *place = Some(boot)).unwrap();
    let entry = move || {
        ever_deeper(sva, 16, swap);
        None
    };
    let thread = sva.new_thread(schedule::stack(sva, 2), None, entry).unwrap();
    for swaps in 1.. {
        if swaps % 32 == 0 {
            println!("{swaps} swaps");
        }
        sva.swap(thread).unwrap();
    }
}

pub(super) fn in_declare(sva: &'static Kernel) {
    FRAME.store(frames::free(sva, 1)[0].number(), Ordering::Relaxed);
    run(sva, 2, || ever_deeper(sva, 16, declare));
}

pub(super) fn in_audit(sva: &'static Kernel) {
    run(sva, 2, || ever_deeper(sva, 128, audit));
}

/// An interrupt comes when the stack is full: its handler overflows it.
pub(super) fn in_handler(sva: &'static Kernel) {
    #[inline(never)]
    fn deep() -> u8 {
        let bytes = black_box([1u8; 6 << 10]);
        bytes[black_box(0)]
    }
    schedule::start_preempting(sva, 1000, &|_| _ = black_box(deep()));
    // The boot stack is large; that of the thread is not.
    run(sva, 1, || {
        loop {
            core::hint::spin_loop();
        }
    });
}
