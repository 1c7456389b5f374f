//! The flush clock: when may a dropped frame still be in some CPU's TLB?
//!
//! A global clock and, for every CPU, the time of its last flush. A flush **ticks** the clock,
//! then invalidates, then **publishes** its time. Who drops a translation clears the entry first
//! and then stamps the frame with the clock. So a CPU whose flush time is *after* the stamp began
//! to invalidate after the entry was gone; a CPU whose time equals it may have invalidated before.
//!
//! The clock runs on a circle of 2^31, and of two times the later is known only while they are
//! less than half of it apart. A hand goes round with the clock: every tick looks at one frame's
//! stamp and one CPU's flush time, and renews what is older than a quarter of the circle. With
//! 2^20 frames at most, nothing ever gets much older than that quarter.

use crate::address::{FRAME_BYTES, Frame, PhysAddr};
use crate::frame::stamp::Time;
use crate::machine::{Cpu, Memory};
use static_assertions::const_assert;

/// The clock and the flush times, at the start of a frame of the library's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    base: PhysAddr,
}

// The clock word and a word for each CPU fit the frame.
const_assert!(4 * (1 + Cpu::LIMIT) <= FRAME_BYTES);

impl Clock {
    /// The clock at `base`.
    ///
    /// # Safety
    ///
    /// 1. `base` is the start of a frame of RAM.
    /// 2. Nothing but this clock's own methods writes the frame from now on.
    pub(crate) const unsafe fn new(base: PhysAddr) -> Self {
        Self { base }
    }

    /// Whether the clock lies in `frame`.
    pub(crate) const fn lies_in(self, frame: Frame) -> bool {
        self.base.containing().number() == frame.number()
    }

    /// Where the flush time of `cpu` lies.
    const fn flush_time(self, cpu: Cpu) -> PhysAddr {
        self.base.plus(cpu.number().wrapping_mul(4).wrapping_add(4))
    }

    /// Sets the clock to its first value and every flush time to that. No stamp may exist.
    pub(crate) fn start(self, ram: &impl Memory) {
        self.start_at(ram, Time::FIRST.bits());
    }

    /// As [`start`](Self::start), at another odd value.
    pub(crate) fn start_at(self, ram: &impl Memory, word: u32) {
        // SAFETY: 1. the clock word is the frame's first (`new`, 1). 2. It is the library's (`new`, 2).
        unsafe { ram.store(self.base, word) };
        for cpu in (0..Cpu::LIMIT).filter_map(Cpu::new) {
            // SAFETY: 1. the word lies in the frame, as asserted above. 2. as before.
            unsafe { ram.store(self.flush_time(cpu), Time::of_clock(word).bits()) }
        }
    }

    /// What the clock shows.
    #[inline(always)]
    pub(crate) fn now(self, ram: &impl Memory) -> Time {
        // SAFETY: 1. and 2. as in `start`.
        Time::of_clock(unsafe { ram.load(self.base) })
    }

    /// Moves the clock on and returns what it then shows: the time of a flush that begins.
    #[inline(always)]
    pub(crate) fn tick(self, ram: &impl Memory) -> Time {
        // SAFETY: 1. and 2. as in `start`.
        let before = unsafe { ram.fetch_add(self.base, Time::TICK) };
        Time::of_clock(before.wrapping_add(Time::TICK))
    }

    /// Says that `cpu`, the caller, has flushed all that was dropped before `time`.
    #[inline(always)]
    pub(crate) fn publish(self, ram: &impl Memory, cpu: Cpu, time: Time) {
        // SAFETY: 1. and 2. as in `start`; a CPU alone writes its own time, with interrupts off.
        unsafe { ram.store(self.flush_time(cpu), time.bits()) }
    }

    /// When `cpu` last flushed.
    #[inline(always)]
    pub(crate) fn flushed(self, ram: &impl Memory, cpu: Cpu) -> Time {
        // SAFETY: 1. and 2. as in `start`.
        Time::of_clock(unsafe { ram.load(self.flush_time(cpu)) })
    }
}

#[cfg(test)]
mod tests;
