//! The directories of `/proc`.

use super::super::directory::{Directory, FIRST};
use super::super::inode::{Inode, Node};
use super::super::live::{Entry, Names};
use super::Source;
use super::process::PROCESS_FILES;
use super::system::SYSTEM_FILES;
use crate::errno::Result;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;

/// The number of the root; the others follow.
const ROOT: u32 = 1;
/// Where processes begin among the entries of the root: behind all others.
const PROCESSES: u64 = 64;
/// How many numbers a process has for its inodes.
const NUMBERS: u32 = 32;

struct Root(Source);

/// The directory of a process.
struct Of {
    source: Source,
    process: u32,
}

pub(super) fn root(source: Source) -> Result<Arc<Inode>> {
    let names = Box::new(Root(source.clone()));
    let root = source.inode(ROOT, Node::Directory(Directory::live(None, names)), 0o555, 0, 0)?;
    root.add_link();
    Ok(root)
}

/// The number of a process that is written as numbers are: in digits, and with no zero in front.
fn parse(name: &[u8]) -> Option<u32> {
    let digits = name.iter().all(u8::is_ascii_digit) && name.first() != Some(&b'0');
    if digits { core::str::from_utf8(name).ok()?.parse().ok() } else { None }
}

impl Root {
    /// The link to who asks, and then the files, by place.
    fn fixed(&self, place: u64) -> Result<Option<Entry>> {
        let Some(index) = place.checked_sub(FIRST).and_then(|index| usize::try_from(index).ok()) else {
            return Ok(None);
        };
        let number = ROOT + 1 + index as u32;
        if index == 0 {
            let current = format!("{}", self.0.kernel.current());
            let inode = self.0.link(number, current.into_bytes())?;
            return Ok(Some(Entry { place, name: b"self"[..].into(), inode }));
        }
        let Some((name, text)) = SYSTEM_FILES.get(index - 1) else { return Ok(None) };
        let inode = self.0.file(number, text(&self.0), 0, 0)?;
        Ok(Some(Entry { place, name: name.as_bytes().into(), inode }))
    }

    fn process(&self, root: &Arc<Inode>, id: u32) -> Result<Option<Arc<Inode>>> {
        let Some(process) = self.0.kernel.process(id) else { return Ok(None) };
        let names = Box::new(Of { source: self.0.clone(), process: id });
        let node = Node::Directory(Directory::live(Some(root), names));
        let inode = self.0.inode(id.wrapping_mul(NUMBERS), node, 0o555, process.uid, process.gid)?;
        inode.add_link();
        Ok(Some(inode))
    }
}

impl Names for Root {
    fn get(&self, root: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        if let Some(id) = parse(name) {
            return self.process(root, id);
        }
        let index = if name == b"self" {
            Some(0)
        } else {
            SYSTEM_FILES.iter().position(|(other, _)| other.as_bytes() == name).map(|index| index + 1)
        };
        match index {
            Some(index) => Ok(self.fixed(FIRST + index as u64)?.map(|entry| entry.inode)),
            None => Ok(None),
        }
    }

    fn next(&self, root: &Arc<Inode>, place: u64) -> Result<Option<Entry>> {
        if let Some(entry) = self.fixed(place)? {
            return Ok(Some(entry));
        }
        let mut last = u32::try_from(place.saturating_sub(PROCESSES + 1)).unwrap_or(u32::MAX);
        while let Some(id) = self.0.kernel.after(last) {
            if let Some(inode) = self.process(root, id)? {
                let name = format!("{id}").into_bytes();
                return Ok(Some(Entry { place: PROCESSES + u64::from(id), name: name.into(), inode }));
            }
            last = id;
        }
        Ok(None)
    }
}

impl Of {
    fn entry(&self, place: u64) -> Result<Option<Entry>> {
        let index = place.checked_sub(FIRST).and_then(|index| usize::try_from(index).ok());
        let Some((name, make)) = index.and_then(|index| PROCESS_FILES.get(index)) else { return Ok(None) };
        let number = self.process.wrapping_mul(NUMBERS).wrapping_add(1 + index.unwrap_or(0) as u32);
        let inode = make(&self.source, self.process, number)?;
        Ok(inode.map(|inode| Entry { place, name: name.as_bytes().into(), inode }))
    }
}

impl Names for Of {
    fn get(&self, _: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        match PROCESS_FILES.iter().position(|(other, _)| other.as_bytes() == name) {
            Some(index) => Ok(self.entry(FIRST + index as u64)?.map(|entry| entry.inode)),
            None => Ok(None),
        }
    }

    fn next(&self, _: &Arc<Inode>, place: u64) -> Result<Option<Entry>> {
        for place in place.max(FIRST)..FIRST + PROCESS_FILES.len() as u64 {
            if let Some(entry) = self.entry(place)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

const _: () = assert!(FIRST + 1 + SYSTEM_FILES.len() as u64 <= PROCESSES);
const _: () =
    assert!(1 + PROCESS_FILES.len() < NUMBERS as usize && 1 + SYSTEM_FILES.len() < NUMBERS as usize);
