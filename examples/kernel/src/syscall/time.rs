//! Calls about time.

use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::process::Current;
use crate::time::{self, Event, SECOND, from_timespec, from_timeval, split};

/// How wide the seconds of a `timespec` are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Width {
    /// 32 bits, of the old calls.
    Word,
    /// 64 bits, of those whose names end in `time64`.
    Long,
}

impl Width {
    /// Bytes of a `timespec`.
    pub(super) const fn timespec(self) -> u32 {
        match self {
            Self::Word => 8,
            Self::Long => 16,
        }
    }
}

/// The seconds and nanoseconds of the `timespec` at `at`.
pub(super) fn timespec(current: &Current, at: u32, width: Width) -> Result<(i64, u32)> {
    match width {
        Width::Word => {
            let [seconds, nanoseconds] = user::words(&current.space, at)?;
            Ok((seconds.cast_signed().into(), nanoseconds))
        }
        Width::Long => {
            let [low, high, nanoseconds, _] = user::words(&current.space, at)?;
            Ok(((u64::from(low) | u64::from(high) << 32).cast_signed(), nanoseconds))
        }
    }
}

/// The nanoseconds of the `timespec` at `at`.
pub(super) fn duration(current: &Current, at: u32, width: Width) -> Result<u64> {
    let (seconds, nanoseconds) = timespec(current, at, width)?;
    from_timespec(seconds, nanoseconds)
}

fn put(current: &Current, at: u32, width: Width, nanoseconds: u64) -> Result<()> {
    let (seconds, nanoseconds) = split(nanoseconds);
    match width {
        Width::Word => user::put_words(&current.space, at, [seconds, nanoseconds]),
        Width::Long => user::put_words(&current.space, at, [seconds, 0, nanoseconds, 0]),
    }
}

/// `CLOCK_*`.
const REAL: u32 = 0;
const MONOTONIC: u32 = 1;
const PROCESS: u32 = 2;
const THREAD: u32 = 3;
const MONOTONIC_RAW: u32 = 4;
const REAL_COARSE: u32 = 5;
const MONOTONIC_COARSE: u32 = 6;
const BOOT: u32 = 7;

/// What the clock `clock` says. The time that a process has had the CPU is not measured: it is that since the boot.
fn clock(clock: u32) -> Result<u64> {
    match clock {
        REAL | REAL_COARSE => Ok(time::real()),
        MONOTONIC | MONOTONIC_RAW | MONOTONIC_COARSE | BOOT | PROCESS | THREAD => Ok(time::now()),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn get(current: &mut Current, which: u32, to: u32, width: Width) -> Result<u32> {
    put(current, to, width, clock(which)?)?;
    Ok(0)
}

pub(super) fn set(current: &mut Current, which: u32, from: u32, width: Width) -> Result<u32> {
    if which != REAL {
        return Err(Errno::EINVAL);
    }
    set_to(current, duration(current, from, width)?)
}

fn set_to(current: &Current, nanoseconds: u64) -> Result<u32> {
    if current.subject.lock().uid != 0 {
        return Err(Errno::EPERM);
    }
    time::set_real(nanoseconds);
    Ok(0)
}

pub(super) fn resolution(current: &mut Current, which: u32, to: u32, width: Width) -> Result<u32> {
    clock(which)?;
    if to != 0 {
        put(current, to, width, 1)?;
    }
    Ok(0)
}

pub(super) fn seconds(current: &mut Current, to: u32) -> Result<u32> {
    let (seconds, _) = split(time::real());
    if to != 0 {
        user::put_words(&current.space, to, [seconds])?;
    }
    Ok(seconds)
}

pub(super) fn set_seconds(current: &mut Current, from: u32) -> Result<u32> {
    let seconds = user::word(&current.space, from)?;
    set_to(current, u64::from(seconds) * SECOND)
}

pub(super) fn time_of_day(current: &mut Current, to: u32, zone: u32) -> Result<u32> {
    let (seconds, nanoseconds) = split(time::real());
    if to != 0 {
        user::put_words(&current.space, to, [seconds, nanoseconds / 1000])?;
    }
    if zone != 0 {
        user::put_words(&current.space, zone, [0, 0])?;
    }
    Ok(0)
}

pub(super) fn set_time_of_day(current: &mut Current, from: u32) -> Result<u32> {
    if from == 0 {
        return Ok(0);
    }
    let words: [u32; 2] = user::words(&current.space, from)?;
    let [seconds, micros] = words.map(u32::cast_signed);
    set_to(current, from_timeval(seconds, micros)?)
}

/// `TIMER_ABSTIME`
const ABSOLUTE: u32 = 1;

pub(super) fn sleep(
    current: &mut Current,
    which: u32,
    flags: u32,
    from: u32,
    left: u32,
    width: Width,
) -> Result<u32> {
    let time = duration(current, from, width)?;
    let now = clock(which)?;
    let is_absolute = flags & ABSOLUTE != 0;
    let wait = if is_absolute { time.saturating_sub(now) } else { time };
    let deadline = time::now().saturating_add(wait);
    if wait == 0 {
        return Ok(0);
    }
    let alarm = time::at(deadline, Event::Wake(current.turn));
    let result = loop {
        if time::now() >= deadline {
            break Ok(0);
        }
        if let Err(error) = current.sleep() {
            break Err(error);
        }
    };
    time::call_off(alarm);
    if result.is_err() && !is_absolute && left != 0 {
        put(current, left, width, deadline.saturating_sub(time::now()))?;
    }
    result
}

/// The time that processes have had the CPU is not measured: all are zero. Answers with hundredths of a second since the
/// boot.
pub(super) fn times(current: &mut Current, to: u32) -> Result<u32> {
    if to != 0 {
        user::put_words(&current.space, to, [0; 4])?;
    }
    Ok((time::now() / (SECOND / 100)) as u32)
}
