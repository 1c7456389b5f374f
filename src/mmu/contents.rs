//! The bytes of frames that no Rust reference reaches: copies in and out.
//!
//! Interrupts are off meanwhile, as in any intrinsic: a frame is small, and a thread that is preempted in the midst of
//! one would hold its count for as long as it is not resumed.

use crate::address::{FRAME_BYTES, Frame, PhysAddr, widen};
use crate::frame::Kind;
use crate::frame::word::Uses;
use crate::machine::Machine;
use crate::sva::{Held, Sva};
use crate::violation::Violation;

impl<M: Machine> Sva<M> {
    /// Copies the bytes of `frame` from `offset` on to `bytes`.
    ///
    /// # Errors
    ///
    /// [`RangeTooLong`](Violation::RangeTooLong) if they pass the frame's end,
    /// [`NoBytes`](Violation::NoBytes) unless it is user data, kernel data or DMA,
    /// [`TooManyMappings`](Violation::TooManyMappings), [`NoSuchFrame`](Violation::NoSuchFrame),
    /// [`FrameBusy`](Violation::FrameBusy).
    ///
    /// # Checks
    ///
    /// The frame keeps its kind to the last byte (design rule: who reads a frame holds it). Attack X6.
    pub fn read_bytes(&self, frame: Frame, offset: u32, bytes: &mut [u8]) -> Result<(), Violation> {
        self.intrinsic(|| {
            let (_held, at) = self.hold_bytes(frame, offset, bytes.len(), Uses::READ)?;
            // SAFETY: 1. `hold_bytes` found the bytes inside the frame, which is RAM. 2. It is held.
            unsafe { self.machine.copy_out(at, bytes) }
            Ok(())
        })
    }

    /// Copies `bytes` to the bytes of `frame` from `offset` on.
    ///
    /// # Errors
    ///
    /// As [`read_bytes`](Self::read_bytes).
    ///
    /// # Checks
    ///
    /// As [`read_bytes`](Self::read_bytes), and counted as writable. Attack X6.
    pub fn write_bytes(&self, frame: Frame, offset: u32, bytes: &[u8]) -> Result<(), Violation> {
        self.intrinsic(|| {
            let (_held, at) = self.hold_bytes(frame, offset, bytes.len(), Uses::WRITE)?;
            // SAFETY: 1. `hold_bytes` found the bytes inside the frame, which is RAM. 2. It is held,
            // and no reference to the bytes of such kinds exists.
            unsafe { self.machine.copy_in(at, bytes) }
            Ok(())
        })
    }

    /// Copies all bytes of `from` to `to`.
    ///
    /// # Errors
    ///
    /// Of either frame, as [`read_bytes`](Self::read_bytes).
    ///
    /// # Checks
    ///
    /// Both keep their kind to the last byte; `to` is counted as writable. Attack X6.
    pub fn copy_frame(&self, from: Frame, to: Frame) -> Result<(), Violation> {
        self.intrinsic(|| {
            let (from, _) = self.hold_bytes(from, 0, widen(FRAME_BYTES), Uses::READ)?;
            let (to, _) = self.hold_bytes(to, 0, widen(FRAME_BYTES), Uses::WRITE)?;
            // SAFETY: both are RAM and held, and no reference to the bytes of such kinds exists.
            unsafe { self.machine.copy_frame(from.frame, to.frame) }
            Ok(())
        })
    }

    /// Holds `frame` for a copy of `length` bytes from `offset` on, and says where they begin.
    fn hold_bytes(
        &self,
        frame: Frame,
        offset: u32,
        length: usize,
        uses: Uses,
    ) -> Result<(Held<'_, M>, PhysAddr), Violation> {
        let end = u32::try_from(length).ok().and_then(|length| offset.checked_add(length));
        if end.is_none_or(|end| end > FRAME_BYTES) {
            return Err(Violation::RangeTooLong(offset));
        }
        let kind = self.kind(frame);
        if kind == Kind::None {
            return Err(Violation::NoSuchFrame(frame));
        }
        if !kind.has_bytes() {
            return Err(Violation::NoBytes(frame));
        }
        Ok((self.acquire(frame, kind, uses)?, frame.start().plus(offset)))
    }
}
