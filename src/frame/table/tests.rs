//! The four moves, for every word that a frame can have, and what word 1 takes.

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
use std::vec::Vec;

pub(crate) mod ram;
use ram::Ram;

const BASE: u32 = 0x10;
const COUNT: u32 = 4;

/// A table of four frames, with words around it that must stay zero.
pub(crate) fn four_frames() -> (Ram, Frames) {
    // SAFETY: 1. a multiple of 8, with 4 entries in the 16 words. 2. The tests write by its methods.
    (Ram::new(16), unsafe { Frames::new(PhysAddr::new(BASE), COUNT) })
}

fn frame(number: u32) -> Frame {
    Frame::new(number).unwrap()
}

fn place(frames: Frames, number: u32) -> Place {
    frames.place(frame(number)).unwrap()
}

/// What a frame's word says, in words of this test.
#[derive(Clone, Copy, Debug)]
struct State {
    kind: Kind,
    busy: bool,
    sealed: bool,
    writable: u32,
    total: u32,
}

impl State {
    fn word(self) -> Word {
        let flags = u32::from(self.busy) << 5 | u32::from(self.sealed) << 6;
        Word::from_bits(self.kind.bits() | flags | self.writable << 7 | self.total << 19)
    }

    fn all() -> Vec<State> {
        let counts = [(0, 0), (0, 1), (1, 1), (1, 2), (0, 4095), (2047, 4094), (2047, 2047), (2046, 4095)];
        let mut all = Vec::new();
        for kind in Kind::ALL {
            for (busy, sealed) in [(false, false), (false, true), (true, false), (true, true)] {
                all.extend(counts.map(|(writable, total)| State { kind, busy, sealed, writable, total }));
            }
        }
        all
    }

    /// Why this frame is not usable as `wanted` at all, or `None` if only counts can refuse it.
    fn identity_refused(self, frame: Frame, wanted: Kind) -> Option<Violation> {
        let table = |kind| matches!(kind, Kind::Table1 | Kind::Table2 | Kind::Table3);
        if self.kind == Kind::None {
            return Some(Violation::NoSuchFrame(frame));
        }
        if self.kind == wanted {
            return match (self.busy, self.sealed) {
                (true, _) => Some(Violation::FrameBusy(frame)),
                (false, true) => Some(Violation::FrameSealed(frame)),
                (false, false) => None,
            };
        }
        Some(match wanted {
            Kind::Free => Violation::NotFree(frame),
            Kind::UserData => Violation::NotMappable(frame),
            Kind::Root => Violation::NotARoot(frame),
            _ if table(wanted) && (table(self.kind) || self.kind == Kind::Root) => {
                Violation::WrongLevel(frame)
            }
            _ if table(wanted) => Violation::NotATable(frame),
            _ => Violation::NotRetypable(frame),
        })
    }

    /// What stands on a frame that is asked for as one that nothing stands on.
    fn in_use(self, frame: Frame) -> Violation {
        match (self.kind, self.writable) {
            (Kind::Root, 0) => Violation::RootNotEmpty(frame),
            (Kind::Root, _) => Violation::RootInUse(frame),
            (Kind::Table1 | Kind::Table2 | Kind::Table3, 0) => Violation::TableNotEmpty(frame),
            (Kind::Table1 | Kind::Table2 | Kind::Table3, _) => Violation::TableLinked(frame),
            _ => Violation::FrameInUse(frame),
        }
    }

    /// The word after `total` and `writable` more, if both can be counted.
    fn plus(self, writable: u32, total: u32) -> Option<Word> {
        let (writable, total) = (self.writable + writable, self.total + total);
        (writable <= 2047 && total <= 4095).then(|| State { writable, total, ..self }.word())
    }

    fn is_at_its_limit(self) -> bool {
        self.plus(1, 1).is_none()
    }
}

/// Kinds that an intrinsic asks for.
const WANTED: [Kind; 9] = [
    Kind::Free,
    Kind::KernelData,
    Kind::UserData,
    Kind::Pages,
    Kind::Dma,
    Kind::Root,
    Kind::Table1,
    Kind::Table2,
    Kind::Table3,
];

