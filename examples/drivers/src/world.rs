//! A small machine in host memory.

use sva_os::Sva;
use sva_os::address::{Frame, FrameRange, Page, PageRange};
use sva_os::layout::{DirectMap, Layout, Role, Segment};
use sva_os::machine::Emulated;
use sva_os::machine::emulated::Config;
use sva_os::memory_map::{Region, Usage};
use sva_os::mmu::Pae;

pub(crate) type Machine = Emulated<Pae>;

pub(crate) fn world() -> Sva<Machine> {
    let frames = |first, count| FrameRange::new(Frame::new(first).unwrap(), count).unwrap();
    let page = |number| Page::new(number).unwrap();
    let ram = [Region { start: 0, length: 64 << 12, usage: Usage::Available }];
    let layout = Layout {
        image: &[Segment { first: page(0xc0001), frames: frames(1, 1), role: Role::Text }],
        user: PageRange::new(page(0), 0xc0000).unwrap(),
        direct_map: DirectMap { first: page(0xc0000), frames: frames(0, 64) },
        stacks: PageRange::EMPTY,
        devices: PageRange::EMPTY,
        in_use: &[],
    };
    let sva = Sva::emulate(Machine::new(&Config::new(64, 1)), &layout, &ram).unwrap();
    // What init wrote to the interrupt controllers.
    sva.machine().devices().log.clear();
    sva
}
