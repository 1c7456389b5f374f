//! Making processes and tasks: `fork`, `vfork`, `clone`.

use super::current::SignalStack;
use super::{Current, Process, Task, life, table};
use crate::errno::{Errno, Result};
use crate::machine::sva;
use crate::memory::pool;
use crate::memory::user;
use crate::schedule;
use crate::signal::{Action, COUNT};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use spin::Mutex;
use sva_os::context::{TlsLimit, TlsSegment};

/// `CLONE_*`.
pub mod flags {
    /// The low byte is the signal that tells the parent of the end.
    pub const SIGNAL: u32 = 0xff;
    /// `CLONE_VM`
    pub const VM: u32 = 0x100;
    /// `CLONE_FS`
    pub const FS: u32 = 0x200;
    /// `CLONE_FILES`
    pub const FILES: u32 = 0x400;
    /// `CLONE_SIGHAND`
    pub const SIGHAND: u32 = 0x800;
    /// `CLONE_VFORK`
    pub const VFORK: u32 = 0x4000;
    /// `CLONE_PARENT`
    pub const PARENT: u32 = 0x8000;
    /// `CLONE_THREAD`
    pub const THREAD: u32 = 0x1_0000;
    /// `CLONE_SYSVSEM`
    pub const SYSVSEM: u32 = 0x4_0000;
    /// `CLONE_SETTLS`
    pub const SET_TLS: u32 = 0x8_0000;
    /// `CLONE_PARENT_SETTID`
    pub const PARENT_SET_TID: u32 = 0x10_0000;
    /// `CLONE_CHILD_CLEARTID`
    pub const CHILD_CLEAR_TID: u32 = 0x20_0000;
    /// `CLONE_DETACHED`
    pub const DETACHED: u32 = 0x40_0000;
    /// `CLONE_CHILD_SETTID`
    pub const CHILD_SET_TID: u32 = 0x100_0000;
    /// All that are understood.
    pub const ALL: u32 = SIGNAL
        | VM
        | FS
        | FILES
        | SIGHAND
        | VFORK
        | PARENT
        | THREAD
        | SYSVSEM
        | SET_TLS
        | PARENT_SET_TID
        | CHILD_CLEAR_TID
        | DETACHED
        | CHILD_SET_TID;
}

/// What `clone` is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// `CLONE_*`, and a signal.
    pub flags: u32,
    /// The new task's ESP; 0 for that of the old.
    pub stack: u32,
    /// Where the old task finds the new one's number.
    pub parent_id_at: u32,
    /// Where the new one does.
    pub child_id_at: u32,
    /// Where the description of its TLS segment lies.
    pub tls_at: u32,
}

/// Bytes of the heap that a new process takes at most, but for its regions and files.
const COST: usize = 64 << 10;

/// Makes a task, of this process or of a new one, and answers with its number.
///
/// # Errors
///
/// EINVAL, EAGAIN, ENOMEM, EFAULT.
pub fn clone(current: &mut Current, request: Request) -> Result<u32> {
    let has = |flag| request.flags & flag != 0;
    if request.flags & !flags::ALL != 0
        || has(flags::THREAD) && !has(flags::SIGHAND)
        || has(flags::SIGHAND) && !has(flags::VM)
        // Handlers are a process's here.
        || has(flags::SIGHAND) && !has(flags::THREAD)
    {
        return Err(Errno::EINVAL);
    }
    let records = if has(flags::VM) { 0 } else { current.space.lock().record_bytes() };
    if !pool::has_room(COST + records) {
        return Err(Errno::ENOMEM);
    }
    let mut tls = current.tls;
    if has(flags::SET_TLS) {
        let [entry, base, limit, bits] = user::words(&current.space, request.tls_at)?;
        let slot = entry.checked_sub(first_tls_entry()?).ok_or(Errno::EINVAL)?;
        *tls.get_mut(slot as usize).ok_or(Errno::EINVAL)? = segment(base, limit, bits);
    }
    let (space, root) = if has(flags::VM) {
        (current.space.clone(), current.root)
    } else {
        let space = current.space.lock().fork()?;
        let root = space.root();
        (Arc::new(Mutex::new(space)), root)
    };
    let files = if has(flags::FILES) {
        current.files.clone()
    } else {
        let files = current.files.lock().try_clone()?;
        Arc::new(Mutex::new(files))
    };
    let subject = if has(flags::FS) {
        current.subject.clone()
    } else {
        let subject = current.subject.lock().clone();
        Arc::new(Mutex::new(subject))
    };

    let id = table::new_id();
    let process = if has(flags::THREAD) { current.process.clone() } else { child_of(current, id) };
    let blocked = current.task.signals.lock().blocked;
    let task = Task::new(id, process.clone(), blocked);
    let mut context = current.context;
    context.registers.eax = 0;
    if request.stack != 0 {
        context.registers.esp = request.stack;
    }
    if has(flags::PARENT_SET_TID) {
        user::put_words(&current.space, request.parent_id_at, [id])?;
    }
    if !has(flags::THREAD) {
        let mut state = process.state.lock();
        (state.subject, state.space) = (Some(subject.clone()), Arc::downgrade(&space));
    }
    let keeps_stack = !has(flags::VM) || has(flags::VFORK);
    let child = Box::new(Current {
        context,
        root,
        turn: task.turn(),
        task: task.clone(),
        process: process.clone(),
        space,
        files,
        subject,
        tls,
        interrupted: None,
        mask_after: None,
        stack: if keeps_stack { current.stack } else { SignalStack::default() },
        clear_at_end: if has(flags::CHILD_CLEAR_TID) { request.child_id_at } else { 0 },
        is_over: false,
    });
    let child_id_at = has(flags::CHILD_SET_TID).then_some(request.child_id_at);
    let turn = schedule::spawn(Some(root), move || begin(child, child_id_at)).ok_or(Errno::EAGAIN)?;
    task.set_turn(turn);
    table::add_task(task.clone());
    process.state.lock().tasks.push(task);
    if !has(flags::THREAD) {
        table::add_process(process.clone());
        let parent = if has(flags::PARENT) { current.process.state.lock().parent.upgrade() } else { None };
        let parent = parent.unwrap_or_else(|| current.process.clone());
        process.state.lock().parent = Arc::downgrade(&parent);
        parent.state.lock().children.push(process.clone());
    }
    schedule::wake(turn);
    if has(flags::VFORK) {
        while !process.has_left.load(Ordering::Relaxed) {
            process.left.add(current.turn);
            schedule::block(current.turn);
        }
        process.left.remove(current.turn);
    }
    Ok(id)
}

