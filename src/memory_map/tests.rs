//! Regions against a naive look at single bytes of each frame.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const GIB: u64 = 1 << 30;

/// Whether `region` says something of frame `number`: an available one if all of the frame's bytes
/// lie in it, a reserved one if any does. In 128 bits nothing wraps.
fn says(region: &Region, number: u32) -> bool {
    let (first, last) = (i128::from(number) << 12, (i128::from(number) << 12) + 4095);
    let (start, end) = (i128::from(region.start), i128::from(region.start) + i128::from(region.length));
    match region.usage {
        Usage::Available => start <= first && last < end,
        Usage::Reserved => start < end && start <= last && first < end,
    }
}

fn region(start: u64, length: u64, usage: Usage) -> Region {
    Region { start, length, usage }
}

/// Compares at every frame at or beside a boundary, and at some others.
fn check(region: Region) {
    let wraps = region.start.checked_add(region.length).is_none();
    let frames = match region.frames(11) {
        Err(violation) => {
            assert!(wraps, "{region:?}");
            assert_eq!(violation, Violation::BadRegion(11));
            return;
        }
        Ok(frames) => frames,
    };
    assert!(!wraps, "{region:?}");
    let edges = [
        region.start,
        region.start + region.length,
        0,
        4 * GIB,
        GIB,
        u64::from(frames.first().start().get()),
    ];
    for edge in edges {
        for number in (edge >> 12).saturating_sub(2)..=(edge >> 12).saturating_add(2) {
            let Some(frame) = u32::try_from(number).ok().and_then(Frame::new) else { continue };
            assert_eq!(frames.contains(frame), says(&region, frame.number()), "{region:?} {frame}");
        }
    }
}

#[test]
fn by_table() {
    use Usage::{Available, Reserved};
    // start, length, usage; first frame and number of frames.
    let table = [
        (0, 0, Available, (0, 0)),
        (0, 1, Available, (0, 0)),
        (0, 4095, Available, (0, 0)),
        (0, 4096, Available, (0, 1)),
        (1, 4096, Available, (1, 0)),
        (1, 8191, Available, (1, 1)),
        (1, 8190, Available, (1, 0)),
        (0x1000, 0x9fc00, Available, (1, 0x9f)),
        (0, 1, Reserved, (0, 1)),
        (0xfff, 1, Reserved, (0, 1)),
        (0xfff, 2, Reserved, (0, 2)),
        (0x1000, 0, Reserved, (1, 0)),
        (0x1001, 0, Reserved, (1, 0)),
        (4 * GIB - 4096, 4096, Available, (0xf_ffff, 1)),
        (4 * GIB - 4096, 8 * GIB, Available, (0xf_ffff, 1)),
        (4 * GIB - 1, 1, Reserved, (0xf_ffff, 1)),
        (0, 16 * GIB, Available, (0, 0x10_0000)),
        (0, u64::MAX, Reserved, (0, 0x10_0000)),
        (0, u64::MAX, Available, (0, 0x10_0000)),
    ];
    for (start, length, usage, (first, count)) in table {
        let frames = region(start, length, usage).frames(0).unwrap();
        assert_eq!(frames.count(), count, "{start:#x} {length:#x} {usage:?}");
        if count != 0 {
            assert_eq!(frames.first().number(), first, "{start:#x} {length:#x} {usage:?}");
        }
        check(region(start, length, usage));
    }
    // Beyond 4 GiB, wholly: nothing, and nothing that wraps down.
    for usage in [Available, Reserved] {
        for (start, length) in
            [(4 * GIB, 4096), (4 * GIB, GIB), (1 << 44, 1 << 12), (u64::MAX - 1, 1), (u64::MAX, 0)]
        {
            assert!(region(start, length, usage).frames(0).unwrap().is_empty(), "{start:#x} {usage:?}");
        }
        for (start, length) in [(u64::MAX, 1), (1, u64::MAX), (u64::MAX, u64::MAX), (1 << 63, 1 << 63)] {
            assert_eq!(region(start, length, usage).frames(5), Err(Violation::BadRegion(5)));
        }
    }
}

#[test]
fn a_region_that_wraps_is_named() {
    let good = region(0, 4096, Usage::Available);
    let bad = region(u64::MAX, 2, Usage::Reserved);
    assert!(MemoryMap::new(&[]).is_ok());
    assert!(MemoryMap::new(&[good, good]).is_ok());
    for place in 0..4usize {
        let mut regions = [good; 4];
        regions[place] = bad;
        assert_eq!(MemoryMap::new(&regions).err(), Some(Violation::BadRegion(place as u32)));
    }
}

fn any_region() -> impl Strategy<Value = Region> {
    let near = |at: u64| (at.saturating_sub(9000)..at.saturating_add(9000)).boxed();
    let start = prop_oneof![near(0), near(1 << 20), near(4 * GIB), near(u64::MAX), any::<u64>(), 0..6 * GIB];
    let length = prop_oneof![Just(0), 0..20_000u64, 0..5 * GIB, any::<u64>()];
    let usage = prop_oneof![Just(Usage::Available), Just(Usage::Reserved)];
    (start, length, usage).prop_map(|(start, length, usage)| region(start, length, usage))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn as_byte_by_byte(region in any_region()) {
        check(region);
    }

    #[test]
    fn a_map_is_its_regions(regions in prop::collection::vec(any_region(), 0..6)) {
        let wraps = regions.iter().position(|region| region.start.checked_add(region.length).is_none());
        let map = MemoryMap::new(&regions);
        prop_assert_eq!(map.as_ref().err().copied(), wraps.map(|place| Violation::BadRegion(place as u32)));
        let Ok(map) = map else { return Ok(()) };
        let mut end = 0;
        for usage in [Usage::Available, Usage::Reserved] {
            let all: Vec<_> = map.frames(usage).collect();
            prop_assert!(all.iter().all(|frames| !frames.is_empty()));
            for region in &regions {
                let frames = region.frames(0).unwrap();
                let listed = all.contains(&frames);
                prop_assert!(region.usage != usage || frames.is_empty() || listed);
            }
            prop_assert!(all.len() <= regions.iter().filter(|region| region.usage == usage).count());
            if usage == Usage::Available {
                end = all.iter().map(|frames| frames.end()).max().unwrap_or(0);
            }
        }
        prop_assert_eq!(map.end(), end);
        for number in [end, end + 1, 0xf_ffff].into_iter().filter(|number| *number >= end && *number < 1 << 20) {
            prop_assert!(!regions.iter().any(|region| region.usage == Usage::Available && says(region, number)));
        }
    }
}
