//! Free frames, and a heap.

use super::Kernel;
use alloc::vec::Vec;
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

/// So many free frames.
pub(super) fn free(sva: &Kernel, count: usize) -> Vec<Frame> {
    let all = (1..sva.frame_count()).rev().filter_map(Frame::new);
    let free: Vec<_> = all.filter(|frame| sva.kind(*frame) == Kind::Free).take(count).collect();
    assert_eq!(free.len(), count, "frames are left");
    free
}

/// How many frames are free.
pub(super) fn count_free(sva: &Kernel) -> usize {
    (1..sva.frame_count()).filter_map(Frame::new).filter(|frame| sva.kind(*frame) == Kind::Free).count()
}
