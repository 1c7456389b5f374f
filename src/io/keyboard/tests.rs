//! The allow-list, command by command.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

extern crate std;

use super::*;
use crate::machine::Emulated;
use crate::machine::emulated::{Config, Direction, Register};
use crate::mmu::Pae;
use std::vec::Vec;

fn machine() -> Emulated<Pae> {
    Emulated::new(&Config::new(1, 1))
}

/// What was written to which port.
fn writes(machine: &Emulated<Pae>) -> Vec<(Register, u64)> {
    let log = core::mem::take(&mut machine.devices().log);
    log.iter()
        .filter(|access| access.direction == Direction::Write)
        .map(|access| (access.register, access.value))
        .collect()
}

#[test]
fn attack_p13_commands_outside_the_list() {
    let machine = machine();
    let keyboard = Io::new(&machine).keyboard().unwrap();
    let allowed = [0x20, 0x60, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xad, 0xae, 0xd4];
    for command in 0..=u8::MAX {
        let before = machine.digest();
        let answer = keyboard.command(command);
        if allowed.contains(&command) {
            assert_eq!(answer, Ok(()));
            assert_eq!(writes(&machine), [(Register::Port(0x64), command.into())]);
        } else {
            assert_eq!(answer, Err(Violation::KeyboardCommand(command.into())));
            assert_eq!(machine.digest(), before);
        }
    }
}

#[test]
fn data_goes_to_the_data_port() {
    let machine = machine();
    let keyboard = Io::new(&machine).keyboard().unwrap();
    machine.devices().inject(Register::Port(0x64), 0x1d);
    machine.devices().inject(Register::Port(0x60), 0x1e);
    assert_eq!((keyboard.status(), keyboard.read()), (0x1d, 0x1e));
    keyboard.write(0xf4);
    assert_eq!(writes(&machine), [(Register::Port(0x60), 0xf4)]);
}

#[test]
fn one_owner() {
    let machine = machine();
    let keyboard = Io::new(&machine).keyboard().unwrap();
    let before = machine.digest();
    assert_eq!(Io::new(&machine).keyboard().map(drop), Err(Violation::PortTaken(0x60)));
    assert_eq!(machine.digest(), before);
    drop(keyboard);
    drop(Io::new(&machine).keyboard().unwrap());
    // When the second port is taken, the first is given back.
    let command = Ports::new(0x64, 1).and_then(|ports| Io::new(&machine).take(ports)).unwrap();
    assert_eq!(Io::new(&machine).keyboard().map(drop), Err(Violation::PortTaken(0x64)));
    drop(command);
    drop(Io::new(&machine).keyboard().unwrap());
}
