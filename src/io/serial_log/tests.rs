//! What reaches the serial port.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

extern crate std;

use super::*;
use crate::io::Io;
use crate::machine::emulated::{Config, Direction, Register};
use crate::machine::{Cpu, Emulated};
use crate::mmu::Pae;
use log::Level;
use std::boxed::Box;
use std::string::String;

type Machine = Emulated<Pae>;

fn logger(level: LevelFilter) -> (&'static Machine, &'static SerialLog<Machine>) {
    let machine: &Machine = Box::leak(Box::new(Emulated::new(&Config::new(1, 2))));
    let uart = Io::new(machine).uart(0x3f8).unwrap();
    (machine, Box::leak(Box::new(SerialLog::new(uart, level))))
}

/// All that was sent, by every CPU.
fn sent(machine: &Machine) -> String {
    let devices = machine.devices();
    let sent = devices
        .log
        .iter()
        .filter(|access| access.direction == Direction::Write && access.register == Register::Port(0x3f8));
    sent.map(|access| char::from(u8::try_from(access.value).unwrap())).collect()
}

fn record(log: &dyn Log, level: Level, text: fmt::Arguments<'_>) {
    log.log(&Record::builder().level(level).target("kernel").args(text).build());
}

#[test]
fn what_one_reads_of_it() {
    assert_eq!(std::format!("{:?}", logger(LevelFilter::Info).1), "SerialLog INFO");
}

#[test]
fn a_record_is_a_line() {
    let (machine, log) = logger(LevelFilter::Info);
    record(log, Level::Info, format_args!("a line of {} letters\nand one more", 20));
    record(log, Level::Debug, format_args!("not this"));
    record(log, Level::Error, format_args!("that"));
    let expected = "INFO  kernel: a line of 20 letters\r\nand one more\r\nERROR kernel: that\r\n";
    assert_eq!(sent(machine), expected);
    assert!(machine.interrupts_enabled(Cpu::new(0).unwrap()));
}

/// Lines of every length around what is gathered arrive whole.
#[test]
fn nothing_is_lost_between_two_locks() {
    for length in 0..3 * GATHERED {
        let (machine, log) = logger(LevelFilter::Trace);
        let text: String = ('a'..='z').cycle().take(length).collect();
        record(log, Level::Trace, format_args!("{text}"));
        assert_eq!(sent(machine), std::format!("TRACE kernel: {text}\r\n"));
    }
}

/// A value whose `Display` logs: it would wait for ever if the port were locked meanwhile.
struct Talkative(&'static Machine, &'static SerialLog<Machine>);

impl fmt::Display for Talkative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(self.0.interrupts_enabled(Cpu::new(0).unwrap()));
        record(self.1, Level::Warn, format_args!("inner"));
        f.write_str("outer")
    }
}

#[test]
fn a_display_that_logs_finds_no_lock() {
    let (machine, log) = logger(LevelFilter::Trace);
    record(log, Level::Info, format_args!("{}", Talkative(machine, log)));
    assert_eq!(sent(machine), "WARN  kernel: inner\r\nINFO  kernel: outer\r\n");
}

/// Two CPUs at once: the lines may mix, and no byte is lost.
#[test]
fn two_cpus_lose_nothing() {
    let (machine, log) = logger(LevelFilter::Trace);
    let say = |number: u32, text: &'static str| {
        machine.as_cpu(Cpu::new(number).unwrap(), || {
            (0..200).for_each(|_| record(log, Level::Info, format_args!("{text}")));
        });
    };
    std::thread::scope(|scope| {
        scope.spawn(|| say(0, "0000000000000000"));
        scope.spawn(|| say(1, "1111111111111111"));
    });
    let sent = sent(machine);
    for byte in ['0', '1', '\n'] {
        let expected = if byte == '\n' { 2 * 200 } else { 16 * 200 };
        assert_eq!(sent.chars().filter(|sent| *sent == byte).count(), expected);
    }
}