/// Puts `state` into frame 2, does `step` and says what word 0 then is; nothing else may change.
fn try_step<T>(state: State, step: impl FnOnce(&Ram, Frames) -> T) -> (T, Word) {
    let (ram, frames) = four_frames();
    frames.write(&ram, frame(2), state.word());
    let mut before = ram.words();
    let answer = step(&ram, frames);
    let after = frames.word(&ram, frame(2));
    before[8] = after.bits();
    assert_eq!(ram.words(), before, "only the word of frame 2");
    (answer, after)
}

#[test]
fn acquire_of_every_word() {
    for state in State::all() {
        for wanted in WANTED {
            for (uses, writable, total) in [(Uses::READ, 0, 1), (Uses::WRITE, 1, 1), (Uses::GAIN_WRITE, 1, 0)]
            {
                let expected = match (state.identity_refused(frame(2), wanted), state.plus(writable, total)) {
                    (Some(violation), _) => Err(violation),
                    (None, None) => Err(Violation::TooManyMappings(frame(2))),
                    (None, Some(word)) => Ok(word),
                };
                let (answer, after) =
                    try_step(state, |ram, frames| frames.acquire(ram, frame(2), wanted, uses));
                assert_eq!(answer.map(drop), expected.map(drop), "{state:?} {wanted:?} {uses:?}");
                assert_eq!(after, expected.unwrap_or(state.word()), "{state:?} {wanted:?} {uses:?}");
            }
        }
    }
}

#[test]
fn acquire_link_of_every_word() {
    for state in State::all() {
        for wanted in [Kind::Table1, Kind::Table2, Kind::Table3] {
            let linked = state.writable != 0;
            let expected = match (state.identity_refused(frame(2), wanted), state.plus(1, 1)) {
                (Some(violation), _) => Err(violation),
                (None, None) => Err(Violation::TooManyMappings(frame(2))),
                (None, Some(_)) if linked => Err(Violation::TableLinked(frame(2))),
                (None, Some(word)) => Ok(word),
            };
            let (answer, after) = try_step(state, |ram, frames| frames.acquire_link(ram, frame(2), wanted));
            assert_eq!(answer.map(drop), expected.map(drop), "{state:?} {wanted:?}");
            assert_eq!(after, expected.unwrap_or(state.word()), "{state:?} {wanted:?}");
        }
    }
}

#[test]
fn take_of_every_word() {
    for state in State::all() {
        for wanted in WANTED {
            let unused = state.writable == 0 && state.total == 0;
            let expected = match state.identity_refused(frame(2), wanted) {
                Some(violation) => Err(violation),
                None if unused => Ok(State { busy: true, ..state }.word()),
                None => Err(state.in_use(frame(2))),
            };
            let (answer, after) = try_step(state, |ram, frames| frames.take(ram, frame(2), wanted));
            if state.is_at_its_limit() && expected.is_err() {
                assert!(answer.is_err(), "{state:?} {wanted:?}");
            } else {
                assert_eq!(answer, expected.map(|_| ()), "{state:?} {wanted:?}");
            }
            assert_eq!(after, expected.unwrap_or(state.word()), "{state:?} {wanted:?}");
        }
    }
}

/// A frame that cannot be mapped once more is refused to a retype because it is mapped.
#[test]
fn take_of_a_frame_with_all_its_mappings_says_that_it_is_in_use() {
    let state = State { kind: Kind::UserData, busy: false, sealed: false, writable: 2047, total: 2047 };
    let (answer, _) = try_step(state, |ram, frames| frames.take(ram, frame(2), Kind::UserData));
    assert_eq!(answer, Err(Violation::FrameInUse(frame(2))));
}

#[test]
fn release_gives_back_or_tells_of_a_bug() {
    for state in State::all() {
        for (uses, writable, total) in [(Uses::READ, 0, 1), (Uses::WRITE, 1, 1), (Uses::GAIN_WRITE, 1, 0)] {
            let less = state.writable.checked_sub(writable).zip(state.total.checked_sub(total));
            let (sound, after) = try_step(state, |ram, frames| place(frames, 2).release(ram, uses));
            assert_eq!(sound, less.is_some(), "{state:?} {uses:?}");
            if let Some((writable, total)) = less {
                assert_eq!(after, State { writable, total, ..state }.word());
            }
        }
    }
}

