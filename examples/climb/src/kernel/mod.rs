//! The climb.

extern crate alloc;

mod before;
mod console;

use alloc::string::String;
use alloc::vec::Vec;
use before::Start;
use console::println;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::Sva;
use sva_os::address::{Frame, FrameRange, Page, PageRange};
use sva_os::interrupt::{Interrupts, Line};
use sva_os::layout::{DirectMap, InUse, Layout};
use sva_os::machine::I386;
use sva_os::memory_map::Region;
#[cfg(feature = "pae")]
use sva_os::mmu::Pae as Mode;
#[cfg(not(feature = "pae"))]
use sva_os::mmu::TwoLevel as Mode;

type Machine = I386<Mode>;

/// Called with the kernel's own tables loaded, its own heap ready, and paging as `start` says.
fn climb(start: &Start) {
    // What the kernel has in its heap must be there after the climb.
    let story: Vec<String> = (0..100).map(|number| alloc::format!("line {number}")).collect();

    // Level 0: ports. From here on the kernel's own serial driver goes through a claim.
    // SAFETY: 1. the kernel's driver of the serial port was dropped. 2. No firmware of this machine leaves a DMA
    // running, and the kernel starts none. 3. Ring 0.
    let io = unsafe { Machine::adopt_ports() };
    console::take_over(io.uart(0x3f8).expect("nobody has the serial port"));
    println!("level 0: the serial port is claimed; to claim it again: {}", refusal(io.claim(0x3f8, 8)));
    println!("  the interrupt controller's: {}", refusal(io.claim(0x20, 2)));

    // Level 1: GDT, IDT, TSS, handlers. The kernel's own tables are out of use.
    // SAFETY: 1. the image is mapped where it is, and stays so. 2. The kernel's segments are flat. 3. It does none
    // of that any more. 4. It is the only CPU.
    let interrupts = unsafe { Machine::adopt_interrupts() }.expect("the first time");
    println!("level 1: {} ticks by the library's gates", ticks(interrupts));
    // SAFETY: as before; it is refused.
    println!("  again: {}", refusal(unsafe { Machine::adopt_interrupts() }.map(drop)));

    // Level 2: page tables. The kernel stays where it is; user programs will live from 1 to 3 GiB.
    let sva = init(start);
    println!("level 2: {:?}", sva.audit().expect("all is well"));
    sva.interrupts().enable().expect("no handler");
    // SAFETY: as before; it is refused.
    println!("  again: {}", refusal(unsafe { Sva::<Machine>::init(&layout(), start.regions()) }.map(drop)));
    assert!(sva.interrupts().disable(), "what is refused leaves interrupts as they were");
    assert_eq!(story.len(), 100);
    assert!(story.iter().enumerate().all(|(number, line)| *line == alloc::format!("line {number}")));
    println!("  the heap is as it was: {} lines, the last {:?}", story.len(), story.last());
    println!("  {} ticks more", ticks(sva.interrupts()));
}

/// Frees the timer's line, counts three ticks, and gives the line back.
fn ticks(interrupts: Interrupts<'_, Machine>) -> u32 {
    static TICKS: AtomicU32 = AtomicU32::new(0);
    TICKS.store(0, Ordering::Relaxed);
    interrupts.register_line(Line::TIMER, &|_| _ = TICKS.fetch_add(1, Ordering::Relaxed)).expect("free");
    interrupts.unmask(Line::TIMER).expect("registered");
    interrupts.timer().start_periodic(1000).expect("a rate");
    interrupts.enable().expect("no handler");
    while TICKS.load(Ordering::Relaxed) < 3 {
        core::hint::spin_loop();
    }
    interrupts.disable();
    interrupts.unregister(32 + u32::from(Line::TIMER.number())).expect("registered");
    TICKS.load(Ordering::Relaxed)
}

fn init(start: &Start) -> Sva<Machine> {
    // SAFETY: 1. the linker script and `Start` say how it is. 2. to 4. as on level 1, and for page tables.
    unsafe { Sva::init(&layout(), start.regions()) }.expect("the machine is as described")
}

fn layout() -> Layout<'static> {
    const HEAP: [InUse; 1] = [InUse::Heap(before::HEAP)];
    Layout {
        image: before::image(),
        user: PageRange::new(Page::new(0x4_0000).unwrap(), 0x8_0000).unwrap(),
        direct_map: DirectMap { first: Page::ZERO, frames: FrameRange::new(Frame::ZERO, 0x4_0000).unwrap() },
        stacks: PageRange::EMPTY,
        devices: PageRange::EMPTY,
        in_use: &HEAP,
    }
}

fn refusal<T>(result: Result<T, sva_os::Violation>) -> sva_os::Violation {
    result.err().expect("this is to be refused")
}

/// The memory map, as this kernel finds it.
impl Start {
    fn regions(&self) -> &[Region] {
        &self.regions
    }
}
