//! The fields of word 0, by their places, and its two counts against two integers.

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
use std::vec;

/// The most that each count may say.
const MOST_WRITABLE: u32 = 2047;
const MOST_TOTAL: u32 = 4095;

/// A word by its fields, put together here.
fn word(kind: u32, busy: u32, sealed: u32, writable: u32, total: u32) -> Word {
    assert!(kind < 32 && busy < 2 && sealed < 2 && writable <= MOST_WRITABLE && total <= MOST_TOTAL);
    Word::from_bits(kind | busy << 5 | sealed << 6 | writable << 7 | total << 19)
}

#[test]
fn fields_are_where_the_picture_shows_them() {
    for kind in Kind::ALL {
        for (busy, sealed) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for writable in [0, 1, 2, 1023, 1024, 2046, 2047] {
                for total in [0, 1, 2, 2047, 2048, 4094, 4095] {
                    let word = word(kind.bits(), busy, sealed, writable, total);
                    assert_eq!(word.kind(), kind);
                    assert_eq!(word.is_busy(), busy == 1);
                    assert_eq!(word.is_sealed(), sealed == 1);
                    assert_eq!((word.writable(), word.total()), (writable, total));
                    assert!(!word.overflowed());
                    for other in Kind::ALL {
                        let is = kind == other && busy == 0 && sealed == 0;
                        assert_eq!(word.is(other), is, "{word:?} {other:?}");
                        assert_eq!(word.is_linked_once(other), is && writable == 1, "{word:?} {other:?}");
                    }
                }
            }
        }
        assert_eq!(Word::unused(kind).bits(), kind.bits());
        assert_eq!(Word::busy(kind).bits(), kind.bits() | 0x20);
        assert_eq!(Word::sealed(kind).bits(), kind.bits() | 0x40);
    }
    assert_eq!(Word::NONE.bits(), 0);
    for guard in [1 << 18, 1 << 31] {
        let word = Word::from_bits(17 | 1 << 19 | 1 << 7);
        let over = Word::from_bits(word.bits() | guard);
        assert!(word.is(Kind::Table1) && word.is_linked_once(Kind::Table1));
        assert!(!over.is(Kind::Table1) && !over.is_linked_once(Kind::Table1));
    }
    assert!(Word::from_bits(1 << 18).overflowed() && Word::from_bits(1 << 31).overflowed());
    assert!(!Word::from_bits(!(1 << 18 | 1 << 31)).overflowed());
}

#[test]
fn uses_add_what_they_are() {
    let zero = word(3, 0, 0, 0, 0);
    let counted = |uses| (zero.with(uses).total(), zero.with(uses).writable());
    assert_eq!(counted(Uses::READ), (1, 0));
    assert_eq!(counted(Uses::WRITE), (1, 1));
    assert_eq!(counted(Uses::ENTRY), (1, 0));
    assert_eq!(counted(Uses::LINK), (1, 1));
    assert_eq!(counted(Uses::LOAD), (1, 1));
    assert_eq!(counted(Uses::GAIN_WRITE), (0, 1));
    assert_eq!(counted(Uses::READ.and(Uses::WRITE).and(Uses::GAIN_WRITE)), (2, 2));
}

/// E18: as many as can be counted, and one more.
#[test]
fn each_count_goes_to_its_guard_and_back() {
    let cases = [
        (Uses::READ, 0, MOST_TOTAL),
        (Uses::WRITE, MOST_WRITABLE, MOST_WRITABLE),
        (Uses::GAIN_WRITE, MOST_WRITABLE, 0),
    ];
    for kind in Kind::ALL {
        for (uses, most_writable, most_total) in cases {
            let empty = Word::unused(kind);
            let mut full = empty;
            for step in 1..=most_writable.max(most_total) {
                full = full.with(uses);
                assert!(!full.overflowed(), "{step}");
                assert_eq!(full.kind(), kind);
                assert!(!full.is_busy() && !full.is_sealed());
            }
            assert_eq!((full.total(), full.writable()), (most_total, most_writable));
            assert!(full.with(uses).overflowed());
            assert_eq!(full.with(uses).kind(), kind);
            for _ in 0..most_writable.max(most_total) {
                full = full.without(uses);
                assert!(!full.overflowed());
            }
            assert_eq!(full, empty);
            assert!(full.without(uses).overflowed());
        }
    }
}

/// Whatever the other count is, the guard tells of the one that left its range.
/// The guard of the total is the highest bit, which nothing else is.
#[test]
fn the_total_alone_overflows_into_the_sign() {
    for bit in 0..32 {
        assert_eq!(Word::from_bits(1 << bit).total_overflowed(), bit == 31, "bit {bit}");
        assert_eq!(Word::from_bits(!(1 << bit)).total_overflowed(), bit != 31, "all but bit {bit}");
    }
    assert!(!Word::from_bits(0).total_overflowed());
}

#[test]
fn the_counts_are_independent() {
    for writable in [0, 1, 1000, 2046, 2047] {
        for total in [0, 1, 2047, 2048, 4094, 4095] {
            let word = word(3, 0, 0, writable, total);
            for (uses, adds_total, adds_writable) in
                [(Uses::READ, 1, 0), (Uses::WRITE, 1, 1), (Uses::GAIN_WRITE, 0, 1)]
            {
                let fits = total + adds_total <= MOST_TOTAL && writable + adds_writable <= MOST_WRITABLE;
                let more = word.with(uses);
                assert_eq!(!more.overflowed(), fits, "{word:?} + {uses:?}");
                if fits {
                    assert_eq!(more, self::word(3, 0, 0, writable + adds_writable, total + adds_total));
                }
                let fits = total >= adds_total && writable >= adds_writable;
                let less = word.without(uses);
                assert_eq!(!less.overflowed(), fits, "{word:?} - {uses:?}");
                if fits {
                    assert_eq!(less, self::word(3, 0, 0, writable - adds_writable, total - adds_total));
                }
            }
        }
    }
}

#[test]
fn text() {
    assert_eq!(format!("{:?}", word(3, 0, 0, 2, 5)), "UserData total 5 writable 2");
    assert_eq!(format!("{:?}", word(10, 1, 1, 0, 0)), "Monitor busy sealed total 0 writable 0");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Steps that the guards allow are steps of two integers.
    #[test]
    fn a_walk_of_counts(steps in prop::collection::vec((0..3usize, any::<bool>()), 0..200), near in any::<bool>()) {
        let (mut total, mut writable) = if near { (MOST_TOTAL - 3, MOST_WRITABLE - 3) } else { (0, 0) };
        let mut now = word(17, 0, 0, writable, total);
        for (uses, up) in steps {
            let (uses, t, w) = [(Uses::READ, 1, 0), (Uses::WRITE, 1, 1), (Uses::GAIN_WRITE, 0, 1)][uses];
            let (next, t, w) = if up {
                (now.with(uses), total.checked_add(t).filter(|t| *t <= MOST_TOTAL), writable.checked_add(w).filter(|w| *w <= MOST_WRITABLE))
            } else {
                (now.without(uses), total.checked_sub(t), writable.checked_sub(w))
            };
            match (t, w) {
                (Some(t), Some(w)) => {
                    prop_assert!(!next.overflowed());
                    (now, total, writable) = (next, t, w);
                }
                _ => prop_assert!(next.overflowed()),
            }
            prop_assert_eq!(vec![now.total(), now.writable(), now.kind().bits()], vec![total, writable, 17]);
        }
    }
}
