//! A small kernel that runs Linux programs for i386, all of it safe Rust on top of `sva-os`.
//!
//! Programs are static ELF files that call the kernel by `int 0x80`, as Linux numbers its calls. What such a program
//! may do to the machine the library sees to; what it may do to others, this kernel.
//!
//! | | in |
//! |---|---|
//! | from boot to power-off | `start` |
//! | frames, address spaces, page faults, copies | [`memory`] |
//! | processes and tasks, from `clone` to `wait` | `process` |
//! | ELF files, and what a program begins with | [`exec`] |
//! | whose turn it is | `schedule` |
//! | signals | [`signal`] |
//! | files, pipes, terminals | [`fs`] |
//! | sockets | [`net`] |
//! | what a program asks for, by number | [`syscall`] |
//! | time, futexes, the serial port | [`time`], `futex`, `console` |
//!
//! The kernel is not preempted: it takes interrupts while a program runs, and while there is nothing to do. So a lock is
//! never contended, and stands for nothing but the proof that Rust asks for.
//!
//! What needs no machine is compiled and tested on the host.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod errno;
pub mod exec;
pub mod fs;
pub mod memory;
pub mod net;
pub mod signal;
pub mod syscall;
pub mod time;
pub mod wait;

#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub mod futex;
#[cfg(target_os = "none")]
pub mod machine;
#[cfg(target_os = "none")]
pub mod process;
#[cfg(target_os = "none")]
pub mod schedule;
#[cfg(target_os = "none")]
pub mod start;
