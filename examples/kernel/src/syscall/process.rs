//! Calls about processes and tasks.

use super::path::with_string;
use super::time::{Width, duration};
use crate::errno::{Errno, Result};
use crate::exec::load::load;
use crate::exec::stack::{Given, MOST_BYTES};
use crate::machine::sva;
use crate::memory::{pool, user};
use crate::process::clone::{self, Request, flags, segment};
use crate::process::current::SignalStack;
use crate::process::tell::About;
use crate::process::wait::{self, Which};
use crate::process::{Current, exited};
use crate::signal::{Action, IGNORE};
use crate::start::tree;
use crate::{futex, schedule, signal, time};
use alloc::sync::Arc;
use alloc::vec::Vec;
use sva_os::context::{FpState, TLS_SLOTS, TlsLimit};

pub(super) fn exit(current: &mut Current, code: u32) -> Result<u32> {
    current.is_over = true;
    let mut state = current.process.state.lock();
    if state.tasks.len() == 1 {
        state.ending.get_or_insert(exited(code));
    }
    Ok(0)
}

pub(super) fn exit_group(current: &mut Current, code: u32) -> Result<u32> {
    current.process.end(exited(code));
    current.is_over = true;
    Ok(0)
}

pub(super) fn fork(current: &mut Current) -> Result<u32> {
    clone::clone(current, Request { flags: signal::CHLD, ..Request::default() })
}

pub(super) fn vfork(current: &mut Current) -> Result<u32> {
    clone::clone(current, Request { flags: flags::VM | flags::VFORK | signal::CHLD, ..Request::default() })
}

pub(super) fn clone(current: &mut Current, [flags, stack, parent, tls, child]: [u32; 5]) -> Result<u32> {
    let request = Request { flags, stack, parent_id_at: parent, child_id_at: child, tls_at: tls };
    clone::clone(current, request)
}

/// The strings whose addresses stand at `at`, up to an address of zero.
fn strings(current: &Current, at: u32, left: &mut usize) -> Result<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    if at == 0 {
        return Ok(strings);
    }
    for place in 0.. {
        let string = user::word(&current.space, at.wrapping_add(4 * place))?;
        if string == 0 {
            break;
        }
        let string = long_string(current, string, *left)?;
        *left = left.checked_sub(string.len() + 5).ok_or(Errno::E2BIG)?;
        strings.push(string);
    }
    Ok(strings)
}

/// The string at `at`, which may be as long as `most`.
fn long_string(current: &Current, at: u32, most: usize) -> Result<Vec<u8>> {
    let mut string = Vec::new();
    let mut piece = [0; 256];
    loop {
        let from = at.wrapping_add(string.len() as u32);
        match user::string(&current.space, from, &mut piece) {
            Ok(length) => {
                string.extend_from_slice(piece.get(..length).unwrap_or_default());
                return Ok(string);
            }
            Err(Errno::ENAMETOOLONG) if string.len() + piece.len() <= most => {
                string.extend_from_slice(&piece)
            }
            Err(Errno::ENAMETOOLONG) => return Err(Errno::E2BIG),
            Err(error) => return Err(error),
        }
    }
}

/// Bytes of the heap that `execve` takes at most.
const COST: usize = 4 * MOST_BYTES;