#[test]
fn settle_gives_the_kind_and_nothing_else() {
    for from in Kind::ALL {
        for to in Kind::ALL {
            let busy = State { kind: from, busy: true, sealed: false, writable: 0, total: 0 };
            let ((), after) = try_step(busy, |ram, frames| frames.settle(ram, frame(2), to));
            assert_eq!(after.bits(), to.bits());
        }
    }
}

#[test]
fn past_the_end_there_is_nothing() {
    let (ram, frames) = four_frames();
    let before = ram.words();
    assert_eq!(frames.count(), COUNT);
    for number in [COUNT, COUNT + 1, 0x1000, 0xf_ffff] {
        let frame = frame(number);
        assert_eq!(frames.word(&ram, frame), Word::NONE);
        assert_eq!(frames.stamp(&ram, frame), Stamp::Clean);
        for wanted in WANTED {
            let missing = Err(Violation::NoSuchFrame(frame));
            assert_eq!(frames.acquire(&ram, frame, wanted, Uses::READ).map(drop), missing);
            assert_eq!(frames.acquire_link(&ram, frame, wanted).map(drop), missing);
            assert_eq!(frames.take(&ram, frame, wanted), missing);
        }
        assert_eq!(frames.place(frame), None);
        frames.settle(&ram, frame, Kind::UserData);
        frames.write(&ram, frame, Word::unused(Kind::UserData));
        frames.set_stamp(&ram, frame, Stamp::Dropped(Time::FIRST));
        frames.forget_drop(&ram, frame, Time::FIRST);
    }
    assert_eq!(ram.words(), before);
}

/// The first and the last entry lie where the layout of the table says.
#[test]
fn entries_are_eight_bytes_each() {
    for number in 0..COUNT {
        let (ram, frames) = four_frames();
        frames.write(&ram, frame(number), Word::sealed(Kind::Heap));
        frames.set_stamp(&ram, frame(number), Stamp::Linked { table: frame(7), index: 5 });
        let mut expected = Ram::new(16).words();
        let at = (BASE / 4 + 2 * number) as usize;
        (expected[at], expected[at + 1]) = (5 | 0x40, 1 << 31 | 7 << 10 | 5);
        assert_eq!(ram.words(), expected);
    }
}

#[test]
fn a_drop_never_goes_back() {
    let at = Time::of_clock;
    let times = [at(1), at(3), at(5), at(0x3fff_ffff), at(0x4000_0001), at(0x7fff_ffff)];
    for old in times {
        for new in times {
            let (ram, frames) = four_frames();
            place(frames, 1).drop_at(&ram, old);
            assert_eq!(frames.stamp(&ram, frame(1)), Stamp::Dropped(old));
            place(frames, 1).drop_at(&ram, new);
            // What is later is known of times less than half the circle of 2^31 apart.
            let later = if new.since(old) <= 1 << 30 { new } else { old };
            assert_eq!(frames.stamp(&ram, frame(1)), Stamp::Dropped(later), "{old:?} {new:?}");
            assert_eq!(frames.word(&ram, frame(1)), Word::NONE);
        }
    }
    let (ram, frames) = four_frames();
    frames.set_stamp(&ram, frame(1), Stamp::Linked { table: frame(3), index: 0 });
    place(frames, 1).drop_at(&ram, at(9));
    assert_eq!(frames.stamp(&ram, frame(1)), Stamp::Dropped(at(9)));
}

#[test]
fn only_the_drop_that_was_looked_at_is_forgotten() {
    let (ram, frames) = four_frames();
    let linked = Stamp::Linked { table: frame(3), index: 1 };
    let (old, new) = (Time::of_clock(7), Time::of_clock(9));
    for (stamp, after) in [
        (Stamp::Dropped(old), Stamp::Clean),
        (Stamp::Dropped(new), Stamp::Dropped(new)),
        (linked, linked),
        (Stamp::Clean, Stamp::Clean),
    ] {
        frames.set_stamp(&ram, frame(1), stamp);
        frames.forget_drop(&ram, frame(1), old);
        assert_eq!(frames.stamp(&ram, frame(1)), after);
    }
}
