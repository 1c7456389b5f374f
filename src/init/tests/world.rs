//! Small machines that a kernel has taken over, for tests that look inside the library.

extern crate std;

use crate::address::{Frame, FrameRange, Page, PageRange, PhysAddr};
use crate::context::SLOT_PAGES;
use crate::frame::Kind;
use crate::frame::word::Word;
use crate::layout::{DirectMap, InUse, Layout, Role, Segment};
use crate::machine::emulated::Config;
use crate::machine::{Cpu, Emulated};
use crate::memory_map::{Region, Usage};
use crate::mmu::PagingMode;
use crate::sva::Sva;
use std::vec;

pub(crate) type World<P> = Sva<Emulated<P>>;

/// Frames of RAM.
pub(crate) const RAM: u32 = 64;

pub(crate) fn frame(number: u32) -> Frame {
    Frame::new(number).unwrap()
}

pub(crate) fn page(number: u32) -> Page {
    Page::new(number).unwrap()
}

pub(crate) fn frames(first: u32, count: u32) -> FrameRange {
    FrameRange::new(frame(first), count).unwrap()
}

pub(crate) fn cpu(number: u32) -> Cpu {
    Cpu::new(number).unwrap()
}

/// Text in frames 1 and 2, read-only data in 3, data in 4 and 5, guards at 6 and 7, a stack in 8 and
/// 9, of a kernel whose direct map begins at page `base`.
pub(crate) fn image(base: u32) -> [Segment; 4] {
    let part = |first, count, role| Segment { first: page(base + first), frames: frames(first, count), role };
    [part(1, 2, Role::Text), part(3, 1, Role::ReadOnly), part(4, 2, Role::Data), part(8, 2, Role::Stack)]
}

/// A heap in frame 10, a kept frame 11 and one, 12, that is the firmware's. User programs have the
/// first 3 GiB. Frames are free from 13 on.
pub(crate) fn world<P: PagingMode>(cpus: u32) -> World<P> {
    world_with(cpus, PageRange::EMPTY, PageRange::EMPTY)
}

/// Slots for stacks in a world with threads: the idle threads have the first.
pub(crate) const SLOTS: u32 = 6;
/// The first page of its window for stacks.
pub(crate) const STACKS: u32 = 0xd_0000;

/// As [`world`], with a window for stacks. Fewer frames are free then.
pub(crate) fn world_with_threads<P: PagingMode>(cpus: u32) -> World<P> {
    world_with(cpus, PageRange::new(page(STACKS), SLOTS * SLOT_PAGES).unwrap(), PageRange::EMPTY)
}

/// The pages of its window for devices.
pub(crate) const DEVICES: (u32, u32) = (0xe_0000, 40);

/// As [`world`], with a window for devices. Fewer frames are free then.
pub(crate) fn world_with_devices<P: PagingMode>(cpus: u32) -> World<P> {
    world_with(cpus, PageRange::EMPTY, PageRange::new(page(DEVICES.0), DEVICES.1).unwrap())
}

fn world_with<P: PagingMode>(cpus: u32, stacks: PageRange, devices: PageRange) -> World<P> {
    let region = |first: u64, count: u64, usage| Region { start: first << 12, length: count << 12, usage };
    let layout = Layout {
        image: &image(0xc_0000),
        user: PageRange::new(page(0), 0xc_0000).unwrap(),
        direct_map: DirectMap { first: page(0xc_0000), frames: frames(0, RAM) },
        stacks,
        devices,
        in_use: &[InUse::Heap(frames(10, 1)), InUse::Kept(frames(11, 1))],
    };
    let regions = [region(0, RAM.into(), Usage::Available), region(12, 1, Usage::Reserved)];
    let machine = Emulated::new(&Config { frames: RAM, cpus, left_over: vec![] });
    Sva::emulate(machine, &layout, &regions).unwrap()
}

impl<P: PagingMode> World<P> {
    /// Where word 0 of `frame` lies.
    pub(crate) fn word_at(&self, frame: Frame) -> PhysAddr {
        let table = (0..RAM).map(self::frame).find(|frame| self.kind(*frame) == Kind::Monitor).unwrap();
        table.start().plus(8 * frame.number())
    }

    /// Where word 1 of `frame` lies.
    pub(crate) fn stamp_at(&self, frame: Frame) -> PhysAddr {
        self.word_at(frame).plus(4)
    }

    /// Where the clock lies, and behind it the flush times and the records of roots.
    pub(crate) fn clock_at(&self) -> PhysAddr {
        self.word_at(Frame::ZERO).plus(0x1000)
    }

    /// Types `frame` as no intrinsic would.
    pub(crate) fn force(&self, frame: Frame, word: Word) {
        self.machine().poke(self.word_at(frame), word.bits());
    }
}
