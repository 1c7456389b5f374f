//! The screen.

use super::port::{LINK, Port};
use super::{Failure, World, say};
use core::fmt::Write;
use core::time::Duration;
use drivers::vga::{ROWS, Screen, claim};

/// Writes more than fits, and has the host look at the screen.
pub(super) fn run(world: &World) -> Result<(), Failure> {
    let (registers, cells) = claim(world.sva)?;
    let mut screen = Screen::open(registers, cells)?;
    for row in 0..ROWS + 5 {
        writeln!(screen, "row {row}\t{row:?} \u{2014} sva-os")?;
    }
    let link = Port::open(world.sva, world.clock, LINK)?;
    link.send(world.clock, b"screen\n")?;
    world.until(Duration::from_secs(10), || link.next_byte().filter(|byte| *byte == b'\n'))?;
    say!(world, "screen: {} rows", ROWS + 5);
    Ok(())
}
