//! The tree of all files, and what is done by path.

use super::budget::Budget;
use super::device::DeviceNumber;
use super::directory::Directory;
use super::file::File;
use super::flags::OpenFlags;
use super::inode::{Inode, Node, SEARCH, WRITE};
use super::mount::Mount;
use super::pages::Pages;
use super::pipe::Fifo;
use super::stat::{S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFREG, S_ISGID, S_ISVTX, StatFs};
use super::subject::Subject;
use super::tty::Tty;
use super::volume::Volume;
use super::walk::{Last, PATH_MAX, Walk, above};
use crate::errno::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use spin::Mutex;

pub use super::attributes::Change;
pub use super::walk::Follow;

/// All files. Paths begin in a directory `at` of the caller's choice.
#[derive(Debug)]
pub struct Tree {
    root: Arc<Inode>,
    volume: Arc<Volume>,
    pub(super) mounts: Arc<Mutex<Vec<Mount>>>,
    devices: AtomicU32,
    pub(super) terminals: Mutex<Vec<(DeviceNumber, Arc<Tty>)>>,
}

/// Where something new goes: the directory, and a name that is free there.
pub(super) struct Place<'w> {
    pub(super) walk: Walk<'w>,
}

impl Tree {
    /// An empty root directory; files, names and pipes take at most `budget` bytes from the heap.
    pub fn new(budget: usize) -> Result<Self> {
        let volume = Volume::new(1, Arc::new(Budget::new(budget)));
        let root = Inode::new(&volume, Node::Directory(Directory::new(None)), 0o755, 0, 0)?;
        root.add_link();
        root.add_link();
        Ok(Self {
            root,
            volume,
            mounts: Arc::default(),
            devices: AtomicU32::new(2),
            terminals: Mutex::new(Vec::new()),
        })
    }

    pub(super) fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    /// The device number of the next volume.
    pub(super) fn next_device(&self) -> u32 {
        self.devices.fetch_add(1, Ordering::Relaxed)
    }

    pub fn root(&self) -> &Arc<Inode> {
        &self.root
    }

    /// A pipe: the end to read, and the end to write.
    pub fn pipe(&self, flags: OpenFlags) -> Result<(Arc<File>, Arc<File>)> {
        File::pipe(&self.volume, flags)
    }

    /// The inode of a path.
    pub fn find(
        &self,
        subject: &Subject,
        at: &Arc<Inode>,
        path: &[u8],
        follow: Follow,
    ) -> Result<Arc<Inode>> {
        Walk::new(subject, at, path)?.go_to_end(follow)
    }

    /// A directory to work in: what `chdir` goes to.
    pub fn find_directory(&self, subject: &Subject, at: &Arc<Inode>, path: &[u8]) -> Result<Arc<Inode>> {
        let inode = self.find(subject, at, path, Follow::Yes)?;
        self.check_directory(subject, &inode)?;
        Ok(inode)
    }

    /// Whether one may work in it: what `fchdir` asks.
    pub fn check_directory(&self, subject: &Subject, inode: &Inode) -> Result<()> {
        if inode.is_directory() { inode.check(subject, SEARCH) } else { Err(Errno::ENOTDIR) }
    }

