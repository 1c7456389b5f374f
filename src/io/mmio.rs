//! Memory-mapped registers of one owner.

use super::Register;
use super::access::{Access, ReadOnly, ReadWrite, Readable, Writable, WriteOnly};
use crate::address::{FRAME_BYTES, FrameRange, PageRange, PhysAddr, VirtAddr, widen};
use crate::machine::Machine;
use crate::mmu::kernel_half::Expected;
use crate::observer::observed;
use crate::sva::Sva;
use crate::violation::Violation;
use core::fmt;
use core::marker::PhantomData;

/// Registers that nobody else reaches while this lives, mapped for the kernel alone, uncached. Dropping it unmaps them;
/// forgetting it leaks the claim, and nothing else. There is no reference to them.
///
/// An access names its register by the offset from the first byte, and is as wide as the data sheet says.
///
/// ```
/// # use sva_os::{io::MmioRegion, machine::Machine, Violation};
/// /// Writes `text` in light grey to a VGA text screen.
/// fn write<M: Machine>(screen: &MmioRegion<'_, M>, text: &[u8]) -> Result<(), Violation> {
///     for (cell, byte) in (0x1_8000..).step_by(2).zip(text) {
///         screen.write::<u16>(cell, 0x0700 | u16::from(*byte))?;
///     }
///     Ok(())
/// }
/// ```
///
/// A register has 8, 16 or 32 bits, a region has one owner, and a register does not outlive it:
///
/// ```compile_fail,E0277
/// # use sva_os::{io::MmioRegion, machine::Machine};
/// fn register<M: Machine>(region: MmioRegion<'_, M>) {
///     _ = region.read::<u64>(0);
/// }
/// ```
/// ```compile_fail,E0599
/// # use sva_os::{io::MmioRegion, machine::Machine};
/// fn twice<'s, M: Machine>(region: &MmioRegion<'s, M>) -> MmioRegion<'s, M> {
///     region.clone()
/// }
/// ```
/// ```compile_fail,E0505
/// # use sva_os::{io::MmioRegion, machine::Machine};
/// fn register<M: Machine>(region: MmioRegion<'_, M>) {
///     let register = region.register::<u8>(0).unwrap();
///     drop(region);
///     register.read();
/// }
/// ```
#[must_use]
pub struct MmioRegion<'s, M: Machine> {
    pub(super) sva: &'s Sva<M>,
    /// Where its first byte is mapped, and where that lies on the bus.
    at: VirtAddr,
    bus: PhysAddr,
    length: u32,
}

impl<'s, M: Machine> MmioRegion<'s, M> {
    /// Maps `pages` of the window for devices to the frames from that of `bus` on.
    ///
    /// `pages` were taken just now, for frames that hold all of the `length` bytes from `bus` on; these are no RAM, and
    /// whoever writes them makes no device reach RAM. `bus` and `length` are multiples of 4.
    pub(super) fn new(sva: &'s Sva<M>, pages: PageRange, bus: PhysAddr, length: u32) -> Self {
        let frames = FrameRange::new(bus.containing(), pages.count()).unwrap_or(FrameRange::EMPTY);
        for (page, frame) in pages.iter().zip(frames.iter()) {
            // SAFETY: the pages were taken just now.
            unsafe { sva.set_kernel_leaf(page, Expected::Device(frame)) }
        }
        Self { sva, at: later(pages.first().start(), bus.offset()), bus, length }
    }

    /// Where its first byte lies on the bus.
    pub const fn start(&self) -> PhysAddr {
        self.bus
    }

    /// How many bytes it has.
    pub const fn length(&self) -> u32 {
        self.length
    }

    /// Reads the register at `offset` from the first byte.
    ///
    /// # Errors
    ///
    /// [`OutsideRegion`](Violation::OutsideRegion) if a byte of it lies outside, or `offset` is no multiple of its width.
    ///
    /// # Checks
    ///
    /// The offset alone, so nothing wraps: a region is a multiple of any register long. Attack P8.
    #[inline(always)]
    pub fn read<W: Register>(&self, offset: u32) -> Result<W, Violation> {
        self.register(offset).map(Mmio::read)
    }

    /// Writes the register at `offset` from the first byte.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Checks
    ///
    /// As [`read`](Self::read).
    #[inline(always)]
    pub fn write<W: Register>(&self, offset: u32, value: W) -> Result<(), Violation> {
        self.register(offset).map(|register: Mmio<'_, M, W>| register.write(value))
    }

    /// Reads the registers that lie one behind the other from `offset` on, one for each place of `values`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), if one of them lies outside; then nothing was read.
    ///
    /// # Checks
    ///
    /// As [`read`](Self::read), of the first and the last.
    pub fn read_each<W: Register>(&self, offset: u32, values: &mut [W]) -> Result<(), Violation> {
        let registers = self.registers(offset, values.len())?;
        for (register, value) in registers.zip(values) {
            *value = register.read();
        }
        Ok(())
    }

    /// Writes each of `values` to the registers that lie one behind the other from `offset` on.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), if one of them lies outside; then nothing was written.
    ///
    /// # Checks
    ///
    /// As [`read_each`](Self::read_each).
    pub fn write_each<W: Register>(&self, offset: u32, values: &[W]) -> Result<(), Violation> {
        for (register, value) in self.registers(offset, values.len())?.zip(values) {
            register.write(*value);
        }
        Ok(())
    }

    /// `count` registers from `offset` on, all of them inside.
    fn registers<W: Register>(
        &self,
        offset: u32,
        count: usize,
    ) -> Result<impl Iterator<Item = Mmio<'_, M, W>>, Violation> {
        let bytes = u32::try_from(count).ok().and_then(|count| count.checked_mul(W::BYTES));
        let end = bytes.and_then(|bytes| offset.checked_add(bytes)).unwrap_or(u32::MAX);
        if !cfg!(sva_os_unchecked) && (end > self.length || offset & W::BYTES.wrapping_sub(1) != 0) {
            return outside(self.sva, offset);
        }
        let step = widen(W::BYTES);
        Ok((offset..end).step_by(step).map(|offset| self.unchecked(offset)))
    }

