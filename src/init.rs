//! From a layout and a memory map to a typed machine.
//!
//! First everything is checked, without a write. Then the library's own memory is carved from the
//! highest run of RAM that is long enough, the frame table typed, the kernel half built and its
//! root loaded.

use crate::address::{FRAME_BYTES, Frame, FrameRange};
use crate::context::SLOT_PAGES;
use crate::context::processor::Processors;
use crate::context::threads::Threads;
use crate::frame::Kind;
use crate::frame::table::{ENTRY_BYTES, Frames};
use crate::frame::word::Word as FrameWord;
#[cfg(feature = "emulated")]
use crate::interrupt;
use crate::layout::Layout;
#[cfg(feature = "emulated")]
use crate::machine::Machine;
use crate::machine::{Cpu, Memory};
use crate::memory_map::{MemoryMap, Region, Usage};
use crate::mmu::PagingMode;
use crate::mmu::clock::Clock;
use crate::mmu::entry::entry_address;
use crate::mmu::kernel_half::{Expected, KernelHalf, Slot};
use crate::mmu::loaded::Loaded;
#[cfg(feature = "emulated")]
use crate::sva::Sva;
use crate::violation::Violation;
use core::convert::Infallible;

#[cfg(all(target_arch = "x86", target_os = "none"))]
mod i386;

/// Checked plan of what init will do.
pub(crate) struct Plan<'a> {
    layout: &'a Layout<'a>,
    map: MemoryMap<'a>,
    pub(crate) half: KernelHalf,
    /// Frames that the frame table covers.
    frames: u32,
    table: FrameRange,
    clock: Frame,
    /// The thread table, and the stacks of the idle threads.
    threads: FrameRange,
    idle: FrameRange,
    /// What is claimed of devices.
    devices: FrameRange,
    cpus: u32,
}

impl<'a> Plan<'a> {
    pub(crate) fn new<P: PagingMode>(
        layout: &'a Layout<'a>,
        regions: &'a [Region],
        cpus: u32,
    ) -> Result<Self, Violation> {
        layout.check::<P>()?;
        Layout::check_cpus(cpus)?;
        if !layout.stacks.is_empty() && layout.stacks.count() / SLOT_PAGES < cpus {
            return Err(Violation::StackWindow(layout.stacks.count()));
        }
        let map = MemoryMap::new(regions)?;
        let half = KernelHalf::new(layout)?;
        let frames = map.end().min(layout.direct_map.frames.end());
        let none = FrameRange::EMPTY;
        let (table, clock, threads, idle, devices) = (none, Frame::ZERO, none, none, none);
        let mut plan = Self { layout, map, half, frames, table, clock, threads, idle, devices, cpus };
        plan.check_parts()?;
        plan.carve::<P>()?;
        Ok(plan)
    }

    /// Every part of the layout is reachable RAM, and no two parts share a frame.
    fn check_parts(&self) -> Result<(), Violation> {
        let segments = self.layout.image.iter().map(|segment| segment.frames);
        let parts = segments.chain(self.layout.in_use.iter().map(|part| part.frames()));
        for (index, part) in parts.clone().enumerate() {
            for frame in part.iter() {
                if !self.layout.direct_map.frames.contains(frame) {
                    return Err(Violation::NotDirectlyMapped(frame));
                }
                if !self.is_ram(frame) {
                    return Err(Violation::NotRam(frame));
                }
                let in_image = self.layout.image.iter().any(|segment| segment.frames.contains(frame));
                if !in_image && self.is_behind_guard(frame) {
                    return Err(Violation::FramesOverlap(frame));
                }
            }
            if parts.clone().take(index).any(|other| other.overlaps(part)) {
                return Err(Violation::FramesOverlap(part.first()));
            }
        }
        Ok(())
    }

    /// Whether the memory map gives `frame` to the kernel.
    fn is_ram(&self, frame: Frame) -> bool {
        let within = |usage| self.map.frames(usage).any(|frames| frames.contains(frame));
        within(Usage::Available) && !within(Usage::Reserved)
    }

    /// Whether the direct map would reach `frame` at a guard page: such a frame is not used.
    fn is_behind_guard(&self, frame: Frame) -> bool {
        self.layout.direct_map.page(frame).is_some_and(|page| Layout::is_guard(&self.half.segments, page))
    }

    /// Whether `frame` is RAM that the layout says nothing about.
    fn is_spare(&self, frame: Frame) -> bool {
        let image = self.layout.image.iter().map(|segment| segment.frames);
        let used = image.chain(self.layout.in_use.iter().map(|part| part.frames()));
        frame != Frame::ZERO
            && self.layout.direct_map.frames.contains(frame)
            && self.is_ram(frame)
            && !self.is_behind_guard(frame)
            && !used.clone().any(|frames| frames.contains(frame))
    }

