//! What inodes belong to.

use super::budget::Budget;
use super::device::DeviceNumber;
use super::lock::Locks;
use super::pages::PAGE_SIZE;
use super::stat::StatFs;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

/// The magic number of a file system in memory.
const TMPFS_MAGIC: u32 = 0x0102_1994;
/// And of `/proc`.
const PROC_MAGIC: u32 = 0x9fa0;

/// A file system in memory: where its inodes are numbered and its memory counted.
#[derive(Debug)]
pub struct Volume {
    device: DeviceNumber,
    /// The magic number of its type.
    kind: u32,
    budget: Arc<Budget>,
    locks: Locks,
    next: AtomicU32,
    files: AtomicU32,
}

impl Volume {
    /// An empty volume with this device number, whose files take their memory from `budget`.
    pub(super) fn new(minor: u32, budget: Arc<Budget>) -> Arc<Self> {
        Self::of_kind(TMPFS_MAGIC, minor, budget)
    }

    /// A volume for what is made up as it is looked at.
    pub(super) fn proc(minor: u32, budget: Arc<Budget>) -> Arc<Self> {
        Self::of_kind(PROC_MAGIC, minor, budget)
    }

    fn of_kind(kind: u32, minor: u32, budget: Arc<Budget>) -> Arc<Self> {
        let device = DeviceNumber { major: 0, minor };
        Arc::new(Self {
            device,
            kind,
            budget,
            locks: Locks::default(),
            next: AtomicU32::new(1),
            files: AtomicU32::new(0),
        })
    }

    pub(super) fn device(&self) -> DeviceNumber {
        self.device
    }

    pub(super) fn locks(&self) -> &Locks {
        &self.locks
    }

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The number of a new inode.
    pub(super) fn next_number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// There is one inode more.
    pub(super) fn count(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    /// An inode is gone.
    pub(super) fn forget(&self) {
        self.files.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn stat(&self) -> StatFs {
        if self.kind == PROC_MAGIC {
            return StatFs { kind: PROC_MAGIC, block_size: PAGE_SIZE as u32, ..StatFs::default() };
        }
        let pages = |bytes: usize| (bytes / PAGE_SIZE) as u64;
        let files = u64::from(self.files.load(Ordering::Relaxed));
        let free = pages(self.budget.left());
        StatFs {
            kind: self.kind,
            block_size: PAGE_SIZE as u32,
            blocks: pages(self.budget.total()),
            free,
            files: files + free,
            free_files: free,
        }
    }
}
