//! The address space of a program: its regions, and the page tables that are filled as it touches them.
//!
//! A page that several address spaces have is mapped for reading, whoever may write it, and is copied when it is
//! written (copy on write); who has it alone gets it as it is.

use super::pool;
use super::region::{Backing, FilePart, Protection, Region, Regions};
use super::table::{NoFrame, Run, Table, Tables};
use super::{MAP_END, PAGE, TRAMPOLINE, pages_for};
use crate::errno::{Errno, Result};
use crate::fs;
use crate::fs::data::Sink;
use crate::machine::{Mode, sva};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use spin::Once;
use sva_os::address::Frame;
use sva_os::mmu::{Leaf, PagingMode, Rights};

/// How many pages are lent to a child at once: most runs are short.
const AT_ONCE: usize = 8;

/// A mapped file.
pub type File = Arc<fs::file::File>;

/// The bytes of a frame from `offset` on, as what is read from a file goes there.
struct Bytes {
    frame: Frame,
    offset: u32,
}

impl Sink for Bytes {
    fn put(&mut self, bytes: &[u8]) -> Result<usize> {
        sva().write_bytes(self.frame, self.offset, bytes).map_err(|_| Errno::EIO)?;
        self.offset += bytes.len() as u32;
        Ok(bytes.len())
    }
}

/// What a program did with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// It read.
    Read,
    /// It wrote.
    Write,
    /// It fetched an instruction.
    Execute,
}

/// Why a page cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// There is no region.
    Nothing,
    /// Its region does not allow the access.
    Forbidden,
    /// It lies behind the end of the file.
    BehindFile,
    /// No frame is left.
    NoFrame,
}

impl From<NoFrame> for Fault {
    fn from(NoFrame: NoFrame) -> Self {
        Self::NoFrame
    }
}

impl From<NoFrame> for Errno {
    fn from(NoFrame: NoFrame) -> Self {
        Self::ENOMEM
    }
}

/// Bytes of the heap that a page takes which may not even be read.
const PARKED: usize = 32;

/// The address space of one or several tasks.
pub struct Space {
    tables: Tables,
    regions: Regions<File>,
    /// Pages that a program has and may not even read: no leaf says so.
    parked: BTreeMap<u32, Frame>,
    /// Whether any region is shared.
    has_shared: bool,
    /// Where the heap that `brk` moves begins, and where it ends.
    pub heap_start: u32,
    pub heap_end: u32,
}

/// The frame of the page that signal handlers return to.
static CODE: Once<Option<Frame>> = Once::new();

/// Makes the page of `code` that every address space has.
pub fn init_trampoline(code: &[u8]) {
    CODE.call_once(|| {
        let frame = pool::take_zeroed()?;
        sva().write_bytes(frame, 0, code).is_ok().then_some(frame)
    });
}

/// Gives that page back, at the end.
pub fn end_trampoline() {
    pool::give_user(CODE.get().copied().flatten().into_iter());
}

fn rights(protection: Protection) -> Rights {
    Rights::new(protection.contains(Protection::WRITE), protection.contains(Protection::EXECUTE))
}

fn read_only(rights: Rights) -> Rights {
    Rights::new(false, rights.execute())
}

impl Space {
    /// One with nothing but the page that signal handlers return to.
    pub fn new() -> core::result::Result<Self, NoFrame> {
        let mut space = Self {
            tables: Tables::new()?,
            regions: Regions::default(),
            parked: BTreeMap::new(),
            has_shared: false,
            heap_start: 0,
            heap_end: 0,
        };
        if let Some(frame) = CODE.get().copied().flatten() {
            space.tables.map(TRAMPOLINE, frame, Rights::ReadExecute)?;
            pool::share(frame);
        }
        Ok(space)
    }

    /// Its root.
    pub fn root(&self) -> Frame {
        self.tables.root()
    }

    /// What it is made of.
    pub fn regions(&self) -> &Regions<File> {
        &self.regions
    }

    /// Bytes of the heap that another like it takes.
    pub fn record_bytes(&self) -> usize {
        const REGION: usize = 96;
        self.regions.count() * REGION + self.parked.len() * PARKED
    }

