//! What the controllers are told, against the data sheet: a chip that is read from it, and the exact bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::interrupt::fixture::{Emulator, machine, port, writes};
use crate::machine::emulated::{Direction, Register};
use proptest::prelude::*;
use std::vec::Vec;

/// One 8259A, as far as a PC uses it.
#[derive(Clone, Copy, Default, Debug)]
struct Model {
    /// Which initialisation word comes next; 0 when it runs.
    expects: u8,
    cascaded: bool,
    vectors: u8,
    wiring: u8,
    mode: u8,
    mask: u8,
    in_service: u8,
}

impl Model {
    /// A write with A0 low.
    fn command(&mut self, value: u8) {
        if value & 0x10 != 0 {
            // ICW1 clears the mask and everything in service.
            *self = Self { expects: 2, cascaded: value & 2 == 0, ..Self::default() };
            assert_eq!(value & 0x0d, 0x01, "edge-triggered, and ICW4 follows");
        } else if value & 0x08 != 0 {
            assert_eq!(value, 0x0b, "OCW3: read the in-service register, no special mask");
        } else {
            match value >> 5 {
                // Specific end of interrupt.
                0b011 => self.in_service &= !(1 << (value & 7)),
                other => panic!("OCW2 with command {other}"),
            }
        }
    }

    /// A write with A0 high.
    fn data(&mut self, value: u8) {
        match self.expects {
            2 => self.vectors = value,
            3 => self.wiring = value,
            4 => self.mode = value,
            _ => self.mask = value,
        }
        self.expects = match self.expects {
            2 if self.cascaded => 3,
            2 | 3 => 4,
            _ => 0,
        };
    }
}

/// The two of them.
#[derive(Clone, Copy, Default, Debug)]
struct Pair {
    master: Model,
    slave: Model,
}

impl Pair {
    fn listen(&mut self, machine: &Emulator) {
        for (port, value) in writes(machine) {
            match port {
                0x20 => self.master.command(value),
                0x21 => self.master.data(value),
                0xa0 => self.slave.command(value),
                0xa1 => self.slave.data(value),
                _ => panic!("port {port:#x} is no controller's"),
            }
        }
    }

    /// The lines that come through to the CPU.
    fn open(&self) -> Vec<u32> {
        let slave_open = self.master.mask & 1 << 2 == 0;
        let is_open = |line: &u32| match line {
            0..8 => self.master.mask & 1 << line == 0,
            _ => slave_open && self.slave.mask & 1 << (line - 8) == 0,
        };
        (0..16).filter(|line| *line != 2).filter(is_open).collect()
    }
}

fn line(number: u32) -> Line {
    Line::new(number).unwrap()
}

#[test]
fn there_are_fifteen_lines() {
    for number in (0..300).chain([u32::MAX, 1 << 8, 1 << 16]) {
        let exists = number < 16 && number != 2;
        assert_eq!(Line::new(number).is_some(), exists, "{number}");
        assert!(Line::new(number).is_none_or(|line| u32::from(line.number()) == number));
    }
    assert_eq!(Line::all().count(), 15);
    for vector in Vector::all() {
        let expected = u32::from(vector.number()).checked_sub(32).and_then(Line::new);
        assert_eq!(Line::of(vector), expected);
    }
    assert_eq!((Line::TIMER.number(), Line::KEYBOARD.number()), (0, 1));
}

/// The 8259A's initialisation sequence (data sheet, figure 6), master first, then the masks.
#[test]
fn the_start_is_the_sequence_of_the_data_sheet() {
    let machine = machine();
    let lines = Lines::new();
    lines.start(machine);
    let expected = [
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 0x04),
        (0x21, 0x01),
        (0xa0, 0x11),
        (0xa1, 0x28),
        (0xa1, 0x02),
        (0xa1, 0x01),
        (0x21, 0xfb),
        (0xa1, 0xff),
    ];
    assert_eq!(writes(machine), expected);
}

#[test]
fn the_start_leaves_chips_that_hold_all_lines_back() {
    let machine = machine();
    let lines = Lines::new();
    lines.start(machine);
    let mut pair = Pair::default();
    pair.listen(machine);
    assert_eq!((pair.master.vectors, pair.slave.vectors), (32, 40));
    assert_eq!((pair.master.wiring, pair.slave.wiring), (1 << 2, 2));
    assert_eq!((pair.master.mode, pair.slave.mode), (1, 1));
    assert_eq!((pair.master.expects, pair.slave.expects), (0, 0));
    assert!(pair.open().is_empty());
    assert!(Line::all().all(|line| lines.is_masked(machine, line)));
}

