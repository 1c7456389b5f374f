//! The heap: a fixed part of the program's zeroed memory, which costs nothing until it is used.

use talc::TalcLock;
use talc::source::Claim;

/// In bytes: what a shell may need for one line with everything in it.
const SIZE: usize = 1 << 20;

#[global_allocator]
static HEAP: TalcLock<spin::mutex::SpinMutex<()>, Claim> = {
    static mut MEMORY: [u8; SIZE] = [0; SIZE];

    let memory = &raw mut MEMORY;
    // SAFETY: nobody else uses it.
    TalcLock::new(unsafe { Claim::array(memory) })
};
