//! Control registers, EFLAGS and model-specific registers: what the library needs of them.

use crate::address::{Frame, Page, PhysAddr, VirtAddr, widen};
use crate::machine::Word;
use crate::mmu::PagingMode;
use crate::violation::{Feature, Violation};
use core::arch::asm;
use core::arch::x86::{__cpuid, _rdtsc};
use core::sync::atomic::{AtomicU32, Ordering};
use x86::controlregs::{Cr0, Cr4};
use x86::{controlregs, msr, tlb};

/// IF, ID and AC in EFLAGS (Intel SDM vol. 1, 3.4.3).
const INTERRUPT_FLAG: u32 = 1 << 9;
const IDENTIFICATION: u32 = 1 << 21;
const ALIGNMENT_CHECK: u32 = 1 << 18;

/// EFER.NXE (Intel SDM vol. 4, table 2-2).
const NO_EXECUTE_ENABLE: u64 = 1 << 11;
/// DR7 with every watchpoint off: bit 10 is always set (Intel SDM vol. 3, 18.2.4).
const NO_WATCHPOINTS: u32 = 1 << 10;
/// The page attributes at power-on (Intel SDM vol. 3, 13.12.4).
const POWER_ON_PAT: u64 = 0x0007_0406_0007_0406;

/// EFLAGS.
#[inline(always)]
fn flags() -> u32 {
    let flags: u32;
    // SAFETY: reads EFLAGS by way of the stack.
    unsafe { asm!("pushfd", "pop {}", out(reg) flags, options(preserves_flags)) }
    flags
}

/// Clears IF and says whether it was set.
#[inline(always)]
pub(crate) fn interrupts_off() -> bool {
    let before = flags();
    // SAFETY: ring 0. Fewer interrupts break no promise. A memory clobber.
    unsafe { asm!("cli", options(nostack)) }
    before & INTERRUPT_FLAG != 0
}

/// Sets IF.
///
/// # Safety
///
/// Every vector that may arrive has its gate, and no intrinsic is at work on this CPU.
#[inline(always)]
pub(crate) unsafe fn interrupts_on() {
    // SAFETY: ring 0; the caller's list. A memory clobber.
    unsafe { asm!("sti", options(nostack)) }
}

/// Waits for an interrupt with IF set: STI lets none come before HLT. Clears IF.
pub(crate) fn wait() {
    // SAFETY: ring 0; the callers are not inside an intrinsic that an interrupt would disturb. A memory clobber.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) }
}

