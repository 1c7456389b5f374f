//! Who a process is: users, process groups, sessions.

use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::process::{Current, Process, table};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A user's number of 16 bits, whose highest value is none.
pub(super) const fn widen(id: u32) -> u32 {
    if id & 0xffff == 0xffff { u32::MAX } else { id & 0xffff }
}

/// Nobody, where all bits are ones.
pub(super) const fn unless_all_ones(id: u32) -> Option<u32> {
    if id == u32::MAX { None } else { Some(id) }
}

fn process(current: &Current, id: u32) -> Result<Arc<Process>> {
    if id == 0 { Ok(current.process.clone()) } else { table::process(id).ok_or(Errno::ESRCH) }
}

pub(super) fn group(current: &Current, id: u32) -> Result<u32> {
    Ok(process(current, id)?.state.lock().group)
}

pub(super) fn session(current: &Current, id: u32) -> Result<u32> {
    Ok(process(current, id)?.state.lock().session)
}

pub(super) fn set_group(current: &mut Current, id: u32, group: u32) -> Result<u32> {
    if group.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let process = process(current, id)?;
    let group = if group == 0 { process.id } else { group };
    let own_session = current.process.state.lock().session;
    if process.id != current.process.id {
        let state = process.state.lock();
        if !state.parent.upgrade().is_some_and(|parent| Arc::ptr_eq(&parent, &current.process)) {
            return Err(Errno::ESRCH);
        }
        if state.session != own_session {
            return Err(Errno::EPERM);
        }
        if state.has_executed {
            return Err(Errno::EACCES);
        }
    }
    let leads_session = process.state.lock().session == process.id;
    let is_there = group == process.id
        || table::group(group).iter().any(|member| member.state.lock().session == own_session);
    if leads_session || !is_there {
        return Err(Errno::EPERM);
    }
    process.state.lock().group = group;
    Ok(0)
}

pub(super) fn set_session(current: &mut Current) -> Result<u32> {
    let id = current.process.id;
    if !table::group(id).is_empty() {
        return Err(Errno::EPERM);
    }
    let mut state = current.process.state.lock();
    (state.session, state.group) = (id, id);
    Ok(id)
}

/// Each process has one user and one group: real, effective and saved are the same.
pub(super) fn set_user(current: &mut Current, user: u32) -> Result<u32> {
    let mut subject = current.subject.lock();
    if subject.uid != 0 && subject.uid != user {
        return Err(Errno::EPERM);
    }
    subject.uid = user;
    Ok(0)
}

pub(super) fn set_user_group(current: &mut Current, group: u32) -> Result<u32> {
    let mut subject = current.subject.lock();
    if subject.uid != 0 && subject.gid != group {
        return Err(Errno::EPERM);
    }
    subject.gid = group;
    Ok(0)
}

/// What all of them become; EPERM if that is not one.
fn one<const N: usize>(ids: [u32; N]) -> Result<Option<u32>> {
    let mut named = ids.into_iter().filter_map(unless_all_ones);
    let first = named.next();
    if named.all(|id| Some(id) == first) { Ok(first) } else { Err(Errno::EPERM) }
}

pub(super) fn set_users<const N: usize>(current: &mut Current, users: [u32; N]) -> Result<u32> {
    one(users)?.map_or(Ok(0), |user| set_user(current, user))
}

pub(super) fn set_user_groups<const N: usize>(current: &mut Current, groups: [u32; N]) -> Result<u32> {
    one(groups)?.map_or(Ok(0), |group| set_user_group(current, group))
}

pub(super) fn users(current: &mut Current, at: [u32; 3]) -> Result<u32> {
    let user = current.subject.lock().uid;
    at.into_iter().try_for_each(|at| user::put_words(&current.space, at, [user]))?;
    Ok(0)
}

pub(super) fn user_groups(current: &mut Current, at: [u32; 3]) -> Result<u32> {
    let group = current.subject.lock().gid;
    at.into_iter().try_for_each(|at| user::put_words(&current.space, at, [group]))?;
    Ok(0)
}

/// The most groups that a process is in.
const MOST_GROUPS: u32 = 32;

pub(super) fn groups(current: &mut Current, size: u32, to: u32) -> Result<u32> {
    let groups = current.subject.lock().groups.clone();
    let count = groups.len() as u32;
    if size == 0 {
        return Ok(count);
    }
    if size < count {
        return Err(Errno::EINVAL);
    }
    for (place, group) in (0..).zip(&groups) {
        user::put_words(&current.space, to.wrapping_add(4 * place), [*group])?;
    }
    Ok(count)
}

pub(super) fn set_groups(current: &mut Current, size: u32, from: u32) -> Result<u32> {
    if current.subject.lock().uid != 0 {
        return Err(Errno::EPERM);
    }
    if size > MOST_GROUPS {
        return Err(Errno::EINVAL);
    }
    let groups: Result<Vec<u32>> =
        (0..size).map(|place| user::word(&current.space, from.wrapping_add(4 * place))).collect();
    current.subject.lock().groups = groups?;
    Ok(0)
}
