//! How much memory the network takes.

use crate::errno::{Errno, Result};
use crate::fs::budget::Budget;
use alloc::vec::Vec;

/// What the sockets have together. It is taken before it is used, and given back by whoever took it.
pub(super) struct Memory {
    budget: Budget,
    /// Whether the heap has room for so many bytes.
    has_room: fn(usize) -> bool,
}

impl Memory {
    pub(super) const fn new(total: usize, has_room: fn(usize) -> bool) -> Self {
        Self { budget: Budget::new(total), has_room }
    }

    /// # Errors
    ///
    /// ENOBUFS.
    pub(super) fn take(&self, bytes: usize) -> Result<()> {
        self.budget.take(bytes).map_err(|_| Errno::ENOBUFS)?;
        if (self.has_room)(bytes) {
            return Ok(());
        }
        self.budget.give(bytes);
        Err(Errno::ENOBUFS)
    }

    pub(super) fn give(&self, bytes: usize) {
        self.budget.give(bytes);
    }

    /// Whether all that was taken was given back.
    #[cfg(test)]
    pub(super) fn is_whole(&self) -> bool {
        self.budget.left() == self.budget.total()
    }
}

/// So many zeroes.
///
/// # Errors
///
/// ENOMEM.
pub(super) fn bytes(count: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(count, 0);
    Ok(bytes)
}
