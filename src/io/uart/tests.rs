//! The driver over claimed ports.

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

/// Of all accesses, the port and, if it was a write, the value.
fn accesses(machine: &Emulated<Pae>) -> Vec<(Register, Option<u64>)> {
    let devices = machine.devices();
    let written = |direction, value| (direction == Direction::Write).then_some(value);
    devices.log.iter().map(|access| (access.register, written(access.direction, access.value))).collect()
}

#[test]
fn it_is_initialised_and_sends() {
    let machine = machine();
    let mut uart = Io::new(&machine).uart(0x2f8).unwrap();
    assert!(accesses(&machine).is_empty(), "the driver has touched nothing yet");
    {
        let mut devices = machine.devices();
        // The scratch register keeps what is written: a device is there.
        [0, 0x42, 0x73].iter().for_each(|value| devices.inject(Register::Port(0x2ff), *value));
        // FIFOs on, nothing received, all sent; then ready.
        devices.inject(Register::Port(0x2fa), 0xc1);
        (0..3).for_each(|_| devices.inject(Register::Port(0x2fd), 0x60));
    }
    uart.init(uart_16550::Config::default()).unwrap();
    let divisor: Vec<_> =
        accesses(&machine).into_iter().skip_while(|access| access.1 != Some(0x80)).take(4).collect();
    let port = Register::Port;
    assert_eq!(
        divisor,
        [(port(0x2fb), Some(0x80)), (port(0x2f8), Some(12)), (port(0x2f9), Some(0)), (port(0x2fb), Some(0)),],
        "9600 baud"
    );
    machine.devices().log.clear();
    uart.send_bytes_exact(b"ab");
    let sent: Vec<_> = accesses(&machine).into_iter().filter_map(|(_, value)| value).collect();
    assert_eq!(sent, [97, 98]);
    let inside = |access: &(Register, Option<u64>)| matches!(access.0, Register::Port(0x2f8..=0x2ff));
    assert!(accesses(&machine).iter().all(inside));
}

#[test]
fn its_ports_are_claimed_while_it_lives() {
    let machine = machine();
    let io = Io::new(&machine);
    let empty = machine.digest();
    let uart = io.uart(0x3f8).unwrap();
    let taken = machine.digest();
    assert_eq!(io.uart(0x3f8).err(), Some(Violation::PortTaken(0x3f8)));
    assert_eq!(io.claim(0x3ff, 1).err(), Some(Violation::PortTaken(0x3ff)));
    assert_eq!(machine.digest(), taken);
    drop(uart);
    assert_eq!(machine.digest(), empty);
    for (first, refused) in [(0x3f9, 0x400), (0x3f6, 0x3f7), (0x60, 0x60), (0xfff8, 0xfff8)] {
        assert_eq!(io.uart(first).err(), Some(Violation::PortNotOffered(refused)));
    }
    assert_eq!(io.uart(0xfff9).err(), Some(Violation::PastLastPort(0xfff9)));
    assert_eq!(machine.digest(), empty);
}

/// Not even who breaks the contract of the driver's own unsafe calls leaves the ports.
#[test]
fn no_register_lies_outside() {
    let machine = machine();
    let mut uart = Io::new(&machine).uart(0x3e8).unwrap();
    for register in 8..=u8::MAX {
        // SAFETY: against the contract, on purpose: `UartPorts` asks for none.
        assert_eq!(unsafe { uart.backend_mut().read(register) }, 0xff);
        // SAFETY: as above.
        unsafe { uart.backend_mut().write(register, 0) }
    }
    assert!(accesses(&machine).is_empty());
}
