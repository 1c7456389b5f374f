#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use crate::address::{FrameRange, PhysAddr};
use crate::init::tests::world::{RAM, frame, frames, world};
use crate::mmu::{Pae, TwoLevel};
use crate::violation::Violation;

/// Frame 11 alone was kept; frame 0 has the kind, but is the firmware's.
#[test]
fn only_what_was_kept_is_lent() {
    let sva = world::<TwoLevel>(1);
    let kept = |start: u32, length| sva.kept_frames(PhysAddr::new(start), length);
    for (start, length) in [(0xb000, 0x1000), (0xb001, 0xfff), (0xbfff, 1), (0xb800, 5)] {
        assert_eq!(kept(start, length), Ok(frames(11, 1)), "{start:#x} {length:#x}");
    }
    assert_eq!(kept(0xb000, 0), Ok(FrameRange::EMPTY));
    assert_eq!(kept(0x5000, 0), Ok(FrameRange::EMPTY), "nothing is lent of anything");
    assert_eq!(kept(0xb000, 0x1001), Err(Violation::NotKept(frame(12))));
    assert_eq!(kept(0xafff, 2), Err(Violation::NotKept(frame(10))));
    assert_eq!(kept(0x0, 1), Err(Violation::NotKept(frame(0))));
    assert_eq!(kept(RAM << 12, 1), Err(Violation::NotKept(frame(RAM))));
    assert_eq!(kept(u32::MAX, 2), Err(Violation::RangeTooLong(2)));
}

#[test]
fn no_other_frame_is() {
    let sva = world::<Pae>(1);
    for number in 0..RAM + 8 {
        let expected = if number == 11 { Ok(frames(11, 1)) } else { Err(Violation::NotKept(frame(number))) };
        assert_eq!(sva.kept_frames(frame(number).start(), 0x1000), expected);
    }
}
