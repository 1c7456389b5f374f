//! Memory that a device may read and write.

use crate::address::{FRAME_BYTES, Frame, FrameRange, PhysAddr, widen};
use crate::frame::Kind;
use crate::frame::word::Word as FrameWord;
use crate::machine::Machine;
use crate::sva::Sva;
use crate::violation::Violation;
use core::ops::Range;

/// Frames in a row that are a device's to read and write, for ever: without an IOMMU nobody can know when it has done
/// so for the last time. No program has them mapped, and no Rust value lies there: they are reached by copies.
///
/// To tell a device of them is what somebody has to [vouch](super::pci::Pci::vouch_for_ports) for. Dropping this leaks
/// the frames.
#[derive(Debug)]
pub struct DmaBuffer<'s, M: Machine> {
    sva: &'s Sva<M>,
    frames: FrameRange,
}

impl<'s, M: Machine> DmaBuffer<'s, M> {
    /// Makes a buffer of the free `frames`, filled with zeroes.
    ///
    /// # Errors
    ///
    /// [`EmptyRange`](Violation::EmptyRange); of the first frame that is not free, [`NotFree`](Violation::NotFree),
    /// [`FrameSealed`](Violation::FrameSealed), [`FrameBusy`](Violation::FrameBusy) or
    /// [`NoSuchFrame`](Violation::NoSuchFrame).
    ///
    /// # Checks
    ///
    /// All are free, so nothing maps them and no TLB remembers them; all become the device's, or none (invariants 3, 9).
    /// Attacks F10, P6.
    pub fn new(sva: &'s Sva<M>, frames: FrameRange) -> Result<Self, Violation> {
        sva.intrinsic(|| {
            if frames.is_empty() {
                return Err(Violation::EmptyRange(frames.first().number()));
            }
            let taken = sva.take_each(frames.iter(), FrameWord::unused(Kind::Dma));
            taken.map_err(|(_, violation)| violation)
        })?;
        Ok(Self { sva, frames })
    }

    /// Where it lies, for a device.
    pub const fn start(&self) -> PhysAddr {
        self.frames.first().start()
    }

    /// How many bytes it has, less one: a buffer may be all of 4 GiB but a frame.
    pub const fn last(&self) -> u32 {
        self.frames.count().wrapping_mul(FRAME_BYTES).wrapping_sub(1)
    }

    /// Copies its bytes from `offset` on to `bytes`.
    ///
    /// # Errors
    ///
    /// [`RangeTooLong`](Violation::RangeTooLong) if they pass its end; then nothing was copied.
    ///
    /// # Checks
    ///
    /// All bytes lie in its frames, which no call makes anything else of.
    pub fn read(&self, offset: u32, bytes: &mut [u8]) -> Result<(), Violation> {
        self.check(offset, bytes.len())?;
        for (frame, within, part) in self.parts(offset, bytes.len()) {
            self.sva.read_bytes(frame, within, bytes.get_mut(part).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Copies `bytes` to its bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Checks
    ///
    /// As [`read`](Self::read).
    pub fn write(&self, offset: u32, bytes: &[u8]) -> Result<(), Violation> {
        self.check(offset, bytes.len())?;
        for (frame, within, part) in self.parts(offset, bytes.len()) {
            self.sva.write_bytes(frame, within, bytes.get(part).unwrap_or_default())?;
        }
        Ok(())
    }

    fn check(&self, offset: u32, length: usize) -> Result<(), Violation> {
        let end = u32::try_from(length).ok().and_then(|length| offset.checked_add(length));
        let fits = end.is_some_and(|end| end.checked_sub(1).is_none_or(|last| last <= self.last()));
        if fits { Ok(()) } else { Err(Violation::RangeTooLong(offset)) }
    }

    /// Where the `length` bytes from `offset` on lie: frame by frame, where in it they begin, and which of them.
    fn parts(&self, offset: u32, length: usize) -> impl Iterator<Item = (Frame, u32, Range<usize>)> {
        let mut within = offset & FRAME_BYTES.wrapping_sub(1);
        let mut done = 0usize;
        self.frames.iter().skip(widen(offset / FRAME_BYTES)).map_while(move |frame| {
            let end = done.saturating_add(widen(FRAME_BYTES.wrapping_sub(within))).min(length);
            let part = (frame, within, done..end);
            (within, done) = (0, end);
            (!part.2.is_empty()).then_some(part)
        })
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
