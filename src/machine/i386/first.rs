//! The first tables: how init leaves whatever paging it finds, and how it sees RAM meanwhile.
//!
//! Init must write the library's tables into RAM that nothing it trusts maps. So it begins with
//! tables of its own, from a static in the image: they map the image where it runs, and one more
//! page, the **window**, which shows any frame of RAM, one at a time.
//!
//! The CPU comes from any mode. Changing CR4.PAE while paging is on changes what CR3 means from one
//! instruction to the next, so the first root means the same in both: as a page directory, its
//! entries serve the image; and 32 bytes of it, for addresses where the image is not, are a
//! page-directory-pointer table for PAE. CR3 names those bytes: bits 5 to 11 count in PAE mode and
//! are ignored in the other (Intel SDM vol. 3, 4.3 and 4.4.1).

use super::registers::{self, Control, Features};
use super::tables::address;
use crate::address::{FRAME_BYTES, Frame, Page, PageRange, PhysAddr, VirtAddr, widen};
use crate::layout::{Layout, Role, Segment};
use crate::machine::native::{self, Reached};
use crate::machine::{Word, sealed::Sealed};
use crate::mmu::{Entry, Geometry, Half, Pae, PagingMode, Rights, TwoLevel};
use crate::violation::{Feature, Violation};
use core::cell::{Cell, UnsafeCell};

/// How many first tables there are, less one. An image of 16 MiB takes the root, four or five tables of
/// the two-level mode, and of PAE a directory and eight or nine tables.
const LAST: u32 = 23;
const TABLES: usize = widen(LAST) + 1;

#[repr(C, align(4096))]
struct Table(UnsafeCell<[u8; widen(FRAME_BYTES)]>);

// SAFETY: only init reaches them, which claimed the machine, with interrupts off.
unsafe impl Sync for Table {}

/// The first tables. The root comes first.
static FIRST: [Table; TABLES] = [const { Table(UnsafeCell::new([0; widen(FRAME_BYTES)])) }; TABLES];

/// The page through which a [`Window`] looks. The frame under it is of no use.
static WINDOW: Table = Table(UnsafeCell::new([0; widen(FRAME_BYTES)]));

/// The frame under `at`, which must lie in a segment for which `fits` holds.
fn frame_of(layout: &Layout<'_>, at: VirtAddr, fits: impl Fn(Role) -> bool) -> Result<Frame, Violation> {
    let mut segments = layout.image.iter().filter(|segment| fits(segment.role));
    segments
        .find_map(|segment| {
            let index = at.containing().number().wrapping_sub(segment.first.number());
            segment.frames.get(index)
        })
        .ok_or(Violation::NotInImage(at))
}

/// The frame under the variable at `at`.
pub(crate) fn frame_of_variable(layout: &Layout<'_>, at: VirtAddr) -> Result<Frame, Violation> {
    frame_of(layout, at, |role| role == Role::Data)
}

/// The first tables, written: they map the image in all modes that the CPU has.
pub(crate) struct FirstTables {
    /// The frame under `FIRST`, whose frames follow one another as its tables do.
    first: Frame,
    /// How many tables are in use.
    used: u32,
    /// The page-directory-pointer table, as so many bytes from the root's start.
    pointers: u32,
}

impl FirstTables {
    /// Checks that the code, the stack and the variables of init lie in the image as `layout` says, and
    /// writes tables that map it: in both modes, or on a CPU without PAE in the one that it has. Such a CPU may
    /// lack the instruction that reads the entries of the other.
    ///
    /// # Errors
    ///
    /// [`NotInImage`](Violation::NotInImage), [`NoRoom`](Violation::NoRoom).
    ///
    /// # Safety
    ///
    /// The caller claimed the machine, so no tables made here before are in use.
    pub(crate) unsafe fn new(layout: &Layout<'_>, features: Features) -> Result<Self, Violation> {
        let on_the_stack = 0u8;
        frame_of(layout, address(&raw const on_the_stack), |role| role == Role::Stack)?;
        let code: fn(u32) -> Option<*mut u8> = table;
        #[expect(clippy::as_conversions, reason = "a function's address")]
        frame_of(layout, address(code as *const ()), |role| role == Role::Text)?;
        frame_of_variable(layout, address(&raw const WINDOW))?;
        let first = frame_of_variable(layout, address(&raw const FIRST))?;
        let last = FIRST
            .last()
            .map_or(Err(Violation::NoRoom(0)), |last| frame_of_variable(layout, address(last)))?;
        let in_a_row = first.checked_add(LAST) == Some(last);
        let no_room = Violation::NoRoom(layout.image.iter().map(|segment| segment.frames.count()).sum());
        let pointers = unused_entries(layout).filter(|_| in_a_row).ok_or(no_room)?;
        for table in (0..=LAST).filter_map(table) {
            // SAFETY: a table of `FIRST`, which nobody uses; see above.
            unsafe { native::zero(table) }
        }
        let mut this = Self { first, used: 1, pointers };
        for segment in layout.image {
            let pages = segment.pages().unwrap_or(PageRange::EMPTY);
            for (page, frame) in pages.iter().zip(segment.frames.iter()) {
                this.map::<TwoLevel>(page, frame).ok_or(no_room)?;
                if features.has_pae() {
                    this.map::<Pae>(page, frame).ok_or(no_room)?;
                }
            }
        }
        Ok(this)
    }

