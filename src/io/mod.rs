//! I/O ports: who may reach which, and the few that the library drives itself.
//!
//! A port is a door into a device. Behind some doors lies a DMA engine, the interrupt controller's
//! vectors, or the machine's reset line, so **everything is refused that the [policy] does not
//! offer**. What it offers is [claimed](Io::claim) range by range. A [`PortRange`] is the only way to
//! its ports while it lives: each of its accesses is checked against its end, and those of a
//! [`Port`] made from it need no check at all.
//!
//! What every kernel needs of the rest has a name: [`delay`](Io::delay), [`reset`](Io::reset),
//! [`power_off`](Io::power_off), [`cmos`](Io::cmos), [`sound`](Io::sound), the [keyboard](Io::keyboard), and the
//! [bus](pci).
//!
//! | question | answered in |
//! |---|---|
//! | may safe code have these ports? | [`policy`] |
//! | does somebody have them? | [`Claims`] |
//! | does this access stay inside? | [`PortRange`] |

mod access;
mod claims;
pub(crate) mod clock;
pub(crate) mod devices;
mod dma;
mod keyboard;
mod lent;
mod mmio;
mod named;
pub mod pci;
pub mod policy;
mod ports;
mod register;
#[cfg(feature = "log")]
mod serial_log;
mod speaker;
#[cfg(feature = "uart")]
mod uart;
pub(crate) mod window;

pub use access::{Access, ReadOnly, ReadWrite, Readable, Writable, WriteOnly};
pub use claims::Claims;
pub use devices::{Devices, MemoryRow, OFFERED_MEMORY};
pub use dma::DmaBuffer;
pub use keyboard::Keyboard;
pub use lent::LentRegion;
pub use mmio::{Mmio, MmioRegion};
pub use ports::{Port, PortRange};
pub use register::Register;
#[cfg(feature = "log")]
pub use serial_log::SerialLog;
#[cfg(feature = "uart")]
pub use uart::{Uart, UartPorts};

use crate::interrupt::quiet::Quiet;
use crate::machine::Machine;
use crate::observer::observed;
use crate::violation::Violation;
use claims::Ports;

/// The devices of a machine: a name for them, which anybody may copy.
pub struct Io<'m, M: Machine> {
    machine: &'m M,
}

impl<M: Machine> Clone for Io<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Machine> Copy for Io<'_, M> {}

impl<M: Machine> core::fmt::Debug for Io<'_, M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Io")
    }
}

impl<'m, M: Machine> Io<'m, M> {
    pub(crate) const fn new(machine: &'m M) -> Self {
        Self { machine }
    }

    /// Claims `count` ports from `first` on, all of which lie in one row of the
    /// [policy](policy::OFFERED).
    ///
    /// # Errors
    ///
    /// [`NoPorts`](Violation::NoPorts) if `count` is 0, [`PastLastPort`](Violation::PastLastPort)
    /// if the range passes port 0xffff; of the first port that is refused,
    /// [`PortNotOffered`](Violation::PortNotOffered) or [`PortTaken`](Violation::PortTaken).
    ///
    /// # Checks
    ///
    /// The range does not wrap, the policy offers every port of it, and nobody has one of them. Of
    /// claims that race for ports one succeeds; another may be refused for one that is itself refused,
    /// and be tried again. Attacks P1 to P3.
    pub fn claim(self, first: u16, count: u32) -> Result<PortRange<'m, M>, Violation> {
        let ports = Ports::new(first, count).and_then(|ports| policy::check(ports).map(|()| ports));
        observed(self.machine, ports.and_then(|ports| self.take(ports)))
    }

    /// Claims `ports`, whatever the policy says of them.
    fn take(self, ports: Ports) -> Result<PortRange<'m, M>, Violation> {
        let _quiet = Quiet::new(self.machine);
        self.machine.claims().take(ports)?;
        Ok(PortRange::new(self.machine, ports))
    }
}
