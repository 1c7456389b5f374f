//! A device in the hands of a program.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

use super::*;
use crate::address::{PhysAddr, VirtAddr};
use crate::audit::Finding;
use crate::frame::Kind;
use crate::init::tests::world::{DEVICES, World, cpu, frame, frames, page, world_with_devices};
use crate::machine::Emulated;
use crate::machine::emulated::{Direction, Register};
use crate::mmu::{Leaf, Pae, Rights, TwoLevel};
use std::vec::Vec;

const BUS: u32 = 0xf_eb00;
const TABLE: u32 = 13;
const ROOT: u32 = 14;
const TABLE_2: u32 = 15;

fn region<P: PagingMode>(sva: &World<P>, start: u32, length: u32) -> MmioRegion<'_, Emulated<P>> {
    let start = PhysAddr::new(start);
    let taken = crate::io::devices::frames_of(start, length).unwrap();
    let pages = sva.half.devices.take(sva.machine(), taken).unwrap();
    MmioRegion::new(sva, pages, start, length)
}

/// A root whose first table of leaves is `TABLE`, loaded.
fn space<P: PagingMode>(sva: &World<P>) {
    sva.declare_table(frame(TABLE), 1).unwrap();
    sva.declare_root(frame(ROOT)).unwrap();
    if P::LEVELS == 3 {
        sva.declare_table(frame(TABLE_2), 2).unwrap();
        sva.link(frame(TABLE_2), 0, frame(TABLE)).unwrap();
        sva.link(frame(ROOT), 0, frame(TABLE_2)).unwrap();
    } else {
        sva.link(frame(ROOT), 0, frame(TABLE)).unwrap();
    }
    sva.load_root(frame(ROOT)).unwrap();
}

fn a_program_drives_it<P: PagingMode>() {
    let sva = world_with_devices::<P>(1);
    space(&sva);
    let lent = region(&sva, BUS << 12, 0x2000).lend().unwrap();
    assert_eq!(lent.frames(), 2);
    sva.map_device(frame(TABLE), 5, lent, 1).unwrap();
    assert!(sva.audit().is_ok());
    let store = |value: u32| sva.machine().store_through(cpu(0), VirtAddr::new(0x5008), value, Half::User, 0);
    store(7).unwrap();
    let last = *sva.machine().devices().log.last().unwrap();
    let register = Register::Memory(PhysAddr::new((BUS + 1) << 12 | 8));
    assert_eq!((last.register, last.direction, last.value), (register, Direction::Write, 7));
    let leaf = sva.translate(frame(ROOT), page(5)).unwrap().unwrap();
    assert_eq!((leaf.frame(), leaf.is_device(), leaf.half()), (frame(BUS + 1), true, Half::User));
    // Its rights are for ever; its notes of use are the CPU's.
    for rights in Rights::ALL {
        assert_eq!(sva.protect(frame(TABLE), 5, rights), Err(Violation::DeviceEntry(5)));
    }
    assert!(sva.take_accessed_dirty(frame(TABLE), 5).unwrap().is_device());
    assert!(sva.audit().is_ok());
    assert_eq!(sva.remove_table(frame(TABLE)), Err(Violation::TableLinked(frame(TABLE))));
    let old: Leaf = sva.unmap(frame(TABLE), 5).unwrap();
    assert!(old.is_device());
    sva.flush();
    assert!(store(8).is_err());
    // Another place for data, and back: only the table counts it.
    sva.retype(frame(20), Kind::UserData).unwrap();
    sva.map(frame(TABLE), 5, frame(20), Rights::ReadWrite).unwrap();
    assert_eq!(sva.map_device(frame(TABLE), 5, lent, 0), Err(Violation::EntryPresent(5)));
    sva.map_device(frame(TABLE), 6, lent, 0).unwrap();
    assert!(sva.replace(frame(TABLE), 6, frame(20), Rights::Read).unwrap().is_device());
    assert_eq!(sva.mappings(frame(20)).total, 2);
    sva.map_device(frame(TABLE), 7, lent, 0).unwrap();
    let mut old = [None; 3];
    assert_eq!(sva.unmap_batch(frame(TABLE), 5, &mut old).complete(), Ok(3));
    assert_eq!(old.map(|leaf| leaf.is_some_and(Leaf::is_device)), [false, false, true]);
    assert!(sva.audit().is_ok());
}

#[test]
fn a_lent_device_is_mapped_for_programs() {
    a_program_drives_it::<TwoLevel>();
    a_program_drives_it::<Pae>();
}