/// Whatever was unmasked before.
#[test]
fn the_start_masks_again() {
    let machine = machine();
    let lines = Lines::new();
    lines.start(machine);
    lines.unmask(machine, line(3));
    lines.unmask(machine, line(12));
    lines.start(machine);
    let mut pair = Pair::default();
    pair.listen(machine);
    assert!(pair.open().is_empty());
    assert!(Line::all().all(|line| lines.is_masked(machine, line)));
}

proptest! {
    /// Each change is one byte to the line's own chip, and what the chips let through is what was asked.
    #[test]
    fn masks_are_those_asked_for(changes in prop::collection::vec((0..16_u32, any::<bool>()), 1..60)) {
        let machine = machine();
        let lines = Lines::new();
        lines.start(machine);
        let mut pair = Pair::default();
        pair.listen(machine);
        let mut open = std::collections::BTreeSet::new();
        for (number, unmask) in changes {
            let Some(line) = Line::new(number) else { continue };
            if unmask {
                lines.unmask(machine, line);
                open.insert(number);
            } else {
                lines.mask(machine, line);
                open.remove(&number);
            }
            prop_assert_eq!(machine.devices().log.len(), 1);
            let own = if number < 8 { 0x21 } else { 0xa1 };
            prop_assert_eq!(port(&machine.devices().log[0]).0, own);
            pair.listen(machine);
            prop_assert_eq!(pair.open(), open.iter().copied().collect::<Vec<_>>());
            for line in Line::all() {
                let masked = lines.is_masked(machine, line);
                prop_assert_eq!(masked, !open.contains(&u32::from(line.number())));
            }
        }
    }
}

/// The end of an interrupt clears its own bit in service, and that of the slave at the master; no other.
#[test]
fn the_end_is_specific() {
    let machine = machine();
    for line in Line::all() {
        let mut pair = Pair::default();
        (pair.master.in_service, pair.slave.in_service) = (0xff, 0xff);
        Lines::new().end(machine, line);
        pair.listen(machine);
        let number = u32::from(line.number());
        let (master, slave) = if number < 8 { (1 << number, 0) } else { (1 << 2, 1 << (number - 8)) };
        assert_eq!((!pair.master.in_service, !pair.slave.in_service), (master, slave), "{line:?}");
    }
}

/// Every in-service register there can be: an interrupt by line 7 or 15 is spurious if bit 7 is clear.
#[test]
fn only_the_last_line_of_a_chip_is_ever_spurious() {
    let machine = machine();
    for line in Line::all() {
        let lines = Lines::new();
        for in_service in 0..=u8::MAX {
            let command = if line.number() < 8 { 0x20 } else { 0xa0 };
            let is_last = line.number() % 8 == 7;
            if is_last {
                machine.devices().inject(Register::Port(command), in_service.into());
            }
            let spurious = is_last && in_service & 0x80 == 0;
            let before = lines.spurious();
            assert_eq!(lines.is_spurious(machine, line), spurious, "{line:?} {in_service:#x}");
            assert_eq!(lines.spurious(), before + u32::from(spurious));
            let log: Vec<_> =
                machine.devices().log.drain(..).map(|access| (access.direction, port(&access))).collect();
            let mut expected = Vec::new();
            if is_last {
                expected.push((Direction::Write, (command, 0x0b)));
                expected.push((Direction::Read, (command, in_service)));
            }
            if spurious && line.number() == 15 {
                // The slave has nothing in service; the master has the slave.
                expected.push((Direction::Write, (0x20, 0x62)));
            }
            assert_eq!(log, expected, "{line:?} {in_service:#x}");
        }
    }
}

#[test]
fn a_line_that_is_silenced_is_masked_and_counted() {
    let machine = machine();
    let lines = Lines::new();
    lines.unmask(machine, line(5));
    lines.unmask(machine, line(6));
    lines.silence(machine, line(5));
    assert!(lines.is_masked(machine, line(5)));
    assert!(!lines.is_masked(machine, line(6)));
    assert_eq!((lines.stray(), lines.spurious()), (1, 0));
}
