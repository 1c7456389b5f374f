//! IN and OUT (Intel SDM vol. 1, 19.2). Memory clobbers: an access to a device may depend on RAM.

use crate::io::Register;
use crate::machine::Word;
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
