//! Renaming.

use super::inode::{Inode, Node, SEARCH, WRITE};
use super::subject::Subject;
use super::tree::{Tree, check_delete};
use super::walk::Walk;
use crate::errno::{Errno, Result};
use alloc::sync::Arc;

/// What becomes of a file that has the new name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    Yes,
    /// EEXIST: `RENAME_NOREPLACE`.
    No,
}

impl Replace {
    /// From the flags of `renameat2`; EINVAL for those that not every file system has.
    pub fn from_u32(flags: u32) -> Result<Self> {
        match flags {
            0 => Ok(Self::Yes),
            1 => Ok(Self::No),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl Tree {
    pub fn rename(
        &self,
        subject: &Subject,
        (old_at, old_path): (&Arc<Inode>, &[u8]),
        (new_at, new_path): (&Arc<Inode>, &[u8]),
        replace: Replace,
    ) -> Result<()> {
        let mut old = Walk::new(subject, old_at, old_path)?;
        old.go_to_last()?;
        let mut new = Walk::new(subject, new_at, new_path)?;
        new.go_to_last()?;
        if !Arc::ptr_eq(old.directory.volume(), new.directory.volume()) {
            return Err(Errno::EXDEV);
        }
        let old_name = old.name().ok_or(Errno::EBUSY)?;
        let taken = if replace == Replace::No { Errno::EEXIST } else { Errno::EBUSY };
        let new_name = new.name().ok_or(taken)?;
        let inode = old.find_last()?.ok_or(Errno::ENOENT)?;
        let target = new.find_last()?;
        if target.is_some() && replace == Replace::No {
            return Err(Errno::EEXIST);
        }
        if !inode.is_directory() && (old.wants_directory || new.wants_directory) {
            return Err(Errno::ENOTDIR);
        }
        if is_above(&inode, &new.directory) {
            return Err(Errno::EINVAL);
        }
        if target.as_ref().is_some_and(|target| is_above(target, &old.directory)) {
            return Err(Errno::ENOTEMPTY);
        }
        if target.as_ref().is_some_and(|target| Arc::ptr_eq(target, &inode)) {
            return Ok(());
        }
        check_delete(subject, &old.directory, &inode)?;
        match &target {
            Some(target) => check_replace(subject, &new.directory, &inode, target)?,
            None => new.directory.check(subject, WRITE | SEARCH)?,
        }
        let moves = !Arc::ptr_eq(&old.directory, &new.directory);
        if inode.is_directory() && moves {
            inode.check(subject, WRITE)?;
        }
        if is_mounted(&inode) || target.as_ref().is_some_and(is_mounted) {
            return Err(Errno::EBUSY);
        }
        if let Some(Node::Directory(replaced)) = target.as_ref().map(|target| &target.node)
            && !replaced.is_empty()
        {
            return Err(Errno::ENOTEMPTY);
        }
        commit(&old.directory, old_name, &new.directory, new_name, &inode, target)
    }
}

/// Everything is checked; only memory may be missing, and then nothing has changed.
fn commit(
    old: &Arc<Inode>,
    old_name: &[u8],
    new: &Arc<Inode>,
    new_name: &[u8],
    inode: &Arc<Inode>,
    target: Option<Arc<Inode>>,
) -> Result<()> {
    let (Node::Directory(from), Node::Directory(to)) = (&old.node, &new.node) else {
        return Err(Errno::ENOTDIR);
    };
    match &target {
        Some(_) => drop(to.replace(new_name, inode.clone())),
        None => to.insert(new_name, inode.clone())?,
    }
    from.remove(old_name);
    if let Node::Directory(moved) = &inode.node {
        moved.set_parent(new);
        old.remove_link();
        new.add_link();
    }
    if let Some(target) = target {
        target.remove_link();
        if let Node::Directory(replaced) = &target.node {
            replaced.set_removed();
            target.remove_link();
            new.remove_link();
        }
    }
    inode.touch_change();
    old.touch();
    new.touch();
    Ok(())
}

fn check_replace(subject: &Subject, directory: &Inode, inode: &Inode, target: &Inode) -> Result<()> {
    check_delete(subject, directory, target)?;
    match (inode.is_directory(), target.is_directory()) {
        (true, false) => Err(Errno::ENOTDIR),
        (false, true) => Err(Errno::EISDIR),
        _ => Ok(()),
    }
}

/// Whether it is the root of something mounted.
fn is_mounted(inode: &Arc<Inode>) -> bool {
    matches!(&inode.node, Node::Directory(directory) if directory.is_root())
}

/// Whether `below` is `inode` or lies somewhere in it.
fn is_above(inode: &Arc<Inode>, below: &Arc<Inode>) -> bool {
    let mut next = Some(below.clone());
    while let Some(place) = next {
        if Arc::ptr_eq(&place, inode) {
            return true;
        }
        next = match &place.node {
            Node::Directory(directory) => directory.parent(),
            _ => None,
        };
    }
    false
}
