//! Locks on files, which are advice: who does not ask is not held back.
//!
//! There are two kinds, and each knows only its own: `flock` locks a whole file for an open file description,
//! `fcntl` locks a range of it for whoever has a descriptor table.

use super::file::{File, Whence};
use super::stat::Fields;
use crate::errno::{Errno, Result};
use crate::wait::WaitQueue;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use spin::Mutex;

/// How many there can be in a volume.
const MAX_LOCKS: usize = 1024;

/// What others may do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lock it in the same way.
    Shared,
    /// Nothing.
    Exclusive,
}

/// Whose a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The open file description at this address.
    File(usize),
    /// The descriptor table with this number.
    Table(u32),
}

impl Owner {
    /// Whether this is another owner of the same kind.
    fn rivals(self, other: Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(two)) => one != two,
            (Self::Table(one), Self::Table(two)) => one != two,
            _ => false,
        }
    }
}

/// The bytes from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    first: u64,
    last: u64,
}

impl Range {
    pub(super) const ALL: Self = Self { first: 0, last: i64::MAX as u64 };

    fn meets(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

#[derive(Clone, Copy, Debug)]
struct Held {
    inode: u32,
    owner: Owner,
    kind: Kind,
    range: Range,
    /// Of a record: the process that asked for it.
    process: u32,
}

impl Held {
    fn is_of(&self, inode: u32, owner: Owner) -> bool {
        self.inode == inode && self.owner == owner
    }

    /// Whether `other` cannot be held beside it.
    fn excludes(&self, other: &Self) -> bool {
        self.inode == other.inode
            && self.owner.rivals(other.owner)
            && self.range.meets(other.range)
            && (self.kind == Kind::Exclusive || other.kind == Kind::Exclusive)
    }
}

/// The locks of a volume.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Mutex<Vec<Held>>,
    /// How many there are, to be read without the lock.
    count: AtomicUsize,
    queue: WaitQueue,
}

/// What `fcntl` asks for, or tells: `struct flock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// `None` unlocks, and tells that nothing is in the way.
    pub kind: Option<Kind>,
    pub whence: Whence,
    pub start: i64,
    /// Zero: to the end, wherever that will be. Negative: what lies before the start.
    pub len: i64,
    pub process: u32,
}

impl Record {
    pub const SIZE: usize = 16;
    /// Of `struct flock64`.
    pub const SIZE_64: usize = 24;

    fn kind(number: u16) -> Result<Option<Kind>> {
        match number {
            0 => Ok(Some(Kind::Shared)),
            1 => Ok(Some(Kind::Exclusive)),
            2 => Ok(None),
            _ => Err(Errno::EINVAL),
        }
    }

    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Result<Self> {
        let [a, b, c, d, start @ .., e, f, g, h, _, _, _, _] = bytes;
        Ok(Self {
            kind: Self::kind(u16::from_le_bytes([a, b]))?,
            whence: Whence::from_u32(u16::from_le_bytes([c, d]).into())?,
            start: i32::from_le_bytes(start).into(),
            len: i32::from_le_bytes([e, f, g, h]).into(),
            process: 0,
        })
    }

    pub fn from_bytes_64(bytes: [u8; Self::SIZE_64]) -> Result<Self> {
        let [a, b, c, d, start @ .., e, f, g, h, i, j, k, l, _, _, _, _] = bytes;
        Ok(Self {
            kind: Self::kind(u16::from_le_bytes([a, b]))?,
            whence: Whence::from_u32(u16::from_le_bytes([c, d]).into())?,
            start: i64::from_le_bytes(start),
            len: i64::from_le_bytes([e, f, g, h, i, j, k, l]),
            process: 0,
        })
    }

    fn fields<const N: usize>(&self) -> Fields<N> {
        let kind = match self.kind {
            Some(Kind::Shared) => 0,
            Some(Kind::Exclusive) => 1,
            None => 2,
        };
        Fields::new().u16(kind).u16(self.whence as u16)
    }

    /// EOVERFLOW if its place does not fit.
    pub fn to_bytes(&self) -> Result<[u8; Self::SIZE]> {
        let narrow = |value: i64| i32::try_from(value).map_err(|_| Errno::EOVERFLOW);
        let (start, len) = (narrow(self.start)?, narrow(self.len)?);
        Ok(self.fields().u32(start as u32).u32(len as u32).u32(self.process).finish())
    }

    pub fn to_bytes_64(&self) -> [u8; Self::SIZE_64] {
        self.fields().u64(self.start as u64).u64(self.len as u64).u32(self.process).finish()
    }

    /// The bytes meant, where `whence` counts from `origin`.
    pub(super) fn range(&self, origin: u64) -> Result<Range> {
        let origin = i64::try_from(origin).map_err(|_| Errno::EOVERFLOW)?;
        let start = origin.checked_add(self.start).ok_or(Errno::EOVERFLOW)?;
        let (first, last) = match self.len {
            0 => (start, i64::MAX),
            len if len > 0 => (start, start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?),
            len => (start.checked_add(len).ok_or(Errno::EINVAL)?, start - 1),
        };
        let first = u64::try_from(first).map_err(|_| Errno::EINVAL)?;
        Ok(Range { first, last: u64::try_from(last).map_err(|_| Errno::EINVAL)? })
    }
}

