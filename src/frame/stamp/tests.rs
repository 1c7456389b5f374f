//! Times on their circle, and stamps as words.

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
use crate::address::FRAME_LIMIT;
use proptest::prelude::*;
use std::vec::Vec;

const CIRCLE: i64 = 1 << 31;

fn time(bits: u32) -> Time {
    assert!(bits & 1 == 1 && bits < 1 << 31, "{bits:#x}");
    Time::of_clock(bits)
}

/// A few thousand moments: around every boundary, and spread over the circle.
fn moments() -> Vec<Time> {
    let boundaries = (24..=31).map(|bit| 1u64 << bit).chain([0, 3 << 29, 5 << 28]);
    let near = boundaries.flat_map(|at| (0..41).map(move |step| at + 2 * step + 2 * CIRCLE as u64 - 41));
    let spread = (0..2300u64).map(|step| step * 1_867_261 * 2 + 1);
    near.chain(spread).map(|bits| Time::of_clock((bits & 0x7fff_ffff | 1) as u32)).collect()
}

/// How far `a` is past `b`, in whole numbers: -2^30 < d <= 2^30.
fn distance(a: Time, b: Time) -> i64 {
    let d = (i64::from(a.bits()) - i64::from(b.bits())).rem_euclid(CIRCLE);
    if d > CIRCLE / 2 { d - CIRCLE } else { d }
}

#[test]
fn later_is_less_than_half_a_circle_on() {
    let moments = moments();
    assert!(moments.len() > 2000);
    for a in &moments {
        for b in &moments {
            let d = distance(*a, *b);
            assert_eq!(i64::from(a.since(*b)), d.rem_euclid(CIRCLE));
            assert_eq!(a.is_after(*b), 0 < d && d < CIRCLE / 2, "{a:?} {b:?}");
            // Of two different moments exactly one is later, but for opposite ones: neither.
            let known = u32::from(a.is_after(*b)) + u32::from(b.is_after(*a));
            assert_eq!(known, u32::from(d != 0 && d != CIRCLE / 2), "{a:?} {b:?}");
        }
        assert!(!a.is_after(*a));
    }
}

/// The hand sees every frame once in 2^20 ticks. What was just not old when it came by is still
/// told apart from the clock when it comes by again.
#[test]
fn what_the_hand_passed_by_is_still_known_a_round_later() {
    let round = FRAME_LIMIT * Time::TICK;
    assert!(OLD + round < HALF);
    for word in [1, 3, 0x2000_0001, 0x7fff_ffff, 0x3fff_ffff] {
        let dropped = time(word);
        for age in [2, OLD - 1, OLD, OLD + 2, OLD + round] {
            let now = Time::of_clock(word.wrapping_add(age & !1));
            assert!(now.is_after(dropped) && !dropped.is_after(now), "{age:#x}");
            assert_eq!(now.since(dropped) > OLD, age & !1 > OLD);
        }
    }
}

#[test]
fn a_tick_is_always_later() {
    let starts = [1u32, 0x7fff_fff1, 0x8000_0001, 0xbfff_fff1, 0xffff_fff1];
    for start in starts {
        let mut word = start;
        for _ in 0..32 {
            let next = word.wrapping_add(Time::TICK);
            let (before, after) = (Time::of_clock(word), Time::of_clock(next));
            assert!(after.is_after(before) && !before.is_after(after), "{word:#x}");
            assert_eq!(after.since(before), Time::TICK);
            assert!(after.bits() & 1 == 1 && after.bits() < 1 << 31);
            word = next;
        }
    }
    assert_eq!(Time::FIRST.bits(), 1);
}

#[test]
fn stamps_are_words_and_back() {
    assert_eq!(Stamp::Clean.bits(), 0);
    assert_eq!(Stamp::from_bits(0), Stamp::Clean);
    for time in moments() {
        let stamp = Stamp::Dropped(time);
        assert_eq!(stamp.bits(), time.bits());
        assert_eq!(Stamp::from_bits(stamp.bits()), stamp);
    }
    for table in [0, 1, 0x12345, 0x8_0000, 0xf_fffe, 0xf_ffff] {
        for index in 0..1024 {
            let stamp = Stamp::Linked { table: Frame::new(table).unwrap(), index };
            assert_eq!(stamp.bits(), 1 << 31 | table << 10 | index);
            assert_eq!(Stamp::from_bits(stamp.bits()), stamp);
        }
    }
}

/// A drop takes the place of every stamp but a later drop, or one that is neither.
#[test]
fn only_an_earlier_drop_yields() {
    let moments = moments();
    let links = [(0, 0), (0, 1), (0x2_0000, 0), (0x8_0000, 5), (0xf_ffff, 1023)];
    for now in &moments {
        assert!(Stamp::yields(0, *now));
        for (table, index) in links {
            let linked = Stamp::Linked { table: Frame::new(table).unwrap(), index };
            assert!(Stamp::yields(linked.bits(), *now), "{now:?} {linked:?}");
        }
        for dropped in moments.iter().step_by(7) {
            // Of opposite moments neither is known to be later: the one that comes stays.
            let expected = now.is_after(*dropped) || distance(*now, *dropped) == CIRCLE / 2;
            assert_eq!(Stamp::yields(dropped.bits(), *now), expected, "{now:?} {dropped:?}");
        }
    }
}

/// The hand has half the circle to come round before such a time is taken for a later one.
#[test]
fn what_is_old_is_a_quarter_of_the_circle_old() {
    assert_eq!(u64::from(OLD) * 4, 1 << BITS);
}

#[test]
fn a_clock_shows_odd_times_only() {
    for bits in [1, 2, 3, 4, 0x7fff_fffe, 0x7fff_ffff] {
        let Stamp::Dropped(time) = Stamp::from_bits(bits) else { panic!("{bits:#x} is a time") };
        assert_eq!(time.is_shown(), bits % 2 == 1, "{bits:#x}");
        assert!(Time::of_clock(bits).is_shown());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn every_word_is_some_stamp(bits in any::<u32>()) {
        match Stamp::from_bits(bits) {
            Stamp::Clean => prop_assert!(bits == 0 || bits >> 30 == 0b11),
            stamp => prop_assert_eq!(stamp.bits(), bits),
        }
    }

    /// Among moments within a third of the circle "later" is an order.
    #[test]
    fn later_is_transitive_nearby(at in any::<u32>(), b in 0..1u32 << 28, c in 0..1u32 << 28) {
        let a = Time::of_clock(at | 1);
        let b = Time::of_clock((at | 1).wrapping_add(2 * (b % (1 << 28))));
        let c = Time::of_clock(b.bits().wrapping_add(2 * (c % (1 << 28))));
        if b.is_after(a) && c.is_after(b) && c.since(a) < HALF {
            prop_assert!(c.is_after(a));
        }
    }
}
