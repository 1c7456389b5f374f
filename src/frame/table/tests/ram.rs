//! A few words of RAM, for code that needs no machine around them.

extern crate std;

use crate::address::{FRAME_BYTES, Frame, PhysAddr};
use crate::machine::{Memory, Word, sealed::Sealed};
use std::cell::RefCell;
use std::vec;
use std::vec::Vec;

/// RAM from address 0 on, all zero. An access outside of it panics.
pub(crate) struct Ram(RefCell<Vec<u32>>);

impl Ram {
    pub(crate) fn new(words: usize) -> Self {
        Self(RefCell::new(vec![0; words]))
    }

    /// All words, to compare.
    pub(crate) fn words(&self) -> Vec<u32> {
        self.0.borrow().clone()
    }

    fn update<W: Word>(&self, at: PhysAddr, new: impl FnOnce(W) -> Option<W>) -> W {
        assert_eq!(at.get() % W::BYTES, 0, "aligned");
        assert!(matches!(W::BYTES, 4 | 8), "a word or two");
        let mut words = self.0.borrow_mut();
        let (first, count) = ((at.get() / 4) as usize, (W::BYTES / 4) as usize);
        let value =
            |words: &[u32]| words.iter().rev().fold(0u64, |value, word| value << 32 | u64::from(*word));
        let old = W::low_bits_of(value(&words[first..first + count]));
        if let Some(new) = new(old) {
            let new: u64 = new.into();
            for (step, word) in words[first..first + count].iter_mut().enumerate() {
                *word = (new >> (32 * step)) as u32;
            }
        }
        old
    }
}

impl Sealed for Ram {}

impl Memory for Ram {
    unsafe fn load<W: Word>(&self, at: PhysAddr) -> W {
        self.update(at, |_| None)
    }

    unsafe fn store<W: Word>(&self, at: PhysAddr, value: W) {
        self.update(at, |_| Some(value));
    }

    unsafe fn exchange<W: Word>(&self, at: PhysAddr, value: W) -> W {
        self.update(at, |_| Some(value))
    }

    unsafe fn compare_exchange<W: Word>(&self, at: PhysAddr, old: W, new: W) -> Result<W, W> {
        let seen = self.update(at, |seen| (seen == old).then_some(new));
        if seen == old { Ok(seen) } else { Err(seen) }
    }

    unsafe fn fetch_add(&self, at: PhysAddr, value: u32) -> u32 {
        self.update(at, |old: u32| Some(old.wrapping_add(value)))
    }

    unsafe fn zero(&self, frame: Frame) {
        for offset in (0..FRAME_BYTES).step_by(4) {
            self.update(frame.start().plus(offset), |_| Some(0u32));
        }
    }
}
