//! Floating-point state: the x87, MMX and SSE registers of user programs.
//!
//! The kernel uses none of them. CR0.TS is set whenever ring 0 runs, so what a stray instruction would read or
//! change is nobody's: it is a kernel fault. For a program in ring 3 TS is clear only while the registers
//! hold its own thread's state. What was in them before is never seen: before TS is cleared they are loaded.
//!
//! * With [`FpPolicy::Lazy`] that is at its first instruction that uses them: the #NM goes no further.
//! * With [`FpPolicy::Eager`] it is whenever the program is entered, so that a CPU that looks ahead of #NM finds
//!   nothing of another's either.
//!
//! A swap stores what is in the registers, if the thread that is left used them since it was entered last.

use super::processor::Processor;
use super::threads::FP_BYTES;
use crate::address::{PhysAddr, widen};
use crate::machine::Machine;
use crate::sva::Sva;

/// When the registers are loaded with a thread's state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum FpPolicy {
    /// When a program uses them.
    #[default]
    Lazy,
    /// Before a program is entered.
    Eager,
}

/// The bits of MXCSR that a CPU has whose FXSAVE stores this MXCSR_MASK (Intel SDM vol. 1, 11.6.6); another one set is
/// #GP. A CPU that has no mask yet, zero, lacks DAZ, bit 6.
const fn mxcsr_bits(mask: u32) -> u32 {
    if mask == 0 { 0xffbf } else { mask }
}

/// Where MXCSR lies in what FXSAVE stores.
const MXCSR_AT: u32 = 24;
const MXCSR: usize = widen(MXCSR_AT);
/// A CPU without FXSAVE uses only the first 108: FNSAVE's.
const BYTES: usize = widen(FP_BYTES);

/// The state of the floating-point registers, as FXSAVE stores it; on a CPU without it, as FNSAVE does, in the
/// first 108 bytes (Intel SDM vol. 1, 8.1.10 and 10.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(16))]
pub struct FpState([u8; BYTES]);

impl FpState {
    /// Of these bytes. What the CPU would not take is cleared when it is loaded.
    pub const fn new(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    /// Its bytes, to be changed: as with [`new`](Self::new).
    pub const fn bytes_mut(&mut self) -> &mut [u8; BYTES] {
        &mut self.0
    }

    /// MXCSR.
    fn mxcsr(&self) -> u32 {
        self.0.get(MXCSR..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word))
    }
}

impl<M: Machine> Sva<M> {
    /// The floating-point state of the running thread.
    #[doc(alias = "sva_save_fp")]
    pub fn save_fp(&self) -> FpState {
        let mut state = FpState([0; BYTES]);
        let _quiet = self.quiet();
        self.put_fp_away(self.processor());
        // SAFETY: the library's own memory, of so many bytes, and the thread is this CPU's.
        unsafe { self.machine.copy_out(self.own_fp_state(), &mut state.0) }
        state
    }

    /// Makes `state` the floating-point state of the running thread.
    ///
    /// # Checks
    ///
    /// Whatever the bytes are, the CPU can load them: the reserved bits of MXCSR are cleared. Attack U8.
    #[doc(alias = "sva_load_fp")]
    pub fn load_fp(&self, state: &FpState) {
        let mxcsr = state.mxcsr() & mxcsr_bits(self.machine.mxcsr_mask());
        let _quiet = self.quiet();
        self.processor().set_fp_live(&self.machine, false);
        let own = self.own_fp_state();
        // SAFETY: as in `save_fp`.
        unsafe { self.machine.copy_in(own, &state.0) }
        // SAFETY: a word of the same. Nobody loads the registers in between.
        unsafe { self.machine.copy_in(own.plus(MXCSR_AT), &mxcsr.to_le_bytes()) }
    }

    /// When this machine's CPUs load floating-point states from now on.
    pub fn set_fp_policy(&self, policy: FpPolicy) {
        self.machine.handlers().set_fp_policy(policy);
    }

    /// Where the running thread's state is kept. Interrupts are off.
    fn own_fp_state(&self) -> PhysAddr {
        self.half.threads.fp_state(self.processor().current(&self.machine))
    }

    /// Stores what the registers hold of the running thread; one that is left is that until the CPU has the next.
    /// Interrupts are off.
    #[inline(always)]
    pub(super) fn put_fp_away(&self, processor: Processor) {
        if processor.is_fp_live(&self.machine) {
            self.store_fp();
        }
    }

    #[cold]
    #[inline(never)]
    fn store_fp(&self) {
        // SAFETY: the thread's own memory for it; the registers hold its state.
        unsafe { self.machine.store_fp(self.own_fp_state()) }
        self.processor().set_fp_live(&self.machine, false);
    }

    /// Loads the running thread's state if the CPU can and has not. Interrupts are off.
    #[cold]
    #[inline(never)]
    pub(super) fn fetch_fp_early(&self) {
        if !self.processor().is_fp_live(&self.machine) && self.machine.has_fp() {
            self.fetch_fp();
        }
    }

    /// Loads the running thread's state. Interrupts are off.
    #[cold]
    #[inline(never)]
    pub(super) fn fetch_fp(&self) {
        // SAFETY: the thread's own memory for it, which holds what the CPU can load: an initial state, what it
        // stored itself, or what `load_fp` made of a client's.
        unsafe { self.machine.load_fp(self.own_fp_state()) }
        self.processor().set_fp_live(&self.machine, true);
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
