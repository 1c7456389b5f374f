//! Serial ports, driven by the crate `uart_16550` over claimed ports.

use super::{Io, PortRange};
use crate::machine::Machine;
use crate::violation::Violation;
use uart_16550::Uart16550;
use uart_16550::backend::Backend;

/// The registers of a 16550.
const REGISTERS: u32 = 8;
const _: () = assert!(uart_16550::spec::NUM_REGISTERS == 8);

/// A serial port. Dropping it releases its ports.
pub type Uart<'m, M> = Uart16550<UartPorts<'m, M>>;

/// The ports of a serial port, which only its driver reaches.
#[derive(Debug)]
pub struct UartPorts<'m, M: Machine>(PortRange<'m, M>);

impl<'m, M: Machine> Io<'m, M> {
    /// Claims the eight ports of a serial port from `first` on. The driver has touched nothing yet: see
    /// [`Uart16550::init`].
    ///
    /// # Errors
    ///
    /// As [`claim`](Io::claim).
    ///
    /// # Checks
    ///
    /// As [`claim`](Io::claim).
    pub fn uart(self, first: u16) -> Result<Uart<'m, M>, Violation> {
        let ports = UartPorts(self.claim(first, REGISTERS)?);
        // SAFETY: `ports` has all registers of the device, and as long as it lives nobody else does.
        Ok(unsafe { Uart16550::new_with_backend(ports) })
    }
}

#[cfg(feature = "log")]
impl<'m, M: Machine> UartPorts<'m, M> {
    /// The machine that they are of.
    pub(super) const fn machine(&self) -> &'m M {
        self.0.machine()
    }
}

impl<M: Machine> Backend for UartPorts<'_, M> {
    /// Ones, as from a bus where nothing answers, for a register that there is not.
    unsafe fn read(&mut self, register_offset: u8) -> u8 {
        self.0.read(register_offset.into()).unwrap_or(u8::MAX)
    }

    /// Nothing, for a register that there is not.
    unsafe fn write(&mut self, register_offset: u8, value: u8) {
        _ = self.0.write(register_offset.into(), value);
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