impl Locks {
    /// Where who is refused waits.
    pub(super) fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    /// Makes all of a range locked in this way, or not, whatever parts of it the owner had locked before.
    ///
    /// # Errors
    ///
    /// EAGAIN if another owner is in the way; ENOLCK if there are too many.
    pub(super) fn set(
        &self,
        inode: u32,
        owner: Owner,
        range: Range,
        kind: Option<Kind>,
        process: u32,
    ) -> Result<()> {
        let mut held = self.held.lock();
        if let Some(kind) = kind {
            let new = Held { inode, owner, kind, range, process };
            if held.iter().any(|held| held.excludes(&new)) {
                return Err(Errno::EAGAIN);
            }
            // One is new, and one may be cut in two.
            if held.len() + 2 > MAX_LOCKS || held.try_reserve(2).is_err() {
                return Err(Errno::ENOLCK);
            }
            cut(&mut held, inode, owner, range)?;
            held.push(new);
        } else {
            let splits = |held: &Held| {
                held.is_of(inode, owner) && held.range.first < range.first && held.range.last > range.last
            };
            if held.len() >= MAX_LOCKS && held.iter().any(splits) {
                return Err(Errno::ENOLCK);
            }
            cut(&mut held, inode, owner, range)?;
        }
        self.count.store(held.len(), Ordering::Relaxed);
        drop(held);
        // What was exclusive may be shared now, or free.
        self.queue.wake_all();
        Ok(())
    }

    /// What of another owner is in the way of a lock, if anything.
    pub(super) fn test(&self, inode: u32, owner: Owner, range: Range, kind: Kind) -> Option<Record> {
        let new = Held { inode, owner, kind, range, process: 0 };
        let held = self.held.lock();
        let other = held.iter().find(|held| held.excludes(&new))?;
        let Range { first, last } = other.range;
        let len = if last == Range::ALL.last { 0 } else { (last - first + 1) as i64 };
        let (start, process) = (first as i64, other.process);
        Some(Record { kind: Some(other.kind), whence: Whence::Start, start, len, process })
    }

    /// Unlocks all that an owner has locked of an inode.
    #[inline]
    pub(super) fn release(&self, inode: u32, owner: Owner) {
        if self.count.load(Ordering::Relaxed) > 0 {
            self.release_held(inode, owner);
        }
    }

    #[cold]
    fn release_held(&self, inode: u32, owner: Owner) {
        let mut held = self.held.lock();
        let before = held.len();
        held.retain(|held| !held.is_of(inode, owner));
        self.count.store(held.len(), Ordering::Relaxed);
        let released = held.len() < before;
        drop(held);
        if released {
            self.queue.wake_all();
        }
    }
}

/// Takes a range out of what an owner has locked: of what reaches beyond it, the parts outside stay. ENOLCK, and
/// nothing is changed, if there is no memory for one more.
fn cut(held: &mut Vec<Held>, inode: u32, owner: Owner, range: Range) -> Result<()> {
    held.try_reserve(1).map_err(|_| Errno::ENOLCK)?;
    let mut behind = None;
    held.retain_mut(|held| {
        if !held.is_of(inode, owner) || !held.range.meets(range) {
            return true;
        }
        let old = held.range;
        if old.last > range.last {
            let rest = Held { range: Range { first: range.last + 1, ..old }, ..*held };
            if old.first >= range.first {
                *held = rest;
                return true;
            }
            // Only one can reach beyond both ends, since an owner's locks do not overlap.
            behind = Some(rest);
        }
        if old.first < range.first {
            held.range.last = range.first - 1;
            return true;
        }
        false
    });
    held.extend(behind);
    Ok(())
}

impl File {
    /// `flock`: locks all of it, or unlocks it, for those who share this description.
    ///
    /// # Errors
    ///
    /// EAGAIN if another description is in the way; who may wait does so in the [`lock_queue`](Self::lock_queue). What
    /// this one had locked before it has not any more.
    pub fn lock_whole(&self, kind: Option<Kind>) -> Result<()> {
        let Some(inode) = self.inode().filter(|_| !self.is_path()) else {
            return Err(if self.is_path() { Errno::EBADF } else { Errno::EINVAL });
        };
        let locks = inode.volume().locks();
        locks.release(inode.number(), self.lock_owner());
        match kind {
            Some(_) => locks.set(inode.number(), self.lock_owner(), Range::ALL, kind, 0),
            None => Ok(()),
        }
    }

    /// Nobody has this description any more.
    pub(super) fn release_whole(&self) {
        if let Some(inode) = self.inode() {
            inode.volume().locks().release(inode.number(), self.lock_owner());
        }
    }

    fn lock_owner(&self) -> Owner {
        Owner::File(core::ptr::from_ref(self).addr())
    }

    /// The volume's locks, the inode's number, and the bytes that a record means.
    pub(super) fn record(&self, record: &Record) -> Result<(&Locks, u32, Range)> {
        let inode = self.inode().ok_or(Errno::EINVAL)?;
        let usable = match record.kind {
            Some(Kind::Shared) => self.check_reads(),
            Some(Kind::Exclusive) => self.check_writes(),
            None if self.is_path() => Err(Errno::EBADF),
            None => Ok(()),
        };
        usable?;
        let origin = match record.whence {
            Whence::Start => 0,
            Whence::Current => self.offset(),
            Whence::End => self.size(),
        };
        Ok((inode.volume().locks(), inode.number(), record.range(origin)?))
    }

    /// Unlocks all records that a descriptor table has locked of it.
    #[inline]
    pub(super) fn release_records(&self, table: u32) {
        if let Some(inode) = self.inode() {
            inode.volume().locks().release(inode.number(), Owner::Table(table));
        }
    }

    /// Shows the queue that is woken when a lock on it may be had.
    pub fn lock_queue(&self, visit: &mut dyn FnMut(&WaitQueue)) {
        if let Some(inode) = self.inode() {
            visit(inode.volume().locks().queue());
        }
    }
}

#[cfg(test)]
mod tests;
