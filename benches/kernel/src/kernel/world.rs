//! What the rows work on: threads, and a program in ring 3.

use super::{Kernel, Machine};
use sva_os::address::{Frame, Page, VirtAddr};
use sva_os::context::{ThreadId, UserContext};
use sva_os::frame::Kind;
use sva_os::mmu::{AddressSpace, FrameSource, Rights};

/// Where the program begins, and where it has two pages of data.
pub(super) const CODE: VirtAddr = VirtAddr::new(0x0804_8000);
pub(super) const DATA: VirtAddr = VirtAddr::new(0x0900_0000);

/// `1: int $0x80; jmp 1b`.
const CALLS: [u8; 4] = [0xcd, 0x80, 0xeb, 0xfc];

/// Free frames, from the highest down.
pub(super) struct Source(pub(super) &'static Kernel);

impl FrameSource for Source {
    fn take(&mut self) -> Option<Frame> {
        (1..self.0.frame_count()).rev().filter_map(Frame::new).find(|frame| self.0.kind(*frame) == Kind::Free)
    }

    fn give_back(&mut self, _frame: Frame) {}
}

/// A frame of user data.
pub(super) fn data(sva: &'static Kernel) -> Frame {
    let frame = Source(sva).take().unwrap();
    sva.retype(frame, Kind::UserData).unwrap();
    frame
}

/// A program that calls the kernel again and again, and its address space.
pub(super) fn program(sva: &'static Kernel) -> (AddressSpace<'static, Machine>, UserContext) {
    let space = AddressSpace::new(sva, Source(sva).take().unwrap()).unwrap();
    let code = data(sva);
    sva.write_bytes(code, 0, &CALLS).unwrap();
    let pages = [(CODE, code, Rights::ReadExecute), (DATA, data(sva), Rights::ReadWrite)];
    for (at, frame, rights) in pages {
        space.map(at.containing(), frame, rights, &mut Source(sva)).unwrap();
    }
    let next = Page::new(DATA.containing().number() + 1).unwrap();
    space.map(next, data(sva), Rights::ReadWrite, &mut Source(sva)).unwrap();
    (space, UserContext::new(CODE, DATA))
}

/// A thread that does nothing but swap back to `boot`.
pub(super) fn partner(sva: &'static Kernel, boot: ThreadId, root: Option<Frame>) -> ThreadId {
    let frames = [Source(sva).take().unwrap()];
    let stack = sva.declare_stack(&frames).unwrap();
    let back = move || loop {
        sva.swap(boot).unwrap();
    };
    sva.new_thread(stack, root, back).unwrap()
}
