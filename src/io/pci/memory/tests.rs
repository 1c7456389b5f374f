//! A bus whose functions answer in memory: a display, one that may have DMA, bridges, one that was never placed.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::address::Frame;
use crate::init::tests::world::{RAM, World, frame, world_with_devices};
use crate::machine::emulated::{PciBus, PciFunction, Register};
use crate::mmu::Pae;

const DISPLAY: u32 = 0x1111_1234;
const SERIAL: u32 = 0x0002_1b36;
const VIRTIO: u32 = 0x1000_1af4;

fn display(start: u32) -> PciFunction {
    PciFunction::new(DISPLAY, 0x0300_0000).with_memory(0, start, 1 << 16).with_memory(2, 0xfebf_0000, 1 << 12)
}

/// Messages by the table in its register `index`, as the capability at 0x40 says, behind another.
fn with_messages(mut function: PciFunction, index: u32) -> PciFunction {
    function.dwords[1] |= HAS_CAPABILITIES;
    function.dwords[0x34 / 4] = 0x50;
    function.dwords[0x50 / 4] = 0x4009;
    function.dwords[0x40 / 4] = u32::from(MSI_X);
    (function.dwords[0x44 / 4], function.dwords[0x48 / 4]) = (index, 0x800 | index);
    function
}

fn sva() -> World<Pae> {
    let sva = world_with_devices::<Pae>(1);
    let mut bridge = PciFunction::new(0x2448_8086, 0x0604_0000);
    bridge.dwords[3] = 1 << 16;
    bridge.dwords[8] = 0xfd00_fd00;
    bridge.dwords[9] = 0x0000_fff0;
    let functions = [
        (0x00, PciFunction::new(0x1237_8086, 0x0600_0000).with_memory(0, 0xe000_0000, 1 << 20)),
        (0x10, display(0xfeb0_0000)),
        (0x18, with_messages(PciFunction::new(VIRTIO, 0x0200_0000).with_memory(1, 0xfebf_1000, 4096), 1)),
        (0x20, bridge),
        (0x28, PciFunction::new(DISPLAY, 0).with_memory(0, 0, 1 << 16).with_memory(2, 0xfebe_0000, 4096)),
    ];
    sva.machine().devices().pci = Some(PciBus::default());
    sva.machine().devices().pci.as_mut().unwrap().functions.extend(functions);
    sva
}

fn function(number: u32) -> Function {
    Function::from_number(number).unwrap()
}

fn put(sva: &World<Pae>, number: u32, function: PciFunction) {
    sva.machine().devices().pci.as_mut().unwrap().functions.insert(number, function);
}

fn register_of(sva: &World<Pae>, number: u32, dword: usize) -> u32 {
    sva.machine().devices().pci.as_ref().unwrap().functions[&number].dwords[dword]
}

