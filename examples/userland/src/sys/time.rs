//! Time, and the counter that counts it.

use core::arch::asm;
use core::time::Duration;

use super::call::{Result, call3};

const NANOSLEEP: usize = 162;
const CLOCK_GETTIME: usize = 265;
const MONOTONIC: usize = 1;
/// In EFLAGS: it can be changed if there is CPUID.
const HAS_CPUID: u32 = 1 << 21;
/// In EDX of CPUID's leaf 1.
const HAS_COUNTER: u32 = 1 << 4;

/// The time since some moment, seconds and nanoseconds.
pub fn now() -> Result<Duration> {
    let mut time = [0_u32; 2];
    // SAFETY: the kernel writes two words.
    unsafe { call3(CLOCK_GETTIME, [MONOTONIC, time.as_mut_ptr().addr(), 0]) }?;
    Ok(Duration::new(time[0].into(), time[1]))
}

/// Waits so many milliseconds.
pub fn sleep(milliseconds: u32) {
    let time = [milliseconds / 1000, milliseconds % 1000 * 1_000_000];
    // SAFETY: the kernel reads two words.
    _ = unsafe { call3(NANOSLEEP, [time.as_ptr().addr(), 0, 0]) };
}

/// The time-stamp counter.
#[derive(Clone, Copy, Debug)]
pub struct Counter(());

impl Counter {
    /// The CPU's, if it has one: a 486 has none.
    pub fn find() -> Option<Self> {
        let [before, after]: [u32; 2];
        // SAFETY: the flag changes nothing, and the stack is as it was.
        unsafe {
            asm!(
                "pushfd", "pop {before}",
                "mov {after}, {before}", "xor {after}, {flag}",
                "push {after}", "popfd", "pushfd", "pop {after}",
                before = out(reg) before, after = out(reg) after, flag = const HAS_CPUID,
            );
        }
        if (before ^ after) & HAS_CPUID == 0 || core::arch::x86::__cpuid(1).edx & HAS_COUNTER == 0 {
            return None;
        }
        Some(Self(()))
    }

    /// How far it has counted.
    #[inline(always)]
    pub fn read(self) -> u64 {
        // SAFETY: there is one, and programs may read it.
        unsafe { core::arch::x86::_rdtsc() }
    }
}
