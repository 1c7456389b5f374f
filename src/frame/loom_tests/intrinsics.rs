//! Whole intrinsics on two CPUs.

use super::machine::{DATA, OTHER, ROOT, SEALED_ROOT, TABLE, Tiny, entry_0, leaf, sva, used, words};
use crate::frame::Kind;
use crate::frame::word::Word;
use crate::machine::{Machine, Memory};
use crate::mmu::Rights;
use crate::sva::Sva;
use crate::violation::Violation;
use loom::thread;
use std::vec::Vec;

type Answer = Result<(), Violation>;

/// Runs one intrinsic on each CPU with at most three preemptions, and then `check`.
fn both(start: fn() -> Tiny, steps: [fn(&Sva<Tiny>) -> Answer; 2], check: fn(&Sva<Tiny>, [Answer; 2])) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.max_branches = 20_000;
    model.check(move || {
        let machine = start();
        let one = sva(machine.as_cpu(1));
        let step = steps[1];
        let other = thread::spawn(move || step(&one));
        let zero = sva(machine);
        let mine = steps[0](&zero);
        let answers = [mine, other.join().unwrap()];
        check(&zero, answers);
        for number in 0..2 {
            assert!(zero.machine.as_cpu(number).interrupts_off(), "IF is as it was");
        }
    });
}

/// A table with so many entries, of which entry 0 is `entry`, and two frames of user data.
fn start(entry: u32, entries: u32, data: Word, other: Word) -> Tiny {
    let typed: Vec<_> = [
        (TABLE, used(Kind::Table1, entries, 0)),
        (DATA, data),
        (OTHER, other),
        (ROOT, used(Kind::Root, 0, 0)),
        (SEALED_ROOT, Word::sealed(Kind::Root)),
    ]
    .into();
    let machine = Tiny::new(&words(&typed, entry));
    machine.fill_all(entry);
    machine
}

fn empty() -> Tiny {
    start(0, 0, used(Kind::UserData, 0, 0), used(Kind::UserData, 0, 0))
}

fn mapped(rights: Rights) -> Tiny {
    let data = used(Kind::UserData, 1, u32::from(rights.write()));
    start(leaf(DATA, rights), 1, data, used(Kind::UserData, 0, 0))
}

fn entry(sva: &Sva<Tiny>) -> u32 {
    // SAFETY: a word of this machine.
    unsafe { sva.machine.load(entry_0()) }
}

fn word(sva: &Sva<Tiny>, frame: crate::address::Frame) -> Word {
    sva.frames.word(&sva.machine, frame)
}

/// X1.
#[test]
fn of_map_and_retype_one_wins() {
    both(
        empty,
        [|sva| sva.map(TABLE, 0, DATA, Rights::ReadWrite), |sva| sva.retype(DATA, Kind::KernelData)],
        |sva, answers| {
            assert!(answers[0].is_ok() ^ answers[1].is_ok());
            if answers[0].is_ok() {
                assert_eq!(entry(sva), leaf(DATA, Rights::ReadWrite));
                assert_eq!(word(sva, DATA), used(Kind::UserData, 1, 1));
                assert_eq!(word(sva, TABLE), used(Kind::Table1, 1, 0));
            } else {
                assert_eq!(entry(sva), 0);
                assert_eq!(word(sva, DATA), used(Kind::KernelData, 0, 0));
                assert_eq!(word(sva, TABLE), used(Kind::Table1, 0, 0));
            }
        },
    );
}

/// X6: while a CPU is in a table, it stays one.
#[test]
fn of_map_and_remove_one_wins() {
    both(
        empty,
        [|sva| sva.map(TABLE, 0, DATA, Rights::Read), |sva| sva.remove_table(TABLE)],
        |sva, answers| {
            assert!(answers[0].is_ok() ^ answers[1].is_ok());
            let (entry_is, table) = if answers[0].is_ok() {
                (leaf(DATA, Rights::Read), used(Kind::Table1, 1, 0))
            } else {
                (0, used(Kind::Free, 0, 0))
            };
            assert_eq!((entry(sva), word(sva, TABLE)), (entry_is, table));
            assert_eq!(word(sva, DATA), used(Kind::UserData, u32::from(entry_is != 0), 0));
        },
    );
}

/// X2: what two CPUs put into one empty entry is counted once.
#[test]
fn of_two_maps_one_wins() {
    both(
        empty,
        [|sva| sva.map(TABLE, 0, DATA, Rights::ReadWrite), |sva| sva.map(TABLE, 0, OTHER, Rights::Read)],
        |sva, answers| {
            assert!(answers[0].is_ok() ^ answers[1].is_ok());
            let (data, other) = if answers[0].is_ok() { ((1, 1), (0, 0)) } else { ((0, 0), (1, 0)) };
            assert_eq!(word(sva, DATA), used(Kind::UserData, data.0, data.1));
            assert_eq!(word(sva, OTHER), used(Kind::UserData, other.0, other.1));
            assert_eq!(word(sva, TABLE), used(Kind::Table1, 1, 0));
        },
    );
}

