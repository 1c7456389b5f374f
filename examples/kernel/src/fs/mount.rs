//! Mounting: one tree where a directory of another is.

use super::directory::Directory;
use super::inode::{Inode, Node};
use super::subject::Subject;
use super::tree::{Follow, Tree};
use super::volume::Volume;
use crate::errno::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How many can be mounted.
const MAX_MOUNTS: usize = 64;

/// Something mounted.
#[derive(Clone, Debug)]
pub struct Mount {
    /// What the caller of `mount` named as its device.
    pub source: Arc<[u8]>,
    pub path: Arc<[u8]>,
    /// The type, as in `/proc/mounts`.
    pub kind: &'static str,
    root: Arc<Inode>,
}

impl Tree {
    /// What is mounted, the oldest first.
    pub fn mounts(&self) -> Vec<Mount> {
        self.mounts.lock().clone()
    }

    /// Mounts a new empty file system in memory. It shares the memory of this one.
    pub fn mount_memory(&self, subject: &Subject, source: &[u8], path: &[u8]) -> Result<()> {
        let volume = Volume::new(self.next_device(), self.volume().budget().clone());
        let root = Inode::new(&volume, Node::Directory(Directory::new(None)), 0o1777, 0, 0)?;
        root.add_link();
        root.add_link();
        self.mount(subject, source, path, "tmpfs", root)
    }

    pub(super) fn mount(
        &self,
        subject: &Subject,
        source: &[u8],
        path: &[u8],
        kind: &'static str,
        root: Arc<Inode>,
    ) -> Result<()> {
        if subject.uid != 0 {
            return Err(Errno::EPERM);
        }
        let place = self.find(subject, &subject.directory, path, Follow::Yes)?;
        let (Node::Directory(below), Node::Directory(above)) = (&place.node, &root.node) else {
            return Err(Errno::ENOTDIR);
        };
        let mut mounts = self.mounts.lock();
        if mounts.len() >= MAX_MOUNTS {
            return Err(Errno::ENOSPC);
        }
        let path = self.path_of(&Subject::new(self.root().clone()), &place)?;
        above.set_mounted_on(Some(place.clone()));
        below.set_cover(Some(root.clone()));
        mounts.push(Mount { source: source.into(), path: path.into(), kind, root });
        Ok(())
    }

    /// Takes away what is mounted at a path. Who has files of it open keeps them, as with `MNT_DETACH`.
    pub fn unmount(&self, subject: &Subject, path: &[u8]) -> Result<()> {
        if subject.uid != 0 {
            return Err(Errno::EPERM);
        }
        let root = self.find(subject, &subject.directory, path, Follow::Yes)?;
        let mut mounts = self.mounts.lock();
        let place = mounts.iter().rposition(|mount| Arc::ptr_eq(&mount.root, &root));
        let mount = mounts.remove(place.ok_or(Errno::EINVAL)?);
        drop(mounts);
        if let Node::Directory(above) = &mount.root.node
            && let Some(place) = above.mounted_on()
            && let Node::Directory(below) = &place.node
        {
            below.set_cover(None);
            above.set_mounted_on(None);
        }
        Ok(())
    }
}
