//! Making threads.

use super::name::{Name, StackId, ThreadId};
use super::state::State;
use super::tls::Segments;
use crate::address::Frame;
use crate::frame::word::Uses;
use crate::machine::{Cpu, Machine};
use crate::sva::Sva;
use crate::violation::Violation;

/// The most bytes that what an entry captures may have: it lies on top of its thread's stack.
pub const ENTRY_BYTES: u32 = 1024;
/// The most that such a value's address may have to be a multiple of.
const MOST_ALIGNED: usize = 16;

/// Where a thread begins: a closure, called once, on the thread's stack, with interrupts on. When it returns, the
/// thread has ended, and the CPU goes over to the thread that it names; to its idle thread if it names none, or
/// one that is not to be resumed.
///
/// That it is `Send` and borrows nothing is all it takes to run it on any CPU at any time.
///
/// ```
/// fn entry(_: impl sva_os::context::Entry) {}
/// let owned = std::sync::Arc::new(7);
/// entry(move || {
///     drop(owned);
///     None
/// });
/// ```
/// ```compile_fail,E0277
/// fn entry(_: impl sva_os::context::Entry) {}
/// let not_send = std::rc::Rc::new(7);
/// entry(move || {
///     drop(not_send);
///     None
/// });
/// ```
/// ```compile_fail,E0597
/// fn entry(_: impl sva_os::context::Entry) {}
/// let local = 7;
/// let borrowed = &local;
/// entry(move || {
///     assert_eq!(*borrowed, 7);
///     None
/// });
/// ```
/// ```compile_fail,E0525
/// fn entry(_: impl sva_os::context::Entry + Fn() -> Option<sva_os::context::ThreadId>) {}
/// let owned = std::sync::Arc::new(7);
/// entry(move || {
///     drop(owned);
///     None
/// });
/// ```
pub trait Entry: FnOnce() -> Option<ThreadId> + Send + 'static {}

impl<F: FnOnce() -> Option<ThreadId> + Send + 'static> Entry for F {}

impl<M: Machine> Sva<M> {
    /// Makes a thread that begins on `stack` with `entry`, in the address space `root`, or in none. It
    /// runs when somebody [swaps](Self::swap) to it.
    ///
    /// The stack may be one whose thread has ended: its [`stack`](ThreadId::stack).
    ///
    /// # Errors
    ///
    /// [`EntryTooLarge`](Violation::EntryTooLarge) if `entry` captures more than [`ENTRY_BYTES`], or what must
    /// be aligned to more than 16; of the stack, [`NoSuchThread`](Violation::NoSuchThread),
    /// [`StaleThread`](Violation::StaleThread), [`StackInUse`](Violation::StackInUse),
    /// [`ThreadRunning`](Violation::ThreadRunning), [`ThreadBusy`](Violation::ThreadBusy),
    /// [`ThreadEnded`](Violation::ThreadEnded) if its thread was abandoned; of the root, as [`load_root`](Self::load_root). `entry` is dropped then.
    ///
    /// # Checks
    ///
    /// Nobody uses the stack; the root is one, and stays one as long as the thread may load it (invariants
    /// 8, 13). Attacks S1, S6, F13, C9.
    #[doc(alias = "sva_init_stack")]
    pub fn new_thread(
        &self,
        stack: StackId,
        root: Option<Frame>,
        entry: impl Entry,
    ) -> Result<ThreadId, Violation> {
        // Whatever is refused, the entry is dropped when the call is over, not in the midst of it.
        let mut entry = Some(entry);
        self.intrinsic(|| {
            check_size(&entry)?;
            let root = root.unwrap_or(self.half.root);
            let held = self.hold_root(root, Uses::LOAD)?;
            let is_unused = |state| state == State::Unused;
            let (slot, _) = self.half.threads.change(&self.machine, stack.0, is_unused)?;
            let word = slot.word(&self.machine);
            let (Some(next), Some(top), Some(entry)) = (word.next(), self.top(slot), entry.take()) else {
                slot.set_word(&self.machine, word.to(State::Unused));
                return Err(Violation::StaleThread(stack.number()));
            };
            slot.set_root(&self.machine, root);
            slot.set_tls(&self.machine, Segments::default());
            // SAFETY: the slot's own memory for it, and the slot is busy.
            unsafe { self.machine.begin_fp(self.half.threads.fp_state(slot)) }
            // SAFETY: the top page of a stack on which no thread is, and of which nobody else has the slot.
            let stack_pointer = unsafe { self.machine.prepare(top, entry) };
            slot.set_stack_pointer(&self.machine, stack_pointer);
            if let Some(held) = held {
                held.keep();
            }
            let word = next.to(State::Ready);
            slot.set_word(&self.machine, word);
            Ok(ThreadId(Name::new(top.number, word)))
        })
    }

    /// Lets the idle threads begin with `entry`. Called once, before any CPU goes over to one.
    pub(crate) fn prepare_idle_threads<F: Entry + Copy>(&self, entry: F) {
        let threads = self.half.threads;
        for cpu in (0..self.machine.cpus()).filter_map(Cpu::new) {
            // SAFETY: the slot's own memory for it, and nobody uses the slot yet.
            unsafe { self.machine.begin_fp(threads.fp_state(threads.boot_of(cpu))) }
            let Some((idle, top)) = threads.idle_of(cpu).and_then(|idle| Some((idle, self.top(idle)?)))
            else {
                continue;
            };
            // SAFETY: as before.
            unsafe { self.machine.begin_fp(threads.fp_state(idle)) }
            // SAFETY: the top page of its stack, on which no thread is yet.
            let stack_pointer = unsafe { self.machine.prepare(top, entry) };
            idle.set_stack_pointer(&self.machine, stack_pointer);
        }
    }

    /// The thread that runs on this CPU. Its name is refused as long as it runs; when it was left, whoever has
    /// the name can swap to it, unless it is the CPU's idle thread.
    pub fn current_thread(&self) -> ThreadId {
        let _quiet = self.quiet();
        let record = self.processor().current(&self.machine);
        ThreadId(Name::new(self.half.threads.number(record), record.word(&self.machine)))
    }
}

/// Refuses an entry whose captured values are too large for the top of a stack.
fn check_size<F>(_: &Option<F>) -> Result<(), Violation> {
    let bytes = u32::try_from(size_of::<F>()).unwrap_or(u32::MAX);
    if bytes > ENTRY_BYTES || align_of::<F>() > MOST_ALIGNED {
        return Err(Violation::EntryTooLarge(bytes));
    }
    Ok(())
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