    /// The path of a directory from the root: what `getcwd` tells.
    pub fn path_of(&self, subject: &Subject, directory: &Arc<Inode>) -> Result<Vec<u8>> {
        let mut path = Vec::new();
        let mut inode = directory.clone();
        while !Arc::ptr_eq(&inode, &subject.root) {
            let parent = above(&inode, &subject.root)?;
            if Arc::ptr_eq(&parent, &inode) {
                break;
            }
            // The name belongs to where it is mounted, if it is.
            let mut named = inode.clone();
            while let Node::Directory(below) = &named.node
                && let Some(place) = below.mounted_on()
            {
                named = place;
            }
            let Node::Directory(names) = &parent.node else { return Err(Errno::ENOENT) };
            let name = names.name_of(&parent, &named).ok_or(Errno::ENOENT)?;
            if path.len() + name.len() + 1 >= PATH_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            path.splice(..0, core::iter::once(b'/').chain(name.iter().copied()));
            inode = parent;
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Ok(path)
    }

    pub fn make_directory(
        &self,
        subject: &Subject,
        at: &Arc<Inode>,
        path: &[u8],
        permissions: u16,
    ) -> Result<()> {
        let place = Place::new(subject, at, path, true)?;
        let inherited = place.walk.directory.permissions() & S_ISGID;
        let node = Node::Directory(Directory::new(Some(&place.walk.directory)));
        let directory = place.walk.directory.clone();
        let permissions = permissions & 0o1777 & !subject.umask | inherited;
        let inode = place.create(subject, node, permissions)?;
        // Its own `.`, and its `..` in the directory above.
        inode.add_link();
        directory.add_link();
        Ok(())
    }

    /// `mknod`: regular files, devices and fifos, by the type in `mode`.
    pub fn make_node(
        &self,
        subject: &Subject,
        at: &Arc<Inode>,
        path: &[u8],
        mode: u16,
        device: DeviceNumber,
    ) -> Result<()> {
        let node = match mode & S_IFMT {
            0 | S_IFREG => Node::Regular(Mutex::new(Pages::default())),
            S_IFIFO => Node::Fifo(Fifo::default()),
            S_IFCHR if subject.uid == 0 => Node::Character(device),
            S_IFBLK if subject.uid == 0 => Node::Block(device),
            S_IFCHR | S_IFBLK => return Err(Errno::EPERM),
            _ => return Err(Errno::EINVAL),
        };
        let permissions = mode & 0o7777 & !subject.umask;
        Place::new(subject, at, path, false)?.create(subject, node, permissions).map(drop)
    }

    pub fn make_symlink(&self, subject: &Subject, text: &[u8], at: &Arc<Inode>, path: &[u8]) -> Result<()> {
        if text.is_empty() {
            return Err(Errno::ENOENT);
        }
        if text.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        Place::new(subject, at, path, false)?.create(subject, Node::Symlink(text.into()), 0o777).map(drop)
    }

    /// What a symbolic link says.
    pub fn read_link(&self, inode: &Inode) -> Result<Arc<[u8]>> {
        inode.link_text().ok_or(Errno::EINVAL)
    }

    /// Gives an inode another name.
    pub fn link(&self, subject: &Subject, inode: &Arc<Inode>, at: &Arc<Inode>, path: &[u8]) -> Result<()> {
        let place = Place::new(subject, at, path, false)?;
        let directory = &place.walk.directory;
        if !Arc::ptr_eq(directory.volume(), inode.volume()) {
            return Err(Errno::EXDEV);
        }
        directory.check(subject, WRITE | SEARCH)?;
        if inode.is_directory() {
            return Err(Errno::EPERM);
        }
        if inode.links() == 0 {
            return Err(Errno::ENOENT);
        }
        place.insert(inode.clone())
    }

    pub fn unlink(&self, subject: &Subject, at: &Arc<Inode>, path: &[u8]) -> Result<()> {
        let mut walk = Walk::new(subject, at, path)?;
        walk.go_to_last()?;
        let name = walk.name().ok_or(Errno::EISDIR)?;
        let inode = walk.find_last()?.ok_or(Errno::ENOENT)?;
        if walk.wants_directory {
            return Err(if inode.is_directory() { Errno::EISDIR } else { Errno::ENOTDIR });
        }
        check_delete(subject, &walk.directory, &inode)?;
        if inode.is_directory() {
            return Err(Errno::EISDIR);
        }
        let Node::Directory(names) = &walk.directory.node else { return Err(Errno::ENOTDIR) };
        names.remove(name).ok_or(Errno::ENOENT)?;
        inode.remove_link();
        walk.directory.touch();
        Ok(())
    }

    pub fn remove_directory(&self, subject: &Subject, at: &Arc<Inode>, path: &[u8]) -> Result<()> {
        let mut walk = Walk::new(subject, at, path)?;
        walk.go_to_last()?;
        match walk.last() {
            Last::Root => return Err(Errno::EBUSY),
            Last::Dot => return Err(Errno::EINVAL),
            Last::DotDot => return Err(Errno::ENOTEMPTY),
            Last::Name(_) => {}
        }
        let name = walk.name().ok_or(Errno::EINVAL)?;
        let inode = walk.find_last()?.ok_or(Errno::ENOENT)?;
        check_delete(subject, &walk.directory, &inode)?;
        let Node::Directory(removed) = &inode.node else { return Err(Errno::ENOTDIR) };
        if removed.is_root() {
            return Err(Errno::EBUSY);
        }
        if !removed.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        let Node::Directory(names) = &walk.directory.node else { return Err(Errno::ENOTDIR) };
        names.remove(name).ok_or(Errno::ENOENT)?;
        removed.set_removed();
        inode.remove_link();
        inode.remove_link();
        walk.directory.remove_link();
        walk.directory.touch();
        Ok(())
    }

    /// `statfs` of where an inode is.
    pub fn stat_fs(&self, inode: &Inode) -> StatFs {
        inode.volume().stat()
    }
}

impl<'w> Place<'w> {
    /// EEXIST if the name is taken. Only a directory's name may end in a slash.
    fn new(subject: &'w Subject, at: &Arc<Inode>, path: &'w [u8], is_directory: bool) -> Result<Self> {
        let mut walk = Walk::new(subject, at, path)?;
        walk.go_to_last()?;
        if walk.name().is_none() || walk.find_last()?.is_some() {
            return Err(Errno::EEXIST);
        }
        if walk.wants_directory && !is_directory {
            return Err(Errno::ENOENT);
        }
        Ok(Self { walk })
    }

    /// Makes a new inode here.
    pub(super) fn create(&self, subject: &Subject, node: Node, permissions: u16) -> Result<Arc<Inode>> {
        let directory = &self.walk.directory;
        if matches!(&directory.node, Node::Directory(names) if names.is_live()) {
            return Err(Errno::ENOENT);
        }
        directory.check(subject, WRITE | SEARCH)?;
        let gid = if directory.permissions() & S_ISGID != 0 { directory.gid() } else { subject.gid };
        let inode = Inode::new(directory.volume(), node, permissions, subject.uid, gid)?;
        self.insert(inode.clone())?;
        Ok(inode)
    }

    fn insert(&self, inode: Arc<Inode>) -> Result<()> {
        let directory = &self.walk.directory;
        let Node::Directory(names) = &directory.node else { return Err(Errno::ENOTDIR) };
        names.insert(self.walk.name().ok_or(Errno::EEXIST)?, inode.clone())?;
        inode.add_link();
        directory.touch();
        Ok(())
    }
}

/// Whether who asks may take an inode out of a directory.
pub(super) fn check_delete(subject: &Subject, directory: &Inode, inode: &Inode) -> Result<()> {
    directory.check(subject, WRITE | SEARCH)?;
    if matches!(&directory.node, Node::Directory(names) if names.is_live()) {
        return Err(Errno::EPERM);
    }
    let sticky = directory.permissions() & S_ISVTX != 0;
    if sticky && subject.uid != 0 && subject.uid != inode.uid() && subject.uid != directory.uid() {
        return Err(Errno::EPERM);
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod host;
#[cfg(test)]
pub(super) mod tests;
