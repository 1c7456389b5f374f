//! The word of a slot.

#![allow(clippy::unwrap_used, clippy::as_conversions, reason = "tests fail by panicking")]

use super::*;

pub(crate) const ALL: [State; 11] = [
    State::Vacant,
    State::Busy,
    State::Ready,
    State::Saved,
    State::Running,
    State::Unused,
    State::Ending,
    State::Waiting,
    State::Idle,
    State::Abandoned,
    State::Abandoning,
];

#[test]
fn a_word_is_its_state_and_its_generation() {
    let first = Word::from_bits(0);
    assert_eq!(first.state(), State::Vacant);
    let second = first.next().unwrap();
    for (number, state) in (0..).zip(ALL) {
        assert_eq!(state as u32, number);
        assert_eq!(first.to(state).state(), state);
        assert_eq!(second.to(state).state(), state);
        assert_eq!(second.to(state).to(State::Vacant), second);
        assert!(second.is_same(second.to(state)));
        assert!(!second.is_same(first.to(state)));
        assert_eq!(
            second.to(state).next().unwrap().state(),
            state,
            "the next generation is in the same state"
        );
    }
}

#[test]
fn the_last_generation_has_no_next() {
    let last = Word::from_bits(u32::MAX);
    assert_eq!(last.next(), None);
    assert_eq!(Word::from_bits(u32::MAX - 16).next(), Some(last));
    assert_eq!(last.generation(), u32::MAX / 16);
}

#[test]
fn what_is_left_is_one_less() {
    let name = Word::from_bits(0).next().unwrap();
    let pairs = [
        (State::Running, State::Saved),
        (State::Ending, State::Unused),
        (State::Idle, State::Waiting),
        (State::Abandoning, State::Abandoned),
    ];
    for (on_its_stack, afterwards) in pairs {
        assert_eq!(name.to(on_its_stack).left(), name.to(afterwards));
        assert_eq!(name.to(afterwards).resumed(), name.to(on_its_stack));
    }
}
