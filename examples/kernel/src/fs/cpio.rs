//! Archives in the format cpio newc, as Linux unpacks them into its first root directory.
//!
//! Own code: `cpio_reader` ends an archive that is cut off as it ends a whole one, and panics at a length that
//! does not fit into 32 bits.

use super::clock::Time;
use super::device::DeviceNumber;
use super::file::File;
use super::flags::OpenFlags;
use super::inode::Inode;
use super::stat::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG};
use super::subject::Subject;
use super::tree::{Change, Follow, Tree};
use crate::errno::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter};

const MAGIC: &[u8] = b"070701";
/// With the sum of the contents' bytes.
const MAGIC_SUM: &[u8] = b"070702";
const HEADER: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!";

/// What is wrong with an archive, or could not be made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadArchive {
    /// Where the entry begins.
    pub offset: usize,
    pub errno: Errno,
}

impl Display for BadArchive {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the archive's entry at offset {} was refused: {}", self.offset, self.errno)
    }
}

impl core::error::Error for BadArchive {}

/// What a file is in all archives that have it, if it has several names.
type Identity = [u32; 3];

struct Entry<'a> {
    mode: u16,
    uid: u32,
    gid: u32,
    links: u32,
    modified: u32,
    identity: Identity,
    special: DeviceNumber,
    name: &'a [u8],
    contents: &'a [u8],
    /// Where the next entry begins.
    end: usize,
}

/// Eight hexadecimal digits, and nothing else.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | digit)
    })
}

impl<'a> Entry<'a> {
    /// The entry at an offset; `None` if there is none, or it is not whole.
    fn parse(archive: &'a [u8], offset: usize) -> Option<Self> {
        let header = archive.get(offset..)?.get(..HEADER)?;
        let (magic, fields) = header.split_at_checked(MAGIC.len())?;
        let mut numbers = [0; 13];
        for (place, digits) in numbers.iter_mut().zip(fields.chunks_exact(8)) {
            *place = number(digits)?;
        }
        let [inode, mode, uid, gid, links, modified, size, major, minor, rmajor, rminor, name_size, sum] =
            numbers;
        let name_at = offset + HEADER;
        let name_end = name_at.checked_add(usize::try_from(name_size).ok()?)?;
        let (zero, name) = archive.get(name_at..name_end)?.split_last()?;
        let at = name_end.checked_next_multiple_of(4)?;
        let end = at.checked_add(usize::try_from(size).ok()?)?;
        // At the end of the last there need be no padding.
        let contents = if size == 0 { &[][..] } else { archive.get(at..end)? };
        let right = match magic {
            MAGIC => true,
            MAGIC_SUM => sum == contents.iter().fold(0, |sum: u32, byte| sum.wrapping_add(u32::from(*byte))),
            _ => false,
        };
        if !right || *zero != 0 || name.is_empty() || name.contains(&0) {
            return None;
        }
        Some(Self {
            mode: u16::try_from(mode).ok()?,
            uid,
            gid,
            links,
            modified,
            identity: [inode, major, minor],
            special: DeviceNumber { major: u16::try_from(rmajor).ok()?, minor: rminor },
            name,
            contents,
            end: end.checked_next_multiple_of(4)?,
        })
    }

    fn is_trailer(&self) -> bool {
        self.name == TRAILER
    }
}

/// Makes what an archive says, in the root of a tree. Archives may follow one another, with zeros between them.
///
/// # Errors
///
/// The first entry that is not whole, or whose file cannot be made; what came before it is there.
pub fn unpack(tree: &Tree, archive: &[u8]) -> core::result::Result<(), BadArchive> {
    let subject = &Subject::new(tree.root().clone());
    let mut offset = 0;
    loop {
        let mut named = Vec::new();
        loop {
            let start = offset;
            let refuse = |errno| BadArchive { offset: start, errno };
            let entry = Entry::parse(archive, offset).ok_or(refuse(Errno::EINVAL))?;
            offset = entry.end;
            if entry.is_trailer() {
                break;
            }
            make(tree, subject, &entry, &mut named).map_err(refuse)?;
        }
        let rest = archive.get(offset..).unwrap_or_default();
        match rest.iter().position(|byte| *byte != 0) {
            Some(zeros) => offset += zeros,
            None => return Ok(()),
        }
    }
}

/// Makes one file. `named` are those of this archive that may get another name.
fn make(
    tree: &Tree,
    subject: &Subject,
    entry: &Entry<'_>,
    named: &mut Vec<(Identity, Arc<Inode>)>,
) -> Result<()> {
    let root = tree.root();
    let known = named.iter().find(|(identity, _)| *identity == entry.identity);
    let inode = match entry.mode & S_IFMT {
        S_IFDIR => match tree.make_directory(subject, root, entry.name, entry.mode) {
            Ok(()) | Err(Errno::EEXIST) => tree.find_directory(subject, root, entry.name)?,
            Err(error) => return Err(error),
        },
        kind => {
            remove(tree, subject, entry.name)?;
            match (kind, known) {
                (S_IFLNK, _) => tree.make_symlink(subject, entry.contents, root, entry.name)?,
                (_, Some((_, inode))) => tree.link(subject, inode, root, entry.name)?,
                (S_IFREG | S_IFIFO | S_IFCHR | S_IFBLK, None) => {
                    tree.make_node(subject, root, entry.name, entry.mode, entry.special)?;
                }
                _ => return Err(Errno::EINVAL),
            }
            tree.find(subject, root, entry.name, Follow::No)?
        }
    };
    if inode.is_regular() && !entry.contents.is_empty() {
        let file = tree.open_inode(subject, inode.clone(), OpenFlags::WRONLY)?;
        fill(&file, entry.contents)?;
    }
    if entry.links > 1 && known.is_none() && !inode.is_directory() {
        named.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        named.push((entry.identity, inode.clone()));
    }
    tree.change_owner(subject, &inode, Some(entry.uid), Some(entry.gid))?;
    if entry.mode & S_IFMT != S_IFLNK {
        tree.change_mode(subject, &inode, entry.mode)?;
    }
    let time = Change::To(Time { seconds: i64::from(entry.modified), nanoseconds: 0 });
    tree.change_times(subject, &inode, time, time)
}

/// Takes away what has the name, so that a later entry counts.
fn remove(tree: &Tree, subject: &Subject, name: &[u8]) -> Result<()> {
    match tree.unlink(subject, tree.root(), name) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::EISDIR) => tree.remove_directory(subject, tree.root(), name),
        Err(error) => Err(error),
    }
}

fn fill(file: &File, mut contents: &[u8]) -> Result<()> {
    while !contents.is_empty() {
        let done = file.write(contents.len(), &mut { contents })?;
        if done == 0 {
            return Err(Errno::EIO);
        }
        contents = contents.get(done..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
