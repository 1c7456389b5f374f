//! System calls of Linux on i386, and the entry of a program: all that is unsafe in these programs.

mod call;
mod entry;
mod file;
mod heap;
mod memory;
mod poll;
mod process;
mod sacrifice;
mod signal;
mod socket;
mod status;
mod time;

pub use call::{Errno, Result};
pub use entry::{Arguments, exit};
pub use file::*;
pub use memory::*;
pub use poll::*;
pub use process::*;
pub use sacrifice::Sacrifice;
pub use signal::*;
pub use socket::Address;
pub use status::*;
pub use time::*;
