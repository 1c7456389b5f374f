//! Devices that the machine does not have.

use super::{Failure, World, say};
use core::fmt::{Arguments, Display};
use drivers::ata::{Channel, Disk, Unit};
use drivers::keyboard::Ps2;
use drivers::ne2000::Ne2000;
use drivers::serial::Serial;
use drivers::vga::{Screen, claim};
use spin::Mutex;

pub(super) fn run(world: &World) -> Result<(), Failure> {
    let io = world.sva.io();
    for (name, first, control) in [("first", 0x1f0, 0x3f6), ("second", 0x170, 0x376)] {
        let channel = Channel::new(io.claim(first, 8)?, io.claim(control, 1)?, world.clock);
        let channel = Mutex::new(channel);
        for unit in [Unit::First, Unit::Second] {
            tell(world, format_args!("{name} channel, {unit:?}"), Disk::open(&channel, unit));
        }
    }
    tell(world, format_args!("ISA network card"), Ne2000::open(io.claim(0x300, 32)?, world.clock));
    tell(world, format_args!("serial port 4"), Serial::start(io.uart(0x2e8)?, world.clock));
    let (registers, cells) = claim(world.sva)?;
    tell(world, format_args!("screen"), Screen::open(registers, cells));
    tell(world, format_args!("keyboard"), Ps2::start(io.keyboard()?, world.clock));
    Ok(())
}

fn tell<T, E: Display>(world: &World, what: Arguments<'_>, answer: Result<T, E>) {
    match answer {
        Ok(_) => say!(world, "{what}: is there"),
        Err(error) => say!(world, "{what}: {error}"),
    }
}
