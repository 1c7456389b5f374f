//! RAM: one atomic 64-bit word for every eight bytes, and a digest that follows every store.

use crate::address::{FRAME_BYTES, Frame, FrameRange, PhysAddr};
use crate::machine::Word;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::boxed::Box;
use std::vec::Vec;

const WORDS_PER_FRAME: usize = FRAME_BYTES as usize / 8;

/// RAM from address 0 on.
///
/// The digest is the exclusive or of one number for every word that is not zero, so a store moves
/// it by two such numbers and the order of stores does not matter. Frames that were lent to Rust
/// change unseen; they are outside the digest until they are zeroed.
pub(super) struct Ram {
    // A `Vec`, not a `Box`: moving it leaves pointers that were made from its base good.
    words: Vec<AtomicU64>,
    /// The first of `words` at a multiple of a frame's size; RAM begins there.
    base: usize,
    digest: AtomicU64,
    /// One of the three states below for each frame.
    states: Vec<AtomicU8>,
    any_lent: AtomicBool,
}

/// Never written: all zero.
const UNTOUCHED: u8 = 0;
const WRITTEN: u8 = 1;
/// Rust may hold a borrow of it.
const LENT: u8 = 2;

impl Ram {
    /// `frames` frames of zeroes.
    pub(super) fn new(frames: u32) -> Self {
        let frames = frames as usize;
        let words = zeroes((frames + 1) * WORDS_PER_FRAME);
        Self {
            base: words.as_ptr().align_offset(FRAME_BYTES as usize),
            words,
            digest: AtomicU64::new(0),
            states: (0..frames).map(|_| AtomicU8::new(UNTOUCHED)).collect(),
            any_lent: AtomicBool::new(false),
        }
    }

    pub(super) fn frames(&self) -> u32 {
        self.states.len() as u32
    }

    pub(super) fn contains(&self, at: PhysAddr) -> bool {
        at.containing().number() < self.frames()
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.load(Ordering::Relaxed)
    }

    /// The digest, from the words alone.
    #[cfg(test)]
    fn recomputed_digest(&self) -> u64 {
        let shares = (0..self.states.len()).map(|frame| match self.state(frame) {
            LENT => lent_share(frame),
            _ => self.frame_share(frame),
        });
        shares.fold(0, |digest, share| digest ^ share)
    }

    fn frame_share(&self, frame: usize) -> u64 {
        let words = words_of(frame);
        words.fold(0, |digest, index| digest ^ share(index, self.word(index).load(Ordering::Relaxed)))
    }

    #[inline(always)]
    fn state(&self, frame: usize) -> u8 {
        self.states[frame].load(Ordering::Acquire)
    }

    #[inline(always)]
    fn word(&self, index: usize) -> &AtomicU64 {
        &self.words[self.base + index]
    }

    /// The word that holds the `W` at `at`, by its index, and the shift of the value in it.
    #[inline(always)]
    fn find<W: Word>(&self, at: PhysAddr) -> (usize, u32) {
        let address = at.get();
        if !address.is_multiple_of(W::BYTES) {
            misaligned(at, W::BYTES);
        }
        let index = (address / 8) as usize;
        if index >= self.states.len() * WORDS_PER_FRAME {
            outside(at);
        }
        (index, address % 8 * 8)
    }

