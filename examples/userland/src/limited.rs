//! Children that may not take long.

use crate::sys::{self, End, KILLED, Result};

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a status.
    Exit(u8),
    /// By a signal that was not ours.
    Signal(u8),
    /// It took too long.
    Stopped,
}

/// How long to wait between two looks, in milliseconds.
const INTERVAL: u32 = 1;
/// How often others get the CPU before the clock is looked at: most children end at once.
const TURNS: u32 = 100;

/// Has a child do `what` and end with that status. After so many milliseconds it is stopped, and with it the processes
/// of the group that it made, if it made one.
pub fn limited(milliseconds: u32, what: impl FnOnce() -> i32) -> Result<Ending> {
    let child = sys::spawn(what)?;
    let ending = |end| match end {
        End::Exit(status) => Ending::Exit(status),
        End::Signal(signal) => Ending::Signal(signal),
    };
    for _ in 0..TURNS {
        if let Some((_, end)) = sys::ended(Some(child))? {
            return Ok(ending(end));
        }
        sys::give_way();
    }
    for _ in 0..milliseconds / INTERVAL {
        if let Some((_, end)) = sys::ended(Some(child))? {
            return Ok(ending(end));
        }
        sys::sleep(INTERVAL);
    }
    _ = sys::kill_group(child, KILLED);
    _ = sys::kill(child, KILLED);
    sys::wait(Some(child))?;
    Ok(Ending::Stopped)
}
