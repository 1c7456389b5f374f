//! A small kernel that runs Linux programs: what of it runs on any machine, and is tested on the host.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod errno;
pub mod fs;
pub mod wait;
