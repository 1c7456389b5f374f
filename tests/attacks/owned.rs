//! F17: frames that a Rust value owns, and what F8 to F10 leave over.

use crate::calls::{refuse_all, to_a_sealed_frame, to_a_stranger};
use crate::common::world::{HEAP, frames};
use crate::stage::{Live, Stage};
use sva_os::Violation;
use sva_os::address::FrameRange;
use sva_os::frame::Kind;
use sva_os::mmu::KernelPages;

attacks! {
    fn attack_f17_a_granted_frame_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let range = FrameRange::new(stage.spare(0), 3).unwrap();
        let memory = stage.sva.grant_memory(range).unwrap();
        assert_eq!(memory.len(), 3 * 4096);
        for heap in range.iter() {
            assert_eq!(stage.sva.kind(heap), Kind::Heap);
            refuse_all(&stage, heap, to_a_sealed_frame);
        }
    }

    fn attack_f17_the_heap_that_was_there_before_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for heap in frames(HEAP).iter() {
            assert_eq!(stage.sva.kind(heap), Kind::Heap);
            refuse_all(&stage, heap, to_a_sealed_frame);
        }
    }

    fn attack_f17_a_frame_of_kernel_pages_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let range = FrameRange::new(stage.spare(0), 3).unwrap();
        let mut pages = KernelPages::new(&stage.sva, range).unwrap();
        pages.fill(0x5a);
        for owned in range.iter() {
            assert_eq!(stage.sva.kind(owned), Kind::Pages);
            refuse_all(&stage, owned, to_a_stranger);
        }
        assert!(pages.iter().all(|byte| *byte == 0x5a), "a refused call wrote to owned memory");
    }

    /// Forgetting the owner leaks the frames, and frees nothing.
    fn attack_f17_forgotten_kernel_pages_stay_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let range = FrameRange::new(stage.spare(0), 2).unwrap();
        core::mem::forget(KernelPages::new(&stage.sva, range).unwrap());
        range.iter().for_each(|owned| refuse_all(&stage, owned, to_a_stranger));
    }

    /// A range of which one frame is not free is refused whole, wherever that one lies.
    fn attack_f17_a_range_over_an_owned_frame_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let whole = FrameRange::new(stage.spare(0), 4).unwrap();
        for owned in whole.iter() {
            let one = FrameRange::new(owned, 1).unwrap();
            let pages = KernelPages::new(&stage.sva, one).unwrap();
            stage.refused(|sva| KernelPages::new(sva, whole).map(drop), Violation::NotFree(owned));
            stage.refused(|sva| sva.grant_memory(whole).map(drop), Violation::NotFree(owned));
            drop(pages);
        }
        stage.sound();
    }
}
