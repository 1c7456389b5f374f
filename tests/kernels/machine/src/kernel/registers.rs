//! After init the registers hold what the library states, whatever they held.

use super::console::println;
use super::{Boot, Mode};
use core::arch::asm;
use sva_os::mmu::PagingMode;

macro_rules! read {
    ($register:literal) => {{
        let value: u32;
        // SAFETY: reads a control or debug register.
        unsafe { asm!(concat!("mov {}, ", $register), out(reg) value) }
        value
    }};
}

fn msr(number: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads an MSR that this CPU has.
    unsafe { asm!("rdmsr", in("ecx") number, out("eax") low, out("edx") high) }
    u64::from(high) << 32 | u64::from(low)
}

pub(super) fn run(_: &'static Boot<Mode>) {
    let local_table: u16;
    // SAFETY: reads LDTR.
    unsafe { asm!("sldt {0:x}", out(reg) local_table) }
    let (cr0, cr4, dr7) = (read!("cr0"), read!("cr4"), read!("dr7"));
    let (efer, sysenter, pat) = (msr(0xc000_0080), msr(0x174), msr(0x277));
    println!("CR0 {cr0:#x} CR4 {cr4:#x} DR7 {dr7:#x} EFER {efer:#x} SYSENTER_CS {sysenter:#x} PAT {pat:#x}");
    // PG, WP, NE, ET, TS, MP, PE.
    assert_eq!(cr0, 0x8001_003b);
    let pae = u32::from(Mode::ROOT_IN_REGISTERS) << 5;
    // SMAP, SMEP, UMIP, MCE, and OSFXSR and OSXMMEXCPT for programs; this CPU, QEMU's `max`, has them.
    assert_eq!(cr4, 1 << 21 | 1 << 20 | 1 << 11 | 1 << 10 | 1 << 9 | 1 << 6 | pae);
    assert_eq!(dr7 & 0xff, 0, "watchpoints");
    assert_eq!(efer & !(1 << 10), u64::from(Mode::NO_EXECUTE) << 11);
    assert_eq!((sysenter, local_table), (0, 0));
    assert_eq!(pat, 0x0007_0406_0007_0406);
}
