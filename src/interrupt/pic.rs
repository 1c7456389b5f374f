//! The two 8259A interrupt controllers, as a PC wires them (Intel 8259A data sheet, order 231468).

use crate::machine::Machine;

/// One of the two. The slave hangs on line [`CASCADE`] of the master.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Chip {
    Master,
    Slave,
}

/// The master's line that the slave hangs on.
pub(super) const CASCADE: u32 = 2;

impl Chip {
    /// The port of ICW1, OCW2 and OCW3.
    const fn command(self) -> u16 {
        match self {
            Chip::Master => 0x20,
            Chip::Slave => 0xa0,
        }
    }

    /// The port of ICW2 to ICW4, and of OCW1: the mask.
    const fn data(self) -> u16 {
        match self {
            Chip::Master => 0x21,
            Chip::Slave => 0xa1,
        }
    }

    /// ICW3: which line has a slave; of the slave, which line it hangs on.
    const fn wiring(self) -> u8 {
        match self {
            Chip::Master => 1 << CASCADE,
            Chip::Slave => 2,
        }
    }
}

/// ICW1: edge-triggered, two controllers, ICW4 follows.
const INITIALISE: u8 = 0x11;
/// ICW4: for an 8086, normal end of interrupt, not buffered, not special fully nested.
const MODE_8086: u8 = 0x01;
/// OCW3: the next read of the command port answers the in-service register.
const READ_IN_SERVICE: u8 = 0x0b;
/// OCW2: specific end of interrupt, of the line in the low bits.
const END: u8 = 0x60;

fn write<M: Machine>(machine: &M, port: u16, value: u8) {
    // SAFETY: a port of the interrupt controllers, which the library keeps; no write to them touches memory.
    unsafe { machine.port_write(port, value) }
}

/// Gives the sixteen lines the vectors from `first` on, a multiple of 8, and the masks.
pub(super) fn start<M: Machine>(machine: &M, first: u8, [master, slave]: [u8; 2]) {
    for (chip, vectors) in [(Chip::Master, first), (Chip::Slave, first | 8)] {
        write(machine, chip.command(), INITIALISE);
        write(machine, chip.data(), vectors);
        write(machine, chip.data(), chip.wiring());
        write(machine, chip.data(), MODE_8086);
    }
    set_mask(machine, Chip::Master, master);
    set_mask(machine, Chip::Slave, slave);
}

/// OCW1: lines whose bit is set are held back.
pub(super) fn set_mask<M: Machine>(machine: &M, chip: Chip, mask: u8) {
    write(machine, chip.data(), mask);
}

/// The lines whose interrupt is being served.
pub(super) fn in_service<M: Machine>(machine: &M, chip: Chip) -> u8 {
    write(machine, chip.command(), READ_IN_SERVICE);
    // SAFETY: the library's own port; the read answers what was selected and changes nothing.
    unsafe { machine.port_read(chip.command()) }
}

/// Ends the interrupt by the controller's line `line`, below 8.
pub(super) fn end_of_interrupt<M: Machine>(machine: &M, chip: Chip, line: u8) {
    write(machine, chip.command(), END | line);
}

/// Ends the interrupt that the slave was to the master.
pub(super) fn end_of_cascade<M: Machine>(machine: &M) {
    end_of_interrupt(machine, Chip::Master, Chip::Slave.wiring());
}
