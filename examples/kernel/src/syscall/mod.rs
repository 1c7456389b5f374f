//! System calls, by their Linux numbers.
//!
//! A call has its number in EAX and its arguments in EBX, ECX, EDX, ESI, EDI and EBP; the answer is in EAX, an error as
//! its negative number. What is not known is answered with ENOSYS, and counted.

pub mod number;

#[cfg(target_os = "none")]
mod call;
#[cfg(target_os = "none")]
mod file;
#[cfg(target_os = "none")]
mod identity;
#[cfg(target_os = "none")]
mod lock;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod path;
#[cfg(target_os = "none")]
mod poll;
#[cfg(target_os = "none")]
mod process;
#[cfg(target_os = "none")]
mod signal;
#[cfg(target_os = "none")]
mod socket;
#[cfg(target_os = "none")]
mod system;
#[cfg(target_os = "none")]
mod time;

#[cfg(target_os = "none")]
pub use call::{call, unknown};
