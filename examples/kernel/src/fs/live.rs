//! Files and directories that are made up as they are looked at.

use super::budget::Budget;
use super::inode::Inode;
use crate::errno::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// The entries of a directory that nobody can change.
pub(super) trait Names: Send + Sync {
    /// What a name means in `directory`, which is these.
    fn get(&self, directory: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>>;

    /// The first entry whose place is not before `place`, as [`Directory::next`](super::directory::Directory::next).
    fn next(&self, directory: &Arc<Inode>, place: u64) -> Result<Option<Entry>>;
}

/// An entry of a directory on its way to who reads it.
pub(super) struct Entry {
    pub(super) place: u64,
    pub(super) name: Arc<[u8]>,
    pub(super) inode: Arc<Inode>,
}

/// The contents of a file that nobody can change.
pub(super) trait Text: Send + Sync {
    fn write(&self, to: &mut Writer) -> fmt::Result;
}

/// Text that grows as long as there is memory.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

/// What a file told when it was last read from the start. It takes from the budget what it takes from the heap.
#[derive(Debug)]
pub(super) struct Told {
    text: Vec<u8>,
    budget: Arc<Budget>,
}

impl Told {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self { text: Vec::new(), budget: budget.clone() }
    }

    /// What there is from an offset on.
    pub(super) fn from(&self, offset: u64) -> &[u8] {
        usize::try_from(offset).ok().and_then(|offset| self.text.get(offset..)).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn replace(&mut self, text: Vec<u8>) -> Result<()> {
        self.budget.take(text.capacity()).map_err(|_| Errno::ENOMEM)?;
        self.budget.give(self.text.capacity());
        self.text = text;
        Ok(())
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.budget.give(self.text.capacity());
    }
}

impl Writer {
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> fmt::Result {
        self.0.try_reserve(bytes.len()).map_err(|_| fmt::Error)?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// All that `text` writes; ENOMEM if there is no memory for it.
    pub(super) fn all(text: &dyn Text) -> Result<Vec<u8>> {
        let mut writer = Self::default();
        text.write(&mut writer).map_err(|_| Errno::ENOMEM)?;
        Ok(writer.0)
    }
}

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes())
    }
}
