//! The moves on words 0 and 1, and the clock.

use super::machine::{CPUS, DATA, TABLE, Tiny, clock, cpu, entry_0, frames, leaf, used, words};
use crate::address::Frame;
use crate::frame::Kind;
use crate::frame::stamp::{Stamp, Time};
use crate::frame::table::Place;
use crate::frame::word::{Uses, Word};
use crate::machine::Memory;
use crate::mmu::Rights;
use loom::thread;
use std::vec::Vec;

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

fn user_data(total: u32, writable: u32) -> Tiny {
    Tiny::new(&words(&[(DATA, used(Kind::UserData, total, writable))], 0))
}

fn place(frame: Frame) -> Place {
    frames().place(frame).unwrap()
}

fn acquire(ram: &Tiny) -> bool {
    frames().acquire(ram, DATA, Kind::UserData, Uses::WRITE).is_ok()
}

fn take(ram: &Tiny) -> bool {
    frames().take(ram, DATA, Kind::UserData).is_ok()
}

fn release(ram: &Tiny) -> bool {
    place(DATA).release(ram, Uses::WRITE)
}

#[test]
fn of_acquire_and_take_one_wins() {
    both(
        || user_data(0, 0),
        [acquire, take],
        |ram, [acquired, taken]| {
            assert!(acquired ^ taken);
            let expected = if acquired { used(Kind::UserData, 1, 1) } else { Word::busy(Kind::UserData) };
            assert_eq!(frames().word(ram, DATA), expected);
        },
    );
}

#[test]
fn of_two_takes_one_wins() {
    both(
        || user_data(0, 0),
        [take, take],
        |ram, [mine, other]| {
            assert!(mine ^ other);
            assert_eq!(frames().word(ram, DATA), Word::busy(Kind::UserData));
        },
    );
}

#[test]
fn two_acquires_both_count() {
    both(
        || user_data(0, 0),
        [acquire, acquire],
        |ram, answers| {
            assert_eq!(answers, [true, true]);
            assert_eq!(frames().word(ram, DATA), used(Kind::UserData, 2, 2));
        },
    );
}

/// E18: of two that want the last mapping one gets it.
#[test]
fn the_last_use_is_had_once() {
    both(
        || user_data(2046, 2046),
        [acquire, acquire],
        |ram, [mine, other]| {
            assert!(mine ^ other);
            assert_eq!(frames().word(ram, DATA), used(Kind::UserData, 2047, 2047));
        },
    );
}

#[test]
fn a_take_waits_for_the_last_release() {
    both(
        || user_data(1, 1),
        [release, take],
        |ram, [released, taken]| {
            assert!(released);
            let expected = if taken { Word::busy(Kind::UserData) } else { Word::unused(Kind::UserData) };
            assert_eq!(frames().word(ram, DATA), expected);
        },
    );
}

#[test]
fn a_release_is_not_lost() {
    both(
        || user_data(1, 1),
        [release, acquire],
        |ram, [released, acquired]| {
            assert!(released && acquired);
            assert_eq!(frames().word(ram, DATA), used(Kind::UserData, 1, 1));
        },
    );
}

/// Who takes a frame sees the stamp of who released it last.
#[test]
fn a_taker_sees_the_stamp() {
    let drop: fn(&Tiny) -> bool = |ram| {
        place(DATA).drop_at(ram, clock().now(ram));
        release(ram)
    };
    let take: fn(&Tiny) -> bool = |ram| {
        let taken = take(ram);
        if taken {
            assert_eq!(frames().stamp(ram, DATA), Stamp::Dropped(Time::FIRST));
        }
        taken
    };
    both(|| user_data(1, 1), [drop, take], |_, _| {});
}

/// And everything that was written while it was used, such as the last bytes of a copy.
#[test]
fn a_taker_sees_what_was_written() {
    let copy: fn(&Tiny) -> bool = |ram| {
        // SAFETY: a word of this machine.
        unsafe { ram.store(entry_0(), 77u32) };
        release(ram)
    };
    let take: fn(&Tiny) -> bool = |ram| {
        let taken = take(ram);
        if taken {
            // SAFETY: a word of this machine.
            assert_eq!(unsafe { ram.load::<u32>(entry_0()) }, 77);
        }
        taken
    };
    both(|| user_data(1, 1), [copy, take], |_, _| {});
}

fn table(word: Word) -> Tiny {
    Tiny::new(&words(&[(TABLE, word)], 0))
}

fn link(ram: &Tiny, parent: u32) -> bool {
    let linked = frames().acquire_link(ram, TABLE, Kind::Table1).is_ok();
    if linked {
        let table = Frame::new(parent).unwrap();
        frames().set_stamp(ram, TABLE, Stamp::Linked { table, index: parent });
    }
    linked
}

#[test]
fn a_table_is_linked_once() {
    both(
        || table(used(Kind::Table1, 0, 0)),
        [|ram| link(ram, 8), |ram| link(ram, 9)],
        |ram, [mine, other]| {
            assert!(mine ^ other);
            let parent = if mine { 8 } else { 9 };
            let table = Frame::new(parent).unwrap();
            assert_eq!(frames().stamp(ram, TABLE), Stamp::Linked { table, index: parent });
        },
    );
}

#[test]
fn of_link_and_remove_one_wins() {
    let remove: fn(&Tiny) -> bool = |ram| frames().take(ram, TABLE, Kind::Table1).is_ok();
    both(
        || table(used(Kind::Table1, 0, 0)),
        [|ram| link(ram, 8), remove],
        |_, [linked, removed]| {
            assert!(linked ^ removed);
        },
    );
}

