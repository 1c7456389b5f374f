//! A machine without an adversary, to count instructions on.
//!
//! [`Emulated`](super::Emulated) checks and records every access, which costs many times what the
//! intrinsics do. [`Bare`] does what hardware would do and no more: an access to RAM is that of
//! `native` at the direct map's address, and what user programs may not execute has a stand-in of as
//! many instructions:
//!
//! | hardware | here |
//! |---|---|
//! | `pushf`, `pop`, `cli` | `push`, `pop` and `mov` of a word in memory |
//! | `sti`, `mov cr3`, `invlpg` | one store |
//!
//! There is one CPU, no TLB and no device. It proves nothing about safety.

#![allow(clippy::panic, reason = "test equipment: a panic is how it reports a bug")]

use super::{Context, Cpu, Machine, native::Reached, sealed::Sealed};
use crate::address::{FRAME_BYTES, FRAME_LIMIT, Frame, FrameRange, Page, PhysAddr, VirtAddr, widen};
use crate::context::{Entry, Top, UserContext, UserTrap};
use crate::interrupt::Handlers;
use crate::interrupt::descriptor::Descriptor;
use crate::io::{Claims, Register};
use crate::layout::Layout;
use crate::memory_map::{MemoryMap, Region, Usage};
use crate::mmu::PagingMode;
use crate::observer::Observer;
use crate::sva::Sva;
use crate::violation::Violation;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{MaybeUninit, offset_of};
use core::ptr::{self, NonNull};
use std::alloc;

/// What stands in for the registers of the CPU and is not memory to it.
#[repr(C)]
struct Registers {
    /// Of EFLAGS, IF alone.
    flags: Cell<usize>,
    cr3: Cell<u32>,
    /// The operand of the last INVLPG.
    invalidated: Cell<u32>,
    claimed: Cell<bool>,
    ports: Claims,
    handlers: Handlers,
    observer: Observer,
}

/// IF in EFLAGS.
const INTERRUPT_FLAG: usize = 1 << 9;

const FRAME: usize = widen(FRAME_BYTES);
/// The bytes below RAM that the registers take: whole frames.
const BELOW: usize = size_of::<Registers>().next_multiple_of(FRAME);

/// One CPU and RAM, from physical address 0 on, in memory of the host that is never freed.
///
/// What stands in for registers lies in the frames below RAM. So the machine is no more than a
/// pointer, and the library's handle on it as plain as on hardware.
#[derive(Debug)]
pub struct Bare<P: PagingMode> {
    ram: NonNull<u8>,
    frames: u32,
    mode: PhantomData<P>,
}

impl<P: PagingMode> Bare<P> {
    /// A machine with `frames` frames of RAM, all zero, and IF set.
    ///
    /// # Errors
    ///
    /// [`RangeTooLong`](Violation::RangeTooLong) for more than 2^20 frames, or more than the host has.
    pub fn new(frames: u32) -> Result<Self, Violation> {
        let too_long = Violation::RangeTooLong(frames);
        if frames > FRAME_LIMIT {
            return Err(too_long);
        }
        let bytes =
            widen(frames).checked_mul(FRAME).and_then(|ram| ram.checked_add(BELOW)).ok_or(too_long)?;
        let layout = alloc::Layout::from_size_align(bytes, FRAME).map_err(|_| too_long)?;
        // SAFETY: the size is not zero.
        let memory = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).ok_or(too_long)?;
        let registers = Registers {
            flags: Cell::new(INTERRUPT_FLAG),
            cr3: Cell::new(0),
            invalidated: Cell::new(0),
            claimed: Cell::new(false),
            ports: Claims::new(),
            handlers: Handlers::new(),
            observer: Observer::new(),
        };
        // SAFETY: there is room for them below RAM, aligned, and nobody else reaches it.
        unsafe { memory.cast().write(registers) };
        // SAFETY: the memory is longer than RAM by that.
        Ok(Self { ram: unsafe { memory.add(BELOW) }, frames, mode: PhantomData })
    }

    #[inline(always)]
    fn registers(&self) -> &Registers {
        let registers: *const Registers = self.ram.as_ptr().wrapping_sub(BELOW).cast();
        // SAFETY: `new` wrote them there, aligned and never freed, and nothing else reaches them. `Bare` is
        // not `Sync`.
        unsafe { &*registers }
    }
}

