//! Floating-point registers: FXSAVE where the CPU has it, else FNSAVE, or none.

use super::registers::Features;
use crate::context::FpState;
use core::arch::asm;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// What the CPU has.
static KIND: AtomicU8 = AtomicU8::new(NONE);
const NONE: u8 = 0;
const X87: u8 = 1;
const FXSAVE: u8 = 2;

/// What FXSAVE says of MXCSR.
static MXCSR_MASK: AtomicU32 = AtomicU32::new(0);
/// Where it stores that (Intel SDM vol. 1, table 10-2).
const MXCSR_MASK_AT: usize = 28;

/// CR0.TS (Intel SDM vol. 3, 2.5).
const TASK_SWITCHED: u32 = 1 << 3;

const BYTES: usize = 512;
type State = [u8; BYTES];

/// As FNINIT leaves them, in the form of FXSAVE: no x87 exception unmasked, no SSE exception either (Intel SDM
/// vol. 1, 10.5.1.2 and 10.2.3).
const BEGINNING_FXSAVE: State = {
    let mut bytes = [0; BYTES];
    bytes[0] = 0x7f;
    bytes[1] = 0x03;
    bytes[24] = 0x80;
    bytes[25] = 0x1f;
    bytes
};

/// The same in the form of FNSAVE (Intel SDM vol. 1, figure 8-9): every register is empty.
const BEGINNING_X87: State = {
    let mut bytes = [0; BYTES];
    bytes[0] = 0x7f;
    bytes[1] = 0x03;
    bytes[8] = 0xff;
    bytes[9] = 0xff;
    bytes
};

/// Finds out what the CPU has. CR0.EM is clear, CR4.OSFXSR set if there is FXSAVE.
pub(crate) fn detect(features: Features) {
    let kind = if features.has_fxsave() {
        FXSAVE
    } else if is_x87_there() {
        X87
    } else {
        NONE
    };
    KIND.store(kind, Ordering::Relaxed);
    if kind == FXSAVE {
        MXCSR_MASK.store(stored_mask(), Ordering::Relaxed);
    }
}

/// Asks by FXSAVE.
fn stored_mask() -> u32 {
    let mut state = FpState::new([0; BYTES]);
    // SAFETY: as many bytes as are asked for, aligned as they have to be; no program's state is in the registers yet.
    unsafe { store((&raw mut state).cast()) }
    state
        .bytes()
        .get(MXCSR_MASK_AT..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |mask| u32::from_le_bytes(*mask))
}

/// Asks by FNINIT, which leaves a status word of zero (Intel AP-485).
fn is_x87_there() -> bool {
    let mut status: u16 = 0x5a5a;
    open();
    // SAFETY: ring 0, TS is clear; no program's state is in the registers yet. Without an x87 both do nothing.
    unsafe {
        asm!("fninit", "fnstsw word ptr [{}]", in(reg) &raw mut status, options(nostack, preserves_flags))
    }
    close();
    status == 0
}

pub(super) fn is_there() -> bool {
    KIND.load(Ordering::Relaxed) != NONE
}

pub(super) fn mxcsr_mask() -> u32 {
    MXCSR_MASK.load(Ordering::Relaxed)
}

/// CLTS.
#[inline(always)]
pub(super) fn open() {
    // SAFETY: ring 0; no code of the kernel uses the registers, so TS means nothing to it.
    unsafe { asm!("clts", options(nomem, nostack, preserves_flags)) }
}

/// Sets TS.
#[inline(always)]
pub(super) fn close() {
    // SAFETY: ring 0; TS makes instructions fault that are not for the kernel.
    unsafe {
        asm!("mov {cr0}, cr0", "or {cr0}, {ts}", "mov cr0, {cr0}", cr0 = out(reg) _, ts = const TASK_SWITCHED,
            options(nomem, nostack));
    }
}

/// Stores the registers.
///
/// # Safety
///
/// At `at`, a multiple of 16, are 512 bytes of the library's own.
pub(super) unsafe fn store(at: *mut u8) {
    open();
    if KIND.load(Ordering::Relaxed) == FXSAVE {
        // SAFETY: ring 0, TS is clear; the caller's bytes.
        unsafe { asm!("fxsave [{}]", in(reg) at, options(nostack, preserves_flags)) }
    } else {
        // SAFETY: as before.
        unsafe { asm!("fnsave [{}]", in(reg) at, options(nostack, preserves_flags)) }
    }
    close();
}

/// Loads the registers.
///
/// # Safety
///
/// At `at`, a multiple of 16, are 512 bytes of the library's own, with no reserved bit of MXCSR set.
pub(super) unsafe fn load(at: *const u8) {
    open();
    if KIND.load(Ordering::Relaxed) == FXSAVE {
        // AMD's FXRSTOR leaves FOP, FIP and FDP of the last program unless an exception is pending; FNINIT does not.
        // SAFETY: ring 0, TS is clear; the caller's bytes. An exception that they say is pending comes with the next
        // instruction of the program.
        unsafe { asm!("fninit", "fxrstor [{}]", in(reg) at, options(nostack, preserves_flags)) }
    } else {
        // FRSTOR, unlike FXRSTOR, would first report an exception that is pending in what it throws away.
        // SAFETY: as before.
        unsafe { asm!("fnclex", "frstor [{}]", in(reg) at, options(nostack, preserves_flags)) }
    }
    close();
}

/// The state that a program begins with.
pub(super) fn beginning() -> &'static State {
    if KIND.load(Ordering::Relaxed) == FXSAVE { &BEGINNING_FXSAVE } else { &BEGINNING_X87 }
}
