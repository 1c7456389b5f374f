//! The records, beside the clock in one frame.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

extern crate std;

use super::*;
use crate::frame::stamp::Time;
use crate::frame::table::tests::ram::Ram;
use crate::mmu::clock::Clock;
use std::vec::Vec;

#[test]
fn as_many_cpus_as_may_be_have_records_of_their_own() {
    let ram = Ram::new(1024);
    let base = PhysAddr::new(0);
    // SAFETY: 1. the start of the frame that the words make. 2. Only the clock and the records write it.
    let clock = unsafe { Clock::new(base) };
    // SAFETY: 1. and 2. as for the clock.
    let loaded = unsafe { Loaded::new(base) };
    clock.start(&ram);
    let cpus: Vec<_> = (0..Cpu::LIMIT).filter_map(Cpu::new).collect();
    let root = |cpu: Cpu| Frame::new(100 + cpu.number()).unwrap();
    let time = |cpu: Cpu| Time::of_clock(1001 + 2 * cpu.number());
    for cpu in cpus.iter().copied() {
        loaded.set(&ram, cpu, root(cpu));
        clock.publish(&ram, cpu, time(cpu));
    }
    clock.tick(&ram);
    for cpu in cpus {
        assert_eq!(loaded.get(&ram, cpu), Some(root(cpu)));
        assert_eq!(clock.flushed(&ram, cpu), time(cpu));
    }
    assert!(clock.now(&ram).is_after(Time::FIRST));
}
