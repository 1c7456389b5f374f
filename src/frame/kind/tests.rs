//! Kinds and their numbers.

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

use super::Kind;
use std::vec::Vec;

/// The numbers that words in RAM have, written down once more.
const NUMBERS: [(u32, Kind); 18] = [
    (0, Kind::None),
    (1, Kind::Free),
    (2, Kind::KernelData),
    (3, Kind::UserData),
    (4, Kind::Pages),
    (5, Kind::Heap),
    (6, Kind::Image),
    (7, Kind::Code),
    (8, Kind::Kept),
    (9, Kind::Stack),
    (10, Kind::Monitor),
    (11, Kind::Descriptor),
    (12, Kind::Dma),
    (13, Kind::KernelTable),
    (16, Kind::Root),
    (17, Kind::Table1),
    (18, Kind::Table2),
    (19, Kind::Table3),
];

#[test]
fn all_32_numbers() {
    for number in 0..32 {
        let known = NUMBERS.iter().find(|(known, _)| *known == number);
        assert_eq!(Kind::from_bits(number), known.map_or(Kind::None, |(_, kind)| *kind), "{number}");
    }
    for (number, kind) in NUMBERS {
        assert_eq!(kind.bits(), number);
        assert_eq!(Kind::from_bits(kind.bits()), kind);
    }
    assert_eq!(Kind::ALL.to_vec(), NUMBERS.map(|(_, kind)| kind).to_vec());
}

#[test]
fn more_than_five_bits_are_no_kind() {
    for bits in (5..32).map(|bit| 1u32 << bit) {
        for (number, _) in NUMBERS {
            assert_eq!(Kind::from_bits(bits | number), Kind::None);
        }
    }
}

#[test]
fn levels() {
    let tables: Vec<_> = (0..=u8::MAX).filter_map(|level| Some((level, Kind::table(level)?))).collect();
    assert_eq!(tables, [(1, Kind::Table1), (2, Kind::Table2), (3, Kind::Table3)]);
    for kind in Kind::ALL {
        let level = tables.iter().find(|(_, table)| *table == kind).map(|(level, _)| *level);
        assert_eq!(kind.level(), level, "{kind:?}");
    }
}

#[test]
fn bytes_are_copied_of_data_only() {
    let with_bytes: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.has_bytes()).collect();
    assert_eq!(with_bytes, [Kind::KernelData, Kind::UserData, Kind::Dma]);
}
