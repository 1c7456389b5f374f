//! Ports of one owner.

use super::Register;
use super::access::{Access, ReadOnly, ReadWrite, Readable, Writable, WriteOnly};
use super::claims::Ports;
use crate::interrupt::quiet::Quiet;
use crate::machine::Machine;
use crate::observer::observed;
use crate::violation::Violation;
use core::fmt;
use core::marker::PhantomData;

/// Ports that nobody else reaches while this lives. Dropping it releases them; forgetting it leaks
/// the claim, and nothing else.
///
/// An access names its port by the offset from the first. The data sheet says how wide a register is;
/// a wider access is one to the ports behind it too, and refused if these lie outside.
///
/// ```
/// # #[cfg(feature = "emulated")] {
/// # use sva_os::{address::*, layout::*, machine::{Emulated, emulated::Config}, memory_map::*, mmu::Pae};
/// # let frame = |number: u32| Frame::new(number).unwrap();
/// # let page = |number: u32| Page::new(number).unwrap();
/// # let ram = [Region { start: 0, length: 64 << 12, usage: Usage::Available }];
/// # let text = FrameRange::new(frame(1), 1).unwrap();
/// # let layout = Layout {
/// #     image: &[Segment { first: page(0xc0001), frames: text, role: Role::Text }],
/// #     user: PageRange::new(page(0), 0xc0000).unwrap(),
/// #     direct_map: DirectMap { first: page(0xc0000), frames: FrameRange::new(frame(0), 64).unwrap() },
/// #     stacks: PageRange::EMPTY,
/// #     devices: PageRange::EMPTY,
/// #     in_use: &[],
/// # };
/// # let sva = sva_os::Sva::emulate(Emulated::<Pae>::new(&Config::new(64, 1)), &layout, &ram).unwrap();
/// use sva_os::Violation;
///
/// # fn main(sva: &sva_os::Sva<Emulated<Pae>>) -> Result<(), Violation> {
/// let com1 = sva.io().claim(0x3f8, 8)?;
/// com1.write(0, b'A')?;
///
/// // A port whose offset is known costs one check, when it is made.
/// let line_status = com1.port::<u8>(5)?;
/// while line_status.read() & 1 << 5 == 0 {}
///
/// // The last port is a byte; the second claim would share ports; the interrupt controller is nobody's.
/// assert_eq!(com1.read::<u16>(7), Err(Violation::OutsidePorts(7)));
/// assert_eq!(sva.io().claim(0x3fa, 1).err(), Some(Violation::PortTaken(0x3fa)));
/// assert_eq!(sva.io().claim(0x20, 2).err(), Some(Violation::PortNotOffered(0x20)));
/// # Ok(()) }
/// # main(&sva).unwrap();
/// # }
/// ```
///
/// A register has 8, 16 or 32 bits, and a range has one owner:
///
/// ```
/// # use sva_os::{io::PortRange, machine::Machine};
/// fn register<M: Machine>(range: PortRange<'_, M>) -> PortRange<'_, M> {
///     _ = range.read::<u32>(0);
///     range
/// }
/// ```
/// ```compile_fail,E0277
/// # use sva_os::{io::PortRange, machine::Machine};
/// fn register<M: Machine>(range: PortRange<'_, M>) -> PortRange<'_, M> {
///     _ = range.read::<u64>(0);
///     range
/// }
/// ```
/// ```compile_fail,E0599
/// # use sva_os::{io::PortRange, machine::Machine};
/// fn register<M: Machine>(range: PortRange<'_, M>) -> PortRange<'_, M> {
///     _ = range.read::<u32>(0);
///     range.clone()
/// }
/// ```
///
/// And a port does not outlive it:
///
/// ```compile_fail,E0505
/// # use sva_os::{io::PortRange, machine::Machine};
/// fn register<M: Machine>(range: PortRange<'_, M>) {
///     let port = range.port::<u8>(0).unwrap();
///     drop(range);
///     port.read();
/// }
/// ```
#[must_use]
pub struct PortRange<'m, M: Machine> {
    machine: &'m M,
    ports: Ports,
}

impl<'m, M: Machine> PortRange<'m, M> {
    /// `ports` were taken just now, and nobody else has a range of them.
    pub(super) const fn new(machine: &'m M, ports: Ports) -> Self {
        Self { machine, ports }
    }

