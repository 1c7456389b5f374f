//! `badelf`: executes broken ELF files.
//!
//! `badelf [--seed N] [--count N] [--verbose 1]`: breaks `/userland/nothing` in so many ways (1000) and executes each.
//! None is wrong for being refused, or ended by a signal; what is tested is whether the kernel lives, and still
//! executes the good one at the end. It prints
//!
//! ```text
//! badelf seed=1 count=1000 refused=611 exited=270 signalled=119 stopped=0
//! ```

pub mod mutation;
#[cfg(target_os = "none")]
mod trial;

#[cfg(target_os = "none")]
pub use trial::main;
