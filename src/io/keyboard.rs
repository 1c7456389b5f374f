//! The 8042: keyboard and mouse, without what resets the machine or moves address line 20.
//!
//! Its command port also takes commands that pulse the CPU's reset line (F0 to FF) or write an output port with that
//! line and address line 20 on it (D1, DD, DF). So commands are an allow-list, and the two ports are nobody's: a
//! [`Keyboard`] is the one way to them.

use super::Io;
use super::claims::Ports;
use super::ports::PortRange;
use crate::machine::Machine;
use crate::observer::observed;
use crate::violation::Violation;

/// Data, and three ports on, the status when read, a command when written. Between them is the speaker's gate, which is not the 8042's.
const DATA: u16 = 0x60;
pub(super) const COMMAND: u16 = 0x64;

/// The commands that are let through (IBM PS/2 technical reference): read and write the configuration byte, disable,
/// enable and test the mouse's interface, test the controller and the keyboard's interface, disable and enable the
/// keyboard, and send the next byte to the mouse.
const COMMANDS: [u8; 10] = [0x20, 0x60, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xad, 0xae, 0xd4];

/// The keyboard controller. Dropping it gives it back.
#[derive(Debug)]
pub struct Keyboard<'m, M: Machine> {
    data: PortRange<'m, M>,
    command: PortRange<'m, M>,
    machine: &'m M,
}

impl<'m, M: Machine> Io<'m, M> {
    /// Claims the keyboard controller.
    ///
    /// # Errors
    ///
    /// [`PortTaken`](Violation::PortTaken).
    ///
    /// # Checks
    ///
    /// Nobody has it. Attack P2.
    pub fn keyboard(self) -> Result<Keyboard<'m, M>, Violation> {
        let take = |port| Ports::new(port, 1).and_then(|ports| self.take(ports));
        let both = take(DATA).and_then(|data| take(COMMAND).map(|command| (data, command)));
        let (data, command) = observed(self.machine, both)?;
        Ok(Keyboard { data, command, machine: self.machine })
    }
}

impl<M: Machine> Keyboard<'_, M> {
    /// The status register. Bit 0: a byte is there to be read; bit 1: the last byte written was not taken yet.
    pub fn status(&self) -> u8 {
        self.command.read(0).unwrap_or(u8::MAX)
    }

    /// The byte that is there.
    pub fn read(&self) -> u8 {
        self.data.read(0).unwrap_or(u8::MAX)
    }

    /// Sends `byte` to the keyboard, or to where the last command said.
    pub fn write(&self, byte: u8) {
        // One port, which is claimed.
        _ = self.data.write(0, byte);
    }

    /// Sends a command to the controller.
    ///
    /// # Errors
    ///
    /// [`KeyboardCommand`](Violation::KeyboardCommand).
    ///
    /// # Checks
    ///
    /// It is one of a short list. Attack P13.
    pub fn command(&self, command: u8) -> Result<(), Violation> {
        if !COMMANDS.contains(&command) {
            return observed(self.machine, Err(Violation::KeyboardCommand(command.into())));
        }
        self.command.write(0, command)
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
