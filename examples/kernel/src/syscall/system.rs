//! Calls about the system as a whole.

use crate::errno::{Errno, Result};
use crate::fs::random;
use crate::memory::{PAGE, STACK_PAGES, pool, user};
use crate::process::{Current, table};
use crate::time;
use crate::{fs, start};

/// Bytes of a field of `struct utsname`.
const FIELD: usize = 65;
/// What `uname` says: programs compare the release with what they need of Linux.
const NAMES: [&str; 6] = ["Linux", "sva-os", "6.1.0", "#1 sva-os kernel", "i686", "(none)"];

pub(super) fn name(current: &mut Current, to: u32) -> Result<u32> {
    let mut bytes = [[0; FIELD]; NAMES.len()];
    for (field, name) in bytes.iter_mut().zip(NAMES) {
        field.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    }
    user::write(&current.space, to, bytes.as_flattened())?;
    Ok(0)
}

pub(super) fn information(current: &mut Current, to: u32) -> Result<u32> {
    let (seconds, _) = time::split(time::now());
    let (processes, _) = table::counts();
    let words = [
        seconds,
        0,
        0,
        0,
        pool::total().saturating_mul(PAGE),
        pool::unused().saturating_mul(PAGE),
        0,
        0,
        0,
        0,
        processes as u32 & 0xffff,
        0,
        0,
        1,
        0,
        0,
    ];
    user::put_words(&current.space, to, words)?;
    Ok(0)
}

pub(super) fn random(current: &mut Current, to: u32, count: u32) -> Result<u32> {
    let mut done = 0;
    while done < count {
        let mut bytes = [0; 64];
        let some = bytes.len().min((count - done) as usize);
        let bytes = bytes.get_mut(..some).unwrap_or_default();
        random::put(some, &mut &mut *bytes)?;
        user::write(&current.space, to.wrapping_add(done), bytes)?;
        done += some as u32;
    }
    Ok(done)
}

/// `RLIMIT_*`.
const STACK: u32 = 3;
const FILES: u32 = 7;
const COUNT: u32 = 16;

fn limits(current: &Current, which: u32) -> Result<[u32; 2]> {
    match which {
        STACK => Ok([STACK_PAGES * PAGE; 2]),
        FILES => Ok([current.files.lock().limit(), fs::descriptors::MAX_LIMIT]),
        0..COUNT => Ok([u32::MAX; 2]),
        _ => Err(Errno::EINVAL),
    }
}

/// Limits that are `infinity` are told as none.
pub(super) fn limit(current: &mut Current, which: u32, to: u32, infinity: u32) -> Result<u32> {
    let limits = limits(current, which)?.map(|limit| limit.min(infinity));
    user::put_words(&current.space, to, limits)?;
    Ok(0)
}

/// Only that of open files is one.
fn change(current: &Current, which: u32, soft: u64) -> Result<()> {
    limits(current, which)?;
    if which == FILES {
        let soft = u32::try_from(soft).unwrap_or(u32::MAX);
        current.files.lock().set_limit(soft)?;
    }
    Ok(())
}

pub(super) fn set_limit(current: &mut Current, which: u32, from: u32) -> Result<u32> {
    let [soft, hard] = user::words(&current.space, from)?;
    if soft > hard {
        return Err(Errno::EINVAL);
    }
    change(current, which, soft.into())?;
    Ok(0)
}

pub(super) fn process_limit(current: &mut Current, id: u32, which: u32, new: u32, old: u32) -> Result<u32> {
    if id != 0 && id != current.process.id {
        return Err(Errno::EPERM);
    }
    let before = limits(current, which)?.map(|limit| if limit == u32::MAX { u64::MAX } else { limit.into() });
    if new != 0 {
        let [low, high, hard_low, hard_high]: [u32; 4] = user::words(&current.space, new)?;
        let wide = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        if wide(low, high) > wide(hard_low, hard_high) {
            return Err(Errno::EINVAL);
        }
        change(current, which, wide(low, high))?;
    }
    if old != 0 {
        let words = before.map(u64::to_le_bytes);
        user::write(&current.space, old, words.as_flattened())?;
    }
    Ok(0)
}

/// What a process has used is not measured.
pub(super) fn usage(current: &mut Current, to: u32) -> Result<u32> {
    user::put_words(&current.space, to, [0; 18])?;
    Ok(0)
}

/// `LINUX_REBOOT_*`.
const MAGIC: u32 = 0xfee1_dead;
const MAGICS: [u32; 4] = [0x2812_1969, 0x0512_1996, 0x1604_1998, 0x2011_2000];
const POWER_OFF: u32 = 0x4321_fedc;
const HALT: u32 = 0xcdef_0123;
const RESTART: u32 = 0x0123_4567;
const KEYS_ON: u32 = 0x89ab_cdef;
const KEYS_OFF: u32 = 0;

pub(super) fn reboot(current: &mut Current, first: u32, second: u32, what: u32) -> Result<u32> {
    if current.subject.lock().uid != 0 {
        return Err(Errno::EPERM);
    }
    if first != MAGIC || !MAGICS.contains(&second) {
        return Err(Errno::EINVAL);
    }
    match what {
        POWER_OFF | HALT => start::end(start::End::PowerOff),
        RESTART => start::end(start::End::Reset),
        KEYS_ON | KEYS_OFF => return Ok(0),
        _ => return Err(Errno::EINVAL),
    }
    current.is_over = true;
    Ok(0)
}
