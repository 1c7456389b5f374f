//! What the kernel tells the library at init: where its image lies and what the halves are.

use crate::address::{Frame, FrameRange, Page, PageRange};
use crate::context::SLOT_PAGES;
use crate::frame::Kind;
use crate::machine::Cpu;
use crate::mmu::{Geometry, PagingMode, Rights};
use crate::violation::Violation;

/// What a segment of the image holds, and so how it is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Instructions: read and execute, here and in the direct map; never written.
    Text,
    /// Constants: read only, here and in the direct map.
    ReadOnly,
    /// Variables: read and write.
    Data,
    /// The boot stack: read and write. The two pages below it are left unmapped, as guards.
    Stack,
}

impl Role {
    /// What the kernel half allows there. Only the kernel: U is clear.
    pub(crate) const fn rights(self) -> Rights {
        match self {
            Role::Text => Rights::ReadExecute,
            Role::ReadOnly => Rights::Read,
            Role::Data | Role::Stack => Rights::ReadWrite,
        }
    }

    /// What its frames are, for ever.
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Role::Text => Kind::Code,
            Role::ReadOnly | Role::Data => Kind::Image,
            Role::Stack => Kind::Stack,
        }
    }
}

/// Contiguous pages of the image and the frames they lie in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Segment {
    /// The first page. The segment has as many pages as frames.
    pub first: Page,
    /// The frames.
    pub frames: FrameRange,
    /// What it holds.
    pub role: Role,
}

impl Segment {
    /// Its pages, or `None` if they pass 4 GiB.
    pub const fn pages(&self) -> Option<PageRange> {
        PageRange::new(self.first, self.frames.count())
    }
}

/// Unmapped pages below a stack. Two, for the CPU may push an exception frame below the base of one.
pub const GUARD_PAGES: u32 = 2;

/// Where RAM is mapped as a whole: frame `frames.first() + n` at page `first + n`, if it is RAM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DirectMap {
    /// The page of the first frame.
    pub first: Page,
    /// The frames it reaches. RAM beyond them is left unused.
    pub frames: FrameRange,
}

impl DirectMap {
    /// The page at which it maps `frame`, or `None` beyond it.
    pub(crate) fn page(&self, frame: Frame) -> Option<Page> {
        self.frames.contains(frame).then_some(())?;
        self.first.checked_add(frame.number().wrapping_sub(self.frames.first().number()))
    }

    /// The frame that it maps at `page`, RAM or not, or `None` beyond it.
    pub(crate) fn frame(&self, page: Page) -> Option<Frame> {
        self.frames.get(page.number().checked_sub(self.first.number())?)
    }
}

/// Frames that hold the kernel's values before init already.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum InUse {
    /// A heap: like memory that was granted, for ever.
    Heap(FrameRange),
    /// Anything else: boot modules, the command line, boot structures. For ever, never a heap.
    Kept(FrameRange),
}

impl InUse {
    /// The frames.
    pub const fn frames(self) -> FrameRange {
        match self {
            InUse::Heap(frames) | InUse::Kept(frames) => frames,
        }
    }

    /// What they are, for ever.
    pub(crate) const fn kind(self) -> Kind {
        match self {
            InUse::Heap(_) => Kind::Heap,
            InUse::Kept(_) => Kind::Kept,
        }
    }
}

/// Where everything of the kernel lies when the library takes over.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// The image, at most [`SEGMENT_LIMIT`] segments, in any order.
    pub image: &'a [Segment],
    /// Where user programs live; may be empty. Whole entries of a root: a multiple of 4 MiB
    /// with [`TwoLevel`](crate::mmu::TwoLevel), of 1 GiB with [`Pae`](crate::mmu::Pae). All else is
    /// the kernel half.
    pub user: PageRange,
    /// Where RAM is mapped as a whole.
    pub direct_map: DirectMap,
    /// Where the library maps the stacks of threads: [`SLOT_PAGES`] pages for each, the
    /// idle threads' of all CPUs first. May be empty: then there are no threads, and no user program runs.
    pub stacks: PageRange,
    /// Where the library maps the registers of devices that are claimed. May be empty: then only ports are.
    pub devices: PageRange,
    /// Frames that hold the kernel's values already.
    pub in_use: &'a [InUse],
}

/// The most segments that an image may have.
pub const SEGMENT_LIMIT: usize = 8;

/// The image's segments, kept for the audit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segments {
    list: [Option<Segment>; SEGMENT_LIMIT],
}

