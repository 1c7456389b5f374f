//! The smallest machine that the library takes over, and the few names that matter in it.
//!
//! | frames | what |
//! |---|---|
//! | 0 | RAM, never given out |
//! | 1 | text |
//! | 2 on | free: the *stage*, on which everything happens |
//! | the last 4 or 5 | frame table, clock, sealed root, kernel tables |
//! | behind them | if there are threads: their records, the stacks of the idle ones |
//!
//! Users have the first 3 GiB. What happens there happens in the first pages, all served by entry
//! 0 of every table above the leaves.

use sva_os::Sva;
use sva_os::address::{Frame, FrameRange, Page, PageRange};
use sva_os::layout::{DirectMap, Layout, Role, Segment};
use sva_os::machine::emulated::Config;
use sva_os::machine::{Cpu, Emulated};
use sva_os::memory_map::{Region, Usage};
use sva_os::mmu::PagingMode;

/// A machine that the library took over.
pub(crate) type World<P> = Sva<Emulated<P>>;

/// The text's one frame.
pub(crate) const TEXT: u32 = 1;
/// The first frame of the stage.
pub(crate) const STAGE: u32 = 2;
/// The kernel half's first page.
pub(crate) const KERNEL: u32 = 0xc_0000;
/// The first page of the window for stacks, and the pages of a slot.
pub(crate) const STACKS: u32 = KERNEL + 0x100;
pub(crate) const SLOT_PAGES: u32 = 16;
/// Slots for stacks that may be declared; the idle threads' come before them.
pub(crate) const SPARE_SLOTS: u32 = 3;

/// Frame `number`, below 4 GiB.
pub(crate) fn frame(number: u32) -> Frame {
    Frame::new(number).expect("a frame below 4 GiB")
}

/// Page `number`, below 4 GiB.
pub(crate) fn page(number: u32) -> Page {
    Page::new(number).expect("a page below 4 GiB")
}

/// CPU `number`.
pub(crate) fn cpu(number: u32) -> Cpu {
    Cpu::new(number).expect("a CPU that may exist")
}

/// How many tables the kernel half takes: one a level.
pub(crate) fn kernel_tables<P: PagingMode>() -> u32 {
    u32::from(P::LEVELS) - 1
}

/// A machine with `cpus` CPUs and a stage of `stage` free frames; all CPUs have the sealed root
/// loaded.
pub(crate) fn small_world<P: PagingMode>(cpus: u32, stage: u32) -> World<P> {
    take_over(cpus, stage, 0)
}

/// The same with threads.
#[allow(dead_code, reason = "the worlds have none")]
pub(crate) fn small_world_of_threads<P: PagingMode>(cpus: u32, stage: u32) -> World<P> {
    take_over(cpus, stage, cpus + SPARE_SLOTS)
}

fn take_over<P: PagingMode>(cpus: u32, stage: u32, slots: u32) -> World<P> {
    let idle = if slots == 0 { 0 } else { 4 * cpus };
    let own = 3 + kernel_tables::<P>() + ((slots + cpus) * (512 + 128)).div_ceil(4096) + idle;
    let frames = STAGE + stage + own;
    let ram = [Region { start: 0, length: u64::from(frames) << 12, usage: Usage::Available }];
    let range = |first, count| FrameRange::new(frame(first), count).expect("frames below 4 GiB");
    let text = Segment { first: page(KERNEL + TEXT), frames: range(TEXT, 1), role: Role::Text };
    let layout = Layout {
        image: &[text],
        user: PageRange::new(page(0), KERNEL).expect("pages below 4 GiB"),
        direct_map: DirectMap { first: page(KERNEL), frames: range(0, frames) },
        stacks: PageRange::new(page(STACKS), slots * SLOT_PAGES).expect("pages below 4 GiB"),
        devices: PageRange::EMPTY,
        in_use: &[],
    };
    let machine = Emulated::<P>::new(&Config::new(frames, cpus));
    let sva = Sva::emulate(machine, &layout, &ram).expect("a sound layout");
    assert_eq!(sva.sealed_root().number(), STAGE + stage + 2, "nothing but the stage is spare");
    sva
}
