//! Directories: inodes by name.

use super::inode::{Inode, Node};
use super::live::{self, Names};
use super::stat::NAME_MAX;
use crate::errno::{Errno, Result};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use spin::Mutex;

/// Where the names of a directory begin for who reads it: before them are `.` and `..`.
pub(super) const FIRST: u64 = 2;

pub(super) struct Directory {
    contents: Mutex<Contents>,
    /// Where its entries come from, if they are not kept here.
    live: Option<Box<dyn Names>>,
}

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
        let contents = Contents {
            names: BTreeMap::new(),
            ages: BTreeMap::new(),
            next: FIRST,
            parent: parent.map(Arc::downgrade),
            removed: false,
            cover: None,
            mounted_on: None,
        };
        Self { contents: Mutex::new(contents), live: None }
    }

    /// A directory whose entries come from elsewhere, and cannot be changed.
    pub(super) fn live(parent: Option<&Arc<Inode>>, names: Box<dyn Names>) -> Self {
        let mut directory = Self::new(parent);
        directory.live = Some(names);
        directory
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// What it has under a name. `own` is the inode of this directory.
    pub(super) fn get(&self, own: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        match &self.live {
            Some(live) => live.get(own, name),
            None => Ok(self.contents.lock().names.get(name).map(|entry| entry.inode.clone())),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.contents.lock().names.is_empty()
    }

    /// As tmpfs counts it: twenty bytes an entry, with `.` and `..`.
    pub(super) fn size(&self) -> u64 {
        (self.contents.lock().names.len() as u64 + 2) * 20
    }

    /// Names an inode. The name is new.
    pub(super) fn insert(&self, name: &[u8], inode: Arc<Inode>) -> Result<()> {
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut contents = self.contents.lock();
        if contents.removed || self.is_live() {
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
        let mut contents = self.contents.lock();
        let entry = contents.names.remove(name)?;
        contents.ages.remove(&entry.age);
        entry.inode.volume().budget().give(cost(name));
        Some(entry.inode)
    }

    /// Puts another inode under a name, and returns the one before.
    pub(super) fn replace(&self, name: &[u8], inode: Arc<Inode>) -> Option<Arc<Inode>> {
        let mut contents = self.contents.lock();
        let entry = contents.names.get_mut(name)?;
        Some(core::mem::replace(&mut entry.inode, inode))
    }

    /// The directory it lies in; `None` of a root, and if that one is gone.
    pub(super) fn parent(&self) -> Option<Arc<Inode>> {
        self.contents.lock().parent.as_ref()?.upgrade()
    }

    pub(super) fn is_root(&self) -> bool {
        self.contents.lock().parent.is_none()
    }

    pub(super) fn set_parent(&self, parent: &Arc<Inode>) {
        self.contents.lock().parent = Some(Arc::downgrade(parent));
    }

    pub(super) fn is_removed(&self) -> bool {
        self.contents.lock().removed
    }

    /// Takes its name for ever.
    pub(super) fn set_removed(&self) {
        self.contents.lock().removed = true;
    }

    pub(super) fn cover(&self) -> Option<Arc<Inode>> {
        self.contents.lock().cover.clone()
    }

    pub(super) fn set_cover(&self, root: Option<Arc<Inode>>) {
        self.contents.lock().cover = root;
    }

    pub(super) fn mounted_on(&self) -> Option<Arc<Inode>> {
        self.contents.lock().mounted_on.clone()
    }

    pub(super) fn set_mounted_on(&self, directory: Option<Arc<Inode>>) {
        self.contents.lock().mounted_on = directory;
    }

    /// The name of an inode.
    pub(super) fn name_of(&self, own: &Arc<Inode>, inode: &Inode) -> Option<Arc<[u8]>> {
        if let Some(live) = &self.live {
            let mut place = FIRST;
            while let Some(entry) = live.next(own, place).ok()? {
                if entry.inode.number() == inode.number() {
                    return Some(entry.name);
                }
                place = entry.place + 1;
            }
            return None;
        }
        let contents = self.contents.lock();
        let mut names = contents.names.iter();
        names.find(|(_, entry)| core::ptr::eq(Arc::as_ptr(&entry.inode), inode)).map(|(name, _)| name.clone())
    }

    /// The first entry whose place, which is its age, is not before `place`.
    pub(super) fn next(&self, own: &Arc<Inode>, place: u64) -> Result<Option<live::Entry>> {
        if let Some(live) = &self.live {
            return live.next(own, place);
        }
        let contents = self.contents.lock();
        let found = contents.ages.range(place..).next();
        Ok(found.and_then(|(age, name)| {
            let inode = contents.names.get(name)?.inode.clone();
            Some(live::Entry { place: *age, name: name.clone(), inode })
        }))
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
        let mut rest: Vec<_> = self.contents.get_mut().take_inodes().collect();
        while let Some(inode) = rest.pop() {
            if let Some(mut inode) = Arc::into_inner(inode)
                && let Node::Directory(directory) = &mut inode.node
            {
                rest.extend(directory.contents.get_mut().take_inodes());
            }
        }
    }
}
