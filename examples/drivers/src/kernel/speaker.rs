//! Three notes.

use super::{Failure, World, say};
use core::time::Duration;
use drivers::wait::sleep;

pub(super) fn run(world: &World) -> Result<(), Failure> {
    for hz in [523, 659, 784] {
        world.sva.io().sound(hz)?;
        sleep(world.clock, Duration::from_millis(60));
    }
    world.sva.io().silence();
    say!(world, "speaker: three notes");
    Ok(())
}
