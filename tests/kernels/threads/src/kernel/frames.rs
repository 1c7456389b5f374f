//! Free frames, and a heap.

use super::Kernel;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::address::{Frame, FrameRange};
use sva_os::frame::Kind;
use sva_os::heap::Heap;

#[global_allocator]
static HEAP: Heap = Heap::new();

/// Frames of the heap.
const HEAP_FRAMES: u32 = 256;

/// Grants the heap the first frames that are free in a row.
pub(super) fn make_heap(sva: &'static Kernel) {
    let free = |frame: u32| sva.kind(Frame::new(frame).unwrap()) == Kind::Free;
    let first = (1..sva.frame_count()).find(|first| (*first..first + HEAP_FRAMES).all(free)).unwrap();
    let frames = FrameRange::new(Frame::new(first).unwrap(), HEAP_FRAMES).unwrap();
    HEAP.grow(sva.grant_memory(frames).unwrap());
}

/// Where the search for a free frame goes on: so soon nobody finds the same, who may not have used it yet.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// So many free frames.
pub(super) fn free(sva: &Kernel, count: usize) -> Vec<Frame> {
    let last = sva.frame_count() - 1;
    let mut frames = Vec::with_capacity(count);
    sva.interrupts().without_interrupts(|| {
        for _ in 0..last {
            if frames.len() == count {
                break;
            }
            let next = NEXT.load(Ordering::Relaxed);
            let number = if next == 0 { last } else { next };
            NEXT.store(number - 1, Ordering::Relaxed);
            let frame = Frame::new(number).unwrap();
            if sva.kind(frame) == Kind::Free {
                frames.push(frame);
            }
        }
    });
    assert_eq!(frames.len(), count, "frames are left");
    frames
}

/// How many frames are free.
pub(super) fn count_free(sva: &Kernel) -> usize {
    (1..sva.frame_count()).filter_map(Frame::new).filter(|frame| sva.kind(*frame) == Kind::Free).count()
}
