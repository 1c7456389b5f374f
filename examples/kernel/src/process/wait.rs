//! Waiting for children.

use super::{Current, Process, Status, exit};
use crate::errno::{Errno, Result};
use alloc::sync::Arc;

/// Which children.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Any.
    Any,
    /// The one with this number.
    One(u32),
    /// Those of this group.
    Group(u32),
}

/// `WNOHANG`, `WUNTRACED`, `WCONTINUED`, and what only says which tasks' children count.
pub const NO_HANG: u32 = 1;
/// `WUNTRACED`
pub const UNTRACED: u32 = 2;
/// `WCONTINUED`
pub const CONTINUED: u32 = 8;
const OF_ANY_TASK: u32 = 0xe000_0000;
/// The status of a child that was continued.
pub const STATUS_CONTINUED: Status = 0xffff;

/// The status of a child that `signal` stopped.
pub const fn stopped(signal: u32) -> Status {
    signal << 8 | 0x7f
}

impl Which {
    fn fits(self, child: &Process) -> bool {
        match self {
            Self::Any => true,
            Self::One(id) => child.id == id,
            Self::Group(group) => child.state.lock().group == group,
        }
    }
}

/// What there is to tell of `child`: whether it has ended, and its status.
fn news(child: &Process, options: u32) -> Option<(bool, Status)> {
    let mut state = child.state.lock();
    if let Some(status) = state.ended {
        return Some((true, status));
    }
    let wanted = match state.news? {
        STATUS_CONTINUED => options & CONTINUED != 0,
        _ => options & UNTRACED != 0,
    };
    if wanted { state.news.take().map(|status| (false, status)) } else { None }
}

/// Waits for a child, and says which and what of it; `None` if there is nothing to tell and it is not to wait.
///
/// # Errors
///
/// EINVAL, ECHILD, EINTR.
pub fn wait(current: &Current, which: Which, options: u32) -> Result<Option<(u32, Status)>> {
    if options & !(NO_HANG | UNTRACED | CONTINUED | OF_ANY_TASK) != 0 {
        return Err(Errno::EINVAL);
    }
    let process: &Arc<Process> = &current.process;
    loop {
        let mut found = None;
        let mut any = false;
        for child in &process.state.lock().children {
            if which.fits(child) {
                any = true;
                found = news(child, options).map(|news| (child.id, news));
                if found.is_some() {
                    break;
                }
            }
        }
        if let Some((id, (ended, status))) = found {
            if ended {
                exit::forget(process, id);
            }
            return Ok(Some((id, status)));
        }
        if !any {
            return Err(Errno::ECHILD);
        }
        if options & NO_HANG != 0 {
            return Ok(None);
        }
        current.sleep_in(&process.children)?;
    }
}
