//! Processes.

use core::ffi::CStr;

use alloc::vec::Vec;

use super::call::{Errno, Result, call3, call4};

const FORK: usize = 2;
const EXECVE: usize = 11;
const GETPID: usize = 20;
const REBOOT: usize = 88;
const WAIT4: usize = 114;
const SCHED_YIELD: usize = 158;
const SETPGID: usize = 57;
const SETSID: usize = 66;

const NO_HANG: usize = 1;

/// The number of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pid(pub u32);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with a status.
    Exit(u8),
    /// By a signal.
    Signal(u8),
}

impl End {
    fn of(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Exit((status >> 8) as u8),
            signal => Self::Signal(signal as u8),
        }
    }

    /// What a shell calls it: 128 and the number of the signal, if there was one.
    pub fn status(self) -> u8 {
        match self {
            Self::Exit(status) => status,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }
}

/// This process.
#[inline(always)]
pub fn own_pid() -> Pid {
    // SAFETY: no memory of ours is concerned.
    Pid(unsafe { call3(GETPID, [0; 3]) }.unwrap_or_default() as u32)
}

/// Makes a copy of this process. In the copy there is no child.
#[inline(always)]
pub fn fork() -> Result<Option<Pid>> {
    // SAFETY: a program here is one thread, and all its memory is copied.
    let child = unsafe { call3(FORK, [0; 3]) }?;
    Ok((child != 0).then_some(Pid(child as u32)))
}

/// Makes a copy of this process that runs `child` and ends with the status it returns.
pub fn spawn(child: impl FnOnce() -> i32) -> Result<Pid> {
    match fork()? {
        Some(pid) => Ok(pid),
        None => super::exit(child()),
    }
}

/// Waits until a child has ended: this one, or any.
pub fn wait(child: Option<Pid>) -> Result<(Pid, End)> {
    loop {
        match wait4(child, 0) {
            Err(Errno::INTR) => {}
            Ok(None) => return Err(Errno::CHILD),
            Ok(Some(ended)) => return Ok(ended),
            Err(error) => return Err(error),
        }
    }
}

/// How a child ended, if one has: this one, or any.
pub fn ended(child: Option<Pid>) -> Result<Option<(Pid, End)>> {
    wait4(child, NO_HANG)
}

fn wait4(child: Option<Pid>, options: usize) -> Result<Option<(Pid, End)>> {
    let mut status = 0_i32;
    let child = child.map_or(usize::MAX, |child| child.0 as usize);
    // SAFETY: the kernel writes the status.
    let pid = unsafe { call4(WAIT4, [child, (&raw mut status).addr(), options, 0]) }?;
    Ok((pid != 0).then(|| (Pid(pid as u32), End::of(status))))
}

/// Becomes another program. Returns only if that cannot be.
pub fn execute(path: &CStr, arguments: &[&CStr], environment: &[&CStr]) -> Errno {
    let pointers = |strings: &[&CStr]| {
        let pointers = strings.iter().map(|string| string.as_ptr());
        pointers.chain([core::ptr::null()]).collect::<Vec<_>>()
    };
    let [arguments, environment] = [pointers(arguments), pointers(environment)];
    execute_listed(path, &arguments, &environment)
}

/// As [`execute`], with one argument and no environment, and without the heap.
#[inline(always)]
pub fn execute_alone(path: &CStr) -> Errno {
    execute_listed(path, &[path.as_ptr(), core::ptr::null()], &[core::ptr::null()])
}

/// `arguments` and `environment` end with a null pointer.
#[inline(always)]
fn execute_listed(
    path: &CStr,
    arguments: &[*const core::ffi::c_char],
    environment: &[*const core::ffi::c_char],
) -> Errno {
    let lists = [arguments.as_ptr().addr(), environment.as_ptr().addr()];
    // SAFETY: the kernel reads strings and lists of them; if it succeeds, nothing of this program is left.
    match unsafe { call3(EXECVE, [path.as_ptr().addr(), lists[0], lists[1]]) } {
        Err(error) => error,
        Ok(_) => Errno::INVAL,
    }
}

/// Lets others run.
pub fn give_way() {
    // SAFETY: no memory of ours is concerned.
    _ = unsafe { call3(SCHED_YIELD, [0; 3]) };
}

/// Starts a session of which this process is the first.
pub fn new_session() -> Result<()> {
    // SAFETY: no memory of ours is concerned.
    unsafe { call3(SETSID, [0; 3]) }.map(drop)
}

/// Makes `process` the first of a group of processes.
pub fn new_group(process: Pid) -> Result<()> {
    // SAFETY: no memory of ours is concerned.
    unsafe { call3(SETPGID, [process.0 as usize, 0, 0]) }.map(drop)
}

/// Switches the machine off. Returns only if that cannot be.
pub fn power_off() -> Errno {
    // The two magic numbers, and the command.
    let arguments = [0xfee1_dead, 0x2812_1969, 0x4321_fedc];
    // SAFETY: no memory of ours is concerned.
    unsafe { call3(REBOOT, arguments) }.err().unwrap_or(Errno::INVAL)
}
