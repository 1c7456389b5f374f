//! What the threads of the soak do, and how they see that something of theirs was changed.

use super::program::{DATA, Program, program};
use super::soak::{COUNTS, STOP};
use super::{Kernel, cpu, kernel, schedule};
use core::arch::naked_asm;
use core::hint::black_box;
use core::sync::atomic::Ordering;
use sva_os::address::{Frame, VirtAddr};
use sva_os::context::{Exit, UserException};
use sva_os::frame::Kind;
use sva_os::interrupt::Exception;
use sva_os::mmu::Rights;

/// Calls `pass` with `pattern` and the three numbers behind it in the registers that a callee keeps, and answers
/// with the bits in which they differ afterwards.
#[unsafe(naked)]
unsafe extern "C" fn keep(pattern: u32, pass: unsafe extern "C" fn()) -> u32 {
    naked_asm!(
        "pushl %ebp",
        "pushl %ebx",
        "pushl %esi",
        "pushl %edi",
        "movl 20(%esp), %ebx",
        "movl 24(%esp), %ecx",
        "leal 1(%ebx), %esi",
        "leal 2(%ebx), %edi",
        "leal 3(%ebx), %ebp",
        "subl $12, %esp",
        "calll *%ecx",
        "addl $12, %esp",
        "movl 20(%esp), %eax",
        "xorl %eax, %ebx",
        "leal 1(%eax), %ecx",
        "xorl %ecx, %esi",
        "leal 2(%eax), %ecx",
        "xorl %ecx, %edi",
        "leal 3(%eax), %ecx",
        "xorl %ecx, %ebp",
        "movl %ebx, %eax",
        "orl %esi, %eax",
        "orl %edi, %eax",
        "orl %ebp, %eax",
        "popl %edi",
        "popl %esi",
        "popl %ebx",
        "popl %ebp",
        "ret",
        options(att_syntax),
    )
}

/// Keeps every register for some thousand instructions, without a call: only an interrupt changes them.
#[unsafe(naked)]
unsafe extern "C" fn spin() {
    naked_asm!(
        "pushal",
        "movl $3000, %ecx",
        "leal (%ecx,%ecx,2), %eax",
        "leal 7(%eax), %edx",
        "leal 7(%edx), %ebx",
        "leal 7(%ebx), %esi",
        "leal 7(%esi), %edi",
        "leal 7(%edi), %ebp",
        "1: cmpl $9000, %eax",
        "jne 2f",
        "cmpl $9007, %edx",
        "jne 2f",
        "cmpl $9014, %ebx",
        "jne 2f",
        "cmpl $9021, %esi",
        "jne 2f",
        "cmpl $9028, %edi",
        "jne 2f",
        "cmpl $9035, %ebp",
        "jne 2f",
        "stc",
        "decl %ecx",
        "jnc 2f",
        "jnz 1b",
        "popal",
        "ret",
        "2: ud2",
        options(att_syntax),
    )
}

extern "C" fn pass() {
    schedule::pass(kernel());
}

/// How many rounds a life has.
fn rounds(seed: u32) -> u32 {
    20 + seed.wrapping_mul(0x9e37_79b1) % 200
}

fn is_over() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Passes its turn, and looks after registers and stack.
pub(super) fn kernel_thread(sva: &'static Kernel, seed: u32) {
    let canary = black_box([seed; 64]);
    let me = sva.current_thread();
    for round in 0..rounds(seed) {
        let pattern = seed.wrapping_mul(31).wrapping_add(round);
        // SAFETY: both keep what a callee keeps.
        let changed = unsafe {
            if round % 16 == 0 {
                spin();
            }
            keep(pattern, pass)
        };
        assert_eq!(changed, 0, "registers of {me:?}");
        assert!(black_box(&canary).iter().all(|word| *word == seed), "stack of {me:?}");
        assert_eq!(sva.current_thread(), me);
        assert_ne!(cpu::flags() & cpu::INTERRUPT, 0);
        if is_over() {
            break;
        }
    }
}

// EAX is the seed. It keeps it in a register, on the stack, in memory and in the x87, and looks after each; after
// each call EAX says what to do: 1, what is not allowed; 2, a page that is not there; 3, to wait.
program!(soaking:
    "movl %eax, %ebx",
    "movl %ebx, 0x09000000",
    "movl %ebx, %esi",
    "notl %esi",
    "pushl %ebx",
    "fninit",
    "fildl 0x09000000",
    "1: movl %ebx, %eax",
    "notl %eax",
    "cmpl %eax, %esi",
    "jne 9f",
    "cmpl %ebx, (%esp)",
    "jne 9f",
    "cmpl %ebx, 0x09000000",
    "jne 9f",
    "fistl 0x09000004",
    "cmpl %ebx, 0x09000004",
    "jne 9f",
    "incl %ecx",
    "int $0x80",
    "cmpl $1, %eax",
    "je 2f",
    "cmpl $2, %eax",
    "je 3f",
    "cmpl $3, %eax",
    "jne 1b",
    "movl $20000, %edx",
    "4: decl %edx",
    "jnz 4b",
    "jmp 1b",
    "2: hlt",
    "jmp 1b",
    "3: movl %ebx, 0x0b000000",
    "cmpl %ebx, 0x0b000000",
    "je 1b",
    "9: ud2");

const ABSENT: VirtAddr = VirtAddr::new(0x0b00_0000);

/// Runs a program, and gives it what it faults for.
pub(super) fn user_thread(sva: &'static Kernel, seed: u32) {
    let canary = black_box([seed; 64]);
    let program = Program::new(sva, soaking());
    let mut context = program.context();
    context.registers.eax = seed;
    let (mut calls, mut mapped) = (0, None::<Frame>);
    while calls < rounds(seed) {
        let exit = sva.run(program.root(), &mut context).unwrap();
        let count = match exit {
            Exit::SystemCall => {
                calls += 1;
                assert_eq!(context.registers.ecx, calls);
                context.registers.eax = calls % 7;
                &COUNTS.calls
            }
            Exit::Exception(UserException { exception: Exception::GeneralProtection, .. }) => {
                context.instruction += 1;
                &COUNTS.faults
            }
            Exit::Exception(UserException { exception: Exception::PageFault, address, .. }) => {
                assert_eq!((address, mapped), (Some(ABSENT), None));
                mapped = Some(program.map(sva, ABSENT.containing(), Rights::ReadWrite));
                &COUNTS.faults
            }
            Exit::Interrupt(_) => &COUNTS.interrupts,
            other => panic!("seed {seed:#x}: {other:?} {context:x?}"),
        };
        count.fetch_add(1, Ordering::Relaxed);
        let registers = (context.registers.ebx, context.registers.esi);
        assert!(calls == 0 || registers == (seed, !seed), "seed {seed:#x}: {context:x?}");
        assert!(black_box(&canary).iter().all(|word| *word == seed));
        if exit == Exit::SystemCall
            && calls % 5 == 4
            && let Some(frame) = mapped.take()
        {
            program.space.unmap(ABSENT.containing()).unwrap();
            sva.retype(frame, Kind::Free).unwrap();
        }
        schedule::pass(sva);
        if is_over() {
            break;
        }
    }
    // What the kernel reads of it is its own.
    let mut word = [0; 4];
    if calls > 0 {
        assert_eq!(sva.copy_from_user(DATA, &mut word).complete(), Ok(4));
        assert_eq!(u32::from_le_bytes(word), seed);
    }
    assert_eq!(sva.root(), program.root());
    program.destroy(sva);
}
