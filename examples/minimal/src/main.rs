//! The smallest complete kernel on sva-os.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
mod kernel;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("This is a kernel: `cargo xtask run --example minimal` boots it.");
}
