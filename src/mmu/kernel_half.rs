//! The kernel half: the same in every root, a function of the layout and of which frames are RAM.
//!
//! Its tables are carved at init, one contiguous run, and sealed. Only the library writes them.
//! What an entry must be is computed the same way to build it and to audit it.

use super::mode::{Geometry, Half, PagingMode, Rights};
use crate::address::{Frame, FrameRange, Page, PageRange};
use crate::context::UserBytes;
use crate::context::threads::Threads;
use crate::frame::Kind;
use crate::frame::table::Frames;
use crate::io::window::Window;
use crate::layout::{DirectMap, Layout, Role, Segment, Segments};
use crate::machine::Memory;
use crate::violation::Violation;

/// The layout as the library keeps it, and the tables that it made of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelHalf {
    pub(crate) segments: Segments,
    pub(crate) direct_map: DirectMap,
    pub(crate) user: PageRange,
    /// The same in bytes.
    pub(crate) user_bytes: UserBytes,
    /// What stands in the window for stacks.
    pub(crate) threads: Threads,
    /// That window, before the threads have a place.
    pub(crate) stacks: PageRange,
    /// What stands in the window for devices.
    pub(crate) devices: Window,
    /// A frame of the image's variables that is read-only all the same: the page of the IDT.
    pub(crate) constant: Option<Frame>,
    /// The sealed root: this half, and no user entry.
    pub(crate) root: Frame,
    /// The tables, in the order in which [`visit`](Self::visit) comes to them.
    pub(crate) tables: FrameRange,
}

/// What stands in one entry of the kernel half.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expected {
    /// Nothing.
    Empty,
    /// The next table down.
    Table(Frame),
    /// A page of the kernel.
    Leaf(Frame, Rights),
    /// Registers of a device.
    Device(Frame),
}

impl Expected {
    /// The entry that says so in a table of `level`.
    pub(crate) fn encode<P: PagingMode>(self, level: u8) -> P::Raw {
        match self {
            Expected::Empty => crate::machine::Word::ZERO,
            Expected::Table(table) => P::link(level, table, Half::Kernel),
            Expected::Leaf(frame, rights) => P::leaf(frame, rights, Half::Kernel),
            Expected::Device(frame) => P::device_leaf(frame, Half::Kernel),
        }
    }
}

impl KernelHalf {
    /// What `layout` says, before the tables have a place.
    pub(crate) fn new(layout: &Layout<'_>) -> Result<Self, Violation> {
        Ok(Self {
            segments: Segments::new(layout.image)?,
            direct_map: layout.direct_map,
            user: layout.user,
            user_bytes: UserBytes::of(layout.user),
            threads: Threads::NONE,
            stacks: layout.stacks,
            devices: Window::of(layout.devices),
            constant: None,
            root: Frame::ZERO,
            tables: FrameRange::EMPTY,
        })
    }

    /// Whether a root's entry `index` is the client's.
    #[inline(always)]
    pub(crate) fn is_user_entry<P: PagingMode>(&self, index: u32) -> bool {
        let first = self.user.first().number() >> P::ROOT_SPAN_BITS;
        index.wrapping_sub(first) < self.user.count() >> P::ROOT_SPAN_BITS
    }

    /// Whether anything of the kernel may be mapped in `pages`.
    fn touches(&self, pages: PageRange) -> bool {
        let direct = PageRange::new(self.direct_map.first, self.direct_map.frames.count());
        self.segments
            .iter()
            .filter_map(|segment| segment.pages())
            .chain(direct)
            .chain([self.stacks, self.devices.pages()])
            .any(|part| part.overlaps(pages))
    }

    /// How many tables the half needs below its root.
    pub(crate) fn tables_needed<P: PagingMode>(&self) -> u32 {
        (0..P::ROOT_ENTRIES)
            .filter(|index| !self.is_user_entry::<P>(*index))
            .filter_map(|index| span::<P>(P::LEVELS, 0, index))
            .map(|pages| self.tables_in::<P>(P::LEVELS.saturating_sub(1), pages))
            .sum()
    }

