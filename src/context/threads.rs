//! The thread table in RAM, and the moves on its words.
//!
//! Its first slots are the CPUs' idle threads, then come those that stacks are declared in: each has its
//! share of the window for stacks, and without a window there is none. Behind them, without a share, the flows that
//! the CPUs booted with.
//!
//! * **take** makes a thread that can be resumed a running one, or refuses;
//! * **change** makes a slot busy, so that only its taker reads and writes the rest of the record;
//! * **publish** gives it back in a new state.
//!
//! Take and change are one compare-exchange of the word, so of two that race exactly one wins.

use super::name::Name;
use super::state::{State, Word};
use super::tls::{Segments, TLS_SLOTS};
use crate::address::{FRAME_BYTES, Frame, FrameRange, Page, PageRange, PhysAddr};
use crate::interrupt::descriptor::Descriptor;
use crate::layout::GUARD_PAGES;
use crate::machine::{Cpu, Machine, Memory};
use crate::violation::Violation;
use static_assertions::const_assert;

/// Pages of the window for stacks that a slot has: the guards, and the most that a stack can have.
pub const SLOT_PAGES: u32 = 16;
/// The most pages that a stack can have.
pub const STACK_PAGES: u32 = SLOT_PAGES - GUARD_PAGES;
/// Pages of the stack of an idle thread, on which handlers run.
pub(crate) const IDLE_PAGES: u32 = 4;

/// Bytes of a record, and of the floating-point state beside it.
const RECORD_BYTES: u32 = 128;
pub(crate) const FP_BYTES: u32 = 512;

// What a record holds, as bytes from its start.
const WORD: u32 = 0;
/// Where its stack pointer is saved.
const STACK_POINTER: u32 = 4;
/// The root that it has loaded, or will.
const ROOT: u32 = 8;
/// How many pages its stack has.
const PAGES: u32 = 12;
/// Whether any TLS slot is full.
const HAS_TLS: u32 = 16;
const TLS: u32 = 24;
const FRAMES: u32 = TLS + 8 * TLS_SLOTS;
const_assert!(FRAMES + 4 * STACK_PAGES <= RECORD_BYTES);

/// Where the thread table lies. All else about it is in RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Threads {
    records: PhysAddr,
    /// Floating-point states, one for each record.
    states: PhysAddr,
    /// How many records there are.
    count: u32,
    window: PageRange,
    cpus: u32,
    /// The stacks of the idle threads, one after the other.
    idle: FrameRange,
}

/// The record of a thread, by where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record(PhysAddr);

impl Threads {
    /// A table without a slot: there are no threads.
    pub(crate) const NONE: Self = Self {
        records: PhysAddr::new(0),
        states: PhysAddr::new(0),
        count: 0,
        window: PageRange::EMPTY,
        cpus: 0,
        idle: FrameRange::EMPTY,
    };

    /// A record for each slot, and for each flow that a CPU booted with.
    const fn records_needed(window: PageRange, cpus: u32) -> u32 {
        (window.count() / SLOT_PAGES).saturating_add(cpus)
    }

    /// How many frames the table takes for a `window` and so many CPUs, and the stacks of idle threads.
    pub(crate) const fn frames_needed(window: PageRange, cpus: u32) -> (u32, u32) {
        let records = Self::records_needed(window, cpus);
        let bytes = records.saturating_mul(RECORD_BYTES.saturating_add(FP_BYTES));
        let idle = if window.is_empty() { 0 } else { cpus.saturating_mul(IDLE_PAGES) };
        (bytes.div_ceil(FRAME_BYTES), idle)
    }

