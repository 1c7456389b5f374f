//! Segments for thread-local storage: the only descriptors that a client has a say in.

use super::threads::Record;
use crate::address::widen;
use crate::interrupt::descriptor::{Descriptor, Selector};
use crate::machine::Machine;
use crate::sva::Sva;
use crate::violation::Violation;

pub use crate::interrupt::descriptor::TLS_SLOTS;

/// A writable data segment of ring 3: where it begins, and how far it goes.
///
/// It opens nothing: what its addresses lead to is for the page tables to say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlsSegment {
    /// The linear address of its first byte.
    pub base: u32,
    /// How far it goes.
    pub limit: TlsLimit,
}

/// The offset of a segment's last byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TlsLimit {
    /// That offset; only its low 20 bits count.
    Bytes(u32),
    /// The number of the page that it ends; only its low 20 bits count.
    Pages(u32),
}

/// The TLS segments of a thread.
pub(crate) type Segments = [Descriptor; widen(TLS_SLOTS)];

impl<M: Machine> Sva<M> {
    /// Gives the running thread a segment in TLS slot `slot`, or takes it away. Answers with the selector
    /// that names the segment, for a segment register of a [`UserContext`](super::UserContext).
    ///
    /// It stays the thread's, on whichever CPU it runs.
    ///
    /// # Errors
    ///
    /// [`NoSuchTlsSlot`](Violation::NoSuchTlsSlot) from [`TLS_SLOTS`](super::TLS_SLOTS) on.
    ///
    /// # Checks
    ///
    /// The slot; whatever the segment is, its descriptor is writable data of ring 3 (invariant 15). Attack U9.
    pub fn set_tls(&self, slot: u32, segment: Option<TlsSegment>) -> Result<u16, Violation> {
        self.intrinsic(|| {
            let processor = self.processor();
            let thread = processor.current(&self.machine);
            let mut segments = thread.tls(&self.machine);
            let Some(descriptor) = segments.get_mut(widen(slot)) else {
                return Err(Violation::NoSuchTlsSlot(slot));
            };
            *descriptor = segment.map_or(Descriptor::NULL, Descriptor::tls);
            thread.set_tls(&self.machine, segments);
            self.install_tls(segments);
            // FS and GS may still hold what the slot was.
            self.drop_selectors(processor);
            Ok(Selector::tls(slot).bits())
        })
    }

    /// Makes the TLS descriptors of this CPU those of `thread`. Interrupts are off. Not in line: who has none need not
    /// keep registers free for it.
    #[inline(never)]
    pub(super) fn install_tls_of(&self, thread: Record) {
        self.install_tls(thread.tls(&self.machine));
    }

    /// Makes the TLS descriptors of this CPU these. Interrupts are off.
    #[inline(always)]
    fn install_tls(&self, segments: Segments) {
        for (slot, descriptor) in (0..).zip(segments) {
            // SAFETY: a TLS slot; all that `set_tls` puts into a record is a data segment of ring 3, or null.
            unsafe { self.machine.set_tls(slot, descriptor) }
        }
    }
}
