//! Ports that work, that do not, and that are none, on a machine in host memory.

use super::*;
use crate::wait::tests::Pauses;
use crate::world::{Machine, world};
use std::vec::Vec;
use sva_os::Sva;
use sva_os::io::UartPorts;
use sva_os::machine::emulated::{Direction, Register};

const FIRST: u16 = 0x2f8;

/// Makes the registers of a port that answers answer, as often as it is asked while it starts.
fn inject_start(sva: &Sva<Machine>) {
    let mut devices = sva.machine().devices();
    // The scratch register keeps what is written; there are FIFOs; nothing came, and all is sent.
    [0, 0x42, 0x73, 0, 0x42, 0x73].iter().for_each(|value| devices.inject(Register::Port(FIRST + 7), *value));
    devices.inject(Register::Port(FIRST + 2), 0xc1);
    (0..4).for_each(|_| devices.inject(Register::Port(FIRST + 5), 0x60));
}

fn start(sva: &Sva<Machine>) -> Result<Serial<UartPorts<'_, Machine>>, Error> {
    Serial::start(sva.io().uart(FIRST).unwrap(), &Pauses::of(Duration::from_millis(1)))
}

/// What was written to the register at `offset`.
fn written(sva: &Sva<Machine>, offset: u16) -> Vec<u64> {
    let devices = sva.machine().devices();
    let writes = devices.log.iter().filter(|access| access.direction == Direction::Write);
    writes
        .filter(|access| access.register == Register::Port(FIRST + offset))
        .map(|access| access.value)
        .collect()
}

#[test]
fn a_port_starts_and_asks_for_its_line() {
    let sva = world();
    inject_start(&sva);
    start(&sva).map(drop).unwrap();
    // Interrupts for what is received, as the last thing; OUT2 lets them through.
    assert_eq!(written(&sva, 1).last(), Some(&1));
    assert_eq!(written(&sva, 4).last(), Some(&0x0b));
}

#[test]
fn what_is_no_port() {
    // All ones, as from an empty bus.
    assert_eq!(start(&world()).map(drop), Err(Error::NoPort));
    let sva = world();
    [0, 0x42, 0x73]
        .iter()
        .for_each(|value| sva.machine().devices().inject(Register::Port(FIRST + 7), *value));
    // It is never done with sending.
    (0..1000).for_each(|_| sva.machine().devices().inject(Register::Port(FIRST + 5), 0));
    assert_eq!(start(&sva).map(drop), Err(Error::BadPort));
}

#[test]
fn what_comes_is_kept_until_it_is_taken() {
    let sva = world();
    inject_start(&sva);
    let mut serial = start(&sva).unwrap();
    let receive = |bytes: &[u8]| {
        let mut devices = sva.machine().devices();
        for byte in bytes {
            devices.inject(Register::Port(FIRST + 5), 0x61);
            devices.inject(Register::Port(FIRST), (*byte).into());
        }
    };
    let nothing = || sva.machine().devices().inject(Register::Port(FIRST + 5), 0x60);
    receive(b"abc");
    nothing();
    serial.interrupt();
    nothing();
    assert_eq!(core::iter::from_fn(|| serial.next_byte()).collect::<Vec<_>>(), b"abc");
    // More than is kept stays in the port; the handler is not kept for more than so many at a time.
    for _ in 0..5 {
        receive(&[7; 64]);
        serial.interrupt();
    }
    receive(b"d");
    nothing();
    nothing();
    let all: Vec<_> = core::iter::from_fn(|| serial.next_byte()).collect();
    assert_eq!((all.len(), all.last()), (321, Some(&b'd')));
}

#[test]
fn bytes_are_sent_a_fifo_at_a_time() {
    let sva = world();
    inject_start(&sva);
    let mut serial = start(&sva).unwrap();
    sva.machine().devices().log.clear();
    [0x00, 0x20, 0x00, 0x20, 0x20].iter().for_each(|status| {
        sva.machine().devices().inject(Register::Port(FIRST + 5), *status);
    });
    let clock = Pauses::of(Duration::from_millis(1));
    let bytes: Vec<_> = (0..40).collect();
    send(&clock, &bytes, |bytes| serial.send_some(bytes)).unwrap();
    assert_eq!(written(&sva, 0), (0..40).collect::<Vec<_>>());
    assert_eq!(clock.count.get(), 2);
    (0..1000).for_each(|_| sva.machine().devices().inject(Register::Port(FIRST + 5), 0));
    assert_eq!(send(&clock, &bytes, |bytes| serial.send_some(bytes)), Err(Error::TimedOut));
}