    /// The register at `offset` from the first byte, to be read and written without more checks.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Checks
    ///
    /// As [`read`](Self::read), once; it borrows the region, which nobody can release meanwhile.
    #[inline(always)]
    pub fn register<W: Register>(&self, offset: u32) -> Result<Mmio<'_, M, W>, Violation> {
        // The length is a multiple of any register's width: one that begins inside at such a multiple ends inside.
        if !cfg!(sva_os_unchecked) && (offset >= self.length || offset & W::BYTES.wrapping_sub(1) != 0) {
            return outside(self.sva, offset);
        }
        Ok(self.unchecked(offset))
    }

    /// The register at `offset`, of which the caller knows that it lies inside.
    #[inline(always)]
    fn unchecked<W: Register>(&self, offset: u32) -> Mmio<'_, M, W> {
        let (at, bus) = (later(self.at, offset), self.bus.plus(offset));
        Mmio { machine: &self.sva.machine, at, bus, form: PhantomData }
    }

    /// The pages at which it is mapped.
    pub(super) fn pages(&self) -> PageRange {
        let pages = self.at.offset().wrapping_add(self.length).div_ceil(FRAME_BYTES);
        PageRange::new(self.at.containing(), pages).unwrap_or(PageRange::EMPTY)
    }
}

/// The address `bytes` further on, in the window for devices.
#[inline(always)]
const fn later(at: VirtAddr, bytes: u32) -> VirtAddr {
    VirtAddr::new(at.get().wrapping_add(bytes))
}

/// Keeps the refusal out of the way of the access.
#[cold]
fn outside<M: Machine, T>(sva: &Sva<M>, offset: u32) -> Result<T, Violation> {
    observed(&sva.machine, Err(Violation::OutsideRegion(offset)))
}

impl<M: Machine> Drop for MmioRegion<'_, M> {
    /// The pages are another's only when every CPU has forgotten them. No lock is held: they are this region's until then.
    fn drop(&mut self) {
        let _quiet = self.sva.quiet();
        let pages = self.pages();
        for page in pages.iter() {
            // SAFETY: the pages are this region's until they are released.
            unsafe { self.sva.set_kernel_leaf(page, Expected::Empty) }
        }
        self.sva.flush_since(self.sva.clock.now(&self.sva.machine));
        self.sva.half.devices.release(&self.sva.machine, pages);
    }
}

impl<M: Machine> fmt::Debug for MmioRegion<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} bytes of registers at {}", self.length, self.bus)
    }
}

/// One register of a [`MmioRegion`], of the width `W`, to be read, written or both, as `A` says.
pub struct Mmio<'r, M: Machine, W: Register, A: Access = ReadWrite> {
    machine: &'r M,
    at: VirtAddr,
    bus: PhysAddr,
    form: PhantomData<(W, A)>,
}

impl<'r, M: Machine, W: Register> Mmio<'r, M, W> {
    /// The same register, to be read alone.
    pub const fn read_only(self) -> Mmio<'r, M, W, ReadOnly> {
        Mmio { machine: self.machine, at: self.at, bus: self.bus, form: PhantomData }
    }

    /// The same register, to be written alone.
    pub const fn write_only(self) -> Mmio<'r, M, W, WriteOnly> {
        Mmio { machine: self.machine, at: self.at, bus: self.bus, form: PhantomData }
    }
}

impl<M: Machine, W: Register, A: Access> Mmio<'_, M, W, A> {
    /// Where it lies on the bus.
    pub const fn address(self) -> PhysAddr {
        self.bus
    }
}

impl<M: Machine, W: Register, A: Readable> Mmio<'_, M, W, A> {
    /// Reads the register.
    #[inline(always)]
    pub fn read(self) -> W {
        // SAFETY: `MmioRegion` made this. It found every byte of the register inside the region, which is borrowed, so
        // it is still mapped, and its owner's.
        unsafe { self.machine.device_read(self.at, self.bus) }
    }
}

impl<M: Machine, W: Register, A: Writable> Mmio<'_, M, W, A> {
    /// Writes the register.
    #[inline(always)]
    pub fn write(self, value: W) {
        // SAFETY: as in `read`.
        unsafe { self.machine.device_write(self.at, self.bus, value) }
    }
}

impl<M: Machine, W: Register, A: Access> Clone for Mmio<'_, M, W, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Machine, W: Register, A: Access> Copy for Mmio<'_, M, W, A> {}

impl<M: Machine, W: Register, A: Access> fmt::Debug for Mmio<'_, M, W, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "register at {}, {} bytes", self.bus, W::BYTES)
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
