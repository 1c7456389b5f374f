//! Take, change and publish under every interleaving and every reordering that the C11 memory model allows:
//! the moves on the word of a slot by themselves, then whole swaps on two CPUs.
//!
//! As the tests of the frame table, on the same machine. Its stacks are written by whoever is on one, and
//! `loom` ends a test in which two are, or in which one comes to a stack and does not see what was left there.

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

use super::name::{Name, ThreadId};
use super::state::{State, Word};
use super::threads::{Record, SLOT_PAGES, Threads};
use crate::address::{Frame, FrameRange, Page, PageRange, PhysAddr};
use crate::frame::Kind;
use crate::frame::loom_tests::machine::{
    CPUS, DATA, ROOT, SEALED_ROOT, Tiny, cpu, processor, processors, sva_with, used, words,
};
use crate::frame::word::Word as FrameWord;
use crate::machine::Memory;
use crate::sva::Sva;
use crate::violation::Violation;
use loom::thread;
use std::vec::Vec;

/// Where the thread table lies.
const TABLE: u32 = 0x30;
/// A slot for each idle thread, three more, and the flows that the CPUs booted with.
const SLOTS: u32 = CPUS + 3;
const ONE: u32 = CPUS;
const TWO: u32 = CPUS + 1;
/// What the stack pointers of a CPU's first flow and of the thread in a slot are.
const fn stack_of(slot: u32) -> u32 {
    slot
}

fn threads() -> Threads {
    let frames = FrameRange::new(Frame::new(TABLE).unwrap(), 2).unwrap();
    let window = PageRange::new(Page::ZERO, SLOTS * SLOT_PAGES).unwrap();
    // SAFETY: 1. and 2. the words that exist of it are those that only the library's code writes.
    unsafe { Threads::new(frames, FrameRange::EMPTY, window, CPUS) }
}

fn record(number: u32) -> Record {
    threads().all().nth(number as usize).unwrap().1
}

/// In its second generation.
fn word(state: State) -> Word {
    Word::from_bits(0).next().unwrap().to(state)
}

fn name(number: u32) -> Name {
    Name::new(number, word(State::Ready))
}

/// A machine with these slots; each CPU runs what it booted with, or the thread that is said to run.
fn start(slots: &[(u32, State)]) -> Tiny {
    let typed = [
        (ROOT, used(Kind::Root, 1, 1)),
        (DATA, used(Kind::UserData, 0, 0)),
        (SEALED_ROOT, FrameWord::sealed(Kind::Root)),
    ];
    let mut running = (0..CPUS).map(|cpu| SLOTS + cpu).collect::<Vec<_>>();
    let mut all = words(&typed, 0);
    for number in 0..SLOTS + CPUS {
        let state = slots.iter().find(|(slot, _)| *slot == number).map(|(_, state)| *state);
        let booted = if number >= SLOTS { State::Running } else { State::Vacant };
        if state == Some(State::Running) {
            running[0] = number;
        }
        let at = record(number).address().get();
        let (word, sealed) = (word(state.unwrap_or(booted)).bits(), SEALED_ROOT.start().get());
        // Word, stack pointer, root, TLS; the others are not there.
        all.extend([(at, word), (at + 4, stack_of(number)), (at + 8, sealed), (at + 16, 0)]);
    }
    for cpu in 0..CPUS {
        all.extend(processor(cpu, record(running[cpu as usize]).address()));
    }
    let machine = Tiny::new(&all);
    if running[0] < SLOTS {
        machine.begin_on(0, stack_of(running[0]));
    }
    machine
}

/// Runs one thread for each CPU, in every order, and then `check` with their answers.
fn both<T: 'static>(start: fn() -> Tiny, steps: [fn(&Tiny) -> T; 2], check: fn(&Tiny, [T; 2])) {
    loom::model(move || {
        let machine = start();
        let one = machine.as_cpu(1);
        let step = steps[1];
        let other = thread::spawn(move || step(&one));
        let mine = steps[0](&machine);
        let answers = [mine, other.join().unwrap()];
        check(&machine, answers);
    });
}

type Answer = Result<(), Violation>;

fn take(ram: &Tiny) -> Answer {
    threads().take(ram, name(ONE)).map(drop)
}

fn state(ram: &Tiny, number: u32) -> State {
    record(number).word(ram).state()
}

fn release(ram: &Tiny) -> Answer {
    let is_released = |state| matches!(state, State::Unused | State::Ready);
    threads().change(ram, name(ONE), is_released).map(drop)
}

/// S3.
#[test]
fn of_two_takes_one_wins() {
    for before in [State::Ready, State::Saved] {
        let start: fn() -> Tiny = match before {
            State::Ready => || start(&[(ONE, State::Ready)]),
            _ => || start(&[(ONE, State::Saved)]),
        };
        both(start, [take, take], |ram, [mine, other]| {
            assert!(mine.is_ok() ^ other.is_ok());
            assert_eq!(mine.and(other), Err(Violation::ThreadRunning(ONE)));
            assert_eq!(state(ram, ONE), State::Running);
        });
    }
}

#[test]
fn of_take_and_release_one_wins() {
    both(
        || start(&[(ONE, State::Ready)]),
        [take, release],
        |ram, [taken, released]| {
            assert!(taken.is_ok() ^ released.is_ok());
            let (refused, left) = match taken {
                Ok(()) => (Violation::ThreadRunning(ONE), State::Running),
                Err(_) => (Violation::ThreadBusy(ONE), State::Busy),
            };
            assert_eq!((taken.and(released), state(ram, ONE)), (Err(refused), left));
        },
    );
}

