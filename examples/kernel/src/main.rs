//! A kernel that runs Linux programs: `cargo xtask run` boots it. All of it is in the library beside this file.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
use kernel::start::main;

#[cfg(target_os = "none")]
sva_os::boot::entry!(main);

/// On a host there is nothing to boot.
#[cfg(not(target_os = "none"))]
fn main() {
    println!("This is a kernel: `cargo xtask run` boots it.");
}
