//! An address space by pages rather than by tables: safe code over the intrinsics.

use super::batch::batch;
use super::mode::{Entry, Geometry, Leaf, PagingMode, Rights};
use crate::address::{Frame, FrameRange, Page, PageRange};
use crate::frame::Kind;
use crate::machine::Machine;
use crate::sva::Sva;
use crate::violation::{Progress, Violation};

/// Where an address space gets the frames of its tables from, and gives them back to.
pub trait FrameSource {
    /// A free frame, or `None` when there is none left.
    fn take(&mut self) -> Option<Frame>;
    /// Takes back a frame that is free again.
    fn give_back(&mut self, frame: Frame);
}

/// A root and the tables below it.
///
/// Pages outside the user window are refused. Changes take effect at once on this CPU, where it has
/// this root loaded; on others after [`Sva::flush_all`]. Dropping the value leaks the root and all
/// below it; [`destroy`](Self::destroy) does not.
#[derive(Debug)]
pub struct AddressSpace<'s, M: Machine> {
    sva: &'s Sva<M>,
    root: Frame,
}

/// Where a table hangs that a call made.
#[derive(Clone, Copy)]
struct Made {
    parent: Frame,
    index: u32,
}

/// Tables between a root and a leaf, of any mode.
const MOST_TABLES: usize = 3;

impl<'s, M: Machine> AddressSpace<'s, M> {
    /// Makes the free frame `root` the root of an empty address space.
    ///
    /// # Errors
    ///
    /// As [`Sva::declare_root`].
    pub fn new(sva: &'s Sva<M>, root: Frame) -> Result<Self, Violation> {
        sva.declare_root(root)?;
        Ok(Self { sva, root })
    }

    /// Its root.
    pub const fn root(&self) -> Frame {
        self.root
    }

    /// Loads it on this CPU.
    ///
    /// # Errors
    ///
    /// As [`Sva::load_root`].
    pub fn load(&self) -> Result<(), Violation> {
        self.sva.load_root(self.root)
    }

    /// Maps `frame`, user data, at `page`, which must not be mapped. Tables that are missing are
    /// made of frames from `source`; if the call is refused they are given back.
    ///
    /// # Errors
    ///
    /// [`NotAUserPage`](Violation::NotAUserPage), [`NoTable`](Violation::NoTable) when `source` has
    /// no frame left, and all of [`Sva::declare_table`], [`Sva::link`] and [`Sva::map`].
    pub fn map(
        &self,
        page: Page,
        frame: Frame,
        rights: Rights,
        source: &mut impl FrameSource,
    ) -> Result<(), Violation> {
        self.check_user(page)?;
        let mut made = [None; MOST_TABLES];
        let mapped = self
            .leaf_table_or_make(page, source, &mut made)
            .and_then(|table| self.sva.map(table, M::Mode::index(1, page), frame, rights));
        if mapped.is_err() {
            for made in made.iter().rev().flatten() {
                self.unmake(*made, source)?;
            }
        }
        mapped
    }

    /// Maps `frames`, one after the other, at the pages from `first` on, until one is refused.
    pub fn map_range(
        &self,
        first: Page,
        frames: FrameRange,
        rights: Rights,
        source: &mut impl FrameSource,
    ) -> Progress {
        batch(frames.iter(), |step, frame| {
            let page = first.checked_add(step).ok_or(Violation::RangeTooLong(first.number()))?;
            self.map(page, frame, rights, source)
        })
    }

    /// Unmaps `page` and says what was there.
    ///
    /// # Errors
    ///
    /// [`NotAUserPage`](Violation::NotAUserPage), [`NoTable`](Violation::NoTable), and all of
    /// [`Sva::unmap`].
    pub fn unmap(&self, page: Page) -> Result<Leaf, Violation> {
        let old = self.sva.unmap(self.leaf_table(page)?, M::Mode::index(1, page))?;
        self.sva.flush_page(page);
        Ok(old)
    }

    /// Unmaps what is mapped in `pages` and hands each to `unmapped`. Pages that are not mapped
    /// are passed over, whole missing tables in one step.
    pub fn unmap_range(&self, pages: PageRange, mut unmapped: impl FnMut(Page, Leaf)) -> Progress {
        batch(pages.iter(), |_, page| match self.unmap(page) {
            Ok(leaf) => {
                unmapped(page, leaf);
                Ok(())
            }
            Err(Violation::EntryEmpty(_) | Violation::NoTable(_)) => Ok(()),
            Err(violation) => Err(violation),
        })
    }

    /// Changes the rights of `page` and says what it was.
    ///
    /// # Errors
    ///
    /// As [`unmap`](Self::unmap), and those of [`Sva::protect`].
    pub fn protect(&self, page: Page, rights: Rights) -> Result<Leaf, Violation> {
        let old = self.sva.protect(self.leaf_table(page)?, M::Mode::index(1, page), rights)?;
        self.sva.flush_page(page);
        Ok(old)
    }

    /// Makes `page` translate to `frame` instead and says what it was.
    ///
    /// # Errors
    ///
    /// As [`unmap`](Self::unmap), and those of [`Sva::replace`].
    pub fn replace(&self, page: Page, frame: Frame, rights: Rights) -> Result<Leaf, Violation> {
        let old = self.sva.replace(self.leaf_table(page)?, M::Mode::index(1, page), frame, rights)?;
        self.sva.flush_page(page);
        Ok(old)
    }