#[test]
fn of_two_unmaps_one_wins() {
    let unmap: fn(&Sva<Tiny>) -> Answer = |sva| sva.unmap(TABLE, 0).map(|_| ());
    both(
        || mapped(Rights::ReadWrite),
        [unmap, unmap],
        |sva, answers| {
            assert!(answers[0].is_ok() ^ answers[1].is_ok());
            assert_eq!(
                (word(sva, TABLE), word(sva, DATA)),
                (used(Kind::Table1, 0, 0), used(Kind::UserData, 0, 0))
            );
        },
    );
}

/// X2: each old leaf is dropped once.
#[test]
fn two_replaces_release_once_each() {
    let other: fn(&Sva<Tiny>) -> Answer = |sva| sva.replace(TABLE, 0, OTHER, Rights::Read).map(|_| ());
    let same: fn(&Sva<Tiny>) -> Answer = |sva| sva.replace(TABLE, 0, DATA, Rights::Read).map(|_| ());
    both(
        || mapped(Rights::ReadWrite),
        [other, same],
        |sva, answers| {
            assert_eq!(answers, [Ok(()), Ok(())]);
            let is_other = entry(sva) == leaf(OTHER, Rights::Read);
            assert_eq!(word(sva, OTHER), used(Kind::UserData, u32::from(is_other), 0));
            assert_eq!(word(sva, DATA), used(Kind::UserData, u32::from(!is_other), 0));
        },
    );
}

#[test]
fn protect_against_unmap() {
    let unmap: fn(&Sva<Tiny>) -> Answer = |sva| sva.unmap(TABLE, 0).map(|_| ());
    both(
        || mapped(Rights::Read),
        [|sva| sva.protect(TABLE, 0, Rights::ReadWrite).map(|_| ()), unmap],
        |sva, [_, unmapped]| {
            assert_eq!(unmapped, Ok(()));
            assert_eq!(entry(sva), 0);
            assert_eq!(word(sva, DATA), used(Kind::UserData, 0, 0));
        },
    );
}

/// C4, C5, C6: whoever gives the frame new contents has made both TLBs forget it. The machine
/// checks that where it zeroes the frame.
#[test]
fn unmap_against_retype() {
    let unmap: fn(&Sva<Tiny>) -> Answer = |sva| sva.unmap(TABLE, 0).map(|_| ());
    both(
        || mapped(Rights::ReadWrite),
        [unmap, |sva| sva.retype(DATA, Kind::KernelData)],
        |sva, [unmapped, retyped]| {
            assert_eq!(unmapped, Ok(()));
            let kind = if retyped.is_ok() { Kind::KernelData } else { Kind::UserData };
            assert_eq!(word(sva, DATA), used(kind, 0, 0));
        },
    );
}

/// The same with a CPU that fills, flushes and fills again meanwhile.
#[test]
fn unmap_and_retype_against_a_busy_tlb() {
    both(
        || mapped(Rights::Read),
        [
            |sva| {
                sva.machine.fill();
                sva.flush();
                sva.machine.fill();
                Ok(())
            },
            |sva| {
                sva.unmap(TABLE, 0)?;
                sva.retype(DATA, Kind::KernelData)
            },
        ],
        |_, answers| assert_eq!(answers, [Ok(()), Ok(())]),
    );
}

/// Invariant 8.
#[test]
fn of_load_and_remove_one_wins() {
    both(empty, [|sva| sva.load_root(ROOT), |sva| sva.remove_root(ROOT)], |sva, answers| {
        assert!(answers[0].is_ok() ^ answers[1].is_ok());
        let expected = if answers[0].is_ok() { used(Kind::Root, 1, 1) } else { used(Kind::Free, 0, 0) };
        assert_eq!(word(sva, ROOT), expected);
        assert_eq!(sva.root(), if answers[0].is_ok() { ROOT } else { SEALED_ROOT });
    });
}

#[test]
fn two_cpus_load_and_leave_a_root() {
    let visit: fn(&Sva<Tiny>) -> Answer = |sva| {
        sva.load_root(ROOT)?;
        sva.load_root(SEALED_ROOT)
    };
    both(empty, [visit, visit], |sva, answers| {
        assert_eq!(answers, [Ok(()), Ok(())]);
        assert_eq!(word(sva, ROOT), used(Kind::Root, 0, 0));
    });
}
