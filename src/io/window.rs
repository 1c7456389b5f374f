//! The window for devices: where in it which frames of the bus are mapped.
//!
//! For each of its pages there is a word in RAM: zero, or the frame that is mapped there, which nobody else can claim
//! meanwhile. So the same words say what is claimed and what the kernel half has to be.

use crate::address::{FRAME_BYTES, Frame, FrameRange, Page, PageRange, PhysAddr};
use crate::machine::Memory;
use crate::violation::Violation;

const WORD_BYTES: u32 = 4;
/// Set in the word of a page that is taken.
const TAKEN: u32 = 1 << 31;
/// Set in the word of a page that is lent to programs, for ever.
const LENT: u32 = 1 << 30;

/// Where the words lie. All else about the window is in RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    words: PhysAddr,
    pages: PageRange,
    bus: FrameRange,
}

impl Window {
    /// A window without a page.
    #[cfg(loom)]
    pub(crate) const NONE: Self = Self::of(PageRange::EMPTY);

    /// The window `pages`, before its words have a place.
    pub(crate) const fn of(pages: PageRange) -> Self {
        Self { words: PhysAddr::new(0), pages, bus: FrameRange::EMPTY }
    }

    /// How many frames the words take.
    pub(crate) const fn frames_needed(self) -> u32 {
        self.pages.count().saturating_mul(WORD_BYTES).div_ceil(FRAME_BYTES)
    }

    /// The window with its words, which are zero, in `frames`. Devices of a bus lie in the frames `bus`.
    ///
    /// # Safety
    ///
    /// 1. `frames` are as many frames of RAM as [`frames_needed`](Self::frames_needed) says.
    /// 2. Nothing but this window's own methods writes them.
    pub(crate) const unsafe fn at(self, frames: FrameRange, bus: FrameRange) -> Self {
        Self { words: frames.first().start(), bus, ..self }
    }

    /// Its pages.
    pub(crate) const fn pages(&self) -> PageRange {
        self.pages
    }

    /// The frames in which a bus may have devices.
    pub(crate) const fn bus(&self) -> FrameRange {
        self.bus
    }

    /// Whether the words lie in `frame`, all or in part.
    pub(crate) const fn lies_in(self, frame: Frame) -> bool {
        frame.number().wrapping_sub(self.words.containing().number()) < self.frames_needed()
    }

    fn word(self, ram: &impl Memory, index: u32) -> u32 {
        // SAFETY: 1. callers name pages of the window, which has a word for each (`at`, 1). 2. `at`, 2.
        unsafe { ram.load(self.words.plus(index.wrapping_mul(WORD_BYTES))) }
    }

    fn set_word(self, ram: &impl Memory, index: u32, word: u32) {
        // SAFETY: as in `word`.
        unsafe { ram.store(self.words.plus(index.wrapping_mul(WORD_BYTES)), word) }
    }

    fn indices(self) -> core::ops::Range<u32> {
        0..self.pages.count()
    }

    fn index_of(self, page: Page) -> u32 {
        page.number().wrapping_sub(self.pages.first().number())
    }

    /// The frame that `page` of the window has to be mapped to.
    pub(crate) fn frame_under(self, ram: &impl Memory, page: Page) -> Option<Frame> {
        frame_of(self.word(ram, self.index_of(page)))
    }

    /// The lowest of `frames` that somebody has.
    pub(super) fn first_taken(self, ram: &impl Memory, frames: FrameRange) -> Option<Frame> {
        let taken = self.indices().filter_map(|index| frame_of(self.word(ram, index)));
        taken.filter(|frame| frames.contains(*frame)).min()
    }

    /// Takes the first pages in a row that nobody has, for `frames`. Whoever calls this has the lock of the
    /// configuration.
    pub(super) fn take(self, ram: &impl Memory, frames: FrameRange) -> Result<PageRange, Violation> {
        if let Some(frame) = self.first_taken(ram, frames).filter(|_| !cfg!(sva_os_unchecked)) {
            return Err(Violation::DeviceTaken(frame));
        }
        let no_room = Violation::NoDevicePages(frames.count());
        let mut run = 0u32;
        let last = self.indices().find(|index| {
            run = if self.word(ram, *index) == 0 { run.saturating_add(1) } else { 0 };
            run >= frames.count()
        });
        let first = last.and_then(|last| last.wrapping_add(1).checked_sub(frames.count())).ok_or(no_room)?;
        let page = self.pages.get(first).ok_or(no_room)?;
        let pages = PageRange::new(page, frames.count()).ok_or(no_room)?;
        for (index, frame) in (first..).zip(frames.iter()) {
            self.set_word(ram, index, TAKEN | frame.number());
        }
        Ok(pages)
    }

    /// Lends `pages`, which were taken, to programs for ever.
    pub(super) fn lend(self, ram: &impl Memory, pages: PageRange) {
        for index in pages.iter().map(|page| self.index_of(page)) {
            self.set_word(ram, index, self.word(ram, index) | LENT);
        }
    }

    /// The frame that `page` leads to, if it is a page of the window and lent.
    pub(super) fn lent_frame(self, ram: &impl Memory, page: Page) -> Option<Frame> {
        let word = self.pages.contains(page).then(|| self.word(ram, self.index_of(page)))?;
        if word & LENT == 0 { None } else { frame_of(word) }
    }

    /// Whether `frame` is lent.
    pub(crate) fn is_lent(self, ram: &impl Memory, frame: Frame) -> bool {
        self.pages.iter().any(|page| self.lent_frame(ram, page) == Some(frame))
    }

    /// Gives back `pages` that were taken, which no CPU remembers.
    pub(super) fn release(self, ram: &impl Memory, pages: PageRange) {
        for page in pages.iter() {
            self.set_word(ram, self.index_of(page), 0);
        }
    }
}

fn frame_of(word: u32) -> Option<Frame> {
    if word & TAKEN == 0 { None } else { Frame::new(word & !(TAKEN | LENT)) }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