    /// The table in `frames`, with the stacks of the idle threads in `idle`; both as
    /// [`frames_needed`](Self::frames_needed) says.
    ///
    /// # Safety
    ///
    /// 1. The frames are RAM.
    /// 2. Nothing but this table's own methods writes `frames`, and nothing but the idle threads `idle`.
    pub(crate) const unsafe fn new(
        frames: FrameRange,
        idle: FrameRange,
        window: PageRange,
        cpus: u32,
    ) -> Self {
        let states = frames.first().start();
        let records = Self::records_needed(window, cpus);
        Self {
            records: states.plus(records.wrapping_mul(FP_BYTES)),
            states,
            count: records,
            window,
            cpus,
            idle,
        }
    }

    /// Fills the zeroed table: idle threads that wait on their stacks, vacant slots, and for each CPU the flow
    /// that it booted with, running, `root` loaded.
    pub(crate) fn start(self, ram: &impl Memory, root: Frame) {
        let first = Word::from_bits(0);
        for cpu in (0..self.cpus).filter_map(Cpu::new) {
            if let Some(idle) = self.idle_of(cpu) {
                idle.set_word(ram, first.to(State::Waiting));
                idle.set_root(ram, root);
                idle.set_frames(ram, self.idle_frames(cpu));
            }
            let boot = self.boot_of(cpu);
            boot.set_word(ram, first.to(State::Running));
            boot.set_root(ram, root);
        }
    }

    fn idle_frames(self, cpu: Cpu) -> impl Iterator<Item = Frame> {
        let first = cpu.number().wrapping_mul(IDLE_PAGES);
        (0..IDLE_PAGES).filter_map(move |index| self.idle.get(first.wrapping_add(index)))
    }

    /// How many slots have a share of the window.
    pub(crate) const fn slots(self) -> u32 {
        self.window.count() / SLOT_PAGES
    }

    /// How many records there are.
    #[inline(always)]
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// The stacks of the idle threads.
    pub(crate) const fn idle(self) -> FrameRange {
        self.idle
    }

    /// Whether the table itself lies in `frame`, all or in part.
    pub(crate) const fn lies_in(self, frame: Frame) -> bool {
        let (frames, _) = Self::frames_needed(self.window, self.cpus);
        frame.number().wrapping_sub(self.states.containing().number()) < frames
    }

    /// The record with this number, which must exist.
    #[inline(always)]
    const fn record_at(&self, number: u32) -> Record {
        Record(self.records.plus(number.wrapping_mul(RECORD_BYTES)))
    }

    /// The record with this number.
    #[inline(always)]
    pub(crate) fn record(&self, number: u32) -> Result<Record, Violation> {
        if cfg!(sva_os_unchecked) || number < self.count() {
            Ok(self.record_at(number))
        } else {
            Err(Violation::NoSuchThread(number))
        }
    }

    /// All records with their numbers.
    pub(crate) fn all(self) -> impl Iterator<Item = (u32, Record)> {
        (0..self.count()).map(move |number| (number, self.record_at(number)))
    }

    /// The idle thread of `cpu`; `None` where there is no window, and so no stack for it.
    pub(crate) fn idle_of(self, cpu: Cpu) -> Option<Record> {
        (!self.window.is_empty()).then(|| self.record_at(cpu.number()))
    }

    /// The flow that `cpu` booted with.
    pub(crate) const fn boot_of(self, cpu: Cpu) -> Record {
        self.record_at(self.slots().wrapping_add(cpu.number()))
    }

    /// The number of a record.
    pub(crate) const fn number(self, record: Record) -> u32 {
        record.0.get().wrapping_sub(self.records.get()) / RECORD_BYTES
    }

    /// Where the floating-point state of a thread is kept.
    pub(crate) const fn fp_state(self, record: Record) -> PhysAddr {
        self.states.plus(self.number(record).wrapping_mul(FP_BYTES))
    }

    /// Makes the thread `name` a running one, on this CPU.
    #[inline(always)]
    pub(crate) fn take<M: Machine>(&self, ram: &M, name: Name) -> Result<Record, Violation> {
        // A name is one of this table or of another's.
        let record = if M::IS_ALONE { self.record_at(name.number) } else { self.record(name.number)? };
        if cfg!(sva_os_unchecked) || record.exchange(ram, name.saved, name.saved.resumed()) {
            Ok(record)
        } else {
            record.take_again(ram, name)
        }
    }

