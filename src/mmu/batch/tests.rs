//! A batch that reads: what stands in each entry, and nothing changes.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

use crate::frame::Kind;
use crate::init::tests::world::{frame, world};
use crate::mmu::{Entry, Geometry, Leaf, Pae, PagingMode, Rights, TwoLevel};
use crate::violation::{Progress, Violation};
use std::vec;

const TABLE: u32 = 20;
const MAPPED: [(u32, u32, Rights); 3] =
    [(1, 30, Rights::Read), (2, 31, Rights::ReadWrite), (4, 30, Rights::Read)];

fn leaves_are_read_as_one_by_one<P: PagingMode>() {
    let sva = world::<P>(1);
    let table = frame(TABLE);
    sva.declare_table(table, 1).unwrap();
    for number in [30, 31] {
        sva.retype(frame(number), Kind::UserData).unwrap();
    }
    for (index, number, rights) in MAPPED {
        sva.map(table, index, frame(number), rights).unwrap();
    }
    let before = sva.machine().digest();
    let single = |index| match sva.read_entry(table, index).unwrap() {
        Entry::Leaf(leaf) => Some(leaf),
        _ => None,
    };
    // A leaf that stood there before is not left.
    let other: Option<Leaf> = single(1);
    for (first, count) in [(0, 6), (1, 1), (2, 3), (3, 1), (0, 0), (P::ENTRIES - 2, 2)] {
        let mut leaves = vec![other; usize::try_from(count).unwrap()];
        assert_eq!(sva.read_batch(table, first, &mut leaves), Progress { done: count, refused: None });
        assert_eq!(leaves, (first..first + count).map(single).collect::<vec::Vec<_>>(), "{first}");
    }
    assert!(single(2).is_some_and(|leaf| leaf.frame() == frame(31) && leaf.write()));
    let beyond = Progress { done: 2, refused: Some(Violation::NoSuchEntry(P::ENTRIES)) };
    assert_eq!(sva.read_batch(table, P::ENTRIES - 2, &mut [None; 5]), beyond);
    assert_eq!(sva.mappings(table).total, 3);
    assert_eq!(sva.machine().digest(), before);
}

#[test]
fn leaves_are_read_as_one_by_one_two_level() {
    leaves_are_read_as_one_by_one::<TwoLevel>();
}

#[test]
fn leaves_are_read_as_one_by_one_pae() {
    leaves_are_read_as_one_by_one::<Pae>();
}
