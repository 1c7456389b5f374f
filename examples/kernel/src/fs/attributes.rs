//! What is changed about an inode: its mode, its owner, its times, its size.

use super::clock::{Time, now};
use super::inode::{Inode, WRITE};
use super::stat::S_ISGID;
use super::subject::Subject;
use super::tree::Tree;
use crate::errno::{Errno, Result};

/// What becomes of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Keep,
    Now,
    To(Time),
}

impl Change {
    fn time(self) -> Option<Time> {
        match self {
            Self::Keep => None,
            Self::Now => Some(now()),
            Self::To(time) => Some(time),
        }
    }
}

impl Tree {
    /// `access`: whether all of `want` is allowed, bits of 4 to read, 2 to write, 1 to execute.
    pub fn access(&self, subject: &Subject, inode: &Inode, want: u32) -> Result<()> {
        if want > 7 {
            return Err(Errno::EINVAL);
        }
        inode.check(subject, want as u16)
    }

    /// Cuts or grows a file by path.
    pub fn truncate(&self, subject: &Subject, inode: &Inode, size: u64) -> Result<()> {
        inode.check(subject, WRITE)?;
        inode.truncate(size)
    }

    pub fn change_mode(&self, subject: &Subject, inode: &Inode, permissions: u16) -> Result<()> {
        inode.check_owner(subject)?;
        let outside = subject.uid != 0 && !subject.is_in(inode.gid());
        inode.set_permissions(if outside { permissions & !S_ISGID } else { permissions });
        Ok(())
    }

    /// `chown`; `None` leaves as it is.
    pub fn change_owner(
        &self,
        subject: &Subject,
        inode: &Inode,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<()> {
        if subject.uid != 0 {
            inode.check_owner(subject)?;
            let same = uid.is_none_or(|uid| uid == inode.uid());
            if !same || !gid.is_none_or(|gid| gid == inode.gid() || subject.is_in(gid)) {
                return Err(Errno::EPERM);
            }
        }
        inode.set_owner(uid, gid);
        Ok(())
    }

    /// `utimensat`.
    pub fn change_times(
        &self,
        subject: &Subject,
        inode: &Inode,
        accessed: Change,
        modified: Change,
    ) -> Result<()> {
        if accessed == Change::Now && modified == Change::Now {
            if inode.check_owner(subject).is_err() {
                inode.check(subject, WRITE)?;
            }
        } else if accessed != Change::Keep || modified != Change::Keep {
            inode.check_owner(subject)?;
        }
        inode.set_times(accessed.time(), modified.time());
        Ok(())
    }
}
