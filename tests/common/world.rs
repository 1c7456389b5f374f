//! A small machine with a kernel image in it.
//!
//! Physical memory is the same in every world, so that a test can name what it attacks:
//!
//! | frames | what |
//! |---|---|
//! | 0 | RAM, never given out |
//! | 1, 2 | text |
//! | 3 | read-only data |
//! | 4, 5 | data |
//! | 6, 7 | behind the guard pages of the boot stack: not used |
//! | 8, 9 | boot stack |
//! | 10 | a heap that the kernel had before init |
//! | 11 | a boot module |
//! | 12 | reserved by firmware |
//! | 13 on | free |
//! | the last 4 or 5 | frame table, clock, sealed root, kernel tables |

use sva_os::Sva;
use sva_os::address::{Frame, FrameRange, Page, PageRange};
use sva_os::context::SLOT_PAGES;
use sva_os::layout::{DirectMap, InUse, Layout, Role, Segment};
use sva_os::machine::Emulated;
use sva_os::machine::emulated::Config;
use sva_os::memory_map::{Region, Usage};
use sva_os::mmu::PagingMode;

/// First and number of the frames of each part.
pub(crate) const TEXT: (u32, u32) = (1, 2);
pub(crate) const READ_ONLY: (u32, u32) = (3, 1);
pub(crate) const DATA: (u32, u32) = (4, 2);
pub(crate) const GUARD: (u32, u32) = (6, 2);
pub(crate) const STACK: (u32, u32) = (8, 2);
pub(crate) const HEAP: (u32, u32) = (10, 1);
pub(crate) const KEPT: (u32, u32) = (11, 1);
pub(crate) const RESERVED: (u32, u32) = (12, 1);
/// From here on frames are free, up to the library's own.
pub(crate) const FIRST_FREE: u32 = 13;

/// Frame `number`, which lies below 4 GiB.
pub(crate) fn frame(number: u32) -> Frame {
    Frame::new(number).expect("a frame below 4 GiB")
}

/// Page `number`, which lies below 4 GiB.
pub(crate) fn page(number: u32) -> Page {
    Page::new(number).expect("a page below 4 GiB")
}

/// `count` frames from `first` on.
pub(crate) fn frames((first, count): (u32, u32)) -> FrameRange {
    FrameRange::new(frame(first), count).expect("frames below 4 GiB")
}

/// `count` pages from `first` on.
pub(crate) fn pages((first, count): (u32, u32)) -> PageRange {
    PageRange::new(page(first), count).expect("pages below 4 GiB")
}

/// Where the kernel lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// In the last GiB; users below.
    HighHalf,
    /// In the first GiB, where linear and physical addresses are the same; users above.
    Identity,
}

impl Place {
    /// Both.
    pub(crate) const ALL: [Place; 2] = [Place::HighHalf, Place::Identity];

    /// The number of the page that maps frame 0.
    pub(crate) const fn first_page(self) -> u32 {
        match self {
            Place::HighHalf => 0xc_0000,
            Place::Identity => 0,
        }
    }

    /// First and number of the user window's pages: 3 GiB.
    pub(crate) const fn user(self) -> (u32, u32) {
        match self {
            Place::HighHalf => (0, 0xc_0000),
            Place::Identity => (0x4_0000, 0xc_0000),
        }
    }
}

/// The image's segments.
pub(crate) fn image(place: Place) -> [Segment; 4] {
    let segment = |part: (u32, u32), role| Segment {
        first: page(place.first_page() + part.0),
        frames: frames(part),
        role,
    };
    [
        segment(TEXT, Role::Text),
        segment(READ_ONLY, Role::ReadOnly),
        segment(DATA, Role::Data),
        segment(STACK, Role::Stack),
    ]
}

/// What the firmware says of `ram_frames` frames of RAM.
pub(crate) fn memory_map(ram_frames: u32) -> [Region; 2] {
    let region = |first: u32, count: u32, usage| Region {
        start: u64::from(first) << 12,
        length: u64::from(count) << 12,
        usage,
    };
    [region(0, ram_frames, Usage::Available), region(RESERVED.0, RESERVED.1, Usage::Reserved)]
}

/// A machine with `cpus` CPUs and `ram_frames` frames of RAM (64 to 96 are plenty), taken over
/// with the kernel at `place`. CPU 0 is the one that boots; all have the sealed root loaded.
pub(crate) fn world_at<P: PagingMode>(place: Place, cpus: u32, ram_frames: u32) -> Sva<Emulated<P>> {
    let machine = Emulated::<P>::new(&Config::new(ram_frames, cpus));
    take_over(machine, place, ram_frames)
}

/// Takes over `machine`, which has `ram_frames` frames of RAM.
pub(crate) fn take_over<P: PagingMode>(
    machine: Emulated<P>,
    place: Place,
    ram_frames: u32,
) -> Sva<Emulated<P>> {
    take_over_with_stacks(machine, place, ram_frames, PageRange::EMPTY)
}

/// Takes over `machine`, with the pages of `stacks` for stacks.
fn take_over_with_stacks<P: PagingMode>(
    machine: Emulated<P>,
    place: Place,
    ram_frames: u32,
    stacks: PageRange,
) -> Sva<Emulated<P>> {
    let layout = Layout {
        image: &image(place),
        user: pages(place.user()),
        direct_map: DirectMap { first: page(place.first_page()), frames: frames((0, ram_frames)) },
        stacks,
        devices: PageRange::EMPTY,
        in_use: &[InUse::Heap(frames(HEAP)), InUse::Kept(frames(KEPT))],
    };
    Sva::emulate(machine, &layout, &memory_map(ram_frames)).expect("a sound layout")
}

/// [`world_at`] with the kernel in the high half.
pub(crate) fn world<P: PagingMode>(cpus: u32, ram_frames: u32) -> Sva<Emulated<P>> {
    world_at(Place::HighHalf, cpus, ram_frames)
}

/// Where the window for stacks begins, in a world that has one.
pub(crate) const STACKS: u32 = 0xd_0000;

/// [`world`] with so many slots for stacks, the idle threads' among them. The library's own frames at the end are
/// more then.
pub(crate) fn world_with_threads<P: PagingMode>(cpus: u32, ram_frames: u32, slots: u32) -> Sva<Emulated<P>> {
    let machine = Emulated::<P>::new(&Config::new(ram_frames, cpus));
    take_over_with_stacks(machine, Place::HighHalf, ram_frames, pages((STACKS, slots * SLOT_PAGES)))
}

/// [`world_at`] with a kernel that is identity-mapped.
pub(crate) fn low_world<P: PagingMode>(cpus: u32, ram_frames: u32) -> Sva<Emulated<P>> {
    world_at(Place::Identity, cpus, ram_frames)
}

/// `number` as a length.
pub(crate) fn count(number: u32) -> usize {
    usize::try_from(number).expect("at least 32 bits")
}
