//! What the 8254 is told, against a chip that is read from the data sheet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::interrupt::fixture::{Emulator, machine, port};
use crate::machine::Emulated;
use crate::machine::emulated::{DeviceAccess, Direction, Register};
use crate::mmu::TwoLevel;
use proptest::prelude::*;
use std::vec::Vec;

type Timer = super::Timer<'static, Emulated<TwoLevel>>;

/// What a channel counts.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Counter {
    mode: u8,
    /// 1 to 65,536; `None` while the count is not written.
    count: Option<u32>,
    low: Option<u8>,
}

/// Three channels; which one waits for a byte is told by the port.
fn listen(machine: &Emulator) -> [Counter; 3] {
    let mut counters = [Counter::default(); 3];
    for access in machine.devices().log.drain(..).filter(|access| access.direction == Direction::Write) {
        match port(&access) {
            (0x43, word) => {
                let channel = usize::from(word >> 6);
                assert!(channel < 3, "no read-back command");
                assert_eq!(word & 1, 0, "binary");
                assert_eq!(word >> 4 & 3, 3, "both bytes, low first");
                counters[channel] = Counter { mode: word >> 1 & 7, count: None, low: None };
            }
            (port @ 0x40..=0x42, byte) => {
                let counter = &mut counters[usize::from(port - 0x40)];
                match counter.low.take() {
                    None => counter.low = Some(byte),
                    Some(low) => {
                        let count = u32::from(u16::from_le_bytes([low, byte]));
                        counter.count = Some(if count == 0 { 65_536 } else { count });
                    }
                }
            }
            (0x61, _) => {}
            (port, _) => panic!("port {port:#x} is not the timer's"),
        }
    }
    counters
}

fn refused(machine: &Emulator, call: impl FnOnce() -> Result<u32, Violation>, violation: Violation) {
    let before = machine.digest();
    assert_eq!(call(), Err(violation));
    assert_eq!(machine.digest(), before);
    assert!(machine.devices().log.is_empty());
}

fn periodic(machine: &'static Emulator, hz: u32) {
    let timer = Timer::new(machine);
    let period = timer.start_periodic(hz).unwrap();
    let [counter, one, two] = listen(machine);
    assert_eq!(counter, Counter { mode: 2, count: Some(period), low: None });
    assert_eq!((one, two), (Counter::default(), Counter::default()));
    assert!((2..=65_536).contains(&period), "{period}: mode 2 takes no count of 1");
    // No other number of ticks is nearer: hz times the period misses a second by half of hz at most,
    // but at the ends of the range.
    let missed = (u64::from(hz) * u64::from(period)).abs_diff(1_193_182);
    assert!(missed * 2 <= u64::from(hz), "{hz} Hz in {period} ticks");
}

#[test]
fn rates() {
    let machine = machine();
    assert_eq!(Timer::RATES, 19..=596_591);
    for hz in (19..3_000).chain([4_096, 10_000, 100_000, 500_000, 596_590, 596_591]) {
        periodic(machine, hz);
    }
    // The usual ones, by hand.
    for (hz, period) in [(19, 62_799), (100, 11_932), (250, 4_773), (1_000, 1_193), (596_591, 2)] {
        assert_eq!(Timer::new(machine).start_periodic(hz), Ok(period));
    }
}

proptest! {
    #[test]
    fn any_rate(hz in 19..=596_591_u32) {
        periodic(machine(), hz);
    }

    #[test]
    fn no_other_rate(hz in prop_oneof![0..19_u32, 596_592..=u32::MAX]) {
        let machine = machine();
        refused(machine, || Timer::new(machine).start_periodic(hz), Violation::NoSuchRate(hz));
    }

    #[test]
    fn no_other_delay(ticks in 65_537..=u32::MAX) {
        let machine = machine();
        refused(machine, || Timer::new(machine).one_shot(ticks).map(|()| 0), Violation::NoSuchDelay(ticks));
    }
}

#[test]
fn the_ends_of_the_ranges_are_refused() {
    let machine = machine();
    let timer = Timer::new(machine);
    for hz in [0, 1, 18, 596_592, 1_193_182, u32::MAX] {
        refused(machine, || timer.start_periodic(hz), Violation::NoSuchRate(hz));
    }
    for ticks in [0, 65_537, u32::MAX] {
        refused(machine, || timer.one_shot(ticks).map(|()| 0), Violation::NoSuchDelay(ticks));
    }
}