pub(super) fn execute(current: &mut Current, path: u32, arguments: u32, environment: u32) -> Result<u32> {
    if !pool::has_room(COST) {
        return Err(Errno::ENOMEM);
    }
    let path = with_string(current, path, |path| Ok(path.to_vec()))?;
    let mut left = MOST_BYTES;
    let mut given = Given {
        name: Vec::new(),
        arguments: strings(current, arguments, &mut left)?,
        environment: strings(current, environment, &mut left)?,
    };
    if given.arguments.is_empty() {
        given.arguments.push(Vec::new());
    }
    let subject = current.subject.lock().clone();
    if current.process.state.lock().tasks.len() > 1 {
        // To end the others without the process, and to give the one that stays the process's number, is not done.
        return Err(Errno::EBUSY);
    }
    let mut about = About::new(&path, &given.arguments);
    let loaded = load(tree()?, &subject, &path, given)?;
    about.executable = loaded.path;
    // From here on the task has its new program.
    current.root = loaded.space.lock().root();
    current.context = loaded.context;
    let old = core::mem::replace(&mut current.space, loaded.space);
    drop(old);
    current.process.leave();
    let closed = current.files.lock().try_clone()?;
    let files = core::mem::replace(&mut current.files, Arc::new(spin::Mutex::new(closed)));
    drop(files);
    current.files.lock().exec();
    for action in current.process.actions.lock().iter_mut() {
        *action = Action { handler: if action.handler == IGNORE { IGNORE } else { 0 }, ..Action::default() };
    }
    current.stack = SignalStack::default();
    current.tls = [None; TLS_SLOTS as usize];
    current.load_tls();
    current.clear_at_end = 0;
    // An initial state: all exceptions masked, 64 bits of precision.
    sva().load_fp(&initial_floats());
    let mut state = current.process.state.lock();
    state.has_executed = true;
    state.name = name_of(&path);
    state.space = Arc::downgrade(&current.space);
    let old = core::mem::replace(&mut state.about, Arc::new(about));
    drop(state);
    drop(old);
    Ok(0)
}

/// As FXSAVE would store what FNINIT makes: the control word and MXCSR.
fn initial_floats() -> FpState {
    let mut bytes = [0; 512];
    bytes[0] = 0x7f;
    bytes[1] = 0x03;
    bytes[24] = 0x80;
    bytes[25] = 0x1f;
    FpState::new(bytes)
}

/// The last part of a path, as far as there is room.
fn name_of(path: &[u8]) -> [u8; 16] {
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let mut name = [0; 16];
    name.iter_mut().take(15).zip(last).for_each(|(to, from)| *to = *from);
    name
}

pub(super) fn wait(
    current: &mut Current,
    which: u32,
    status_at: u32,
    options: u32,
    usage_at: u32,
) -> Result<u32> {
    let which = match which.cast_signed() {
        -1 => Which::Any,
        0 => Which::Group(current.process.state.lock().group),
        i32::MIN => return Err(Errno::ESRCH),
        id if id < 0 => Which::Group(id.unsigned_abs()),
        id => Which::One(id.unsigned_abs()),
    };
    let Some((id, status)) = wait::wait(current, which, options)? else {
        return Ok(0);
    };
    if status_at != 0 {
        user::put_words(&current.space, status_at, [status])?;
    }
    if usage_at != 0 {
        user::put_words(&current.space, usage_at, [0; 18])?;
    }
    Ok(id)
}

pub(super) fn set_tid_address(current: &mut Current, at: u32) -> Result<u32> {
    current.clear_at_end = at;
    Ok(current.task.id)
}

/// The list of locks that a task holds when it ends is not looked at.
pub(super) fn set_robust_list(size: u32) -> Result<u32> {
    if size == 12 { Ok(0) } else { Err(Errno::EINVAL) }
}

pub(super) fn set_thread_area(current: &mut Current, at: u32) -> Result<u32> {
    let [entry, base, limit, bits] = user::words(&current.space, at)?;
    let first = clone::first_tls_entry()?;
    let slot = if entry == u32::MAX {
        let free = current.tls.iter().position(Option::is_none).ok_or(Errno::ESRCH)?;
        user::put_words(&current.space, at, [first + free as u32])?;
        free
    } else {
        entry.checked_sub(first).filter(|slot| *slot < TLS_SLOTS).ok_or(Errno::EINVAL)? as usize
    };
    let segment = segment(base, limit, bits);
    *current.tls.get_mut(slot).ok_or(Errno::EINVAL)? = segment;
    sva().set_tls(slot as u32, segment).map_err(|_| Errno::EINVAL)?;
    Ok(0)
}

