//! Copies to and from the memory of user programs.
//!
//! They go through the page tables that this CPU has loaded, as the program's own accesses would, and stop where
//! those would fault: nothing is paged in meanwhile, and no lock is held. The caller learns how much was
//! copied and where it stopped, can page in, and go on from there.
//!
//! Refused is what does not lie in the user window, before anything is copied. A fault on the way is no refusal
//! of the library's, so the observer of refusals is not told of it.

use super::user::UserContext;
use crate::address::{FRAME_BYTES, PageRange, VirtAddr, widen};
use crate::machine::Machine;
use crate::sva::Sva;
use crate::violation::{Progress, Violation};

/// Where ESP of a callee's caller lies: a multiple of this, by the ABI.
const STACK_ALIGNMENT: u32 = 16;

/// The user window in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserBytes {
    start: u32,
    count: u32,
}

impl UserBytes {
    pub(crate) const fn of(window: PageRange) -> Self {
        Self { start: window.first().start().get(), count: window.count().wrapping_mul(FRAME_BYTES) }
    }

    /// How many there are from `at` to the end; 0 outside.
    #[inline(always)]
    const fn from(self, at: VirtAddr) -> u32 {
        self.count.saturating_sub(at.get().wrapping_sub(self.start))
    }
}

impl<M: Machine> Sva<M> {
    /// Copies user memory from `from` on to `bytes`, as the program could read it.
    ///
    /// # Errors
    ///
    /// [`NotAUserRange`](Violation::NotAUserRange), nothing is copied then;
    /// [`NotReadable`](Violation::NotReadable) with the first address that faults: all before it is copied.
    ///
    /// # Checks
    ///
    /// All of the range lies in the user window, without a wrap. Attack U5.
    #[doc(alias = "sva_copy_from_user")]
    #[doc(alias = "sva_invokememcpy")]
    pub fn copy_from_user(&self, from: VirtAddr, bytes: &mut [u8]) -> Progress {
        self.user_copy(from, bytes.len(), Violation::NotReadable, || {
            // SAFETY: the range lies in the user window.
            unsafe { self.machine.copy_from_user(from, bytes) }
        })
    }

    /// Copies `bytes` to user memory from `to` on, as the program could write it.
    ///
    /// # Errors
    ///
    /// As [`copy_from_user`](Self::copy_from_user), [`NotWritable`](Violation::NotWritable) instead of
    /// [`NotReadable`](Violation::NotReadable).
    ///
    /// # Checks
    ///
    /// As [`copy_from_user`](Self::copy_from_user). Attack U5.
    #[doc(alias = "sva_copy_to_user")]
    #[doc(alias = "sva_invokememcpy")]
    pub fn copy_to_user(&self, to: VirtAddr, bytes: &[u8]) -> Progress {
        self.user_copy(to, bytes.len(), Violation::NotWritable, || {
            // SAFETY: the range lies in the user window.
            unsafe { self.machine.copy_to_user(to, bytes) }
        })
    }

    /// Fills `length` bytes of user memory from `to` on with zeroes.
    ///
    /// # Errors
    ///
    /// As [`copy_to_user`](Self::copy_to_user).
    ///
    /// # Checks
    ///
    /// As [`copy_to_user`](Self::copy_to_user). Attack U5.
    pub fn zero_user(&self, to: VirtAddr, length: u32) -> Progress {
        self.user_copy(to, widen(length), Violation::NotWritable, || {
            // SAFETY: the range lies in the user window.
            unsafe { self.machine.zero_user(to, length) }
        })
    }

