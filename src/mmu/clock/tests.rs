//! The clock word and the flush times.

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
use crate::frame::table::tests::ram::Ram;
use std::vec::Vec;

fn clock() -> (Ram, Clock) {
    // SAFETY: 1. the start of the frame that the words make. 2. Only the clock writes it.
    (Ram::new(1024), unsafe { Clock::new(PhysAddr::new(0)) })
}

fn cpus() -> Vec<Cpu> {
    (0..Cpu::LIMIT).filter_map(Cpu::new).collect()
}

#[test]
fn it_starts_with_every_cpu_flushed_but_not_after() {
    let (ram, clock) = clock();
    clock.start(&ram);
    assert_eq!(clock.now(&ram), Time::FIRST);
    for cpu in cpus() {
        assert_eq!(clock.flushed(&ram, cpu), Time::FIRST);
        // What is dropped now may be cached: the CPU flushed at the same time, not later.
        assert!(!clock.flushed(&ram, cpu).is_after(clock.now(&ram)));
    }
    assert!(ram.words()[33..].iter().all(|word| *word == 0), "nothing behind its own words");
}

#[test]
fn it_starts_anew_whatever_it_showed() {
    let (ram, clock) = clock();
    clock.start_at(&ram, 0x4000_0001);
    clock.start(&ram);
    assert_eq!(clock.now(&ram), Time::FIRST);
    assert!(cpus().into_iter().all(|cpu| clock.flushed(&ram, cpu) == Time::FIRST));
}

#[test]
fn a_tick_says_what_the_clock_then_shows() {
    for start in [1, 0x7fff_fffb, 0x7fff_ffff, 0x8000_0001, 0xffff_fffb, 0xffff_ffff] {
        let (ram, clock) = clock();
        clock.start_at(&ram, start);
        for _ in 0..8 {
            let before = clock.now(&ram);
            let ticked = clock.tick(&ram);
            assert_eq!(ticked, clock.now(&ram), "{start:#x}");
            assert!(ticked.is_after(before));
            assert_eq!(ticked.since(before), Time::TICK);
            assert!(ticked.bits() & 1 == 1, "{start:#x}");
        }
    }
}

#[test]
fn each_cpu_has_a_word_of_its_own() {
    let (ram, clock) = clock();
    clock.start(&ram);
    for cpu in cpus() {
        let before = ram.words();
        let time = clock.tick(&ram);
        clock.publish(&ram, cpu, time);
        for other in cpus() {
            let flushed = clock.flushed(&ram, other);
            assert_eq!(flushed == time, other == cpu);
            assert_eq!(flushed == Time::FIRST, other > cpu);
        }
        let changed = before.iter().zip(ram.words()).filter(|(before, after)| **before != *after).count();
        assert_eq!(changed, 2, "the clock and one flush time");
    }
}

#[test]
fn the_times_lie_behind_the_clock() {
    let (ram, clock) = clock();
    clock.start_at(&ram, 0x1235);
    clock.publish(&ram, Cpu::new(31).unwrap(), Time::of_clock(0x777));
    let words = ram.words();
    assert_eq!((words[0], words[1], words[32], words[33]), (0x1235, 0x1235, 0x777, 0));
}
