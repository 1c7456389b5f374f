//! A kernel that makes the machine do what the library must survive: every exception of ring 0, the
//! overflow of its stack, interrupts between any two instructions. Its command line names the test.
//!
//! It is as hostile as no client may be: it has `unsafe` code, to bring about what safe code cannot.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod kernel;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("This is a kernel: `cargo xtask kernels machine` boots it.");
}
