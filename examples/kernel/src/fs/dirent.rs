//! Entries of a directory, in the layouts of Linux.

use super::data::Sink;
use super::directory::FIRST;
use super::file::File;
use super::inode::Inode;
use super::live::Entry;
use super::stat::NAME_MAX;
use crate::errno::{Errno, Result};
use alloc::sync::Arc;

/// Which of the two layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `struct linux_dirent`, of `getdents`.
    Old,
    /// `struct linux_dirent64`, of `getdents64`.
    New,
}

/// The longest entry.
const LONGEST: usize = (19 + NAME_MAX + 1).next_multiple_of(8);

/// One entry as bytes.
struct Encoded {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Layout {
    /// `next` is the offset of the entry after this one.
    fn encode(self, inode: u32, next: u64, kind: u8, name: &[u8]) -> Result<Encoded> {
        let mut entry = Encoded { bytes: [0; LONGEST], len: 0 };
        let len = match self {
            Self::New => (19 + name.len() + 1).next_multiple_of(8),
            Self::Old => (10 + name.len() + 2).next_multiple_of(4),
        };
        let short = u16::try_from(len).map_err(|_| Errno::EINVAL)?;
        match self {
            Self::New => {
                entry.push(&u64::from(inode).to_le_bytes())?;
                entry.push(&next.to_le_bytes())?;
                entry.push(&short.to_le_bytes())?;
                entry.push(&[kind])?;
            }
            Self::Old => {
                entry.push(&inode.to_le_bytes())?;
                entry.push(&u32::try_from(next).map_err(|_| Errno::EOVERFLOW)?.to_le_bytes())?;
                entry.push(&short.to_le_bytes())?;
            }
        }
        entry.push(name)?;
        entry.len = len;
        if self == Self::Old
            && let Some(last) = entry.bytes.get_mut(len - 1)
        {
            *last = kind;
        }
        Ok(entry)
    }
}

impl Encoded {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let place = self.bytes.get_mut(self.len..self.len + bytes.len()).ok_or(Errno::EINVAL)?;
        place.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }
}

impl File {
    /// Reads entries into at most `count` bytes; zero at the end. An entry is put whole, or not at all.
    ///
    /// # Errors
    ///
    /// EINVAL if the next entry does not fit into `count` bytes.
    pub fn read_directory(&self, layout: Layout, count: usize, sink: &mut dyn Sink) -> Result<usize> {
        let (inode, directory) = self.directory()?;
        if directory.is_removed() {
            return Err(Errno::ENOENT);
        }
        let mut offset = self.offset();
        let mut done = 0;
        loop {
            let (next, entry) = match offset {
                0 => (1, layout.encode(inode.number(), 1, directory_type(inode), b".")?),
                1 => {
                    let parent = directory.parent().unwrap_or_else(|| inode.clone());
                    (FIRST, layout.encode(parent.number(), FIRST, directory_type(inode), b"..")?)
                }
                _ => match directory.next(inode, offset)? {
                    Some(Entry { place, name, inode }) => {
                        (place + 1, layout.encode(inode.number(), place + 1, directory_type(&inode), &name)?)
                    }
                    None => break,
                },
            };
            if entry.len > count - done {
                if done == 0 {
                    return Err(Errno::EINVAL);
                }
                break;
            }
            match sink.put(entry.bytes.get(..entry.len).unwrap_or_default()) {
                Ok(put) if put == entry.len => {}
                Ok(_) => break,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
            done += entry.len;
            offset = next;
            self.set_offset(offset);
        }
        Ok(done)
    }
}

/// `d_type`: the type's four bits.
fn directory_type(inode: &Arc<Inode>) -> u8 {
    (inode.kind() >> 12) as u8
}
