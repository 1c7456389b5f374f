//! The date, and whether the clock goes.

use super::{Failure, World, say};
use core::time::Duration;
use drivers::cmos::{Date, date};

pub(super) fn run(world: &World) -> Result<(), Failure> {
    let first = now(world)?;
    let how = if world.clock.has_time_stamp() { "time stamp" } else { "timer" };
    say!(world, "clock: {first}, measured by {how}");
    let next = world.until(Duration::from_secs(3), || now(world).ok().filter(|next| *next != first))?;
    if next < first {
        return Err(Failure::new("the clock goes backwards"));
    }
    Ok(())
}

/// The date now.
pub(super) fn now(world: &World) -> Result<Date, Failure> {
    Ok(date(&world.sva.io(), world.clock)?)
}
