//! `fuzz`: every system call with arguments that no program would use, made by children that may break by it.
//!
//! `fuzz [--seed N] [--children N] [--calls N] [--seconds N] [--number N] [--verbose 1]`: each child makes so many
//! calls (100), with a seed of its own, the next after the one before; `--number` makes all of them the same call.
//! It ends after so many children (100,000) or seconds (10), and prints
//!
//! ```text
//! fuzz seed=1 children=812 calls=100 exited=604 signalled=190 stopped=18 unprepared=0
//! ```
//!
//! An unprepared child could not even get what it would have played with, as when others have left no memory: more than
//! a tenth of these make the status 1. A child that is still there after a tenth of a second is stopped. What a child's
//! end was depends on the kernel, and none is wrong: what is tested is whether the kernel lives. `--verbose 1` prints
//! each call before it is made; the last child's seed is in the last line `fuzz child=`, so `--seed` with that and
//! `--children 1` does it again.

pub mod call;
#[cfg(target_os = "none")]
mod children;

#[cfg(target_os = "none")]
pub use children::main;