impl<P: PagingMode> Sealed for Bare<P> {}

// SAFETY: RAM is one piece of the host's memory, never freed, and this is its only CPU.
unsafe impl<P: PagingMode> Reached for Bare<P> {
    #[inline(always)]
    fn at(&self, at: PhysAddr) -> *mut u8 {
        self.ram.as_ptr().wrapping_add(widen(at.get()))
    }
}

/// Nothing to run: its layouts have no window for stacks, and no page is mapped for users.
impl<P: PagingMode> Context for Bare<P> {
    unsafe fn prepare(&self, _top: Top, _entry: impl Entry) -> u32 {
        panic!("no threads")
    }

    unsafe fn discard(&self, _top: Top, _stack_pointer: u32) {}

    unsafe fn switch(&self, _sva: &Sva<Self>, _save: PhysAddr, _next: u32) {
        panic!("no threads")
    }

    unsafe fn enter_user(&self, _context: &mut UserContext) -> UserTrap {
        panic!("no programs")
    }

    unsafe fn load_thread_selectors(&self, _fs: u16, _gs: u16) {}

    unsafe fn set_tls(&self, _slot: u32, _segment: Descriptor) {}

    fn fault_address(&self) -> VirtAddr {
        VirtAddr::new(0)
    }

    fn has_fp(&self) -> bool {
        false
    }

    fn mxcsr_mask(&self) -> u32 {
        0
    }

    fn open_fp(&self) {}

    fn close_fp(&self) {}

    unsafe fn store_fp(&self, _at: PhysAddr) {}

    unsafe fn load_fp(&self, _at: PhysAddr) {}

    unsafe fn begin_fp(&self, _at: PhysAddr) {}

    unsafe fn copy_from_user(&self, _from: VirtAddr, _to: &mut [u8]) -> u32 {
        0
    }

    unsafe fn copy_to_user(&self, _to: VirtAddr, _from: &[u8]) -> u32 {
        0
    }

    unsafe fn zero_user(&self, _to: VirtAddr, _length: u32) -> u32 {
        0
    }

    unsafe fn copy_str_from_user(&self, _from: VirtAddr, _to: &mut [u8]) -> (u32, bool) {
        (0, false)
    }
}

impl<P: PagingMode> Machine for Bare<P> {
    type Mode = P;
    const IS_ALONE: bool = false;

    #[inline(always)]
    fn cpu(&self) -> Cpu {
        const { Cpu::new(0).unwrap() }
    }

    #[inline(always)]
    fn cpus(&self) -> u32 {
        1
    }

