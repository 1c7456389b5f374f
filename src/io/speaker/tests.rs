//! What reaches the chips, byte by byte.

extern crate std;

use super::*;
use crate::machine::Emulated;
use crate::machine::emulated::{Config, Direction, Register};
use crate::mmu::Pae;
use std::vec::Vec;

type Machine = Emulated<Pae>;

fn machine() -> Machine {
    Emulated::new(&Config::new(1, 1))
}

/// Port and value of each write.
fn writes(machine: &Machine) -> Vec<(Register, u64)> {
    let log = core::mem::take(&mut machine.devices().log);
    let writes = log.into_iter().filter(|access| access.direction == Direction::Write);
    writes.map(|access| (access.register, access.value)).collect()
}

const fn port(number: u16) -> Register {
    Register::Port(number)
}

#[test]
fn a_sound_is_a_count_and_a_gate() {
    for (hz, [low, high]) in [(19, [0x4f, 0xf5]), (440, [0x98, 0x0a]), (596_591, [2, 0])] {
        let machine = machine();
        machine.devices().inject(port(0x61), 0x0c);
        assert_eq!(Io::new(&machine).sound(hz), Ok(()));
        let expected = [(port(0x43), 0xb6), (port(0x42), low), (port(0x42), high), (port(0x61), 0x0f)];
        assert_eq!(writes(&machine), expected, "{hz} Hz");
    }
}

/// The enables of NMI stay as they are, whatever they are, and what cannot be written is not.
#[test]
fn two_bits_of_the_gates_change() {
    for gates in 0..=0xff_u64 {
        let machine = machine();
        machine.devices().inject(port(0x61), gates);
        machine.devices().inject(port(0x61), gates);
        Io::new(&machine).silence();
        assert_eq!(writes(&machine), [(port(0x61), gates & 0x0c)]);
        assert_eq!(Io::new(&machine).sound(1000), Ok(()));
        assert_eq!(writes(&machine).last(), Some(&(port(0x61), gates & 0x0c | 3)));
    }
}

#[test]
fn no_rate_that_the_counter_cannot_have() {
    let machine = machine();
    let before = machine.digest();
    for hz in [0, 1, 18, 596_592, u32::MAX] {
        assert_eq!(Io::new(&machine).sound(hz), Err(Violation::NoSuchRate(hz)));
    }
    assert_eq!(machine.digest(), before);
    assert!(writes(&machine).is_empty());
}
