//! A kernel that claims and drives what the policy of ports offers, asks for everything else, and ends by
//! name. Its command line names the test.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
mod kernel;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("This is a kernel: `cargo xtask kernels ports` boots it.");
}
