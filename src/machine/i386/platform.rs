//! The PC around the CPU, made quiet before a frame is typed: no interrupt line, no DMA channel, no bus
//! master acts on what firmware or a boot loader left behind.

use super::port;

/// Interrupt masks of the two 8259A (data sheet, OCW1).
const PIC_MASKS: [u16; 2] = [0x21, 0xa1];
/// "Write all mask bits" of the two 8237A (data sheet, software commands).
const DMA_MASKS: [u16; 2] = [0x0f, 0xde];
const DMA_ALL_CHANNELS: u8 = 0x0f;
/// PCI configuration mechanism 1 (PCI 3.0, 3.2.2.3.2).
const CONFIG_ADDRESS: u16 = 0xcf8;
const CONFIG_DATA: u16 = 0xcfc;
const CONFIG_ENABLE: u32 = 1 << 31;
/// Offsets in configuration space.
const IDENTITY: u32 = 0x00;
const COMMAND: u32 = 0x04;
const HEADER: u32 = 0x0c;
/// Of the command register.
const BUS_MASTER: u32 = 1 << 2;
/// Of the dword at `HEADER`.
const MULTI_FUNCTION: u32 = 1 << 23;
const NO_FUNCTION: u32 = 0xffff_ffff;
/// Functions that a bus can have: 32 devices of 8.
const FUNCTIONS: u32 = 32 * 8;
const BUSES: u32 = 256;
/// The index register of the CMOS clock; bit 7 holds the NMI line back.
const CMOS_INDEX: u16 = 0x70;
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
    unsafe { port::write(CMOS_INDEX, index) }
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
    if has_mechanism_1() {
        for bus in 0..BUSES {
            quiet_bus(bus);
        }
    }
}

/// Whether configuration space is reached by mechanism 1: its address register reads back.
fn has_mechanism_1() -> bool {
    // SAFETY: the library's own register; an address moves nothing.
    unsafe { port::write(CONFIG_ADDRESS, CONFIG_ENABLE) }
    // SAFETY: as before.
    let seen: u32 = unsafe { port::read(CONFIG_ADDRESS) };
    seen == CONFIG_ENABLE
}

/// Clears Bus Master Enable in every function of `bus`.
fn quiet_bus(bus: u32) {
    let mut function = 0;
    while function < FUNCTIONS {
        let id = bus << 8 | function;
        let exists = read(id, IDENTITY) != NO_FUNCTION;
        if exists {
            let command = read(id, COMMAND);
            if command & BUS_MASTER != 0 {
                // The high half is status, which writing zeroes to leaves alone.
                write(id, COMMAND, command & 0xffff & !BUS_MASTER);
            }
        }
        // A device without a first function has none; one without the bit has only that.
        let is_first = function & 7 == 0;
        let more = exists && read(id, HEADER) & MULTI_FUNCTION != 0;
        function = function.wrapping_add(if is_first && !more { 8 } else { 1 });
    }
}

/// Points at the dword at `offset` of the function `id` (bus, device, function: 16 bits).
fn select(id: u32, offset: u32) {
    // SAFETY: the library's own register; an address moves nothing.
    unsafe { port::write(CONFIG_ADDRESS, CONFIG_ENABLE | id << 8 | offset) }
}

fn read(id: u32, offset: u32) -> u32 {
    select(id, offset);
    // SAFETY: the library's own register; identity, command and header have no side effect.
    unsafe { port::read(CONFIG_DATA) }
}

fn write(id: u32, offset: u32, value: u32) {
    select(id, offset);
    // SAFETY: the library's own register; only the command register is written, to take the bus away.
    unsafe { port::write(CONFIG_DATA, value) }
}
