//! `hbench`: what a kernel's operations cost a program, in ticks of the time-stamp counter.
//!
//! `hbench [--repetitions N] [ROW]...` measures the rows whose names start with one of those given, or all but those
//! that need a server. Each row is measured N times (15) after once that does not count, and gives one line:
//!
//! ```text
//! hbench row=getpid operations=1000 repetitions=15 bytes=0 min=336.00 median=336.00 max=351.20 spread=0.00
//! hbench rows=21 failed=0
//! ```
//!
//! The numbers are ticks for each operation, with the loop around it, and `bytes` what an operation moves. In QEMU
//! with `-icount shift=0` a tick is an instruction. A row that fails says `error` instead, and makes the status 1.

mod calls;
mod files;
mod memory;
mod processes;
mod waiting;
mod web;

use core::ffi::CStr;

use crate::statistics::{Hundredths, Summary};
use crate::sys::{Arguments, Counter, Errno, OUTPUT, Result, print_to};

const REPETITIONS: u32 = 15;
const MOST_REPETITIONS: usize = 101;

/// Measures.
pub fn main(arguments: Arguments) -> i32 {
    let Some(counter) = Counter::find() else {
        print_to(OUTPUT, format_args!("hbench: this CPU has no time-stamp counter\n"));
        return 2;
    };
    let repetitions = arguments.option("--repetitions").unwrap_or(REPETITIONS) as usize;
    let mut bench = Bench {
        counter,
        repetitions: repetitions.clamp(1, MOST_REPETITIONS),
        wanted: arguments,
        rows: 0,
        failed: 0,
    };
    calls::measure(&mut bench);
    waiting::measure(&mut bench);
    processes::measure(&mut bench);
    memory::measure(&mut bench);
    files::measure(&mut bench);
    web::measure(&mut bench);
    let Bench { rows, failed, .. } = bench;
    print_to(OUTPUT, format_args!("hbench rows={rows} failed={failed}\n"));
    (failed != 0).into()
}

/// What is measured, and how it went.
struct Bench {
    counter: Counter,
    repetitions: usize,
    wanted: Arguments,
    rows: u32,
    failed: u32,
}

impl Bench {
    /// Measures a row: `run` does an operation so many times, and says how long that took.
    fn row(&mut self, name: &str, operations: u32, run: impl FnMut(u32, Counter) -> Result<u64>) {
        self.row_of_bytes(name, operations, 0, run);
    }

    /// As [`row`](Self::row), for an operation that moves bytes.
    fn row_of_bytes(
        &mut self,
        name: &str,
        operations: u32,
        bytes: usize,
        run: impl FnMut(u32, Counter) -> Result<u64>,
    ) {
        if !self.is_wanted(name) {
            return;
        }
        self.rows += 1;
        match self.summary(operations, run) {
            Ok(summary) => {
                let repetitions = self.repetitions;
                print_to(
                    OUTPUT,
                    format_args!(
                        "hbench row={name} operations={operations} repetitions={repetitions} bytes={bytes} {summary}\n"
                    ),
                );
            }
            Err(error) => {
                self.failed += 1;
                print_to(OUTPUT, format_args!("hbench row={name} error={}\n", error.0));
            }
        }
    }

    fn summary(&self, operations: u32, mut run: impl FnMut(u32, Counter) -> Result<u64>) -> Result<Summary> {
        let mut values = [Hundredths(0); MOST_REPETITIONS];
        let values = &mut values[..self.repetitions];
        run(operations, self.counter)?;
        for value in &mut *values {
            let ticks = run(operations, self.counter)?;
            *value = Hundredths::of(ticks, operations.into()).ok_or(Errno::INVAL)?;
        }
        Summary::of(values).ok_or(Errno::INVAL)
    }

    /// Whether a row is to be measured.
    fn is_wanted(&self, name: &str) -> bool {
        self.is_asked_for(name).unwrap_or(true)
    }

    /// Whether a row is asked for, if any is. What follows `--repetitions` is no name.
    fn is_asked_for(&self, name: &str) -> Option<bool> {
        let mut any = false;
        let mut words = self.wanted.from(1).map(CStr::to_bytes);
        while let Some(word) = words.next() {
            if word == b"--repetitions" {
                _ = words.next();
                continue;
            }
            any = true;
            if name.as_bytes().starts_with(word) {
                return Some(true);
            }
        }
        any.then_some(false)
    }
}

/// How long it takes to do `operation` so many times.
#[inline(always)]
fn time(count: u32, counter: Counter, mut operation: impl FnMut() -> Result<()>) -> Result<u64> {
    let start = counter.read();
    for _ in 0..count {
        operation()?;
    }
    Ok(counter.read() - start)
}
