//! The smallest complete kernel on sva-os: `cargo xtask run --example minimal` boots it.
//!
//! It prints, maps a page for user programs, is refused once, takes ticks of the timer, and switches the
//! machine off. All of it is in `kernel.rs`, and all of it is safe Rust.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
mod kernel;

/// On a host there is nothing to boot.
#[cfg(not(target_os = "none"))]
fn main() {
    println!("This is a kernel: `cargo xtask run --example minimal` boots it.");
}
