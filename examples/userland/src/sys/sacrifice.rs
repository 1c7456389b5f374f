//! A process that is there to be broken.

use super::call::call6;

/// Leave to make any system call.
///
/// Such a call may do anything to the process that makes it: write its stack, take its memory away. Rust promises
/// nothing from then on. But a process here is a copy that shares no memory with any other, whose wrong turns a kernel
/// has to bear: so what is given up is this process, not the promise of others.
#[derive(Debug)]
pub struct Sacrifice(());

impl Sacrifice {
    /// Gives up this process, which should be a child of one that counts.
    pub fn of_this_process() -> Self {
        Self(())
    }

    /// Makes a system call, if it comes back from it.
    pub fn call(&mut self, number: u32, arguments: [u32; 6]) {
        let arguments = arguments.map(|argument| argument as usize);
        // SAFETY: none is claimed: this process was given up.
        _ = unsafe { call6(number as usize, &arguments) };
    }
}
