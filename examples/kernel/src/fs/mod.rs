//! Files: a file system in memory, open files, descriptors, pipes and devices, as Linux has them.
//!
//! Nothing here waits. What would have to answers EAGAIN, and shows the [queues](file::File::queues) that are
//! woken when it is worth another look. Nothing here knows of user memory: bytes move through a
//! [`Sink`](data::Sink) or a [`Source`](data::Source). No function is to be called in an interrupt handler:
//! locks are held while bytes move.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod attributes;
pub mod budget;
pub mod clock;
pub mod cpio;
pub mod data;
pub mod descriptors;
pub mod device;
mod directory;
pub mod dirent;
pub mod file;
pub mod flags;
pub mod inode;
mod live;
pub mod lock;
pub mod mount;
mod open;
mod pages;
pub mod pipe;
pub mod poll;
pub mod proc;
pub mod random;
pub mod rename;
mod ring;
pub mod stat;
pub mod subject;
pub mod tree;
pub mod tty;
pub mod volume;
mod walk;
