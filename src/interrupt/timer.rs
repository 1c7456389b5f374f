//! The timer: channel 0 of the 8254, which ends at interrupt line 0, and the CPU's time-stamp counter.
//!
//! The 8254 (Intel 8254 data sheet, order 231164) has three counters that count down at the same fixed rate.
//! The library drives it itself, since channel 1 and 2 and the read-back command are not the kernel's: safe
//! code has no port of it.

use super::calls::Interrupts;
use super::quiet::Quiet;
use crate::machine::Machine;
use crate::observer::observed;
use crate::sva::Sva;
use crate::violation::Violation;

/// The timer of a machine. It stands for the whole machine, and can be copied.
///
/// What it does shows as interrupts by [`Line::TIMER`](super::Line::TIMER): register a handler and unmask
/// the line.
#[derive(Debug)]
pub struct Timer<'m, M> {
    machine: &'m M,
}

impl<M> Clone for Timer<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Timer<'_, M> {}

impl<M: Machine> Sva<M> {
    /// The timer of the machine.
    pub const fn timer(&self) -> Timer<'_, M> {
        Timer::new(&self.machine)
    }
}

impl<'m, M: Machine> Interrupts<'m, M> {
    /// The timer of the machine.
    pub const fn timer(self) -> Timer<'m, M> {
        Timer::new(self.machine())
    }
}

/// A counter of the 8254.
#[derive(Clone, Copy)]
enum Channel {
    /// Its output is interrupt line 0.
    Interrupt,
    /// Its output can be read, and its gate be closed, through port 0x61.
    Speaker,
}

impl Channel {
    /// The port of its count.
    const fn port(self) -> u16 {
        match self {
            Channel::Interrupt => 0x40,
            Channel::Speaker => 0x42,
        }
    }

    /// SC1 and SC0 of a control word.
    const fn select(self) -> u8 {
        match self {
            Channel::Interrupt => 0 << 6,
            Channel::Speaker => 2 << 6,
        }
    }
}

/// The port of control words.
const CONTROL: u16 = 0x43;
/// RW1 and RW0: the count is written and read low byte first. Binary, not BCD.
const BOTH_BYTES: u8 = 3 << 4;
/// RW1 and RW0: the count is latched, for the next two reads.
const LATCH: u8 = 0 << 4;
/// Mode 0: the output is low until the count has run down, then stays high.
const ONE_SHOT: u8 = 0 << 1;
/// Mode 2: the output is low for one tick in each period.
const PERIODIC: u8 = 2 << 1;

/// Port 0x61: the gate of channel 2, the loudspeaker, and the output of channel 2.
const GATES: u16 = 0x61;
const GATE: u8 = 1 << 0;
const LOUDSPEAKER: u8 = 1 << 1;
const OUTPUT: u8 = 1 << 5;
/// The bits of port 0x61 that are written.
const WRITTEN: u8 = 0x0f;

/// A hundredth of a second, in ticks.
const SAMPLE: u32 = Timer::<()>::HZ / 100;
/// Reads of the output before it is given up; each takes a microsecond on an ISA bus.
const MOST_READS: u32 = 10_000_000;

impl<M> Timer<'_, M> {
    /// How many ticks a second has.
    pub const HZ: u32 = 1_193_182;
    /// The longest time that it measures, in ticks: 55 ms.
    pub const LONGEST: u32 = 1 << 16;
    /// The shortest period, in ticks.
    const SHORTEST_PERIOD: u32 = 2;
    /// The rates that it can be given, in Hz: 19 to 596,591.
    pub const RATES: core::ops::RangeInclusive<u32> =
        Self::HZ.div_ceil(Self::LONGEST)..=Self::HZ / Self::SHORTEST_PERIOD;
}

impl<'m, M: Machine> Timer<'m, M> {
    pub(crate) const fn new(machine: &'m M) -> Self {
        Self { machine }
    }

