//! Every offset of a small region, and what is left of one that is gone.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

use super::*;
use crate::address::Frame;
use crate::init::tests::world::{DEVICES, World, cpu, frames, page, world_with_devices};
use crate::machine::emulated::{Direction, Register as Place};
use crate::mmu::{Pae, PagingMode, TwoLevel};
use std::vec::Vec;

/// A region of so many bytes, as no policy would hand out.
fn region<P: PagingMode>(
    sva: &World<P>,
    start: u32,
    length: u32,
) -> MmioRegion<'_, crate::machine::Emulated<P>> {
    let start = PhysAddr::new(start);
    let taken = crate::io::devices::frames_of(start, length).unwrap();
    let pages = sva.half.devices.take(sva.machine(), taken).unwrap();
    MmioRegion::new(sva, pages, start, length)
}

/// As long as it is wide, and at a multiple of that.
fn widths<W: Register + Default>() {
    let sva = world_with_devices::<Pae>(1);
    let small = region(&sva, 0xfebf_0ff0, 16);
    let offsets = (0..40).chain([0xff0, 0x1000, 0x7fff_fff0, 0x8000_0000, u32::MAX - 3, u32::MAX]);
    for offset in offsets {
        let fits = offset % W::BYTES == 0 && u64::from(offset) + u64::from(W::BYTES) <= 16;
        let expected = if fits { Ok(()) } else { Err(Violation::OutsideRegion(offset)) };
        sva.machine().devices().log.clear();
        assert_eq!(small.read::<W>(offset).map(drop), expected);
        assert_eq!(small.write(offset, W::default()), expected);
        assert_eq!(small.register::<W>(offset).map(|register| register.address().get()).ok(), {
            fits.then(|| 0xfebf_0ff0 + offset)
        });
        let log = &sva.machine().devices().log;
        assert_eq!(log.len(), if fits { 2 } else { 0 }, "a refused access is none");
        assert!(log.iter().all(|access| {
            access.bytes == W::BYTES && access.register == Place::Memory(PhysAddr::new(0xfebf_0ff0 + offset))
        }));
    }
}

#[test]
fn attack_p08_accesses_lie_inside() {
    widths::<u8>();
    widths::<u16>();
    widths::<u32>();
}

#[test]
fn registers_one_behind_the_other() {
    let sva = world_with_devices::<TwoLevel>(1);
    let small = region(&sva, 0xfebf_0010, 32);
    sva.machine().devices().log.clear();
    small.write_each(8, &[1_u16, 2, 3]).unwrap();
    let mut values = [0_u32; 2];
    sva.machine().devices().inject(Place::Memory(PhysAddr::new(0xfebf_0028)), 5);
    sva.machine().devices().inject(Place::Memory(PhysAddr::new(0xfebf_002c)), 6);
    small.read_each(24, &mut values).unwrap();
    assert_eq!(values, [5, 6]);
    let log = core::mem::take(&mut sva.machine().devices().log);
    let written: Vec<_> = log.iter().filter(|access| access.direction == Direction::Write).collect();
    let places = [0xfebf_0018, 0xfebf_001a, 0xfebf_001c].map(|at| Place::Memory(PhysAddr::new(at)));
    let written: Vec<_> = written.into_iter().map(|access| (access.register, access.value)).collect();
    assert_eq!(written, places.into_iter().zip(1..).collect::<Vec<_>>());
    assert_eq!(small.write_each::<u32>(0, &[0; 9]), Err(Violation::OutsideRegion(0)));
    assert_eq!(small.write_each::<u32>(32, &[0]), Err(Violation::OutsideRegion(32)));
    assert_eq!(small.read_each::<u16>(31, &mut [0]), Err(Violation::OutsideRegion(31)));
    assert_eq!(
        small.read_each::<u32>(u32::MAX - 3, &mut [0; 2]),
        Err(Violation::OutsideRegion(u32::MAX - 3))
    );
    assert!(sva.machine().devices().log.is_empty(), "a refused access is none");
    assert_eq!(small.write_each::<u8>(32, &[]), Ok(()));
    assert_eq!(small.write_each::<u8>(0, &[9; 32]), Ok(()));
}

/// Wherever the first byte lies in its frame, all frames are mapped and no more.
fn pages<P: PagingMode>() {
    let sva = world_with_devices::<P>(1);
    for (start, length, count) in
        [(0xfeb0_0000, 0x1000, 1), (0xfeb0_0800, 0x800, 1), (0xfeb0_0000, 0x4000, 4), (0xfeb0_0ff0, 0x20, 2)]
    {
        let region = region(&sva, start, length);
        assert_eq!(region.pages(), PageRange::new(page(DEVICES.0), count).unwrap());
        let mapped = |place| sva.half.devices.frame_under(sva.machine(), page(DEVICES.0 + place)).is_some();
        assert_eq!((0..8).filter(|place| mapped(*place)).count(), widen(count));
        region.write(0, 1_u8).unwrap();
        region.write(length - 4, 1_u32).unwrap();
        assert!(sva.audit().is_ok());
    }
    assert_eq!(sva.half.devices.first_taken(sva.machine(), frames(0, 0xf_ffff)), None);
}

#[test]
fn whole_frames_are_mapped() {
    pages::<TwoLevel>();
    pages::<Pae>();
}

/// A page is another's only when no CPU remembers what it was.
fn stale<P: PagingMode>() {
    let sva = world_with_devices::<P>(2);
    let window = PageRange::new(page(DEVICES.0), DEVICES.1).unwrap();
    let first = region(&sva, 0xfeb0_0000, 0x2000);
    for number in 0..2 {
        assert!(sva.machine().fill_nth(cpu(number), page(DEVICES.0 + 1), 0));
        assert_eq!(sva.machine().reachable(cpu(number), window).len(), 3, "two pages, one cached too");
    }
    drop(first);
    for number in 0..2 {
        assert!(
            sva.machine().reachable(cpu(number), window).is_empty(),
            "no mapping and no TLB entry is left"
        );
    }
    let second = region(&sva, 0xfec0_0000, 0x2000);
    for number in 0..2 {
        sva.machine().as_cpu(cpu(number), || second.write(0x1000, 7_u32)).unwrap();
    }
    assert_eq!(second.unchecked::<u8>(0x1000).at, VirtAddr::new((DEVICES.0 + 1) << 12));
}

#[test]
fn attack_p09_c12_a_page_is_reused_when_it_is_forgotten() {
    stale::<TwoLevel>();
    stale::<Pae>();
}

#[test]
fn a_region_that_is_forgotten_stays_taken() {
    let sva = world_with_devices::<Pae>(1);
    core::mem::forget(region(&sva, 0xfeb0_0000, 0x1000));
    let taken = sva.half.devices.take(sva.machine(), frames(0xf_eb00, 1));
    assert_eq!(taken, Err(Violation::DeviceTaken(Frame::new(0xf_eb00).unwrap())));
    assert!(sva.audit().is_ok());
}
