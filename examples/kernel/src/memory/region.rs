//! The regions of an address space: which pages may be used, how, and where their contents come from.
//!
//! Pages are numbers here, and a file is whatever the address space takes for one: nothing of this knows of page
//! tables.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bitflags::bitflags;

bitflags! {
    /// What a program may do with a page: Linux's `PROT_*`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Protection: u32 {
        /// `PROT_READ`
        const READ = 1;
        /// `PROT_WRITE`
        const WRITE = 2;
        /// `PROT_EXEC`
        const EXECUTE = 4;
    }
}

/// Where the contents of a page come from when it is touched first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Backing<F> {
    /// Zeroes.
    Anonymous,
    /// Zeroes, present from the beginning, and the same frames in every process that inherits them.
    Shared,
    /// A file; what is written stays with the writer.
    File(FilePart<F>),
}

/// A part of a file, by where it is mapped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilePart<F> {
    /// The file.
    pub file: F,
    /// The page that byte `offset` of the file is the first of.
    pub page: u32,
    /// The place in the file of what is mapped at `page`.
    pub offset: u64,
    /// How many bytes from there on come from the file; what follows is zero.
    pub length: u32,
}

/// Pages that are used alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region<F> {
    /// The page behind its last.
    pub end: u32,
    /// What may be done with them.
    pub protection: Protection,
    /// What they hold at first.
    pub backing: Backing<F>,
}

/// Disjoint regions, by their first pages.
#[derive(Clone, Debug)]
pub struct Regions<F> {
    by_first: BTreeMap<u32, Region<F>>,
}

impl<F> Default for Regions<F> {
    fn default() -> Self {
        Self { by_first: BTreeMap::new() }
    }
}

/// The most regions that an address space has: Linux's `vm.max_map_count` is 65,530, which is more than a kernel
/// with little memory should keep records of for each of its programs.
pub const MOST_REGIONS: usize = 4096;

impl<F: Clone> Regions<F> {
    /// The region that `page` is in.
    #[inline]
    pub fn find(&self, page: u32) -> Option<&Region<F>> {
        let (_, region) = self.by_first.range(..=page).next_back()?;
        (page < region.end).then_some(region)
    }

    /// The first page of the region that `page` is in, and that region.
    pub fn find_with_first(&self, page: u32) -> Option<(u32, &Region<F>)> {
        let (first, region) = self.by_first.range(..=page).next_back()?;
        (page < region.end).then_some((*first, region))
    }

