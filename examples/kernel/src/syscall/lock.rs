//! Calls that lock files.

use super::file::command;
use crate::errno::{Errno, Result};
use crate::fs::file::File;
use crate::fs::lock::{Kind, Record};
use crate::memory::user;
use crate::process::Current;

/// Whether who is refused waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Waits,
    DoesNot,
}

/// Tries `lock` until it is had, or who asks does not wait.
fn until_had(
    current: &Current,
    file: &File,
    patience: Patience,
    mut lock: impl FnMut() -> Result<()>,
) -> Result<u32> {
    loop {
        match lock() {
            Err(Errno::EAGAIN) if patience == Patience::Waits => {}
            other => return other.map(|()| 0),
        }
        file.lock_queue(&mut |queue| queue.add(current.turn));
        let slept = current.sleep();
        file.lock_queue(&mut |queue| queue.remove(current.turn));
        slept?;
    }
}

/// The locks of `fcntl`. That processes wait for one another in a circle is not found out: a signal ends it.
pub(super) fn record(current: &mut Current, descriptor: u32, what: u32, at: u32) -> Result<u32> {
    let is_wide = matches!(what, command::GET_LOCK64 | command::SET_LOCK64 | command::SET_LOCK64_WAITING);
    let record = if is_wide {
        Record::from_bytes_64(user::array(&current.space, at)?)?
    } else {
        Record::from_bytes(user::array(&current.space, at)?)?
    };
    let patience = match what {
        command::GET_LOCK | command::GET_LOCK64 => {
            let found = current.files.lock().test_record(descriptor, record)?;
            if is_wide {
                user::write(&current.space, at, &found.to_bytes_64())?;
            } else {
                user::write(&current.space, at, &found.to_bytes()?)?;
            }
            return Ok(0);
        }
        command::SET_LOCK_WAITING | command::SET_LOCK64_WAITING => Patience::Waits,
        _ => Patience::DoesNot,
    };
    let file = current.file(descriptor)?;
    let process = current.process.id;
    until_had(current, &file, patience, || current.files.lock().set_record(descriptor, record, process))
}

/// `flock`.
pub(super) fn flock(current: &mut Current, descriptor: u32, operation: u32) -> Result<u32> {
    const NONBLOCKING: u32 = 4;
    let kind = match operation & !NONBLOCKING {
        1 => Some(Kind::Shared),
        2 => Some(Kind::Exclusive),
        8 => None,
        _ => return Err(Errno::EINVAL),
    };
    let patience = if operation & NONBLOCKING == 0 { Patience::Waits } else { Patience::DoesNot };
    let file = current.file(descriptor)?;
    until_had(current, &file, patience, || file.lock_whole(kind))
}