    /// What `page` translates to, in either half.
    ///
    /// # Errors
    ///
    /// As [`Sva::translate`].
    pub fn translate(&self, page: Page) -> Result<Option<Leaf>, Violation> {
        self.sva.translate(self.root, page)
    }

    /// Unmaps everything, handing each leaf to `unmapped`, and gives all tables and the root to
    /// `source`.
    ///
    /// # Errors
    ///
    /// [`RootInUse`](Violation::RootInUse) with the value itself while a CPU has it loaded.
    pub fn destroy(
        self,
        source: &mut impl FrameSource,
        mut unmapped: impl FnMut(Leaf),
    ) -> Result<(), (Self, Violation)> {
        if self.sva.mappings(self.root).writable != 0 {
            let violation = Violation::RootInUse(self.root);
            return Err((self, violation));
        }
        if let Err(violation) = self.empty(self.root, M::Mode::LEVELS, source, &mut unmapped) {
            return Err((self, violation));
        }
        match self.sva.remove_root(self.root) {
            Ok(()) => {
                source.give_back(self.root);
                Ok(())
            }
            Err(violation) => Err((self, violation)),
        }
    }

    /// Empties `table` of `level` and all below it.
    fn empty(
        &self,
        table: Frame,
        level: u8,
        source: &mut impl FrameSource,
        unmapped: &mut impl FnMut(Leaf),
    ) -> Result<(), Violation> {
        for index in self.client_entries(level) {
            match self.sva.read_entry(table, index)? {
                Entry::Leaf(_) => unmapped(self.sva.unmap(table, index)?),
                Entry::Table(child) => {
                    self.empty(child, level.saturating_sub(1), source, unmapped)?;
                    self.unmake(Made { parent: table, index }, source)?;
                }
                Entry::Empty | Entry::Illegal => {}
            }
        }
        Ok(())
    }

    /// The entries of a table or root of `level` that the client may change.
    fn client_entries(&self, level: u8) -> core::ops::Range<u32> {
        if level < M::Mode::LEVELS {
            return 0..M::Mode::ENTRIES;
        }
        let user = self.sva.user_window();
        user.first().number() >> M::Mode::ROOT_SPAN_BITS..user.end() >> M::Mode::ROOT_SPAN_BITS
    }

    fn check_user(&self, page: Page) -> Result<(), Violation> {
        if self.sva.user_window().contains(page) { Ok(()) } else { Err(Violation::NotAUserPage(page)) }
    }

    /// The table of leaves that serves `page`.
    fn leaf_table(&self, page: Page) -> Result<Frame, Violation> {
        self.check_user(page)?;
        let mut table = self.root;
        for level in (2..=M::Mode::LEVELS).rev() {
            match self.sva.read_entry(table, M::Mode::index(level, page))? {
                Entry::Table(child) => table = child,
                Entry::Empty | Entry::Leaf(_) | Entry::Illegal => return Err(Violation::NoTable(page)),
            }
        }
        Ok(table)
    }

    /// As [`leaf_table`](Self::leaf_table), making what is missing and noting it in `made`.
    fn leaf_table_or_make(
        &self,
        page: Page,
        source: &mut impl FrameSource,
        made: &mut [Option<Made>; MOST_TABLES],
    ) -> Result<Frame, Violation> {
        let mut places = made.iter_mut();
        let mut parent = self.root;
        for level in (2..=M::Mode::LEVELS).rev() {
            let index = M::Mode::index(level, page);
            parent = match self.sva.read_entry(parent, index)? {
                Entry::Table(child) => child,
                Entry::Empty | Entry::Leaf(_) | Entry::Illegal => {
                    let table = source.take().ok_or(Violation::NoTable(page))?;
                    if let Err(violation) = self.make(parent, index, table, level.saturating_sub(1)) {
                        source.give_back(table);
                        return Err(violation);
                    }
                    if let Some(place) = places.next() {
                        *place = Some(Made { parent, index });
                    }
                    table
                }
            };
        }
        Ok(parent)
    }

    /// Declares `table` and links it, or does neither.
    fn make(&self, parent: Frame, index: u32, table: Frame, level: u8) -> Result<(), Violation> {
        self.sva.declare_table(table, level)?;
        let linked = self.sva.link(parent, index, table);
        if linked.is_err() {
            self.sva.remove_table(table)?;
        }
        linked
    }

    /// Unlinks an empty table and gives it back.
    fn unmake(&self, made: Made, source: &mut impl FrameSource) -> Result<(), Violation> {
        let table = self.sva.unlink(made.parent, made.index)?;
        self.sva.remove_table(table)?;
        source.give_back(table);
        Ok(())
    }

    /// How many frames its tables take, the root included.
    pub fn table_count(&self) -> u32 {
        fn below<M: Machine>(space: &AddressSpace<'_, M>, table: Frame, level: u8) -> u32 {
            let children = if level > 1 { space.client_entries(level) } else { 0..0 };
            children
                .filter_map(|index| match space.sva.read_entry(table, index) {
                    Ok(Entry::Table(child)) => Some(below(space, child, level.saturating_sub(1))),
                    _ => None,
                })
                .fold(1, u32::saturating_add)
        }
        if self.sva.kind(self.root) == Kind::Root { below(self, self.root, M::Mode::LEVELS) } else { 0 }
    }
}
