//! What the CPU holds, read past the library; and what it can do.

use core::arch::asm;
use core::arch::x86::__cpuid;
use sva_os::mmu::PagingMode;

use super::Mode;

/// EFLAGS bits (Intel SDM vol. 1, 3.4.3).
pub(super) const TRAP: u32 = 1 << 8;
pub(super) const INTERRUPT: u32 = 1 << 9;
pub(super) const DIRECTION: u32 = 1 << 10;
pub(super) const OVERFLOW: u32 = 1 << 11;
pub(super) const IOPL: u32 = 3 << 12;
pub(super) const NESTED: u32 = 1 << 14;
pub(super) const RESUME: u32 = 1 << 16;
pub(super) const VIRTUAL: u32 = 1 << 17;
pub(super) const ALIGNMENT: u32 = 1 << 18;
/// What no code of ring 0 may have set, but the test that does it itself.
const FOREIGN: u32 = TRAP | DIRECTION | IOPL | NESTED | RESUME | VIRTUAL | ALIGNMENT;

/// EFLAGS.
pub(super) fn flags() -> u32 {
    let flags: u32;
    // SAFETY: reads EFLAGS by way of the stack.
    unsafe { asm!("pushfd", "pop {}", out(reg) flags) }
    flags
}

macro_rules! control {
    ($register:literal) => {{
        let value: u32;
        // SAFETY: ring 0; reading changes nothing.
        unsafe { asm!(concat!("mov {}, ", $register), out(reg) value, options(nomem, nostack)) }
        value
    }};
}

/// Nothing of a program is left in the flags, segments and control registers of ring 0.
pub(super) fn check_kernel_state() {
    assert_eq!(flags() & FOREIGN, 0);
    let (cs, ds, es, ss): (u32, u32, u32, u32);
    // SAFETY: reads segment registers.
    unsafe {
        asm!("mov {}, cs", "mov {}, ds", "mov {}, es", "mov {}, ss",
            out(reg) cs, out(reg) ds, out(reg) es, out(reg) ss);
    }
    assert_eq!([cs, ds, es, ss].map(|selector| selector & 0xffff), [0x08, 0x10, 0x10, 0x10]);
    // PG, WP, NE, ET, TS, MP, PE.
    assert_eq!(control!("cr0"), 0x8001_003b);
}

/// EDX of CPUID leaf 1; 0 on a CPU without the instruction.
pub(super) fn features() -> u32 {
    const ID: u32 = 1 << 21;
    let toggled: u32;
    // SAFETY: toggles ID, which means nothing, and puts EFLAGS back.
    unsafe {
        asm!("pushfd", "pushfd", "xor dword ptr [esp], {id}", "popfd", "pushfd", "pop {seen}", "xor {seen}, [esp]",
            "popfd", id = const ID, seen = out(reg) toggled);
    }
    if toggled & ID == 0 || __cpuid(0).eax == 0 { 0 } else { __cpuid(1).edx }
}

/// FXSAVE and SSE, by CPUID.1:EDX.
pub(super) fn has_fxsave() -> bool {
    features() & 1 << 24 != 0
}

pub(super) fn has_sse() -> bool {
    features() & 1 << 25 != 0
}

/// CR4.SMEP, SMAP and UMIP, as the library set them.
fn has_cr4(bit: u32) -> bool {
    features() != 0 && control!("cr4") & 1 << bit != 0
}

pub(super) fn has_smep() -> bool {
    has_cr4(20)
}

pub(super) fn has_smap() -> bool {
    has_cr4(21)
}

pub(super) fn has_umip() -> bool {
    has_cr4(11)
}

/// The bit of a page fault's error code that says that it was a fetch: only where NX or SMEP is on (Intel SDM
/// vol. 3, 4.7).
pub(super) fn fetch() -> u32 {
    if Mode::NO_EXECUTE || has_smep() { 1 << 4 } else { 0 }
}
