//! Functions that have no DMA engine.
//!
//! What is written to a register of one, in any order, changes no frame of RAM. So safe code may claim where they
//! answer. Any other function needs somebody who vouches for what is done with it.

use super::function::Identity;

/// A function and why it is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Harmless {
    /// Who made it.
    pub vendor: u16,
    /// Which of the vendor's devices it is.
    pub device: u16,
    /// Its name, and where it says what it does.
    pub name: &'static str,
}

const fn harmless(vendor: u16, device: u16, name: &'static str) -> Harmless {
    Harmless { vendor, device, name }
}

/// All of them.
pub const HARMLESS: &[Harmless] = &[
    harmless(0x10ec, 0x8029, "NE2000: RTL8029AS (data sheet: \"remote DMA\" ends at its own data port)"),
    harmless(0x1234, 0x1111, "Bochs display: a frame buffer and registers (QEMU, docs/specs/standard-vga)"),
    harmless(0x1b36, 0x0002, "16550 serial port (QEMU, docs/specs/pci-serial)"),
    harmless(0x1b36, 0x0003, "16550 serial ports, two (QEMU, docs/specs/pci-serial)"),
    harmless(0x1b36, 0x0004, "16550 serial ports, four (QEMU, docs/specs/pci-serial)"),
];

/// Whether safe code may claim where `identity` answers.
pub(super) fn is_harmless(identity: Identity) -> bool {
    HARMLESS.iter().any(|known| known.vendor == identity.vendor && known.device == identity.device)
}
