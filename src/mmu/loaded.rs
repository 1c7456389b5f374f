//! Which root each CPU has loaded, as far as the other CPUs can see.
//!
//! CR3 can be read only on its own CPU. What is given back when a root is left is always what CR3
//! holds; these records let an audit count every CPU's load.

use crate::address::{FRAME_BYTES, Frame, PhysAddr};
use crate::machine::{Cpu, Memory};
use static_assertions::const_assert;

/// One word a CPU: the number of its root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    base: PhysAddr,
}

// They lie behind the clock in the same frame.
const OFFSET: u32 = 4 * (1 + Cpu::LIMIT);
/// The first byte of the frame behind them.
pub(crate) const END: u32 = OFFSET + 4 * Cpu::LIMIT;
const_assert!(END <= FRAME_BYTES);

impl Loaded {
    /// The records in the frame at `base`.
    ///
    /// # Safety
    ///
    /// 1. `base` is the start of a frame of RAM.
    /// 2. Nothing but these records and the [`Clock`](super::clock::Clock) writes it up to `END` from now on.
    pub(crate) const unsafe fn new(base: PhysAddr) -> Self {
        Self { base }
    }

    const fn record(self, cpu: Cpu) -> PhysAddr {
        self.base.plus(OFFSET).plus(cpu.number().wrapping_mul(4))
    }

    /// Notes that `cpu`, the caller or one that has not started, has loaded `root`.
    #[inline(always)]
    pub(crate) fn set(self, ram: &impl Memory, cpu: Cpu, root: Frame) {
        if cfg!(not(sva_os_unchecked)) {
            // SAFETY: 1. the record lies in the frame, as asserted above. 2. as `new` says.
            unsafe { ram.store(self.record(cpu), root.number()) }
        }
    }

    /// The root that `cpu` loaded last.
    pub(crate) fn get(self, ram: &impl Memory, cpu: Cpu) -> Option<Frame> {
        // SAFETY: 1. and 2. as in `set`.
        Frame::new(unsafe { ram.load(self.record(cpu)) })
    }
}

#[cfg(test)]
mod tests;
