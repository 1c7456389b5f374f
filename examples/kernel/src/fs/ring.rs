//! Bytes that wait in a ring, the first in first out.

use super::data::{Sink, Source};
use crate::errno::{Errno, Result};
use alloc::boxed::Box;
use alloc::vec::Vec;

#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Its length is zero or a power of two.
    bytes: Box<[u8]>,
    first: usize,
    len: usize,
}

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn free(&self) -> usize {
        self.bytes.len() - self.len
    }

    /// Makes it larger, to a power of two; what is in it stays.
    pub(super) fn grow(&mut self, capacity: usize) -> Result<()> {
        if capacity <= self.bytes.len() || !capacity.is_power_of_two() {
            return Err(Errno::EINVAL);
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(capacity).map_err(|_| Errno::ENOMEM)?;
        let (front, back) = self.filled();
        bytes.extend_from_slice(front);
        bytes.extend_from_slice(back);
        bytes.resize(capacity, 0);
        self.bytes = bytes.into_boxed_slice();
        self.first = 0;
        Ok(())
    }

    /// What is in it: what comes first, and the rest.
    fn filled(&self) -> (&[u8], &[u8]) {
        let end = self.first + self.len;
        let front = self.bytes.get(self.first..end.min(self.bytes.len())).unwrap_or_default();
        let back = self.bytes.get(..end.saturating_sub(self.bytes.len())).unwrap_or_default();
        (front, back)
    }

    /// The free bytes of it: those to be filled first, and the rest.
    fn empty(&mut self) -> (&mut [u8], &mut [u8]) {
        let capacity = self.bytes.len();
        let end = self.first + self.len;
        if end >= capacity {
            (self.bytes.get_mut(end - capacity..self.first).unwrap_or_default(), Default::default())
        } else {
            let (before, after) = self.bytes.split_at_mut(end);
            (after, before.get_mut(..self.first).unwrap_or_default())
        }
    }

    /// Moves at most so many bytes out. What the sink does not take stays.
    pub(super) fn take(&mut self, count: usize, sink: &mut dyn Sink) -> Result<usize> {
        let (front, back) = self.filled();
        let front = front.get(..count.min(front.len())).unwrap_or_default();
        let mut done = sink.put(front)?;
        if done == front.len() && done < count && !back.is_empty() {
            let back = back.get(..(count - done).min(back.len())).unwrap_or_default();
            // What went before is done, whatever becomes of this.
            done += sink.put(back).unwrap_or(0);
        }
        self.first = (self.first + done) & self.bytes.len().wrapping_sub(1);
        self.len -= done;
        if self.len == 0 {
            self.first = 0;
        }
        Ok(done)
    }

    /// Gets bytes, at most so many and no more than are free, and leaves them outside: [`keep`](Self::keep).
    pub(super) fn fill(&mut self, count: usize, source: &mut dyn Source) -> Result<usize> {
        let (front, back) = self.empty();
        let len = front.len();
        let front = front.get_mut(..count.min(len)).unwrap_or_default();
        let asked = front.len();
        let mut done = source.get(front)?;
        if done == asked && done < count && !back.is_empty() {
            let len = back.len();
            let back = back.get_mut(..(count - done).min(len)).unwrap_or_default();
            done += source.get(back).unwrap_or(0);
        }
        Ok(done)
    }

    /// Makes so many of the bytes that came with [`fill`](Self::fill) part of it.
    pub(super) fn keep(&mut self, count: usize) {
        self.len = (self.len + count).min(self.bytes.len());
    }
}
