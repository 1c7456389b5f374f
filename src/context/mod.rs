//! Processor state: stacks, threads, user programs, floating point, and copies of user memory.
//!
//! | | what | in |
//! |---|---|---|
//! | [`StackId`], [`ThreadId`] | what stacks and threads are called by | `name` |
//! | the thread table | a record for each, its state in one word | `threads`, `state` |
//! | what each CPU runs | | `processor` |
//! | [`declare_stack`](crate::Sva::declare_stack), [`release_stack`](crate::Sva::release_stack) | | `stack` |
//! | [`new_thread`](crate::Sva::new_thread) | | `thread` |
//! | [`swap`](crate::Sva::swap), and how threads end | | `swap` |
//! | [`UserContext`], [`run`](crate::Sva::run) | a program in ring 3, until it comes back | `user` |
//! | [`UserFlags`] | its EFLAGS | `flags` |
//! | [`TlsSegment`] | segments for thread-local storage | `tls` |
//! | [`FpState`] | x87 and SSE registers | `fp` |
//! | [`copy_from_user`](crate::Sva::copy_from_user) and others | | `copy` |
//! | [`UserRange`] | copies piece by piece | `range` |
//! | [`PerCpu`] | data of each CPU, which no thread keeps over a swap | `per_cpu` |
//!
//! A thread begins in a closure, and ends only by returning from it: until then its stack may hold values
//! to which others have borrows, so nobody gets its frames. A user program has no existence of its own: it is
//! a [`UserContext`], plain data, and runs while a thread calls [`run`](crate::Sva::run).

mod copy;
#[cfg(all(test, feature = "emulated"))]
mod fixture;
mod flags;
mod fp;
#[cfg(all(test, loom))]
mod loom_tests;
mod name;
mod per_cpu;
pub(crate) mod processor;
mod range;
mod stack;
mod state;
mod swap;
mod thread;
pub(crate) mod threads;
mod tls;
mod user;

pub(crate) use copy::UserBytes;
pub use flags::UserFlags;
pub use fp::{FpPolicy, FpState};
pub use name::{StackId, ThreadId};
pub use per_cpu::PerCpu;
pub use range::UserRange;
pub use stack::StackFrames;
pub(crate) use stack::Top;
pub(crate) use state::State;
pub use thread::{ENTRY_BYTES, Entry};
pub use threads::{SLOT_PAGES, STACK_PAGES};
pub use tls::{TLS_SLOTS, TlsLimit, TlsSegment};
pub(crate) use user::UserTrap;
pub use user::{Exit, UserContext, UserException};
