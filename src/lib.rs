//! sva-os.
#![no_std]
#[cfg(feature = "emulated")]
extern crate std;

pub mod address;
pub mod audit;
pub mod frame;
mod init;
pub mod layout;
pub mod machine;
pub mod memory_map;
pub mod mmu;
mod sva;
mod violation;

pub use sva::{Mappings, Sva};
pub use violation::{Class, Progress, Violation};
