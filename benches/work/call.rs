//! The calls as a kernel makes them: with arguments that the compiler does not know.

use super::world::Spares;
use sva_os::address::{Frame, Page, PhysAddr};
use sva_os::frame::Kind;
use sva_os::machine::Memory;
use sva_os::machine::bare::Bare;
use sva_os::mmu::{AddressSpace, Leaf, PagingMode, Rights};
use sva_os::{Progress, Sva, Violation};

macro_rules! calls {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        #[inline(never)]
        pub(crate) fn $name<P: PagingMode>(sva: &Sva<Bare<P>>, $($argument: $type),*) -> $result {
            sva.$name($($argument),*)
        }
    )*};
}

calls! {
    map(table: Frame, index: u32, frame: Frame, rights: Rights) -> Result<(), Violation>;
    unmap(table: Frame, index: u32) -> Result<Leaf, Violation>;
    protect(table: Frame, index: u32, rights: Rights) -> Result<Leaf, Violation>;
    replace(table: Frame, index: u32, frame: Frame, rights: Rights) -> Result<Leaf, Violation>;
    take_accessed_dirty(table: Frame, index: u32) -> Result<Leaf, Violation>;
    map_batch(table: Frame, first: u32, leaves: &[(Frame, Rights)]) -> Progress;
    unmap_batch(table: Frame, first: u32, old: &mut [Option<Leaf>]) -> Progress;
    protect_batch(table: Frame, first: u32, rights: &[Rights]) -> Progress;
    declare_table(frame: Frame, level: u8) -> Result<(), Violation>;
    remove_table(frame: Frame) -> Result<(), Violation>;
    retype(frame: Frame, kind: Kind) -> Result<(), Violation>;
    link(parent: Frame, index: u32, table: Frame) -> Result<(), Violation>;
    unlink(parent: Frame, index: u32) -> Result<Frame, Violation>;
    load_root(root: Frame) -> Result<(), Violation>;
    translate(root: Frame, page: Page) -> Result<Option<Leaf>, Violation>;
}

#[inline(never)]
pub(crate) fn space_map<P: PagingMode>(
    space: &AddressSpace<'_, Bare<P>>,
    page: Page,
    frame: Frame,
    rights: Rights,
    source: &mut Spares,
) -> Result<(), Violation> {
    space.map(page, frame, rights, source)
}

#[inline(never)]
pub(crate) fn space_unmap<P: PagingMode>(
    space: &AddressSpace<'_, Bare<P>>,
    page: Page,
) -> Result<Leaf, Violation> {
    space.unmap(page)
}

#[inline(never)]
pub(crate) fn space_protect<P: PagingMode>(
    space: &AddressSpace<'_, Bare<P>>,
    page: Page,
    rights: Rights,
) -> Result<Leaf, Violation> {
    space.protect(page, rights)
}

#[inline(never)]
pub(crate) fn flush<P: PagingMode>(sva: &Sva<Bare<P>>) {
    sva.flush();
}

/// What a kernel without any check would do to map a page.
#[inline(never)]
pub(crate) fn store<P: PagingMode>(sva: &Sva<Bare<P>>, at: PhysAddr, entry: P::Raw) {
    // SAFETY: the row says that it is an entry of a table of its own.
    unsafe { sva.machine().store(at, entry) }
}
