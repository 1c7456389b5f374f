//! Processes that come and go.

use super::{Bench, time};
use crate::sys::{self, End, Errno};

/// A program that ends at once.
const PROGRAM: &core::ffi::CStr = c"/userland/nothing";

pub(super) fn measure(bench: &mut Bench) {
    bench.row("fork-exit", 20, |count, counter| time(count, counter, || child(|| 0)));
    bench.row("fork-exec", 20, |count, counter| {
        time(count, counter, || {
            child(|| {
                sys::execute_alone(PROGRAM);
                1
            })
        })
    });
}

/// Starts a child and waits until it has ended.
#[inline(always)]
fn child(run: impl FnOnce() -> i32) -> sys::Result<()> {
    let child = sys::spawn(run)?;
    match sys::wait(Some(child))?.1 {
        End::Exit(0) => Ok(()),
        _ => Err(Errno::CHILD),
    }
}
