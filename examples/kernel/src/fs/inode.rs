//! Inodes: files, whatever they are called.

use super::clock::{Time, now};
use super::device::DeviceNumber;
use super::directory::Directory;
use super::live::Text;
use super::pages::{PAGE_SIZE, Pages};
use super::pipe::Fifo;
use super::stat::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_IXANY, S_IXGRP, Stat,
};
use super::subject::Subject;
use super::volume::Volume;
use crate::errno::{Errno, Result};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt::{self, Debug, Formatter};
use spin::Mutex;

/// What an inode takes beside its contents and its names.
const INODE_COST: usize = 256;

/// A file, a directory, a link or a device.
pub struct Inode {
    number: u32,
    volume: Arc<Volume>,
    pub(super) node: Node,
    meta: Mutex<Meta>,
}

/// What it holds.
pub(super) enum Node {
    Regular(Mutex<Pages>),
    Directory(Directory),
    Symlink(Arc<[u8]>),
    Character(DeviceNumber),
    Block(DeviceNumber),
    Fifo(Fifo),
    Text(Box<dyn Text>),
}

#[derive(Clone, Copy, Debug)]
struct Meta {
    /// The lowest twelve bits of the mode.
    permissions: u16,
    links: u32,
    uid: u32,
    gid: u32,
    accessed: Time,
    modified: Time,
    changed: Time,
}

impl Node {
    /// What it takes at once, and keeps.
    fn text_cost(&self) -> usize {
        match self {
            Self::Symlink(text) => text.len(),
            _ => 0,
        }
    }
}

/// What is asked of an inode: bits as in its permissions.
pub(super) const READ: u16 = 4;
pub(super) const WRITE: u16 = 2;
pub(super) const SEARCH: u16 = 1;

impl Inode {
    /// A new inode that no directory names yet.
    pub(super) fn new(
        volume: &Arc<Volume>,
        node: Node,
        permissions: u16,
        uid: u32,
        gid: u32,
    ) -> Result<Arc<Self>> {
        Self::with_number(volume, volume.next_number(), node, permissions, uid, gid)
    }

    /// As [`new`](Self::new), with a number that the volume does not give.
    pub(super) fn with_number(
        volume: &Arc<Volume>,
        number: u32,
        node: Node,
        permissions: u16,
        uid: u32,
        gid: u32,
    ) -> Result<Arc<Self>> {
        volume.budget().take(INODE_COST + node.text_cost())?;
        volume.count();
        let now = now();
        let meta = Meta {
            permissions: permissions & 0o7777,
            links: 0,
            uid,
            gid,
            accessed: now,
            modified: now,
            changed: now,
        };
        Ok(Arc::new(Self { number, volume: volume.clone(), node, meta: Mutex::new(meta) }))
    }

    pub fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    /// The type, as in the mode.
    pub fn kind(&self) -> u16 {
        match self.node {
            Node::Regular(_) | Node::Text(_) => S_IFREG,
            Node::Directory(_) => S_IFDIR,
            Node::Symlink(_) => S_IFLNK,
            Node::Character(_) => S_IFCHR,
            Node::Block(_) => S_IFBLK,
            Node::Fifo(_) => S_IFIFO,
        }
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == S_IFDIR
    }

    pub fn is_regular(&self) -> bool {
        matches!(self.node, Node::Regular(_))
    }

