//! A machine, and what all rows find there.

use super::MOST;
use std::hint::black_box;
use sva_os::address::{Frame, FrameRange, Page, PageRange, PhysAddr};
use sva_os::frame::Kind;
use sva_os::layout::{DirectMap, Layout, Role, Segment};
use sva_os::machine::bare::Bare;
use sva_os::memory_map::{Region, Usage};
use sva_os::mmu::{AddressSpace, FrameSource, PagingMode, Rights};
use sva_os::{Sva, Violation};

/// Frames of RAM.
const RAM: u32 = 4096;
/// Where the parts of RAM begin that rows use, each `MOST` frames.
const DATA: u32 = MOST;
const OTHER: u32 = 2 * MOST;
const SPARE: u32 = 3 * MOST;

/// A machine and what all rows find there.
pub(crate) struct World<P: PagingMode> {
    pub(crate) sva: &'static Sva<Bare<P>>,
    /// An address space of its own, with the table for the first pages, empty.
    pub(crate) space: AddressSpace<'static, Bare<P>>,
    /// A table of leaves, empty, the first in the user window.
    pub(crate) table: Frame,
    /// A table or root one level above the leaves, with all its entries empty.
    pub(crate) parent: Frame,
    /// Two roots, the first with the table.
    pub(crate) roots: [Frame; 2],
    /// What `map_batch` is given: `data`, read and write.
    pub(crate) leaves: Vec<(Frame, Rights)>,
}

pub(crate) fn frame(number: u32) -> Frame {
    Frame::new(number).unwrap()
}

pub(crate) fn page(number: u32) -> Page {
    Page::new(number).unwrap()
}

/// User data.
pub(crate) fn data(n: u32) -> Frame {
    frame(DATA + n)
}

/// User data, too.
pub(crate) fn other(n: u32) -> Frame {
    frame(OTHER + n)
}

/// Free.
pub(crate) fn spare(n: u32) -> Frame {
    frame(SPARE + n)
}

impl<P: PagingMode> World<P> {
    pub(crate) fn new() -> Self {
        let frames = |first, count| FrameRange::new(frame(first), count).unwrap();
        let ram = [Region { start: 0, length: u64::from(RAM) << 12, usage: Usage::Available }];
        let layout = Layout {
            image: &[Segment { first: page(0xc_0001), frames: frames(1, 1), role: Role::Text }],
            user: PageRange::new(page(0), 0xc_0000).unwrap(),
            direct_map: DirectMap { first: page(0xc_0000), frames: frames(0, RAM) },
            stacks: PageRange::EMPTY,
            devices: PageRange::EMPTY,
            in_use: &[],
        };
        let sva: &'static _ = Box::leak(Box::new(Sva::bare(Bare::new(RAM).unwrap(), &layout, &ram).unwrap()));
        let roots = [frame(16), frame(17)];
        roots.iter().for_each(|root| sva.declare_root(*root).unwrap());
        // Down from the root, each the first of the one above it.
        let mut table = roots[0];
        for level in (1..P::LEVELS).rev() {
            let above = table;
            table = frame(18 + u32::from(level));
            sva.declare_table(table, level).unwrap();
            sva.link(above, 0, table).unwrap();
        }
        let parent = if P::LEVELS == 2 { roots[1] } else { frame(24) };
        if parent != roots[1] {
            sva.declare_table(parent, 2).unwrap();
        }
        for n in 0..MOST {
            sva.retype(data(n), Kind::UserData).unwrap();
            sva.retype(other(n), Kind::UserData).unwrap();
        }
        let leaves = (0..MOST).map(|n| (data(n), Rights::ReadWrite)).collect();
        sva.load_root(roots[0]).unwrap();
        let space = AddressSpace::new(sva, frame(32)).unwrap();
        space.map(page(0), data(0), Rights::Read, &mut Spares(33)).unwrap();
        space.unmap(page(0)).unwrap();
        black_box(Self { sva, space, table, parent, roots, leaves })
    }

    /// The address of entry `index` of the table.
    pub(crate) fn entry(&self, index: u32) -> PhysAddr {
        PhysAddr::new(self.table.start().get() + index * size_of::<P::Raw>() as u32)
    }
}

/// Free frames for tables, from this number on. Only the first call of all needs any.
pub(crate) struct Spares(pub(crate) u32);

impl FrameSource for Spares {
    fn take(&mut self) -> Option<Frame> {
        self.0 += 1;
        Frame::new(self.0 - 1)
    }

    fn give_back(&mut self, _: Frame) {
        panic!("a table was not needed");
    }
}

/// A call that must succeed here.
pub(crate) fn done<T>(result: Result<T, Violation>) -> T {
    match result {
        Ok(value) => value,
        Err(violation) => panic!("{violation}"),
    }
}