    /// How many pages it has.
    pub fn resident(&self) -> u32 {
        self.tables.runs(0, super::END_PAGE).map(|(_, run)| run.count).sum::<u32>() + self.parked.len() as u32
    }

    /// Makes `page` accessible, which a program or a copy found it not to be.
    pub fn fault(&mut self, page: u32, access: Access) -> core::result::Result<(), Fault> {
        let Some(region) = self.regions.find(page) else {
            return Err(if page == TRAMPOLINE { Fault::Forbidden } else { Fault::Nothing });
        };
        let protection = region.protection;
        let is_allowed = match access {
            Access::Read => !protection.is_empty(),
            Access::Write => protection.contains(Protection::WRITE),
            // Without the bit that forbids it the CPU does not ask.
            Access::Execute => protection.contains(Protection::EXECUTE) || !Mode::NO_EXECUTE,
        };
        if !is_allowed {
            return Err(Fault::Forbidden);
        }
        let rights = rights(protection);
        if let Some(leaf) = self.tables.leaf(page) {
            let shared = matches!(region.backing, Backing::Shared);
            return self.fault_present(page, leaf, access, rights, shared);
        }
        if let Some(frame) = self.parked.remove(&page) {
            let rights = if pool::is_sole(frame) { rights } else { read_only(rights) };
            return self.map_new(page, frame, rights);
        }
        let frame = match &region.backing {
            Backing::Anonymous | Backing::Shared => pool::take_zeroed().ok_or(Fault::NoFrame)?,
            Backing::File(part) => {
                let part = part.clone();
                return self.fault_file(page, &part, rights);
            }
        };
        self.map_new(page, frame, rights)
    }

    fn map_new(&mut self, page: u32, frame: Frame, rights: Rights) -> core::result::Result<(), Fault> {
        self.tables.map(page, frame, rights).map_err(|error| {
            pool::give_user([frame].into_iter());
            error.into()
        })
    }

    fn fault_present(
        &mut self,
        page: u32,
        leaf: Leaf,
        access: Access,
        rights: Rights,
        shared: bool,
    ) -> core::result::Result<(), Fault> {
        if access != Access::Write || leaf.write() {
            // What the tables say, this CPU did not know yet.
            self.tables.forget(page);
            return Ok(());
        }
        if shared || pool::is_sole(leaf.frame()) {
            return Ok(self.tables.protect(page, rights)?);
        }
        let copy = pool::take_user().ok_or(Fault::NoFrame)?;
        let copied = sva().copy_frame(leaf.frame(), copy).map_err(NoFrame::from);
        match copied.and_then(|()| self.tables.replace(page, copy, rights)) {
            Ok(()) => {
                pool::give_user([leaf.frame()].into_iter());
                Ok(())
            }
            Err(error) => {
                pool::give_user([copy].into_iter());
                Err(error.into())
            }
        }
    }

    /// Fills `page` from a file.
    fn fault_file(
        &mut self,
        page: u32,
        part: &FilePart<File>,
        rights: Rights,
    ) -> core::result::Result<(), Fault> {
        let frame = pool::take_zeroed().ok_or(Fault::NoFrame)?;
        let before = page.wrapping_sub(part.page).wrapping_mul(PAGE);
        let length = part.length.saturating_sub(before).min(PAGE);
        if length > 0 {
            let offset = part.offset + u64::from(before);
            match part.file.read_at(offset, length as usize, &mut Bytes { frame, offset: 0 }) {
                Ok(0) | Err(_) => {
                    pool::give_user([frame].into_iter());
                    return Err(Fault::BehindFile);
                }
                Ok(_) => {}
            }
        }
        self.map_new(page, frame, rights)
    }

