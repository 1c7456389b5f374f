//! The CMOS: a clock, and bytes that firmware keeps. It is read only.
//!
//! Bit 7 of its index register holds NMI back, and what is written to its bytes says how the machine boots. So
//! neither port is handed out.

use super::Io;
use crate::machine::Machine;

pub(crate) const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
/// The bits of an index; the one above holds NMI back.
const INDEX_BITS: u8 = 0x7f;

impl<M: Machine> Io<'_, M> {
    /// The byte of the CMOS at `index`, of which the low seven bits count: 0 to 9 are the time, 10 and 11 say whether
    /// it is being changed and how it is coded (MC146818, data sheet).
    pub fn cmos(self, index: u8) -> u8 {
        self.machine.claims().cmos(self.machine, || {
            // SAFETY: the library's own register; the index selects a byte and lets NMI through, as it is.
            unsafe { self.machine.port_write(INDEX, index & INDEX_BITS) }
            // SAFETY: the library's own register; to read a byte of the clock changes nothing but flags of its
            // interrupt.
            unsafe { self.machine.port_read(DATA) }
        })
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
