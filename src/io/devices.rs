//! Memory-mapped devices: who may have which registers.
//!
//! As with ports, **everything is refused** but the rows of [`OFFERED_MEMORY`], the base address registers of functions
//! that are [known to be harmless](super::pci::HARMLESS), and what somebody vouches for in `unsafe` code. RAM, whatever
//! the memory map says about it, and what lies from 0xfec00000 on (APICs, HPET, firmware) is never handed out.

use super::mmio::MmioRegion;
use crate::address::{Frame, FrameRange, PhysAddr};
use crate::frame::Kind;
use crate::machine::Machine;
use crate::sva::Sva;
use crate::violation::Violation;

/// Frames of device memory in a row that safe code may claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryRow {
    /// The number of the first frame.
    pub first: u32,
    /// How many frames.
    pub count: u32,
    /// What answers there.
    pub device: &'static str,
    /// Why it is offered.
    pub reason: &'static str,
}

/// What safe code may claim besides base address registers. A claim lies in one row.
pub const OFFERED_MEMORY: &[MemoryRow] = &[MemoryRow {
    first: 0xa0,
    count: 0x20,
    device: "VGA",
    reason: "the display's own memory, text from 0xb8000 on; it is not RAM on any PC (IBM VGA)",
}];

const _: () = {
    let mut rows = OFFERED_MEMORY;
    while let [row, rest @ ..] = rows {
        assert!(row.count > 0 && row.first < 0x100 && row.count <= 0x100 - row.first);
        rows = rest;
    }
};

/// The memory-mapped devices of a machine: a name for them, which anybody may copy.
pub struct Devices<'s, M: Machine> {
    pub(super) sva: &'s Sva<M>,
}

impl<M: Machine> Clone for Devices<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Machine> Copy for Devices<'_, M> {}

impl<M: Machine> core::fmt::Debug for Devices<'_, M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Devices")
    }
}

impl<M: Machine> Sva<M> {
    /// The machine's memory-mapped devices.
    pub const fn devices(&self) -> Devices<'_, M> {
        Devices { sva: self }
    }
}

impl<'s, M: Machine> Devices<'s, M> {
    /// Claims the registers in `frames`, all of which lie in one row of [`OFFERED_MEMORY`].
    ///
    /// # Errors
    ///
    /// [`EmptyRange`](Violation::EmptyRange), [`NotDeviceMemory`](Violation::NotDeviceMemory) of the first frame that is not
    /// offered, or is RAM of this kernel; [`DeviceTaken`](Violation::DeviceTaken),
    /// [`NoDevicePages`](Violation::NoDevicePages).
    ///
    /// # Checks
    ///
    /// The policy offers every frame, none is RAM, nobody has one of them; no CPU remembers what was mapped before where
    /// they are mapped now (invariants 7, 9, 11). Attacks E12, P2, P8, P9.
    pub fn claim(self, frames: FrameRange) -> Result<MmioRegion<'s, M>, Violation> {
        self.sva.intrinsic(|| {
            if frames.is_empty() {
                return Err(Violation::EmptyRange(frames.first().number()));
            }
            check(frames)?;
            self.check_no_ram(frames)?;
            let pages = self.locked(|| self.sva.half.devices.take(&self.sva.machine, frames))?;
            let length = frames.count().wrapping_mul(crate::address::FRAME_BYTES);
            Ok(MmioRegion::new(self.sva, pages, frames.first().start(), length))
        })
    }

    /// Calls `run` while nobody else changes who answers where, or has what.
    pub(super) fn locked<R>(self, run: impl FnOnce() -> R) -> R {
        let machine = &self.sva.machine;
        machine.claims().configuration(machine, run)
    }

    /// None of `frames` is one of the frame table.
    pub(super) fn check_no_ram(self, frames: FrameRange) -> Result<(), Violation> {
        let is_ram = |frame: &Frame| self.sva.kind(*frame) != Kind::None;
        match frames.iter().find(is_ram).filter(|_| !cfg!(sva_os_unchecked)) {
            Some(frame) => Err(Violation::NotDeviceMemory(frame)),
            None => Ok(()),
        }
    }
}

/// Whether one row offers all of `frames`; else the first frame that it does not.
fn check(frames: FrameRange) -> Result<(), Violation> {
    if cfg!(sva_os_unchecked) {
        return Ok(());
    }
    let rows = OFFERED_MEMORY.iter().filter_map(|row| FrameRange::new(Frame::new(row.first)?, row.count));
    let Some(row) = rows.clone().find(|row| row.contains(frames.first())) else {
        return Err(Violation::NotDeviceMemory(frames.first()));
    };
    match frames.iter().find(|frame| !row.contains(*frame)) {
        Some(frame) => Err(Violation::NotDeviceMemory(frame)),
        None => Ok(()),
    }
}

/// The frames that hold `length` bytes from `start` on; `None` if there are none, or they pass 4 GiB.
pub(super) fn frames_of(start: PhysAddr, length: u32) -> Option<FrameRange> {
    FrameRange::of_bytes(start, length).filter(|frames| !frames.is_empty())
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
