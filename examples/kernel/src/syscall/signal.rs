//! Calls about signals.

use super::time::{Width, duration};
use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::process::current::SignalStack;
use crate::process::{Current, table};
use crate::signal::deliver::set_blocked;
use crate::signal::{ACTION_WORDS, Action, COUNT, Info, SI_TKILL, Set, send};
use crate::start;
use crate::time::{self, Event, SECOND, from_timeval};

/// Bytes of a set of signals.
const SET_BYTES: u32 = 8;

fn check(signal: u32) -> Result<()> {
    if (1..=COUNT as u32).contains(&signal) { Ok(()) } else { Err(Errno::EINVAL) }
}

pub(super) fn action(current: &mut Current, signal: u32, new: u32, old: u32, size: u32) -> Result<u32> {
    check(signal)?;
    if size != SET_BYTES {
        return Err(Errno::EINVAL);
    }
    let new = match new {
        0 => None,
        at => Some(Action::from_words(user::words::<ACTION_WORDS>(&current.space, at)?)),
    };
    let before = exchange(current, signal, new)?;
    if old != 0 {
        user::put_words(&current.space, old, before.words())?;
    }
    Ok(0)
}

/// `sigaction` of old: the same in another order, and with a mask of one word.
pub(super) fn old_action(current: &mut Current, signal: u32, new: u32, old: u32) -> Result<u32> {
    check(signal)?;
    let new = match new {
        0 => None,
        at => {
            let [handler, mask, flags, restorer] = user::words(&current.space, at)?;
            Some(Action::from_words([handler, flags, restorer, mask, 0]))
        }
    };
    let before = exchange(current, signal, new)?;
    if old != 0 {
        let [handler, flags, restorer, mask, _] = before.words();
        user::put_words(&current.space, old, [handler, mask, flags, restorer])?;
    }
    Ok(0)
}

fn exchange(current: &Current, signal: u32, new: Option<Action>) -> Result<Action> {
    let mut actions = current.process.actions.lock();
    let place = actions.get_mut(signal as usize - 1).ok_or(Errno::EINVAL)?;
    let before = *place;
    if let Some(new) = new {
        if Set::UNSTOPPABLE.has(signal) {
            return Err(Errno::EINVAL);
        }
        *place = new;
        drop(actions);
        if new.ignores(signal) {
            // What is ignored from now on is not pending any more.
            let gone = Set::of(&[signal]);
            current.process.pending.lock().remove(gone);
            current.task.signals.lock().pending.remove(gone);
        }
    }
    Ok(before)
}

pub(super) fn mask(current: &mut Current, how: u32, new: u32, old: u32, size: u32) -> Result<u32> {
    if size != SET_BYTES {
        return Err(Errno::EINVAL);
    }
    let before = current.task.signals.lock().blocked;
    if new != 0 {
        let set = set(current, new)?;
        let mask = match how {
            0 => before.and(set),
            1 => before.without(set),
            2 => set,
            _ => return Err(Errno::EINVAL),
        };
        set_blocked(current, mask);
    }
    if old != 0 {
        user::write(&current.space, old, &before.0.to_le_bytes())?;
    }
    Ok(0)
}

fn set(current: &Current, at: u32) -> Result<Set> {
    Ok(Set(u64::from_le_bytes(user::array(&current.space, at)?)))
}

pub(super) fn pending(current: &mut Current, to: u32, size: u32) -> Result<u32> {
    let own = current.task.signals.lock();
    let all = own.pending.set().and(current.process.pending.lock().set());
    let held = Set(all.0 & own.blocked.0);
    drop(own);
    let bytes = held.0.to_le_bytes();
    let bytes = bytes.get(..size as usize).ok_or(Errno::EINVAL)?;
    user::write(&current.space, to, bytes)?;
    Ok(0)
}

/// Holds back what is in `mask` while the task waits, and again after a handler has run what it held back before.
pub(super) fn hold_while_waiting(current: &mut Current, mask: Set) {
    let before = current.task.signals.lock().blocked;
    set_blocked(current, mask);
    current.mask_after = Some(before);
}

/// Ends what [`hold_while_waiting`] began, if no signal has come: one that has needs its mask once more.
pub(super) fn end_waiting(current: &mut Current, interrupted: bool) {
    if !interrupted && let Some(mask) = current.mask_after.take() {
        set_blocked(current, mask);
    }
}

pub(super) fn suspend(current: &mut Current, at: u32, size: u32) -> Result<u32> {
    if size != SET_BYTES {
        return Err(Errno::EINVAL);
    }
    let mask = set(current, at)?;
    hold_while_waiting(current, mask);
    pause(current)
}

pub(super) fn pause(current: &mut Current) -> Result<u32> {
    loop {
        current.sleep()?;
    }
}

