//! Signals.

use core::arch::global_asm;

use super::call::{Result, call3, call4};
use super::process::Pid;

const KILL: usize = 37;
const RT_SIGACTION: usize = 174;
const SIGRETURN: usize = 119;
const ALARM: usize = 27;
/// The kernel returns from a handler to `restorer`.
const RESTORER: usize = 0x0400_0000;
/// Bytes of a set of signals.
const SET: usize = 8;

/// SIGINT: from the keyboard.
pub const INTERRUPT: u8 = 2;
/// SIGKILL: nothing helps against it.
pub const KILLED: u8 = 9;
/// SIGUSR1: for whatever a program likes.
pub const USER: u8 = 10;
/// SIGPIPE: nobody reads what is written.
pub const PIPE: u8 = 13;
/// SIGTERM: please end.
pub const TERMINATE: u8 = 15;

/// What happens when a signal comes.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// What the kernel does by itself.
    Default,
    /// Nothing.
    Ignore,
    /// This is called.
    Handle(extern "C" fn(i32)),
}

/// `struct kernel_sigaction` of i386.
#[repr(C)]
struct Installed {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: [u32; 2],
}

unsafe extern "C" {
    fn userland_restore();
}

// A handler without SA_SIGINFO leaves the number of the signal on the stack, below what the kernel saved.
global_asm!(".globl userland_restore", "userland_restore:", "pop eax", "mov eax, {number}", "int 0x80", "ud2", number = const SIGRETURN);

/// Says what happens when `signal` comes.
#[inline(always)]
pub fn on_signal(signal: u8, action: Action) -> Result<()> {
    let handler = match action {
        Action::Default => 0,
        Action::Ignore => 1,
        Action::Handle(handler) => handler as usize,
    };
    let restorer = userland_restore as *const () as usize;
    let new = Installed { handler, flags: RESTORER, restorer, mask: [0; 2] };
    // SAFETY: the kernel reads the structure. A handler is called as C calls functions, and interrupts code that
    // shares nothing with it but what is `Sync`.
    unsafe { call4(RT_SIGACTION, [signal.into(), (&raw const new).addr(), 0, SET]) }.map(drop)
}

/// Sends a signal.
#[inline(always)]
pub fn kill(process: Pid, signal: u8) -> Result<()> {
    // SAFETY: no memory of ours is concerned.
    unsafe { call3(KILL, [process.0 as usize, signal.into(), 0]) }.map(drop)
}

/// Sends a signal to all processes of the group that starts with `first`.
pub fn kill_group(first: Pid, signal: u8) -> Result<()> {
    let group = (first.0 as usize).wrapping_neg();
    // SAFETY: no memory of ours is concerned.
    unsafe { call3(KILL, [group, signal.into(), 0]) }.map(drop)
}

/// Has the kernel end this process after so many seconds.
pub fn alarm(seconds: u32) {
    // SAFETY: no memory of ours is concerned.
    _ = unsafe { call3(ALARM, [seconds as usize, 0, 0]) };
}
