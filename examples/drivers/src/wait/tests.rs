//! A clock that goes as far as the test says.

use super::*;
use crate::world::{Machine, world};
use core::cell::Cell;
use sva_os::machine::emulated::Register;

/// A pause takes so long.
pub(crate) struct Pauses {
    pub(crate) each: Duration,
    pub(crate) now: Cell<Duration>,
    pub(crate) count: Cell<u64>,
}

impl Pauses {
    pub(crate) fn of(each: Duration) -> Self {
        Self { each, now: Cell::new(Duration::from_secs(7)), count: Cell::new(0) }
    }
}

impl Clock for Pauses {
    fn now(&self) -> Duration {
        self.now.get()
    }

    fn pause(&self) {
        self.now.set(self.now.get() + self.each);
        self.count.set(self.count.get() + 1);
    }
}

const LIMIT: Duration = Duration::from_millis(1);

#[test]
fn a_wait_ends_by_time() {
    let clock = Pauses::of(Duration::from_micros(10));
    assert_eq!(wait(&clock, LIMIT, || None::<()>), Err(TimedOut));
    assert_eq!(clock.count.get(), 100);
}

#[test]
fn a_wait_ends_though_the_clock_stands_still() {
    let clock = Pauses::of(Duration::ZERO);
    assert_eq!(wait(&clock, LIMIT, || None::<()>), Err(TimedOut));
    assert_eq!(clock.count.get(), 1000 * MOST_POLLS);
    assert_eq!(wait(&clock, Duration::ZERO, || None::<()>), Err(TimedOut));
}

#[test]
fn a_wait_ends_with_the_answer() {
    let clock = Pauses::of(Duration::from_micros(10));
    let mut asked = 0;
    let answer = wait(&clock, LIMIT, || {
        asked += 1;
        (asked == 3).then_some(asked)
    });
    assert_eq!((answer, clock.count.get()), (Ok(3), 2));
}

#[test]
fn who_was_kept_away_asks_once_more() {
    let clock = Pauses::of(Duration::from_secs(1));
    let mut asked = 0;
    let answer = wait(&clock, LIMIT, || {
        asked += 1;
        (asked == 2).then_some(())
    });
    assert_eq!(answer, Ok(()));
}

#[test]
fn a_long_wait_rests() {
    struct Rests(Pauses, Cell<u32>);
    impl Clock for Rests {
        fn now(&self) -> Duration {
            self.0.now()
        }
        fn pause(&self) {
            self.0.pause();
        }
        fn rest(&self) {
            self.1.set(self.1.get() + 1);
            self.0.now.set(self.0.now.get() + LIMIT / 2);
        }
    }
    let clock = Rests(Pauses::of(Duration::from_micros(1)), Cell::new(0));
    assert_eq!(wait(&&clock, LIMIT, || None::<()>), Err(TimedOut));
    assert_eq!((clock.0.count.get(), clock.1.get()), (32, 2));
}

#[test]
fn a_sleep_takes_its_time() {
    let clock = Pauses::of(Duration::from_micros(1));
    sleep(&clock, LIMIT);
    assert_eq!(clock.count.get(), 1000);
}

#[test]
fn counts_are_times() {
    assert_eq!(of(3_000_000_000, 2_000_000_000), Duration::from_millis(1500));
    assert_eq!(of(u64::MAX, 1), Duration::from_secs(u64::MAX));
    assert_eq!(of(1, u64::MAX), Duration::ZERO);
    assert_eq!(of(5, 0), Duration::ZERO);
}

/// The count of the timer, as it is read: low byte, high byte.
fn inject_count(sva: &Sva<Machine>, count: u16) {
    count
        .to_le_bytes()
        .iter()
        .for_each(|byte| sva.machine().devices().inject(Register::Port(0x40), (*byte).into()));
}

#[test]
fn without_a_time_stamp_ticks_are_counted() {
    let sva = world();
    // The time stamp stands still: it is none.
    inject_count(&sva, 11_932);
    let clock = MachineClock::start(&sva, 100).unwrap();
    assert!(!clock.has_time_stamp());
    for (count, total) in [(11_932, 0), (10_000, 1932), (10_000, 1932), (11_000, 12_864), (1, 23_863)] {
        inject_count(&sva, count);
        assert_eq!(clock.now(), of(total, Timer::<()>::HZ.into()));
    }
    assert_eq!(MachineClock::start(&sva, 18).map(drop), Err(Violation::NoSuchRate(18)));
}

#[test]
fn a_time_stamp_is_measured_more_than_once() {
    let sva = world();
    let hundredth = 20_000_u64;
    // Most measurements were kept away at their end.
    for grown in [5, 9, 1, 1, 30, 7, 1, 40, 2].map(|times| times * hundredth) {
        [1000, 1000 + grown]
            .iter()
            .for_each(|stamp| sva.machine().devices().inject(Register::TimeStamp, *stamp));
    }
    sva.machine().devices().inject(Register::TimeStamp, 6_000_000);
    let clock = MachineClock::start(&sva, 100).unwrap();
    let now = clock.now().as_micros();
    assert!(clock.has_time_stamp() && (2_990_000..3_010_000).contains(&now), "{now}");
}

#[test]
fn who_may_not_halt_pauses() {
    let sva = world();
    let clock = MachineClock::start(&sva, 100).unwrap();
    let halting = Halting::new(&clock, sva.interrupts());
    sva.machine().devices().log.clear();
    // The timer is masked, so nothing would end it.
    halting.rest();
    let devices = sva.machine().devices();
    assert_eq!(
        devices.log.iter().map(|access| access.register).collect::<std::vec::Vec<_>>(),
        [Register::Port(0x80)]
    );
}
