//! Sending signals.

use super::{Info, Set, flags};
use crate::errno::{Errno, Result};
use crate::process::wait::{STATUS_CONTINUED, stopped};
use crate::process::{Process, Task, table};
use crate::{signal, start, time};
use alloc::sync::Arc;

const CLD_STOPPED: i32 = 5;
const CLD_CONTINUED: i32 = 6;

/// Sends a signal to a process.
pub fn to_process(process: &Process, info: Info) {
    if !begin(process, info.signal) {
        return;
    }
    if !process.pending.lock().add(info) {
        return;
    }
    let state = process.state.lock();
    let takes = |task: &&Arc<Task>| !task.signals.lock().blocked.has(info.signal);
    if let Some(task) = state.tasks.iter().find(takes) {
        task.alert();
    }
}

/// Sends a signal to one task.
pub fn to_task(task: &Task, info: Info) {
    if !begin(&task.process, info.signal) {
        return;
    }
    let (added, blocked) = {
        let mut signals = task.signals.lock();
        (signals.pending.add(info), signals.blocked)
    };
    if added && !blocked.has(info.signal) {
        task.alert();
    }
}

/// Does what a signal does as soon as it is sent. Whether it is to be kept until it is taken.
fn begin(process: &Process, signal: u32) -> bool {
    if signal == signal::CONT {
        forget(process, Set::STOPS);
        resume(process);
    } else if Set::STOPS.has(signal) {
        forget(process, Set::of(&[signal::CONT]));
    }
    let action = process.action(signal);
    if process.id == start::INIT && (action.handler == signal::DEFAULT || Set::UNSTOPPABLE.has(signal)) {
        return false;
    }
    if signal == signal::KILL {
        process.end(signal);
        return false;
    }
    let state = process.state.lock();
    if state.ended.is_some() {
        return false;
    }
    let is_held = || state.tasks.iter().any(|task| task.signals.lock().blocked.has(signal));
    !action.ignores(signal) || is_held()
}

fn forget(process: &Process, gone: Set) {
    process.pending.lock().remove(gone);
    for task in &process.state.lock().tasks {
        task.signals.lock().pending.remove(gone);
    }
}

/// Lets a stopped process go on.
fn resume(process: &Process) {
    {
        let mut state = process.state.lock();
        if state.stopped.take().is_none() {
            return;
        }
        state.news = Some(STATUS_CONTINUED);
    }
    process.continued.wake_all();
    tell_parent(process, CLD_CONTINUED, signal::CONT);
}

/// Stops a process by `signal`.
pub fn stop(process: &Process, signal: u32) {
    {
        let mut state = process.state.lock();
        if state.stopped.is_some() || state.ending.is_some() {
            return;
        }
        state.stopped = Some(signal);
        state.news = Some(stopped(signal));
    }
    process.alert();
    tell_parent(process, CLD_STOPPED, signal);
}

fn tell_parent(process: &Process, code: i32, value: u32) {
    let parent = process.state.lock().parent.upgrade();
    if let Some(parent) = parent {
        if parent.action(signal::CHLD).flags & flags::NO_CHILD_STOP == 0 {
            to_process(&parent, Info { signal: signal::CHLD, code, fields: [process.id, 0, value] });
        }
        parent.children.wake_all();
    }
}

/// Sends a signal to all processes of a group.
///
/// # Errors
///
/// ESRCH if it has none.
pub fn to_group(group: u32, info: Info) -> Result<()> {
    let members = table::group(group);
    if members.is_empty() {
        return Err(Errno::ESRCH);
    }
    if info.signal != 0 {
        members.iter().for_each(|member| to_process(member, info));
    }
    Ok(())
}

/// The real-time timer of process `id` strikes.
pub fn alarm(id: u32) {
    let Some(process) = table::process(id) else {
        return;
    };
    {
        let mut state = process.state.lock();
        state.alarm = match state.alarm {
            // From when it was due, so that it does not fall behind; but not for times that have passed.
            Some(((due, _), interval)) if interval > 0 => {
                let next = due.saturating_add(interval).max(time::now());
                Some((time::at(next, time::Event::Alarm(id)), interval))
            }
            _ => None,
        };
    }
    to_process(&process, Info::kernel(signal::ALRM));
}
