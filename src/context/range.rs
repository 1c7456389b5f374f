//! User memory that is copied piece by piece.

use crate::address::{VirtAddr, widen};
use crate::machine::Machine;
use crate::sva::Sva;
use crate::violation::{Progress, Violation};
use core::fmt;

/// Addresses of a user program, all in the user window: that was looked at once, when [`Sva::user_range`] made this,
/// and is not again for any piece.
///
/// Each copy goes to the first addresses of the range, and these leave it. As a slice of bytes that is read or written
/// it does less than it is asked for when it ends, and that is no error. What is mapped there the copies find out,
/// as those of the whole: [`copy_from_user`](Sva::copy_from_user).
pub struct UserRange<'a, M: Machine> {
    sva: &'a Sva<M>,
    at: VirtAddr,
    left: u32,
}

impl<M: Machine> Sva<M> {
    /// The range of `length` bytes from `at` on.
    ///
    /// # Errors
    ///
    /// [`NotAUserRange`](Violation::NotAUserRange).
    ///
    /// # Checks
    ///
    /// All of it lies in the user window, without a wrap. Attack U5.
    #[inline(always)]
    pub fn user_range(&self, at: VirtAddr, length: u32) -> Result<UserRange<'_, M>, Violation> {
        self.check_user(at, length)?;
        Ok(UserRange { sva: self, at, left: length })
    }
}

impl<M: Machine> UserRange<'_, M> {
    /// Where it begins.
    pub const fn at(&self) -> VirtAddr {
        self.at
    }

    /// How many bytes it has.
    pub const fn left(&self) -> u32 {
        self.left
    }

    /// Copies its first bytes to those of `bytes`.
    ///
    /// # Errors
    ///
    /// [`NotReadable`](Violation::NotReadable) with the first address that faults: all before it is copied.
    #[inline(always)]
    pub fn read(&mut self, bytes: &mut [u8]) -> Progress {
        let (at, length) = (self.at, self.first(bytes.len()));
        let Some(bytes) = bytes.get_mut(..widen(length)) else {
            return self.moved(0, 0, Violation::NotReadable);
        };
        // SAFETY: the range lies in the user window, and this is the first of it.
        let done = unsafe { self.sva.machine.copy_from_user(at, bytes) };
        self.moved(done, length, Violation::NotReadable)
    }

    /// Copies the first bytes of `bytes` to its own.
    ///
    /// # Errors
    ///
    /// [`NotWritable`](Violation::NotWritable) with the first address that faults: all before it is copied.
    #[inline(always)]
    pub fn write(&mut self, bytes: &[u8]) -> Progress {
        let (at, length) = (self.at, self.first(bytes.len()));
        let Some(bytes) = bytes.get(..widen(length)) else { return self.moved(0, 0, Violation::NotWritable) };
        // SAFETY: the range lies in the user window, and this is the first of it.
        let done = unsafe { self.sva.machine.copy_to_user(at, bytes) };
        self.moved(done, length, Violation::NotWritable)
    }

    /// Fills its first `length` bytes with zeroes.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    #[inline(always)]
    pub fn zero(&mut self, length: usize) -> Progress {
        let length = self.first(length);
        // SAFETY: the range lies in the user window, and this is the first of it.
        let done = unsafe { self.sva.machine.zero_user(self.at, length) };
        self.moved(done, length, Violation::NotWritable)
    }

    /// How many of `length` bytes it has.
    #[inline(always)]
    fn first(&self, length: usize) -> u32 {
        u32::try_from(length).unwrap_or(u32::MAX).min(self.left)
    }

    /// Goes on by the `done` bytes of `wanted`, which it has; `fault` is what stopped it.
    #[inline(always)]
    fn moved(&mut self, done: u32, wanted: u32, fault: fn(VirtAddr) -> Violation) -> Progress {
        self.at = VirtAddr::new(self.at.get().wrapping_add(done));
        self.left = self.left.wrapping_sub(done);
        Progress { done, refused: (done != wanted).then(|| fault(self.at)) }
    }
}

impl<M: Machine> Clone for UserRange<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Machine> Copy for UserRange<'_, M> {}

impl<M: Machine> fmt::Debug for UserRange<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRange").field("at", &self.at).field("left", &self.left).finish()
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