    /// Maps `page` to `frame` in mode `P`, and says where the entry is. `None` if there are too few tables.
    fn map<P: PagingMode>(&mut self, page: Page, frame: Frame) -> Option<*mut u8> {
        let mut entry = self.root_entry::<P>(page)?;
        for level in (2..=P::LEVELS).rev() {
            // SAFETY: an entry of a first table, which only init reaches.
            let raw: P::Raw = unsafe { native::load(entry) };
            let number = match P::decode(level, raw) {
                Entry::Table(child) => child.number().wrapping_sub(self.first.number()),
                _ => {
                    let number = self.used;
                    self.used = number.checked_add(1)?;
                    table(number)?;
                    let link = P::link(level, self.first.checked_add(number)?, Half::Kernel);
                    // SAFETY: as before; the table was zeroed.
                    unsafe { native::store(entry, link) }
                    number
                }
            };
            let index = P::index(level.wrapping_sub(1), page);
            entry = table(number)?.wrapping_add(widen(index.wrapping_mul(<P::Raw as Word>::BYTES)));
        }
        // SAFETY: as before; a frame of the image.
        unsafe { native::store(entry, P::leaf(frame, Rights::ReadWriteExecute, Half::Kernel)) }
        Some(entry)
    }

    /// The entry of the root that serves `page` in mode `P`.
    fn root_entry<P: PagingMode>(&self, page: Page) -> Option<*mut u8> {
        let offset = if P::ROOT_IN_REGISTERS { self.pointers } else { 0 };
        let index = P::index(P::LEVELS, page).wrapping_mul(<P::Raw as Word>::BYTES);
        Some(table(0)?.wrapping_add(widen(offset.wrapping_add(index))))
    }

    /// Goes over to the tables, with the registers as the library states them. Refuses, with all
    /// registers as they were, if address line 20 is masked.
    ///
    /// # Safety
    ///
    /// 1. The layout that they were made from says where the image lies; the caller's code runs there.
    /// 2. Interrupts are off, and the caller claimed the machine.
    pub(crate) unsafe fn load<P: PagingMode>(mut self, features: Features) -> Result<Window, Violation> {
        let page = address(&raw const WINDOW).containing();
        let entry = self.map::<P>(page, Frame::ZERO).ok_or(Violation::NoRoom(self.used))?;
        let window = Window { entry: entry.cast(), shows: Cell::new(None) };
        let before = Control::read(features);
        // SAFETY: 1. the tables map the image, which holds all that this code runs on (`new`), in all modes that
        // the CPU has. 2. is the caller's.
        unsafe { Control::stated::<P>(features, self.first.start().get() | self.pointers).write() };
        if window.has_line_20() {
            return Ok(window);
        }
        // SAFETY: 1. the tables that were in use before, and the first ones meanwhile, map this code.
        // 2. is the caller's.
        unsafe { before.write() };
        Err(Violation::Unsupported(Feature::AddressLine20))
    }
}

/// The `number`-th first table.
fn table(number: u32) -> Option<*mut u8> {
    FIRST.get(widen(number)).map(|table| table.0.get().cast())
}

/// Where in a page directory no entry serves the image: 32 bytes from a multiple of 32 on.
fn unused_entries(layout: &Layout<'_>) -> Option<u32> {
    const BYTES: u32 = 32;
    // Eight entries of a page directory, each of 1024 pages.
    const PAGES: u32 = 8 << 10;
    let is_unused = |number: &u32| {
        let first = number.checked_mul(PAGES).and_then(Page::new);
        let pages = first.and_then(|first| PageRange::new(first, PAGES));
        let used = |pages| layout.image.iter().filter_map(Segment::pages).any(|part| part.overlaps(pages));
        pages.is_some_and(|pages| !used(pages))
    };
    (0..FRAME_BYTES / BYTES).find(is_unused)?.checked_mul(BYTES)
}

/// RAM, seen through one page.
pub(crate) struct Window {
    /// The entry that maps the window; in PAE its low half, since all RAM lies below 4 GiB.
    entry: *mut u32,
    /// The frame that it shows.
    shows: Cell<Option<Frame>>,
}

impl Window {
    /// Whether memory above 1 MiB is not memory below it, by a word of low memory that is free
    /// (beyond the BIOS data area), and is put back.
    fn has_line_20(&self) -> bool {
        const LOW: PhysAddr = PhysAddr::new(0x500);
        const HIGH: PhysAddr = PhysAddr::new(0x10_0500);
        let read = |at| {
            // SAFETY: RAM of any machine that has any above 1 MiB; nothing is changed.
            unsafe { native::load::<u32>(self.at(at)) }
        };
        let (low, high) = (read(LOW), read(HIGH));
        // SAFETY: low memory that the firmware leaves free, and that is put back.
        unsafe { native::store(self.at(LOW), !low) };
        let differs = read(HIGH) == high;
        // SAFETY: as before.
        unsafe { native::store(self.at(LOW), low) };
        differs
    }
}

impl Sealed for Window {}

// SAFETY: the window shows the frame of the last call.
unsafe impl Reached for Window {
    /// Shows the frame of `at`, and says where its byte is now.
    fn at(&self, at: PhysAddr) -> *mut u8 {
        let frame = at.containing();
        if self.shows.get() != Some(frame) {
            let leaf = TwoLevel::leaf(frame, Rights::ReadWriteExecute, Half::Kernel);
            // SAFETY: the entry of a first table that maps the window. In both modes these bits say
            // the same. Nothing but this window looks through it.
            unsafe { native::store(self.entry.cast(), leaf) }
            registers::invalidate_page(address(&raw const WINDOW).containing());
            self.shows.set(Some(frame));
        }
        WINDOW.0.get().cast::<u8>().wrapping_add(widen(at.offset()))
    }
}
