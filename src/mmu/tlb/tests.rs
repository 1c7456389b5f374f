//! Flushes, who is asked for one, and the clock's hand.

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
use crate::address::PhysAddr;
use crate::frame::Kind;
use crate::init::tests::world::{World, cpu, frame, page, world};
use crate::mmu::{Pae, PagingMode, Rights, TwoLevel};
use std::vec::Vec;

const CPUS: u32 = 3;
const USER: u32 = 20;

fn time(bits: u32) -> Time {
    Time::of_clock(bits)
}

fn clock_word<P: PagingMode>(sva: &World<P>) -> PhysAddr {
    sva.clock_at()
}

fn flush_time<P: PagingMode>(sva: &World<P>, number: u32) -> PhysAddr {
    sva.clock_at().plus(4 + 4 * number)
}

fn loads<P: PagingMode>(sva: &World<P>) -> Vec<u64> {
    (0..CPUS).map(|number| sva.machine().counters(cpu(number)).root_loads).collect()
}

/// Sets clock and flush times, and the hand with them.
fn set<P: PagingMode>(sva: &World<P>, now: u32, flushed: [u32; 3]) {
    sva.machine().poke(clock_word(sva), now);
    flushed.into_iter().zip(0..).for_each(|(time, number)| sva.machine().poke(flush_time(sva, number), time));
}

#[test]
fn a_flush_ticks_and_publishes_here_alone() {
    let sva = world::<Pae>(CPUS);
    set(&sva, 101, [1, 3, 5]);
    sva.machine().reset_counters();
    sva.machine().as_cpu(cpu(1), || sva.flush());
    assert_eq!(loads(&sva), [0, 1, 0]);
    let times: Vec<_> = (0..CPUS).map(|number| sva.clock.flushed(&sva.machine, cpu(number))).collect();
    assert_eq!(times, [time(1), time(103), time(5)]);
    assert_eq!(sva.clock.now(&sva.machine), time(103));
}

#[test]
fn a_flush_of_all_makes_each_cpu_later_than_now() {
    for start in [1, 0x7fff_fffd, 0x3fff_ffff, 0xffff_fffd] {
        let sva = world::<TwoLevel>(CPUS);
        set(&sva, start, [time(start).bits(); 3]);
        let now = sva.clock.now(&sva.machine);
        for number in 0..CPUS {
            sva.machine().as_cpu(cpu(number), || sva.flush_all());
            for other in 0..CPUS {
                assert!(sva.clock.flushed(&sva.machine, cpu(other)).is_after(now), "{start:#x}");
            }
        }
    }
}

#[test]
fn only_who_has_not_flushed_since_is_asked() {
    let sva = world::<TwoLevel>(CPUS);
    let dropped = 51;
    // For each CPU: flushed before the drop, at its time, or later. Equal counts as before.
    let cases = [(49, true), (51, true), (53, false)];
    for (mine, _) in cases {
        for (one, ask_one) in cases {
            for (two, ask_two) in cases {
                set(&sva, 101, [mine, one, two]);
                sva.machine().reset_counters();
                sva.flush_since(time(dropped));
                let flushed = loads(&sva);
                assert_eq!((flushed[1] != 0, flushed[2] != 0), (ask_one, ask_two), "{mine} {one} {two}");
                assert_eq!(flushed[0] != 0, mine <= dropped || ask_one || ask_two, "itself on every turn");
                for number in 0..CPUS {
                    assert!(sva.clock.flushed(&sva.machine, cpu(number)).is_after(time(dropped)));
                }
            }
        }
    }
}

/// A CPU with interrupts off is asked again until it has them on.
#[test]
fn a_deferred_request_is_repeated() {
    let sva = world::<Pae>(CPUS);
    sva.machine().defer_interrupts(cpu(2), 5);
    sva.machine().reset_counters();
    sva.flush_all();
    assert_eq!(sva.machine().counters(cpu(2)).deferred, 5);
    assert_eq!(sva.machine().counters(cpu(2)).interrupts, 1);
    assert!(loads(&sva)[0] >= 5, "it flushes itself meanwhile, for whoever waits for it");
}

#[test]
fn long_ranges_are_one_flush_and_short_ones_single_pages() {
    let sva = world::<TwoLevel>(1);
    for (count, invalidations, root_loads) in
        [(0, 0, 0), (1, 1, 0), (31, 31, 0), (32, 0, 1), (0x10_0000 - 7, 0, 1)]
    {
        sva.machine().reset_counters();
        sva.flush_range(PageRange::new(page(7), count).unwrap());
        let counters = sva.machine().counters(cpu(0));
        assert_eq!((counters.invalidations, counters.root_loads), (invalidations, root_loads), "{count}");
    }
}

