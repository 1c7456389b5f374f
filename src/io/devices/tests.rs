//! What may be claimed of memory that is no RAM.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

use super::*;
use crate::init::tests::world::{RAM, World, frame, frames, world, world_with_devices};
use crate::machine::emulated::Register;
use crate::mmu::{Pae, PagingMode, TwoLevel};

#[track_caller]
fn refused<P: PagingMode>(sva: &World<P>, range: FrameRange, violation: Violation) {
    let before = sva.machine().digest();
    assert_eq!(sva.devices().claim(range).map(drop), Err(violation));
    assert!(sva.machine().digest() == before, "a refused claim changed something");
}

fn screen<P: PagingMode>() {
    let sva = world_with_devices::<P>(2);
    let screen = sva.devices().claim(frames(0xb8, 8)).unwrap();
    assert_eq!((screen.start().get(), screen.length()), (0xb_8000, 0x8000));
    sva.machine().devices().inject(Register::Memory(PhysAddr::new(0xb_8004)), 0x7_0741);
    assert_eq!(screen.read::<u16>(4), Ok(0x0741));
    screen.write(6, 0x0742_u16).unwrap();
    let last = *sva.machine().devices().log.last().unwrap();
    assert_eq!(
        (last.register, last.bytes, last.value),
        (Register::Memory(PhysAddr::new(0xb_8006)), 2, 0x742)
    );
    assert!(sva.audit().is_ok());
    refused(&sva, frames(0xb8, 1), Violation::DeviceTaken(frame(0xb8)));
    refused(&sva, frames(0xb0, 16), Violation::DeviceTaken(frame(0xb8)));
    let rest = sva.devices().claim(frames(0xa0, 0x18)).unwrap();
    drop(screen);
    assert!(sva.audit().is_ok());
    // 24 of 40 pages are taken.
    refused(&sva, frames(0xb8, 0), Violation::EmptyRange(0xb8));
    assert_eq!(sva.devices().claim(frames(0xb8, 8)).unwrap().length(), 0x8000);
    drop(rest);
}

#[test]
fn a_screen_is_claimed_and_given_back() {
    screen::<TwoLevel>();
    screen::<Pae>();
}

/// What is not offered, and never RAM, whatever the policy says.
#[test]
fn attack_e12_ram_is_no_device() {
    let sva = world_with_devices::<Pae>(1);
    for (first, count, wrong) in [
        (0, 1, 0),
        (13, 1, 13),
        (RAM, 1, RAM),
        (0x9f, 2, 0x9f),
        (0xbf, 2, 0xc0),
        (0xf_ec00, 1, 0xf_ec00),
        (0xf_ee00, 1, 0xf_ee00),
        (0xf_ffff, 1, 0xf_ffff),
    ] {
        refused(&sva, frames(first, count), Violation::NotDeviceMemory(frame(wrong)));
    }
    let devices = sva.devices();
    assert_eq!(devices.check_no_ram(frames(RAM, 9)), Ok(()));
    assert_eq!(devices.check_no_ram(frames(RAM - 1, 2)), Err(Violation::NotDeviceMemory(frame(RAM - 1))));
    assert_eq!(devices.check_no_ram(frames(3, 1)), Err(Violation::NotDeviceMemory(frame(3))));
}

#[test]
fn a_kernel_without_a_window_claims_none() {
    let sva = world::<Pae>(1);
    refused(&sva, frames(0xb8, 1), Violation::NoDevicePages(1));
    let sva = world_with_devices::<Pae>(1);
    let _screen = sva.devices().claim(frames(0xa0, 0x20)).unwrap();
    refused(&sva, frames(0xa0, 9), Violation::DeviceTaken(frame(0xa0)));
}

#[test]
fn what_one_reads_of_it() {
    let sva = world_with_devices::<Pae>(1);
    assert_eq!(std::format!("{:?}", sva.devices()), "Devices");
    let screen = sva.devices().claim(frames(0xa0, 0x20)).unwrap();
    assert_eq!(std::format!("{screen:?}"), "0x20000 bytes of registers at 0x000a0000");
    let register = screen.register::<u16>(2).unwrap();
    assert_eq!(std::format!("{register:?}"), "register at 0x000a0002, 2 bytes");
}

#[test]
fn bytes_lie_in_frames() {
    let frames_of = |start, length| super::frames_of(PhysAddr::new(start), length);
    assert_eq!(frames_of(0x1000, 0), None);
    assert_eq!(frames_of(0x1000, 1), Some(frames(1, 1)));
    assert_eq!(frames_of(0x1ff0, 0x10), Some(frames(1, 1)));
    assert_eq!(frames_of(0x1ff0, 0x11), Some(frames(1, 2)));
    assert_eq!(frames_of(0xffff_f000, 0x1000), Some(frames(0xf_ffff, 1)));
    assert_eq!(frames_of(0xffff_f000, 0x1001), None);
}