    /// Adds a region, where none is.
    pub fn add(&mut self, first: u32, region: Region<File>) -> Result<()> {
        if self.regions.is_full() {
            return Err(Errno::ENOMEM);
        }
        let end = region.end;
        let shared = matches!(region.backing, Backing::Shared);
        self.regions.insert(first, region);
        if shared {
            self.has_shared = true;
            for page in first..end {
                let filled = pool::take_zeroed().ok_or(Fault::NoFrame).and_then(|frame| {
                    let protection =
                        self.regions.find(page).map_or(Protection::empty(), |region| region.protection);
                    if protection.is_empty() {
                        self.parked.insert(page, frame);
                        return Ok(());
                    }
                    self.map_new(page, frame, rights(protection))
                });
                if filled.is_err() {
                    self.remove(first, end);
                    return Err(Errno::ENOMEM);
                }
            }
        }
        Ok(())
    }

    /// Where `pages` pages are free, for a program that does not mind where.
    pub fn gap(&self, pages: u32) -> Option<u32> {
        self.regions.gap(super::FIRST_PAGE, MAP_END, pages)
    }

    /// Takes all out of `first..end`.
    pub fn remove(&mut self, first: u32, end: u32) {
        self.regions.remove(first, end);
        self.drop_pages(first, end);
    }

    fn drop_pages(&mut self, first: u32, end: u32) {
        self.tables.unmap(first, end, |_, leaves| {
            pool::give_user(leaves.iter().flatten().map(|leaf| leaf.frame()));
        });
        while let Some((page, _)) = self.parked.range(first..end).next() {
            let page = *page;
            pool::give_user(self.parked.remove(&page).into_iter());
        }
    }

    /// Makes the pages of `first..end` what they were before they were touched. What is shared stays.
    pub fn forget(&mut self, first: u32, end: u32) -> Result<()> {
        if !self.regions.cover(first, end, |_| true) {
            return Err(Errno::ENOMEM);
        }
        let mut page = first;
        while page < end {
            let Some(region) = self.regions.find(page) else {
                break;
            };
            let (stop, shared) = (region.end.min(end), matches!(region.backing, Backing::Shared));
            if !shared {
                self.drop_pages(page, stop);
            }
            page = stop;
        }
        Ok(())
    }

    /// Changes what may be done with `first..end`, all of which is in regions.
    pub fn protect(&mut self, first: u32, end: u32, protection: Protection) -> Result<()> {
        if !self.regions.cover(first, end, |_| true) || self.regions.is_full() {
            return Err(Errno::ENOMEM);
        }
        if protection.is_empty() && !self.can_park(first, end) {
            return Err(Errno::ENOMEM);
        }
        self.regions.protect(first, end, protection);
        if protection.is_empty() {
            let parked = &mut self.parked;
            self.tables.unmap(first, end, |page, leaves| {
                let pages = (page..).zip(leaves.iter());
                parked.extend(pages.filter_map(|(page, leaf)| Some((page, (*leaf)?.frame()))));
            });
            return Ok(());
        }
        let rights = rights(protection);
        let mut page = first;
        while let Some((table, run)) = { self.tables.runs(page, end).next() } {
            let at = table.first_page() + run.first;
            for place in at..at + run.count {
                let shared = self.is_shared(place);
                let alone = shared || self.tables.leaf(place).is_some_and(|leaf| pool::is_sole(leaf.frame()));
                self.tables.protect(place, if alone { rights } else { read_only(rights) })?;
            }
            page = at + run.count;
        }
        Ok(())
    }

    /// Whether there is room for a record of each page in `first..end`.
    fn can_park(&self, first: u32, end: u32) -> bool {
        let pages: u32 = self.tables.runs(first, end).map(|(_, run)| run.count).sum();
        pool::has_room(pages as usize * PARKED)
    }

    fn is_shared(&self, page: u32) -> bool {
        self.has_shared
            && self.regions.find(page).is_some_and(|region| matches!(region.backing, Backing::Shared))
    }

