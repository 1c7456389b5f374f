//! A clock that goes as far as the test says.

use super::*;
use core::cell::Cell;

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
