//! Registers that user programs drive.

use super::mmio::MmioRegion;
use crate::address::{FRAME_BYTES, Frame, PageRange};
use crate::frame::Kind;
use crate::frame::word::Uses;
use crate::machine::Machine;
use crate::mmu::{Half, PagingMode};
use crate::sva::Sva;
use crate::violation::Violation;

/// Registers that were given to user programs, for ever: any address space may map them, and the kernel has them no
/// more. That they are never anything else is what makes a translation to them harmless that a TLB remembers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LentRegion {
    /// Where they are in the window for devices.
    pages: PageRange,
}

impl LentRegion {
    /// How many frames the registers have.
    pub const fn frames(self) -> u32 {
        self.pages.count()
    }
}

impl<'s, M: Machine> MmioRegion<'s, M> {
    /// Gives the registers to user programs, for ever.
    ///
    /// # Errors
    ///
    /// [`NotLendable`](Violation::NotLendable), with the region itself, if the registers do not fill their frames, or lie
    /// below the end of RAM.
    ///
    /// # Checks
    ///
    /// A program gets whole frames, and all of these are the region's; none is one that the frame table speaks of
    /// (invariants 4, 11).
    pub fn lend(self) -> Result<LentRegion, (Self, Violation)> {
        let first = self.start().containing();
        let shares = (self.start().offset() | self.length() & FRAME_BYTES.wrapping_sub(1)) != 0;
        let is_among_ram = first.number() < self.sva.frame_count();
        if !cfg!(sva_os_unchecked) && (shares || is_among_ram) {
            return Err((self, Violation::NotLendable(first)));
        }
        let pages = self.pages();
        let quiet = self.sva.quiet();
        self.sva.half.devices.lend(&self.sva.machine, pages);
        drop(quiet);
        core::mem::forget(self);
        Ok(LentRegion { pages })
    }
}

impl<M: Machine> Sva<M> {
    /// Maps frame number `place` of `region` in the empty entry `index` of `table`, a table of leaves: for a user program
    /// to read and write, not cached. [`unmap`](Self::unmap) takes it away again.
    ///
    /// # Errors
    ///
    /// Of `table` and `index` as [`map`](Self::map); [`NotDeviceMemory`](Violation::NotDeviceMemory), with the frame that
    /// `place` counts from 0, if the region has no such frame.
    ///
    /// # Checks
    ///
    /// The frame was lent on this machine (invariants 4, 11); the table's count follows (5). Attacks E1, E2, E7, E12.
    pub fn map_device(
        &self,
        table: Frame,
        index: u32,
        region: LentRegion,
        place: u32,
    ) -> Result<(), Violation> {
        self.intrinsic(|| {
            let window = self.half.devices;
            let frame = region.pages.get(place).and_then(|page| window.lent_frame(&self.machine, page));
            let frame = frame.ok_or(Violation::NotDeviceMemory(Frame::from_low_bits(place)))?;
            let table = self.acquire(table, Kind::Table1, Uses::ENTRY)?;
            table.entry(index)?.fill(M::Mode::device_leaf(frame, Half::User))?;
            table.keep();
            Ok(())
        })
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
