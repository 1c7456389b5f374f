//! Which configuration registers may be written, and which of their bits.
//!
//! The answer is **no**, but for what stands here. What is refused starts a DMA (bus master), makes a device write
//! where the message says that it should (MSI), or moves a device over another or over RAM (BARs, bridge
//! windows, expansion ROM).

use crate::violation::Violation;

/// Dwords of the configuration space (PCI 3.0, figure 6-1).
pub(super) const IDENTITY: u8 = 0x00;
pub(super) const COMMAND: u8 = 0x04;
pub(super) const CLASS: u8 = 0x08;
pub(super) const HEADER: u8 = 0x0c;
pub(super) const FIRST_BAR: u8 = 0x10;
const INTERRUPT: u8 = 0x3c;

/// Of the command register (PCI 3.0, table 6-1).
pub(super) const IO_SPACE: u32 = 1 << 0;
pub(super) const MEMORY_SPACE: u32 = 1 << 1;
#[cfg(any(test, all(target_arch = "x86", target_os = "none")))]
pub(super) const BUS_MASTER: u32 = 1 << 2;
const NO_INTERRUPT: u32 = 1 << 10;
/// The upper half of the command's dword is the status, of which a one written clears a bit.
pub(super) const COMMAND_BITS: u32 = 0xffff;
/// Of the dword at `HEADER`: cache line and latency; whether the device has more functions; the layout.
const CACHE_LINE_AND_LATENCY: u32 = 0xffff;
pub(super) const MULTI_FUNCTION: u32 = 1 << 23;
const LAYOUT: u32 = 0x7f << 16;
const BRIDGE_LAYOUT: u32 = 1 << 16;
/// Of the dword at `INTERRUPT`: the line.
const INTERRUPT_LINE: u32 = 0xff;

/// The class of bridges.
const BRIDGE: u32 = 0x06;

/// Whether a function with these dwords at `CLASS` and `HEADER` is neither a bridge nor laid out like one.
pub(super) const fn is_ordinary(class: u32, header: u32) -> bool {
    header & LAYOUT == 0 && class >> 24 != BRIDGE
}

/// Whether a function with this dword at `HEADER` forwards to another bus.
pub(super) const fn is_bridge(header: u32) -> bool {
    header & LAYOUT == BRIDGE_LAYOUT
}

/// Which bits of the dword at `offset` may change, in a function with these dwords at `CLASS` and `HEADER`.
fn changeable(offset: u8, class: u32, header: u32) -> u32 {
    match offset {
        _ if !is_ordinary(class, header) => 0,
        COMMAND => IO_SPACE | NO_INTERRUPT,
        HEADER => CACHE_LINE_AND_LATENCY,
        INTERRUPT => INTERRUPT_LINE,
        _ => 0,
    }
}

/// What is to be written to the dword at `offset`, which holds `old`, to make it `new`.
///
/// # Errors
///
/// [`PciRegister`](Violation::PciRegister) if `new` differs in a bit that may not be changed.
pub(super) fn check(offset: u8, class: u32, header: u32, old: u32, new: u32) -> Result<u32, Violation> {
    let offset = offset & !3;
    if (old ^ new) & !changeable(offset, class, header) & kept_by_the_device(offset) != 0 {
        return Err(Violation::PciRegister(offset.into()));
    }
    // Ones in the status would clear what stands there.
    Ok(if offset == COMMAND { new & COMMAND_BITS } else { new })
}

/// The bits of a dword that a write could change at all.
fn kept_by_the_device(offset: u8) -> u32 {
    if offset == COMMAND { COMMAND_BITS } else { u32::MAX }
}

#[cfg(test)]
mod tests;
