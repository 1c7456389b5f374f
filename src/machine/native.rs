//! RAM as this CPU reaches it: one instruction for each access.
//!
//! On i386 the widest plain load or store moves four bytes. A 64-bit read of an entry is therefore
//! a `lock cmpxchg8b`, and a 64-bit write of an entry that is not present is two stores, the
//! word with P last.
//!
//! # Safety of every free function
//!
//! As [`Memory`](super::Memory), of the memory at the pointer.

use super::{Memory, Word, sealed::Sealed};
use crate::address::{FRAME_BYTES, Frame, FrameRange, PhysAddr, widen};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const FRAME: usize = widen(FRAME_BYTES);

/// Whether `W` is 64 bits wide. No table holds anything narrower than 32.
const fn is_quad<W: Word>() -> bool {
    const { assert!(W::BYTES >= 4) }
    W::BYTES == 8
}

#[inline(always)]
unsafe fn word<'a>(at: *mut u8) -> &'a AtomicU32 {
    // SAFETY: the caller says that it is memory, aligned, and no other Rust value.
    unsafe { AtomicU32::from_ptr(at.cast()) }
}

#[inline(always)]
unsafe fn quad<'a>(at: *mut u8) -> &'a AtomicU64 {
    // SAFETY: as in `word`.
    unsafe { AtomicU64::from_ptr(at.cast()) }
}

/// The value at `at`.
#[inline(always)]
pub(super) unsafe fn load<W: Word>(at: *mut u8) -> W {
    if !is_quad::<W>() {
        // SAFETY: the caller's list.
        return W::low_bits_of(unsafe { word(at) }.load(Ordering::Acquire).into());
    }
    // SAFETY: the caller's list.
    let quad = unsafe { quad(at) };
    W::low_bits_of(if cfg!(target_arch = "x86") {
        match quad.compare_exchange(0, 0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(seen) | Err(seen) => seen,
        }
    } else {
        quad.load(Ordering::Acquire)
    })
}

/// Writes `value`.
#[inline(always)]
pub(super) unsafe fn store<W: Word>(at: *mut u8, value: W) {
    let value: u64 = value.into();
    if is_quad::<W>() && cfg!(not(target_arch = "x86")) {
        // SAFETY: the caller's list.
        return unsafe { quad(at) }.store(value, Ordering::Release);
    }
    if is_quad::<W>() {
        // SAFETY: the caller's list; the second half of the eight bytes.
        unsafe { word(at.wrapping_add(4)) }.store(u32::low_bits_of(value >> u32::BITS), Ordering::Release);
    }
    // SAFETY: the caller's list.
    unsafe { word(at) }.store(u32::low_bits_of(value), Ordering::Release);
}

/// Writes `value` and returns what stood there.
#[inline(always)]
pub(super) unsafe fn exchange<W: Word>(at: *mut u8, value: W) -> W {
    let value: u64 = value.into();
    W::low_bits_of(if is_quad::<W>() {
        // SAFETY: the caller's list.
        unsafe { quad(at) }.swap(value, Ordering::AcqRel)
    } else {
        // SAFETY: the caller's list.
        unsafe { word(at) }.swap(u32::low_bits_of(value), Ordering::AcqRel).into()
    })
}

/// Writes `new` if `old` stands there, else says what does.
#[inline(always)]
pub(super) unsafe fn compare_exchange<W: Word>(at: *mut u8, old: W, new: W) -> Result<W, W> {
    let (old, new): (u64, u64) = (old.into(), new.into());
    let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
    if is_quad::<W>() {
        // SAFETY: the caller's list.
        let result = unsafe { quad(at) }.compare_exchange(old, new, success, failure);
        result.map(W::low_bits_of).map_err(W::low_bits_of)
    } else {
        let (old, new) = (u32::low_bits_of(old), u32::low_bits_of(new));
        // SAFETY: the caller's list.
        let result = unsafe { word(at) }.compare_exchange(old, new, success, failure);
        result.map(|seen| W::low_bits_of(seen.into())).map_err(|seen| W::low_bits_of(seen.into()))
    }
}

/// Adds `value`, wrapping, and returns what stood there.
#[inline(always)]
pub(super) unsafe fn fetch_add(at: *mut u8, value: u32) -> u32 {
    // SAFETY: the caller's list.
    unsafe { word(at) }.fetch_add(value, Ordering::AcqRel)
}

/// Fills the frame that begins at `at` with zeroes.
#[inline(always)]
pub(super) unsafe fn zero(at: *mut u8) {
    // SAFETY: the caller says that the frame is RAM and holds no Rust value.
    unsafe { at.cast::<[u8; FRAME]>().write_bytes(0, 1) }
}

/// RAM that this CPU reaches at addresses of its own. That is all it takes to be [`Memory`].
///
/// # Safety
///
/// [`at`](Self::at) answers, for each byte of RAM, where it lies, and the bytes of a frame follow one another
/// there. The answer holds until the next call.
pub(super) unsafe trait Reached: Sealed {
    /// Where the byte at `at` lies. Only if that is in RAM may it be read or written there.
    fn at(&self, at: PhysAddr) -> *mut u8;

    /// The memory of `frames`, for RAM of which all frames are reached at once.
    fn bytes(&self, frames: FrameRange) -> *mut [MaybeUninit<u8>] {
        let length = widen(frames.count()).saturating_mul(FRAME);
        ptr::slice_from_raw_parts_mut(self.at(frames.first().start()).cast(), length)
    }
}

impl<M: Reached> Memory for M {
    #[inline(always)]
    unsafe fn load<W: Word>(&self, at: PhysAddr) -> W {
        // SAFETY: the caller's list, of what `at` says is the same memory.
        unsafe { load(self.at(at)) }
    }

    #[inline(always)]
    unsafe fn store<W: Word>(&self, at: PhysAddr, value: W) {
        // SAFETY: as in `load`.
        unsafe { store(self.at(at), value) }
    }

    #[inline(always)]
    unsafe fn exchange<W: Word>(&self, at: PhysAddr, value: W) -> W {
        // SAFETY: as in `load`.
        unsafe { exchange(self.at(at), value) }
    }

    #[inline(always)]
    unsafe fn compare_exchange<W: Word>(&self, at: PhysAddr, old: W, new: W) -> Result<W, W> {
        // SAFETY: as in `load`.
        unsafe { compare_exchange(self.at(at), old, new) }
    }

    #[inline(always)]
    unsafe fn fetch_add(&self, at: PhysAddr, value: u32) -> u32 {
        // SAFETY: as in `load`.
        unsafe { fetch_add(self.at(at), value) }
    }

    #[inline(always)]
    unsafe fn zero(&self, frame: Frame) {
        // SAFETY: as in `load`, for a whole frame.
        unsafe { zero(self.at(frame.start())) }
    }
}
