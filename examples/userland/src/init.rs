//! `init`: the first process.
//!
//! `init PROGRAM [ARGUMENT]...` runs a program by its path, and without arguments the shell, on the console. It
//! mounts nothing. Orphans that end while the program runs are reaped. When the program has ended, and it is the
//! first process, it writes the line `status N`, N at most 127, and has the kernel switch the machine off; if that
//! is refused, or it is not the first process, it ends with that status itself.

use core::ffi::CStr;

use alloc::vec::Vec;

use crate::sys::{self, Arguments, ERRORS, File, OUTPUT, Pid, mode, print_to};

/// The shell, and what programs find in their environment.
const SHELL: &CStr = c"/bin/sh";
const ENVIRONMENT: [&CStr; 4] = [c"PATH=/bin", c"HOME=/", c"TERM=vt100", c"PS1=# "];
/// The greatest status that reaches the outside.
const LAST_STATUS: u8 = 127;
/// What shells say of a program that cannot be executed.
const NOT_EXECUTED: i32 = 126;

/// Runs what the arguments say.
pub fn main(arguments: Arguments) -> i32 {
    open_console();
    // Linux hands on what it does not know of its own command line, and that is not ours either.
    let command: Vec<_> = arguments.from(1).collect();
    let command = if command.is_empty() { alloc::vec![SHELL] } else { command };
    let status = match sys::spawn(|| start(&command)) {
        Ok(child) => wait_for(child),
        Err(error) => {
            print_to(ERRORS, format_args!("init: no process: {error}\n"));
            1
        }
    };
    let status = status.min(LAST_STATUS);
    if sys::own_pid() == Pid(1) {
        print_to(OUTPUT, format_args!("\nstatus {status}\n"));
        let error = sys::power_off();
        print_to(ERRORS, format_args!("init: cannot switch off: {error}\n"));
    }
    status.into()
}

/// Makes sure that input, output and errors are open.
fn open_console() {
    let console = |number| {
        let opened = File::open(c"/dev/console", mode::READ_WRITE);
        // It has the first free number: one that was free before, or one to be closed again.
        if let Ok(file) = opened
            && file > File(number)
        {
            _ = file.close();
        }
    };
    (0..=2).for_each(console);
}

fn start(command: &[&CStr]) -> i32 {
    if sys::new_session().is_ok() {
        _ = sys::INPUT.control();
    }
    let error = sys::execute(command[0], command, &ENVIRONMENT);
    let name = command[0].to_string_lossy();
    print_to(ERRORS, format_args!("init: cannot execute {name}: {error}\n"));
    NOT_EXECUTED
}

/// Reaps whatever ends, until `child` has.
fn wait_for(child: Pid) -> u8 {
    loop {
        match sys::wait(None) {
            Ok((pid, end)) if pid == child => return end.status(),
            Ok(_) => {}
            Err(error) => {
                print_to(ERRORS, format_args!("init: lost its child: {error}\n"));
                return 1;
            }
        }
    }
}