/// Waits for ever with interrupts off.
pub(crate) fn halt_for_ever() -> ! {
    loop {
        // SAFETY: ring 0. What wakes the CPU nevertheless finds this loop.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}

/// The frame that CR3 names.
#[inline(always)]
pub(crate) fn root() -> Frame {
    // SAFETY: ring 0; reading CR3 changes nothing.
    PhysAddr::new(u32::low_bits_of(unsafe { controlregs::cr3() })).containing()
}

/// Loads CR3 with the start of `root`.
///
/// # Safety
///
/// It is a root with the kernel half, and is counted for this CPU or sealed.
#[inline(always)]
pub(crate) unsafe fn load_root(root: Frame) {
    // SAFETY: ring 0; the caller's list. The kernel half maps what this code runs on.
    unsafe { controlregs::cr3_write(root.start().get().into()) }
}

/// CR2: the address of the last page fault.
#[inline(always)]
pub(crate) fn fault_address() -> VirtAddr {
    let address: u32;
    // SAFETY: ring 0; reading CR2 changes nothing.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) }
    VirtAddr::new(address)
}

/// RDTSC; `None` on a CPU that has none.
pub(crate) fn time_stamp() -> Option<u64> {
    static EXISTS: AtomicU32 = AtomicU32::new(UNKNOWN);
    const UNKNOWN: u32 = 2;
    let mut exists = EXISTS.load(Ordering::Relaxed);
    if exists == UNKNOWN {
        exists = u32::from(Features::read().leaf_1 & TIME_STAMP != 0);
        EXISTS.store(exists, Ordering::Relaxed);
    }
    // SAFETY: the CPU has the instruction, and CR4.TSD does not forbid it in ring 0.
    (exists == 1).then(|| unsafe { _rdtsc() })
}

/// INVLPG.
#[inline(always)]
pub(crate) fn invalidate_page(page: Page) {
    // SAFETY: ring 0; to forget a translation breaks no promise.
    unsafe { tlb::flush(widen(page.start().get())) }
}

/// What this CPU has (Intel SDM vol. 2, CPUID).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    leaf_1: u32,
    leaf_7_b: u32,
    leaf_7_c: u32,
    extended: u32,
}

/// CPUID.1:EDX.
const TIME_STAMP: u32 = 1 << 4;
const MSR: u32 = 1 << 5;
const PAE: u32 = 1 << 6;
const MACHINE_CHECK: u32 = 1 << 7;
const SYSENTER: u32 = 1 << 11;
const PAT: u32 = 1 << 16;
const FXSR: u32 = 1 << 24;
const SSE: u32 = 1 << 25;
/// CPUID.7:EBX.
const SMEP: u32 = 1 << 7;
const SMAP: u32 = 1 << 20;
/// CPUID.7:ECX.
const UMIP: u32 = 1 << 2;
/// CPUID.80000001:EDX.
const SYSCALL: u32 = 1 << 11;
const NX: u32 = 1 << 20;
const LONG_MODE: u32 = 1 << 29;

impl Features {
    /// Asks the CPU; refuses one that lacks what `P` needs.
    pub(crate) fn detect<P: PagingMode>() -> Result<Self, Violation> {
        if !can_toggle(ALIGNMENT_CHECK) {
            // A 386, which has no CR0.WP either.
            return Err(Violation::Unsupported(Feature::WriteProtect));
        }
        let features = Self::read();
        if P::ROOT_IN_REGISTERS && !features.has_pae() {
            return Err(Violation::Unsupported(Feature::Pae));
        }
        if P::NO_EXECUTE && (features.extended & NX == 0 || features.leaf_1 & MSR == 0) {
            return Err(Violation::Unsupported(Feature::NoExecute));
        }
        Ok(features)
    }

    fn read() -> Self {
        let mut features = Self { leaf_1: 0, leaf_7_b: 0, leaf_7_c: 0, extended: 0 };
        if !can_toggle(IDENTIFICATION) {
            return features;
        }
        let highest = __cpuid(0).eax;
        if highest >= 1 {
            features.leaf_1 = __cpuid(1).edx;
        }
        if highest >= 7 {
            let leaf = __cpuid(7);
            (features.leaf_7_b, features.leaf_7_c) = (leaf.ebx, leaf.ecx);
        }
        // A CPU without extended leaves answers with those of another one.
        let highest = __cpuid(0x8000_0000).eax;
        if (0x8000_0001..0x8001_0000).contains(&highest) {
            features.extended = __cpuid(0x8000_0001).edx;
        }
        features
    }

    /// PAE.
    pub(super) const fn has_pae(self) -> bool {
        self.leaf_1 & PAE != 0
    }

    /// FXSAVE and FXRSTOR.
    pub(super) const fn has_fxsave(self) -> bool {
        self.leaf_1 & FXSR != 0
    }

    fn has_efer(self) -> bool {
        self.leaf_1 & MSR != 0 && self.extended & (SYSCALL | NX | LONG_MODE) != 0
    }
}

/// Whether a bit of EFLAGS can be changed.
fn can_toggle(bit: u32) -> bool {
    let before = flags();
    let after: u32;
    // SAFETY: toggles AC or ID, which mean nothing in ring 0, and puts EFLAGS back.
    unsafe {
        asm!("pushfd", "pushfd", "xor dword ptr [esp], {bit}", "popfd", "pushfd", "pop {after}", "popfd",
            bit = in(reg) bit, after = out(reg) after);
    }
    (before ^ after) & bit != 0
}

/// CR0, CR3, CR4 and EFER.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control {
    cr0: Cr0,
    cr3: u64,
    cr4: Option<Cr4>,
    efer: Option<u64>,
}

impl Control {
    /// What they hold now. CR4 and EFER only where `features` says that they exist.
    pub(crate) fn read(features: Features) -> Self {
        Self {
            // SAFETY: ring 0; reading changes nothing.
            cr0: unsafe { controlregs::cr0() },
            // SAFETY: as before.
            cr3: unsafe { controlregs::cr3() },
            // SAFETY: as before; a CPU that knows CPUID leaf 1 has CR4.
            cr4: (features.leaf_1 != 0).then(|| unsafe { controlregs::cr4() }),
            // SAFETY: as before; the MSR exists.
            efer: features.has_efer().then(|| unsafe { msr::rdmsr(msr::IA32_EFER) }),
        }
    }

