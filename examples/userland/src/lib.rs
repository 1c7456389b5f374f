//! Programs in the Linux i386 ABI (`int 0x80`), without a C library and without floating point: static, for any
//! CPU from the 486 on. They run alike on Linux and on a kernel that speaks its system calls.
//!
//! | program | what it does |
//! |---|---|
//! | `init` | runs a command or a shell, reaps, and switches the machine off with the command's status |
//! | `sh` | a small shell |
//! | `tools` | `cat`, `echo`, `ls`, `ps` and a few more, by the name it is called with |
//! | `hbench` | what a kernel's operations cost, one line a row |
//! | `ticks` | what a program costs |
//! | `fuzz` | every system call with arguments that no program would use |
//! | `badelf` | executes broken ELF files |
//! | `forkbomb`, `memhog` | want more than there is |
//! | `nothing` | ends, with status 0: the program that `hbench` executes and `badelf` breaks |
//!
//! [`sys`] holds what is unsafe: the system calls and the entry of a program. Each program is a module here, and a
//! line in `src/bin`. On a host only what makes no system call is built, with its tests.

#![cfg_attr(target_os = "none", no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub mod badelf;
pub mod directory;
pub mod fuzz;
#[cfg(target_os = "none")]
pub mod hbench;
#[cfg(target_os = "none")]
pub mod hogs;
#[cfg(target_os = "none")]
pub mod init;
#[cfg(target_os = "none")]
pub mod limited;
#[cfg(target_os = "none")]
pub mod nothing;
pub mod shell;
pub mod statistics;
#[cfg(target_os = "none")]
#[allow(unsafe_code)]
pub mod sys;
#[cfg(target_os = "none")]
pub mod ticks;
#[cfg(target_os = "none")]
pub mod tools;

/// Makes `main`, a `fn(Arguments) -> i32`, the program that a file of `src/bin` is.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        #[cfg(target_os = "none")]
        const _: () = {
            #[unsafe(no_mangle)]
            extern "C" fn userland_main(stack: *const usize) -> ! {
                let main: fn($crate::sys::Arguments) -> i32 = $main;
                // SAFETY: only the entry calls this, with the stack that the kernel made.
                $crate::sys::exit(main(unsafe { $crate::sys::Arguments::of_stack(stack) }))
            }
        };

        /// A host has its own system calls.
        #[cfg(not(target_os = "none"))]
        fn main() {
            println!("This is a program for i386: `cargo xtask userland` builds it.");
        }
    };
}
