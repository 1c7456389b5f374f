//! The registers of a device, as its driver sees them.

use sva_os::io::PortRange;
use sva_os::machine::Machine;

/// Registers of eight bits, by their offset from the first, and ports of sixteen through which data flow.
///
/// On hardware this is a claimed [`PortRange`]. For a test it is a device that the test plays.
pub trait Registers {
    /// Reads the register at `offset`; ones, if there is none.
    fn read(&mut self, offset: u16) -> u8;

    /// Writes the register at `offset`; nothing happens if there is none.
    fn write(&mut self, offset: u16, value: u8);

    /// Reads a word from the port at `offset` for each place of `words`; ones, if there is none.
    fn read_words(&mut self, offset: u16, words: &mut [u16]);

    /// Writes each of `words` to the port at `offset`; nothing happens if there is none.
    fn write_words(&mut self, offset: u16, words: &[u16]);
}

impl<M: Machine> Registers for PortRange<'_, M> {
    fn read(&mut self, offset: u16) -> u8 {
        PortRange::read(self, offset).unwrap_or(u8::MAX)
    }

    fn write(&mut self, offset: u16, value: u8) {
        _ = PortRange::write(self, offset, value);
    }

    fn read_words(&mut self, offset: u16, words: &mut [u16]) {
        match self.port::<u16>(offset) {
            Ok(port) => port.read_all(words),
            Err(_) => words.fill(u16::MAX),
        }
    }

    fn write_words(&mut self, offset: u16, words: &[u16]) {
        if let Ok(port) = self.port::<u16>(offset) {
            port.write_all(words);
        }
    }
}

#[cfg(test)]
mod tests;