    /// What the library states for them, with `cr3`: nothing of what they held is merged.
    ///
    /// Protected and write-protected pages, paging, x87 errors as #MF, TS so that no
    /// floating-point instruction of ring 0 goes unseen; SSE for programs where there is FXSAVE. No large or global
    /// pages.
    pub(crate) fn stated<P: PagingMode>(features: Features, cr3: u32) -> Self {
        let cr0 = Cr0::CR0_PROTECTED_MODE
            | Cr0::CR0_MONITOR_COPROCESSOR
            | Cr0::CR0_TASK_SWITCHED
            | Cr0::CR0_EXTENSION_TYPE
            | Cr0::CR0_NUMERIC_ERROR
            | Cr0::CR0_WRITE_PROTECT
            | Cr0::CR0_ENABLE_PAGING;
        let mut cr4 = Cr4::empty();
        cr4.set(Cr4::CR4_ENABLE_PAE, P::ROOT_IN_REGISTERS);
        cr4.set(Cr4::CR4_ENABLE_MACHINE_CHECK, features.leaf_1 & MACHINE_CHECK != 0);
        cr4.set(Cr4::CR4_ENABLE_SSE, features.leaf_1 & FXSR != 0);
        cr4.set(Cr4::CR4_UNMASKED_SSE, features.leaf_1 & SSE != 0);
        cr4.set(Cr4::CR4_ENABLE_SMEP, features.leaf_7_b & SMEP != 0);
        cr4.set(Cr4::CR4_ENABLE_SMAP, features.leaf_7_b & SMAP != 0);
        cr4.set(Cr4::CR4_ENABLE_UMIP, features.leaf_7_c & UMIP != 0);
        Self {
            cr0,
            cr3: cr3.into(),
            cr4: (features.leaf_1 != 0).then_some(cr4),
            efer: features.has_efer().then_some(if P::NO_EXECUTE { NO_EXECUTE_ENABLE } else { 0 }),
        }
    }

    /// Writes them: CR3 first, then EFER, CR4 and CR0. With the new CR4 every cached translation
    /// goes, global ones too.
    ///
    /// # Safety
    ///
    /// 1. The tables that CR3 names map what this code runs on, where it runs, whether CR4.PAE is
    ///    as before or as stated here. No cached global translation contradicts them there.
    /// 2. Interrupts are off.
    pub(crate) unsafe fn write(self) {
        // SAFETY: the caller's list, 1: whatever the mode is now.
        unsafe { controlregs::cr3_write(self.cr3) };
        if let Some(efer) = self.efer {
            // SAFETY: the MSR exists. No entry has NX set yet that NXE = 0 would make reserved, and LME
            // was clear: this is 32-bit code.
            unsafe { msr::wrmsr(msr::IA32_EFER, efer) }
        }
        if let Some(cr4) = self.cr4 {
            // SAFETY: the caller's list, 1: the tables serve both values of PAE.
            unsafe { controlregs::cr4_write(cr4) }
        }
        // SAFETY: the caller's list, 1.
        unsafe { controlregs::cr0_write(self.cr0) }
    }
}

/// Closes what user programs or a watchpoint could otherwise use: SYSENTER, left-over watchpoints;
/// and makes the page attributes what they are at power-on.
///
/// # Safety
///
/// Nobody relies on them.
pub(crate) unsafe fn close_side_doors(features: Features) {
    // SAFETY: ring 0; watchpoints only take away.
    unsafe { asm!("mov dr7, {}", in(reg) NO_WATCHPOINTS, options(nostack)) }
    if features.leaf_1 & SYSENTER != 0 {
        // SAFETY: the MSR exists. With a null CS, SYSENTER is #GP.
        unsafe { msr::wrmsr(msr::IA32_SYSENTER_CS, 0) }
    }
    if features.leaf_1 & PAT != 0 {
        // SAFETY: the MSR exists. Entries with PWT = PCD = PAT = 0 are write-back, as before.
        unsafe { msr::wrmsr(msr::IA32_PAT, POWER_ON_PAT) }
    }
}
