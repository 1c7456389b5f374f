//! `/proc`: what the kernel tells of its processes and of itself.

mod names;
mod process;
mod system;
#[cfg(test)]
mod tests;

use super::device::DeviceNumber;
use super::inode::{Inode, Node};
use super::mount::Mount;
use super::subject::Subject;
use super::tree::Tree;
use super::volume::Volume;
use crate::errno::Result;
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt::{self, Debug, Formatter};
use spin::Mutex;

/// What the kernel knows. It is asked with no lock held but that of the offset of the file that is read.
pub trait Proc: Send + Sync {
    /// The process that asks.
    fn current(&self) -> u32;

    /// The process with the lowest number above this one.
    fn after(&self, process: u32) -> Option<u32>;

    fn process(&self, process: u32) -> Option<Process>;

    /// The arguments of a process, each with a zero at its end. None for one that has ended.
    fn arguments(&self, process: u32) -> Vec<u8>;

    /// The path of the program that it runs.
    fn executable(&self, process: u32) -> Option<Vec<u8>>;

    /// The path of its current directory.
    fn directory(&self, process: u32) -> Option<Vec<u8>>;

    fn system(&self) -> System;
}

/// What a process does, by its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Sleeping,
    Stopped,
    Zombie,
}

/// A process. Times are in hundredths of a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub parent: u32,
    pub group: u32,
    pub session: u32,
    /// Its terminal, if it has one, and the group in the foreground there.
    pub terminal: Option<(DeviceNumber, u32)>,
    pub state: State,
    /// The last part of its program's path, at most fifteen bytes of which are shown.
    pub name: Vec<u8>,
    pub uid: u32,
    pub gid: u32,
    pub threads: u32,
    pub user_time: u64,
    pub system_time: u64,
    /// When it began, counted from the boot.
    pub start: u64,
    /// The bytes of its address space, and how many pages of it are in memory.
    pub size: u32,
    pub resident: u32,
}

/// The machine. Times are in hundredths of a second, memory in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct System {
    pub uptime: u64,
    pub user_time: u64,
    pub system_time: u64,
    pub idle_time: u64,
    /// When it was booted: seconds since 1970.
    pub boot: u64,
    pub memory: u32,
    pub memory_free: u32,
    pub interrupts: u64,
    pub switches: u64,
    /// How many processes there ever were.
    pub forks: u64,
    pub running: u32,
    pub processes: u32,
    pub last_process: u32,
    /// The version, as `/proc/version` tells it, without a newline.
    pub version: &'static str,
}

/// What every part of `/proc` stands on.
#[derive(Clone)]
struct Source {
    kernel: &'static dyn Proc,
    volume: Arc<Volume>,
    mounts: Weak<Mutex<Vec<Mount>>>,
}

impl Tree {
    /// Mounts `/proc`, of what this kernel knows.
    pub fn mount_proc(
        &self,
        subject: &Subject,
        source: &[u8],
        path: &[u8],
        kernel: &'static dyn Proc,
    ) -> Result<()> {
        let volume = Volume::proc(self.next_device(), self.volume().budget().clone());
        let mounts = Arc::downgrade(&self.mounts);
        let root = names::root(Source { kernel, volume, mounts })?;
        self.mount(subject, source, path, "proc", root)
    }
}

impl Source {
    fn inode(&self, number: u32, node: Node, permissions: u16, uid: u32, gid: u32) -> Result<Arc<Inode>> {
        let inode = Inode::with_number(&self.volume, number, node, permissions, uid, gid)?;
        inode.add_link();
        Ok(inode)
    }

    fn link(&self, number: u32, text: Vec<u8>) -> Result<Arc<Inode>> {
        self.inode(number, Node::Symlink(text.into()), 0o777, 0, 0)
    }

    fn file(&self, number: u32, text: Box<dyn super::live::Text>, uid: u32, gid: u32) -> Result<Arc<Inode>> {
        self.inode(number, Node::Text(text), 0o444, uid, gid)
    }
}

impl Debug for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("/proc")
    }
}
