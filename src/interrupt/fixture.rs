//! A machine to interrupt, and handlers that are made when they are wanted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

use super::{Handler, Interrupts, Preempt, TrapFrame, Vector};
use crate::machine::emulated::{Config, DeviceAccess, Direction, Register, Trap};
use crate::machine::{Cpu, Emulated};
use crate::mmu::TwoLevel;
use std::boxed::Box;
use std::string::String;
use std::vec::Vec;

pub(super) type Emulator = Emulated<TwoLevel>;

pub(super) const BOOT: Cpu = match Cpu::new(0) {
    Some(cpu) => cpu,
    None => panic!("the first CPU"),
};

pub(super) const OTHER: Cpu = match Cpu::new(1) {
    Some(cpu) => cpu,
    None => panic!("the second CPU"),
};

/// Two CPUs, for ever.
pub(super) fn machine() -> &'static Emulator {
    Box::leak(Box::new(Emulated::new(&Config { left_over: [].into(), ..Config::new(4, 2) })))
}

pub(super) fn interrupts(machine: &Emulator) -> Interrupts<'_, Emulator> {
    Interrupts::new(machine)
}

pub(super) fn handler(run: impl Fn(&TrapFrame<'_>) + Sync + 'static) -> Handler {
    Box::leak(Box::new(run))
}

pub(super) fn hook(run: impl Fn() + Sync + 'static) -> Preempt {
    Box::leak(Box::new(run))
}

/// Interrupts the first CPU, in ring 0.
pub(super) fn raise(machine: &Emulator, vector: impl Into<u32>) -> bool {
    machine.raise(BOOT, Trap::new(Vector::new(vector.into()).unwrap()))
}

/// Interrupts the first CPU, and returns what the library said when it stopped the machine.
pub(super) fn stopped(machine: &'static Emulator, trap: Trap) -> String {
    std::panic::catch_unwind(|| machine.raise(BOOT, trap)).expect_err("the machine goes on");
    core::mem::take(&mut *machine.console())
}

/// Writes to ports since the last call: port and value.
pub(super) fn writes(machine: &Emulator) -> Vec<(u16, u8)> {
    let log = core::mem::take(&mut machine.devices().log);
    let written = |access: &DeviceAccess| access.direction == Direction::Write;
    log.iter().filter(|access| written(access)).map(port).collect()
}

/// Which port, and what was written or answered: a byte.
pub(super) fn port(access: &DeviceAccess) -> (u16, u8) {
    let Register::Port(port) = access.register else { panic!("{access:?} is not of a port") };
    assert_eq!(access.bytes, 1, "ports of the PIC and the timer are bytes");
    (port, access.value as u8)
}