pub(super) fn timed_wait(
    current: &mut Current,
    at: u32,
    info_at: u32,
    timeout: u32,
    size: u32,
    width: Width,
) -> Result<u32> {
    if size != SET_BYTES {
        return Err(Errno::EINVAL);
    }
    let wanted = set(current, at)?.without(Set::UNSTOPPABLE);
    let deadline = match timeout {
        0 => None,
        at => Some(time::now().saturating_add(duration(current, at, width)?)),
    };
    let before = current.task.signals.lock().blocked;
    let alarm = deadline.map(|deadline| time::at(deadline, Event::Wake(current.turn)));
    // While it waits they are not held back, so that it is woken; nobody takes them before it looks.
    set_blocked(current, before.without(wanted));
    let found = loop {
        let info = {
            let mut own = current.task.signals.lock();
            own.pending.take(wanted).or_else(|| current.process.pending.lock().take(wanted))
        };
        if let Some(info) = info {
            break Ok(info);
        }
        if deadline.is_some_and(|deadline| time::now() >= deadline) {
            break Err(Errno::EAGAIN);
        }
        if let Err(error) = current.sleep() {
            break Err(error);
        }
    };
    set_blocked(current, before);
    if let Some(alarm) = alarm {
        time::call_off(alarm);
    }
    let info = found?;
    if info_at != 0 {
        let mut bytes = [0; 128];
        bytes.iter_mut().zip(info.bytes()).for_each(|(to, from)| *to = from);
        user::write(&current.space, info_at, &bytes)?;
    }
    Ok(info.signal)
}

/// `SS_ONSTACK`, `SS_DISABLE`.
const ON_STACK: u32 = 1;
const DISABLED: u32 = 2;
/// `MINSIGSTKSZ`
const SMALLEST: u32 = 2048;

pub(super) fn stack(current: &mut Current, new: u32, old: u32) -> Result<u32> {
    let stack = current.stack;
    let is_on = stack.contains(current.context.registers.esp);
    let next = match new {
        0 => None,
        at => {
            let [start, flags, size] = user::words(&current.space, at)?;
            if is_on {
                return Err(Errno::EPERM);
            }
            match flags {
                DISABLED => Some(SignalStack::default()),
                0 | ON_STACK if size < SMALLEST => return Err(Errno::ENOMEM),
                0 | ON_STACK => Some(SignalStack { start, size }),
                _ => return Err(Errno::EINVAL),
            }
        }
    };
    if old != 0 {
        let flags = if stack.size == 0 {
            DISABLED
        } else if is_on {
            ON_STACK
        } else {
            0
        };
        user::put_words(&current.space, old, [stack.start, flags, stack.size])?;
    }
    if let Some(next) = next {
        current.stack = next;
    }
    Ok(0)
}

pub(super) fn kill(current: &mut Current, id: u32, signal: u32) -> Result<u32> {
    if signal != 0 {
        check(signal)?;
    }
    let info = Info::user(signal, current.process.id);
    match id.cast_signed() {
        0 => send::to_group(current.process.job().group, info)?,
        -1 => {
            let all = table::processes();
            let others = all.iter().filter(|other| other.id != start::INIT && other.id != current.process.id);
            others.for_each(|other| {
                if signal != 0 {
                    send::to_process(other, info);
                }
            });
        }
        id if id < 0 => send::to_group(id.unsigned_abs(), info)?,
        id if id.unsigned_abs() == current.process.id => {
            if signal != 0 {
                send::to_process(&current.process, info);
            }
        }
        id => {
            let process = table::process(id.unsigned_abs()).ok_or(Errno::ESRCH)?;
            if signal != 0 {
                send::to_process(&process, info);
            }
        }
    }
    Ok(0)
}

pub(super) fn kill_task(current: &mut Current, process: Option<u32>, id: u32, signal: u32) -> Result<u32> {
    if signal != 0 {
        check(signal)?;
    }
    let task = table::task(id).ok_or(Errno::ESRCH)?;
    if process.is_some_and(|process| process != task.process.id) {
        return Err(Errno::ESRCH);
    }
    if signal != 0 {
        send::to_task(&task, Info { code: SI_TKILL, ..Info::user(signal, current.process.id) });
    }
    Ok(0)
}

/// What is left of the real-time timer and how often it strikes after that, in nanoseconds.
fn left(current: &Current) -> (u64, u64) {
    match current.process.state.lock().alarm {
        Some(((due, _), interval)) => (due.saturating_sub(time::now()).max(1), interval),
        None => (0, 0),
    }
}

fn set_alarm(current: &Current, first: u64, interval: u64) {
    let next = (first > 0)
        .then(|| (time::at(time::now().saturating_add(first), Event::Alarm(current.process.id)), interval));
    let before = core::mem::replace(&mut current.process.state.lock().alarm, next);
    if let Some((name, _)) = before {
        time::call_off(name);
    }
}

pub(super) fn alarm(current: &mut Current, seconds: u32) -> Result<u32> {
    let (before, _) = left(current);
    set_alarm(current, u64::from(seconds) * SECOND, 0);
    Ok(before.div_ceil(SECOND) as u32)
}

/// Only the real-time timer is kept.
fn check_timer(which: u32) -> Result<()> {
    match which {
        0 => Ok(()),
        1 | 2 => Err(Errno::ENOSYS),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn timer(current: &mut Current, which: u32, to: u32) -> Result<u32> {
    check_timer(which)?;
    let (first, interval) = left(current);
    let parts = |time: u64| {
        let (seconds, nanoseconds) = time::split(time);
        [seconds, nanoseconds / 1000]
    };
    let [a, b] = parts(interval);
    let [c, d] = parts(first);
    user::put_words(&current.space, to, [a, b, c, d])?;
    Ok(0)
}

pub(super) fn set_timer(current: &mut Current, which: u32, new: u32, old: u32) -> Result<u32> {
    check_timer(which)?;
    let words: [u32; 4] = if new == 0 { [0; 4] } else { user::words(&current.space, new)? };
    let [a, b, c, d] = words.map(u32::cast_signed);
    let (interval, first) = (from_timeval(a, b)?, from_timeval(c, d)?);
    if old != 0 {
        timer(current, which, old)?;
    }
    set_alarm(current, first, interval);
    Ok(0)
}