#[track_caller]
fn refused<'s, T: 's>(
    sva: &'s World<Pae>,
    violation: Violation,
    call: impl Fn(Devices<'s, crate::machine::Emulated<Pae>>) -> Result<T, Violation>,
) {
    let before = sva.machine().digest();
    assert_eq!(call(sva.devices()).map(drop), Err(violation));
    assert!(sva.machine().digest() == before, "a refused call changed something");
}

/// As `claim_bar`, of whatever function.
fn vouch(sva: &World<Pae>, number: u32, index: u8) -> Result<(), Violation> {
    // SAFETY: no function of this machine does anything.
    unsafe { sva.devices().vouch_for_bar(function(number), index) }.map(drop)
}

#[test]
fn a_display_is_claimed() {
    let sva = sva();
    let buffer = sva.devices().claim_bar(function(0x10), 0).unwrap();
    assert_eq!((buffer.start().get(), buffer.length()), (0xfeb0_0000, 1 << 16));
    assert_eq!(register_of(&sva, 0x10, 1), 2, "it answers in memory");
    drop(sva.devices().claim_bar(function(0x10), 2).unwrap());
    assert_eq!(register_of(&sva, 0x10, 1), 2, "it still does");
    buffer.write(0xfffc, 5_u32).unwrap();
    let last = sva.machine().devices().log.last().unwrap().register;
    assert_eq!(last, Register::Memory(crate::address::PhysAddr::new(0xfeb0_fffc)));
    let registers = sva.devices().claim_bar(function(0x10), 2).unwrap();
    assert_eq!(registers.length(), 1 << 12);
    assert!(sva.audit().is_ok());
    refused(&sva, Violation::DeviceTaken(frame(0xf_eb00)), |devices| devices.claim_bar(function(0x10), 0));
    drop(buffer);
    drop(sva.devices().claim_bar(function(0x10), 0).unwrap());
}

#[test]
fn attack_p10_a_device_that_may_reach_ram_is_not_claimed() {
    let sva = sva();
    refused(&sva, Violation::MayHaveDma(0x18), |devices| devices.claim_bar(function(0x18), 1));
    refused(&sva, Violation::MayHaveDma(0x99), |devices| devices.claim_bar(function(0x99), 0));
    refused(&sva, Violation::MayHaveDma(0x00), |devices| devices.claim_bar(function(0x00), 0));
    refused(&sva, Violation::NoSuchBar(0), |_| vouch(&sva, 0x00, 0));
    refused(&sva, Violation::NoSuchBar(1), |devices| devices.claim_bar(function(0x10), 1));
    refused(&sva, Violation::NoSuchBar(6), |devices| devices.claim_bar(function(0x10), 6));
    refused(&sva, Violation::NoSuchBar(255), |devices| devices.claim_bar(function(0x10), 255));
    put(&sva, 0x30, PciFunction::new(SERIAL, 0x0700_0200).with_ports(0, 0xc000, 8));
    refused(&sva, Violation::NoSuchBar(0), |devices| devices.claim_bar(function(0x30), 0));
}

#[test]
fn attack_p14_the_table_of_messages_is_nobodys() {
    let sva = sva();
    refused(&sva, Violation::MessageTable(1), |_| vouch(&sva, 0x18, 1));
    // It lies elsewhere: the register is to be had.
    put(
        &sva,
        0x18,
        with_messages(PciFunction::new(VIRTIO, 0x0200_0000).with_memory(1, 0xfebf_1000, 4096), 2),
    );
    vouch(&sva, 0x18, 1).unwrap();
    // The table elsewhere, those pending here.
    let mut half = with_messages(PciFunction::new(VIRTIO, 0x0200_0000).with_memory(1, 0xfebf_1000, 4096), 2);
    half.dwords[0x48 / 4] = 1;
    put(&sva, 0x18, half);
    refused(&sva, Violation::MessageTable(1), |_| vouch(&sva, 0x18, 1));
    // A list that ends nowhere, one that does not count, and one that leads out.
    let mut ring = PciFunction::new(VIRTIO, 0x0200_0000).with_memory(1, 0xfebf_1000, 4096);
    ring.dwords[0x34 / 4] = 0x40;
    ring.dwords[0x40 / 4] = 0x4005;
    ring.dwords[1] = HAS_CAPABILITIES;
    put(&sva, 0x18, ring.clone());
    vouch(&sva, 0x18, 1).unwrap();
    ring.dwords[0x40 / 4] = u32::from(MSI_X);
    ring.dwords[0x44 / 4] = 1;
    put(&sva, 0x18, ring.clone());
    refused(&sva, Violation::MessageTable(1), |_| vouch(&sva, 0x18, 1));
    ring.dwords[1] = 0;
    put(&sva, 0x18, ring);
    vouch(&sva, 0x18, 1).unwrap();
}

#[test]
fn attack_p04_registers_that_lie_over_others() {
    let sva = sva();
    // Never placed: it would answer at 0 with the rest.
    refused(&sva, Violation::NotDeviceMemory(frame(0)), |devices| devices.claim_bar(function(0x28), 2));
    // The same with 64 bits.
    let mut wide = PciFunction::new(DISPLAY, 0).with_memory(0, 0, 1 << 16).with_memory(2, 0xfebe_0000, 4096);
    wide.dwords[4] |= 4;
    put(&sva, 0x28, wide);
    refused(&sva, Violation::NotDeviceMemory(frame(0)), |devices| devices.claim_bar(function(0x28), 2));
    // In RAM, behind it, over an APIC, and where another answers.
    put(&sva, 0x28, display(0xfeb1_0000));
    refused(&sva, Violation::NotDeviceMemory(frame(0xf_ebf0)), |devices| {
        devices.claim_bar(function(0x28), 2)
    });
    let mut alone = display(0xfeb1_0000);
    alone = alone.with_memory(2, 0xfeb2_0000, 4096);
    put(&sva, 0x28, alone.clone());
    drop(sva.devices().claim_bar(function(0x28), 0).unwrap());
    for (start, wrong) in
        [(0x0001_0000, 0x10), (0xfec0_0000, 0xf_ec00), (0xfebf_0000, 0xf_ebf0), (0xfee0_0000, 0xf_ee00)]
    {
        let moved = PciFunction::new(DISPLAY, 0).with_memory(0, start, 1 << 16);
        put(&sva, 0x28, moved);
        refused(&sva, Violation::NotDeviceMemory(frame(wrong)), |devices| {
            devices.claim_bar(function(0x28), 0)
        });
    }
    let behind_ram = PciFunction::new(DISPLAY, 0).with_memory(0, RAM << 12, 1 << 12);
    put(&sva, 0x28, behind_ram);
    drop(sva.devices().claim_bar(function(0x28), 0).unwrap());
    let mut with_rom = alone;
    with_rom.dwords[0x30 / 4] = 0xfeb3_0001;
    put(&sva, 0x28, with_rom);
    refused(&sva, Violation::NotDeviceMemory(frame(0xf_eb30)), |devices| {
        devices.claim_bar(function(0x28), 0)
    });
}

/// Registers of 64 bits: low ones are as any, others reach nothing of ours, and the upper half is no register.
#[test]
fn wide_registers() {
    let sva = sva();
    let mut wide = PciFunction::new(DISPLAY, 0).with_memory(0, 0xfeb1_0000, 1 << 16);
    wide.dwords[4] |= 4;
    (wide.dwords[5], wide.writable[5]) = (0, u32::MAX);
    put(&sva, 0x30, wide.clone());
    let pci = sva.devices().pci();
    assert_eq!(pci.bar(function(0x30), 0), Some(Bar::Memory { start: 0xfeb1_0000, length: 1 << 16 }));
    assert_eq!(pci.bar(function(0x30), 1), None);
    drop(sva.devices().claim_bar(function(0x30), 0).unwrap());
    wide.dwords[5] = 0xfeb4_0000;
    put(&sva, 0x30, wide.clone());
    assert_eq!(pci.bar(function(0x30), 0), Some(Bar::Unreachable));
    assert_eq!(pci.bar(function(0x30), 1), None, "half an address is none");
    refused(&sva, Violation::NoSuchBar(1), |devices| devices.claim_bar(function(0x30), 1));
    refused(&sva, Violation::NoSuchBar(0), |devices| devices.claim_bar(function(0x30), 0));
    put(&sva, 0x30, wide.with_memory(2, 0xfeb5_0000, 4096));
    drop(sva.devices().claim_bar(function(0x30), 2).unwrap());
}

#[test]
fn registers_are_moved() {
    let sva = sva();
    let to = crate::address::PhysAddr::new;
    put(&sva, 0x28, PciFunction::new(VIRTIO, 0x0200_0000).with_memory(3, 0, 1 << 12));
    sva.devices().move_bar(function(0x28), 3, to(0xfeb2_0000)).unwrap_err();
    sva.devices().move_bar(function(0x10), 0, to(0xfeb2_0000)).unwrap();
    assert_eq!((register_of(&sva, 0x10, 4), register_of(&sva, 0x10, 1)), (0xfeb2_0000, 0));
    let buffer = sva.devices().claim_bar(function(0x10), 0).unwrap();
    assert_eq!(buffer.start().get(), 0xfeb2_0000);
    // Attack P12: while somebody has them, or others of the function, they stay where they are.
    for (index, start) in [(0, 0xfeb4_0000), (2, 0xfeb4_0000)] {
        refused(&sva, Violation::DeviceTaken(frame(0xf_eb20)), |devices| {
            devices.move_bar(function(0x10), index, to(start))
        });
    }
    drop(buffer);
    sva.devices().move_bar(function(0x10), 2, to(0xfeb4_0000)).unwrap();
    assert_eq!(register_of(&sva, 0x10, 1), 2, "it answers as before");
}

#[test]
fn attack_p05_registers_are_moved_to_where_nobody_is() {
    let sva = sva();
    let to = crate::address::PhysAddr::new;
    for start in [
        // No multiple of its length, RAM, the APIC, past it, its neighbour, another function, behind a bridge.
        0xfeb0_8000,
        0,
        (RAM - 16) << 12,
        0xfec0_0000,
        0xffff_0000,
        0xfebf_0000,
        0xfd00_0000,
        0xfd08_0000,
        0xfd0f_0000,
    ] {
        let violation = Violation::NotDeviceMemory(Frame::new(start >> 12).unwrap());
        refused(&sva, violation, |devices| devices.move_bar(function(0x10), 0, to(start)));
    }
    // The last pages of the bridge's window.
    refused(&sva, Violation::NotDeviceMemory(frame(0xf_d0f1)), |devices| {
        devices.move_bar(function(0x10), 2, to(0xfd0f_1000))
    });
    refused(&sva, Violation::NoSuchBar(1), |devices| devices.move_bar(function(0x10), 1, to(0xfeb4_0000)));
    refused(&sva, Violation::NoSuchBar(0), |devices| devices.move_bar(function(0x20), 0, to(0xfeb4_0000)));
    refused(&sva, Violation::NoSuchBar(0), |devices| devices.move_bar(function(0x99), 0, to(0xfeb4_0000)));
    // What stands in the fifth register is a window of a bridge alone.
    put(&sva, 0x38, PciFunction::new(DISPLAY, 0).with_memory(4, 0xfebd_0000, 4096));
    // Where it is already; and just behind the bridge's window.
    sva.devices().move_bar(function(0x10), 0, to(0xfeb0_0000)).unwrap();
    sva.devices().move_bar(function(0x10), 0, to(0xfd10_0000)).unwrap();
    sva.devices().move_bar(function(0x10), 0, to(0xfcff_0000)).unwrap();
    // Ports of the function are claimed: they would not answer for a moment.
    put(
        &sva,
        0x30,
        PciFunction::new(0x8029_10ec, 0).with_memory(1, 0xfeb6_0000, 4096).with_ports(0, 0xc000, 32),
    );
    let ports = sva.io().pci().unwrap().claim_ports(function(0x30), 0).unwrap();
    refused(&sva, Violation::PortTaken(0xc000), |devices| {
        devices.move_bar(function(0x30), 1, to(0xfeb7_0000))
    });
    drop(ports);
    sva.devices().move_bar(function(0x30), 1, to(0xfeb7_0000)).unwrap();
}