    /// How many tables serve `pages`, which one table of `level` would serve.
    fn tables_in<P: PagingMode>(&self, level: u8, pages: PageRange) -> u32 {
        if level == 0 || !self.touches(pages) {
            return 0;
        }
        let below: u32 = if level == 1 {
            0
        } else {
            (0..P::ENTRIES)
                .filter_map(|index| span::<P>(level, pages.first().number(), index))
                .map(|pages| self.tables_in::<P>(level.saturating_sub(1), pages))
                .sum()
        };
        below.saturating_add(1)
    }

    /// What `page` of the kernel half translates to.
    fn leaf(&self, frames: Frames, ram: &impl Memory, page: Page) -> Expected {
        if self.user.contains(page) || Layout::is_guard(&self.segments, page) {
            return Expected::Empty;
        }
        if self.stacks.contains(page) {
            let frame = self.threads.frame_under(ram, page);
            return frame.map_or(Expected::Empty, |frame| Expected::Leaf(frame, Rights::ReadWrite));
        }
        if self.devices.pages().contains(page) {
            return self.devices.frame_under(ram, page).map_or(Expected::Empty, Expected::Device);
        }
        for segment in self.segments.iter() {
            let index = page.number().wrapping_sub(segment.first.number());
            if let Some(frame) = segment.frames.get(index) {
                let rights = if self.constant == Some(frame) { Rights::Read } else { segment.role.rights() };
                return Expected::Leaf(frame, rights);
            }
        }
        match self.direct_map.frame(page) {
            Some(frame) if frames.word(ram, frame).kind() != Kind::None => {
                Expected::Leaf(frame, self.direct_rights(frame))
            }
            _ => Expected::Empty,
        }
    }

    /// What the direct map allows: no more than the image's own mapping of the frame, and no execution.
    fn direct_rights(&self, frame: Frame) -> Rights {
        let constant = |segment: &Segment| matches!(segment.role, Role::Text | Role::ReadOnly);
        let in_constants =
            self.segments.iter().any(|segment| constant(segment) && segment.frames.contains(frame));
        Rights::new(!in_constants && self.constant != Some(frame), false)
    }

    /// Visits every entry of the kernel half, top down, with what it must be.
    pub(crate) fn visit<P: PagingMode, E>(
        &self,
        frames: Frames,
        ram: &impl Memory,
        visit: &mut impl FnMut(Slot, Expected) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut tables = self.tables.iter();
        self.visit_table::<P, E>(frames, ram, &mut tables, visit, self.root, P::LEVELS, 0)
    }

    #[expect(clippy::too_many_arguments, reason = "a recursion's state, private to it")]
    fn visit_table<P: PagingMode, E>(
        &self,
        frames: Frames,
        ram: &impl Memory,
        tables: &mut impl Iterator<Item = Frame>,
        visit: &mut impl FnMut(Slot, Expected) -> Result<(), E>,
        table: Frame,
        level: u8,
        first: u32,
    ) -> Result<(), E> {
        for index in 0..P::entries(level) {
            if level == P::LEVELS && self.is_user_entry::<P>(index) {
                continue;
            }
            let slot = Slot { table, level, index };
            let Some(pages) = span::<P>(level, first, index) else {
                continue;
            };
            if level == 1 {
                visit(slot, self.leaf(frames, ram, pages.first()))?;
            } else if !self.touches(pages) {
                visit(slot, Expected::Empty)?;
            } else if let Some(child) = tables.next() {
                visit(slot, Expected::Table(child))?;
                let below = level.saturating_sub(1);
                self.visit_table::<P, E>(frames, ram, tables, visit, child, below, pages.first().number())?;
            }
        }
        Ok(())
    }
}

/// An entry's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    pub(crate) table: Frame,
    pub(crate) level: u8,
    pub(crate) index: u32,
}

/// The pages that entry `index` serves, of a table of `level` whose first page has number `first`.
fn span<P: PagingMode>(level: u8, first: u32, index: u32) -> Option<PageRange> {
    let bits = P::span_bits(level);
    let first = first.checked_add(index.checked_shl(bits)?)?;
    PageRange::new(Page::new(first)?, 1u32.checked_shl(bits)?)
}

#[cfg(test)]
mod tests;