pub(super) fn get_thread_area(current: &mut Current, at: u32) -> Result<u32> {
    /// A 32-bit segment of data, which may be used.
    const USABLE: u32 = 0x41;
    const EMPTY: u32 = 0x28;
    let entry = user::word(&current.space, at)?;
    let slot = entry.checked_sub(clone::first_tls_entry()?).ok_or(Errno::EINVAL)?;
    let segment = current.tls.get(slot as usize).ok_or(Errno::EINVAL)?;
    let words = match segment {
        None => [entry, 0, 0, EMPTY],
        Some(segment) => match segment.limit {
            TlsLimit::Bytes(limit) => [entry, segment.base, limit, USABLE],
            TlsLimit::Pages(limit) => [entry, segment.base, limit, USABLE | 1 << 4],
        },
    };
    user::put_words(&current.space, at, words)?;
    Ok(0)
}

/// `FUTEX_*`.
mod operation {
    pub(super) const WAIT: u32 = 0;
    pub(super) const WAKE: u32 = 1;
    pub(super) const REQUEUE: u32 = 3;
    pub(super) const COMPARE_REQUEUE: u32 = 4;
    pub(super) const WAIT_BITS: u32 = 9;
    pub(super) const WAKE_BITS: u32 = 10;
    pub(super) const PRIVATE: u32 = 128;
    pub(super) const REAL_TIME: u32 = 256;
}

#[expect(clippy::too_many_arguments, reason = "the call has six, and two forms")]
pub(super) fn futex(
    current: &mut Current,
    at: u32,
    operation: u32,
    value: u32,
    timeout: u32,
    other: u32,
    third: u32,
    width: Width,
) -> Result<u32> {
    let bits = if operation & 127 == operation::WAIT_BITS || operation & 127 == operation::WAKE_BITS {
        third
    } else {
        u32::MAX
    };
    match operation & !(operation::PRIVATE | operation::REAL_TIME) {
        what @ (operation::WAIT | operation::WAIT_BITS) => {
            let deadline = if timeout == 0 {
                None
            } else {
                let time = duration(current, timeout, width)?;
                Some(match what {
                    operation::WAIT => time::now().saturating_add(time),
                    _ if operation & operation::REAL_TIME != 0 => {
                        time::now().saturating_add(time.saturating_sub(time::real()))
                    }
                    _ => time,
                })
            };
            futex::wait(current, at, value, deadline, bits)?;
            Ok(0)
        }
        operation::WAKE | operation::WAKE_BITS => Ok(futex::wake(&current.space, at, value, bits)),
        operation::REQUEUE => Ok(futex::requeue(&current.space, at, value, bits, other, timeout)),
        operation::COMPARE_REQUEUE => {
            if user::word(&current.space, at)? != third {
                return Err(Errno::EAGAIN);
            }
            Ok(futex::requeue(&current.space, at, value, bits, other, timeout))
        }
        _ => Err(Errno::ENOSYS),
    }
}

pub(super) fn pass(current: &mut Current) -> Result<u32> {
    schedule::pass(current.turn);
    Ok(0)
}

/// There is one CPU.
pub(super) fn affinity(current: &mut Current, _: u32, size: u32, to: u32) -> Result<u32> {
    if size < 4 {
        return Err(Errno::EINVAL);
    }
    user::put_words(&current.space, to, [1])?;
    Ok(4)
}

pub(super) fn control(current: &mut Current, what: u32, value: u32) -> Result<u32> {
    /// `PR_SET_NAME`, `PR_GET_NAME`, `PR_SET_DUMPABLE`, `PR_GET_DUMPABLE`.
    const SET_NAME: u32 = 15;
    const GET_NAME: u32 = 16;
    const SET_DUMPABLE: u32 = 4;
    const GET_DUMPABLE: u32 = 3;
    match what {
        SET_NAME => {
            let mut name = [0; 16];
            match user::string(&current.space, value, &mut name) {
                Ok(_) | Err(Errno::ENAMETOOLONG) => {}
                Err(error) => return Err(error),
            }
            name[15] = 0;
            current.process.state.lock().name = name;
            Ok(0)
        }
        GET_NAME => {
            let name = current.process.state.lock().name;
            user::write(&current.space, value, &name)?;
            Ok(0)
        }
        SET_DUMPABLE | GET_DUMPABLE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
