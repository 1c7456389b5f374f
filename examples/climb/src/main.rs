//! A kernel that was there before sva-os: it has boot code, a GDT, an IDT, page tables and a heap of its
//! own, all of them `unsafe`. It hands them over one level at a time, and after the last has nothing left
//! to do itself that could break memory safety.
//!
//! `cargo xtask run --example climb`; on its command line `two-level` or `pae` says in which paging mode
//! it begins, else with paging off.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod kernel;

/// On a host there is nothing to boot.
#[cfg(not(target_os = "none"))]
fn main() {
    println!("This is a kernel: `cargo xtask run --example climb` boots it.");
}
