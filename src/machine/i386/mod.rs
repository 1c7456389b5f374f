//! The CPU, RAM and bus that this code runs on.
//!
//! The only place with privileged instructions, each wrapped once, with the argument why it may be
//! executed there. `asm!` blocks and the leaf functions of the `x86` crate that stand in them are
//! memory clobbers: no access to RAM moves across them.

#[cfg(not(target_abi = "softfloat"))]
compile_error!(
    "`machine::I386` needs a soft-float target: ring-0 code that uses x87 or SSE corrupts the state of user programs"
);
#[cfg(panic = "unwind")]
compile_error!("`machine::I386` needs `panic = \"abort\"`: nothing unwinds through a trap");

#[cfg(feature = "boot")]
mod bytes;
pub(crate) mod console;
pub(crate) mod first;
pub(crate) mod fp;
pub mod levels;
pub(crate) mod platform;
pub(crate) mod port;
pub(crate) mod registers;
pub(crate) mod ring3;
pub(crate) mod switch;
pub(crate) mod tables;
pub(crate) mod user_copy;

use super::{Context, Cpu, Machine, native::Reached, sealed::Sealed};
use crate::address::{FRAME_BYTES, Frame, FrameRange, Page, PhysAddr, VirtAddr, widen};
use crate::context::{Entry, Top, UserContext, UserTrap};
use crate::interrupt::descriptor::Descriptor;
use crate::interrupt::{self, Handlers};
use crate::io::{Claims, Register};
use crate::layout::DirectMap;
use crate::mmu::PagingMode;
use crate::observer::Observer;
use crate::sva::Sva;
use core::fmt::{self, Write};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

/// The machine made of silicon. Only the library makes one, at init.
///
/// ```compile_fail
/// // There is no constructor.
/// let machine = sva_os::machine::I386::<sva_os::mmu::TwoLevel>::new();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct I386<P: PagingMode> {
    /// Where the direct map has physical address 0, or would have it: 32-bit arithmetic wraps.
    zero: u32,
    mode: PhantomData<P>,
}

/// Whether an instance of the library holds the machine.
static CLAIMED: AtomicBool = AtomicBool::new(false);

/// Which ports somebody has.
static PORTS: Claims = Claims::new();

/// Who is told of refusals.
static OBSERVER: Observer = Observer::new();

/// Its handlers.
pub(crate) static HANDLERS: Handlers = Handlers::new();

impl<P: PagingMode> I386<P> {
    /// The machine as it is reached once its kernel half has this direct map.
    ///
    /// # Safety
    ///
    /// The tables in CR3 have that direct map whenever one of the machine's methods is called.
    pub(crate) const unsafe fn new(direct_map: &DirectMap) -> Self {
        let zero = direct_map.first.start().get().wrapping_sub(direct_map.frames.first().start().get());
        Self { zero, mode: PhantomData }
    }

    /// Claims the machine for the one instance of the library; `false` if it is claimed already.
    pub(crate) fn claim() -> bool {
        !CLAIMED.swap(true, Ordering::AcqRel)
    }

    /// Gives back a claim that led to nothing.
    pub(crate) fn disclaim() {
        CLAIMED.store(false, Ordering::Release);
    }
}

/// The end, once the library has said why it stopped the machine.
pub(crate) fn end() -> ! {
    #[cfg(feature = "boot")]
    crate::boot::exit(crate::boot::Status::STOPPED);
    #[cfg(not(feature = "boot"))]
    registers::halt_for_ever()
}

impl<P: PagingMode> Sealed for I386<P> {}

// SAFETY: the direct map reaches all RAM of the frame table (`new`).
unsafe impl<P: PagingMode> Reached for I386<P> {
    #[inline(always)]
    fn at(&self, at: PhysAddr) -> *mut u8 {
        ptr::with_exposed_provenance_mut(widen(self.zero.wrapping_add(at.get())))
    }
}

impl<P: PagingMode> Context for I386<P> {
    unsafe fn prepare(&self, top: Top, entry: impl Entry) -> u32 {
        // SAFETY: the direct map has the frame that is mapped at the top page; the caller says that nobody uses it.
        unsafe { switch::prepare::<P, _>(top, self.at(top.frame.start()), entry) }
    }

