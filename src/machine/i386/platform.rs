//! The PC around the CPU, made quiet before a frame is typed: no interrupt line, no DMA channel, no bus
//! master acts on what firmware or a boot loader left behind.

use super::{I386, port};
use crate::io::{Io, clock};
use crate::mmu::TwoLevel;

/// Interrupt masks of the two 8259A (data sheet, OCW1).
const PIC_MASKS: [u16; 2] = [0x21, 0xa1];
/// "Write all mask bits" of the two 8237A (data sheet, software commands).
const DMA_MASKS: [u16; 2] = [0x0f, 0xde];
const DMA_ALL_CHANNELS: u8 = 0x0f;
/// Of the CMOS clock's index register: holds the NMI line back.
const NMI_OFF: u8 = 0x80;
/// An index that means nothing.
const CMOS_STATUS_D: u8 = 0x0d;

/// Holds NMI back, or lets it through.
///
/// # Safety
///
/// To let it through: every vector has its gate.
pub(crate) unsafe fn hold_nmi(held: bool) {
    let index = if held { NMI_OFF | CMOS_STATUS_D } else { CMOS_STATUS_D };
    // SAFETY: the library's own register; an index moves nothing.
    unsafe { port::write(clock::INDEX, index) }
}

/// Masks every interrupt line and DMA channel, and takes the bus from every PCI function.
///
/// # Safety
///
/// The caller claimed the machine, and interrupts are off.
pub(crate) unsafe fn make_quiet() {
    for mask in PIC_MASKS {
        // SAFETY: the library's own register; fewer interrupts break no promise.
        unsafe { port::write(mask, u8::MAX) }
    }
    for mask in DMA_MASKS {
        // SAFETY: the library's own register; a masked channel moves nothing.
        unsafe { port::write(mask, DMA_ALL_CHANNELS) }
    }
    if let Some(pci) = Io::new(I386::<TwoLevel>::WITHOUT_RAM).pci() {
        pci.take_bus_from_all();
    }
}
