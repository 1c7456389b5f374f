//! The one door to hardware.
//!
//! [`Memory`] is RAM by physical address, [`Context`] what threads and programs have of a CPU,
//! [`Machine`] the CPUs and devices around them. All are
//! sealed and their methods are `unsafe`: safe code reaches a machine only through the
//! intrinsics. Everything that checks is generic over them, so the code that runs on hardware is,
//! monomorphised, the code that the model tests drive.

use crate::address::{Frame, FrameRange, Page, PhysAddr, VirtAddr};
use crate::interrupt::Handlers;
use crate::io::{Claims, Register};
use crate::mmu::PagingMode;
use crate::observer::Observer;
use core::mem::MaybeUninit;

#[cfg(feature = "emulated")]
pub mod bare;
#[cfg(feature = "emulated")]
pub mod emulated;
#[cfg(feature = "emulated")]
pub use emulated::Emulated;
#[cfg(all(target_arch = "x86", target_os = "none"))]
pub mod i386;
#[cfg(all(target_arch = "x86", target_os = "none"))]
pub use i386::I386;
mod context;
#[cfg(any(feature = "emulated", all(target_arch = "x86", target_os = "none")))]
mod native;

pub use context::Context;

pub(crate) mod sealed {
    /// Keeps [`Memory`](super::Memory), [`Machine`](super::Machine) and
    /// [`Word`](super::Word) from being implemented elsewhere.
    pub trait Sealed {}
}

/// What one access to RAM or to a device moves: `u8`, `u16`, `u32`, or `u64` for RAM only.
pub trait Word: sealed::Sealed + Copy + Eq + core::fmt::Debug + Into<u64> + 'static {
    /// Its size in bytes.
    const BYTES: u32;
    /// All bits clear.
    const ZERO: Self;
    /// The low bits of `value`.
    fn low_bits_of(value: u64) -> Self;
}

macro_rules! word {
    ($($name:ty),*) => {$(
        impl sealed::Sealed for $name {}
        impl Word for $name {
            #[expect(clippy::as_conversions, reason = "the size of a primitive, and the low bits wanted")]
            const BYTES: u32 = size_of::<$name>() as u32;
            const ZERO: Self = 0;
            #[allow(clippy::as_conversions, reason = "the low bits are what is wanted")]
            fn low_bits_of(value: u64) -> Self {
                value as $name
            }
        }
    )*};
}
word!(u8, u16, u32, u64);

/// A CPU, by its number: 0 is the one that boots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Cpu(u32);

impl Cpu {
    /// The most CPUs that the library keeps state for.
    pub const LIMIT: u32 = 32;

