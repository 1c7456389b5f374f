//! Who asks: what a process brings to every call that names a file.

use super::inode::Inode;
use super::tty::Job;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A process as files see it. A fork clones it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub root: Arc<Inode>,
    /// The current directory.
    pub directory: Arc<Inode>,
    pub umask: u16,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// What it is to terminals.
    pub job: Job,
}

impl Subject {
    /// The superuser in a root directory.
    pub fn new(root: Arc<Inode>) -> Self {
        Self {
            directory: root.clone(),
            root,
            umask: 0o022,
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            job: Job::default(),
        }
    }

    pub(super) fn is_in(&self, group: u32) -> bool {
        self.gid == group || self.groups.contains(&group)
    }
}
