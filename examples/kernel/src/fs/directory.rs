//! Directories: inodes by name.

use super::inode::{Inode, Node};
use super::stat::NAME_MAX;
use crate::errno::{Errno, Result};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use spin::Mutex;

/// Where the names of a directory begin for who reads it: before them are `.` and `..`.
pub(super) const FIRST: u64 = 2;

pub(super) struct Directory(Mutex<Contents>);

struct Contents {
    names: BTreeMap<Arc<[u8]>, Entry>,
    /// The names by age. Who reads a directory piece by piece meets each name that stays exactly once.
    ages: BTreeMap<u64, Arc<[u8]>>,
    next: u64,
    /// `None` of a root.
    parent: Option<Weak<Inode>>,
    /// Removed: it has no name, and gets no entries.
    removed: bool,
    /// The root of what is mounted here.
    cover: Option<Arc<Inode>>,
    /// Of the root of something mounted: where.
    mounted_on: Option<Arc<Inode>>,
}

struct Entry {
    age: u64,
    inode: Arc<Inode>,
}

/// What an entry takes: the name and its places in two maps.
const fn cost(name: &[u8]) -> usize {
    name.len() + 128
}

impl Directory {
    pub(super) fn new(parent: Option<&Arc<Inode>>) -> Self {
        Self(Mutex::new(Contents {
            names: BTreeMap::new(),
            ages: BTreeMap::new(),
            next: FIRST,
            parent: parent.map(Arc::downgrade),
            removed: false,
            cover: None,
            mounted_on: None,
        }))
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Arc<Inode>> {
        self.0.lock().names.get(name).map(|entry| entry.inode.clone())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().names.is_empty()
    }

    /// As tmpfs counts it: twenty bytes an entry, with `.` and `..`.
    pub(super) fn size(&self) -> u64 {
        (self.0.lock().names.len() as u64 + 2) * 20
    }

    /// Names an inode. The name is new.
    pub(super) fn insert(&self, name: &[u8], inode: Arc<Inode>) -> Result<()> {
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut contents = self.0.lock();
        if contents.removed {
            return Err(Errno::ENOENT);
        }
        if contents.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        inode.volume().budget().take(cost(name))?;
        let name: Arc<[u8]> = name.into();
        let age = contents.next;
        contents.next += 1;
        contents.ages.insert(age, name.clone());
        contents.names.insert(name, Entry { age, inode });
        Ok(())
    }

    pub(super) fn remove(&self, name: &[u8]) -> Option<Arc<Inode>> {
        let mut contents = self.0.lock();
        let entry = contents.names.remove(name)?;
        contents.ages.remove(&entry.age);
        entry.inode.volume().budget().give(cost(name));
        Some(entry.inode)
    }

    /// Puts another inode under a name, and returns the one before.
    pub(super) fn replace(&self, name: &[u8], inode: Arc<Inode>) -> Option<Arc<Inode>> {
        let mut contents = self.0.lock();
        let entry = contents.names.get_mut(name)?;
        Some(core::mem::replace(&mut entry.inode, inode))
    }

    /// The directory it lies in; `None` of a root, and if that one is gone.
    pub(super) fn parent(&self) -> Option<Arc<Inode>> {
        self.0.lock().parent.as_ref()?.upgrade()
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.lock().parent.is_none()
    }

    pub(super) fn set_parent(&self, parent: &Arc<Inode>) {
        self.0.lock().parent = Some(Arc::downgrade(parent));
    }

    pub(super) fn is_removed(&self) -> bool {
        self.0.lock().removed
    }

    /// Takes its name for ever.
    pub(super) fn set_removed(&self) {
        self.0.lock().removed = true;
    }

    pub(super) fn cover(&self) -> Option<Arc<Inode>> {
        self.0.lock().cover.clone()
    }

    pub(super) fn set_cover(&self, root: Option<Arc<Inode>>) {
        self.0.lock().cover = root;
    }

    pub(super) fn mounted_on(&self) -> Option<Arc<Inode>> {
        self.0.lock().mounted_on.clone()
    }

    pub(super) fn set_mounted_on(&self, directory: Option<Arc<Inode>>) {
        self.0.lock().mounted_on = directory;
    }

    /// The name of an inode.
    pub(super) fn name_of(&self, inode: &Inode) -> Option<Arc<[u8]>> {
        let contents = self.0.lock();
        let mut names = contents.names.iter();
        names.find(|(_, entry)| core::ptr::eq(Arc::as_ptr(&entry.inode), inode)).map(|(name, _)| name.clone())
    }

    /// The first entry that is not younger than `age`: its age, name and inode.
    pub(super) fn next(&self, age: u64) -> Option<(u64, Arc<[u8]>, Arc<Inode>)> {
        let contents = self.0.lock();
        let (age, name) = contents.ages.range(age..).next()?;
        let entry = contents.names.get(name)?;
        Some((*age, name.clone(), entry.inode.clone()))
    }
}

impl Contents {
    /// Forgets all names.
    fn take_inodes(&mut self) -> impl Iterator<Item = Arc<Inode>> + use<> {
        self.ages.clear();
        core::mem::take(&mut self.names).into_iter().map(|(name, entry)| {
            entry.inode.volume().budget().give(cost(&name));
            entry.inode
        })
    }
}

/// A tree goes without a call inside a call for each level: it may be deeper than the stack.
impl Drop for Directory {
    fn drop(&mut self) {
        let mut rest: Vec<_> = self.0.get_mut().take_inodes().collect();
        while let Some(inode) = rest.pop() {
            if let Some(mut inode) = Arc::into_inner(inode)
                && let Node::Directory(directory) = &mut inode.node
            {
                rest.extend(directory.0.get_mut().take_inodes());
            }
        }
    }
}
