//! The same work with the page tables of the crate `x86_64`, which checks the entries that it meets
//! and not what they lead to.
//!
//! It knows four levels and 64-bit code only. A flush is ignored: nothing here runs in ring 0.

use super::{MOST, Row, nothing};
use std::alloc::{Layout, alloc_zeroed};
use std::cell::RefCell;
use std::hint::black_box;
use x86_64::structures::paging::mapper::{Mapper, OffsetPageTable, Translate, TranslateResult};
use x86_64::structures::paging::{FrameAllocator, Page, PageTable, PageTableFlags, PhysFrame, Size4KiB};
use x86_64::{PhysAddr, VirtAddr};

/// What it is called in the tables.
pub(super) const NAME: &str = "OffsetPageTable";

const FRAME: u64 = 4096;
/// The root and three tables below it.
const TABLES: u64 = 4;

/// A tree of tables for the first pages.
pub(crate) struct Tables(RefCell<OffsetPageTable<'static>>);

impl Tables {
    pub(crate) fn new() -> Self {
        let size = usize::try_from(TABLES * FRAME).unwrap();
        let layout = Layout::from_size_align(size, usize::try_from(FRAME).unwrap()).unwrap();
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        assert!(!memory.is_null(), "no memory");
        // SAFETY: it is as large and aligned as a table, zeroes are an empty one, and nobody else
        // has it. It is never freed.
        let root = unsafe { &mut *memory.cast::<PageTable>() };
        // SAFETY: physical memory begins at `memory`, where the root is; it is empty.
        let mut tables = unsafe { OffsetPageTable::new(root, VirtAddr::from_ptr(memory)) };
        map(&mut tables, 0, WRITE, &mut Spares(1));
        unmap(&mut tables, 0);
        Self(RefCell::new(tables))
    }
}

/// Frames for tables, from this number on.
struct Spares(u64);

// SAFETY: each frame is handed out once; none is in use.
unsafe impl FrameAllocator<Size4KiB> for Spares {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        assert!(self.0 < TABLES, "a table was not needed");
        self.0 += 1;
        Some(frame(self.0 - 1))
    }
}

fn frame(number: u64) -> PhysFrame {
    PhysFrame::containing_address(PhysAddr::new(number * FRAME))
}

fn page(number: u32) -> Page {
    Page::containing_address(VirtAddr::new(u64::from(number) * FRAME))
}

/// A frame that is no table.
fn data(n: u32) -> PhysFrame {
    frame(TABLES + u64::from(n))
}

const READ: PageTableFlags =
    PageTableFlags::PRESENT.union(PageTableFlags::USER_ACCESSIBLE).union(PageTableFlags::NO_EXECUTE);
const WRITE: PageTableFlags = READ.union(PageTableFlags::WRITABLE);

// The calls as a kernel makes them: with arguments that the compiler does not know.

#[inline(never)]
fn map(tables: &mut OffsetPageTable<'_>, n: u32, flags: PageTableFlags, spares: &mut Spares) {
    // SAFETY: nobody ever loads these tables.
    let mapped = unsafe { tables.map_to(page(n), data(n), flags, spares) };
    mapped.unwrap().ignore();
}

#[inline(never)]
fn unmap(tables: &mut OffsetPageTable<'_>, n: u32) -> PhysFrame {
    let (frame, flush) = tables.unmap(page(n)).unwrap();
    flush.ignore();
    frame
}

#[inline(never)]
fn protect(tables: &mut OffsetPageTable<'_>, n: u32, flags: PageTableFlags) {
    // SAFETY: nobody ever loads these tables.
    unsafe { tables.update_flags(page(n), flags) }.unwrap().ignore();
}

#[inline(never)]
fn translate(tables: &OffsetPageTable<'_>, n: u32) -> TranslateResult {
    tables.translate(page(n).start_address())
}

fn mapped(tables: &Tables, n: u32) {
    assert!(n <= MOST);
    let tables = &mut *tables.0.borrow_mut();
    (0..n).for_each(|n| map(tables, n, WRITE, &mut Spares(TABLES)));
}

fn unmapped(tables: &Tables, n: u32) {
    let tables = &mut *tables.0.borrow_mut();
    (0..n).for_each(|n| _ = unmap(tables, n));
}

/// Rows with the names of ours that do the same.
pub(super) fn rows() -> Vec<Row<Tables>> {
    vec![
        Row {
            name: "translate",
            budget: None,
            prepare: mapped,
            run: |tables, n| {
                let tables = &*tables.0.borrow();
                (0..n).for_each(|n| {
                    assert!(matches!(translate(tables, n), TranslateResult::Mapped { .. }));
                });
            },
            undo: unmapped,
        },
        Row {
            name: "walk and map",
            budget: None,
            prepare: nothing,
            run: |tables, n| {
                let (tables, flags) = (&mut *tables.0.borrow_mut(), black_box(WRITE));
                (0..n).for_each(|n| map(tables, n, flags, &mut Spares(TABLES)));
            },
            undo: unmapped,
        },
        Row { name: "walk and unmap", budget: None, prepare: mapped, run: unmapped, undo: nothing },
        Row {
            name: "walk and protect",
            budget: None,
            prepare: mapped,
            run: |tables, n| {
                let (tables, flags) = (&mut *tables.0.borrow_mut(), black_box(READ));
                (0..n).for_each(|n| protect(tables, n, flags));
            },
            undo: unmapped,
        },
    ]
}
