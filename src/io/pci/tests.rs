//! A bus with a host bridge, a harmless card, one that is not, and one whose register was never placed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use crate::machine::Emulated;
use crate::machine::emulated::{Config, PciBus, PciFunction};
use crate::mmu::Pae;
use std::vec::Vec;

type Machine = Emulated<Pae>;

const NE2000: u32 = 0x8029_10ec;
const E1000: u32 = 0x100e_8086;
const NETWORK: u32 = 0x0200_0000;

fn function(bus: u8, device: u8, number: u8) -> Function {
    Function::new(bus, device, number).unwrap()
}

fn machine() -> Machine {
    let machine = Machine::new(&Config::new(1, 1));
    let mut multi = PciFunction::new(0x7000_8086, 0x0601_0000);
    multi.dwords[3] = 1 << 23;
    let functions = [
        (0x00, PciFunction::new(0x1237_8086, 0x0600_0000).with_memory(0, 0xe000_0000, 1 << 20)),
        (0x08, multi),
        (0x09, PciFunction::new(0x7010_8086, 0x0101_8000).with_ports(4, 0xc0e0, 16)),
        (0x18, PciFunction::new(NE2000, NETWORK).with_ports(0, 0xc000, 32)),
        (
            0x20,
            PciFunction::new(E1000, NETWORK).with_memory(0, 0xfeb8_0000, 1 << 17).with_ports(1, 0xc040, 64),
        ),
        (0x28, PciFunction::new(NE2000, NETWORK).with_ports(0, 0, 32)),
        (0x30, PciFunction::new(NE2000, NETWORK).with_ports(0, 0xc050, 16)),
        // Not seen: its device has one function.
        (0x31, PciFunction::new(E1000, NETWORK)),
        (0x0518, PciFunction::new(0x1111_1234, 0x0300_0000).with_memory(0, 0xfd00_0000, 1 << 24)),
    ];
    machine.devices().pci = Some(PciBus::default());
    machine.devices().pci.as_mut().unwrap().functions.extend(functions);
    machine
}

fn pci(machine: &Machine) -> Pci<'_, Machine> {
    Io::new(machine).pci().unwrap()
}