/// A retype waits for exactly the CPUs that may remember the frame (C5, C11).
#[test]
fn leaving_a_kind_flushes_who_may_remember() {
    let sva = world::<Pae>(CPUS);
    sva.declare_table(frame(13), 1).unwrap();
    sva.retype(frame(USER), Kind::UserData).unwrap();
    let taken = |sva: &World<Pae>| {
        sva.machine().reset_counters();
        sva.retype(frame(USER), Kind::Free).unwrap();
        sva.retype(frame(USER), Kind::UserData).unwrap();
        loads(sva).iter().map(|loads| u32::from(*loads != 0)).sum::<u32>()
    };
    assert_eq!(taken(&sva), 0, "never mapped");
    for (rights, also) in Rights::ALL.into_iter().zip([None, Some(0), Some(1), Some(2)]) {
        sva.map(frame(13), 0, frame(USER), rights).unwrap();
        sva.unmap(frame(13), 0).unwrap();
        if let Some(number) = also {
            sva.machine().as_cpu(cpu(number), || sva.flush());
        }
        // Whoever asks another CPU flushes itself too.
        let expected = if matches!(also, None | Some(0)) { 3 } else { 2 };
        assert_eq!(taken(&sva), expected, "{rights:?}, CPU {also:?} had flushed");
        sva.flush_all();
    }
}

/// The clock value at which the hand points to `number`, at least `age` after `since`.
fn hand_at(number: u32, since: u32, age: u32) -> u32 {
    let earliest = since.wrapping_add(age) >> 1;
    let ahead = number.wrapping_sub(earliest) & (FRAME_LIMIT - 1);
    ((earliest + ahead) << 1 | 1) & 0x7fff_ffff
}

/// The next tick looks at `number` at `now`.
fn tick_at<P: PagingMode>(sva: &World<P>, now: u32) {
    sva.machine().poke(clock_word(sva), now.wrapping_sub(2));
    sva.flush();
    assert!(!time(now).is_after(sva.clock.now(&sva.machine)), "another CPU's flush ticks once more");
}

#[test]
fn the_hand_cleans_an_old_stamp_that_all_have_flushed() {
    // Of the last, the hand comes to the frame when it is exactly a quarter old, and a round later.
    for dropped in [1u32, 0x1000_0001, 0x7fff_fff1, 2 * USER + 1] {
        let later = time(dropped.wrapping_add(2)).bits();
        let just_old = hand_at(USER, dropped, OLD + 2);
        let before = just_old.wrapping_sub(2 * FRAME_LIMIT);
        for (now, flushed, cleaned) in [
            (before, [later; 3], false),
            (just_old, [later; 3], true),
            (just_old, [later, later, dropped], false),
            (just_old, [later, dropped, later], false),
            (just_old.wrapping_add(2), [later; 3], false),
            (just_old.wrapping_sub(2), [later; 3], false),
        ] {
            let sva = world::<TwoLevel>(CPUS);
            let stamp = Stamp::Dropped(time(dropped));
            sva.frames.set_stamp(&sva.machine, frame(USER), stamp);
            set(&sva, now, flushed);
            // No CPU is asked to flush by the way: the hand asks one that is far behind only.
            (0..CPUS).for_each(|number| sva.machine().defer_interrupts(cpu(number), 1));
            tick_at(&sva, now);
            let expected = if cleaned { Stamp::Clean } else { stamp };
            assert_eq!(
                sva.frames.stamp(&sva.machine, frame(USER)),
                expected,
                "{dropped:#x} {now:#x} {flushed:x?}"
            );
        }
    }
}

#[test]
fn the_hand_leaves_links_alone() {
    let sva = world::<Pae>(1);
    sva.declare_root(frame(13)).unwrap();
    sva.declare_table(frame(USER), 2).unwrap();
    sva.link(frame(13), 0, frame(USER)).unwrap();
    let linked = sva.frames.stamp(&sva.machine, frame(USER));
    tick_at(&sva, hand_at(USER, 1, OLD + 2));
    assert_eq!(sva.frames.stamp(&sva.machine, frame(USER)), linked);
}

#[test]
fn the_hand_asks_a_cpu_that_fell_behind() {
    for number in 1..CPUS {
        let sva = world::<TwoLevel>(CPUS);
        // The hand comes to the CPU when this is exactly a quarter of the circle old.
        let flushed = 0x1001 + 2 * number;
        // The hand points to the CPU at every 32nd tick.
        let at = |age: u32| {
            let earliest = flushed.wrapping_add(age) >> 1;
            ((earliest + (number.wrapping_sub(earliest) & 31)) << 1) | 1
        };
        assert_eq!(at(OLD), flushed + OLD);
        for (now, asked) in [(at(OLD), false), (at(OLD + 2), true), (at(OLD + 2) + 2, false)] {
            let mut times = [now; 3];
            times[number as usize] = flushed;
            set(&sva, now, times);
            sva.machine().reset_counters();
            tick_at(&sva, now);
            let interrupts = sva.machine().counters(cpu(number)).interrupts;
            assert_eq!(interrupts, u64::from(asked), "CPU {number}, {now:#x}");
            let renewed = sva.clock.flushed(&sva.machine, cpu(number)) != time(flushed);
            assert_eq!(renewed, asked);
        }
    }
}

/// In 2^20 ticks the hand points to each frame and each CPU, wherever it begins.
#[test]
fn the_hand_passes_everything_in_a_round() {
    for start in [1u32, 0x7ffe_0001, 0xffff_fff1] {
        let mut seen = std::vec![0u32; FRAME_LIMIT as usize];
        for step in 0..FRAME_LIMIT {
            let now = time(start.wrapping_add(2 * step));
            seen[(now.bits() >> 1 & (FRAME_LIMIT - 1)) as usize] += 1;
        }
        assert!(seen.iter().all(|times| *times == 1));
    }
}
