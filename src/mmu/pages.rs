//! Frames lent to Rust: for as long as a value lives, or for ever.

use crate::address::{Frame, FrameRange};
use crate::frame::Kind;
use crate::frame::word::Word;
use crate::machine::Machine;
use crate::sva::Sva;
use crate::violation::Violation;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};

/// Contiguous frames of RAM as bytes of one owner. Dropping it makes the frames free again:
/// that the value is gone proves that no borrow of it lives. Forgetting it leaks the frames.
#[derive(Debug)]
pub struct KernelPages<'s, M: Machine> {
    sva: &'s Sva<M>,
    frames: FrameRange,
}

impl<'s, M: Machine> KernelPages<'s, M> {
    /// Takes free, contiguous `frames`. They read as zeroes.
    ///
    /// # Errors
    ///
    /// [`EmptyRange`](Violation::EmptyRange); of the first frame that is not free,
    /// [`NotFree`](Violation::NotFree), [`FrameBusy`](Violation::FrameBusy) or
    /// [`NoSuchFrame`](Violation::NoSuchFrame).
    ///
    /// # Checks
    ///
    /// All are free, so nothing maps them and no TLB remembers them; while the value lives every
    /// call that names one of them by number is refused. Attack F17.
    pub fn new(sva: &'s Sva<M>, frames: FrameRange) -> Result<Self, Violation> {
        sva.intrinsic(|| sva.take_all(frames, Word::unused(Kind::Pages)))?;
        Ok(Self { sva, frames })
    }

    /// The frames.
    pub const fn frames(&self) -> FrameRange {
        self.frames
    }

    fn bytes(&self) -> *mut [u8] {
        // SAFETY: `new` took the frames and nothing else reaches frames of kind `Pages`; the
        // borrows made from this are those of `Deref` and `DerefMut`, which Rust keeps apart.
        let memory = unsafe { self.sva.machine.lend(self.frames) };
        core::ptr::slice_from_raw_parts_mut(memory.cast(), memory.len())
    }
}

impl<M: Machine> Deref for KernelPages<'_, M> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the frames were zeroed, so every byte is initialised; `&self` lends them out shared.
        unsafe { &*self.bytes() }
    }
}

impl<M: Machine> DerefMut for KernelPages<'_, M> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` lends them out exclusively.
        unsafe { &mut *self.bytes() }
    }
}

impl<M: Machine> Drop for KernelPages<'_, M> {
    fn drop(&mut self) {
        let _quiet = self.sva.quiet();
        for frame in self.frames.iter() {
            if self.sva.change_kind(frame, Kind::Pages, Kind::Free).is_err() {
                self.sva.machine.stop("a frame left its owner's pages")
            }
        }
    }
}

impl<M: Machine> Sva<M> {
    /// Grants free, contiguous `frames` to Rust for ever: more memory for a heap.
    ///
    /// # Errors
    ///
    /// As [`KernelPages::new`].
    ///
    /// # Checks
    ///
    /// As [`KernelPages::new`]; the frames are sealed. Attack F17.
    pub fn grant_memory(&self, frames: FrameRange) -> Result<&'static mut [MaybeUninit<u8>], Violation> {
        self.intrinsic(|| self.take_all(frames, Word::sealed(Kind::Heap)))?;
        // SAFETY: the frames are sealed as heap just now, so no other call lends or reaches them.
        Ok(unsafe { self.machine.grant(frames) })
    }

    /// As [`take_each`](Self::take_each), of a range, which is not empty.
    fn take_all(&self, frames: FrameRange, word: Word) -> Result<(), Violation> {
        if frames.is_empty() {
            return Err(Violation::EmptyRange(frames.first().number()));
        }
        self.take_each(frames.iter(), word).map_err(|(_, violation)| violation)
    }

    /// Makes all of the free `frames` what `word` says, zeroed, or none; then it says which, by its place, is refused.
    /// Interrupts are off.
    pub(crate) fn take_each(
        &self,
        frames: impl Iterator<Item = Frame> + Clone,
        word: Word,
    ) -> Result<(), (usize, Violation)> {
        for (place, frame) in frames.clone().enumerate() {
            if let Err(violation) = self.frames.take(&self.machine, frame, Kind::Free) {
                // Nothing was written yet: what was taken a moment ago is as it was.
                frames.take(place).for_each(|frame| self.frames.settle(&self.machine, frame, Kind::Free));
                return Err((place, violation));
            }
        }
        for frame in frames {
            self.flush_dropped(frame);
            self.begin(frame, word.kind());
            self.frames.write(&self.machine, frame, word);
        }
        Ok(())
    }
}