    /// Moves the end of the heap to `end`, as far as it can, and says where it is then.
    pub fn set_heap_end(&mut self, end: u32) -> u32 {
        let (old, new) = (pages_for(self.heap_end), pages_for(end));
        if end < self.heap_start || new > MAP_END {
            return self.heap_end;
        }
        if new < old {
            self.remove(new, old);
        } else if new > old {
            if !self.regions.is_free(old, new) || new - old > pool::unused() {
                return self.heap_end;
            }
            let protection = Protection::READ | Protection::WRITE;
            if self.add(old, Region { end: new, protection, backing: Backing::Anonymous }).is_err() {
                return self.heap_end;
            }
        }
        self.heap_end = end;
        end
    }

    /// Moves the pages from `first` on, `pages` of them, to `to`, where nothing is. All are in one region.
    pub fn relocate(&mut self, first: u32, pages: u32, to: u32) -> Result<()> {
        let (start, region) = self.regions.find_with_first(first).ok_or(Errno::EFAULT)?;
        if start > first || region.end < first + pages {
            return Err(Errno::EFAULT);
        }
        if self.regions.is_full() || !self.can_park(first, first + pages) {
            return Err(Errno::ENOMEM);
        }
        let (protection, mut backing) = (region.protection, region.backing.clone());
        if let Backing::File(part) = &mut backing {
            part.page = part.page.wrapping_add(to).wrapping_sub(first);
        }
        self.regions.remove(first, first + pages);
        self.regions.insert(to, Region { end: to + pages, protection, backing });
        let parked = &mut self.parked;
        let mut moved = BTreeMap::new();
        self.tables.unmap(first, first + pages, |page, leaves| {
            moved.extend((page..).zip(leaves).filter_map(|(page, leaf)| Some((page, (*leaf)?.frame()))));
        });
        while let Some((page, _)) = parked.range(first..first + pages).next() {
            let page = *page;
            moved.extend(parked.remove(&page).map(|frame| (page, frame)));
        }
        // They are mapped again when they are touched.
        parked.extend(moved.into_iter().map(|(page, frame)| (page - first + to, frame)));
        Ok(())
    }

    /// An address space like this, whose pages are this one's until either writes to them.
    pub fn fork(&mut self) -> Result<Self> {
        let mut child = Self {
            tables: Tables::new()?,
            regions: self.regions.clone(),
            parked: BTreeMap::new(),
            has_shared: self.has_shared,
            heap_start: self.heap_start,
            heap_end: self.heap_end,
        };
        for (table, run) in self.tables.runs(0, super::END_PAGE) {
            for part in run.parts(AT_ONCE as u32) {
                self.lend(&mut child, table, part, table.first_page() + part.first)?;
            }
        }
        for (page, frame) in &self.parked {
            pool::share(*frame);
            child.parked.insert(*page, *frame);
        }
        sva().flush();
        Ok(child)
    }

    /// Lets `child` have the pages of `run` too, the first of which is `first`.
    fn lend(&self, child: &mut Self, table: &Table, run: Run, first: u32) -> Result<()> {
        let mut leaves = [(Frame::ZERO, Rights::Read); AT_ONCE];
        let mut lowered = [Rights::Read; AT_ONCE];
        let mut lowers = false;
        let count = run.count as usize;
        let mut own = [None; AT_ONCE];
        table.leaves(run, &mut own);
        let places = leaves.iter_mut().zip(&mut lowered).zip(&own).take(count);
        for (place, ((leaf, lowered), own)) in (0..).zip(places) {
            let own = own.ok_or(Errno::ENOMEM)?;
            let rights = if self.is_shared(first + place) { own.rights() } else { read_only(own.rights()) };
            lowers |= rights != own.rights();
            (*leaf, *lowered) = ((own.frame(), rights), rights);
        }
        let leaves = leaves.get(..count).unwrap_or_default();
        if lowers {
            let progress =
                sva().protect_batch(table.frame, run.first, lowered.get(..count).unwrap_or_default());
            progress.complete().map_err(NoFrame::from)?;
        }
        leaves.iter().for_each(|(frame, _)| pool::share(*frame));
        child.tables.map_run(first, leaves).map_err(|(done, error)| {
            pool::give_user(leaves.iter().skip(done).map(|(frame, _)| *frame));
            error.into()
        })
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        pool::give_user(core::mem::take(&mut self.parked).into_values());
    }
}
