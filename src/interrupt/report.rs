//! The last words about a double fault.

use super::descriptor::TaskState;
use crate::address::{FRAME_BYTES, PageRange, VirtAddr};
use crate::context::SLOT_PAGES;
use crate::layout::GUARD_PAGES;
use core::fmt;

/// The registers of the task that the CPU left, and CR2.
pub(super) struct DoubleFault {
    pub(super) left: TaskState,
    pub(super) fault: VirtAddr,
    /// The window for stacks.
    pub(super) stacks: PageRange,
}

impl DoubleFault {
    /// Whether the stack ran into its guard pages: the address that could not be reached lies as far around
    /// the stack pointer as the guard goes. A frame larger than a page is probed page by page, so it
    /// does not jump further.
    fn is_overflow(&self) -> bool {
        let near = GUARD_PAGES.wrapping_mul(FRAME_BYTES);
        let from = self.left.esp.wrapping_sub(near);
        self.fault.get().wrapping_sub(from) <= near.wrapping_mul(2)
    }
}

impl DoubleFault {
    /// The number of the thread on whose stack it was.
    fn thread(&self) -> Option<u32> {
        let page = VirtAddr::new(self.left.esp).containing();
        let place = page.number().wrapping_sub(self.stacks.first().number());
        self.stacks.contains(page).then_some(place / SLOT_PAGES)
    }
}

impl fmt::Display for DoubleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (TaskState { cs, eip, eflags, esp, ebp, .. }, fault) = (self.left, self.fault);
        writeln!(f, "#DF (double fault){}", if self.is_overflow() { ", stack overflow" } else { "" })?;
        writeln!(f, "  CS {cs:#06x} EIP {eip:#010x} EFLAGS {eflags:#010x} ESP {esp:#010x} EBP {ebp:#010x}")?;
        write!(f, "  CR2 {fault}")?;
        match self.thread() {
            Some(thread) => write!(f, ", on the stack of thread {thread}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
