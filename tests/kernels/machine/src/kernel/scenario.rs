//! Calls of every intrinsic, right and refused, always the same.

use super::{Boot, Mode};
use sva_os::address::{Frame, FrameRange, Page, PageRange};
use sva_os::frame::Kind;
use sva_os::interrupt::Exception;
use sva_os::mmu::{KernelPages, PagingMode, Rights};

/// Frames that the scenario has for itself, one behind the other.
#[derive(Clone, Copy)]
pub(super) struct Frames {
    frames: [Frame; 8],
}

impl Frames {
    /// Free ones, the `nth` such eight from the end of RAM.
    pub(super) fn take(boot: &'static Boot<Mode>, nth: usize) -> Self {
        let sva = boot.sva();
        let free = (1..sva.frame_count())
            .rev()
            .filter_map(Frame::new)
            .filter(|frame| sva.kind(*frame) == Kind::Free);
        let mut free = free.skip(nth * 8);
        Self { frames: core::array::from_fn(|_| free.next().unwrap()) }
    }
}

/// What changes nothing in the end, so that it can be done again and again.
pub(super) fn run(boot: &'static Boot<Mode>, frames: Frames) {
    let sva = boot.sva();
    let [root, table, above, data, other, third, _, pages] = frames.frames;
    sva.declare_root(root).unwrap();
    sva.declare_table(table, 1).unwrap();
    sva.declare_table(table, 1).unwrap_err();
    let parent = if Mode::LEVELS == 3 {
        sva.declare_table(above, 2).unwrap();
        sva.link(root, 0, above).unwrap();
        above
    } else {
        root
    };
    for frame in [data, other, third] {
        sva.retype(frame, Kind::UserData).unwrap();
    }
    sva.link(parent, 1, table).unwrap();
    sva.link(parent, 2, table).unwrap_err();
    sva.load_root(root).unwrap();
    entries(boot, table, [data, other, third]);
    sva.write_bytes(data, 100, b"sixteen bytes...").unwrap();
    sva.read_bytes(data, 4090, &mut [0; 7]).unwrap_err();
    sva.translate(root, Page::new(7).unwrap()).unwrap();
    sva.flush_page(Page::new(7).unwrap());
    sva.flush_range(PageRange::new(Page::ZERO, 3).unwrap());
    sva.flush_all();
    sva.remove_root(root).unwrap_err();
    sva.load_root(sva.sealed_root()).unwrap();
    sva.unlink(parent, 1).unwrap();
    if parent == above {
        sva.unlink(root, 0).unwrap();
        sva.remove_table(above).unwrap();
    }
    for frame in [data, other, third] {
        sva.retype(frame, Kind::Free).unwrap();
    }
    sva.remove_table(table).unwrap();
    sva.remove_root(root).unwrap();
    drop(KernelPages::new(sva, FrameRange::new(pages, 1).unwrap()).unwrap());

    let ports = sva.io().claim(0x2f8, 8).unwrap();
    ports.read::<u8>(5).unwrap();
    ports.read::<u32>(5).unwrap_err();
    sva.io().claim(0x2f8, 8).unwrap_err();
    drop(ports);
    let interrupts = sva.interrupts();
    interrupts.register_software(77, &|_| ()).unwrap();
    interrupts.register_software(77, &|_| ()).unwrap_err();
    interrupts.register_exception(Exception::DoubleFault, &|_| ()).unwrap_err();
    interrupts.unregister(77).unwrap();
}

/// Entries of a table of leaves come and go.
pub(super) fn entries(boot: &'static Boot<Mode>, table: Frame, [data, other, third]: [Frame; 3]) {
    let sva = boot.sva();
    sva.map(table, 7, data, Rights::Read).unwrap();
    sva.map(table, 7, data, Rights::Read).unwrap_err();
    sva.map(table, 8, table, Rights::Read).unwrap_err();
    sva.protect(table, 7, Rights::ReadWrite).unwrap();
    sva.protect(table, 7, Rights::ReadExecute).unwrap();
    sva.replace(table, 7, other, Rights::ReadWrite).unwrap();
    sva.take_accessed_dirty(table, 7).unwrap();
    sva.unmap(table, 7).unwrap();
    sva.unmap(table, 7).unwrap_err();
    let leaves = [(data, Rights::ReadWrite), (other, Rights::Read), (third, Rights::ReadExecute)];
    assert_eq!(sva.map_batch(table, 20, &leaves).complete(), Ok(3));
    assert_eq!(sva.protect_batch(table, 20, &[Rights::Read; 3]).complete(), Ok(3));
    assert_eq!(sva.unmap_batch(table, 20, &mut [None; 4]).done, 3);
}
