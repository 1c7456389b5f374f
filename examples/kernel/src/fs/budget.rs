//! How much memory files may take.

use crate::errno::{Errno, Result};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that files, names and pipes may take from the heap together.
///
/// The heap must be larger by what else the kernel keeps there: what is taken here is sure to be there.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    left: AtomicUsize,
}

impl Budget {
    pub const fn new(total: usize) -> Self {
        Self { total, left: AtomicUsize::new(total) }
    }

    pub fn total(&self) -> usize {
        self.total
    }

    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Takes so many bytes, or answers ENOSPC.
    pub(crate) fn take(&self, bytes: usize) -> Result<()> {
        let take = |left: usize| left.checked_sub(bytes);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(Errno::ENOSPC),
        }
    }

    /// Gives back what was taken.
    pub(crate) fn give(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}
