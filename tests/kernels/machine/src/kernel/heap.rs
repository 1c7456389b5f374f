//! Rust values in memory that was granted, also made in a handler.

extern crate alloc;

use super::console::println;
use super::{Boot, Mode};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::address::{Frame, FrameRange};
use sva_os::frame::Kind;
use sva_os::heap::Heap;
use sva_os::interrupt::Line;

#[global_allocator]
static HEAP: Heap = Heap::new();

pub(super) fn run(boot: &'static Boot<Mode>) {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let sva = boot.sva();
    // The highest free frames: 64, as they come.
    let last =
        (1..sva.frame_count()).rev().filter_map(Frame::new).find(|frame| sva.kind(*frame) == Kind::Free);
    let first = Frame::new(last.unwrap().number() - 63).unwrap();
    let memory = sva.grant_memory(FrameRange::new(first, 64).unwrap()).unwrap();
    assert!(HEAP.grow(memory));

    sva.interrupts()
        .register_line(Line::TIMER, &|_| {
            let values: Vec<Box<u32>> = (0..10).map(Box::new).collect();
            MADE.fetch_add(values.iter().map(|value| **value).sum(), Ordering::Relaxed);
        })
        .unwrap();
    sva.interrupts().unmask(Line::TIMER).unwrap();
    sva.timer().start_periodic(5000).unwrap();
    sva.interrupts().enable().unwrap();
    let mut rounds = 0u32;
    while MADE.load(Ordering::Relaxed) < 45 * 200 {
        rounds += 1;
        let texts: Vec<_> = (0..50).map(|number| alloc::format!("{rounds} {number}")).collect();
        assert!(texts.iter().enumerate().all(|(number, text)| *text == alloc::format!("{rounds} {number}")));
    }
    sva.interrupts().disable();
    let room = Vec::<u8>::new().try_reserve_exact(1 << 20);
    assert!(room.is_err(), "a MiB is more than there is");
    println!("{rounds} rounds, {} handlers; {:?}", MADE.load(Ordering::Relaxed) / 45, sva.audit().unwrap());
}