impl Segments {
    pub(crate) fn new(image: &[Segment]) -> Result<Self, Violation> {
        let mut list = [None; SEGMENT_LIMIT];
        if image.len() > list.len() {
            return Err(Violation::TooManySegments(u32::try_from(image.len()).unwrap_or(u32::MAX)));
        }
        for (place, segment) in list.iter_mut().zip(image) {
            *place = Some(*segment);
        }
        Ok(Self { list })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Segment> + Clone {
        self.list.iter().flatten()
    }
}

impl Layout<'_> {
    /// Checks all that needs no memory map.
    pub(crate) fn check<P: PagingMode>(&self) -> Result<(), Violation> {
        let () = P::CONSISTENT;
        self.check_user_window::<P>()?;
        let direct = PageRange::new(self.direct_map.first, self.direct_map.frames.count())
            .ok_or(Violation::RangeTooLong(self.direct_map.frames.count()))?;
        self.check_kernel_pages(direct)?;
        self.check_windows(direct)?;
        if !self.image.iter().any(|segment| segment.role == Role::Text) {
            return Err(Violation::NoImage(u32::MAX));
        }
        for (index, segment) in (0u32..).zip(self.image) {
            let pages = segment.pages().ok_or(Violation::RangeTooLong(segment.frames.count()))?;
            if pages.is_empty() {
                return Err(Violation::NoImage(index));
            }
            self.check_kernel_pages(pages)?;
            self.check_kernel_pages(with_guards(segment, pages)?)?;
            self.check_alone(index, segment, pages)?;
            self.check_against_direct_map(segment, pages)?;
        }
        Ok(())
    }

    /// The windows lie in the kernel half, and nothing else is there. That for stacks is whole slots.
    fn check_windows(&self, direct: PageRange) -> Result<(), Violation> {
        if !self.stacks.count().is_multiple_of(SLOT_PAGES) {
            return Err(Violation::StackWindow(self.stacks.count()));
        }
        for (window, other) in [(self.stacks, self.devices), (self.devices, self.stacks)] {
            self.check_kernel_pages(window)?;
            if window.overlaps(direct) || window.overlaps(other) {
                return Err(Violation::PagesOverlap(window.first()));
            }
        }
        Ok(())
    }

    fn check_user_window<P: PagingMode>(&self) -> Result<(), Violation> {
        let span = 1u32 << P::ROOT_SPAN_BITS;
        let (first, count) = (self.user.first().number(), self.user.count());
        let whole = first & span.wrapping_sub(1) == 0 && count & span.wrapping_sub(1) == 0;
        let leaves_room = count >> P::ROOT_SPAN_BITS < P::ROOT_ENTRIES;
        if whole && leaves_room { Ok(()) } else { Err(Violation::UserWindow(self.user.first())) }
    }

    fn check_kernel_pages(&self, pages: PageRange) -> Result<(), Violation> {
        if pages.overlaps(self.user) { Err(Violation::InUserWindow(pages.first())) } else { Ok(()) }
    }

    /// No other segment shares a page, a guard page or a frame with this one.
    fn check_alone(&self, index: u32, segment: &Segment, pages: PageRange) -> Result<(), Violation> {
        let guarded = with_guards(segment, pages)?;
        if guarded.overlaps(self.stacks) || guarded.overlaps(self.devices) {
            return Err(Violation::PagesOverlap(segment.first));
        }
        for (_, other) in (0u32..).zip(self.image).filter(|(other, _)| *other != index) {
            let other_pages = other.pages().ok_or(Violation::RangeTooLong(other.frames.count()))?;
            if guarded.overlaps(other_pages) {
                return Err(Violation::PagesOverlap(segment.first));
            }
            if segment.frames.overlaps(other.frames) {
                return Err(Violation::FramesOverlap(segment.frames.first()));
            }
        }
        Ok(())
    }

    /// Where the image lies within the direct map, both say the same.
    fn check_against_direct_map(&self, segment: &Segment, pages: PageRange) -> Result<(), Violation> {
        for (page, frame) in pages.iter().zip(segment.frames.iter()) {
            if self.direct_map.frame(page).is_some_and(|direct| direct != frame) {
                return Err(Violation::PagesOverlap(page));
            }
        }
        Ok(())
    }

    /// Whether `page` guards a stack.
    pub(crate) fn is_guard(segments: &Segments, page: Page) -> bool {
        segments.iter().any(|segment| segment.role == Role::Stack && guards(segment).contains(page))
    }

    /// The CPU numbers that a count stands for.
    pub(crate) fn check_cpus(count: u32) -> Result<(), Violation> {
        if (1..=Cpu::LIMIT).contains(&count) { Ok(()) } else { Err(Violation::CpuCount(count)) }
    }
}

/// The guard pages below a stack segment; none if they would pass page 0, which `check` refuses.
fn guards(segment: &Segment) -> PageRange {
    let below = segment.first.number().saturating_sub(GUARD_PAGES);
    let count = segment.first.number().wrapping_sub(below);
    Page::new(below).and_then(|first| PageRange::new(first, count)).unwrap_or(PageRange::EMPTY)
}

fn with_guards(segment: &Segment, pages: PageRange) -> Result<PageRange, Violation> {
    if segment.role != Role::Stack {
        return Ok(pages);
    }
    let guards = guards(segment);
    if guards.count() != GUARD_PAGES {
        return Err(Violation::PagesOverlap(segment.first));
    }
    PageRange::new(guards.first(), guards.count().saturating_add(pages.count()))
        .ok_or(Violation::RangeTooLong(pages.count()))
}

#[cfg(test)]
pub(crate) mod tests;
