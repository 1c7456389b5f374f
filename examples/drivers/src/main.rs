//! A kernel that shows the drivers at work: `cargo xtask run --example drivers` boots it.
//!
//! Its command line names what it shows, or nothing: then it shows all that the machine has, serves HTTP, and
//! repeats what is typed until Control-D. All of it is in `kernel`, and all of it is safe Rust.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
mod kernel;

/// On a host there is nothing to boot.
#[cfg(not(target_os = "none"))]
fn main() {
    println!("This is a kernel: `cargo xtask run --example drivers` boots it.");
}