    /// Finds a place for the library's own memory.
    fn carve<P: PagingMode>(&mut self) -> Result<(), Violation> {
        let table = self.frames.wrapping_mul(ENTRY_BYTES).div_ceil(FRAME_BYTES);
        let tables = self.half.tables_needed::<P>();
        let (threads, idle) = Threads::frames_needed(self.layout.stacks, self.cpus);
        let devices = self.half.devices.frames_needed();
        let needed = [table, 2, tables, threads, idle, devices].into_iter().fold(0, u32::saturating_add);
        let start = self.highest_run(needed).ok_or(Violation::NoRoom(needed))?;
        let part = |first: u32, count: u32| {
            start
                .checked_add(first)
                .and_then(|first| FrameRange::new(first, count))
                .ok_or(Violation::NoRoom(needed))
        };
        self.table = part(0, table)?;
        self.clock = part(table, 1)?.first();
        self.half.root = part(table.saturating_add(1), 1)?.first();
        self.half.tables = part(table.saturating_add(2), tables)?;
        self.threads = part(self.half.tables.end().saturating_sub(start.number()), threads)?;
        self.idle = part(self.threads.end().saturating_sub(start.number()), idle)?;
        self.devices = part(self.idle.end().saturating_sub(start.number()), devices)?;
        Ok(())
    }

    /// The first frame of the highest `count` contiguous spare frames.
    fn highest_run(&self, count: u32) -> Option<Frame> {
        let mut run = 0u32;
        (0..self.frames).rev().filter_map(Frame::new).find(|frame| {
            run = if self.is_spare(*frame) { run.saturating_add(1) } else { 0 };
            run == count
        })
    }

    /// What word 0 of `frame` begins as.
    fn first_word(&self, frame: Frame) -> FrameWord {
        for segment in self.layout.image {
            if segment.frames.contains(frame) {
                return FrameWord::sealed(segment.role.kind());
            }
        }
        for part in self.layout.in_use {
            if part.frames().contains(frame) {
                return FrameWord::sealed(part.kind());
            }
        }
        let monitor = [self.table, self.threads, self.devices];
        if frame == self.clock || monitor.iter().any(|frames| frames.contains(frame)) {
            FrameWord::sealed(Kind::Monitor)
        } else if self.idle.contains(frame) {
            FrameWord::sealed(Kind::Stack)
        } else if frame == self.half.root {
            FrameWord::sealed(Kind::Root)
        } else if self.half.tables.contains(frame) {
            FrameWord::sealed(Kind::KernelTable)
        } else if self.is_spare(frame) {
            FrameWord::unused(Kind::Free)
        } else if frame == Frame::ZERO && self.is_ram(frame) && self.layout.direct_map.frames.contains(frame)
        {
            FrameWord::sealed(Kind::Kept)
        } else {
            FrameWord::NONE
        }
    }
}

/// What the library keeps in RAM, and where.
pub(crate) struct Parts {
    pub(crate) frames: Frames,
    pub(crate) clock: Clock,
    pub(crate) loaded: Loaded,
    pub(crate) processors: Processors,
    pub(crate) half: KernelHalf,
}

