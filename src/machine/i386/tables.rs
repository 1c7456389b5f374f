//! The registers that say where the descriptor tables are, and the segment registers.

use crate::address::VirtAddr;
use crate::interrupt::descriptor::Selector;
use core::ffi::c_void;
use core::ptr;
use x86::dtables::{self, DescriptorTablePointer};
use x86::segmentation::{self, SegmentSelector};
use x86::task;

/// Where a static of the library lies.
#[expect(clippy::as_conversions, reason = "a pointer of i386 has 32 bits")]
pub(crate) fn address<T>(of: *const T) -> VirtAddr {
    VirtAddr::new(of.expose_provenance() as u32)
}

const fn selector(of: Selector) -> SegmentSelector {
    SegmentSelector::from_raw(of.bits())
}

/// The operand of LGDT and LIDT: where a table lies, and its last byte.
fn pointer(base: VirtAddr, limit: u16) -> DescriptorTablePointer<c_void> {
    DescriptorTablePointer { limit, base: ptr::with_exposed_provenance(crate::address::widen(base.get())) }
}

/// LGDT, and loads every segment register: flat segments of ring 0, null in FS, GS and LDTR.
///
/// # Safety
///
/// At `gdt` is, for ever, a table whose last byte is at `limit`, with the descriptors that [`Selector`]
/// names. They are flat, as the segments were that are in use now.
pub(crate) unsafe fn load_gdt(gdt: VirtAddr, limit: u16) {
    // SAFETY: ring 0; the caller's list.
    unsafe { dtables::lgdt(&pointer(gdt, limit)) }
    // SAFETY: the table has this descriptor; execution goes on where it was.
    unsafe { segmentation::load_cs(selector(Selector::KERNEL_CODE)) }
    // SAFETY: the table has this descriptor, and the segment is the same as before.
    unsafe { segmentation::load_ss(selector(Selector::KERNEL_DATA)) }
    // SAFETY: as before.
    unsafe { segmentation::load_ds(selector(Selector::KERNEL_DATA)) }
    // SAFETY: as before.
    unsafe { segmentation::load_es(selector(Selector::KERNEL_DATA)) }
    // SAFETY: the kernel uses no FS.
    unsafe { segmentation::load_fs(selector(Selector::NULL)) }
    // SAFETY: the kernel uses no GS.
    unsafe { segmentation::load_gs(selector(Selector::NULL)) }
    // SAFETY: ring 0; no selector in use names a local table.
    unsafe { dtables::load_ldtr(selector(Selector::NULL)) }
}

/// LIDT.
///
/// # Safety
///
/// At `idt` is, for ever, a table of gates whose last byte is at `limit`, and the GDT has what they name.
pub(crate) unsafe fn load_idt(idt: VirtAddr, limit: u16) {
    // SAFETY: ring 0; the caller's list.
    unsafe { dtables::lidt(&pointer(idt, limit)) }
}

/// LTR with the task state of this CPU.
///
/// # Safety
///
/// The GDT has its descriptor, not busy, and the task state is there for ever.
pub(crate) unsafe fn load_task() {
    // SAFETY: ring 0; the caller's list.
    unsafe { task::load_tr(selector(Selector::TASK)) }
}
