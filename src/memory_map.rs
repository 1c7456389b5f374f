//! The firmware's list of memory, which may be wrong in every way.

use crate::address::{FRAME_BYTES, FRAME_LIMIT, FRAME_SHIFT, Frame, FrameRange};
use crate::violation::Violation;

/// The frame of the first I/O APIC. From here on lie what delivers interrupts, clocks, and the firmware.
const INTERRUPT_CONTROLLERS: u32 = 0xf_ec00;

/// What a region of the memory map is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Usage {
    /// RAM for the kernel to use. Only frames that lie in such regions whole are used.
    Available,
    /// Anything else. It wins where regions overlap, and takes every frame that it touches.
    Reserved,
}

/// A region of physical memory, in bytes. Regions may overlap, be unsorted, empty, unaligned or
/// lie beyond 4 GiB.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Region {
    /// The address of the first byte.
    pub start: u64,
    /// How many bytes.
    pub length: u64,
    /// What it is.
    pub usage: Usage,
}

impl Region {
    /// The frames below 4 GiB that lie in an available region whole, or that a reserved one touches.
    ///
    /// # Errors
    ///
    /// [`BadRegion`](Violation::BadRegion) with `index` if the region wraps.
    pub(crate) fn frames(&self, index: u32) -> Result<FrameRange, Violation> {
        let end = self.start.checked_add(self.length).ok_or(Violation::BadRegion(index))?;
        let up = |address: u64| address.saturating_add(u64::from(FRAME_BYTES).wrapping_sub(1));
        let (first, end) = match self.usage {
            Usage::Available => (up(self.start), end),
            Usage::Reserved if self.length == 0 => (self.start, self.start),
            Usage::Reserved => (self.start, up(end)),
        };
        let number =
            |address: u64| u32::try_from(address >> FRAME_SHIFT).unwrap_or(u32::MAX).min(FRAME_LIMIT);
        let (first, end) = (number(first), number(end));
        Ok(Frame::new(first)
            .and_then(|frame| FrameRange::new(frame, end.saturating_sub(first)))
            .unwrap_or(FrameRange::EMPTY))
    }
}

/// The memory map, known not to wrap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryMap<'a>(&'a [Region]);

impl<'a> MemoryMap<'a> {
    pub(crate) fn new(regions: &'a [Region]) -> Result<Self, Violation> {
        for (index, region) in (0u32..).zip(regions) {
            region.frames(index)?;
        }
        Ok(Self(regions))
    }

    /// The frames of every region of one usage.
    pub(crate) fn frames(self, usage: Usage) -> impl Iterator<Item = FrameRange> + Clone {
        self.0
            .iter()
            .filter(move |region| region.usage == usage)
            .filter_map(|region| region.frames(0).ok())
            .filter(|frames| !frames.is_empty())
    }

    /// The frames in which a bus may have devices: behind all that the map speaks of, and below the interrupt
    /// controllers. Empty if the map leaves none.
    pub(crate) fn bus(self) -> FrameRange {
        let every = [Usage::Available, Usage::Reserved].map(|usage| self.frames(usage));
        let below =
            every.into_iter().flatten().filter(|frames| frames.first().number() < INTERRUPT_CONTROLLERS);
        let first = below.map(FrameRange::end).max().unwrap_or(INTERRUPT_CONTROLLERS);
        Frame::new(first)
            .and_then(|frame| FrameRange::new(frame, INTERRUPT_CONTROLLERS.saturating_sub(first)))
            .unwrap_or(FrameRange::EMPTY)
    }

    /// The number of the first frame past all RAM.
    pub(crate) fn end(self) -> u32 {
        self.frames(Usage::Available).map(FrameRange::end).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
