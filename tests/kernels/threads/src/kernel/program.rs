//! Address spaces with a program in machine code.

use super::{Kernel, Mode, frames};
use core::slice;
use sva_os::address::{Frame, Page, VirtAddr};
use sva_os::context::UserContext;
use sva_os::frame::Kind;
use sva_os::machine::I386;
use sva_os::mmu::{AddressSpace, FrameSource, Rights};

/// Where the code begins, and a page of data, and below what the stack is.
pub(super) const CODE: VirtAddr = VirtAddr::new(0x0804_8000);
pub(super) const DATA: VirtAddr = VirtAddr::new(0x0900_0000);
pub(super) const STACK: VirtAddr = VirtAddr::new(0xbfff_f000);

/// Free frames, one after the other.
pub(super) struct Source(pub(super) &'static Kernel);

impl FrameSource for Source {
    fn take(&mut self) -> Option<Frame> {
        frames::free(self.0, 1).pop()
    }

    fn give_back(&mut self, _frame: Frame) {}
}

/// A program's address space: two pages of code, one of data, one of stack.
pub(super) struct Program {
    pub(super) space: AddressSpace<'static, I386<Mode>>,
}

impl Program {
    /// Of this code, which runs wherever it lies.
    pub(super) fn new(sva: &'static Kernel, code: &[u8]) -> Self {
        let mut source = Source(sva);
        let space = AddressSpace::new(sva, source.take().unwrap()).unwrap();
        let this = Self { space };
        for (page, bytes) in (0..).zip(code.chunks(4096)) {
            let frame = this.map(sva, CODE.containing().checked_add(page).unwrap(), Rights::ReadExecute);
            // A thread that is preempted here holds the frame, which no audit could explain.
            sva.interrupts().without_interrupts(|| sva.write_bytes(frame, 0, bytes)).unwrap();
        }
        this.map(sva, DATA.containing(), Rights::ReadWrite);
        this.map(sva, Page::new(STACK.containing().number() - 1).unwrap(), Rights::ReadWrite);
        this
    }

    /// Maps a fresh frame at `page`.
    pub(super) fn map(&self, sva: &'static Kernel, page: Page, rights: Rights) -> Frame {
        let mut source = Source(sva);
        let frame = source.take().unwrap();
        sva.retype(frame, Kind::UserData).unwrap();
        self.space.map(page, frame, rights, &mut source).unwrap();
        frame
    }

    pub(super) fn root(&self) -> Frame {
        self.space.root()
    }

    /// Its registers at the beginning.
    pub(super) fn context(&self) -> UserContext {
        UserContext::new(CODE, STACK)
    }

    /// Gives all frames back.
    pub(super) fn destroy(self, sva: &'static Kernel) {
        sva.load_root(sva.sealed_root()).unwrap();
        self.space
            .destroy(&mut Source(sva), |leaf| sva.retype(leaf.frame(), Kind::Free).unwrap())
            .map_err(|(_, violation)| violation)
            .unwrap();
    }
}

/// The bytes between two symbols of this image.
pub(super) fn code(start: *const u8, end: *const u8) -> &'static [u8] {
    // SAFETY: callers name the bounds of what an assembler block wrote into the image.
    unsafe { slice::from_raw_parts(start, end.addr() - start.addr()) }
}

/// Names a program of these instructions: its bytes.
macro_rules! program {
    ($name:ident: $($line:literal),* $(,)?) => {
        core::arch::global_asm!(
            ".pushsection .rodata.user, \"a\", @progbits",
            concat!(".globl user_", stringify!($name)),
            concat!("user_", stringify!($name), ":"),
            $($line,)*
            concat!(".globl user_end_", stringify!($name)),
            concat!("user_end_", stringify!($name), ":"),
            ".popsection",
            options(att_syntax),
        );
        fn $name() -> &'static [u8] {
            unsafe extern "C" {
                #[link_name = concat!("user_", stringify!($name))]
                safe static START: u8;
                #[link_name = concat!("user_end_", stringify!($name))]
                safe static END: u8;
            }
            $crate::kernel::program::code(&raw const START, &raw const END)
        }
    };
}
pub(super) use program;