    unsafe fn discard(&self, _top: Top, stack_pointer: u32) {
        // SAFETY: the caller says that nobody began on the stack, which is mapped until it is released.
        unsafe { switch::discard(stack_pointer) }
    }

    #[inline(always)]
    unsafe fn switch(&self, sva: &Sva<Self>, save: PhysAddr, next: u32) {
        // SAFETY: the caller's list. The handle lives on this stack, or longer.
        unsafe { switch::switch(self.at(save).cast(), next, (&raw const *sva).cast()) }
    }

    #[inline(always)]
    unsafe fn enter_user(&self, context: &mut UserContext) -> UserTrap {
        // SAFETY: the caller's list.
        ring3::trap(unsafe { ring3::enter(context) })
    }

    unsafe fn load_thread_selectors(&self, fs: u16, gs: u16) {
        // SAFETY: the caller's.
        unsafe { ring3::load_thread_selectors(fs, gs) }
    }

    unsafe fn set_tls(&self, slot: u32, segment: Descriptor) {
        // SAFETY: the caller's.
        unsafe { interrupt::tables::set_tls(slot, segment) }
    }

    #[inline(always)]
    fn fault_address(&self) -> VirtAddr {
        registers::fault_address()
    }

    fn has_fp(&self) -> bool {
        fp::is_there()
    }

    fn mxcsr_mask(&self) -> u32 {
        fp::mxcsr_mask()
    }

    fn open_fp(&self) {
        fp::open();
    }

    fn close_fp(&self) {
        fp::close();
    }

    unsafe fn store_fp(&self, at: PhysAddr) {
        // SAFETY: the caller's.
        unsafe { fp::store(self.at(at)) }
    }

    unsafe fn load_fp(&self, at: PhysAddr) {
        // SAFETY: the caller's.
        unsafe { fp::load(self.at(at)) }
    }

    unsafe fn begin_fp(&self, at: PhysAddr) {
        // SAFETY: the caller's.
        unsafe { self.copy_in(at, fp::beginning()) }
    }

    #[inline(always)]
    unsafe fn copy_from_user(&self, from: VirtAddr, to: &mut [u8]) -> u32 {
        let user = ptr::with_exposed_provenance(widen(from.get()));
        // SAFETY: the caller's; a slice is at most 4 GiB long.
        unsafe { user_copy::copy(to.as_mut_ptr(), user, length(to), from.get()) }
    }

    #[inline(always)]
    unsafe fn copy_to_user(&self, to: VirtAddr, from: &[u8]) -> u32 {
        let user = ptr::with_exposed_provenance_mut(widen(to.get()));
        // SAFETY: as in `copy_from_user`.
        unsafe { user_copy::copy(user, from.as_ptr(), length(from), to.get()) }
    }

    unsafe fn zero_user(&self, to: VirtAddr, length: u32) -> u32 {
        // SAFETY: the caller's.
        unsafe { user_copy::zero(ptr::with_exposed_provenance_mut(widen(to.get())), length) }
    }

    unsafe fn copy_str_from_user(&self, from: VirtAddr, to: &mut [u8]) -> (u32, bool) {
        let user = ptr::with_exposed_provenance(widen(from.get()));
        // SAFETY: as in `copy_from_user`.
        unsafe { user_copy::string(to.as_mut_ptr(), user, length(to)) }
    }
}

/// The bytes of a frame.
type Bytes = [MaybeUninit<u8>; widen(FRAME_BYTES)];

#[expect(clippy::as_conversions, reason = "`usize` of i386 has 32 bits")]
const fn length(bytes: &[u8]) -> u32 {
    bytes.len() as u32
}

