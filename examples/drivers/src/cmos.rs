//! The clock that keeps the time while the machine is off (MC146818 data sheet).

use core::fmt;
use core::time::Duration;
use sva_os::io::Io;
use sva_os::machine::Machine;

use crate::wait::{Clock, TimedOut, wait};

/// Indexes of its bytes.
const SECOND: u8 = 0x00;
const MINUTE: u8 = 0x02;
const HOUR: u8 = 0x04;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
/// Where most machines keep the century, if anywhere.
const CENTURY: u8 = 0x32;

/// Of status A: the time changes within 244 us, or is changing.
const CHANGING: u8 = 1 << 7;
/// Of status B: hours to 24; numbers are binary.
const HOURS_24: u8 = 1 << 1;
const BINARY: u8 = 1 << 2;
/// Of an hour to 12.
const AFTERNOON: u8 = 1 << 7;

/// How long a change, which comes once in a second, is waited for.
const PATIENCE: Duration = Duration::from_millis(20);
/// How often two readings may differ: they do if the seconds change between them.
const READINGS: u32 = 5;

/// Bytes of the CMOS.
pub trait Cmos {
    /// The byte at `index`.
    fn byte(&self, index: u8) -> u8;
}

impl<M: Machine> Cmos for Io<'_, M> {
    fn byte(&self, index: u8) -> u8 {
        self.cmos(index)
    }
}

/// A date and the time of a day, each number in its range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Date {
    /// 1900 to 2199.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to what the month has.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Why there is no date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The time never stood still.
    TimedOut,
    /// What stands there is no date: the battery is empty, or there is no clock.
    NoDate,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "the clock's time never stood still",
            Self::NoDate => "the clock holds no date",
        })
    }
}

impl core::error::Error for Error {}

impl From<TimedOut> for Error {
    fn from(_: TimedOut) -> Self {
        Self::TimedOut
    }
}

/// The date now, as the machine's owner set it: local time or universal.
///
/// # Errors
///
/// [`TimedOut`](Error::TimedOut), [`NoDate`](Error::NoDate).
pub fn date<C: Clock>(cmos: &impl Cmos, clock: &C) -> Result<Date, Error> {
    let mut before = reading(cmos, clock)?;
    for _ in 0..READINGS {
        let again = reading(cmos, clock)?;
        if again == before {
            return decode(again);
        }
        before = again;
    }
    Err(Error::TimedOut)
}

/// The bytes of the time, and the century's and status B.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Reading {
    time: [u8; 6],
    century: u8,
    status: u8,
}

/// Reads when the time does not change.
fn reading<C: Clock>(cmos: &impl Cmos, clock: &C) -> Result<Reading, Error> {
    wait(clock, PATIENCE, || (cmos.byte(STATUS_A) & CHANGING == 0).then_some(()))?;
    let time = [SECOND, MINUTE, HOUR, DAY, MONTH, YEAR].map(|index| cmos.byte(index));
    Ok(Reading { time, century: cmos.byte(CENTURY), status: cmos.byte(STATUS_B) })
}

fn decode(reading: Reading) -> Result<Date, Error> {
    let number = |byte: u8| {
        if reading.status & BINARY != 0 {
            return (byte < 100).then_some(byte);
        }
        let (tens, ones) = (byte >> 4, byte & 0xf);
        (tens < 10 && ones < 10).then(|| tens.saturating_mul(10).saturating_add(ones))
    };
    let [second, minute, hour, day, month, year] = reading.time;
    let hour = if reading.status & HOURS_24 != 0 {
        number(hour)
    } else {
        // 12 is the first hour of each half.
        number(hour & !AFTERNOON).filter(|hour| (1..=12).contains(hour)).map(|twelfth| {
            let half = if hour & AFTERNOON != 0 { 12 } else { 0 };
            twelfth.checked_rem(12).unwrap_or_default().saturating_add(half)
        })
    };
    // A machine that keeps no century there means this one.
    let century = number(reading.century).filter(|century| (19..=21).contains(century)).unwrap_or(20);
    let date = || {
        Some(Date {
            year: u16::from(century).checked_mul(100)?.checked_add(number(year)?.into())?,
            month: number(month)?,
            day: number(day)?,
            hour: hour?,
            minute: number(minute)?,
            second: number(second)?,
        })
    };
    date().filter(is_one).ok_or(Error::NoDate)
}

fn is_one(date: &Date) -> bool {
    let leap = date.year.is_multiple_of(4) && !date.year.is_multiple_of(100) || date.year.is_multiple_of(400);
    let days = match date.month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&date.day) && date.hour < 24 && date.minute < 60 && date.second < 60
}

#[cfg(test)]
mod tests;