    /// Interrupts `hz` times a second, as nearly as whole ticks allow, and answers with the ticks of a period.
    ///
    /// # Errors
    ///
    /// [`NoSuchRate`](Violation::NoSuchRate).
    ///
    /// # Checks
    ///
    /// The rate is one of [`RATES`](Self::RATES): the period fits the counter, and is not 1, which mode 2
    /// does not know.
    pub fn start_periodic(self, hz: u32) -> Result<u32, Violation> {
        if !Self::RATES.contains(&hz) {
            return observed(self.machine, Err(Violation::NoSuchRate(hz)));
        }
        let nearest = Self::HZ.wrapping_add(hz / 2).checked_div(hz).unwrap_or(Self::LONGEST);
        let period = nearest.clamp(Self::SHORTEST_PERIOD, Self::LONGEST);
        self.count(Channel::Interrupt, PERIODIC, period);
        Ok(period)
    }

    /// Interrupts once, when `ticks` have passed, 1 to 65,536.
    ///
    /// # Errors
    ///
    /// [`NoSuchDelay`](Violation::NoSuchDelay).
    ///
    /// # Checks
    ///
    /// The delay fits the counter.
    pub fn one_shot(self, ticks: u32) -> Result<(), Violation> {
        if !(1..=Self::LONGEST).contains(&ticks) {
            return observed(self.machine, Err(Violation::NoSuchDelay(ticks)));
        }
        self.count(Channel::Interrupt, ONE_SHOT, ticks);
        Ok(())
    }

    /// Interrupts no more. One that is on its way may still come.
    ///
    /// A control word without a count: the counter waits for that with its output low.
    pub fn stop(self) {
        self.write(CONTROL, Channel::Interrupt.select() | BOTH_BYTES | ONE_SHOT);
    }

    /// How many ticks are left until the next interrupt, 1 to 65,536. After a one-shot has passed, the
    /// counter goes on from 65,536 without a meaning.
    pub fn remaining(self) -> u32 {
        let channel = Channel::Interrupt;
        let bytes = self.exclusively(|| {
            self.write(CONTROL, channel.select() | LATCH);
            [self.read(channel.port()), self.read(channel.port())]
        });
        // A count of 65,536 reads as 0.
        match u16::from_le_bytes(bytes) {
            0 => Self::LONGEST,
            count => count.into(),
        }
    }

    /// RDTSC: what has counted up, at a rate that the CPU chooses, since it was reset. `None` on a CPU
    /// without the instruction.
    pub fn time_stamp(self) -> Option<u64> {
        self.machine.time_stamp()
    }

    /// Measures how much the time stamp grows in a second, by the 8254's third counter. It takes a hundredth
    /// of a second, with interrupts off. `None` if there is no time stamp, or the counter does not end.
    ///
    /// The loudspeaker is silent meanwhile. Two CPUs that measure at once get wrong answers.
    pub fn measure_time_stamp(self) -> Option<u64> {
        let _quiet = Quiet::new(self.machine);
        let gates: u8 = self.read(GATES);
        // The gate is closed, then opened: the counter waits, then starts.
        self.write(GATES, gates & WRITTEN & !(GATE | LOUDSPEAKER));
        self.count(Channel::Speaker, ONE_SHOT, SAMPLE);
        self.write(GATES, gates & WRITTEN & !LOUDSPEAKER | GATE);
        let start = self.machine.time_stamp();
        let ended = (0..MOST_READS).any(|_| self.read(GATES) & OUTPUT != 0);
        let end = self.machine.time_stamp();
        self.write(GATES, gates & WRITTEN);
        let grown = end?.wrapping_sub(start?);
        if ended { grown.saturating_mul(Self::HZ.into()).checked_div(SAMPLE.into()) } else { None }
    }

    /// Lets a channel count down from `count`, 1 to 65,536, of which the chip takes 16 bits.
    fn count(self, channel: Channel, mode: u8, count: u32) {
        let [low, high, ..] = count.to_le_bytes();
        self.exclusively(|| {
            self.write(CONTROL, channel.select() | BOTH_BYTES | mode);
            self.write(channel.port(), low);
            self.write(channel.port(), high);
        });
    }

    /// A control word and what belongs to it, in one piece.
    fn exclusively<R>(self, run: impl FnOnce() -> R) -> R {
        self.machine.handlers().timer.with(self.machine, |()| run())
    }

    fn read(self, port: u16) -> u8 {
        // SAFETY: a port of the timer, which the library keeps; to read it leaves memory alone.
        unsafe { self.machine.port_read(port) }
    }

    fn write(self, port: u16, value: u8) {
        // SAFETY: a port of the timer, which the library keeps; all it does is to count and to interrupt.
        unsafe { self.machine.port_write(port, value) }
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
