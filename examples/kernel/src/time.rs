//! What time it is, and who waits for what time.
//!
//! Time is the CPU's time-stamp counter, measured against the timer at boot; where there is none, it is counted in
//! ticks of the timer. Whoever waits for a time is woken by the first tick after it.

#[cfg(target_os = "none")]
mod clock;

#[cfg(target_os = "none")]
pub use clock::*;

use crate::errno::{Errno, Result};

/// Ticks of the timer in a second.
pub const HZ: u32 = 250;
/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// A factor by which counts of a clock become nanoseconds: so many 2^-32 of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scale(u64);

impl Scale {
    /// Of a clock that counts `hz` a second.
    pub const fn new(hz: u64) -> Self {
        match (SECOND << 32).checked_div(hz) {
            Some(factor) => Self(factor),
            None => Self(0),
        }
    }

    /// So many counts in nanoseconds.
    pub const fn nanoseconds(self, count: u64) -> u64 {
        let (count_high, count_low) = (count >> 32, count & 0xffff_ffff);
        let (high, low) = (self.0 >> 32, self.0 & 0xffff_ffff);
        let carried = (count_low * low) >> 32;
        let middle = count_low * high + count_high * low + carried;
        middle.wrapping_add((count_high * high) << 32)
    }
}

/// The seconds, and the nanoseconds that are left.
pub const fn split(nanoseconds: u64) -> (u32, u32) {
    ((nanoseconds / SECOND) as u32, (nanoseconds % SECOND) as u32)
}

/// Nanoseconds of a `timespec`.
///
/// # Errors
///
/// EINVAL if it is none.
pub fn from_timespec(seconds: i64, nanoseconds: u32) -> Result<u64> {
    let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
    if u64::from(nanoseconds) >= SECOND {
        return Err(Errno::EINVAL);
    }
    Ok(seconds.saturating_mul(SECOND).saturating_add(nanoseconds.into()))
}

/// Nanoseconds of a `timeval`.
///
/// # Errors
///
/// EINVAL if it is none.
pub fn from_timeval(seconds: i32, microseconds: i32) -> Result<u64> {
    let microseconds =
        u32::try_from(microseconds).ok().filter(|micros| *micros < 1_000_000).ok_or(Errno::EINVAL)?;
    from_timespec(seconds.into(), microseconds * 1000)
}

/// Seconds since 1970 of a day and time of the calendar (Gregorian, UTC).
pub fn since_1970(year: u32, month: u32, day: u32, hour: u32, minute: u32, second: u32) -> u64 {
    // Years that begin in March end with the leap day; 400 of them have 146,097 days.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.saturating_sub(1), month + 9) };
    let days = 365 * u64::from(year) + u64::from(year / 4) - u64::from(year / 100) + u64::from(year / 400);
    let days = days + u64::from((153 * month + 2) / 5) + u64::from(day.saturating_sub(1));
    // 719,468 days lie between March 1 of the year 0 and 1970.
    let days = days.saturating_sub(719_468);
    ((days * 24 + u64::from(hour)) * 60 + u64::from(minute)) * 60 + u64::from(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_nanoseconds_without_overflow() {
        let ghz = Scale::new(1_000_000_000);
        assert_eq!(ghz.nanoseconds(123_456_789), 123_456_789);
        let fast = Scale::new(3_000_000_000);
        let year = 3_000_000_000 * 86_400 * 365;
        let error = fast.nanoseconds(year).abs_diff(86_400 * 365 * SECOND);
        assert!(error < SECOND, "{error}");
        assert_eq!(Scale::new(0).nanoseconds(5), 0);
        assert_eq!(Scale::new(250).nanoseconds(250), SECOND);
    }

    #[test]
    fn the_calendar_is_gregorian() {
        assert_eq!(since_1970(1970, 1, 1, 0, 0, 0), 0);
        assert_eq!(since_1970(2000, 2, 29, 12, 0, 1), 951_825_601);
        assert_eq!(since_1970(2024, 3, 1, 0, 0, 0), 1_709_251_200);
        assert_eq!(since_1970(2100, 3, 1, 0, 0, 0), 4_107_542_400);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        assert_eq!(from_timespec(1, 5), Ok(SECOND + 5));
        assert_eq!(from_timespec(-1, 5), Err(Errno::EINVAL));
        assert_eq!(from_timespec(1, 1_000_000_000), Err(Errno::EINVAL));
        assert_eq!(from_timespec(i64::MAX, 0), Ok(u64::MAX));
        assert_eq!(from_timeval(1, 2), Ok(SECOND + 2000));
        assert_eq!(from_timeval(1, 1_000_000), Err(Errno::EINVAL));
        assert_eq!(from_timeval(1, -1), Err(Errno::EINVAL));
    }
}
