//! What the named operations write, to the letter.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use crate::io::pci::{CONFIG_ADDRESS, CONFIG_DATA};
use crate::machine::Emulated;
use crate::machine::emulated::{Config, Direction, Register};
use crate::mmu::Pae;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::vec::Vec;

type Machine = Emulated<Pae>;

fn machine() -> Machine {
    Emulated::new(&Config::new(1, 1))
}

/// All writes: port, bytes, value.
fn writes(machine: &Machine) -> Vec<(u16, u32, u64)> {
    let devices = machine.devices();
    let writes = devices.log.iter().filter(|access| access.direction == Direction::Write);
    writes
        .map(|access| match access.register {
            Register::Port(port) => (port, access.bytes, access.value),
            Register::Memory(at) => panic!("an access to memory at {at}"),
            Register::TimeStamp => panic!("a read of the time stamp"),
        })
        .collect()
}

/// Runs `end`, which never returns, and answers why the machine stopped.
fn stopped(machine: &Machine, end: impl FnOnce(Io<'_, Machine>)) -> String {
    let stopped = catch_unwind(AssertUnwindSafe(|| end(Io::new(machine)))).unwrap_err();
    stopped.downcast_ref::<String>().unwrap().clone()
}

/// A function of bus 0, and the answers that it gives to what it is asked.
type Function<'a> = (usize, usize, &'a [u64]);

/// Makes the functions answer, in their order, and all others be absent.
fn inject(machine: &Machine, functions: &[Function<'_>]) {
    let mut devices = machine.devices();
    for number in 0..256 {
        match functions.iter().find(|(device, function, _)| device * 8 + function == number) {
            Some((.., answers)) => {
                answers.iter().for_each(|answer| devices.inject(Register::Port(CONFIG_DATA), *answer));
            }
            None => devices.inject(Register::Port(CONFIG_DATA), 0xffff_ffff),
        }
    }
}

/// What was written elsewhere than to the configuration address and the port that delays.
fn effects(machine: &Machine) -> Vec<(u16, u32, u64)> {
    writes(machine).into_iter().filter(|(port, ..)| ![CONFIG_ADDRESS, DELAY].contains(port)).collect()
}

/// How often the operation waited.
fn delays(machine: &Machine) -> usize {
    writes(machine).into_iter().filter(|write| *write == (0x80, 1, 0)).count()
}

#[test]
fn delay() {
    let machine = machine();
    Io::new(&machine).delay();
    assert_eq!(writes(&machine), [(0x80, 1, 0)]);
}

#[test]
fn reset_tries_the_keyboard_controller_and_the_chipset() {
    let machine = machine();
    let here = crate::machine::Cpu::new(0).unwrap();
    // Busy at first.
    [0x1e, 0x1e, 0x1c].iter().for_each(|status| machine.devices().inject(Register::Port(0x64), *status));
    assert_eq!(stopped(&machine, |io| io.reset()), "the machine was stopped: reset");
    assert_eq!(effects(&machine), [(0x64, 1, 0xfe), (0xcf9, 1, 2), (0xcf9, 1, 6)]);
    assert_eq!(writes(&machine)[..3], [(0x80, 1, 0), (0x80, 1, 0), (0x64, 1, 0xfe)]);
    assert_eq!(delays(&machine), 2 + 2 * 0x1000 + 0x10_0000);
    assert!(machine.interrupts_enabled(here), "off only until the machine stops");
}

#[test]
fn reset_does_not_wait_for_ever() {
    let machine = machine();
    stopped(&machine, |io| io.reset());
    assert_eq!(effects(&machine), [(0x64, 1, 0xfe), (0xcf9, 1, 2), (0xcf9, 1, 6)]);
    assert_eq!(delays(&machine), 3 * 0x1000 + 0x10_0000);
}

/// QEMU's i440fx, new and old: PIIX4 at 00:01.3.
#[test]
fn power_off_writes_where_the_chip_answers() {
    for (base, port) in [(0x601, 0x604), (0xb001, 0xb004)] {
        let machine = machine();
        let bridges: [Function<'_>; 2] = [(0, 0, &[0x1237_8086]), (1, 0, &[0x7000_8086])];
        inject(&machine, &[bridges[0], bridges[1], (1, 3, &[0x7113_8086, base, 1])]);
        assert_eq!(stopped(&machine, |io| io.power_off()), "the machine was stopped: power-off");
        assert_eq!(effects(&machine), [(port, 2, 0x2000)]);
        let asked: Vec<u64> = writes(&machine)
            .iter()
            .filter(|(port, bytes, _)| (*port, *bytes) == (CONFIG_ADDRESS, 4))
            .map(|(.., value)| *value)
            .collect();
        assert_eq!(asked.len(), 256 + 2);
        assert_eq!(asked[..2], [0x8000_0000, 0x8000_0100]);
        assert_eq!(asked[11..15], [0x8000_0b00, 0x8000_0b40, 0x8000_0b80, 0x8000_0c00]);
        assert_eq!(asked.last(), Some(&0x8000_ff00));
    }
}

/// QEMU's q35: ICH9 at 00:1f.0.
#[test]
fn power_off_of_an_ich9_asks_for_both_kinds() {
    let machine = machine();
    inject(&machine, &[(31, 0, &[0x2918_8086, 0x601, 0x80])]);
    stopped(&machine, |io| io.power_off());
    assert_eq!(effects(&machine), [(0x604, 2, 0x2000), (0x604, 2, 0x3c00)]);
    assert_eq!(delays(&machine), 2 * 0x10_0000, "it is given time for each");
}

/// Elsewhere the port may belong to anybody.
#[test]
fn power_off_writes_nothing_where_no_chip_says_that_it_answers() {
    let nothing: &[&[Function<'_>]] = &[
        &[],
        &[(1, 3, &[0x7112_8086])],
        &[(1, 3, &[0x7113_1022])],
        &[(1, 3, &[0x7113_8086, 0x601, 0])],
        &[(1, 3, &[0x7113_8086, 0x601, 0xfffe])],
        &[(1, 3, &[0x7113_8086, 0x1, 1])],
        &[(1, 3, &[0x7113_8086, 0x3f, 1])],
        &[(31, 0, &[0x2918_8086, 0x601, 0x7f])],
        &[(31, 0, &[0x2918_8086, 0x41, 0x80])],
    ];
    for functions in nothing {
        let machine = machine();
        inject(&machine, functions);
        stopped(&machine, |io| io.power_off());
        assert_eq!(effects(&machine), [], "{functions:?}");
    }
}
