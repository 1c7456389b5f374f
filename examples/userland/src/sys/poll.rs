//! Waiting for files.

use super::call::{Result, call3, call6};
use super::file::File;

const SELECT: usize = 142;
const POLL: usize = 168;

/// What `poll` waits for on one file.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Poll {
    file: u32,
    wanted: u16,
    found: u16,
}

impl Poll {
    /// That there is something to read.
    pub fn read(file: File) -> Self {
        Self { file: file.0, wanted: 1, found: 0 }
    }

    /// That something can be written.
    pub fn write(file: File) -> Self {
        Self { file: file.0, wanted: 4, found: 0 }
    }
}

/// How many of `files` are ready, at once.
pub fn poll(files: &mut [Poll]) -> Result<usize> {
    // SAFETY: the kernel writes into as many as there are.
    unsafe { call3(POLL, [files.as_mut_ptr().addr(), files.len(), 0]) }
}

/// How many of two files, one to be read, one to be written, are ready, at once. Their numbers are below 32.
pub fn select(read: File, write: File) -> Result<usize> {
    let [mut readers, mut writers] = [1_u32 << (read.0 & 31), 1 << (write.0 & 31)];
    let mut timeout = [0_usize; 2];
    let count = read.0.max(write.0) as usize + 1;
    let sets = [(&raw mut readers).addr(), (&raw mut writers).addr()];
    // SAFETY: the kernel reads and writes sets of `count` bits, in whole words, and the time.
    unsafe { call6(SELECT, &[count, sets[0], sets[1], 0, timeout.as_mut_ptr().addr(), 0]) }
}
