//! Bytes on their way to a program and from it.

use crate::errno::Result;
use alloc::vec::Vec;

/// Where an operation puts what it reads: a program's memory.
///
/// It calls nothing in [`fs`](super), and waits for nothing: locks may be held around it.
pub trait Sink {
    /// Takes the first of these bytes and says how many. Fewer than all: a page was missing, stop here.
    fn put(&mut self, bytes: &[u8]) -> Result<usize>;

    /// Takes so many zeros, as [`put`](Self::put).
    fn put_zeros(&mut self, mut count: usize) -> Result<usize> {
        static ZEROS: [u8; 512] = [0; 512];
        let mut done = 0;
        while count > 0 {
            let some = count.min(ZEROS.len());
            let put = match self.put(ZEROS.get(..some).unwrap_or(&ZEROS)) {
                Ok(put) => put,
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            };
            done += put;
            if put < some {
                break;
            }
            count -= some;
        }
        Ok(done)
    }
}

/// Where an operation gets what it writes. As [`Sink`], it calls nothing in [`fs`](super).
pub trait Source {
    /// Fills the first of the buffer and says how much. Less than all: a page was missing, stop here.
    ///
    /// What a source gave and the operation did not count is not written: who goes on goes on from what the
    /// *operation* returned.
    fn get(&mut self, buffer: &mut [u8]) -> Result<usize>;
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> Result<usize> {
        self.try_reserve(bytes.len()).map_err(|_| crate::errno::Errno::ENOMEM)?;
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }
}

/// Fills the slice from its start, which moves on; full, it takes nothing.
impl Sink for &mut [u8] {
    fn put(&mut self, bytes: &[u8]) -> Result<usize> {
        let count = bytes.len().min(self.len());
        let (now, later) = core::mem::take(self).split_at_mut(count);
        now.copy_from_slice(bytes.get(..count).unwrap_or_default());
        *self = later;
        Ok(count)
    }
}

impl Source for &[u8] {
    fn get(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = buffer.len().min(self.len());
        let (now, later) = self.split_at(count);
        buffer.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
        *self = later;
        Ok(count)
    }
}
