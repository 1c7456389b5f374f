#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

extern crate std;

use super::*;
use proptest::prelude::*;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

fn memory(bytes: usize) -> &'static mut [MaybeUninit<u8>] {
    Box::leak(vec![MaybeUninit::uninit(); bytes].into_boxed_slice())
}

fn alloc(heap: &Heap, layout: Layout) -> Option<*mut u8> {
    // SAFETY: no layout here has size zero.
    let at = unsafe { heap.alloc(layout) };
    (!at.is_null()).then_some(at)
}

#[test]
fn empty_until_it_grows() {
    let heap = Heap::new();
    let layout = Layout::new::<u64>();
    assert_eq!(alloc(&heap, layout), None);
    assert!(!heap.grow(memory(8)), "too little");
    assert!(heap.grow(memory(1 << 16)));
    let at = alloc(&heap, layout).unwrap();
    // SAFETY: it came from `alloc` with this layout.
    unsafe { heap.dealloc(at, layout) };
    assert_eq!(alloc(&heap, Layout::from_size_align(1 << 17, 8).unwrap()), None, "more than there is");
    assert!(heap.grow(memory(1 << 18)));
    assert!(alloc(&heap, Layout::from_size_align(1 << 17, 8).unwrap()).is_some());
}

proptest! {
    /// What is given out is aligned, inside the memory, and nobody else's.
    #[test]
    fn nothing_overlaps(steps in prop::collection::vec((1usize..2000, 0u32..8, any::<bool>()), 1..200)) {
        let heap = Heap::new();
        let memory = memory(1 << 16);
        let range = memory.as_ptr_range();
        let range = range.start.addr()..range.end.addr();
        heap.grow(memory);
        let mut held: Vec<(*mut u8, Layout)> = Vec::new();
        for (size, align, give_back) in steps {
            if give_back && !held.is_empty() {
                let (at, layout) = held.swap_remove(size % held.len());
                // SAFETY: it came from `alloc` with this layout.
                unsafe { heap.dealloc(at, layout) };
                continue;
            }
            let layout = Layout::from_size_align(size, 1 << align).unwrap();
            let Some(at) = alloc(&heap, layout) else { continue };
            let (start, end) = (at.addr(), at.addr() + size);
            prop_assert_eq!(start % layout.align(), 0);
            prop_assert!(range.start <= start && end <= range.end);
            for (other, layout) in &held {
                prop_assert!(end <= other.addr() || other.addr() + layout.size() <= start);
            }
            held.push((at, layout));
        }
    }
}
