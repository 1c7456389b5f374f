//! Declaring and releasing stacks.

use super::name::{Name, StackId};
use super::state::State;
use super::threads::{Record, STACK_PAGES};
use crate::address::{Frame, Page, widen};
use crate::frame::Kind;
use crate::frame::word::Word as FrameWord;
use crate::machine::Machine;
use crate::mmu::Rights;
use crate::mmu::kernel_half::Expected;
use crate::sva::Sva;
use crate::violation::Violation;

/// The frames of a stack that was released: they are free.
#[derive(Clone, Debug)]
pub struct StackFrames {
    frames: [Frame; widen(STACK_PAGES)],
    left: core::ops::Range<u32>,
}

impl Iterator for StackFrames {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        self.left.next().and_then(|place| self.frames.get(widen(place))).copied()
    }
}

/// The top page of a stack: where a thread begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Top {
    /// Which thread's.
    pub(crate) number: u32,
    pub(crate) page: Page,
    pub(crate) frame: Frame,
}

impl<M: Machine> Sva<M> {
    /// Makes a stack of free `frames`, 1 to [`STACK_PAGES`] of them, the first on top. Two pages below it
    /// stay unmapped, as guards.
    ///
    /// # Errors
    ///
    /// [`NoSuchStackSize`](Violation::NoSuchStackSize), [`NoStackSlot`](Violation::NoStackSlot); of the first
    /// frame that is not free, [`NotFree`](Violation::NotFree), [`FrameBusy`](Violation::FrameBusy) or
    /// [`NoSuchFrame`](Violation::NoSuchFrame).
    ///
    /// # Checks
    ///
    /// All are free and no two the same, so nothing maps them and no TLB remembers them; they are mapped
    /// in one place, with guards (invariants 7, 9). Attacks F7, S6.
    #[doc(alias = "sva_declare_stack")]
    pub fn declare_stack(&self, frames: &[Frame]) -> Result<StackId, Violation> {
        self.intrinsic(|| {
            let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
            if !(1..=STACK_PAGES).contains(&count) {
                return Err(Violation::NoSuchStackSize(count));
            }
            let slot = self.half.threads.find(&self.machine)?;
            let word = slot.word(&self.machine);
            if let Err(violation) = self.take_frames(frames) {
                slot.set_word(&self.machine, word.to(State::Vacant));
                return Err(violation);
            }
            slot.set_frames(&self.machine, frames.iter().copied());
            for (place, frame) in (0..).zip(frames) {
                self.set_stack_page(slot, place, Expected::Leaf(*frame, Rights::ReadWrite));
            }
            let word = word.next().unwrap_or(word).to(State::Unused);
            slot.set_word(&self.machine, word);
            Ok(StackId(Name::new(self.half.threads.number(slot), word)))
        })
    }

    /// Makes the free `frames` frames of a stack, or none. Interrupts are off.
    fn take_frames(&self, frames: &[Frame]) -> Result<(), Violation> {
        let taken = self.take_each(frames.iter().copied(), FrameWord::unused(Kind::Stack));
        taken.map_err(|(place, violation)| match violation {
            // By this call itself.
            Violation::FrameBusy(frame) if frames.iter().take(place).any(|earlier| *earlier == frame) => {
                Violation::NotFree(frame)
            }
            violation => violation,
        })
    }

    fn free_frame(&self, frame: Frame) {
        if self.change_kind(frame, Kind::Stack, Kind::Free).is_err() {
            self.machine.stop("a frame left its stack")
        }
    }

    /// Releases a stack on which no thread was made, or whose thread never ran or has returned from its
    /// entry. Its frames are free afterwards. An entry that never ran is dropped, before anything of the
    /// library's is locked.
    ///
    /// # Errors
    ///
    /// [`NoSuchThread`](Violation::NoSuchThread), [`StaleThread`](Violation::StaleThread),
    /// [`ThreadRunning`](Violation::ThreadRunning), [`StackInUse`](Violation::StackInUse) of a thread that is
    /// suspended, [`ThreadEnded`](Violation::ThreadEnded) of one that was abandoned,
    /// [`ThreadBusy`](Violation::ThreadBusy).
    ///
    /// # Checks
    ///
    /// No value can be on it that somebody borrows; no CPU runs on it; its mappings are gone and every CPU
    /// has forgotten them before its frames are free (invariants 9, 10, 13). Attacks S7, S12, C12.
    #[doc(alias = "sva_release_stack")]
    pub fn release_stack(&self, stack: StackId) -> Result<StackFrames, Violation> {
        let is_released = |state| matches!(state, State::Unused | State::Ready);
        let (slot, state) =
            self.intrinsic(|| self.half.threads.change(&self.machine, stack.0, is_released))?;
        if state == State::Ready {
            if let Some(top) = self.top(slot) {
                // SAFETY: the thread is this call's alone, and never ran.
                unsafe { self.machine.discard(top, slot.saved_stack_pointer(&self.machine)) }
            }
            self.release_root(slot.root(&self.machine));
        }
        let _quiet = self.quiet();
        let count = slot.pages(&self.machine);
        let mut frames = [Frame::ZERO; widen(STACK_PAGES)];
        for (place, frame) in (0..count).zip(&mut frames) {
            *frame = slot.frame(&self.machine, place).unwrap_or(Frame::ZERO);
            self.set_stack_page(slot, place, Expected::Empty);
        }
        self.flush_since(self.clock.now(&self.machine));
        for frame in frames.iter().take(widen(count)) {
            self.free_frame(*frame);
        }
        slot.set_frames(&self.machine, []);
        slot.set_word(&self.machine, slot.word(&self.machine).to(State::Vacant));
        Ok(StackFrames { frames, left: 0..count })
    }

    /// The top page of the stack of `slot`, which this CPU made busy.
    pub(super) fn top(&self, slot: Record) -> Option<Top> {
        let threads = self.half.threads;
        let (page, frame) = threads.page_below_top(slot, 0).zip(slot.frame(&self.machine, 0))?;
        Some(Top { number: threads.number(slot), page, frame })
    }

    /// Makes the `place`-th page of a slot from the top on down what `expected` says.
    fn set_stack_page(&self, slot: Record, place: u32, expected: Expected) {
        let Some(page) = self.half.threads.page_below_top(slot, place) else {
            return;
        };
        // SAFETY: a page of the slot, which is busy.
        unsafe { self.set_kernel_leaf(page, expected) }
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
