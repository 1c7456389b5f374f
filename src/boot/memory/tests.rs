#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::super::loader::ModuleAt;
use super::*;
use crate::address::PhysAddr;
use crate::layout::Role;
use crate::memory_map::{Region, Usage};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec::Vec;

fn loader(parts: &[(u32, u32)], command_line: (u32, u32)) -> Loader {
    let bytes = |(start, length): (u32, u32)| Bytes { start: PhysAddr::new(start), length };
    let mut loader = Loader {
        regions: List::new(Region { start: 0, length: 0, usage: Usage::Reserved }),
        command_line: bytes(command_line),
        modules: List::new(ModuleAt { bytes: Bytes::EMPTY, text: Bytes::EMPTY }),
    };
    for pair in parts.chunks(2) {
        let text = pair.get(1).map_or(Bytes::EMPTY, |text| bytes(*text));
        loader.modules.push(ModuleAt { bytes: bytes(pair[0]), text }).unwrap();
    }
    loader
}

#[test]
fn neighbours_in_one_frame_are_kept_once() {
    let loader = loader(&[(0x20_0000, 0x1800), (0x20_1900, 4)], (0x10, 3));
    let kept = kept(&loader).unwrap();
    let kept: Vec<_> = kept.as_slice().iter().map(|part| part.frames()).collect();
    let range = |first, count| FrameRange::new(Frame::new(first).unwrap(), count).unwrap();
    assert_eq!(kept, [range(0, 1), range(0x200, 2)]);
}

/// An image that ends with frame `end` - 1.
fn image(end: u32) -> [Segment; 1] {
    let frames = FrameRange::new(Frame::new(end - 1).unwrap(), 1).unwrap();
    [Segment { first: Page::new(0xc_0000 + end - 1).unwrap(), frames, role: Role::Text }]
}

#[test]
fn ram_that_ends_before_the_image_is_too_little() {
    let mut loader = loader(&[], (0, 0));
    loader.regions.push(Region { start: 0, length: 2 << 20, usage: Usage::Available }).unwrap();
    assert!(direct_map(&loader, &image(0x200)).is_ok());
    let refused = direct_map(&loader, &image(0x205)).err();
    assert_eq!(refused, Some(Refusal::Refused(Violation::NoRoom(5))));
}

/// No tables are spent on what is no RAM, and what the kernel half has no room for stays unused.
#[test]
fn the_direct_map_reaches_what_ram_there_is() {
    for (mib, reached) in [(2u32, 0x200), (16, 0x1000), (896, 0x3_8000), (1024, 0x3_8000)] {
        let mut loader = loader(&[], (0, 0));
        let region = Region { start: 0, length: u64::from(mib) << 20, usage: Usage::Available };
        loader.regions.push(region).unwrap();
        loader.regions.push(Region { start: 0xfffc_0000, length: 0x4_0000, usage: Usage::Reserved }).unwrap();
        let direct = direct_map(&loader, &image(0x200)).unwrap();
        assert_eq!(
            (direct.first.number(), direct.frames.first(), direct.frames.count()),
            (0xc_0000, Frame::ZERO, reached)
        );
    }
    let mut loader = loader(&[], (0, 0));
    loader.regions.push(Region { start: u64::MAX, length: 2, usage: Usage::Available }).unwrap();
    assert!(direct_map(&loader, &[]).is_err());
}

#[test]
fn what_wraps_is_refused() {
    let refused = kept(&loader(&[(0xffff_f000, 0x1001)], (0, 0))).err();
    assert_eq!(refused, Some(Refusal::BadStructure(PhysAddr::new(0xffff_f000))));
    assert!(kept(&loader(&[(0xffff_f000, 0x1000)], (0, 0))).is_ok());
}

proptest! {
    /// The frames kept are those that hold a byte, each once.
    #[test]
    fn all_bytes_are_kept(
        parts in prop::collection::vec((0u32..0x4_0000, 0u32..0x5000), 0..=2 * MOST_MODULES),
        line in (0u32..0x4_0000, 0u32..0x5000),
    ) {
        let kept = kept(&loader(&parts, line)).unwrap();
        let bytes = parts.iter().chain([&line]).flat_map(|(start, length)| {
            (*length > 0).then(|| (start >> 12)..=((start + length - 1) >> 12)).into_iter().flatten()
        });
        let wanted: BTreeSet<_> = bytes.collect();
        let found: Vec<_> =
            kept.as_slice().iter().flat_map(|part| part.frames().iter().map(Frame::number)).collect();
        prop_assert_eq!(&found, &wanted.into_iter().collect::<Vec<_>>());
    }
}
