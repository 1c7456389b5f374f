//! Every step of address arithmetic against the same step in 64 bits.

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
use std::format;
use std::vec::Vec;

const LIMIT: u64 = 1 << 32;
const UNITS: u64 = 1 << 20;

/// Numbers at which something could wrap.
const EDGES: [u32; 18] = [
    0,
    1,
    2,
    0xffe,
    0xfff,
    0x1000,
    0x1001,
    0xf_fffe,
    0xf_ffff,
    0x10_0000,
    0x10_0001,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_efff,
    0xffff_f000,
    0xffff_f001,
    0xffff_fffe,
    0xffff_ffff,
];

fn any_number() -> impl Strategy<Value = u32> {
    prop_oneof![proptest::sample::select(&EDGES[..]), any::<u32>(), 0..0x10_0002u32]
}

macro_rules! suite {
    ($name:ident, $address:ident, $unit:ident, $range:ident) => {
        mod $name {
            use super::*;

            fn range(first: u32, count: u32) -> Option<$range> {
                $unit::new(first).and_then(|first| $range::new(first, count))
            }

            /// The members of a range, as 64-bit numbers from, to.
            fn bounds(range: $range) -> (u64, u64) {
                let first = u64::from(range.first().number());
                (first, first + u64::from(range.count()))
            }

            fn check_address(address: u32, bytes: u32) {
                let wide = u64::from(address);
                let value = $address::new(address);
                assert_eq!(value.get(), address);
                assert_eq!(u64::from(value.containing().number()), wide / 4096);
                assert_eq!(u64::from(value.offset()), wide % 4096);
                assert!(value.containing().start() <= value);
                let sum = wide + u64::from(bytes);
                let expected = (sum < LIMIT).then_some(sum);
                assert_eq!(value.checked_add(bytes).map(|sum| u64::from(sum.get())), expected);
            }

            fn check_unit(number: u32, count: u32) {
                let wide = u64::from(number);
                let unit = $unit::new(number);
                assert_eq!(unit.is_some(), wide < UNITS);
                let Some(unit) = unit else { return };
                assert_eq!(unit.number(), number);
                assert_eq!(u64::from(unit.start().get()), wide * 4096);
                assert_eq!(unit.start().containing(), unit);
                assert_eq!(unit.start().offset(), 0);
                let sum = wide + u64::from(count);
                let expected = (sum < UNITS).then_some(sum);
                assert_eq!(unit.checked_add(count).map(|sum| u64::from(sum.number())), expected);
            }

            fn check_range(first: u32, count: u32, probe: u32) {
                let fits = u64::from(first) < UNITS && u64::from(first) + u64::from(count) <= UNITS;
                let range = range(first, count);
                assert_eq!(range.is_some(), fits, "{first:#x} {count:#x}");
                let Some(range) = range else { return };
                let (from, to) = bounds(range);
                assert_eq!((range.first().number(), range.count()), (first, count));
                assert_eq!(u64::from(range.end()), to);
                assert_eq!(range.is_empty(), from == to);
                let wide = u64::from(probe);
                if let Some(unit) = $unit::new(probe) {
                    assert_eq!(range.contains(unit), from <= wide && wide < to);
                }
                let expected = (wide < to - from).then(|| from + wide);
                assert_eq!(range.get(probe).map(|unit| u64::from(unit.number())), expected);
            }

            fn check_pair(a: (u32, u32), b: (u32, u32)) {
                let (Some(a), Some(b)) = (range(a.0, a.1), range(b.0, b.1)) else { return };
                let ((a0, a1), (b0, b1)) = (bounds(a), bounds(b));
                assert_eq!(a.overlaps(b), a0.max(b0) < a1.min(b1), "{a:?} {b:?}");
                assert_eq!(a.covers(b), b0 == b1 || (a0 <= b0 && b1 <= a1), "{a:?} {b:?}");
            }

            #[test]
            fn edges() {
                for a in EDGES {
                    for b in EDGES {
                        check_address(a, b);
                        check_unit(a, b);
                        EDGES.iter().for_each(|probe| check_range(a, b, *probe));
                    }
                }
                let small = |n: u32| [(n % 5, n / 5 % 4), (0xf_fffb + n % 5, n / 5 % 5)];
                let ranges: Vec<_> = (0..25).flat_map(small).collect();
                for a in &ranges {
                    ranges.iter().for_each(|b| check_pair(*a, *b));
                }
            }

            #[test]
            fn ranges_are_walked_both_ways() {
                for (first, count) in [(0, 0), (7, 1), (0xf_fffd, 3), (100, 50)] {
                    let range = range(first, count).unwrap();
                    let numbers: Vec<_> = range.iter().map($unit::number).collect();
                    assert_eq!(numbers, (first..first + count).collect::<Vec<_>>());
                    let mut back: Vec<_> = range.iter().rev().map($unit::number).collect();
                    back.reverse();
                    assert_eq!(numbers, back);
                    assert!(range.iter().all(|unit| range.contains(unit)));
                }
                assert!($range::EMPTY.is_empty() && $range::EMPTY.iter().next().is_none());
            }

            #[test]
            fn text() {
                let address = $address::new(0xabc);
                assert_eq!(format!("{address}"), "0x00000abc");
                assert_eq!(format!("{address:?}"), concat!(stringify!($address), "(0xabc)"));
                let unit = $unit::new(0xabc).unwrap();
                assert_eq!(format!("{unit}"), "0x00abc000");
                assert_eq!(format!("{unit:?}"), concat!(stringify!($unit), "(0xabc)"));
            }

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(4000))]

                #[test]
                fn as_in_64_bits(a in any_number(), b in any_number(), c in any_number()) {
                    check_address(a, b);
                    check_unit(a, b);
                    check_range(a, b, c);
                    check_range(a & 0xf_ffff, b & 0xf_ffff, c & 0xf_ffff);
                }

                #[test]
                fn pairs_as_in_64_bits(
                    a in (0..0x10_0000u32, 0..0x10_0001u32),
                    b in (0..0x10_0000u32, 0..0x10_0001u32),
                ) {
                    check_pair(a, b);
                    check_pair(a, (a.0.wrapping_add(b.1 % 9), b.1 % 9));
                    check_pair((a.0, a.1 % 16), (a.0.saturating_sub(b.0 % 16), b.1 % 32));
                }
            }
        }
    };
}
suite!(physical, PhysAddr, Frame, FrameRange);
suite!(linear, VirtAddr, Page, PageRange);

#[test]
fn a_known_table_is_stepped_through() {
    assert_eq!(PhysAddr::new(0x1000).plus(0xffc).get(), 0x1ffc);
    assert_eq!(PhysAddr::new(u32::MAX).plus(1).get(), 0, "no panic, whatever is asked");
    assert_eq!(widen(u32::MAX) as u64, u64::from(u32::MAX));
}

#[test]
fn bytes_touch_frames() {
    let of_bytes = |start, length| {
        let frames = FrameRange::of_bytes(PhysAddr::new(start), length)?;
        Some((frames.first().number(), frames.count()))
    };
    assert_eq!(of_bytes(0x1000, 0), Some((0, 0)));
    assert_eq!(of_bytes(0x1000, 1), Some((1, 1)));
    assert_eq!(of_bytes(0x1fff, 1), Some((1, 1)));
    assert_eq!(of_bytes(0x1fff, 2), Some((1, 2)));
    assert_eq!(of_bytes(0, u32::MAX), Some((0, 0x10_0000)));
    assert_eq!(of_bytes(0xffff_f000, 0x1000), Some((0xf_ffff, 1)));
    assert_eq!(of_bytes(0xffff_f000, 0x1001), None);
}
