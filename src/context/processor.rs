//! What each CPU runs: the records of the CPUs, in RAM.
//!
//! A CPU reads and writes only its own record, with interrupts off.

use super::threads::Record;
use crate::address::{FRAME_BYTES, PhysAddr};
use crate::machine::{Cpu, Memory};
use static_assertions::const_assert;

/// Where the records lie: in the library's frame with the clock, behind the records of loaded roots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processors {
    base: PhysAddr,
}

/// The record of a CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processor(PhysAddr);

const OFFSET: u32 = 512;
const BYTES: u32 = 16;
const_assert!(OFFSET >= crate::mmu::loaded::END && OFFSET + BYTES * Cpu::LIMIT <= FRAME_BYTES);

/// Where the record of the running thread is.
const CURRENT: u32 = 0;
/// Where the record of the thread is that was left.
const LEFT: u32 = 4;
/// FS and GS as this CPU has them, FS in the low half.
const SELECTORS: u32 = 8;
/// Whether the floating-point registers hold the running thread's state.
const FP_LIVE: u32 = 12;

/// FS and GS null, as every CPU begins.
pub(super) const NULL_SELECTORS: u32 = 0;

impl Processors {
    /// The records in the frame at `base`.
    ///
    /// # Safety
    ///
    /// 1. `base` is the start of a frame of RAM.
    /// 2. From byte 512 on nothing but these records writes it from now on.
    pub(crate) const unsafe fn new(base: PhysAddr) -> Self {
        Self { base }
    }

    /// The record of `cpu`.
    #[inline(always)]
    pub(crate) const fn of(self, cpu: Cpu) -> Processor {
        Processor(self.base.plus(OFFSET).plus(cpu.number().wrapping_mul(BYTES)))
    }
}

impl Processor {
    /// The CPU runs `thread`, and has run no program.
    pub(crate) fn start(self, ram: &impl Memory, thread: Record) {
        self.set_current(ram, thread);
        self.set_selectors(ram, NULL_SELECTORS);
    }

    #[inline(always)]
    fn read(self, ram: &impl Memory, offset: u32) -> u32 {
        // SAFETY: 1. a record in RAM (`Processors::new`), offsets are multiples of 4 in it. 2. as there.
        unsafe { ram.load(self.0.plus(offset)) }
    }

    #[inline(always)]
    fn write(self, ram: &impl Memory, offset: u32, value: u32) {
        // SAFETY: as in `read`.
        unsafe { ram.store(self.0.plus(offset), value) }
    }

    /// The running thread.
    #[inline(always)]
    pub(crate) fn current(self, ram: &impl Memory) -> Record {
        // SAFETY: only `start` and `set_current` write it.
        unsafe { Record::at(PhysAddr::new(self.read(ram, CURRENT))) }
    }

    #[inline(always)]
    pub(crate) fn set_current(self, ram: &impl Memory, thread: Record) {
        self.write(ram, CURRENT, thread.address().get());
    }

    /// The stack of `thread` is being left.
    #[inline(always)]
    pub(crate) fn leave(self, ram: &impl Memory, thread: Record) {
        self.write(ram, LEFT, thread.address().get());
    }

    /// Publishes the thread that was left. Called on the stack of the next.
    #[inline(always)]
    pub(crate) fn publish(self, ram: &impl Memory) {
        // SAFETY: only `leave` writes it.
        let left = unsafe { Record::at(PhysAddr::new(self.read(ram, LEFT))) };
        left.set_word(ram, left.word(ram).left());
    }

    /// Whether FS and GS are as in `selectors`, and mean what they meant when they were loaded.
    #[inline(always)]
    pub(crate) fn has_selectors(self, ram: &impl Memory, selectors: u32) -> bool {
        self.read(ram, SELECTORS) == selectors
    }

    #[inline(always)]
    pub(crate) fn set_selectors(self, ram: &impl Memory, selectors: u32) {
        self.write(ram, SELECTORS, selectors);
    }

    /// Whether the floating-point registers hold the running thread's state.
    #[inline(always)]
    pub(crate) fn is_fp_live(self, ram: &impl Memory) -> bool {
        self.read(ram, FP_LIVE) != 0
    }

    pub(crate) fn set_fp_live(self, ram: &impl Memory, live: bool) {
        self.write(ram, FP_LIVE, live.into());
    }
}