    #[cfg(feature = "log")]
    pub(super) const fn machine(&self) -> &'m M {
        self.machine
    }

    /// The first port.
    pub const fn first(&self) -> u16 {
        self.ports.first()
    }

    /// How many there are: 1 to 2^16.
    pub const fn count(&self) -> u32 {
        self.ports.count()
    }

    /// Reads the register at `offset` from the first port.
    ///
    /// # Errors
    ///
    /// [`OutsidePorts`](Violation::OutsidePorts) if a byte of it lies outside.
    ///
    /// # Checks
    ///
    /// The last byte's offset, in 32 bits, so nothing wraps. Attack P1.
    #[inline(always)]
    pub fn read<W: Register>(&self, offset: u16) -> Result<W, Violation> {
        self.port(offset).map(Port::read)
    }

    /// Writes the register at `offset` from the first port.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Checks
    ///
    /// As [`read`](Self::read).
    #[inline(always)]
    pub fn write<W: Register>(&self, offset: u16, value: W) -> Result<(), Violation> {
        self.port(offset).map(|port: Port<'_, M, W>| port.write(value))
    }

    /// The register at `offset` from the first port, to be read and written without more checks.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Checks
    ///
    /// As [`read`](Self::read), once; it borrows the range, which nobody can release meanwhile.
    #[inline(always)]
    pub fn port<W: Register>(&self, offset: u16) -> Result<Port<'_, M, W>, Violation> {
        let end = u32::from(offset).wrapping_add(W::BYTES);
        if !cfg!(sva_os_unchecked) && end > self.ports.count() {
            return outside(self.machine, offset);
        }
        Ok(Port { machine: self.machine, number: self.first().wrapping_add(offset), form: PhantomData })
    }

    /// Splits the range in two: the ports from offset `at` on become one of their own.
    ///
    /// # Errors
    ///
    /// [`OutsidePorts`](Violation::OutsidePorts) if one of the two would be empty.
    ///
    /// # Checks
    ///
    /// `at` lies inside; no [`Port`] of the range is left, by the borrow.
    pub fn split_off(&mut self, at: u16) -> Result<Self, Violation> {
        let Some((low, high)) = self.ports.split(at) else {
            return outside(self.machine, at);
        };
        self.ports = low;
        Ok(Self { machine: self.machine, ports: high })
    }
}

/// Keeps the refusal out of the way of the access.
#[cold]
fn outside<M: Machine, T>(machine: &M, offset: u16) -> Result<T, Violation> {
    observed(machine, Err(Violation::OutsidePorts(offset.into())))
}

impl<M: Machine> Drop for PortRange<'_, M> {
    fn drop(&mut self) {
        let _quiet = Quiet::new(self.machine);
        if !self.machine.claims().release(self.ports) {
            self.machine.stop("ports were released under their owner")
        }
    }
}

impl<M: Machine> fmt::Debug for PortRange<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ports {:#06x} to {:#06x}", self.ports.first(), self.ports.last())
    }
}

/// One register of a [`PortRange`], of the width `W`, to be read, written or both, as `A` says.
///
/// ```
/// # use sva_os::{io::{Port, PortRange, ReadOnly, WriteOnly}, machine::Machine, Violation};
/// struct Line<'r, M: Machine> {
///     status: Port<'r, M, u8, ReadOnly>,
///     data: Port<'r, M, u8, WriteOnly>,
/// }
///
/// fn line<'r, M: Machine>(range: &'r PortRange<'_, M>) -> Result<Line<'r, M>, Violation> {
///     Ok(Line { status: range.port(5)?.read_only(), data: range.port(0)?.write_only() })
/// }
/// ```
/// ```compile_fail,E0599
/// # use sva_os::{io::{Port, ReadOnly}, machine::Machine};
/// fn write<M: Machine>(status: Port<'_, M, u8, ReadOnly>) {
///     status.write(0);
/// }
/// ```
pub struct Port<'r, M: Machine, W: Register, A: Access = ReadWrite> {
    machine: &'r M,
    number: u16,
    form: PhantomData<(W, A)>,
}

impl<'r, M: Machine, W: Register> Port<'r, M, W> {
    /// The same register, to be read alone.
    pub const fn read_only(self) -> Port<'r, M, W, ReadOnly> {
        Port { machine: self.machine, number: self.number, form: PhantomData }
    }

    /// The same register, to be written alone.
    pub const fn write_only(self) -> Port<'r, M, W, WriteOnly> {
        Port { machine: self.machine, number: self.number, form: PhantomData }
    }
}

impl<M: Machine, W: Register, A: Access> Port<'_, M, W, A> {
    /// The port's number.
    pub const fn number(self) -> u16 {
        self.number
    }
}

impl<M: Machine, W: Register, A: Readable> Port<'_, M, W, A> {
    /// Reads the register.
    #[inline(always)]
    pub fn read(self) -> W {
        // SAFETY: `PortRange::port` made this. It found every byte of the register inside the range,
        // which is borrowed, so the ports are still its owner's.
        unsafe { self.machine.port_read(self.number) }
    }

    /// Reads the register once for every place of `values` (INS).
    pub fn read_all(self, values: &mut [W]) {
        // SAFETY: as in `read`.
        unsafe { self.machine.port_read_all(self.number, values) }
    }
}

impl<M: Machine, W: Register, A: Writable> Port<'_, M, W, A> {
    /// Writes the register.
    #[inline(always)]
    pub fn write(self, value: W) {
        // SAFETY: as in `read`.
        unsafe { self.machine.port_write(self.number, value) }
    }

    /// Writes every one of `values` to the register (OUTS).
    pub fn write_all(self, values: &[W]) {
        // SAFETY: as in `read`.
        unsafe { self.machine.port_write_all(self.number, values) }
    }
}

impl<M: Machine, W: Register, A: Access> Clone for Port<'_, M, W, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Machine, W: Register, A: Access> Copy for Port<'_, M, W, A> {}

impl<M: Machine, W: Register, A: Access> fmt::Debug for Port<'_, M, W, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {:#06x}, {} bytes", self.number, W::BYTES)
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