    /// Copies user memory from `from` on to `bytes`, up to the first zero byte. `done` says how many bytes stand
    /// before it; the zero itself is not copied.
    ///
    /// # Errors
    ///
    /// [`NotAUserRange`](Violation::NotAUserRange) if the string passes the end of the user window,
    /// [`NotReadable`](Violation::NotReadable) with the first address that faults,
    /// [`RangeTooLong`](Violation::RangeTooLong) if `bytes` is full before there is a zero. What stands before is
    /// copied.
    ///
    /// # Checks
    ///
    /// As [`copy_from_user`](Self::copy_from_user), of every byte that is read. Attack U5.
    #[doc(alias = "sva_invokestrncpy")]
    pub fn copy_str_from_user(&self, from: VirtAddr, bytes: &mut [u8]) -> Progress {
        let room = self.user_bytes_from(from);
        let refused = |violation, done| Progress { done, refused: Some(violation) };
        if room == 0 {
            return refused(self.outside(from), 0);
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(room);
        let Some(bytes) = bytes.get_mut(..widen(length)) else {
            return refused(Violation::RangeTooLong(length), 0);
        };
        // SAFETY: the range lies in the user window.
        let (done, found) = unsafe { self.machine.copy_str_from_user(from, bytes) };
        match found {
            true => Progress { done, refused: None },
            false if done < length => {
                refused(Violation::NotReadable(VirtAddr::new(from.get().wrapping_add(done))), done)
            }
            false if length == room => refused(self.outside(from), done),
            false => refused(Violation::RangeTooLong(length), done),
        }
    }

    /// How many bytes there are from `from` to the end of the user window; 0 if it is outside.
    #[inline(always)]
    fn user_bytes_from(&self, from: VirtAddr) -> u32 {
        self.half.user_bytes.from(from)
    }

    /// The refusal of a range that leaves the user window, of which the observer is told.
    #[cold]
    fn outside(&self, at: VirtAddr) -> Violation {
        let violation = Violation::NotAUserRange(at);
        self.machine.observer().tell(&self.machine, violation);
        violation
    }

    /// Checks that `length` bytes at `at` lie in the user window.
    #[inline(always)]
    pub(super) fn check_user(&self, at: VirtAddr, length: u32) -> Result<(), Violation> {
        if cfg!(not(sva_os_unchecked)) && length > self.user_bytes_from(at) {
            return Err(self.outside(at));
        }
        Ok(())
    }

    /// Does `copy` of `length` bytes at `at`, which answers how many it did; `fault` is what stopped it.
    #[inline(always)]
    fn user_copy(
        &self,
        at: VirtAddr,
        length: usize,
        fault: fn(VirtAddr) -> Violation,
        copy: impl FnOnce() -> u32,
    ) -> Progress {
        let wanted = u32::try_from(length).unwrap_or(u32::MAX);
        if let Err(violation) = self.check_user(at, wanted) {
            return Progress { done: 0, refused: Some(violation) };
        }
        let done = copy();
        let stopped = (done != wanted).then(|| fault(VirtAddr::new(at.get().wrapping_add(done))));
        Progress { done, refused: stopped }
    }

    /// Makes the program in `context` call `handler`: pushes `data` on its stack, then the words that `words`
    /// answers with when it is told where the data lies, the last first. So the first is what the callee finds at
    /// its ESP, which the ABI makes the return address; the others are its arguments. Answers where the data lies.
    ///
    /// # Errors
    ///
    /// [`NotAUserRange`](Violation::NotAUserRange) if that leaves the user window or wraps;
    /// [`NotWritable`](Violation::NotWritable) with the first address that faults. `context` is unchanged then.
    /// What lies below its ESP, which is nobody's, may have been written.
    ///
    /// # Checks
    ///
    /// As [`copy_to_user`](Self::copy_to_user). Attack U4.
    #[doc(alias = "sva_ipush_function")]
    #[doc(alias = "sva_ialloca")]
    pub fn push_call<const WORDS: usize>(
        &self,
        context: &mut UserContext,
        handler: VirtAddr,
        data: &[u8],
        words: impl FnOnce(VirtAddr) -> [u32; WORDS],
    ) -> Result<VirtAddr, Violation> {
        let top = context.registers.esp;
        let wraps = || self.outside(VirtAddr::new(top));
        let below = |top: u32, bytes: usize| {
            u32::try_from(bytes).ok().and_then(|bytes| top.checked_sub(bytes)).ok_or_else(wraps)
        };
        let data_at = below(top, data.len())? & !STACK_ALIGNMENT.wrapping_sub(1);
        // Above the return address the stack is aligned.
        let bytes = WORDS.saturating_mul(size_of::<u32>());
        let arguments = bytes.saturating_sub(size_of::<u32>());
        let aligned = below(data_at, arguments)? & !STACK_ALIGNMENT.wrapping_sub(1);
        let stack = below(aligned, bytes.saturating_sub(arguments))?;
        let words = words(VirtAddr::new(data_at)).map(u32::to_le_bytes);
        self.copy_to_user(VirtAddr::new(stack), words.as_flattened()).complete()?;
        self.copy_to_user(VirtAddr::new(data_at), data).complete()?;
        context.registers.esp = stack;
        context.instruction = handler.get();
        Ok(VirtAddr::new(data_at))
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
