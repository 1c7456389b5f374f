//! Pages of memory.

use super::call::{Result, call3, call6};

const BRK: usize = 45;
const MUNMAP: usize = 91;
const MMAP2: usize = 192;
const READ_WRITE: usize = 3;
const PRIVATE_ANONYMOUS: usize = 0x22;

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// Zeroed pages of this process alone, which go with this value.
#[derive(Debug)]
pub struct Pages {
    start: usize,
    length: usize,
}

impl Pages {
    /// As many pages as `length` bytes take.
    pub fn map(length: usize) -> Result<Self> {
        // SAFETY: the kernel chooses the place, where nothing is.
        let start = unsafe { call6(MMAP2, &[0, length, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0]) }?;
        Ok(Self { start, length })
    }

    /// Writes one byte of each page.
    pub fn touch(&mut self) {
        for offset in (0..self.length).step_by(PAGE) {
            let byte = core::ptr::with_exposed_provenance_mut::<u8>(self.start + offset);
            // SAFETY: the byte lies in the mapping, which is ours alone.
            unsafe { byte.write_volatile(1) };
        }
    }

    /// Where they start.
    pub fn address(&self) -> u32 {
        self.start as u32
    }

    /// Gives those behind the first `length` bytes back.
    pub fn shorten(&mut self, length: usize) {
        let rest = self.length.saturating_sub(length);
        if length.is_multiple_of(PAGE) && rest > 0 {
            // SAFETY: nobody has a reference into the mapping, and from now on it ends there.
            _ = unsafe { call3(MUNMAP, [self.start + length, rest, 0]) };
            self.length = length;
        }
    }

    /// Writes bytes from an offset on, as many as there is room for.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        for (at, byte) in (offset..self.length).zip(bytes) {
            let place = core::ptr::with_exposed_provenance_mut::<u8>(self.start + at);
            // SAFETY: the byte lies in the mapping, which is ours alone.
            unsafe { place.write_volatile(*byte) };
        }
    }

    /// Gives the pages back.
    pub fn unmap(self) {}

    /// Keeps the pages for as long as the process lives.
    pub fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: nobody has a reference into the mapping.
        _ = unsafe { call3(MUNMAP, [self.start, self.length, 0]) };
    }
}

/// Moves the end of the data segment up by `length` bytes, which nobody uses.
pub fn grow_data(length: usize) -> Result<()> {
    // SAFETY: the end is asked for.
    let end = unsafe { call3(BRK, [0, 0, 0]) }?;
    // SAFETY: it moves up only.
    let grown = unsafe { call3(BRK, [end.saturating_add(length), 0, 0]) }?;
    if grown > end { Ok(()) } else { Err(super::Errno::NOMEM) }
}
