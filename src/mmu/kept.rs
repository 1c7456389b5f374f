//! What the kernel found in memory when it booted, lent to read.

use crate::address::{Frame, FrameRange, PhysAddr};
use crate::frame::Kind;
use crate::machine::Machine;
use crate::sva::Sva;
use crate::violation::Violation;

impl<M: Machine> Sva<M> {
    /// The frames that `length` bytes from `start` on touch, all of which were kept at init.
    #[cfg_attr(
        not(all(target_arch = "x86", target_os = "none")),
        allow(dead_code, reason = "only the machine of silicon lends them for ever")
    )]
    pub(crate) fn kept_frames(&self, start: PhysAddr, length: u32) -> Result<FrameRange, Violation> {
        let frames = FrameRange::of_bytes(start, length).ok_or(Violation::RangeTooLong(length))?;
        // The firmware goes on writing frame 0.
        let is_kept = |frame: &Frame| *frame != Frame::ZERO && self.kind(*frame) == Kind::Kept;
        match frames.iter().find(|frame| !is_kept(frame)) {
            Some(other) => Err(Violation::NotKept(other)),
            None => Ok(frames),
        }
    }
}

#[cfg(all(target_arch = "x86", target_os = "none"))]
impl<P: crate::mmu::PagingMode> Sva<crate::machine::I386<P>> {
    /// The `length` bytes from physical address `start` on, which the layout said to keep.
    ///
    /// # Errors
    ///
    /// [`RangeTooLong`](Violation::RangeTooLong) past 4 GiB; [`NotKept`](Violation::NotKept) with the
    /// first frame that was not kept, or is frame 0.
    ///
    /// # Checks
    ///
    /// Every frame is of the kind *kept*, which nothing ever writes. Attack B9.
    pub fn kept_bytes(&self, start: PhysAddr, length: u32) -> Result<&'static [u8], Violation> {
        use crate::address::widen;
        use crate::observer::observed;
        let frames = observed(&self.machine, self.kept_frames(start, length))?;
        if frames.is_empty() {
            return Ok(&[]);
        }
        // SAFETY: the frames are sealed as kept: no call of the library writes them, and init's caller
        // said that nobody else does (`Sva::init`, 1). So shared borrows of them may live for ever.
        let memory = unsafe { self.machine.lend(frames) };
        let first: *const u8 = memory.cast_const().cast();
        let first = first.wrapping_add(widen(start.offset()));
        // SAFETY: as before; the bytes lie in the frames, and RAM is initialised.
        Ok(unsafe { core::slice::from_raw_parts(first, widen(length)) })
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
