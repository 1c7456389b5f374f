//! What threads and user programs have of a CPU: stacks, ring 3, floating point, user memory.

use super::sealed::Sealed;
use crate::address::{PhysAddr, VirtAddr};
use crate::context::{Entry, Top, UserContext, UserTrap};
use crate::interrupt::descriptor::Descriptor;
use crate::sva::Sva;

use super::Machine;

/// The state of a CPU that goes from one thread or program to another.
///
/// # Safety of every method
///
/// The method's own words.
#[expect(clippy::missing_safety_doc, reason = "each method says in its words what it asks")]
pub trait Context: Sealed {
    /// Puts `entry` on the stack whose top page this is, so that the thread begins with it. Answers with what
    /// [`switch`](Self::switch) takes to begin there.
    ///
    /// The stack is declared, and nothing is on it.
    unsafe fn prepare(&self, top: Top, entry: impl Entry) -> u32;

    /// Drops what [`prepare`](Self::prepare) put on the stack and answered with `stack_pointer`.
    ///
    /// The thread never ran and never will. Client code runs: no lock is held.
    unsafe fn discard(&self, top: Top, stack_pointer: u32);

    /// Saves the registers that a call keeps on this stack, writes the stack pointer to `save`, and goes on on the
    /// stack at `next`. Returns when somebody switches to what is saved. A thread that begins calls
    /// [`Sva::arrive`] first.
    ///
    /// `save` is a word of this thread's record, `next` what `prepare` answered or `switch` saved, once. Interrupts
    /// are off.
    unsafe fn switch(&self, sva: &Sva<Self>, save: PhysAddr, next: u32)
    where
        Self: Machine + Sized;

    /// Enters ring 3 with `context`. Returns when it comes back, with interrupts off, with the trap that brought
    /// it, and with its registers in `context`.
    ///
    /// `context` has selectors of a user program, and FS and GS are loaded. Interrupts are off.
    unsafe fn enter_user(&self, context: &mut UserContext) -> UserTrap;

    /// Loads FS and GS: null, or data segments of ring 3 in the GDT.
    unsafe fn load_thread_selectors(&self, fs: u16, gs: u16);

    /// Writes the descriptor of a TLS slot of this CPU: a data segment of ring 3, or null.
    unsafe fn set_tls(&self, slot: u32, segment: Descriptor);

    /// CR2 of this CPU.
    fn fault_address(&self) -> VirtAddr;

    /// Whether the CPUs have floating-point registers.
    fn has_fp(&self) -> bool;

    /// MXCSR_MASK, as FXSAVE stores it.
    fn mxcsr_mask(&self) -> u32;

    /// Clears CR0.TS: programs may use the floating-point registers.
    fn open_fp(&self);

    /// Sets CR0.TS.
    fn close_fp(&self);

    /// Stores the floating-point registers in the 512 bytes at `at`. TS is as it was.
    unsafe fn store_fp(&self, at: PhysAddr);

    /// Loads the floating-point registers from the 512 bytes at `at`, where `begin_fp` or `store_fp` wrote, or bytes
    /// without reserved bits set in MXCSR. TS is as it was.
    unsafe fn load_fp(&self, at: PhysAddr);

    /// Writes the state that a program begins with to the 512 bytes at `at`.
    unsafe fn begin_fp(&self, at: PhysAddr);

    /// Copies user memory from `from` on to `to`, as ring 3 could read it. Answers how many bytes came before the
    /// first that faults.
    ///
    /// The range lies in the user half.
    unsafe fn copy_from_user(&self, from: VirtAddr, to: &mut [u8]) -> u32;

    /// Copies `from` to user memory from `to` on, as ring 3 could write it; otherwise as
    /// [`copy_from_user`](Self::copy_from_user).
    unsafe fn copy_to_user(&self, to: VirtAddr, from: &[u8]) -> u32;

    /// Writes zeroes to `length` bytes of user memory; otherwise as [`copy_to_user`](Self::copy_to_user).
    unsafe fn zero_user(&self, to: VirtAddr, length: u32) -> u32;

    /// As [`copy_from_user`](Self::copy_from_user), up to the first zero byte, which is not copied; says whether
    /// there was one.
    unsafe fn copy_str_from_user(&self, from: VirtAddr, to: &mut [u8]) -> (u32, bool);
}