/// `call` answers `violation`, and nothing has changed.
#[track_caller]
fn refuses<T>(
    machine: &Machine,
    violation: Violation,
    call: impl Fn(Pci<'_, Machine>) -> Result<T, Violation>,
) {
    let before = machine.digest();
    assert_eq!(call(pci(machine)).map(drop), Err(violation));
    assert_eq!(machine.digest(), before);
}

/// Changes function `number` behind the library's back.
fn put(machine: &Machine, number: u32, change: impl FnOnce(&mut PciFunction)) {
    change(machine.devices().pci.as_mut().unwrap().functions.get_mut(&number).unwrap());
}

fn command(machine: &Machine, number: u32) -> u32 {
    machine.devices().pci.as_ref().unwrap().functions[&number].dwords[1]
}

#[test]
fn a_machine_without_a_bus() {
    assert!(Io::new(&Machine::new(&Config::new(1, 1))).pci().is_none());
}

#[test]
fn functions() {
    let machine = machine();
    let found: Vec<_> = pci(&machine).functions().map(Function::number).collect();
    assert_eq!(found, [0x00, 0x08, 0x09, 0x18, 0x20, 0x28, 0x30, 0x0518]);
    let identity = pci(&machine).identity(function(0, 3, 0));
    let expected = Identity { vendor: 0x10ec, device: 0x8029, class: 2, subclass: 0, interface: 0 };
    assert_eq!(identity, expected);
    assert_eq!(pci(&machine).read(function(9, 9, 0), 0), u32::MAX);
}

#[test]
fn names() {
    let all = function(5, 31, 7);
    assert_eq!((all.bus(), all.device(), all.function()), (5, 31, 7));
    assert_eq!(all.number(), 0x05ff);
    assert_eq!(std::format!("{all} {all:?}"), "05:1f.7 Function(05:1f.7)");
    assert_eq!(Function::new(0, 32, 0), None);
    assert_eq!(Function::new(0, 0, 8), None);
}

#[test]
fn bars() {
    let machine = machine();
    let before = machine.digest();
    let bar = |number, index| pci(&machine).bar(Function::from_number(number).unwrap(), index);
    assert_eq!(bar(0x18, 0), Some(Bar::Ports { first: 0xc000, count: 32 }));
    assert_eq!(bar(0x20, 0), Some(Bar::Memory { start: 0xfeb8_0000, length: 1 << 17 }));
    assert_eq!(bar(0x20, 1), Some(Bar::Ports { first: 0xc040, count: 64 }));
    assert_eq!(bar(0x28, 0), Some(Bar::Unreachable));
    assert_eq!(bar(0x18, 1), None);
    assert_eq!(bar(0x18, 6), None);
    put(&machine, 0x18, |card| card.dwords[10] = 0xc001);
    assert_eq!(bar(0x18, 6), None, "what lies behind the registers is none");
    assert_eq!(bar(0x99, 0), None);
    assert_eq!(bar(0x00, 0), None, "a bridge is left alone");
    put(&machine, 0x18, |card| card.dwords[10] = 0);
    assert_eq!(machine.digest(), before, "all is as it was");
    // While it is looked at a function answers nowhere, and it never becomes bus master.
    put(&machine, 0x20, |card| card.dwords[1] = 0x0103);
    let before = machine.digest();
    assert_eq!(bar(0x20, 0), Some(Bar::Memory { start: 0xfeb8_0000, length: 1 << 17 }));
    assert_eq!(bar(0x20, 1), Some(Bar::Ports { first: 0xc040, count: 64 }));
    assert_eq!(machine.digest(), before);
}

#[test]
fn attack_p06_nobody_becomes_bus_master() {
    let machine = machine();
    refuses(&machine, Violation::PciRegister(0x04), |pci| pci.write(function(0, 4, 0), 0x04, 0x0004));
    refuses(&machine, Violation::NoSuchFunction(0x99), |pci| pci.write(function(0, 19, 1), 0x04, 1));
    let mut functions = machine.devices().pci.take().unwrap();
    functions.functions.get_mut(&0x20).unwrap().dwords[1] = 0x0107;
    machine.devices().pci = Some(functions);
    pci(&machine).take_bus_from_all();
    assert_eq!(command(&machine, 0x20), 0x0103);
}

#[test]
fn a_function_answers_at_ports_or_not() {
    let machine = machine();
    let card = function(0, 3, 0);
    pci(&machine).write(card, 0x04, 0x0001).unwrap();
    assert_eq!(command(&machine, 0x18), 1);
    pci(&machine).write(card, 0x06, 0x0400).unwrap();
    assert_eq!(command(&machine, 0x18), 0x400);
    pci(&machine).write(card, 0x3c, 11).unwrap();
    assert_eq!(pci(&machine).read(card, 0x3c), 11);
    refuses(&machine, Violation::PortNotOffered(0), |pci| pci.write(function(0, 5, 0), 0x04, 1));
}

#[test]
fn attack_p10_a_device_that_may_reach_ram_is_not_claimed() {
    let machine = machine();
    refuses(&machine, Violation::MayHaveDma(0x20), |pci| pci.claim_ports(function(0, 4, 0), 1).map(drop));
    refuses(&machine, Violation::MayHaveDma(0x09), |pci| pci.claim_ports(function(0, 1, 1), 4).map(drop));
    refuses(&machine, Violation::MayHaveDma(0x99), |pci| pci.claim_ports(function(0, 19, 1), 0).map(drop));
    // The vendor of one that has none; and its number, of another vendor.
    for identity in [0x8139_10ec, 0x8029_8086] {
        let card = PciFunction::new(identity, NETWORK).with_ports(0, 0xc100, 32);
        machine.devices().pci.as_mut().unwrap().functions.insert(0x38, card);
        refuses(&machine, Violation::MayHaveDma(0x38), |pci| pci.claim_ports(function(0, 7, 0), 0).map(drop));
    }
}

#[test]
fn a_harmless_one_is() {
    let machine = machine();
    let card = function(0, 3, 0);
    let ports = pci(&machine).claim_ports(card, 0).unwrap();
    assert_eq!((ports.first(), ports.count()), (0xc000, 32));
    assert_eq!(command(&machine, 0x18), 1, "it answers");
    refuses(&machine, Violation::PortTaken(0xc000), |pci| pci.claim_ports(card, 0).map(drop));
    // Attack P12: while somebody has them, they stay where they are.
    refuses(&machine, Violation::PortTaken(0xc000), |pci| pci.write(card, 0x04, 0));
    // All else that may be written may be written.
    pci(&machine).write(card, 0x04, 0x0401).unwrap();
    pci(&machine).write(card, 0x0c, 0x0001).unwrap();
    pci(&machine).write(card, 0x3c, 11).unwrap();
    pci(&machine).write(card, 0x04, 0x0001).unwrap();
    drop(ports);
    pci(&machine).write(card, 0x04, 0).unwrap();
}

#[test]
fn attack_p04_ports_that_are_not_the_functions_alone() {
    let machine = machine();
    refuses(&machine, Violation::NoSuchBar(0), |pci| pci.claim_ports(function(0, 5, 0), 0).map(drop));
    refuses(&machine, Violation::NoSuchBar(1), |pci| pci.claim_ports(function(0, 3, 0), 1).map(drop));
    refuses(&machine, Violation::NoSuchBar(0), |pci| pci.claim_ports(function(5, 3, 0), 0).map(drop));
    // It has a part of those of the E1000.
    refuses(&machine, Violation::PortNotOffered(0xc050), |pci| {
        pci.claim_ports(function(0, 6, 0), 0).map(drop)
    });
    let low = PciFunction::new(NE2000, NETWORK).with_ports(0, 0x3e0, 32);
    machine.devices().pci.as_mut().unwrap().functions.insert(0x38, low);
    refuses(&machine, Violation::PortNotOffered(0x3e0), |pci| {
        pci.claim_ports(function(0, 7, 0), 0).map(drop)
    });
    refuses(&machine, Violation::PortNotOffered(0x3e0), |pci| pci.write(function(0, 7, 0), 0x04, 1));
    // The lowest where functions may answer.
    let first = PciFunction::new(NE2000, NETWORK).with_ports(0, 0x400, 32);
    machine.devices().pci.as_mut().unwrap().functions.insert(0x38, first);
    pci(&machine).write(function(0, 7, 0), 0x04, 1).unwrap();
}