    #[inline(always)]
    fn interrupts_off(&self) -> bool {
        // As on hardware no register is needed to name the flags: they are so far below RAM.
        const FLAGS: usize = BELOW - offset_of!(Registers, flags);
        let before: usize;
        #[cfg(target_arch = "x86")]
        // SAFETY: reads and writes the cell, and a word of the stack that is free.
        unsafe {
            core::arch::asm!("push dword ptr [{ram} - {flags}]", "pop {before}", "mov dword ptr [{ram} - {flags}], 0",
                ram = in(reg) self.ram.as_ptr(), flags = const FLAGS, before = out(reg) before,
                options(preserves_flags));
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: reads and writes the cell, and a word of the stack that is free.
        unsafe {
            core::arch::asm!("push qword ptr [{ram} - {flags}]", "pop {before}", "mov qword ptr [{ram} - {flags}], 0",
                ram = in(reg) self.ram.as_ptr(), flags = const FLAGS, before = out(reg) before,
                options(preserves_flags));
        }
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
        {
            before = self.registers().flags.replace(0);
        }
        before & INTERRUPT_FLAG != 0
    }

    #[inline(always)]
    unsafe fn interrupts_on(&self) {
        self.registers().flags.set(INTERRUPT_FLAG);
    }

    unsafe fn wait(&self) {}

    unsafe fn interrupt(&self, cpu: Cpu, _run: &dyn Fn()) {
        panic!("there is no CPU {}", cpu.number());
    }

    fn claim(&self) -> bool {
        !self.registers().claimed.replace(true)
    }

    unsafe fn take_over(&self, root: Frame) {
        self.registers().cr3.set(root.start().get());
    }

    #[inline(always)]
    fn root(&self) -> Frame {
        PhysAddr::new(self.registers().cr3.get()).containing()
    }

    #[inline(always)]
    unsafe fn load_root(&self, root: Frame) {
        self.registers().cr3.set(root.start().get());
    }

    #[inline(always)]
    fn invalidate_page(&self, page: Page) {
        self.registers().invalidated.set(page.start().get());
    }

    unsafe fn copy_out(&self, from: PhysAddr, to: &mut [u8]) {
        // SAFETY: the caller says that the bytes lie in RAM, where no Rust value such as `to` is.
        unsafe { ptr::copy_nonoverlapping(self.at(from), to.as_mut_ptr(), to.len()) }
    }

    unsafe fn copy_in(&self, to: PhysAddr, from: &[u8]) {
        // SAFETY: as in `copy_out`.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), self.at(to), from.len()) }
    }

    unsafe fn copy_frame(&self, from: Frame, to: Frame) {
        // SAFETY: two frames of RAM, by the caller.
        unsafe { ptr::copy(self.at(from.start()), self.at(to.start()), FRAME) }
    }

    unsafe fn lend(&self, frames: FrameRange) -> *mut [MaybeUninit<u8>] {
        self.bytes(frames)
    }

    unsafe fn grant(&self, frames: FrameRange) -> &'static mut [MaybeUninit<u8>] {
        // SAFETY: the frames lie in memory that is never freed, and the caller says that nobody
        // else reads or writes them again.
        unsafe { &mut *self.bytes(frames) }
    }

    fn claims(&self) -> &Claims {
        &self.registers().ports
    }

    /// Ones, as from a bus where nothing answers.
    unsafe fn port_read<W: Register>(&self, _port: u16) -> W {
        W::low_bits_of(u64::MAX)
    }

    unsafe fn port_write<W: Register>(&self, _port: u16, _value: W) {}

    /// Ones, as from a bus where nothing answers.
    unsafe fn device_read<W: Register>(&self, _at: VirtAddr, _bus: PhysAddr) -> W {
        W::low_bits_of(u64::MAX)
    }

    unsafe fn device_write<W: Register>(&self, _at: VirtAddr, _bus: PhysAddr, _value: W) {}

    /// There is none.
    fn time_stamp(&self) -> Option<u64> {
        None
    }

    #[inline(always)]
    fn observer(&self) -> &Observer {
        &self.registers().observer
    }

    fn handlers(&self) -> &Handlers {
        &self.registers().handlers
    }

    /// There is no console.
    fn report(&self, _words: fmt::Arguments<'_>) {}

    /// Panics with `why`.
    fn stop(&self, why: &'static str) -> ! {
        panic!("the machine was stopped: {why}")
    }
}

impl<P: PagingMode> Sva<Bare<P>> {
    /// Takes a bare machine over.
    ///
    /// # Errors
    ///
    /// What is wrong with `layout`, `regions` or the machine.
    ///
    /// # Checks
    ///
    /// As on hardware. Here it is safe: no Rust value lives in the machine's RAM.
    pub fn bare(machine: Bare<P>, layout: &Layout<'_>, regions: &[Region]) -> Result<Self, Violation> {
        let ram = FrameRange::new(Frame::ZERO, machine.frames).unwrap_or(FrameRange::EMPTY);
        let mut available = MemoryMap::new(regions)?.frames(Usage::Available);
        if let Some(beyond) = available.find(|frames| !ram.covers(*frames)) {
            return Err(Violation::NotRam(beyond.first()));
        }
        // SAFETY: 1. and 2. the RAM is the machine's own, in which no Rust value lives, and
        // `regions` names nothing else as available.
        unsafe { Self::build(machine, layout, regions) }
    }

    /// The machine.
    pub const fn machine(&self) -> &Bare<P> {
        &self.machine
    }
}

#[cfg(test)]
mod tests;
