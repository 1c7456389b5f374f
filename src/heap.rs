//! A heap for Rust values, of memory that was [granted](crate::Sva::grant_memory).
//!
//! ```ignore
//! #[global_allocator]
//! static HEAP: Heap = Heap::new();
//!
//! HEAP.grow(sva.grant_memory(frames)?);
//! ```
//!
//! The allocator is the crate `talc`'s; what is added here is that it may be used in handlers too.

#[cfg(all(target_arch = "x86", target_os = "none"))]
use crate::{interrupt::quiet::Quiet, machine::I386, mmu::TwoLevel};
use core::alloc::{GlobalAlloc, Layout};
use core::mem::MaybeUninit;
use core::ptr;
use talc::DefaultBinning;
use talc::base::Talc;
use talc::source::Manual;

/// A heap, empty until it [grows](Self::grow). It never shrinks.
///
/// It is locked with interrupts off for the time of one allocation. When there is no room left,
/// allocation fails.
#[derive(Debug)]
pub struct Heap(spin::Mutex<Talc<Manual, DefaultBinning>>);

impl Heap {
    /// Without memory.
    pub const fn new() -> Self {
        Self(spin::Mutex::new(Talc::new(Manual)))
    }

    /// Adds `memory`. `false` if it is too little to be of use.
    pub fn grow(&self, memory: &'static mut [MaybeUninit<u8>]) -> bool {
        let (start, length) = (memory.as_mut_ptr().cast(), memory.len());
        // SAFETY: the memory was the caller's alone, and is now the heap's for ever.
        without_interrupts(|| unsafe { self.0.lock().claim(start, length) }).is_some()
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: `Talc` answers with memory of the heap that nobody else has, as large and as aligned as asked
// for. The lock is held with interrupts off, and nothing that may come meanwhile allocates.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller says that the size is not zero.
        let memory = without_interrupts(|| unsafe { self.0.lock().allocate(layout) });
        memory.map_or(ptr::null_mut(), ptr::NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller says that `at` came from `alloc` with this layout.
        without_interrupts(|| unsafe { self.0.lock().deallocate(at, layout) });
    }
}

/// Calls `run` with interrupts off on this CPU.
#[cfg(all(target_arch = "x86", target_os = "none"))]
fn without_interrupts<R>(run: impl FnOnce() -> R) -> R {
    let _quiet = Quiet::new(I386::<TwoLevel>::WITHOUT_RAM);
    run()
}

/// Calls `run`: a host's programs have no interrupts.
#[cfg(not(all(target_arch = "x86", target_os = "none")))]
fn without_interrupts<R>(run: impl FnOnce() -> R) -> R {
    run()
}

#[cfg(test)]
mod tests;