    /// Makes the slot of `name` busy if its state is one of those for which `fits` holds, and says which.
    pub(crate) fn change(
        self,
        ram: &impl Memory,
        name: Name,
        fits: impl Fn(State) -> bool,
    ) -> Result<(Record, State), Violation> {
        let record = self.record(name.number)?;
        loop {
            let word = record.word(ram);
            if !(word.is_same(name.saved) && fits(word.state())) {
                return Err(name.why_not(word));
            }
            if record.exchange(ram, word, word.to(State::Busy)) {
                return Ok((record, word.state()));
            }
        }
    }

    /// Makes a vacant slot busy, and says which.
    pub(crate) fn find(self, ram: &impl Memory) -> Result<Record, Violation> {
        let is_vacant = |record: &Record| {
            let word = record.word(ram);
            word.state() == State::Vacant
                && word.next().is_some()
                && record.exchange(ram, word, word.to(State::Busy))
        };
        (0..self.slots())
            .map(|number| self.record_at(number))
            .find(is_vacant)
            .ok_or(Violation::NoStackSlot(self.slots()))
    }

    /// Makes the idle thread of `cpu`, this CPU, the running one; `None` if it is that already, or was
    /// abandoned.
    pub(crate) fn take_idle(self, ram: &impl Memory, cpu: Cpu) -> Option<Record> {
        let idle = self.idle_of(cpu)?;
        let word = idle.word(ram);
        (word.state() == State::Waiting).then(|| idle.set_word(ram, word.to(State::Idle)))?;
        Some(idle)
    }

    /// The `place`-th page from the top of the slot on down.
    pub(crate) fn page_below_top(self, record: Record, place: u32) -> Option<Page> {
        let last = self.number(record).wrapping_mul(SLOT_PAGES).wrapping_add(SLOT_PAGES.wrapping_sub(1));
        self.window.get(last.wrapping_sub(place))
    }

    /// The frame that `page` of the window must be mapped to; `None` for a guard, or where no stack is.
    pub(crate) fn frame_under(self, ram: &impl Memory, page: Page) -> Option<Frame> {
        let place = page.number().wrapping_sub(self.window.first().number());
        let record = self.record_at(place / SLOT_PAGES);
        let below_top = SLOT_PAGES.wrapping_sub(1).wrapping_sub(place % SLOT_PAGES);
        (below_top < record.pages(ram)).then(|| record.frame(ram, below_top)).flatten()
    }
}

impl Record {
    /// The record at `at`.
    ///
    /// # Safety
    ///
    /// It is one of the thread table: what [`address`](Self::address) said of one.
    pub(crate) const unsafe fn at(at: PhysAddr) -> Self {
        Self(at)
    }

    /// Where it lies.
    pub(crate) const fn address(self) -> PhysAddr {
        self.0
    }

    /// Where its stack pointer is saved.
    pub(crate) const fn stack_pointer(self) -> PhysAddr {
        self.0.plus(STACK_POINTER)
    }

    #[inline(always)]
    fn read(self, ram: &impl Memory, offset: u32) -> u32 {
        // SAFETY: 1. only `Threads` and `at` make one, for records in RAM; offsets are multiples of 4 inside
        // it. 2. The table belongs to the library (`Threads::new`, 2).
        unsafe { ram.load(self.0.plus(offset)) }
    }

    #[inline(always)]
    fn write(self, ram: &impl Memory, offset: u32, value: u32) {
        // SAFETY: as in `read`.
        unsafe { ram.store(self.0.plus(offset), value) }
    }

    /// State and generation.
    #[inline(always)]
    pub(crate) fn word(self, ram: &impl Memory) -> Word {
        Word::from_bits(self.read(ram, WORD))
    }