    /// The CPU with this number, or `None` from [`LIMIT`](Self::LIMIT) on.
    pub const fn new(number: u32) -> Option<Self> {
        if number < Self::LIMIT { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// RAM by physical address. `W` is `u32` or `u64`; every access is atomic.
///
/// Reads acquire, writes release, read-modify-writes do both and are totally ordered, as on x86.
///
/// # Safety of every method
///
/// 1. The bytes lie in RAM and the address is a multiple of their size.
/// 2. They belong to the library, or the caller holds the frame: `BUSY`, or a count that lets it
///    do this access. So no Rust reference to them exists and no table that they hold changes
///    against the invariants.
#[expect(clippy::missing_safety_doc, reason = "one list, on the trait, holds for every method")]
pub trait Memory: sealed::Sealed {
    /// The value at `at`.
    unsafe fn load<W: Word>(&self, at: PhysAddr) -> W;
    /// Writes `value`.
    unsafe fn store<W: Word>(&self, at: PhysAddr, value: W);
    /// Writes `value` and returns what stood there.
    unsafe fn exchange<W: Word>(&self, at: PhysAddr, value: W) -> W;
    /// Writes `new` if `old` stands there, else says what does.
    unsafe fn compare_exchange<W: Word>(&self, at: PhysAddr, old: W, new: W) -> Result<W, W>;
    /// Adds `value`, wrapping, and returns what stood there.
    unsafe fn fetch_add(&self, at: PhysAddr, value: u32) -> u32;
    /// Fills the frame with zeroes.
    unsafe fn zero(&self, frame: Frame);
}

/// The CPUs and devices around a [`Memory`].
///
/// Only this library has one, or makes one:
///
/// ```compile_fail,E0603
/// struct Mine;
/// impl sva_os::machine::sealed::Sealed for Mine {}
/// ```
/// ```compile_fail,E0277
/// struct Mine;
/// impl sva_os::machine::Memory for Mine {}
/// ```
///
/// # Safety of every method
///
/// The method's own words; where it reads or writes memory, also the list of [`Memory`].
#[expect(clippy::missing_safety_doc, reason = "each method says in its first lines what it asks")]
pub trait Machine: Memory + Context {
    /// The paging mode that its CPUs run in.
    type Mode: PagingMode;

    /// Whether there is only one such machine in the program. Then every name that the library gave out is one of
    /// this machine, and need not be asked where it comes from.
    const IS_ALONE: bool;

    /// The CPU that asks. Stays true only while interrupts are off.
    fn cpu(&self) -> Cpu;

    /// How many CPUs run, 1 to [`Cpu::LIMIT`]; their numbers start at 0.
    fn cpus(&self) -> u32;

    /// Clears IF on this CPU and says whether it was set.
    fn interrupts_off(&self) -> bool;

    /// Waits for an interrupt with IF set; clears IF.
    ///
    /// Only while no handler runs on this CPU.
    unsafe fn wait(&self);

    /// Sets IF on this CPU.
    ///
    /// Only to undo an [`interrupts_off`](Self::interrupts_off) that found it set, or for the client, while
    /// no handler runs on this CPU.
    unsafe fn interrupts_on(&self);

    /// Makes `cpu`, another than this one, call `run` with its interrupts off, soon after it has
    /// them on. May return before that, and may do nothing while that CPU has them off: ask again.
    ///
    /// `run` is the library's own handler for this request.
    unsafe fn interrupt(&self, cpu: Cpu, run: &dyn Fn());

    /// Claims the machine for the one instance of the library. `false` if it is claimed already.
    fn claim(&self) -> bool;

    /// Sets the control registers of this CPU to what the library states (nothing is merged with
    /// what stood there), loads `root`, and drops every cached translation, global ones too.
    ///
    /// `root` is complete and nothing changes its kernel half.
    unsafe fn take_over(&self, root: Frame);

    /// The frame that this CPU's CR3 names.
    fn root(&self) -> Frame;

    /// Loads CR3 of this CPU with the start of `root`, low bits zero. Drops every cached
    /// translation that is not global and every cached structure entry of this CPU, and loads
    /// the PDPTE registers in PAE mode.
    ///
    /// `root` is a root and is counted for this CPU, or sealed.
    unsafe fn load_root(&self, root: Frame);

    /// INVLPG: drops this CPU's cached translations of `page`, and its cached structure entries.
    fn invalidate_page(&self, page: Page);

    /// Copies the bytes from `from` on to `to`. They do not pass the end of their frame.
    unsafe fn copy_out(&self, from: PhysAddr, to: &mut [u8]);

    /// Copies `from` to the bytes from `to` on. They do not pass the end of their frame.
    unsafe fn copy_in(&self, to: PhysAddr, from: &[u8]);

    /// Copies all bytes of frame `from` to frame `to`.
    unsafe fn copy_frame(&self, from: Frame, to: Frame);

    /// The memory of `frames` as Rust sees it, to be borrowed as long as the frames are held.
    ///
    /// Nobody else reads or writes the frames while a borrow made from this lives.
    unsafe fn lend(&self, frames: FrameRange) -> *mut [MaybeUninit<u8>];

    /// As [`lend`](Self::lend), for ever.
    unsafe fn grant(&self, frames: FrameRange) -> &'static mut [MaybeUninit<u8>];

    /// Who has which I/O port.
    fn claims(&self) -> &Claims;

    /// Reads `W` from an I/O port. The caller owns the port, and those behind it that `W` reaches.
    unsafe fn port_read<W: Register>(&self, port: u16) -> W;

    /// Writes `value` to an I/O port. The caller owns the port, and those behind it that `W` reaches.
    unsafe fn port_write<W: Register>(&self, port: u16, value: W);

    /// Reads the port into every place of `values`, one after the other (INS). The caller owns the port, as for
    /// [`port_read`](Self::port_read).
    unsafe fn port_read_all<W: Register>(&self, port: u16, values: &mut [W]) {
        for value in values {
            // SAFETY: the caller's.
            *value = unsafe { self.port_read(port) };
        }
    }

    /// Writes every one of `values` to the port, one after the other (OUTS). The caller owns the port, as for
    /// [`port_write`](Self::port_write).
    unsafe fn port_write_all<W: Register>(&self, port: u16, values: &[W]) {
        for value in values {
            // SAFETY: the caller's.
            unsafe { self.port_write(port, *value) }
        }
    }

    /// Reads a device register, which lies at `bus` and is mapped at `at`. The caller owns the register, its mapping is
    /// present and uncached.
    unsafe fn device_read<W: Register>(&self, at: VirtAddr, bus: PhysAddr) -> W;

    /// Writes `value` to a device register, as for [`device_read`](Self::device_read).
    unsafe fn device_write<W: Register>(&self, at: VirtAddr, bus: PhysAddr, value: W);

    /// RDTSC; `None` where the CPU has none.
    fn time_stamp(&self) -> Option<u64>;

    /// The handlers of its interrupts, and what each CPU is in the middle of.
    fn handlers(&self) -> &Handlers;

    /// Who is told of refusals.
    fn observer(&self) -> &Observer;

    /// Says `words` on the library's console, which takes no lock.
    fn report(&self, words: core::fmt::Arguments<'_>);

    /// Stops every CPU: the library found its own state broken, and to go on would break the promise.
    fn stop(&self, why: &'static str) -> !;
}