    /// Moves the digest on: `index` held `old` and now holds `new`.
    #[inline(always)]
    fn changed(&self, index: usize, old: u64, new: u64) {
        let state = &self.states[index / WORDS_PER_FRAME];
        match state.load(Ordering::Relaxed) {
            _ if old == new => return,
            WRITTEN => {}
            LENT => return,
            _ => state.store(WRITTEN, Ordering::Release),
        }
        self.digest.fetch_xor(share(index, old) ^ share(index, new), Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn load<W: Word>(&self, at: PhysAddr) -> W {
        let (index, shift) = self.find::<W>(at);
        W::low_bits_of(self.word(index).load(Ordering::Acquire) >> shift)
    }

    #[inline(always)]
    pub(super) fn exchange<W: Word>(&self, at: PhysAddr, value: W) -> W {
        let (index, shift) = self.find::<W>(at);
        if W::BYTES == 8 {
            let old = self.word(index).swap(value.into(), Ordering::SeqCst);
            self.changed(index, old, value.into());
            return W::low_bits_of(old);
        }
        self.update(index, shift, |_| Some(value)).unwrap_or_else(|found| found)
    }

    #[inline(always)]
    pub(super) fn compare_exchange<W: Word>(&self, at: PhysAddr, old: W, new: W) -> Result<W, W> {
        let (index, shift) = self.find::<W>(at);
        self.update(index, shift, |found| (found == old).then_some(new))
    }

    #[inline(always)]
    pub(super) fn fetch_add(&self, at: PhysAddr, value: u32) -> u32 {
        let (index, shift) = self.find::<u32>(at);
        self.update(index, shift, |found: u32| Some(found.wrapping_add(value))).unwrap_or_else(|found| found)
    }

    /// Replaces the `W` at `shift` in a word by what `new` makes of it, in one atomic step.
    /// `Err` says what was found and left.
    #[inline(always)]
    fn update<W: Word>(&self, index: usize, shift: u32, new: impl Fn(W) -> Option<W>) -> Result<W, W> {
        let mask = (u64::MAX >> (64 - 8 * W::BYTES)) << shift;
        let word = self.word(index);
        let mut whole = word.load(Ordering::SeqCst);
        loop {
            let found = W::low_bits_of(whole >> shift);
            let Some(new) = new(found) else { return Err(found) };
            let replaced = whole & !mask | new.into() << shift;
            match word.compare_exchange_weak(whole, replaced, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    self.changed(index, whole, replaced);
                    return Ok(found);
                }
                Err(other) => whole = other,
            }
        }
    }

    /// Fills a frame with zeroes. A frame that was lent counts in the digest again.
    pub(super) fn zero(&self, frame: Frame) {
        self.find::<u64>(frame.start());
        let number = frame.number() as usize;
        match self.state(number) {
            UNTOUCHED => {}
            LENT => {
                // The borrower may have left bytes that are not initialised: they are not read.
                for index in words_of(number) {
                    self.word(index).store(0, Ordering::Release);
                }
                self.digest.fetch_xor(lent_share(number), Ordering::Relaxed);
                self.states[number].store(WRITTEN, Ordering::Release);
            }
            _ => {
                for index in words_of(number) {
                    if self.word(index).load(Ordering::Acquire) != 0 {
                        let old = self.word(index).swap(0, Ordering::SeqCst);
                        self.changed(index, old, 0);
                    }
                }
            }
        }
    }

    /// Copies the bytes from `from` on to `to`, within one frame.
    pub(super) fn copy_out(&self, from: PhysAddr, to: &mut [u8]) {
        within_frame(from, to.len());
        for (i, byte) in to.iter_mut().enumerate() {
            *byte = self.load(from.plus(i as u32));
        }
    }

    /// Copies `from` to the bytes from `to` on, within one frame.
    pub(super) fn copy_in(&self, to: PhysAddr, from: &[u8]) {
        within_frame(to, from.len());
        let mut at = to;
        let mut rest = from;
        while !rest.is_empty() {
            let count = (8 - at.get() as usize % 8).min(rest.len());
            let (now, later) = rest.split_at(count);
            if let Ok(bytes) = <[u8; 8]>::try_from(now) {
                self.exchange(at, u64::from_le_bytes(bytes));
            } else {
                for (i, byte) in now.iter().enumerate() {
                    self.exchange(at.plus(i as u32), *byte);
                }
            }
            at = at.plus(count as u32);
            rest = later;
        }
    }

    /// A pointer to the bytes of `frames`, which leave the digest until they are zeroed.
    ///
    /// It may be written: it comes from the base of the vector, whose words are atomic, and its
    /// provenance is the whole vector. Until the frames are zeroed the machine itself neither reads
    /// nor writes them except through [`Memory`](crate::machine::Memory), whose callers promise
    /// that no borrow lives.
    pub(super) fn lend(&self, frames: FrameRange) -> *mut [MaybeUninit<u8>] {
        if frames.end() > self.frames() {
            outside(frames.first().start());
        }
        for frame in frames.iter() {
            let number = frame.number() as usize;
            if self.state(number) != LENT {
                let share = self.frame_share(number) ^ lent_share(number);
                self.digest.fetch_xor(share, Ordering::Relaxed);
                self.states[number].store(LENT, Ordering::Release);
            }
        }
        self.any_lent.fetch_or(!frames.is_empty(), Ordering::Release);
        let base = self.words.as_ptr().wrapping_add(self.base).cast::<MaybeUninit<u8>>().cast_mut();
        let first = base.wrapping_add(frames.first().number() as usize * FRAME_BYTES as usize);
        core::ptr::slice_from_raw_parts_mut(first, frames.count() as usize * FRAME_BYTES as usize)
    }

    /// Refuses an access by anybody but the library to a frame that Rust may hold a borrow of.
    #[inline(always)]
    pub(super) fn refuse_lent(&self, at: PhysAddr) {
        if self.any_lent.load(Ordering::Relaxed) && self.contains(at) && self.state(frame_index(at)) == LENT {
            lent_out(at);
        }
    }

    /// The frame as the MMU reads it; `None` outside of RAM.
    #[inline(always)]
    pub(super) fn table(&self, frame: Frame) -> Option<&[AtomicU64; WORDS_PER_FRAME]> {
        self.refuse_lent(frame.start());
        let number = frame.number() as usize;
        let first = self.base + number * WORDS_PER_FRAME;
        if number < self.states.len() { self.words.get(first..)?.first_chunk() } else { None }
    }

    /// Whether nothing was ever written to the frame.
    pub(super) fn is_untouched(&self, frame: Frame) -> bool {
        self.states
            .get(frame.number() as usize)
            .is_some_and(|state| state.load(Ordering::Acquire) == UNTOUCHED)
    }
}

impl Clone for Ram {
    /// A copy of every byte; frames that are lent read as zero in it, and are lent there too.
    fn clone(&self) -> Self {
        let copy = Self::new(self.frames());
        for frame in 0..self.states.len() {
            let state = self.state(frame);
            if state == WRITTEN {
                for index in words_of(frame) {
                    copy.word(index).store(self.word(index).load(Ordering::Acquire), Ordering::Relaxed);
                }
            }
            copy.states[frame].store(state, Ordering::Relaxed);
        }
        copy.digest.store(self.digest(), Ordering::Relaxed);
        copy.any_lent.store(self.any_lent.load(Ordering::Relaxed), Ordering::Relaxed);
        copy
    }
}

/// That many words, all zero. The host gives them out as they are first touched.
fn zeroes(count: usize) -> Vec<AtomicU64> {
    let words = Box::<[AtomicU64]>::new_zeroed_slice(count);
    // SAFETY: zero is a value of `AtomicU64`.
    unsafe { words.assume_init() }.into_vec()
}

/// The indexes of a frame's words.
#[inline(always)]
fn words_of(frame: usize) -> Range<usize> {
    frame * WORDS_PER_FRAME..(frame + 1) * WORDS_PER_FRAME
}

fn frame_index(at: PhysAddr) -> usize {
    at.containing().number() as usize
}

/// What `value` at word `index` adds to the digest. Nothing for zero.
#[inline(always)]
fn share(index: usize, value: u64) -> u64 {
    if value == 0 { 0 } else { mix(index as u64, value) }
}

/// What a frame that is lent adds to the digest.
fn lent_share(frame: usize) -> u64 {
    mix(u64::MAX, frame as u64)
}

/// Mixes two numbers into one, every bit of which depends on every bit of both.
#[inline(always)]
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let a = (a ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = b.wrapping_add(a ^ a >> 32);
    let b = (b ^ b >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (b ^ b >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ b >> 31
}

fn within_frame(at: PhysAddr, bytes: usize) {
    assert!(
        at.offset() as usize + bytes <= FRAME_BYTES as usize,
        "a copy of {bytes} bytes at physical {at} passes the end of its frame"
    );
}

#[cold]
fn outside(at: PhysAddr) -> ! {
    panic!("an access to physical {at}, outside of RAM")
}

#[cold]
fn misaligned(at: PhysAddr, bytes: u32) -> ! {
    panic!("an access of {bytes} bytes to physical {at}, which is not a multiple")
}

#[cold]
fn lent_out(at: PhysAddr) -> ! {
    panic!(
        "an access to physical {at}, which Rust may hold a borrow of: its frame is lent and not yet zeroed"
    )
}

#[cfg(test)]
mod tests;
