//! The contents of a file: pages, where there are any.

use super::budget::Budget;
use super::data::{Sink, Source};
use crate::errno::{Errno, Result};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;

pub const PAGE_SIZE: usize = 4096;
/// One more than the last offset that a byte can have: there are 2^31 pages.
pub const MAX_SIZE: u64 = 1 << 43;

type Page = Box<[u8; PAGE_SIZE]>;

/// A page and what its place in the map takes.
const PAGE_COST: usize = PAGE_SIZE + 32;

/// Bytes by offset. What was never written takes no page and reads as zeros; so does the rest of the last page.
#[derive(Debug, Default)]
pub(super) struct Pages {
    size: u64,
    pages: BTreeMap<u32, Page>,
}

/// The page of an offset, and the place in it.
fn split(offset: u64) -> Result<(u32, usize)> {
    let page = u32::try_from(offset / PAGE_SIZE as u64).map_err(|_| Errno::EFBIG)?;
    Ok((page, offset as usize % PAGE_SIZE))
}

fn zero_page() -> Result<Page> {
    let mut page = Vec::new();
    page.try_reserve_exact(PAGE_SIZE).map_err(|_| Errno::ENOSPC)?;
    page.resize(PAGE_SIZE, 0);
    page.into_boxed_slice().try_into().map_err(|_| Errno::ENOSPC)
}

impl Pages {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many pages there are.
    pub(super) fn count(&self) -> usize {
        self.pages.len()
    }

    /// Its loop stands alone: how well it is compiled does not hang on who calls it.
    #[inline(never)]
    pub(super) fn read(&self, offset: u64, count: usize, sink: &mut dyn Sink) -> Result<usize> {
        let mut left = count.min(usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX));
        let mut done = 0;
        while left > 0 {
            let (page, place) = split(offset + done as u64)?;
            let some = left.min(PAGE_SIZE - place);
            let put = match self.pages.get(&page).and_then(|page| page.get(place..place + some)) {
                Some(bytes) => sink.put(bytes),
                None => sink.put_zeros(some),
            };
            let put = match put {
                Ok(put) => put,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            done += put;
            if put < some {
                break;
            }
            left -= some;
        }
        Ok(done)
    }

    /// Writes, and grows if that ends beyond the end.
    #[inline(never)]
    pub(super) fn write(
        &mut self,
        offset: u64,
        count: usize,
        source: &mut dyn Source,
        budget: &Budget,
    ) -> Result<usize> {
        let room = MAX_SIZE.saturating_sub(offset);
        if room == 0 && count > 0 {
            return Err(Errno::EFBIG);
        }
        let mut left = count.min(usize::try_from(room).unwrap_or(usize::MAX));
        let mut done = 0;
        while left > 0 {
            let at = offset + done as u64;
            let (page, place) = split(at)?;
            let some = left.min(PAGE_SIZE - place);
            let got = match self.write_page(page, place, some, source, budget) {
                Ok(got) => got,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            done += got;
            if got > 0 {
                self.size = self.size.max(at + got as u64);
            }
            if got < some {
                break;
            }
            left -= some;
        }
        Ok(done)
    }

    fn write_page(
        &mut self,
        number: u32,
        place: usize,
        count: usize,
        source: &mut dyn Source,
        budget: &Budget,
    ) -> Result<usize> {
        let vacant = match self.pages.entry(number) {
            Entry::Occupied(page) => {
                return source.get(page.into_mut().get_mut(place..place + count).ok_or(Errno::EFBIG)?);
            }
            Entry::Vacant(vacant) => vacant,
        };
        budget.take(PAGE_COST)?;
        let written = zero_page().and_then(|mut page| {
            let got = source.get(page.get_mut(place..place + count).ok_or(Errno::EFBIG)?)?;
            Ok((got, page))
        });
        match written {
            Ok((got, page)) if got > 0 => {
                vacant.insert(page);
                Ok(got)
            }
            other => {
                budget.give(PAGE_COST);
                other.map(|_| 0)
            }
        }
    }

    /// Cuts or grows to a size; what is new reads as zeros.
    pub(super) fn resize(&mut self, size: u64, budget: &Budget) -> Result<()> {
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        if size < self.size {
            let (mut page, place) = split(size)?;
            if place > 0 {
                if let Some(rest) = self.pages.get_mut(&page).and_then(|page| page.get_mut(place..)) {
                    rest.fill(0);
                }
                page += 1;
            }
            let cut = self.pages.split_off(&page);
            budget.give(cut.len() * PAGE_COST);
        }
        self.size = size;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
