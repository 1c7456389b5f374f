//! `poll` and `select`.

use super::signal::{end_waiting, hold_while_waiting};
use super::time::{Width, duration};
use crate::errno::{Errno, Result};
use crate::fs::poll::{self, Events, PollFd};
use crate::memory::{pool, user};
use crate::process::Current;
use crate::signal::Set;
use crate::time::{self, Event, from_timeval, split};
use alloc::vec;
use alloc::vec::Vec;

/// The most descriptors that are looked at.
const MOST: usize = 4096;
/// So many are kept on the stack.
const FEW: usize = 8;
/// What is not looked at.
const NOTHING: PollFd = PollFd { descriptor: -1, events: Events::empty(), happened: Events::empty() };

/// Looks at `files` until something happens to one, or `deadline` has come; to how many.
fn wait(current: &Current, files: &mut [PollFd], deadline: Option<u64>) -> Result<usize> {
    let found = poll::poll(&current.files.lock(), files);
    if found > 0 || deadline == Some(0) {
        return Ok(found);
    }
    let alarm = deadline.map(|deadline| time::at(deadline, Event::Wake(current.turn)));
    let result = loop {
        poll::watch(&current.files.lock(), files, current.turn);
        let found = poll::poll(&current.files.lock(), files);
        let is_late = deadline.is_some_and(|deadline| time::now() >= deadline);
        let slept = if found > 0 || is_late { Ok(()) } else { current.sleep() };
        poll::unwatch(&current.files.lock(), files, current.turn);
        if found > 0 || is_late {
            break Ok(found);
        }
        if let Err(error) = slept {
            break Err(error);
        }
    };
    if let Some(alarm) = alarm {
        time::call_off(alarm);
    }
    result
}

/// When so many nanoseconds have passed; zero if that is at once.
fn from_now(nanoseconds: u64) -> u64 {
    if nanoseconds == 0 { 0 } else { time::now().saturating_add(nanoseconds) }
}

/// Reads what the program wants to know, waits, and writes what it is told. `bytes` is as long as the program's table.
fn look(
    current: &Current,
    at: u32,
    bytes: &mut [u8],
    files: &mut [PollFd],
    deadline: Option<u64>,
) -> Result<u32> {
    user::read(&current.space, at, bytes)?;
    for (file, bytes) in files.iter_mut().zip(bytes.as_chunks().0) {
        *file = PollFd::from_bytes(*bytes);
    }
    let found = wait(current, files, deadline)?;
    for (file, bytes) in files.iter().zip(bytes.as_chunks_mut().0) {
        *bytes = file.to_bytes();
    }
    user::write(&current.space, at, bytes)?;
    Ok(found as u32)
}

fn poll_until(current: &Current, at: u32, count: u32, deadline: Option<u64>) -> Result<u32> {
    let count = count as usize;
    if count <= FEW {
        let mut files = [NOTHING; FEW];
        let mut bytes = [0; FEW * PollFd::SIZE];
        let bytes = bytes.get_mut(..count * PollFd::SIZE).unwrap_or_default();
        return look(current, at, bytes, files.get_mut(..count).unwrap_or_default(), deadline);
    }
    if count > MOST {
        return Err(Errno::EINVAL);
    }
    if !pool::has_room(count * (PollFd::SIZE + size_of::<PollFd>())) {
        return Err(Errno::ENOMEM);
    }
    let mut files = vec![NOTHING; count];
    let mut bytes = vec![0; count * PollFd::SIZE];
    look(current, at, &mut bytes, &mut files, deadline)
}

pub(super) fn poll(current: &mut Current, at: u32, count: u32, timeout: u32) -> Result<u32> {
    let deadline = u64::try_from(timeout.cast_signed()).ok().map(|ms| from_now(ms * 1_000_000));
    poll_until(current, at, count, deadline)
}

pub(super) fn precise_poll(
    current: &mut Current,
    at: u32,
    count: u32,
    timeout: u32,
    mask: u32,
    width: Width,
) -> Result<u32> {
    let deadline = deadline(current, timeout, width)?;
    with_mask(current, mask, |current| poll_until(current, at, count, deadline))
}

fn deadline(current: &Current, timeout: u32, width: Width) -> Result<Option<u64>> {
    if timeout == 0 { Ok(None) } else { Ok(Some(from_now(duration(current, timeout, width)?))) }
}

