//! What a file is, in the layouts of Linux on i386.

use super::clock::Time;
use super::device::DeviceNumber;
use crate::errno::{Errno, Result};

pub const S_IFMT: u16 = 0o170000;
pub const S_IFIFO: u16 = 0o010000;
pub const S_IFCHR: u16 = 0o020000;
pub const S_IFDIR: u16 = 0o040000;
pub const S_IFBLK: u16 = 0o060000;
pub const S_IFREG: u16 = 0o100000;
pub const S_IFLNK: u16 = 0o120000;
pub const S_IFSOCK: u16 = 0o140000;
pub const S_ISUID: u16 = 0o4000;
pub const S_ISGID: u16 = 0o2000;
pub const S_ISVTX: u16 = 0o1000;
/// The group may execute it.
pub const S_IXGRP: u16 = 0o010;
/// Whoever may execute it.
pub const S_IXANY: u16 = 0o111;

/// What `stat` and its kin tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    pub device: DeviceNumber,
    pub inode: u64,
    /// The type and the permissions.
    pub mode: u16,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of a device node: which.
    pub special: DeviceNumber,
    pub size: u64,
    /// In units of 512 bytes, whatever `block_size` is.
    pub blocks: u64,
    pub block_size: u32,
    pub accessed: Time,
    pub modified: Time,
    pub changed: Time,
}

/// Writes little-endian fields one after the other.
pub(super) struct Fields<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Fields<N> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], at: 0 }
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        if let Some(place) = self.bytes.get_mut(self.at..self.at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.at += bytes.len();
        self
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn skip(mut self, count: usize) -> Self {
        self.at += count;
        self
    }

    pub(super) fn finish(self) -> [u8; N] {
        self.bytes
    }
}

/// `STATX_BASIC_STATS`: all that is told.
const STATX_BASIC: u32 = 0x7ff;

impl Stat {
    /// `struct stat64`.
    pub fn to_stat64(&self) -> [u8; 96] {
        let time = |fields: Fields<96>, time: Time| fields.u32(time.seconds as u32).u32(time.nanoseconds);
        let mut fields = Fields::new()
            .u64(u64::from(self.device.to_u32()))
            .skip(4)
            .u32(self.inode as u32)
            .u32(u32::from(self.mode))
            .u32(self.links)
            .u32(self.uid)
            .u32(self.gid)
            .u64(u64::from(self.special.to_u32()))
            .skip(4)
            .u64(self.size)
            .u32(self.block_size)
            .u64(self.blocks);
        for stamp in [self.accessed, self.modified, self.changed] {
            fields = time(fields, stamp);
        }
        fields.u64(self.inode).finish()
    }

    /// `struct stat`; EOVERFLOW if a file of this size or number does not fit.
    pub fn to_stat(&self) -> Result<[u8; 64]> {
        let narrow = |value: u64| u32::try_from(value).map_err(|_| Errno::EOVERFLOW);
        let short = |value: u32| u16::try_from(value).unwrap_or(u16::MAX - 1);
        let size = i32::try_from(self.size).map_err(|_| Errno::EOVERFLOW)?;
        let mut fields = Fields::new()
            .u32(self.device.to_u32())
            .u32(narrow(self.inode)?)
            .u16(self.mode)
            .u16(u16::try_from(self.links).map_err(|_| Errno::EOVERFLOW)?)
            .u16(short(self.uid))
            .u16(short(self.gid))
            .u32(self.special.to_u32())
            .u32(size as u32)
            .u32(self.block_size)
            .u32(narrow(self.blocks)?);
        for stamp in [self.accessed, self.modified, self.changed] {
            fields = fields.u32(stamp.seconds as u32).u32(stamp.nanoseconds);
        }
        Ok(fields.finish())
    }

    /// `struct statx`.
    pub fn to_statx(&self) -> [u8; 256] {
        let time =
            |fields: Fields<256>, time: Time| fields.u64(time.seconds as u64).u32(time.nanoseconds).skip(4);
        let fields = Fields::new()
            .u32(STATX_BASIC)
            .u32(self.block_size)
            .skip(8)
            .u32(self.links)
            .u32(self.uid)
            .u32(self.gid)
            .u16(self.mode)
            .skip(2)
            .u64(self.inode)
            .u64(self.size)
            .u64(self.blocks)
            .skip(8);
        // The time of birth is between them, and not known.
        let fields = time(time(time(fields, self.accessed).skip(16), self.changed), self.modified);
        fields
            .u32(u32::from(self.special.major))
            .u32(self.special.minor)
            .u32(u32::from(self.device.major))
            .u32(self.device.minor)
            .finish()
    }
}

/// What `statfs` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatFs {
    /// The magic number of its type.
    pub kind: u32,
    pub block_size: u32,
    pub blocks: u64,
    pub free: u64,
    pub files: u64,
    pub free_files: u64,
}

/// The longest name.
pub const NAME_MAX: usize = 255;

impl StatFs {
    /// `struct statfs64`.
    pub fn to_statfs64(&self) -> [u8; 84] {
        Fields::new()
            .u32(self.kind)
            .u32(self.block_size)
            .u64(self.blocks)
            .u64(self.free)
            .u64(self.free)
            .u64(self.files)
            .u64(self.free_files)
            .skip(8)
            .u32(NAME_MAX as u32)
            .u32(self.block_size)
            .finish()
    }

    /// `struct statfs`; EOVERFLOW if it does not fit.
    pub fn to_statfs(&self) -> Result<[u8; 64]> {
        let narrow = |value: u64| u32::try_from(value).map_err(|_| Errno::EOVERFLOW);
        let fields = Fields::new()
            .u32(self.kind)
            .u32(self.block_size)
            .u32(narrow(self.blocks)?)
            .u32(narrow(self.free)?)
            .u32(narrow(self.free)?)
            .u32(narrow(self.files)?)
            .u32(narrow(self.free_files)?);
        Ok(fields.skip(8).u32(NAME_MAX as u32).u32(self.block_size).finish())
    }
}

#[cfg(test)]
mod tests;
