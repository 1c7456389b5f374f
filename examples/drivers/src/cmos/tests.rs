//! Clocks that go, and that are none.

use super::*;
use crate::wait::tests::Pauses;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::vec::Vec;

/// A CMOS that holds bytes, changes so often before it stands still, and ticks so often while it is read.
struct Model {
    bytes: [u8; 128],
    changing: Cell<u32>,
    ticks: Cell<u32>,
    seconds: Cell<u8>,
}

impl Model {
    /// 2026-11-25 21:43:05.
    fn new(status: u8) -> Self {
        let mut bytes = [0; 128];
        bytes[..10].copy_from_slice(&[0x05, 0, 0x43, 0, 0x21, 0, 4, 0x25, 0x11, 0x26]);
        bytes[usize::from(STATUS_B)] = status;
        bytes[usize::from(CENTURY)] = 0x20;
        Self { bytes, changing: Cell::new(0), ticks: Cell::new(0), seconds: Cell::new(0) }
    }

    fn date(&self) -> Result<Date, Error> {
        date(self, &Pauses::of(Duration::from_micros(10)))
    }
}

impl Cmos for Model {
    fn byte(&self, index: u8) -> u8 {
        match index {
            STATUS_A if self.changing.get() > 0 => {
                self.changing.set(self.changing.get() - 1);
                CHANGING | 0x26
            }
            STATUS_A => 0x26,
            SECOND if self.ticks.get() > 0 => {
                self.ticks.set(self.ticks.get() - 1);
                self.seconds.set(self.seconds.get() + 1);
                self.seconds.get()
            }
            _ => self.bytes[usize::from(index)],
        }
    }
}

const NOW: Date = Date { year: 2026, month: 11, day: 25, hour: 21, minute: 43, second: 5 };

#[test]
fn a_date_is_read_in_either_code() {
    assert_eq!(Model::new(HOURS_24).date(), Ok(NOW));
    let mut binary = Model::new(HOURS_24 | BINARY);
    for index in [SECOND, MINUTE, HOUR, DAY, MONTH, YEAR, CENTURY] {
        let byte = &mut binary.bytes[usize::from(index)];
        *byte = (*byte >> 4) * 10 + (*byte & 0xf);
    }
    assert_eq!(binary.date(), Ok(NOW));
    assert_eq!(std::format!("{NOW}"), "2026-11-25 21:43:05");
}

#[test]
fn twelve_is_the_first_hour_of_each_half() {
    let hour = |byte| {
        let mut model = Model::new(0);
        model.bytes[usize::from(HOUR)] = byte;
        model.date().map(|date| date.hour)
    };
    let hours: Vec<_> = [0x12, 0x01, 0x11, 0x92, 0x81, 0x91].map(hour).to_vec();
    assert_eq!(hours, [Ok(0), Ok(1), Ok(11), Ok(12), Ok(13), Ok(23)]);
    for none in [0x00, 0x13, 0x80, 0x93, 0x0a] {
        assert_eq!(hour(none), Err(Error::NoDate), "{none:#x}");
    }
}

#[test]
fn a_change_is_waited_for_and_a_tick_read_again() {
    let model = Model::new(HOURS_24);
    model.changing.set(20);
    model.ticks.set(3);
    assert_eq!(model.date(), Ok(NOW));
    model.changing.set(u32::MAX);
    assert_eq!(model.date(), Err(Error::TimedOut));
    model.changing.set(0);
    model.ticks.set(50);
    assert_eq!(model.date(), Err(Error::TimedOut));
}

#[test]
fn what_is_no_date() {
    let with = |index: u8, byte| {
        let mut model = Model::new(HOURS_24);
        model.bytes[usize::from(index)] = byte;
        model.date()
    };
    for (index, byte) in [
        (SECOND, 0x60),
        (SECOND, 0x0a),
        (MINUTE, 0x60),
        (HOUR, 0x24),
        (DAY, 0),
        (DAY, 0x31),
        (MONTH, 0),
        (MONTH, 0x13),
        (YEAR, 0xa0),
    ] {
        assert_eq!(with(index, byte), Err(Error::NoDate), "{index}: {byte:#x}");
    }
    let mut nobody = Model::new(HOURS_24);
    nobody.bytes = [0xff; 128];
    assert_eq!(nobody.date(), Err(Error::NoDate));
    // A century that is none is this one.
    assert_eq!(with(CENTURY, 0xff), Ok(NOW));
    assert_eq!(with(CENTURY, 0x19).map(|date| date.year), Ok(1926));
}

#[test]
fn leap_days() {
    let day = |century, year, day| {
        let mut model = Model::new(HOURS_24);
        let bytes = [(CENTURY, century), (YEAR, year), (MONTH, 2), (DAY, day)];
        bytes.iter().for_each(|(index, byte)| model.bytes[usize::from(*index)] = *byte);
        model.date().is_ok()
    };
    assert!(day(0x20, 0x28, 0x29) && day(0x20, 0x00, 0x29) && day(0x20, 0x27, 0x28));
    assert!(!day(0x20, 0x27, 0x29) && !day(0x21, 0x00, 0x29) && !day(0x20, 0x28, 0x30));
}

/// Answers whatever comes next.
struct Noise(RefCell<Vec<u8>>);

impl Cmos for Noise {
    fn byte(&self, _: u8) -> u8 {
        let mut bytes = self.0.borrow_mut();
        bytes.rotate_left(1);
        bytes[0]
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_date_or_none(bytes in prop::collection::vec(any::<u8>(), 1..100)) {
        let noise = Noise(RefCell::new(bytes));
        if let Ok(date) = date(&noise, &Pauses::of(Duration::from_micros(10))) {
            prop_assert!((1900..2200).contains(&date.year) && (1..=12).contains(&date.month));
            prop_assert!((1..=31).contains(&date.day) && date.hour < 24 && date.minute < 60 && date.second < 60);
        }
    }
}