/// Who removes a table after it was unlinked sees when it was.
#[test]
fn unlink_is_stamped_before_a_remove() {
    let unlink: fn(&Tiny) -> bool = |ram| {
        frames().set_stamp(ram, TABLE, Stamp::Dropped(clock().now(ram)));
        place(TABLE).release(ram, Uses::LINK)
    };
    let remove: fn(&Tiny) -> bool = |ram| {
        let removed = frames().take(ram, TABLE, Kind::Table1).is_ok();
        if removed {
            assert_eq!(frames().stamp(ram, TABLE), Stamp::Dropped(Time::FIRST));
        }
        removed
    };
    let start: fn() -> Tiny = || {
        let machine = table(used(Kind::Table1, 1, 1));
        frames().set_stamp(&machine, TABLE, Stamp::Linked { table: DATA, index: 0 });
        machine
    };
    both(start, [unlink, remove], |_, [unlinked, _]| assert!(unlinked));
}

/// Two CPUs stamp one frame: the later time stays, whoever is last.
#[test]
fn a_drop_never_goes_back() {
    let at = |bits| Time::of_clock(bits);
    for (first, second, later) in [(5, 9, 9), (9, 5, 9), (9, 9, 9), (0x7fff_ffff, 3, 3)] {
        for before in [None, Some(7), Some(0x7fff_fff1)] {
            loom::model(move || {
                let machine = user_data(0, 0);
                if let Some(before) = before {
                    frames().set_stamp(&machine, DATA, Stamp::Dropped(at(before)));
                }
                let one = machine.as_cpu(1);
                let other = thread::spawn(move || place(DATA).drop_at(&one, at(second)));
                place(DATA).drop_at(&machine, at(first));
                other.join().unwrap();
                let before = before.map(at).filter(|before| before.is_after(at(later)));
                let expected = before.unwrap_or(at(later));
                assert_eq!(frames().stamp(&machine, DATA), Stamp::Dropped(expected));
            });
        }
    }
}

/// The hand forgets the drop that it looked at, never one that came meanwhile.
#[test]
fn a_newer_drop_is_not_forgotten() {
    let start: fn() -> Tiny = || {
        let machine = user_data(0, 0);
        frames().set_stamp(&machine, DATA, Stamp::Dropped(Time::of_clock(5)));
        machine
    };
    let forget: fn(&Tiny) = |ram| frames().forget_drop(ram, DATA, Time::of_clock(5));
    let drop: fn(&Tiny) = |ram| place(DATA).drop_at(ram, Time::of_clock(9));
    both(start, [forget, drop], |ram, _| {
        assert_eq!(frames().stamp(ram, DATA), Stamp::Dropped(Time::of_clock(9)));
    });
}

#[test]
fn two_ticks_are_two_times() {
    both(
        || user_data(0, 0),
        [|ram| clock().tick(ram), |ram| clock().tick(ram)],
        |ram, [mine, other]| {
            assert_ne!(mine, other);
            let later = if mine.is_after(other) { mine } else { other };
            assert_eq!(clock().now(ram), later);
        },
    );
}

/// The protocol in its parts: tick, invalidate, publish against clear, stamp, release, take. If the
/// flush time is after the stamp, the TLB of the CPU that flushed does not lead to the frame.
#[test]
fn who_flushed_after_a_drop_has_forgotten_it() {
    let start: fn() -> Tiny = || {
        let raw = leaf(DATA, Rights::ReadWrite);
        let machine = Tiny::new(&words(&[(DATA, used(Kind::UserData, 1, 1))], raw));
        machine.fill_all(raw);
        machine
    };
    let flush: fn(&Tiny) = |machine| {
        use crate::machine::Machine;
        let time = clock().tick(machine);
        // SAFETY: this machine loads what it is told to.
        unsafe { machine.load_root(machine.root()) };
        clock().publish(machine, machine.cpu(), time);
        machine.fill();
    };
    let drop: fn(&Tiny) = |machine| {
        // SAFETY: a word of this machine.
        unsafe { machine.exchange(entry_0(), 0u32) };
        machine.invalidate_here();
        place(DATA).drop_at(machine, clock().now(machine));
        assert!(release(machine));
        assert!(take(machine));
        let Stamp::Dropped(dropped) = frames().stamp(machine, DATA) else { panic!("stamped a moment ago") };
        if clock().flushed(machine, cpu(0)).is_after(dropped) {
            assert!(!machine.remembers(DATA));
        }
    };
    assert_eq!(CPUS, 2);
    both(start, [flush, drop], |_, _| {});
}

/// A third party takes the frame: it may trust the flush time only with the stamp that the release
/// made visible.
#[test]
fn a_third_cpu_takes_what_was_dropped() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let raw = leaf(DATA, Rights::Read);
        let machine = Tiny::new(&words(&[(DATA, used(Kind::UserData, 1, 1))], raw));
        machine.fill_all(raw);
        let threads: Vec<_> = [0, 1]
            .into_iter()
            .map(|number| {
                let machine = machine.as_cpu(number);
                thread::spawn(move || {
                    use crate::machine::Machine;
                    if number == 0 {
                        let time = clock().tick(&machine);
                        // SAFETY: this machine loads what it is told to.
                        unsafe { machine.load_root(machine.root()) };
                        clock().publish(&machine, machine.cpu(), time);
                        machine.fill();
                    } else {
                        // SAFETY: a word of this machine.
                        unsafe { machine.exchange(entry_0(), 0u32) };
                        machine.invalidate_here();
                        place(DATA).drop_at(&machine, clock().now(&machine));
                        assert!(release(&machine));
                    }
                })
            })
            .collect();
        if take(&machine) {
            let Stamp::Dropped(dropped) = frames().stamp(&machine, DATA) else { panic!("the stamp is seen") };
            if clock().flushed(&machine, cpu(0)).is_after(dropped) {
                assert!(!machine.remembers(DATA));
            }
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
