//! Waiting for a device, never for ever.

use crate::quiet::Quiet;
use core::fmt;
use core::time::Duration;
use sva_os::interrupt::{Interrupts, Line, Timer};
use sva_os::io::Io;
use sva_os::machine::Machine;
use sva_os::{Sva, Violation};

/// What measures how long a device is waited for.
pub trait Clock {
    /// The time since some moment.
    fn now(&self) -> Duration;

    /// Lets about a microsecond pass.
    fn pause(&self);

    /// Lets time pass until something may have happened. What is waited for after many pauses takes longer: a kernel
    /// may halt the CPU here, or let another thread run.
    fn rest(&self) {
        self.pause();
    }
}

impl<C: Clock> Clock for &C {
    fn now(&self) -> Duration {
        (**self).now()
    }

    fn pause(&self) {
        (**self).pause();
    }

    fn rest(&self) {
        (**self).rest();
    }
}

/// The device did not answer in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the device did not answer in time")
    }
}

impl core::error::Error for TimedOut {}

/// How often a device is asked in each microsecond of a limit, at most. It counts only if the clock stands still: a
/// pause is a bus cycle, so no machine comes that far in time.
const MOST_POLLS: u64 = 16;

/// How often there is a pause before there is a rest.
const PAUSES: u32 = 32;
/// How often the time stamp is measured. Each takes a hundredth of a second.
const SAMPLES: usize = 9;

/// Asks `poll` until it answers something, for as long as `limit`, and once more when that has passed.
///
/// # Errors
///
/// [`TimedOut`]. A clock that stands still makes the limit vague, but there is one: polls are counted too.
pub fn wait<C: Clock, T>(
    clock: &C,
    limit: Duration,
    mut poll: impl FnMut() -> Option<T>,
) -> Result<T, TimedOut> {
    let (start, mut pauses) = (clock.now(), 0);
    let microseconds = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
    let mut left = microseconds.saturating_mul(MOST_POLLS).saturating_add(1);
    loop {
        // Read before the poll: who was kept away in between asks a last time.
        let passed = clock.now().saturating_sub(start);
        if let Some(answer) = poll() {
            return Ok(answer);
        }
        left = left.saturating_sub(1);
        if passed >= limit || left == 0 {
            return Err(TimedOut);
        }
        if pauses < PAUSES {
            pauses = pauses.saturating_add(1);
            clock.pause();
        } else {
            clock.rest();
        }
    }
}

/// Lets `time` pass.
pub fn sleep<C: Clock>(clock: &C, time: Duration) {
    _ = wait(clock, time, || None::<()>);
}

/// The clock of a machine: its CPU's time stamp, or on a CPU that has none, the ticks of the timer.
#[derive(Debug)]
pub struct MachineClock<'m, M: Machine> {
    timer: Timer<'m, M>,
    io: Io<'m, M>,
    /// How much the time stamp grows in a second.
    rate: Option<u64>,
    /// Ticks of a period.
    period: u32,
    ticks: Quiet<'m, M, Ticks>,
}

/// What the timer was seen to count.
#[derive(Debug)]
struct Ticks {
    remaining: u32,
    total: u64,
}

impl<'m, M: Machine> MachineClock<'m, M> {
    /// Starts the timer, with `hz` interrupts a second if its line is unmasked, and measures the time stamp by it.
    ///
    /// On a CPU without a time stamp the clock loses time when nobody asks for a whole period, and stands still when
    /// the timer is stopped.
    ///
    /// # Errors
    ///
    /// [`NoSuchRate`](Violation::NoSuchRate).
    pub fn start(sva: &'m Sva<M>, hz: u32) -> Result<Self, Violation> {
        let timer = sva.timer();
        let period = timer.start_periodic(hz)?;
        // A virtual CPU that is kept away at the end of one sees too much, which is most likely of what goes wrong;
        // at the start, too little.
        let mut rates = core::array::from_fn::<_, SAMPLES, _>(|_| timer.measure_time_stamp());
        rates.sort_unstable();
        let rate = rates.get(SAMPLES / 4).copied().flatten().filter(|rate| *rate != 0);
        let ticks = Quiet::new(sva.interrupts(), Ticks { remaining: timer.remaining(), total: 0 });
        Ok(Self { timer, io: sva.io(), rate, period, ticks })
    }

    /// Whether it is the CPU's time stamp.
    pub const fn has_time_stamp(&self) -> bool {
        self.rate.is_some()
    }

    fn by_ticks(&self) -> Duration {
        let total = self.ticks.with(|ticks| {
            let remaining = self.timer.remaining();
            // The count runs down, and begins anew after a period.
            let passed = match ticks.remaining.checked_sub(remaining) {
                Some(passed) => passed,
                None => ticks.remaining.saturating_add(self.period).saturating_sub(remaining),
            };
            ticks.remaining = remaining;
            ticks.total = ticks.total.saturating_add(passed.into());
            ticks.total
        });
        of(total, Timer::<()>::HZ.into())
    }
}

impl<M: Machine> Clock for MachineClock<'_, M> {
    fn now(&self) -> Duration {
        match self.rate.zip(self.timer.time_stamp()) {
            Some((rate, stamp)) => of(stamp, rate),
            None => self.by_ticks(),
        }
    }

    fn pause(&self) {
        self.io.delay();
    }
}

/// A machine's clock for drivers that may halt the CPU while they wait: until a device, or the timer, asks for it.
///
/// For a driver whose waits no lock surrounds that a handler takes too, while the timer runs and its line is unmasked.
#[derive(Clone, Copy, Debug)]
pub struct Halting<'c, 'm, M: Machine> {
    clock: &'c MachineClock<'m, M>,
    interrupts: Interrupts<'m, M>,
}

impl<'c, 'm, M: Machine> Halting<'c, 'm, M> {
    /// Measures by `clock`.
    pub const fn new(clock: &'c MachineClock<'m, M>, interrupts: Interrupts<'m, M>) -> Self {
        Self { clock, interrupts }
    }
}

impl<M: Machine> Clock for Halting<'_, '_, M> {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn pause(&self) {
        self.clock.pause();
    }

    fn rest(&self) {
        // In a handler the CPU cannot halt; with the timer masked it might halt for ever.
        if self.interrupts.is_masked(Line::TIMER) || self.interrupts.wait().is_err() {
            self.pause();
        }
    }
}

/// How long `count` takes, of which a second has `rate`.
fn of(count: u64, rate: u64) -> Duration {
    const MICROSECONDS: u64 = 1_000_000;
    let seconds = count.checked_div(rate).unwrap_or_default();
    let rest = count.checked_rem(rate).unwrap_or_default();
    let microseconds = rest.saturating_mul(MICROSECONDS).checked_div(rate).unwrap_or_default();
    Duration::from_secs(seconds).saturating_add(Duration::from_micros(microseconds))
}

#[cfg(test)]
pub(crate) mod tests;
