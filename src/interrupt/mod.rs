//! Interrupts and exceptions: descriptor tables, traps, handlers, interrupt lines, and the timer.
//!
//! Data flows one way: the CPU enters a stub (`stubs`), which saves the registers as a
//! [`TrapFrame`]; `dispatch` looks the [`Handler`] up and calls it. Handlers run on the stack of what was
//! interrupted, with interrupts off, and change nothing of what it resumes with.
//!
//! | | what | in |
//! |---|---|---|
//! | [`Vector`], [`Exception`] | the numbers by which the kernel is entered | `vector` |
//! | GDT, IDT, TSS | encodings, on any machine; the tables themselves, on hardware | `descriptor`, `tables` |
//! | [`TrapFrame`] | what was interrupted | `frame` |
//! | [`Handlers`] | who is called, and what each CPU is in the middle of | `handlers` |
//! | [`Line`] | the wires of devices | `lines`, and `pic` which drives the controllers |
//! | [`Timer`] | the 8254, and the time stamp | `timer` |
//! | [`Interrupts`] | the calls | `calls` |

mod calls;
#[cfg_attr(
    not(any(test, all(target_arch = "x86", target_os = "none"))),
    allow(dead_code, reason = "on a host only the segments of user programs are wanted")
)]
pub(crate) mod descriptor;
pub(crate) mod dispatch;
#[cfg(all(test, feature = "emulated"))]
mod fixture;
pub(crate) mod frame;
mod handlers;
mod lines;
mod pic;
pub(crate) mod quiet;
#[cfg(any(test, all(target_arch = "x86", target_os = "none")))]
mod report;
#[cfg(all(target_arch = "x86", target_os = "none"))]
mod stubs;
#[cfg(all(target_arch = "x86", target_os = "none"))]
pub(crate) mod tables;
mod timer;
mod vector;

use crate::machine::Machine;

pub(crate) use calls::check_outside_handlers;
pub use calls::{Interrupts, NoPreempt};
pub use frame::{Registers, TrapFrame};
pub use handlers::{Counts, Handler, Handlers, Preempt};
pub use lines::Line;
pub use timer::Timer;
pub use vector::{ErrorCode, Exception, PageFaultCode, SelectorCode, Source, Table, Vector};

/// Gives the interrupt lines their vectors and masks all of them.
pub(crate) fn start<M: Machine>(machine: &M) {
    machine.handlers().lines.start(machine);
}