    /// All of them with their first pages, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Region<F>)> {
        self.by_first.iter().map(|(first, region)| (*first, region))
    }

    /// Whether no more can be added.
    pub fn is_full(&self) -> bool {
        self.by_first.len() >= MOST_REGIONS
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_first.len()
    }

    /// How many pages all have together.
    pub fn pages(&self) -> u32 {
        self.by_first.iter().map(|(first, region)| region.end - first).sum()
    }

    /// Whether no region has a page of `first..end`.
    pub fn is_free(&self, first: u32, end: u32) -> bool {
        self.by_first.range(..end).next_back().is_none_or(|(_, region)| region.end <= first)
    }

    /// Whether every page of `first..end` is in a region for which `fits` holds.
    pub fn cover(&self, first: u32, end: u32, fits: impl Fn(&Region<F>) -> bool) -> bool {
        let mut page = first;
        while page < end {
            match self.find(page) {
                Some(region) if fits(region) => page = region.end,
                _ => return false,
            }
        }
        true
    }

    /// Puts a region at `first`, where none is.
    pub fn insert(&mut self, first: u32, region: Region<F>) {
        let end = region.end;
        self.by_first.insert(first, region);
        self.join(end);
        self.join(first);
    }

    /// Makes one region of the two that meet at `page`, if they are alike and need no file: so a heap that grows page by
    /// page stays one, and what was protected for a while is whole again.
    fn join(&mut self, page: u32) {
        let Some(behind) = self.by_first.get(&page) else {
            return;
        };
        let (end, protection) = (behind.end, behind.protection);
        let is_anonymous = matches!(behind.backing, Backing::Anonymous);
        let Some((_, before)) = self.by_first.range_mut(..page).next_back() else {
            return;
        };
        let is_alike = is_anonymous && matches!(before.backing, Backing::Anonymous);
        if is_alike && before.end == page && before.protection == protection {
            before.end = end;
            self.by_first.remove(&page);
        }
    }

    /// Makes a region begin at `page`, if one reaches over it.
    fn split(&mut self, page: u32) {
        let Some((_, region)) = self.by_first.range_mut(..page).next_back() else {
            return;
        };
        if page < region.end {
            let behind = region.clone();
            region.end = page;
            self.by_first.insert(page, behind);
        }
    }

    /// Takes what lies in `first..end` out.
    pub fn remove(&mut self, first: u32, end: u32) {
        self.split(first);
        self.split(end);
        let gone: Vec<u32> = self.by_first.range(first..end).map(|(first, _)| *first).collect();
        for first in gone {
            self.by_first.remove(&first);
        }
    }

    /// Changes what may be done with the pages in `first..end` that are in a region.
    pub fn protect(&mut self, first: u32, end: u32, protection: Protection) {
        self.split(first);
        self.split(end);
        for (_, region) in self.by_first.range_mut(first..end) {
            region.protection = protection;
        }
        let joints: Vec<u32> = self.by_first.range(first..=end).map(|(first, _)| *first).collect();
        joints.into_iter().rev().for_each(|page| self.join(page));
    }

    /// The highest place below `top`, and not below `bottom`, where `pages` pages are free.
    pub fn gap(&self, bottom: u32, top: u32, pages: u32) -> Option<u32> {
        let mut end = top;
        for (first, region) in self.by_first.range(..top).rev() {
            if let Some(place) = end.checked_sub(pages)
                && place >= region.end.max(bottom)
            {
                return Some(place);
            }
            end = end.min(*first);
        }
        end.checked_sub(pages).filter(|place| *place >= bottom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(end: u32, protection: Protection) -> Region<u8> {
        Region { end, protection, backing: Backing::Anonymous }
    }

    fn of(parts: &[(u32, u32)]) -> Regions<u8> {
        let mut regions = Regions::default();
        for (place, (first, end)) in parts.iter().enumerate() {
            let protection = Protection::from_bits_truncate(u32::try_from(place).unwrap());
            regions.insert(*first, region(*end, protection));
        }
        regions
    }

    fn parts(regions: &Regions<u8>) -> Vec<(u32, u32)> {
        regions.iter().map(|(first, region)| (first, region.end)).collect()
    }

    #[test]
    fn a_page_is_found_in_its_region_alone() {
        let regions = of(&[(10, 20), (20, 22), (30, 31)]);
        let first = |page| regions.find_with_first(page).map(|(first, _)| first);
        assert_eq!(
            [9, 10, 19, 20, 21, 22, 30, 31].map(first),
            [None, Some(10), Some(10), Some(20), Some(20), None, Some(30), None]
        );
    }

    #[test]
    fn what_is_removed_from_the_middle_leaves_both_ends() {
        let mut regions = of(&[(10, 20), (20, 30), (40, 50)]);
        regions.remove(15, 45);
        assert_eq!(parts(&regions), [(10, 15), (45, 50)]);
        regions.remove(0, 100);
        assert_eq!(parts(&regions), []);
        let mut regions = of(&[(10, 20)]);
        regions.remove(12, 14);
        assert_eq!(parts(&regions), [(10, 12), (14, 20)]);
        assert!(regions.is_free(12, 14) && !regions.is_free(12, 15) && !regions.is_free(11, 14));
    }

    #[test]
    fn a_part_of_a_file_stays_where_it_is_when_its_region_is_split() {
        let part = FilePart { file: 7u8, page: 10, offset: 4096, length: 30_000 };
        let backing = Backing::File(part.clone());
        let mut regions = Regions::default();
        regions.insert(10, Region { end: 20, protection: Protection::READ, backing });
        regions.protect(12, 13, Protection::empty());
        assert_eq!(parts(&regions), [(10, 12), (12, 13), (13, 20)]);
        assert_eq!(regions.find(15).unwrap().backing, Backing::File(part));
        assert_eq!(regions.find(12).unwrap().protection, Protection::empty());
        assert_eq!(regions.find(13).unwrap().protection, Protection::READ);
    }

    #[test]
    fn the_highest_gap_is_taken() {
        let regions = of(&[(10, 20), (30, 40), (45, 50)]);
        assert_eq!(regions.gap(0, 100, 50), Some(50));
        assert_eq!(regions.gap(0, 50, 5), Some(40));
        assert_eq!(regions.gap(0, 50, 6), Some(24));
        assert_eq!(regions.gap(0, 50, 10), Some(20));
        assert_eq!(regions.gap(0, 50, 11), None);
        assert_eq!(regions.gap(1, 50, 10), Some(20));
        assert_eq!(regions.gap(0, 15, 10), Some(0));
        assert_eq!(regions.gap(1, 15, 10), None);
        assert_eq!(regions.gap(0, 25, 5), Some(20));
        assert_eq!(of(&[]).gap(0, 10, 10), Some(0));
        assert_eq!(of(&[]).gap(0, 10, 11), None);
    }

    #[test]
    fn covered_is_what_has_no_hole_and_fits() {
        let regions = of(&[(10, 20), (20, 30), (31, 40)]);
        assert!(regions.cover(10, 30, |_| true));
        assert!(!regions.cover(9, 30, |_| true));
        assert!(!regions.cover(10, 31, |_| true));
        assert!(!regions.cover(10, 30, |region| region.end == 20));
        assert!(regions.cover(12, 12, |_| false));
    }

    #[test]
    fn a_heap_that_grows_is_one_region() {
        let mut regions = Regions::<u8>::default();
        for page in 10..20 {
            regions.insert(page, region(page + 1, Protection::READ));
        }
        assert_eq!(parts(&regions), [(10, 20)]);
        regions.insert(20, region(21, Protection::WRITE));
        assert_eq!(parts(&regions), [(10, 20), (20, 21)]);
        regions.insert(21, region(22, Protection::WRITE));
        regions.remove(20, 21);
        regions.insert(20, region(21, Protection::WRITE));
        assert_eq!(parts(&regions), [(10, 20), (20, 22)], "on both sides");
    }

    #[test]
    fn what_was_protected_for_a_while_is_whole_again() {
        let mut regions = Regions::<u8>::default();
        regions.insert(10, region(20, Protection::READ));
        regions.protect(12, 14, Protection::empty());
        regions.protect(13, 16, Protection::WRITE);
        assert_eq!(parts(&regions), [(10, 12), (12, 13), (13, 16), (16, 20)]);
        regions.protect(11, 19, Protection::READ);
        assert_eq!(parts(&regions), [(10, 20)]);
    }
}