impl Plan<'_> {
    /// Writes what was planned: the frame table, the clock at its first value, the kernel half, and a
    /// record for each CPU that the sealed root is loaded and which thread it runs.
    ///
    /// # Safety
    ///
    /// 1. The layout and the memory map that this was made from describe the machine: the image lies
    ///    where they say, all values that Rust code can reach lie in the image or the in-use
    ///    ranges, available regions are RAM.
    /// 2. No other code writes page tables, or the memory that is neither image nor in use, again.
    pub(crate) unsafe fn write<P: PagingMode>(mut self, ram: &impl Memory) -> Parts {
        let own = self.table.iter().chain([self.clock, self.half.root]).chain(self.half.tables.iter());
        let own = own.chain(self.threads.iter()).chain(self.idle.iter()).chain(self.devices.iter());
        for frame in own {
            // SAFETY: spare RAM (`carve`) that nobody else uses (2), from now on the library's.
            unsafe { ram.zero(frame) }
        }
        // SAFETY: 1. `carve` made room for `self.frames` entries in RAM, at a frame's start.
        // 2. The frames were spare, and the words below seal them.
        let frames = unsafe { Frames::new(self.table.first().start(), self.frames) };
        for frame in (0..self.frames).filter_map(Frame::new) {
            frames.write(ram, frame, self.first_word(frame));
        }
        // SAFETY: 1. a frame of RAM. 2. It was spare and is sealed.
        let clock = unsafe { Clock::new(self.clock.start()) };
        clock.start(ram);
        // SAFETY: 1. and 2. as for the clock, behind which the records lie.
        let loaded = unsafe { Loaded::new(self.clock.start()) };
        // SAFETY: 1. and 2. as for the clock, behind which and the roots the records lie.
        let processors = unsafe { Processors::new(self.clock.start()) };
        // SAFETY: 1. RAM, of so many frames (`carve`). 2. They were spare and are sealed.
        let threads = unsafe { Threads::new(self.threads, self.idle, self.layout.stacks, self.cpus) };
        threads.start(ram, self.half.root);
        self.half.threads = threads;
        // SAFETY: 1. RAM, of so many frames (`carve`). 2. They were spare and are sealed.
        self.half.devices = unsafe { self.half.devices.at(self.devices, self.map.bus()) };
        for cpu in (0..self.cpus).filter_map(Cpu::new) {
            loaded.set(ram, cpu, self.half.root);
            processors.of(cpu).start(ram, threads.boot_of(cpu));
        }
        let Ok(()) = self.half.visit::<P, Infallible>(frames, ram, &mut |slot: Slot, expected: Expected| {
            let entry = entry_address::<P>(slot.table, slot.index);
            // SAFETY: 1. an entry of a carved table, which lies in RAM. 2. It is the library's.
            unsafe { ram.store(entry, expected.encode::<P>(slot.level)) }
            Ok(())
        });
        Parts { frames, clock, loaded, processors, half: self.half }
    }
}

#[cfg(feature = "emulated")]
impl<M: Machine> Sva<M> {
    /// Types the machine's RAM and loads the sealed root on this CPU.
    ///
    /// # Safety
    ///
    /// As [`Plan::write`].
    pub(crate) unsafe fn build(
        machine: M,
        layout: &Layout<'_>,
        regions: &[Region],
    ) -> Result<Self, Violation> {
        let plan = Plan::new::<M::Mode>(layout, regions, machine.cpus())?;
        if !machine.claim() {
            return Err(Violation::AlreadyInitialised(machine.root().start()));
        }
        // SAFETY: 1. and 2. are the caller's.
        let Parts { frames, clock, loaded, processors, half } = unsafe { plan.write::<M::Mode>(&machine) };
        interrupt::start(&machine);
        // SAFETY: the sealed root, complete, which is never changed.
        unsafe { machine.take_over(half.root) }
        let sva = Self { machine, frames, clock, loaded, processors, half };
        sva.prepare_idle_threads(|| None);
        Ok(sva)
    }
}

#[cfg(feature = "emulated")]
impl<P: PagingMode> Sva<crate::machine::Emulated<P>> {
    /// Takes an emulated machine over, with all its CPUs.
    ///
    /// # Errors
    ///
    /// What is wrong with `layout`, `regions` or the machine; the machine is then dropped unchanged.
    ///
    /// # Checks
    ///
    /// As on hardware. Here it is safe: no Rust value lives in the emulated RAM. Attacks B1 to B3.
    #[doc(alias = "sva_mmu_init")]
    #[doc(alias = "sva_end_mem_init")]
    pub fn emulate(
        machine: crate::machine::Emulated<P>,
        layout: &Layout<'_>,
        regions: &[Region],
    ) -> Result<Self, Violation> {
        let ram = FrameRange::new(Frame::ZERO, machine.frames()).unwrap_or(FrameRange::EMPTY);
        let available = MemoryMap::new(regions)?.frames(Usage::Available);
        if let Some(beyond) = available.clone().find(|frames| !ram.covers(*frames)) {
            return Err(Violation::NotRam(beyond.first()));
        }
        // SAFETY: 1. and 2. the RAM is a `Vec` of the machine's own, in which no Rust value lives, and
        // `regions` names nothing else as available.
        let sva = unsafe { Self::build(machine, layout, regions) }?;
        for cpu in (0..sva.machine.cpus()).filter_map(Cpu::new) {
            sva.machine.as_cpu(cpu, || {
                // SAFETY: the sealed root, as for the CPU that built it.
                unsafe { sva.machine.take_over(sva.half.root) }
            });
        }
        Ok(sva)
    }

    /// The machine, to look at and to play the adversary.
    pub const fn machine(&self) -> &crate::machine::Emulated<P> {
        &self.machine
    }
}

#[cfg(all(test, feature = "emulated"))]
pub(crate) mod tests;
