//! A buffer against the bytes that it should hold.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::init::tests::world::{RAM, frame, frames, world};
use crate::mmu::{Pae, Rights};
use std::vec;
use std::vec::Vec;

#[test]
fn bytes_come_back_wherever_they_lie() {
    let sva = world::<Pae>(1);
    let buffer = DmaBuffer::new(&sva, frames(20, 3)).unwrap();
    assert_eq!((buffer.start().get(), buffer.last()), (20 << 12, 0x2fff));
    let mut model = vec![0; 0x3000];
    for (n, (offset, length)) in
        [(0, 0x3000), (1, 1), (0xfff, 2), (0x1000, 0x1000), (0xffe, 0x1004), (0x2fff, 1), (0x3000, 0), (7, 0)]
            .into_iter()
            .enumerate()
    {
        let bytes: Vec<u8> = (0..length).map(|byte: usize| (byte * 7 + n) as u8).collect();
        buffer.write(offset as u32, &bytes).unwrap();
        model.get_mut(offset..offset + length).unwrap().copy_from_slice(&bytes);
        let mut seen = vec![0; 0x3000];
        buffer.read(0, &mut seen).unwrap();
        assert!(seen == model, "{offset:#x} {length:#x}");
        let mut seen = vec![0; length];
        buffer.read(offset as u32, &mut seen).unwrap();
        assert_eq!(seen, bytes);
    }
    // A device sees the same.
    let seen = (0..0x3000_u32).step_by(4).map(|at| sva.machine().peek::<u32>(buffer.start().plus(at)));
    let words = model.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    assert!(seen.eq(words));
    for (offset, length) in [(0, 0x3001), (0x2fff, 2), (0x3001, 0), (u32::MAX, 1), (1, 0x3000)] {
        let before = sva.machine().digest();
        assert_eq!(buffer.write(offset, &vec![1; length]), Err(Violation::RangeTooLong(offset)));
        assert_eq!(buffer.read(offset, &mut vec![1; length]), Err(Violation::RangeTooLong(offset)));
        assert!(sva.machine().digest() == before);
    }
    assert!(sva.audit().is_ok());
}

#[test]
fn attack_f10_what_a_device_may_write_is_never_anything_else() {
    let sva = world::<Pae>(1);
    let _leaked = DmaBuffer::new(&sva, frames(20, 2)).unwrap();
    sva.declare_table(frame(13), 1).unwrap();
    sva.retype(frame(24), Kind::UserData).unwrap();
    for number in [20, 21] {
        let dma = frame(number);
        assert_eq!(sva.kind(dma), Kind::Dma);
        assert_eq!(sva.retype(dma, Kind::Free), Err(Violation::FrameIsDma(dma)));
        assert_eq!(sva.map(frame(13), 0, dma, Rights::Read), Err(Violation::NotMappable(dma)));
        assert!(sva.declare_table(dma, 1).is_err() && sva.grant_memory(frames(number, 1)).is_err());
    }
    // All of them, or none.
    for (first, count) in [(19, 2), (22, 3), (RAM - 1, 2), (1, 1), (22, 0)] {
        let before = sva.machine().digest();
        assert!(DmaBuffer::new(&sva, frames(first, count)).is_err());
        assert!(sva.machine().digest() == before, "a refused call changed something");
    }
    assert_eq!(DmaBuffer::new(&sva, frames(22, 0)).err(), Some(Violation::EmptyRange(22)));
    assert_eq!(DmaBuffer::new(&sva, frames(22, 3)).err(), Some(Violation::NotFree(frame(24))));
    assert!(sva.audit().is_ok());
}
