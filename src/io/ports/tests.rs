//! Ranges of ports anywhere, whatever the policy says of them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use crate::io::Io;
use crate::machine::emulated::{Config, DeviceAccess, Direction, Register as Place};
use crate::machine::{Cpu, Emulated, Word};
use crate::mmu::{Pae, TwoLevel};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::format;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::vec::Vec;

assert_not_impl_any!(PortRange<'static, Emulated<Pae>>: Clone, Copy);
assert_impl_all!(PortRange<'static, Emulated<Pae>>: Send, Sync);
assert_impl_all!(Port<'static, Emulated<Pae>, u8>: Send, Sync, Copy);
assert_not_impl_any!(u64: Register);
assert_impl_all!(u64: Word);
const _: () = assert!(size_of::<Result<u32, Violation>>() == 8);

type Machine = Emulated<TwoLevel>;

fn machine() -> Machine {
    Emulated::new(&Config::new(1, 1))
}

fn take(machine: &Machine, first: u16, count: u32) -> Result<PortRange<'_, Machine>, Violation> {
    Io::new(machine).take(Ports::new(first, count)?)
}

/// What the devices saw since they were asked last.
fn log(machine: &Machine) -> Vec<DeviceAccess> {
    core::mem::take(&mut machine.devices().log)
}

fn access(port: u16, direction: Direction, bytes: u32, value: u64) -> DeviceAccess {
    DeviceAccess { cpu: Cpu::new(0).unwrap(), register: Place::Port(port), direction, bytes, value }
}

/// Every offset, read and written in one width: what lies inside reaches its port and no other, the rest
/// changes nothing.
fn each_offset<W: Register>(machine: &Machine, range: &PortRange<'_, Machine>) {
    let (bytes, ones) = (W::BYTES, u64::MAX >> (64 - 8 * W::BYTES));
    let inside = |offset: &u16| (0..bytes).all(|byte| u32::from(*offset) + byte < range.count());
    for offset in (0..=u16::MAX).filter(inside) {
        let port = range.first() + offset;
        machine.devices().inject(Place::Port(port), 0x1234_5678);
        assert_eq!(range.read::<W>(offset), Ok(W::low_bits_of(0x1234_5678)));
        assert_eq!(range.write(offset, W::low_bits_of(u64::MAX)), Ok(()));
        let register = range.port::<W>(offset).unwrap();
        assert_eq!((register.number(), register.read()), (port, W::low_bits_of(u64::MAX)));
        register.write(W::ZERO);
        let seen = [
            access(port, Direction::Read, bytes, 0x1234_5678 & ones),
            access(port, Direction::Write, bytes, ones),
            access(port, Direction::Read, bytes, ones),
            access(port, Direction::Write, bytes, 0),
        ];
        assert_eq!(log(machine), seen);
    }
    let before = machine.digest();
    for offset in (0..=u16::MAX).filter(|offset| !inside(offset)) {
        let outside = Violation::OutsidePorts(offset.into());
        assert_eq!(range.read::<W>(offset), Err(outside));
        assert_eq!(range.write(offset, W::ZERO), Err(outside));
        assert_eq!(range.port::<W>(offset).err(), Some(outside));
    }
    assert!(log(machine).is_empty());
    assert_eq!(machine.digest(), before);
}

/// P1: the last bytes before the end of a range, and of all ports.
#[test]
fn attack_p01_no_access_passes_the_end() {
    let machine = machine();
    let ranges = [
        (0xffff, 1),
        (0xfffe, 2),
        (0xfffd, 3),
        (0xfffc, 4),
        (0xfff8, 8),
        (0, 1),
        (0, 4),
        (0xcf8, 2),
        (0x3f6, 1),
    ];
    for (first, count) in ranges {
        let range = take(&machine, first, count).unwrap();
        each_offset::<u8>(&machine, &range);
        each_offset::<u16>(&machine, &range);
        each_offset::<u32>(&machine, &range);
    }
}

#[test]
fn strings_are_as_many_accesses() {
    let machine = machine();
    let range = take(&machine, 0x1f0, 8).unwrap();
    let data = range.port::<u16>(0).unwrap();
    let mut words = [0; 3];
    for word in [1, 2, 3] {
        machine.devices().inject(crate::machine::emulated::Register::Port(0x1f0), word);
    }
    data.read_all(&mut words);
    assert_eq!(words, [1, 2, 3]);
    data.write_all(&words);
    data.write_all(&[]);
    let expected: Vec<_> = [Direction::Read, Direction::Write]
        .into_iter()
        .flat_map(|direction| [1, 2, 3].map(|word| access(0x1f0, direction, 2, word)))
        .collect();
    assert_eq!(log(&machine), expected);
}

#[test]
fn all_ports_are_one_range() {
    let machine = machine();
    let all = take(&machine, 0, 0x1_0000).unwrap();
    assert_eq!(
        (all.first(), all.count(), format!("{all:?}").as_str()),
        (0, 0x1_0000, "ports 0x0000 to 0xffff")
    );
    assert_eq!(all.read::<u8>(0xffff), Ok(0xff));
    assert_eq!(all.read::<u32>(0xfffc), Ok(u32::MAX));
    for offset in [0xfffd, 0xfffe, 0xffff] {
        assert_eq!(all.read::<u32>(offset), Err(Violation::OutsidePorts(offset.into())));
    }
    assert_eq!(take(&machine, 0x8000, 1).err(), Some(Violation::PortTaken(0x8000)));
}

#[test]
fn a_drop_releases_and_forgetting_leaks() {
    let machine = machine();
    let empty = machine.digest();
    let range = take(&machine, 0x10, 0x40).unwrap();
    assert_ne!(machine.digest(), empty);
    assert_eq!(take(&machine, 0, 0x100).err(), Some(Violation::PortTaken(0x10)));
    drop(range);
    assert_eq!(machine.digest(), empty);
    let range = take(&machine, 0x10, 0x40).unwrap();
    core::mem::forget(range);
    for (first, count, port) in [(0x10, 1, 0x10), (0x4f, 1, 0x4f), (0, 0x1_0000, 0x10), (0x30, 0x80, 0x30)] {
        assert_eq!(take(&machine, first, count).err(), Some(Violation::PortTaken(port)));
    }
    assert_eq!(take(&machine, 0xf, 1).unwrap().count() + take(&machine, 0x50, 1).unwrap().count(), 2);
}

#[test]
fn the_halves_of_a_split_are_released_apart() {
    let machine = machine();
    let empty = machine.digest();
    let mut low = take(&machine, 0x1f0, 8).unwrap();
    let whole = machine.digest();
    for at in [0, 8, 9, 0xffff] {
        assert_eq!(low.split_off(at).err(), Some(Violation::OutsidePorts(at.into())));
        assert_eq!((machine.digest(), low.first(), low.count()), (whole, 0x1f0, 8));
    }
    let high = low.split_off(3).unwrap();
    assert_eq!(machine.digest(), whole);
    assert_eq!((low.first(), low.count(), high.first(), high.count()), (0x1f0, 3, 0x1f3, 5));
    assert_eq!(low.read::<u16>(2), Err(Violation::OutsidePorts(2)));
    assert_eq!(high.read::<u32>(1), Ok(u32::MAX));
    assert_eq!(log(&machine), [access(0x1f4, Direction::Read, 4, 0xffff_ffff)]);
    drop(low);
    assert_eq!(take(&machine, 0x1f0, 4).err(), Some(Violation::PortTaken(0x1f3)));
    assert_eq!(take(&machine, 0x1f0, 3).unwrap().count(), 3);
    drop(high);
    assert_eq!(machine.digest(), empty);
}

/// Interrupts are off while a claim is made or released, and afterwards as they were.
#[test]
fn interrupts_are_as_they_were() {
    let machine = machine();
    let here = Cpu::new(0).unwrap();
    for enabled in [true, false] {
        machine.set_interrupts(here, enabled);
        let range = take(&machine, 5, 5).unwrap();
        assert_eq!(machine.interrupts_enabled(here), enabled);
        assert!(take(&machine, 5, 5).is_err());
        assert_eq!(machine.interrupts_enabled(here), enabled);
        drop(range);
        assert_eq!(machine.interrupts_enabled(here), enabled);
    }
}

#[test]
fn a_claim_that_is_gone_stops_the_machine() {
    use crate::machine::Machine as _;
    let machine = machine();
    let range = take(&machine, 0x100, 8).unwrap();
    assert!(machine.claims().release(Ports::new(0x107, 1).unwrap()));
    let stopped = catch_unwind(AssertUnwindSafe(|| drop(range))).unwrap_err();
    let why = stopped.downcast_ref::<std::string::String>().unwrap();
    assert_eq!(why, "the machine was stopped: ports were released under their owner");
}

#[test]
fn it_says_what_it_is() {
    let machine = machine();
    let range = take(&machine, 0x3f8, 8).unwrap();
    assert_eq!(format!("{range:?}"), "ports 0x03f8 to 0x03ff");
    assert_eq!(format!("{:?}", range.port::<u16>(2).unwrap()), "port 0x03fa, 2 bytes");
    assert_eq!(format!("{:?}", Io::new(&machine)), "Io");
}