    /// What a symbolic link says.
    pub(super) fn link_text(&self) -> Option<Arc<[u8]>> {
        match &self.node {
            Node::Symlink(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub fn size(&self) -> u64 {
        match &self.node {
            Node::Regular(pages) => pages.lock().size(),
            Node::Directory(directory) => directory.size(),
            Node::Symlink(text) => text.len() as u64,
            Node::Character(_) | Node::Block(_) | Node::Fifo(_) | Node::Text(_) => 0,
        }
    }

    pub fn stat(&self) -> Stat {
        let meta = *self.meta.lock();
        let pages = match &self.node {
            Node::Regular(pages) => pages.lock().count(),
            _ => 0,
        };
        let special = match self.node {
            Node::Character(device) | Node::Block(device) => device,
            _ => DeviceNumber::default(),
        };
        Stat {
            device: self.volume.device(),
            inode: u64::from(self.number),
            mode: self.kind() | meta.permissions,
            links: meta.links,
            uid: meta.uid,
            gid: meta.gid,
            special,
            size: self.size(),
            blocks: (pages * (PAGE_SIZE / 512)) as u64,
            block_size: PAGE_SIZE as u32,
            accessed: meta.accessed,
            modified: meta.modified,
            changed: meta.changed,
        }
    }

    /// Whether who asks may do all of `want`, bits of [`READ`], [`WRITE`] and [`SEARCH`].
    pub(super) fn check(&self, subject: &Subject, want: u16) -> Result<()> {
        let meta = self.meta.lock();
        if subject.uid == 0 {
            let runs = self.is_directory() || meta.permissions & S_IXANY != 0;
            return if want & SEARCH == 0 || runs { Ok(()) } else { Err(Errno::EACCES) };
        }
        let shift = if meta.uid == subject.uid {
            6
        } else if subject.is_in(meta.gid) {
            3
        } else {
            0
        };
        if (meta.permissions >> shift) & want == want { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Whether a program may be started from it.
    pub fn check_execute(&self, subject: &Subject) -> Result<()> {
        if !self.is_regular() {
            return Err(Errno::EACCES);
        }
        self.check(subject, SEARCH)
    }

    /// Whether who asks owns it, or is root.
    pub(super) fn check_owner(&self, subject: &Subject) -> Result<()> {
        if subject.uid == 0 || subject.uid == self.meta.lock().uid { Ok(()) } else { Err(Errno::EPERM) }
    }

    pub(super) fn links(&self) -> u32 {
        self.meta.lock().links
    }

    pub(super) fn add_link(&self) {
        let mut meta = self.meta.lock();
        meta.links = meta.links.saturating_add(1);
        meta.changed = now();
    }

    pub(super) fn remove_link(&self) {
        let mut meta = self.meta.lock();
        meta.links = meta.links.saturating_sub(1);
        meta.changed = now();
    }

    /// Its contents have changed.
    pub(super) fn touch(&self) {
        let mut meta = self.meta.lock();
        meta.modified = now();
        meta.changed = meta.modified;
    }

    /// Something about it has changed, but not its contents.
    pub(super) fn touch_change(&self) {
        self.meta.lock().changed = now();
    }

    /// Its contents were read. As Linux by default, noted once after each change.
    pub(super) fn touch_read(&self) {
        let mut meta = self.meta.lock();
        if meta.accessed <= meta.modified || meta.accessed <= meta.changed {
            meta.accessed = now();
        }
    }

    pub(super) fn set_permissions(&self, permissions: u16) {
        let mut meta = self.meta.lock();
        meta.permissions = permissions & 0o7777;
        meta.changed = now();
    }

    pub(super) fn permissions(&self) -> u16 {
        self.meta.lock().permissions
    }

    pub(super) fn uid(&self) -> u32 {
        self.meta.lock().uid
    }

    pub(super) fn gid(&self) -> u32 {
        self.meta.lock().gid
    }

    pub(super) fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) {
        let mut meta = self.meta.lock();
        meta.uid = uid.unwrap_or(meta.uid);
        meta.gid = gid.unwrap_or(meta.gid);
        if !self.is_directory() {
            // A program does not run as an owner that it was not made for.
            meta.permissions &= !S_ISUID;
            if meta.permissions & S_IXGRP != 0 {
                meta.permissions &= !S_ISGID;
            }
        }
        meta.changed = now();
    }

    pub(super) fn set_times(&self, accessed: Option<Time>, modified: Option<Time>) {
        let mut meta = self.meta.lock();
        meta.accessed = accessed.unwrap_or(meta.accessed);
        meta.modified = modified.unwrap_or(meta.modified);
        meta.changed = now();
    }

    /// Cuts or grows a regular file.
    pub(super) fn truncate(&self, size: u64) -> Result<()> {
        match &self.node {
            Node::Regular(pages) => pages.lock().resize(size, self.volume.budget())?,
            Node::Directory(_) => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        self.touch();
        Ok(())
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        let budget = self.volume.budget();
        if let Node::Regular(pages) = &mut self.node {
            // Cutting to nothing is never refused.
            let _ = pages.get_mut().resize(0, budget);
        }
        budget.give(INODE_COST + self.node.text_cost());
        self.volume.forget();
    }
}

impl Debug for Inode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "inode {} of type {:o}", self.number, self.kind() & S_IFMT)
    }
}
