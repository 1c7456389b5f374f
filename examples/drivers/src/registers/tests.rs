//! Claimed ports as registers.

use super::Registers;
use crate::world::{Machine, world};
use std::vec::Vec;
use sva_os::io::PortRange;
use sva_os::machine::emulated::{Direction, Register};

#[test]
fn a_range_of_ports_is_registers_and_nothing_behind_them() {
    let sva = world();
    let mut ports: PortRange<'_, Machine> = sva.io().claim(0x1f0, 8).unwrap();
    let registers: &mut dyn Registers = &mut ports;
    for (port, value) in [(0x1f7, 0x50), (0x1f0, 0x1234), (0x1f0, 0x5678)] {
        sva.machine().devices().inject(Register::Port(port), value);
    }
    assert_eq!(registers.read(7), 0x50);
    let mut words = [0; 2];
    registers.read_words(0, &mut words);
    assert_eq!(words, [0x1234, 0x5678]);
    registers.write(6, 0xe0);
    registers.write_words(0, &[1, 2]);
    let accesses = |direction| {
        let devices = sva.machine().devices();
        let accesses = devices.log.iter().filter(|access| access.direction == direction);
        accesses.map(|access| (access.register, access.bytes, access.value)).collect::<Vec<_>>()
    };
    let port = Register::Port;
    assert_eq!(
        accesses(Direction::Write),
        [(port(0x1f6), 1, 0xe0), (port(0x1f0), 2, 1), (port(0x1f0), 2, 2)]
    );
    // Behind the last there is nothing.
    let before = sva.machine().devices().log.len();
    registers.write(8, 1);
    registers.write_words(7, &[1]);
    registers.read_words(7, &mut words);
    assert_eq!((registers.read(8), words), (0xff, [0xffff; 2]));
    assert_eq!(sva.machine().devices().log.len(), before);
}