#[test]
fn of_two_releases_one_wins() {
    both(
        || start(&[(ONE, State::Unused)]),
        [release, release],
        |ram, [mine, other]| {
            assert!(mine.is_ok() ^ other.is_ok());
            assert_eq!((mine.and(other), state(ram, ONE)), (Err(Violation::ThreadBusy(ONE)), State::Busy));
        },
    );
}

#[test]
fn two_finds_have_two_slots() {
    let find: fn(&Tiny) -> Option<u32> =
        |ram| threads().find(ram).ok().map(|record| threads().number(record));
    both(
        // Of three slots one is taken.
        || start(&[(0, State::Waiting), (1, State::Waiting), (TWO, State::Unused)]),
        [find, find],
        |_, found| assert!(found == [Some(ONE), Some(TWO + 1)] || found == [Some(TWO + 1), Some(ONE)]),
    );
}

/// What is seen of a thread that was taken: its stack pointer, its root, and a word that lies elsewhere.
fn take_and_look(ram: &Tiny) -> bool {
    let taken = threads().take(ram, name(ONE));
    if let Ok(record) = taken {
        assert_eq!(record.saved_stack_pointer(ram), 77);
        assert_eq!(record.root(ram), ROOT);
        assert_eq!(elsewhere(ram), 78);
    }
    taken.is_ok()
}

const ELSEWHERE: PhysAddr = crate::frame::loom_tests::machine::entry_0();

fn elsewhere(ram: &Tiny) -> u32 {
    // SAFETY: a word of this machine.
    unsafe { ram.load(ELSEWHERE) }
}

fn write_record(ram: &Tiny) {
    record(ONE).set_stack_pointer(ram, 77);
    record(ONE).set_root(ram, ROOT);
    // SAFETY: a word of this machine.
    unsafe { ram.store(ELSEWHERE, 78u32) }
}

/// Who resumes a thread sees all that was written until it was left.
#[test]
fn a_taker_sees_what_was_left() {
    let leave: fn(&Tiny) -> bool = |ram| {
        let here = processors().of(cpu(0));
        write_record(ram);
        here.leave(ram, record(ONE));
        here.publish(ram);
        true
    };
    both(
        || start(&[(ONE, State::Running)]),
        [leave, take_and_look],
        |ram, [_, taken]| {
            assert_eq!(state(ram, ONE), if taken { State::Running } else { State::Saved });
        },
    );
}

/// Who swaps to a new thread sees all that was made of it.
#[test]
fn a_taker_sees_what_was_made() {
    let make: fn(&Tiny) -> bool = |ram| {
        let before = Name::new(ONE, Word::from_bits(0));
        let (slot, _) = threads().change(ram, before, |state| state == State::Unused).unwrap();
        write_record(ram);
        slot.set_word(ram, word(State::Ready));
        true
    };
    let start: fn() -> Tiny = || {
        let machine = start(&[]);
        record(ONE).set_word(&machine, Word::from_bits(0).to(State::Unused));
        machine
    };
    both(start, [make, take_and_look], |ram, [_, taken]| {
        assert_eq!(state(ram, ONE), if taken { State::Running } else { State::Ready });
    });
}

/// Runs calls on each CPU with at most three preemptions, and then `check`.
fn both_swap(start: fn() -> Tiny, steps: [fn(&Sva<Tiny>) -> Answer; 2], check: fn(&Sva<Tiny>, [Answer; 2])) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let machine = start();
        let one = sva_with(machine.as_cpu(1), threads());
        let step = steps[1];
        let other = thread::spawn(move || step(&one));
        let zero = sva_with(machine, threads());
        let mine = steps[0](&zero);
        let answers = [mine, other.join().unwrap()];
        check(&zero, answers);
    });
}

fn swap(sva: &Sva<Tiny>, number: u32) -> Answer {
    sva.swap(ThreadId(name(number)))
}

/// S3, whole.
#[test]
fn of_two_swaps_to_a_thread_one_wins() {
    both_swap(
        || start(&[(ONE, State::Saved)]),
        [|sva| swap(sva, ONE), |sva| swap(sva, ONE)],
        |sva, answers| {
            assert!(answers[0].is_ok() ^ answers[1].is_ok());
            assert_eq!(answers[0].and(answers[1]), Err(Violation::ThreadRunning(ONE)));
            let left = if answers[0].is_ok() { SLOTS } else { SLOTS + 1 };
            assert_eq!(state(&sva.machine, left), State::Saved);
        },
    );
}

/// S4, S11: a thread that is being left is not resumed before its stack was left.
#[test]
fn a_swap_away_against_a_swap_to_what_is_left() {
    both_swap(
        || start(&[(ONE, State::Running), (TWO, State::Ready)]),
        [|sva| swap(sva, TWO), |sva| swap(sva, ONE)],
        |sva, [away, to]| {
            assert_eq!(away, Ok(()));
            assert!(to.is_ok() || to == Err(Violation::ThreadRunning(ONE)));
            let left = if to.is_ok() { State::Running } else { State::Saved };
            assert_eq!((state(&sva.machine, ONE), state(&sva.machine, TWO)), (left, State::Running));
        },
    );
}

/// The same, and the thread that was left is wanted back.
#[test]
fn a_swap_away_and_back_against_another() {
    let there_and_back: fn(&Sva<Tiny>) -> Answer = |sva| {
        swap(sva, TWO)?;
        swap(sva, ONE)
    };
    both_swap(
        || start(&[(ONE, State::Running), (TWO, State::Ready)]),
        [there_and_back, |sva| swap(sva, ONE)],
        |sva, answers| {
            assert!(answers[0].is_ok() || answers[1].is_ok());
            assert_eq!(state(&sva.machine, ONE), State::Running);
        },
    );
}