#[test]
fn attack_e12_what_was_not_lent_is_not_mapped() {
    let sva = world_with_devices::<Pae>(1);
    space(&sva);
    let kept = region(&sva, BUS << 12, 0x1000);
    let lent = region(&sva, (BUS + 1) << 12, 0x1000).lend().unwrap();
    let other = world_with_devices::<Pae>(1);
    space(&other);
    let elsewhere = LentRegion { pages: PageRange::new(page(DEVICES.0 - 1), 60).unwrap() };
    let all = [(lent, 1), (lent, u32::MAX), (elsewhere, 0), (elsewhere, 1), (elsewhere, 3), (elsewhere, 50)];
    for (region, place) in all {
        let before = sva.machine().digest();
        let violation = Violation::NotDeviceMemory(Frame::from_low_bits(place));
        assert_eq!(sva.map_device(frame(TABLE), 5, region, place), Err(violation));
        assert!(sva.machine().digest() == before, "a refused call changed something");
    }
    assert_eq!(other.map_device(frame(TABLE), 5, lent, 0), Err(Violation::NotDeviceMemory(frame(0))));
    assert_eq!(sva.map_device(frame(TABLE), 512, lent, 0), Err(Violation::NoSuchEntry(512)));
    assert_eq!(sva.map_device(frame(ROOT), 0, lent, 0), Err(Violation::WrongLevel(frame(ROOT))));
    assert_eq!(
        sva.map(frame(TABLE), 5, frame(BUS + 1), Rights::Read),
        Err(Violation::NoSuchFrame(frame(BUS + 1)))
    );
    drop(kept);
    assert!(sva.half.devices.is_lent(sva.machine(), frame(BUS + 1)));
    assert!(!sva.half.devices.is_lent(sva.machine(), frame(BUS)));
    // What is lent stays taken.
    let taken = sva.half.devices.take(sva.machine(), frames(BUS + 1, 1));
    assert_eq!(taken, Err(Violation::DeviceTaken(frame(BUS + 1))));
}

/// Half a frame, and the display's memory below the end of what the frame table could speak of.
#[test]
fn a_part_of_a_frame_is_not_lent() {
    let sva = world_with_devices::<Pae>(1);
    let last = sva.frame_count() - 1;
    for (start, length) in
        [(BUS << 12, 0x800), (BUS << 12 | 0x800, 0x800), (BUS << 12, 0x1800), (last << 12, 0x1000)]
    {
        let region = region(&sva, start, length);
        let (region, violation) = region.lend().unwrap_err();
        assert_eq!(violation, Violation::NotLendable(frame(start >> 12)));
        assert_eq!(region.length(), length);
    }
    assert!(region(&sva, (last + 1) << 12, 0x1000).lend().is_ok());
}

/// Leaves of devices that no call made: not lent, cached, read-only, for the kernel.
#[test]
fn the_audit_knows_which_are_lent() {
    let sva = world_with_devices::<TwoLevel>(1);
    space(&sva);
    let lent = region(&sva, BUS << 12, 0x1000).lend().unwrap();
    sva.map_device(frame(TABLE), 5, lent, 0).unwrap();
    let at = frame(TABLE).start().plus(20);
    let sound: u32 = sva.machine().peek(at);
    assert_eq!(sound, BUS << 12 | 0x1f);
    let wrong: Vec<_> =
        [BUS << 12 | 0x1b, (BUS + 1) << 12 | 0x1f, BUS << 12 | 0x1d, BUS << 12 | 0x17, BUS << 12 | 0x07]
            .into_iter()
            .filter(|entry| {
                sva.machine().poke(at, *entry);
                !matches!(sva.audit(), Err(Finding::Entry(..) | Finding::Target(..)))
            })
            .collect();
    assert_eq!(wrong, []);
    sva.machine().poke(at, sound);
    assert!(sva.audit().is_ok());
}

/// Only a device's leaf may lead to where there is no frame: any other is the library's own fault.
#[test]
fn a_leaf_to_nowhere_stops_the_machine() {
    let sva = world_with_devices::<TwoLevel>(1);
    space(&sva);
    let frame_beyond = sva.frame_count() + 7;
    sva.machine().poke(frame(TABLE).start().plus(20), frame_beyond << 12 | 0x07);
    let unmap = core::panic::AssertUnwindSafe(|| sva.unmap(frame(TABLE), 5));
    let panic = std::panic::catch_unwind(unmap).unwrap_err();
    let said = panic.downcast_ref::<std::string::String>().unwrap();
    assert_eq!(said, "the machine was stopped: a leaf names a frame that does not exist");
}
