//! RAM: one atomic 64-bit word for every eight bytes, and a digest that follows every store.

use crate::address::{FRAME_BYTES, Frame, FrameRange, PhysAddr};
use crate::machine::Word;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    digest: AtomicU64,
    lent: Vec<AtomicBool>,
    any_lent: AtomicBool,
}

impl Ram {
    /// `frames` frames of zeroes.
    pub(super) fn new(frames: u32) -> Self {
        let frames = frames as usize;
        Self {
            words: (0..frames * WORDS_PER_FRAME).map(|_| AtomicU64::new(0)).collect(),
            digest: AtomicU64::new(0),
            lent: (0..frames).map(|_| AtomicBool::new(false)).collect(),
            any_lent: AtomicBool::new(false),
        }
    }

    pub(super) fn frames(&self) -> u32 {
        self.lent.len() as u32
    }

    pub(super) fn contains(&self, at: PhysAddr) -> bool {
        at.containing().number() < self.frames()
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.load(Ordering::Relaxed)
    }

    /// The digest, from the words alone.
    pub(super) fn recomputed_digest(&self) -> u64 {
        let frames = (0..self.lent.len()).map(|frame| {
            let lent = self.lent[frame].load(Ordering::Relaxed);
            if lent { lent_share(frame) } else { self.frame_share(frame) }
        });
        frames.fold(0, |digest, share| digest ^ share)
    }

    fn frame_share(&self, frame: usize) -> u64 {
        let words = frame * WORDS_PER_FRAME..(frame + 1) * WORDS_PER_FRAME;
        words.fold(0, |digest, index| digest ^ share(index, self.words[index].load(Ordering::Relaxed)))
    }

    /// The word that holds the `W` at `at`, by its index, and the shift of the value in it.
    #[inline(always)]
    fn find<W: Word>(&self, at: PhysAddr) -> (usize, u32) {
        let address = at.get();
        if !address.is_multiple_of(W::BYTES) {
            misaligned(at, W::BYTES);
        }
        let index = (address / 8) as usize;
        if index >= self.words.len() {
            outside(at);
        }
        (index, address % 8 * 8)
    }

    /// Moves the digest on: `index` held `old` and now holds `new`.
    #[inline(always)]
    fn changed(&self, index: usize, old: u64, new: u64) {
        if old != new && !(self.any_lent.load(Ordering::Relaxed) && self.is_lent(index / WORDS_PER_FRAME)) {
            self.digest.fetch_xor(share(index, old) ^ share(index, new), Ordering::Relaxed);
        }
    }

    #[cold]
    fn is_lent(&self, frame: usize) -> bool {
        self.lent[frame].load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn load<W: Word>(&self, at: PhysAddr) -> W {
        let (index, shift) = self.find::<W>(at);
        W::truncate(self.words[index].load(Ordering::Acquire) >> shift)
    }

    #[inline(always)]
    pub(super) fn exchange<W: Word>(&self, at: PhysAddr, value: W) -> W {
        let (index, shift) = self.find::<W>(at);
        if W::BYTES == 8 {
            let old = self.words[index].swap(value.into(), Ordering::SeqCst);
            self.changed(index, old, value.into());
            return W::truncate(old);
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
        let word = &self.words[index];
        let mut whole = word.load(Ordering::SeqCst);
        loop {
            let found = W::truncate(whole >> shift);
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
        let first = number * WORDS_PER_FRAME;
        if self.lent[number].load(Ordering::Acquire) {
            // The borrower may have left bytes that are not initialised: they are not read.
            for word in &self.words[first..first + WORDS_PER_FRAME] {
                word.store(0, Ordering::Release);
            }
            self.digest.fetch_xor(lent_share(number), Ordering::Relaxed);
            self.lent[number].store(false, Ordering::Release);
            return;
        }
        for index in first..first + WORDS_PER_FRAME {
            if self.words[index].load(Ordering::Acquire) != 0 {
                let old = self.words[index].swap(0, Ordering::SeqCst);
                self.changed(index, old, 0);
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
            if !self.lent[number].load(Ordering::Acquire) {
                let share = self.frame_share(number) ^ lent_share(number);
                self.digest.fetch_xor(share, Ordering::Relaxed);
                self.lent[number].store(true, Ordering::Release);
            }
        }
        self.any_lent.fetch_or(!frames.is_empty(), Ordering::Release);
        let base = self.words.as_ptr().cast::<MaybeUninit<u8>>().cast_mut();
        let first = base.wrapping_add(frames.first().number() as usize * FRAME_BYTES as usize);
        core::ptr::slice_from_raw_parts_mut(first, frames.count() as usize * FRAME_BYTES as usize)
    }

    /// Refuses an access by anybody but the library to a frame that Rust may hold a borrow of.
    #[inline(always)]
    pub(super) fn refuse_lent(&self, at: PhysAddr) {
        if self.any_lent.load(Ordering::Relaxed) && self.contains(at) && self.is_lent(frame_index(at)) {
            lent_out(at);
        }
    }

    /// What the MMU reads at `at`: outside of RAM, all ones.
    #[inline(always)]
    pub(super) fn entry<const BYTES: u32>(&self, at: PhysAddr) -> u64 {
        self.refuse_lent(at);
        match self.words.get((at.get() / 8) as usize) {
            None => u64::MAX >> (64 - 8 * BYTES),
            Some(word) if BYTES == 8 => word.load(Ordering::Acquire),
            Some(word) => word.load(Ordering::Acquire) >> (at.get() % 8 * 8) & u64::from(u32::MAX),
        }
    }
}

impl Clone for Ram {
    /// A copy of every byte; frames that are lent read as zero in it, and are lent there too.
    fn clone(&self) -> Self {
        let words = self.words.iter().enumerate().map(|(index, word)| {
            let lent = self.lent[index / WORDS_PER_FRAME].load(Ordering::Acquire);
            AtomicU64::new(if lent { 0 } else { word.load(Ordering::Acquire) })
        });
        let flags = self.lent.iter().map(|flag| AtomicBool::new(flag.load(Ordering::Relaxed)));
        Self {
            words: words.collect(),
            digest: AtomicU64::new(self.digest()),
            lent: flags.collect(),
            any_lent: AtomicBool::new(self.any_lent.load(Ordering::Relaxed)),
        }
    }
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
