//! The trial of each broken file.

use core::ffi::CStr;

use alloc::vec::Vec;

use oorandom::Rand32;

use super::mutation::broken;
use crate::limited::{Ending, limited};
use crate::sys::{self, Arguments, File, OUTPUT, Result, mode, print_to};

const GOOD: &CStr = c"/userland/nothing";
const BROKEN: &CStr = c"/tmp/badelf";
const COUNT: u32 = 1000;
/// How long a file that can be executed may take, in milliseconds.
const PATIENCE: u32 = 200;
/// What a child says whose file was refused: no status that `nothing` ends with.
const REFUSED: i32 = 77;

/// Breaks and executes.
pub fn main(arguments: Arguments) -> i32 {
    let seed = arguments.option("--seed").unwrap_or(1);
    let count = arguments.option("--count").unwrap_or(COUNT);
    let verbose = arguments.option("--verbose").unwrap_or(0) != 0;
    match trials(seed, count, verbose) {
        Ok(true) => 0,
        Ok(false) => {
            print_to(OUTPUT, format_args!("badelf: the good file is executed no more\n"));
            1
        }
        Err(error) => {
            print_to(OUTPUT, format_args!("badelf: {error}\n"));
            1
        }
    }
}

/// Whether the good file can still be executed after all the broken ones.
fn trials(seed: u32, count: u32, verbose: bool) -> Result<bool> {
    let good = read(GOOD)?;
    let (mut refused, mut exited, mut signalled, mut stopped) = (0, 0, 0, 0);
    for number in 0..count {
        let mut random = Rand32::new((u64::from(seed) << 32) + u64::from(number));
        write(&broken(&good, &mut random))?;
        let ending = limited(PATIENCE, || execute(BROKEN))?;
        if verbose {
            print_to(OUTPUT, format_args!("badelf number={number} {ending:?}\n"));
        }
        match ending {
            Ending::Exit(status) if i32::from(status) == REFUSED => refused += 1,
            Ending::Exit(_) => exited += 1,
            Ending::Signal(_) => signalled += 1,
            Ending::Stopped => stopped += 1,
        }
    }
    print_to(
        OUTPUT,
        format_args!(
            "badelf seed={seed} count={count} refused={refused} exited={exited} signalled={signalled} stopped={stopped}\n"
        ),
    );
    write(&good)?;
    let lives = limited(PATIENCE, || execute(BROKEN))? == Ending::Exit(0);
    sys::unlink(BROKEN)?;
    Ok(lives)
}

fn execute(path: &CStr) -> i32 {
    _ = sys::new_session();
    sys::execute_alone(path);
    REFUSED
}

fn read(path: &CStr) -> Result<Vec<u8>> {
    let file = File::open(path, mode::READ)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => bytes.extend_from_slice(&buffer[..length]),
        }
    }
    file.close()?;
    Ok(bytes)
}

/// Makes the file anew: the old one may still be executed.
fn write(bytes: &[u8]) -> Result<()> {
    _ = sys::unlink(BROKEN);
    let file = File::open(BROKEN, mode::WRITE | mode::CREATE | mode::TRUNCATE)?;
    file.write_all(bytes)?;
    file.close()
}
