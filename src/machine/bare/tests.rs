#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use super::*;
use crate::address::PageRange;
use crate::layout::{DirectMap, Role, Segment};
use crate::machine::Memory;
use crate::mmu::{KernelPages, Pae, TwoLevel};
use static_assertions::assert_not_impl_any;

// One CPU: its registers are cells.
assert_not_impl_any!(Bare<Pae>: Send, Sync, Clone);

const AT: PhysAddr = PhysAddr::new(0x1ff8);

fn frames(first: u32, count: u32) -> FrameRange {
    FrameRange::new(Frame::new(first).unwrap(), count).unwrap()
}

fn world<P: PagingMode>(available: u32) -> Result<Sva<Bare<P>>, Violation> {
    let page = |number| Page::new(number).unwrap();
    let layout = Layout {
        image: &[Segment { first: page(0xc_0001), frames: frames(1, 1), role: Role::Text }],
        user: PageRange::new(page(0), 0xc_0000).unwrap(),
        direct_map: DirectMap { first: page(0xc_0000), frames: frames(0, 64) },
        stacks: PageRange::EMPTY,
        devices: PageRange::EMPTY,
        in_use: &[],
    };
    let ram = [Region { start: 0, length: u64::from(available) << 12, usage: Usage::Available }];
    Sva::bare(Bare::new(64)?, &layout, &ram)
}

#[test]
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one argument holds for all: nothing else lies there"
)]
fn every_access_of_both_widths() {
    let ram = Bare::<Pae>::new(2).unwrap();
    let (old, new) = (0x8000_0001_4000_0002_u64, 0x7000_0003_6000_0004_u64);
    // SAFETY: the last eight bytes of RAM, in which nothing else lies.
    unsafe {
        assert_eq!(ram.load::<u64>(AT), 0);
        ram.store(AT, old);
        assert_eq!((ram.load::<u32>(AT), ram.load::<u32>(AT.plus(4))), (0x4000_0002, 0x8000_0001));
        assert_eq!(ram.compare_exchange(AT, new, new), Err(old));
        assert_eq!(ram.load::<u64>(AT), old);
        assert_eq!(ram.compare_exchange(AT, old, new), Ok(old));
        assert_eq!(ram.exchange(AT, old), new);
        assert_eq!(ram.fetch_add(AT.plus(4), u32::MAX), 0x8000_0001);
        assert_eq!(ram.exchange(AT.plus(4), 5u32), 0x8000_0000);
        assert_eq!(ram.compare_exchange(AT.plus(4), 6u32, 7), Err(5));
        assert_eq!(ram.compare_exchange(AT.plus(4), 5u32, 7), Ok(5));
        ram.store(AT, 9u32);
        assert_eq!(ram.load::<u64>(AT), 7 << 32 | 9);
    }
}

#[test]
fn registers_keep_what_they_are_given() {
    let machine = Bare::<TwoLevel>::new(8).unwrap();
    assert!(machine.claim());
    assert!(!machine.claim());
    assert!(machine.interrupts_off());
    assert!(!machine.interrupts_off());
    // SAFETY: they were on.
    unsafe { machine.interrupts_on() };
    assert!(machine.interrupts_off());
    // SAFETY: no CPU walks it.
    unsafe { machine.load_root(Frame::new(7).unwrap()) };
    assert_eq!(machine.root().number(), 7);
    machine.invalidate_page(Page::new(3).unwrap());
    // SAFETY: a frame of RAM. Nothing lies in it.
    unsafe { machine.zero(Frame::ZERO) };
    assert_eq!((machine.root().number(), machine.claim()), (7, false));
}

#[test]
fn a_kernel_runs_on_it() {
    let sva = world::<Pae>(64).unwrap();
    let mut pages = KernelPages::new(&sva, frames(20, 2)).unwrap();
    pages.fill(0xaa);
    assert_eq!((pages.len(), sva.audit().is_ok()), (0x2000, true));
    drop(pages);
    assert!(KernelPages::new(&sva, frames(21, 1)).unwrap().iter().all(|byte| *byte == 0));
    let heap = sva.grant_memory(frames(30, 1)).unwrap();
    assert_eq!((heap.len(), heap.as_ptr().align_offset(FRAME)), (FRAME, 0));
}

#[test]
fn ram_that_is_not_there_is_refused() {
    let refused = |available| world::<TwoLevel>(available).err();
    assert_eq!(refused(65), Some(Violation::NotRam(Frame::ZERO)));
    assert_eq!(Bare::<Pae>::new(FRAME_LIMIT + 1).err(), Some(Violation::RangeTooLong(FRAME_LIMIT + 1)));
}
