//! IN and OUT (Intel SDM vol. 1, 19.2). Memory clobbers: an access to a device may depend on RAM.

use crate::io::Register;
use crate::machine::Word;
use core::arch::asm;
use x86::io;

/// Reads `W`, which is 1, 2 or 4 bytes wide.
///
/// # Safety
///
/// The caller owns the port, and what reading it does to the device leaves memory alone.
#[inline(always)]
pub(crate) unsafe fn read<W: Register>(port: u16) -> W {
    W::low_bits_of(match W::BYTES {
        // SAFETY: ring 0; the port is the caller's.
        1 => unsafe { io::inb(port) }.into(),
        // SAFETY: as before.
        2 => unsafe { io::inw(port) }.into(),
        // SAFETY: as before.
        _ => unsafe { io::inl(port) }.into(),
    })
}

/// Writes `value`, which is 1, 2 or 4 bytes wide.
///
/// # Safety
///
/// The caller owns the port, and what the write makes the device do leaves memory alone.
#[inline(always)]
pub(crate) unsafe fn write<W: Register>(port: u16, value: W) {
    let value: u64 = value.into();
    match W::BYTES {
        // SAFETY: ring 0; the port is the caller's.
        1 => unsafe { io::outb(port, u8::low_bits_of(value)) },
        // SAFETY: as before.
        2 => unsafe { io::outw(port, u16::low_bits_of(value)) },
        // SAFETY: as before.
        _ => unsafe { io::outl(port, u32::low_bits_of(value)) },
    }
}

/// INS with REP: reads the port into every place of `values`.
///
/// # Safety
///
/// As [`read`].
pub(crate) unsafe fn read_all<W: Register>(port: u16, values: &mut [W]) {
    let (to, count) = (values.as_mut_ptr(), values.len());
    match W::BYTES {
        // SAFETY: ring 0; the port is the caller's; so many values lie there. DF is clear, by the ABI.
        1 => unsafe {
            asm!("rep insb", in("dx") port, inout("edi") to => _, inout("ecx") count => _, options(nostack, preserves_flags))
        },
        // SAFETY: as before.
        2 => unsafe {
            asm!("rep insw", in("dx") port, inout("edi") to => _, inout("ecx") count => _, options(nostack, preserves_flags))
        },
        // SAFETY: as before.
        _ => unsafe {
            asm!("rep insd", in("dx") port, inout("edi") to => _, inout("ecx") count => _, options(nostack, preserves_flags))
        },
    }
}

/// OUTS with REP: writes every one of `values` to the port.
///
/// # Safety
///
/// As [`write`].
pub(crate) unsafe fn write_all<W: Register>(port: u16, values: &[W]) {
    // ESI is the compiler's own: EDI brings the address, and gets back what it had.
    let (from, count) = (values.as_ptr(), values.len());
    match W::BYTES {
        // SAFETY: ring 0; the port is the caller's; so many values lie there. DF is clear, by the ABI.
        1 => unsafe {
            asm!("xchg edi, esi", "rep outsb", "mov esi, edi", in("dx") port, inout("edi") from => _,
                inout("ecx") count => _, options(nostack, preserves_flags))
        },
        // SAFETY: as before.
        2 => unsafe {
            asm!("xchg edi, esi", "rep outsw", "mov esi, edi", in("dx") port, inout("edi") from => _,
                inout("ecx") count => _, options(nostack, preserves_flags))
        },
        // SAFETY: as before.
        _ => unsafe {
            asm!("xchg edi, esi", "rep outsd", "mov esi, edi", in("dx") port, inout("edi") from => _,
                inout("ecx") count => _, options(nostack, preserves_flags))
        },
    }
}