    /// Publishes a state: all that was written to the record before is seen by whoever takes it then.
    #[inline(always)]
    pub(crate) fn set_word(self, ram: &impl Memory, word: Word) {
        self.write(ram, WORD, word.bits());
    }

    /// As [`Threads::take`], of a thread that is ready, and however often another CPU gets in between; says why the
    /// thread is not to be had. Out of the way of those that are saved.
    #[cold]
    #[inline(never)]
    fn take_again(self, ram: &impl Memory, name: Name) -> Result<Self, Violation> {
        loop {
            let word = self.word(ram);
            if word != name.saved && word != name.saved.to(State::Ready) {
                return Err(name.why_not(word));
            }
            if self.exchange(ram, word, name.saved.resumed()) {
                return Ok(self);
            }
        }
    }

    #[inline(always)]
    fn exchange(self, ram: &impl Memory, old: Word, new: Word) -> bool {
        // SAFETY: as in `read`.
        unsafe { ram.compare_exchange(self.0.plus(WORD), old.bits(), new.bits()) }.is_ok()
    }

    /// The saved stack pointer.
    #[inline(always)]
    pub(crate) fn saved_stack_pointer(self, ram: &impl Memory) -> u32 {
        self.read(ram, STACK_POINTER)
    }

    pub(crate) fn set_stack_pointer(self, ram: &impl Memory, value: u32) {
        self.write(ram, STACK_POINTER, value);
    }

    /// The root that it has loaded, or will.
    #[inline(always)]
    pub(crate) fn root(self, ram: &impl Memory) -> Frame {
        Frame::from_low_bits(self.read(ram, ROOT))
    }

    #[inline(always)]
    pub(crate) fn set_root(self, ram: &impl Memory, root: Frame) {
        self.write(ram, ROOT, root.number());
    }

    /// How many pages its stack has.
    pub(crate) fn pages(self, ram: &impl Memory) -> u32 {
        self.read(ram, PAGES)
    }

    /// The frame of the `place`-th page from the top of its stack on down.
    pub(crate) fn frame(self, ram: &impl Memory, place: u32) -> Option<Frame> {
        Frame::new(self.read(ram, Self::frame_at(place)))
    }

    const fn frame_at(place: u32) -> u32 {
        FRAMES.wrapping_add(place.wrapping_mul(4))
    }

    /// Its stack has these frames, from the top on down; none beyond [`STACK_PAGES`].
    pub(crate) fn set_frames(self, ram: &impl Memory, frames: impl IntoIterator<Item = Frame>) {
        let mut count = 0;
        for (place, frame) in (0..STACK_PAGES).zip(frames) {
            self.write(ram, Self::frame_at(place), frame.number());
            count = place.wrapping_add(1);
        }
        self.write(ram, PAGES, count);
    }

    /// Whether it has a TLS segment.
    #[inline(always)]
    pub(crate) fn has_tls(self, ram: &impl Memory) -> bool {
        self.read(ram, HAS_TLS) != 0
    }

    /// Its TLS segments.
    pub(crate) fn tls(self, ram: &impl Memory) -> Segments {
        let mut segments = Segments::default();
        for (place, segment) in (0..).zip(&mut segments) {
            let at = Self::tls_at(place);
            *segment = Descriptor::from_halves(self.read(ram, at), self.read(ram, at.wrapping_add(4)));
        }
        segments
    }

    /// Its TLS segments are these.
    pub(crate) fn set_tls(self, ram: &impl Memory, segments: Segments) {
        for (place, segment) in (0..).zip(segments) {
            let (low, high) = segment.halves();
            self.write(ram, Self::tls_at(place), low);
            self.write(ram, Self::tls_at(place).wrapping_add(4), high);
        }
        self.write(ram, HAS_TLS, u32::from(segments != Segments::default()));
    }

    const fn tls_at(place: u32) -> u32 {
        TLS.wrapping_add(place.wrapping_mul(8))
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
