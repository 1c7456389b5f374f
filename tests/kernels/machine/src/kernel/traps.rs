//! Every exception that ring 0 can have: its vector, error code, EIP and CR2 are what was computed.

use super::console::println;
use super::raise::{Seen, handler, raise};
use super::{Boot, Mode};
use core::arch::asm;
use core::sync::atomic::AtomicU32;
use sva_os::Violation;
use sva_os::interrupt::Exception;
use sva_os::mmu::PagingMode;

fn register(boot: &'static Boot<Mode>) {
    for exception in Exception::ALL.iter().copied() {
        let registered = boot.sva().interrupts().register_exception(exception, &handler);
        let expected = match exception.is_reserved() {
            true => Err(Violation::VectorReserved(exception.vector().number().into())),
            false => Ok(()),
        };
        assert_eq!(registered, expected, "{exception:?}");
    }
}

/// What was seen is `exception` at the instruction that raised it, or `past` bytes behind its start.
fn check((seen, at): (Option<Seen>, u32), exception: Exception, error_code: u32, fault: u32, past: u32) {
    assert_eq!(seen, Some(Seen { exception, error_code, instruction: at + past, fault }));
    println!(
        "{:>4} error code {error_code:#x} at {:#010x}, CR2 {fault:#010x}",
        exception.mnemonic(),
        at + past
    );
}

/// Presence, write, user, reserved, fetch (Intel SDM vol. 3, figure 4-12).
const PRESENT: u32 = 1 << 0;
const WRITE: u32 = 1 << 1;
const FETCH: u32 = 1 << 4;

/// Holds `ud2`, twice.
static VARIABLE: AtomicU32 = AtomicU32::new(0x0b0f_0b0f);
static BOUNDS: [i32; 2] = [3, 5];
/// Has bit 1 of its index set, so it names no entry of the GDT that there is.
const NO_SELECTOR: u32 = 0x7ff8;

pub(super) fn run(boot: &'static Boot<Mode>) {
    register(boot);
    // SAFETY: each raises what is handled, changes no more than it says, and goes on behind.
    unsafe {
        check(
            raise!([], "divl {zero}", zero = in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _),
            Exception::DivideError,
            0,
            0,
            0,
        );
        check(raise!([], "int3"), Exception::Breakpoint, 0, 0, 1);
        check(
            raise!(["movb $0x7f, %al", "addb $1, %al"], "into", out("eax") _),
            Exception::Overflow,
            0,
            0,
            1,
        );
        check(
            raise!([], "bound %eax, ({bounds})", bounds = in(reg) BOUNDS.as_ptr(), in("eax") 6),
            Exception::BoundRange,
            0,
            0,
            0,
        );
        check(raise!([], "ud2"), Exception::InvalidOpcode, 0, 0, 0);
        check(raise!([], "fnop"), Exception::DeviceNotAvailable, 0, 0, 0);
        check(
            raise!([], "movw %ax, %es", in("eax") NO_SELECTOR),
            Exception::GeneralProtection,
            NO_SELECTOR,
            0,
            0,
        );
        check(raise!([], "movw %ax, %ss", in("eax") 0), Exception::GeneralProtection, 0, 0, 0);
    }
    page_faults(boot);
    debug(boot);
    non_maskable(boot);
    println!("audit: {:?}", boot.sva().audit().unwrap());
}

fn page_faults(boot: &'static Boot<Mode>) {
    let text = page_faults as fn(&'static Boot<Mode>) as usize as u32;
    let constant = (&raw const BOUNDS) as u32;
    let variable = (&raw const VARIABLE) as u32;
    let _ = boot;
    // SAFETY: as in `run`.
    unsafe {
        // Nothing is mapped there: the first page, and what lies above the direct map.
        for absent in [0x10_u32, 0x4000_0000, 0xf800_0000, 0xffff_fffc] {
            check(
                raise!([], "movl ({at_}), %eax", at_ = in(reg) absent, out("eax") _),
                Exception::PageFault,
                0,
                absent,
                0,
            );
            check(
                raise!([], "movl %eax, ({at_})", at_ = in(reg) absent, in("eax") 0),
                Exception::PageFault,
                WRITE,
                absent,
                0,
            );
        }
        // CR0.WP: ring 0 obeys read-only pages, by either of their addresses; they are one in this layout.
        for read_only in [text, constant, idt()] {
            check(
                raise!([], "movl %eax, ({at_})", at_ = in(reg) read_only, in("eax") 0),
                Exception::PageFault,
                PRESENT | WRITE,
                read_only,
                0,
            );
        }
        let (seen, _) = raise!([], "jmpl *{at_}", at_ = in(reg) variable);
        if Mode::NO_EXECUTE {
            let expected = Seen {
                exception: Exception::PageFault,
                error_code: PRESENT | FETCH,
                instruction: variable,
                fault: variable,
            };
            assert_eq!(seen, Some(expected));
            println!(" #PF error code {:#x} at {variable:#010x}: NX", PRESENT | FETCH);
        } else {
            let expected =
                Seen { exception: Exception::InvalidOpcode, error_code: 0, instruction: variable, fault: 0 };
            assert_eq!(seen, Some(expected), "without NX a variable is executed");
        }
    }
}

/// Where the IDT is, by the CPU's own word.
fn idt() -> u32 {
    let mut register = [0u8; 6];
    // SAFETY: writes six bytes.
    unsafe { asm!("sidt ({at})", at = in(reg) &raw mut register, options(att_syntax)) }
    u32::from_le_bytes([register[2], register[3], register[4], register[5]])
}

/// A debug exception of ring 0 is the library's: counted, and TF cleared.
fn debug(boot: &'static Boot<Mode>) {
    let before = boot.sva().interrupts().counts().debug;
    // SAFETY: sets TF for one instruction.
    unsafe { asm!("pushfl", "orl $0x100, (%esp)", "popfl", "nop", "nop", options(att_syntax)) }
    assert_eq!(boot.sva().interrupts().counts().debug, before + 1);
}

/// NMI is counted, and nothing else.
fn non_maskable(boot: &'static Boot<Mode>) {
    let before = boot.sva().interrupts().counts().nmis;
    // SAFETY: ring 0 may use its gate.
    unsafe { asm!("int 2") }
    assert_eq!(boot.sva().interrupts().counts().nmis, before + 1);
}

/// An exception that nobody handles is reported, and stops the machine.
pub(super) fn unhandled(_: &'static Boot<Mode>) {
    // SAFETY: ends the kernel.
    unsafe { asm!("ud2") }
}

/// So does a machine check.
pub(super) fn machine_check(_: &'static Boot<Mode>) {
    // SAFETY: ends the kernel.
    unsafe { asm!("int 18") }
}
