//! What init is given: a sound plan, for the tests of B2 to spoil.

use crate::common::world::{HEAP, KEPT, Place, frame, frames, image, page, pages};
use crate::stage::{Machine, sound};
use sva_os::address::PageRange;
use sva_os::frame::Kind;
use sva_os::layout::{DirectMap, InUse, Layout, Role, Segment};
use sva_os::machine::Emulated;
use sva_os::machine::emulated::Config;
use sva_os::memory_map::{Region, Usage};
use sva_os::mmu::PagingMode;
use sva_os::{Sva, Violation};

pub(crate) const RAM: u32 = 64;
pub(crate) const BASE: u32 = 0xc_0000;

/// What init is given, to be spoilt by a test.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) ram: u32,
    pub(crate) map: Vec<Region>,
    pub(crate) image: Vec<Segment>,
    pub(crate) user: PageRange,
    pub(crate) direct_map: DirectMap,
    pub(crate) stacks: PageRange,
    pub(crate) devices: PageRange,
    pub(crate) in_use: Vec<InUse>,
}

pub(crate) fn region(start: u64, length: u64, usage: Usage) -> Region {
    Region { start, length, usage }
}

pub(crate) fn available(first: u32, count: u32) -> Region {
    region(u64::from(first) << 12, u64::from(count) << 12, Usage::Available)
}

pub(crate) fn reserved(first: u32, count: u32) -> Region {
    region(u64::from(first) << 12, u64::from(count) << 12, Usage::Reserved)
}

pub(crate) fn segment(first: u32, part: (u32, u32), role: Role) -> Segment {
    Segment { first: page(first), frames: frames(part), role }
}

impl Plan {
    pub(crate) fn sound() -> Self {
        Self {
            ram: RAM,
            map: vec![available(0, RAM)],
            image: image(Place::HighHalf).to_vec(),
            user: pages((0, BASE)),
            direct_map: DirectMap { first: page(BASE), frames: frames((0, RAM)) },
            stacks: PageRange::EMPTY,
            devices: PageRange::EMPTY,
            in_use: vec![InUse::Heap(frames(HEAP)), InUse::Kept(frames(KEPT))],
        }
    }

    pub(crate) fn init<P: PagingMode>(&self) -> Result<Machine<P>, Violation> {
        let Self { image, user, direct_map, stacks, devices, in_use, .. } = self;
        let (user, direct_map, stacks, devices) = (*user, *direct_map, *stacks, *devices);
        let layout = Layout { image, user, direct_map, stacks, devices, in_use };
        Sva::emulate(Emulated::<P>::new(&Config::new(self.ram, 1)), &layout, &self.map)
    }
}

/// Init of a sound plan that `spoil` changed answers `violation`.
#[track_caller]
pub(crate) fn refused<P: PagingMode>(violation: Violation, spoil: impl FnOnce(&mut Plan)) {
    let mut plan = Plan::sound();
    spoil(&mut plan);
    assert_eq!(plan.init::<P>().map(drop), Err(violation));
}

/// Init of a sound plan that `spoil` changed succeeds; answers which frames are then free.
#[track_caller]
pub(crate) fn accepted<P: PagingMode>(spoil: impl FnOnce(&mut Plan)) -> (Machine<P>, Vec<u32>) {
    let mut plan = Plan::sound();
    spoil(&mut plan);
    let sva = plan.init::<P>().unwrap();
    sound(&sva);
    let free = (0..sva.frame_count()).filter(|number| sva.kind(frame(*number)) == Kind::Free).collect();
    (sva, free)
}
