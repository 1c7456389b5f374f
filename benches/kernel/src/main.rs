//! A kernel that counts the instructions of what only a CPU does: swaps, ring 3 and back, copies of user memory.
//!
//! Under `-icount shift=0` the time stamp counts instructions. Each row runs some calls and then twice as many;
//! the difference is what so many calls cost. `cargo xtask bench` boots it with the checks and without.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod kernel;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("This is a kernel: `cargo xtask bench` boots it.");
}
