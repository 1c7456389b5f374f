//! A kernel of threads and user programs: what the library promises of both, on a CPU. Its command line names the
//! test.
//!
//! The tests of threads are safe code; `unsafe` is in what looks at the CPU from outside: programs in machine
//! code, registers, overflows.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod kernel;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("This is a kernel: `cargo xtask kernels threads` boots it.");
}