/// Every delay that there is.
#[test]
fn delays() {
    let machine = machine();
    for ticks in 1..=65_536 {
        Timer::new(machine).one_shot(ticks).unwrap();
        let [counter, ..] = listen(machine);
        assert_eq!(counter, Counter { mode: 0, count: Some(ticks), low: None });
    }
}

/// A control word and no count: mode 0 then holds its output low.
#[test]
fn a_stopped_counter_waits_for_a_count() {
    let machine = machine();
    let timer = Timer::new(machine);
    timer.start_periodic(100).unwrap();
    timer.stop();
    assert_eq!(listen(machine)[0], Counter { mode: 0, count: None, low: None });
}

#[test]
fn what_remains_is_latched() {
    let machine = machine();
    let timer = Timer::new(machine);
    for (bytes, ticks) in [([0x34_u64, 0x12], 0x1234), ([0, 0], 65_536), ([1, 0], 1), ([0xff, 0xff], 65_535)]
    {
        for byte in bytes {
            machine.devices().inject(Register::Port(0x40), byte);
        }
        assert_eq!(timer.remaining(), ticks);
        let log: Vec<_> = machine.devices().log.drain(..).map(|a| (a.direction, port(&a).0)).collect();
        assert_eq!(log, [(Direction::Write, 0x43), (Direction::Read, 0x40), (Direction::Read, 0x40)]);
    }
}

/// Port 0x61 as the PC answers it: the upper bits are of the machine, and change. Output 2 goes high after
/// `polls` reads.
fn inject_gates(machine: &Emulator, first: u8, polls: u32) {
    let mut devices = machine.devices();
    devices.inject(Register::Port(0x61), first.into());
    for poll in 1..=polls {
        let refresh = if poll % 2 == 0 { 0x10 } else { 0 };
        let output = if poll == polls { 0x20 } else { 0 };
        devices.inject(Register::Port(0x61), refresh | output | u64::from(first & 0x0f));
    }
}

#[test]
fn the_time_stamp_is_measured_against_the_third_counter() {
    for (polls, first) in [(1, 0x00), (7, 0x2c), (500, 0xff)] {
        let machine = machine();
        inject_gates(machine, first, polls);
        machine.devices().inject(Register::TimeStamp, 1_000);
        machine.devices().inject(Register::TimeStamp, 1_000 + 20_000_000);
        let rate = Timer::new(machine).measure_time_stamp().unwrap();
        // 11,931 ticks are a hundredth of a second, all but 0.8 of a tick.
        assert_eq!(rate, 20_000_000 * 1_193_182 / 11_931);
        let gates: Vec<_> = (machine.devices().log.iter())
            .filter(|a| a.direction == Direction::Write && a.register == Register::Port(0x61))
            .map(|a| port(a).1)
            .collect();
        // Looked at once before, and until the counter has ended.
        let is_look =
            |a: &&DeviceAccess| a.direction == Direction::Read && a.register == Register::Port(0x61);
        assert_eq!(machine.devices().log.iter().filter(is_look).count(), 1 + polls as usize);
        let kept = first & 0x0c;
        // Closed, then open with the loudspeaker off, and at last as it was.
        assert_eq!(gates, [kept, kept | 1, first & 0x0f]);
        // The third counter, low byte first, mode 0.
        let is_control = |a: &&DeviceAccess| a.register == Register::Port(0x43);
        let controls: Vec<_> = machine.devices().log.iter().filter(is_control).map(port).collect();
        assert_eq!(controls, [(0x43, 0xb0)]);
        machine.devices().log.retain(|access| matches!(access.register, Register::Port(_)));
        assert_eq!(listen(machine)[2], Counter { mode: 0, count: Some(11_931), low: None });
        assert!(machine.interrupts_enabled(crate::interrupt::fixture::BOOT));
    }
}

/// The counter wraps at 2^64 like any other.
#[test]
fn the_time_stamp_may_wrap() {
    let machine = machine();
    inject_gates(machine, 0, 3);
    machine.devices().inject(Register::TimeStamp, u64::MAX - 9);
    machine.devices().inject(Register::TimeStamp, 11_931 - 10);
    assert_eq!(Timer::new(machine).measure_time_stamp(), Some(1_193_182));
    machine.devices().inject(Register::TimeStamp, 77);
    assert_eq!(Timer::new(machine).time_stamp(), Some(77));
}