/// Does `wait` with the signals held back that the set at `mask` has, if there is one.
fn with_mask(current: &mut Current, mask: u32, wait: impl FnOnce(&Current) -> Result<u32>) -> Result<u32> {
    if mask == 0 {
        return wait(current);
    }
    let mask = Set(u64::from_le_bytes(user::array(&current.space, mask)?));
    hold_while_waiting(current, mask);
    let result = wait(current);
    end_waiting(current, result == Err(Errno::EINTR));
    result
}

/// Words of a set of descriptors.
const WORDS: usize = 32;
/// What is looked for by each set, and what counts as that.
const SETS: [(Events, Events); 3] = [
    (Events::IN, Events::IN.union(Events::HUP).union(Events::ERR)),
    (Events::OUT, Events::OUT.union(Events::ERR)),
    (Events::PRI, Events::PRI),
];

fn select_until(current: &Current, count: u32, at: [u32; 3], deadline: Option<u64>) -> Result<u32> {
    // Beyond 1024 there are no sets.
    let count = count.min(32 * WORDS as u32);
    let words = count.div_ceil(32);
    let mut files = [NOTHING; FEW];
    let mut more = Vec::new();
    let mut used = 0;
    for place in 0..words {
        let mut wanted = [0; 3];
        for (word, at) in wanted.iter_mut().zip(at) {
            if at != 0 {
                *word = user::word(&current.space, at.wrapping_add(4 * place))?;
            }
        }
        let mut any = wanted.iter().fold(0, |all, word| all | word);
        while any != 0 {
            let bit = any.trailing_zeros();
            any &= any - 1;
            let descriptor = 32 * place + bit;
            if descriptor >= count {
                break;
            }
            let mut events = Events::empty();
            for (word, (asked, _)) in wanted.iter().zip(SETS) {
                events.set(asked, events.contains(asked) || word >> bit & 1 != 0);
            }
            let file = PollFd { descriptor: descriptor.cast_signed(), events, happened: Events::empty() };
            match files.get_mut(used) {
                Some(place) => *place = file,
                None => more.push(file),
            }
            used += 1;
        }
    }
    let files = if more.is_empty() {
        files.get_mut(..used).unwrap_or_default()
    } else {
        more.splice(..0, files);
        &mut more
    };
    wait(current, files, deadline)?;
    if files.iter().any(|file| file.happened.contains(Events::NVAL)) {
        return Err(Errno::EBADF);
    }
    let mut total = 0;
    for (at, (asked, counts)) in at.into_iter().zip(SETS) {
        if at == 0 {
            continue;
        }
        for place in 0..words {
            let mut word = 0u32;
            for file in files.iter() {
                let descriptor = file.descriptor.cast_unsigned();
                if descriptor / 32 == place && file.events.contains(asked) && file.happened.intersects(counts)
                {
                    word |= 1 << (descriptor % 32);
                }
            }
            total += word.count_ones();
            user::put_words(&current.space, at.wrapping_add(4 * place), [word])?;
        }
    }
    Ok(total)
}

pub(super) fn select(current: &mut Current, count: u32, at: [u32; 3], timeout: u32) -> Result<u32> {
    if count.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let deadline = match timeout {
        0 => None,
        at => {
            let words: [u32; 2] = user::words(&current.space, at)?;
            let [seconds, micros] = words.map(u32::cast_signed);
            Some(from_now(from_timeval(seconds, micros)?))
        }
    };
    let result = select_until(current, count, at, deadline);
    if let (Some(deadline), true) = (deadline, timeout != 0) {
        // Linux tells how much of the time is left.
        let left = if deadline == 0 { 0 } else { deadline.saturating_sub(time::now()) };
        let (seconds, nanoseconds) = split(left);
        user::put_words(&current.space, timeout, [seconds, nanoseconds / 1000])?;
    }
    result
}

pub(super) fn precise_select(
    current: &mut Current,
    count: u32,
    at: [u32; 3],
    timeout: u32,
    mask: u32,
    width: Width,
) -> Result<u32> {
    if count.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let deadline = deadline(current, timeout, width)?;
    let mask = match mask {
        0 => 0,
        at => user::word(&current.space, at)?,
    };
    with_mask(current, mask, |current| select_until(current, count, at, deadline))
}
