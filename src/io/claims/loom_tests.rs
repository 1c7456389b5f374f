//! Claims that race, in every order.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

extern crate std;

use super::{Bits, Ports, release, take};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use std::vec::Vec;

bits!(AtomicU32);

type Words = [AtomicU32; 3];

fn ports((first, count): (u16, u32)) -> Ports {
    Ports::new(first, count).unwrap()
}

/// The bits of `ranges` and no others.
fn expect(words: &Words, ranges: &[(u16, u32)]) {
    let mut expected = [0u32; 3];
    for (first, count) in ranges {
        (u32::from(*first)..u32::from(*first) + count)
            .for_each(|port| expected[port as usize / 32] |= 1 << (port % 32));
    }
    let found: Vec<u32> = words.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    assert_eq!(found, expected);
}

/// Runs a claim of each range, all at once, with `before` taken, and then `check` with the answers.
fn claims<const N: usize>(
    before: (u16, u32),
    ranges: [(u16, u32); N],
    check: impl Fn(&Words, [bool; N]) + Send + Sync + 'static,
) {
    loom::model(move || {
        let words = Arc::new([AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0)]);
        take(&words[..], ports(before)).unwrap();
        let claim = |range| {
            let words = words.clone();
            move || take(&words[..], ports(range)).is_ok()
        };
        let others: Vec<_> = ranges[1..].iter().map(|range| thread::spawn(claim(*range))).collect();
        let first = claim(ranges[0])();
        let mut answers = [first; N];
        for (answer, other) in answers[1..].iter_mut().zip(others) {
            *answer = other.join().unwrap();
        }
        let mut held = [before; N];
        let mut count = 0;
        for (range, _) in ranges.iter().zip(answers).filter(|(_, held)| *held) {
            held[count] = *range;
            count += 1;
        }
        let held: Vec<_> = held[..count].iter().copied().chain([before]).collect();
        expect(&words, &held);
        check(&words, answers);
    });
}

const ELSEWHERE: (u16, u32) = (95, 1);

/// Whatever the overlap: in one word, across words, one inside the other, the same.
#[test]
fn of_two_that_overlap_one_wins() {
    for (one, two) in [
        ((4, 4), (6, 4)),
        ((30, 4), (33, 2)),
        ((31, 2), (32, 1)),
        ((0, 90), (40, 1)),
        ((16, 60), (40, 54)),
        ((10, 70), (10, 70)),
    ] {
        claims(ELSEWHERE, [one, two], |_, [one, two]| assert!(one ^ two));
        claims(ELSEWHERE, [two, one], |_, [one, two]| assert!(one ^ two));
    }
}

#[test]
fn two_that_do_not_overlap_both_win() {
    for (one, two) in [((4, 4), (8, 4)), ((0, 40), (40, 50)), ((31, 1), (32, 1)), ((0, 1), (94, 1))] {
        claims(ELSEWHERE, [one, two], |_, answers| assert_eq!(answers, [true, true]));
    }
}

/// What is refused because of a claim that holds is in nobody's way.
#[test]
fn a_refused_claim_disturbs_no_other() {
    let before = (64, 4);
    claims(before, [(0, 66), (0, 4)], |_, answers| assert_eq!(answers, [false, true]));
    claims(before, [(40, 30), (68, 4)], |_, answers| assert_eq!(answers, [false, true]));
}

/// Of three in a chain the outer two do not share a port. Never do two that do both win, and one
/// always does.
#[test]
fn of_three_in_a_chain_some_win() {
    claims(ELSEWHERE, [(0, 33), (32, 33), (64, 8)], |_, [low, middle, high]| {
        assert!(!(middle && (low || high)));
        assert!(low || middle || high);
    });
}

/// A release is seen by the claim that follows it, with all that its owner did.
#[test]
fn a_release_passes_on_what_came_before() {
    loom::model(|| {
        let words = Arc::new([AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0)]);
        let device = Arc::new(AtomicU32::new(0));
        let range = ports((20, 30));
        take(&words[..], range).unwrap();
        let (their_words, their_device) = (words.clone(), device.clone());
        let other = thread::spawn(move || {
            if take(&their_words[..], range).is_ok() {
                assert_eq!(their_device.load(Ordering::Relaxed), 7);
            }
        });
        device.store(7, Ordering::Relaxed);
        assert!(release(&words[..], range));
        other.join().unwrap();
    });
}