/// A new process: the child of `current`'s, and in its group.
fn child_of(current: &Current, id: u32) -> Arc<Process> {
    let parent = &current.process;
    let (group, session, name) = {
        let state = parent.state.lock();
        (state.group, state.session, (state.name, state.about.clone()))
    };
    let actions = parent.actions.lock();
    Process::new(id, Arc::downgrade(parent), group, session, &actions, name)
}

/// The first process, `id`, which has no parent, begins with `current`.
///
/// # Errors
///
/// EAGAIN if there is no thread for it.
pub fn begin_first(current: Box<Current>) -> Result<()> {
    let (task, process) = (current.task.clone(), current.process.clone());
    {
        let mut state = process.state.lock();
        (state.subject, state.space) = (Some(current.subject.clone()), Arc::downgrade(&current.space));
    }
    let root = current.root;
    let turn = schedule::spawn(Some(root), move || begin(current, None)).ok_or(Errno::EAGAIN)?;
    task.set_turn(turn);
    table::add_task(task.clone());
    process.state.lock().tasks.push(task);
    table::add_process(process);
    schedule::wake(turn);
    Ok(())
}

/// The first process and its task.
pub fn first(id: u32) -> (Arc<Process>, Arc<Task>) {
    let process = Process::new(
        id,
        alloc::sync::Weak::new(),
        id,
        id,
        &[Action::default(); COUNT],
        (*b"init\0\0\0\0\0\0\0\0\0\0\0\0", Arc::default()),
    );
    let task = Task::new(id, process.clone(), crate::signal::Set::EMPTY);
    (process, task)
}

/// The first turn of a task.
fn begin(mut current: Box<Current>, child_id_at: Option<u32>) -> Option<sva_os::context::ThreadId> {
    sva().interrupts().disable();
    current.turn = current.task.turn();
    if let Some(at) = child_id_at {
        // As in Linux: who names a place that is not his finds nothing there.
        _ = user::put_words(&current.space, at, [current.task.id]);
    }
    life::live(current)
}

/// The number that programs know the first TLS slot by: that of its descriptor.
pub fn first_tls_entry() -> Result<u32> {
    Ok(u32::from(FIRST_TLS.get().copied().ok_or(Errno::ESRCH)?) >> 3)
}

static FIRST_TLS: spin::Once<u16> = spin::Once::new();

/// Finds out what the first TLS slot is called.
pub fn init_tls() {
    if let Ok(selector) = sva().set_tls(0, None) {
        FIRST_TLS.call_once(|| selector);
    }
}

/// Bits of a `struct user_desc`: its limit counts pages; it is empty.
const LIMIT_IN_PAGES: u32 = 1 << 4;
const EMPTY: u32 = 0x28;

/// The segment that a `struct user_desc` describes: flat data, whatever else it says.
pub fn segment(base: u32, limit: u32, bits: u32) -> Option<TlsSegment> {
    if base == 0 && limit == 0 && bits & EMPTY == EMPTY {
        return None;
    }
    let limit = if bits & LIMIT_IN_PAGES != 0 { TlsLimit::Pages(limit) } else { TlsLimit::Bytes(limit) };
    Some(TlsSegment { base, limit })
}

impl Current {
    /// Makes its segments those of its thread, which has just begun or has another program.
    pub fn load_tls(&self) {
        for (slot, segment) in (0..).zip(self.tls) {
            // There are so many slots.
            _ = sva().set_tls(slot, segment);
        }
    }
}
