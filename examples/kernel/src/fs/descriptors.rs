//! Descriptor tables.

use super::file::File;
use super::lock::{Owner, Record};
use crate::errno::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

/// How many descriptors a process may have, unless it says otherwise.
pub const DEFAULT_LIMIT: u32 = 1024;
/// How many it can ever have.
pub const MAX_LIMIT: u32 = 4096;

/// The open files of a process by number. A fork clones it.
#[derive(Debug)]
pub struct Descriptors {
    slots: Vec<Option<Slot>>,
    limit: u32,
    /// Whose the records are that are locked through it.
    number: u32,
}

static NEXT: AtomicU32 = AtomicU32::new(1);

#[derive(Clone, Debug)]
struct Slot {
    file: Arc<File>,
    closes_on_exec: bool,
}

impl Descriptors {
    pub fn new() -> Self {
        Self { slots: Vec::new(), limit: DEFAULT_LIMIT, number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// As a fork has it: the same open files.
    pub fn try_clone(&self) -> Result<Self> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(self.slots.len()).map_err(|_| Errno::ENOMEM)?;
        slots.extend(self.slots.iter().cloned());
        Ok(Self { slots, limit: self.limit, number: NEXT.fetch_add(1, Ordering::Relaxed) })
    }

    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// New descriptors are smaller than this; those that are not, stay.
    pub fn set_limit(&mut self, limit: u32) -> Result<()> {
        if limit > MAX_LIMIT {
            return Err(Errno::EPERM);
        }
        self.limit = limit;
        Ok(())
    }

    fn slot(&self, descriptor: u32) -> Result<&Slot> {
        let slot = self.slots.get(usize::try_from(descriptor).unwrap_or(usize::MAX));
        slot.and_then(Option::as_ref).ok_or(Errno::EBADF)
    }

    pub fn get(&self, descriptor: u32) -> Result<&Arc<File>> {
        Ok(&self.slot(descriptor)?.file)
    }

    /// Gives a file the lowest free number.
    pub fn insert(&mut self, file: Arc<File>, closes_on_exec: bool) -> Result<u32> {
        self.insert_from(0, file, closes_on_exec)
    }

    /// Gives a file the lowest free number that is not below `lowest`.
    pub fn insert_from(&mut self, lowest: u32, file: Arc<File>, closes_on_exec: bool) -> Result<u32> {
        if lowest >= self.limit {
            return Err(if lowest == 0 { Errno::EMFILE } else { Errno::EINVAL });
        }
        let start = lowest as usize;
        let free = self.slots.iter().skip(start).position(Option::is_none);
        let place = free.map_or(self.slots.len().max(start), |free| start + free);
        let descriptor = u32::try_from(place).ok().filter(|descriptor| *descriptor < self.limit);
        let descriptor = descriptor.ok_or(Errno::EMFILE)?;
        self.put(place, Slot { file, closes_on_exec })?;
        Ok(descriptor)
    }

    /// Puts a slot in its place, and returns what was there.
    fn put(&mut self, place: usize, slot: Slot) -> Result<Option<Slot>> {
        if place >= self.slots.len() {
            let more = place + 1 - self.slots.len();
            self.slots.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
            self.slots.resize(place + 1, None);
        }
        let before = self.slots.get_mut(place).and_then(|place| place.replace(slot));
        if let Some(before) = &before {
            before.file.release_records(self.number);
        }
        Ok(before)
    }

    /// Frees a number. The file is closed when its last descriptor is, as the caller drops what it gets.
    pub fn close(&mut self, descriptor: u32) -> Result<Arc<File>> {
        let slot = self.slots.get_mut(usize::try_from(descriptor).unwrap_or(usize::MAX));
        let slot = slot.and_then(Option::take).ok_or(Errno::EBADF)?;
        slot.file.release_records(self.number);
        Ok(slot.file)
    }

    /// `dup`.
    pub fn duplicate(&mut self, descriptor: u32) -> Result<u32> {
        let file = self.get(descriptor)?.clone();
        self.insert(file, false)
    }

    /// `dup2`: as [`duplicate_to`](Self::duplicate_to), but onto itself it changes nothing.
    pub fn duplicate_over(&mut self, old: u32, new: u32) -> Result<Option<Arc<File>>> {
        self.get(old)?;
        if old == new { Ok(None) } else { self.duplicate_to(old, new, false) }
    }

    /// `dup3`: makes `new` what `old` is, and returns the file that `new` was.
    pub fn duplicate_to(&mut self, old: u32, new: u32, closes_on_exec: bool) -> Result<Option<Arc<File>>> {
        if old == new {
            return Err(Errno::EINVAL);
        }
        if new >= self.limit {
            return Err(Errno::EBADF);
        }
        let file = self.get(old)?.clone();
        let before = self.put(new as usize, Slot { file, closes_on_exec })?;
        Ok(before.map(|slot| slot.file))
    }

    pub fn closes_on_exec(&self, descriptor: u32) -> Result<bool> {
        Ok(self.slot(descriptor)?.closes_on_exec)
    }

    pub fn set_closes_on_exec(&mut self, descriptor: u32, closes: bool) -> Result<()> {
        let slot = self.slots.get_mut(usize::try_from(descriptor).unwrap_or(usize::MAX));
        slot.and_then(Option::as_mut).ok_or(Errno::EBADF)?.closes_on_exec = closes;
        Ok(())
    }

    /// Closes what an exec closes.
    pub fn exec(&mut self) {
        for slot in &mut self.slots {
            if let Some(closed) = slot.take_if(|slot| slot.closes_on_exec) {
                closed.file.release_records(self.number);
            }
        }
    }

    /// The numbers in use.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).zip(&self.slots).filter(|(_, slot)| slot.is_some()).map(|(number, _)| number)
    }
}

impl Descriptors {
    /// `F_SETLK`: locks a part of a file for all who share this table, or unlocks it.
    ///
    /// # Errors
    ///
    /// EAGAIN if another table is in the way; who may wait does so in the file's
    /// [`lock_queue`](File::lock_queue).
    pub fn set_record(&self, descriptor: u32, record: Record, process: u32) -> Result<()> {
        let (locks, inode, range) = self.get(descriptor)?.record(&record)?;
        locks.set(inode, Owner::Table(self.number), range, record.kind, process)
    }

    /// `F_GETLK`: what is in the way of a lock, or the same record with no kind.
    pub fn test_record(&self, descriptor: u32, record: Record) -> Result<Record> {
        let kind = record.kind.ok_or(Errno::EINVAL)?;
        // One may ask without being able to lock.
        let (locks, inode, range) = self.get(descriptor)?.record(&Record { kind: None, ..record })?;
        let found = locks.test(inode, Owner::Table(self.number), range, kind);
        Ok(found.unwrap_or(Record { kind: None, ..record }))
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        for slot in self.slots.iter().flatten() {
            slot.file.release_records(self.number);
        }
    }
}

impl Default for Descriptors {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
