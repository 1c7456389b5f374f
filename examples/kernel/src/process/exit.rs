//! The end of tasks and processes.

use super::{Current, Process, Status, table};
use crate::fs::tty::Job;
use crate::machine::sva;
use crate::memory::user;
use crate::signal::{self, DEFAULT, IGNORE, Info, flags, send};
use crate::{futex, start, time};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

const CLD_EXITED: i32 = 1;
const CLD_KILLED: i32 = 2;

/// Ends a task, the last thing that it does. Of a process the last task to end ends it.
pub fn end_task(current: Current) {
    if current.clear_at_end != 0 && user::put_words(&current.space, current.clear_at_end, [0]).is_ok() {
        futex::wake_at(&current.space, current.clear_at_end, 1);
    }
    let Current { task, process, space, files, subject, .. } = current;
    // Neither files nor memory are shared with who is told of the end.
    drop((files, subject));
    // The address space goes with the last of its tasks, and leaves the CPU then. Else it does so here.
    drop(space);
    if sva().root() != sva().sealed_root() && sva().load_root(sva().sealed_root()).is_err() {
        return;
    }
    process.leave();
    table::remove_task(task.id);
    let (status, told) = {
        let mut state = process.state.lock();
        state.tasks.retain(|other| other.id != task.id);
        let last = state.tasks.is_empty();
        let subject = if last { state.subject.take() } else { None };
        (if last { Some(state.ending.unwrap_or(0)) } else { None }, subject)
    };
    drop(told);
    if let Some(status) = status {
        end_process(&process, status);
    }
}

/// The last task of `process` has ended.
fn end_process(process: &Arc<Process>, status: Status) {
    let alarm = process.state.lock().alarm.take();
    if let Some((name, _)) = alarm {
        time::call_off(name);
    }
    let mut cut_off = adopt(process);
    let (group, session, parent) = {
        let mut state = process.state.lock();
        state.ended = Some(status);
        state.stopped = None;
        (state.group, state.session, state.parent.upgrade())
    };
    if parent.is_some_and(|parent| parent.is_link_to(group, session)) {
        cut_off.push(group);
    }
    if session == process.id {
        crate::console::session_ends(session);
    }
    notify(process, status);
    cut_off.into_iter().for_each(|group| continue_orphans(group, session));
    if process.id == start::INIT {
        start::init_ended(status);
    }
}

/// Gives the children of `process` to the first process. Answers with the groups whose link to the session it was.
fn adopt(process: &Arc<Process>) -> Vec<u32> {
    let children = core::mem::take(&mut process.state.lock().children);
    let mut cut_off = Vec::new();
    if children.is_empty() {
        return cut_off;
    }
    let init = table::process(start::INIT).filter(|init| !Arc::ptr_eq(init, process));
    for child in children {
        let Job { group, session, .. } = child.job();
        if process.is_link_to(group, session) && !cut_off.contains(&group) {
            cut_off.push(group);
        }
        let ended = {
            let mut state = child.state.lock();
            state.parent = init.as_ref().map_or_else(Weak::new, Arc::downgrade);
            state.ended
        };
        match (&init, ended) {
            (Some(init), ended) => {
                init.state.lock().children.push(child.clone());
                if let Some(status) = ended {
                    notify(&child, status);
                }
            }
            // Nobody is left to ask for it.
            (None, Some(_)) => table::remove_process(child.id),
            (None, None) => {}
        }
    }
    cut_off
}

/// Tells the parent of `process` that it has ended.
fn notify(process: &Arc<Process>, status: Status) {
    let parent = process.state.lock().parent.upgrade();
    let Some(parent) = parent else {
        table::remove_process(process.id);
        return;
    };
    let action = parent.action(signal::CHLD);
    let is_waited_for = action.handler != IGNORE && action.flags & flags::NO_CHILD_WAIT == 0;
    if !is_waited_for {
        forget(&parent, process.id);
    }
    if is_waited_for || action.handler != DEFAULT {
        let killed = status & 0x7f;
        let (code, value) = if killed == 0 { (CLD_EXITED, status >> 8) } else { (CLD_KILLED, killed) };
        let info = Info { signal: signal::CHLD, code, fields: [process.id, 0, value] };
        send::to_process(&parent, info);
    }
    parent.children.wake_all();
}

/// `parent` has been told of the end of its child `id`, which nobody asks for again.
pub fn forget(parent: &Process, id: u32) {
    let gone = {
        let mut state = parent.state.lock();
        let place = state.children.iter().position(|child| child.id == id);
        place.map(|place| state.children.swap_remove(place))
    };
    drop(gone);
    table::remove_process(id);
}

/// A group that has just lost a link to its session, and has none left, has nobody who would continue it: if one of its
/// members is stopped, all are told and continued (POSIX, `_exit`).
fn continue_orphans(group: u32, session: u32) {
    let mut members = table::group(group);
    members.retain(|member| member.state.lock().ended.is_none());
    let is_linked = members.iter().any(|member| {
        let parent = member.state.lock().parent.upgrade();
        parent.is_some_and(|parent| parent.is_link_to(group, session))
    });
    if is_linked || !members.iter().any(|member| member.state.lock().stopped.is_some()) {
        return;
    }
    for member in members {
        send::to_process(&member, Info::kernel(signal::HUP));
        send::to_process(&member, Info::kernel(signal::CONT));
    }
}

impl Process {
    /// Whether it may continue its children of `group` in `session`: it is in another group of that session.
    fn is_link_to(&self, group: u32, session: u32) -> bool {
        let state = self.state.lock();
        state.session == session && state.group != group && state.ended.is_none()
    }
}
