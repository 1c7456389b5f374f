//! Checked OS intrinsics for i386.
//!
//! Safe Rust keeps a kernel from corrupting memory through Rust code. It says nothing about the
//! hardware: one wrong page-table entry, and every guarantee is gone. This library is the only part of
//! a kernel that touches the hardware, through functions that are safe to call and check at run time:
//!
//! > A kernel crate that is `#![forbid(unsafe_code)]` and uses only this library for privileged
//! > work cannot corrupt kernel memory, code or control flow, whatever sequence of calls it makes,
//! > in any order, with any arguments, on any CPU, and whatever user programs do.
//!
//! A call that would break this is refused: it answers with a [`Violation`] and nothing has changed.
//! Availability (a kernel that leaks or spins), speculative leaks of confidential data and hangs of
//! broken silicon are outside the promise.
//!
//! # What is here so far
//!
//! * Page tables in both i386 paging modes, [`TwoLevel`](mmu::TwoLevel) and [`Pae`](mmu::Pae), over an inverted
//!   [frame table](frame), for any number of CPUs up to [`Cpu::LIMIT`](machine::Cpu::LIMIT);
//! * descriptors, traps, handlers, interrupt lines and the timer: [`interrupt`];
//! * stacks, threads, user programs, floating-point state, copies of user memory: [`context`];
//! * I/O ports, memory-mapped registers and the PCI bus under a default-deny policy: [`io`];
//! * two machines to run on: that of silicon, `machine::I386`, on a bare i386 target, and with the feature
//!   `emulated` `machine::Emulated`, an i386 in host memory whose TLB does the worst that the manual allows.
//!
//! On hardware one CPU runs. A kernel without boot code takes the feature `boot`; one that has it calls `Sva::init`, or
//! climbs there level by level (`machine::i386::levels`).
//!
//! # Example
//!
//! ```
//! # #[cfg(feature = "emulated")] {
//! use sva_os::address::{Frame, FrameRange, Page, PageRange};
//! use sva_os::frame::Kind;
//! use sva_os::layout::{DirectMap, Layout, Role, Segment};
//! use sva_os::machine::{Emulated, emulated::Config};
//! use sva_os::memory_map::{Region, Usage};
//! use sva_os::mmu::{Pae, Rights};
//! use sva_os::{Sva, Violation};
//!
//! # fn main() -> Result<(), Violation> {
//! let frame = |number: u32| Frame::new(number).unwrap();
//! let page = |number: u32| Page::new(number).unwrap();
//!
//! // 256 KiB of RAM. The kernel's text is in frame 1; user programs live below 3 GiB.
//! let ram = [Region { start: 0, length: 64 << 12, usage: Usage::Available }];
//! let text = Segment {
//!     first: page(0xc0001),
//!     frames: FrameRange::new(frame(1), 1).unwrap(),
//!     role: Role::Text,
//! };
//! let layout = Layout {
//!     image: &[text],
//!     user: PageRange::new(page(0), 0xc0000).unwrap(),
//!     direct_map: DirectMap { first: page(0xc0000), frames: FrameRange::new(frame(0), 64).unwrap() },
//!     stacks: PageRange::EMPTY,
//!     devices: PageRange::EMPTY,
//!     in_use: &[],
//! };
//! let machine = Emulated::<Pae>::new(&Config::new(64, 1));
//! let sva = Sva::emulate(machine, &layout, &ram)?;
//!
//! // A page table, and a page of user data in it.
//! let (table, data) = (frame(10), frame(11));
//! sva.declare_table(table, 1)?;
//! sva.retype(data, Kind::UserData)?;
//! sva.map(table, 0, data, Rights::ReadWrite)?;
//!
//! // What would break the promise is refused, and changes nothing.
//! assert_eq!(sva.map(table, 1, table, Rights::ReadWrite), Err(Violation::NotMappable(table)));
//! assert_eq!(sva.declare_table(data, 1), Err(Violation::NotFree(data)));
//! assert_eq!(sva.map(table, 2, text.frames.first(), Rights::Read), Err(Violation::NotMappable(frame(1))));
//! assert!(sva.audit().is_ok());
//! # Ok(()) }
//! # main().unwrap();
//! # }
//! ```
#![no_std]
#![cfg_attr(
    not(feature = "emulated"),
    allow(dead_code, reason = "without a machine nothing constructs the handle")
)]

#[cfg(feature = "emulated")]
extern crate std;

pub mod address;
pub mod audit;
#[cfg(feature = "boot")]
pub mod boot;
pub mod context;
pub mod frame;
#[cfg(feature = "heap")]
pub mod heap;
mod init;
pub mod interrupt;
pub mod io;
pub mod layout;
pub mod machine;
pub mod memory_map;
pub mod mmu;
mod observer;
mod sva;
mod violation;

pub use observer::{Observe, Observer};
pub use sva::{Mappings, Sva};
pub use violation::{Class, Feature, Progress, Violation};
