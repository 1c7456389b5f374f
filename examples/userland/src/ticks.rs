//! `ticks`: what a program costs, in ticks of the time-stamp counter.
//!
//! `ticks NAME PATH [ARGUMENT]...` runs a program, and writes `ticks NAME TICKS status=STATUS` to the errors: its output
//! is the program's alone.

use core::ffi::CStr;

use alloc::vec::Vec;

use crate::sys::{self, Arguments, Counter, ERRORS, print_to};

/// What shells say of a program that cannot be executed.
const NOT_EXECUTED: i32 = 126;

/// Runs a program.
pub fn main(arguments: Arguments) -> i32 {
    let words: Vec<&CStr> = arguments.from(1).collect();
    let environment: Vec<&CStr> = arguments.environment().collect();
    let (Some(counter), [name, command @ ..]) = (Counter::find(), &words[..]) else {
        print_to(ERRORS, format_args!("usage: ticks NAME PATH [ARGUMENT]..., on a CPU with a counter\n"));
        return 2;
    };
    let Some(path) = command.first() else { return 2 };
    let start = counter.read();
    let ended = sys::spawn(|| {
        let error = sys::execute(path, command, &environment);
        print_to(ERRORS, format_args!("ticks: {}: {error}\n", path.to_string_lossy()));
        NOT_EXECUTED
    })
    .and_then(|child| sys::wait(Some(child)));
    let ticks = counter.read() - start;
    match ended {
        Ok((_, end)) => {
            let status = end.status();
            let name = name.to_string_lossy();
            print_to(ERRORS, format_args!("ticks {name} {ticks} status={status}\n"));
            status.into()
        }
        Err(error) => {
            print_to(ERRORS, format_args!("ticks: no process: {error}\n"));
            1
        }
    }
}