impl<P: PagingMode> Machine for I386<P> {
    type Mode = P;
    /// Init claims the machine for one instance.
    const IS_ALONE: bool = true;

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
        registers::interrupts_off()
    }

    #[inline(always)]
    unsafe fn wait(&self) {
        registers::wait();
    }

    #[inline(always)]
    unsafe fn interrupts_on(&self) {
        // SAFETY: the caller undoes an `interrupts_off` that found IF set.
        unsafe { registers::interrupts_on() }
    }

    /// There is no other CPU.
    unsafe fn interrupt(&self, _cpu: Cpu, _run: &dyn Fn()) {}

    fn claim(&self) -> bool {
        Self::claim()
    }

    unsafe fn take_over(&self, root: Frame) {
        // SAFETY: the caller says that the root is complete.
        unsafe { registers::load_root(root) }
    }

    #[inline(always)]
    fn root(&self) -> Frame {
        registers::root()
    }

    #[inline(always)]
    unsafe fn load_root(&self, root: Frame) {
        // SAFETY: the caller says that it is a root, counted or sealed.
        unsafe { registers::load_root(root) }
    }

    #[inline(always)]
    fn invalidate_page(&self, page: Page) {
        registers::invalidate_page(page);
    }

    unsafe fn copy_out(&self, from: PhysAddr, to: &mut [u8]) {
        // SAFETY: the caller says that the bytes lie in a frame that holds no Rust value such as `to`.
        unsafe { ptr::copy_nonoverlapping(self.at(from), to.as_mut_ptr(), to.len()) }
    }

    unsafe fn copy_in(&self, to: PhysAddr, from: &[u8]) {
        // SAFETY: as in `copy_out`.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), self.at(to), from.len()) }
    }

    unsafe fn copy_frame(&self, from: Frame, to: Frame) {
        let (from, to): (*const Bytes, *mut Bytes) =
            (self.at(from.start()).cast(), self.at(to.start()).cast());
        // SAFETY: the caller says that both are RAM that holds no Rust value. They may be one.
        unsafe { ptr::copy(from, to, 1) }
    }

    unsafe fn lend(&self, frames: FrameRange) -> *mut [MaybeUninit<u8>] {
        self.bytes(frames)
    }

    unsafe fn grant(&self, frames: FrameRange) -> &'static mut [MaybeUninit<u8>] {
        // SAFETY: the direct map is for ever, and the caller says that nobody else reads or writes
        // the frames again.
        unsafe { &mut *self.bytes(frames) }
    }

    fn claims(&self) -> &Claims {
        &PORTS
    }

    #[inline(always)]
    unsafe fn port_read<W: Register>(&self, port: u16) -> W {
        // SAFETY: the caller owns the port.
        unsafe { port::read(port) }
    }

    #[inline(always)]
    unsafe fn port_write<W: Register>(&self, port: u16, value: W) {
        // SAFETY: the caller owns the port.
        unsafe { port::write(port, value) }
    }

    unsafe fn port_read_all<W: Register>(&self, port: u16, values: &mut [W]) {
        // SAFETY: the caller owns the port.
        unsafe { port::read_all(port, values) }
    }

    unsafe fn port_write_all<W: Register>(&self, port: u16, values: &[W]) {
        // SAFETY: the caller owns the port.
        unsafe { port::write_all(port, values) }
    }

    #[inline(always)]
    unsafe fn device_read<W: Register>(&self, at: VirtAddr, _bus: PhysAddr) -> W {
        // SAFETY: the caller says that it is mapped, and its own. No Rust value is there.
        unsafe { ptr::with_exposed_provenance::<W>(widen(at.get())).read_volatile() }
    }

    #[inline(always)]
    unsafe fn device_write<W: Register>(&self, at: VirtAddr, _bus: PhysAddr, value: W) {
        // SAFETY: as in `device_read`.
        unsafe { ptr::with_exposed_provenance_mut::<W>(widen(at.get())).write_volatile(value) }
    }

    fn time_stamp(&self) -> Option<u64> {
        registers::time_stamp()
    }

    #[inline(always)]
    fn observer(&self) -> &Observer {
        &OBSERVER
    }

    fn handlers(&self) -> &Handlers {
        &HANDLERS
    }

    fn report(&self, words: fmt::Arguments<'_>) {
        // The console answers Ok.
        _ = writeln!(console::Console, "sva-os: {words}");
    }

    /// Says `why` on the library's console and halts.
    #[cold]
    fn stop(&self, why: &'static str) -> ! {
        registers::interrupts_off();
        self.report(format_args!("stopped: {why}"));
        end()
    }
}
