//! What threads and programs have of a CPU: its stack, segment registers, floating point, ring 3.
//!
//! A thread is played by the test: [`swap`](crate::Sva::swap) returns at once, and whoever called it goes on
//! as the next thread. A program in ring 3 is a function.

use super::access::{Access, Use};
use super::trap::Trap;
use super::{Emulated, Step};
use crate::address::{Page, PhysAddr, VirtAddr};
use crate::context::{Entry, State, ThreadId, Top, UserContext, UserFlags, UserTrap};
use crate::interrupt::Vector;
use crate::interrupt::descriptor::{Descriptor, Selector, user_selector_slot};
use crate::machine::{self, Cpu, Machine, Memory};
use crate::mmu::{Half, PagingMode};
use crate::sva::Sva;
use core::hash::{Hash, Hasher};
use std::boxed::Box;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a program does: it is called with the CPU it runs on and its registers, and answers with what brings
/// it back.
pub type Program = Arc<dyn Fn(Cpu, &mut UserContext) -> Trap + Send + Sync>;

type StoredEntry = Box<dyn FnOnce() -> Option<ThreadId> + Send>;

/// What threads begin with, by the numbers of their slots.
#[derive(Default)]
pub(super) struct Entries(Mutex<BTreeMap<u32, StoredEntry>>);

#[derive(Default, Clone)]
pub(super) struct ProgramSlot(Arc<Mutex<Option<Program>>>);

const FP_BYTES: usize = 512;
/// Left over from the firmware: nobody may see it.
pub(super) const FP_AT_POWER_ON: [u8; FP_BYTES] = [0xa5; FP_BYTES];
/// As FNINIT and power-on leave them, in the form of FXSAVE.
pub(super) const FP_AT_BEGINNING: [u8; FP_BYTES] = {
    let mut bytes = [0; FP_BYTES];
    bytes[0] = 0x7f;
    bytes[1] = 0x03;
    bytes[24] = 0x80;
    bytes[25] = 0x1f;
    bytes
};
/// The bits that MXCSR does not have here, DAZ being there.
const MXCSR_RESERVED: u32 = 0xffff_0000;

/// The stack pointer of a CPU before it first switches: no thread has such a one.
const NO_STACK: u32 = u32::MAX;

/// The registers of a CPU.
#[derive(Clone)]
pub(super) struct Context {
    stack_pointer: u32,
    fs: u16,
    gs: u16,
    /// What the CPU read from the GDT when FS and GS were loaded: it goes on using that.
    hidden: [Descriptor; 2],
    pub(super) tls: [Descriptor; 3],
    pub(super) fault: VirtAddr,
    /// CR0.TS is clear.
    pub(super) fp_is_open: bool,
    pub(super) fp: [u8; FP_BYTES],
}

impl Default for Context {
    fn default() -> Self {
        Self {
            stack_pointer: NO_STACK,
            fs: 0,
            gs: 0,
            hidden: [Descriptor::NULL; 2],
            tls: [Descriptor::NULL; 3],
            fault: VirtAddr::new(0),
            fp_is_open: false,
            fp: FP_AT_POWER_ON,
        }
    }
}

impl Context {
    /// Of all but CR2, and what the floating-point registers hold while TS is set and nobody may see it.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        let tls = self.tls.map(Descriptor::bits);
        let hidden = self.hidden.map(Descriptor::bits);
        (self.stack_pointer, self.fs, self.gs, hidden, tls, self.fp_is_open, self.fp).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether a segment register can be loaded with `selector`.
    fn takes(&self, selector: u16) -> bool {
        match user_selector_slot(selector) {
            Some(None) => true,
            Some(Some(slot)) => self.tls.get(slot).is_some_and(|segment| *segment != Descriptor::NULL),
            None => false,
        }
    }

    /// What the GDT has for a selector that [`takes`](Self::takes) accepts; of the flat segment and null, which
    /// never change, nothing.
    fn read_gdt(&self, selector: u16) -> Descriptor {
        let slot = user_selector_slot(selector).flatten();
        slot.and_then(|slot| self.tls.get(slot)).copied().unwrap_or(Descriptor::NULL)
    }

    /// Loads FS and GS.
    fn load_selectors(&mut self, fs: u16, gs: u16) {
        (self.fs, self.gs) = (fs, gs);
        self.hidden = [self.read_gdt(fs), self.read_gdt(gs)];
    }
}

impl<P: PagingMode> machine::Context for Emulated<P> {
    unsafe fn prepare(&self, top: Top, entry: impl Entry) -> u32 {
        self.put_entry(top, entry)
    }

    unsafe fn discard(&self, top: Top, _stack_pointer: u32) {
        drop(self.take_entry(top.number));
    }

    unsafe fn switch(&self, _sva: &Sva<Self>, save: PhysAddr, next: u32) {
        // SAFETY: a word of the library's own, by the caller.
        unsafe { self.store(save, self.stack_pointer()) }
        self.step(Step::Switch);
        self.change_stack(next);
    }

    unsafe fn enter_user(&self, context: &mut UserContext) -> UserTrap {
        self.run_program(context)
    }

    unsafe fn load_thread_selectors(&self, fs: u16, gs: u16) {
        self.load_selectors(fs, gs);
    }

    unsafe fn set_tls(&self, slot: u32, segment: Descriptor) {
        self.core(self.cpu()).context().tls[slot as usize] = segment;
    }

    fn fault_address(&self) -> VirtAddr {
        self.core(self.cpu()).context().fault
    }

    fn has_fp(&self) -> bool {
        true
    }

    fn mxcsr_mask(&self) -> u32 {
        !MXCSR_RESERVED
    }

    fn open_fp(&self) {
        self.core(self.cpu()).context().fp_is_open = true;
    }

    fn close_fp(&self) {
        self.core(self.cpu()).context().fp_is_open = false;
    }

    unsafe fn store_fp(&self, at: PhysAddr) {
        let registers = self.core(self.cpu()).context().fp;
        // SAFETY: the caller's.
        unsafe { self.copy_in(at, &registers) }
    }

    unsafe fn load_fp(&self, at: PhysAddr) {
        let mut registers = FP_AT_POWER_ON;
        // SAFETY: the caller's.
        unsafe { self.copy_out(at, &mut registers) }
        self.set_fp(registers);
    }

    unsafe fn begin_fp(&self, at: PhysAddr) {
        // SAFETY: the caller's.
        unsafe { self.copy_in(at, &FP_AT_BEGINNING) }
    }

    unsafe fn copy_from_user(&self, from: VirtAddr, to: &mut [u8]) -> u32 {
        self.read_user(from, to)
    }

    unsafe fn copy_to_user(&self, to: VirtAddr, from: &[u8]) -> u32 {
        self.write_user(to, from.iter().copied())
    }

    unsafe fn zero_user(&self, to: VirtAddr, length: u32) -> u32 {
        self.write_user(to, (0..length).map(|_| 0))
    }

    unsafe fn copy_str_from_user(&self, from: VirtAddr, to: &mut [u8]) -> (u32, bool) {
        self.read_user_string(from, to)
    }
}

impl<P: PagingMode> Emulated<P> {
    /// Lets `program` be what runs in ring 3, or, with `None`, one that calls the kernel at once.
    pub fn set_program(&self, program: Option<Program>) {
        *self.program.0.lock().unwrap_or_else(PoisonError::into_inner) = program;
    }

    /// The floating-point registers of `cpu`, as a program there sees them; `None` while that is #NM.
    pub fn fp_registers(&self, cpu: Cpu) -> Option<[u8; FP_BYTES]> {
        let context = self.core(cpu).context();
        context.fp_is_open.then_some(context.fp)
    }

    /// Lets a program on `cpu` write all floating-point registers; `false` while that is #NM.
    pub fn set_fp_registers(&self, cpu: Cpu, registers: [u8; FP_BYTES]) -> bool {
        let mut context = self.core(cpu).context();
        if context.fp_is_open {
            context.fp = registers;
        }
        context.fp_is_open
    }

    /// FS and GS of `cpu`.
    pub fn thread_selectors(&self, cpu: Cpu) -> (u16, u16) {
        let context = self.core(cpu).context();
        (context.fs, context.gs)
    }

    /// The descriptor in a TLS slot of `cpu`.
    pub fn tls_descriptor(&self, cpu: Cpu, slot: usize) -> u64 {
        self.core(cpu).context().tls[slot].bits()
    }

    pub(super) fn put_entry(&self, top: Top, entry: impl Entry) -> u32 {
        let mut entries = self.entries.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(top.number, Box::new(entry));
        top.page.start().get() + 0xff0
    }

    /// What thread `number` begins with, unless it was taken.
    pub(crate) fn take_entry(&self, number: u32) -> Option<StoredEntry> {
        self.entries.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number)
    }

    pub(super) fn stack_pointer(&self) -> u32 {
        let cpu = self.cpu();
        match self.core(cpu).context().stack_pointer {
            // Each CPU boots on a stack of its own.
            NO_STACK => NO_STACK - 1 - cpu.number(),
            stack_pointer => stack_pointer,
        }
    }

    pub(super) fn change_stack(&self, next: u32) {
        let cpu = self.cpu();
        let others = (0..self.cpus()).filter_map(Cpu::new).filter(|other| *other != cpu);
        for other in others {
            let taken = self.as_cpu(other, || self.stack_pointer()) == next;
            assert!(!taken, "CPUs {} and {} are on one stack", cpu.number(), other.number());
        }
        self.core(cpu).context().stack_pointer = next;
    }

    pub(super) fn load_selectors(&self, fs: u16, gs: u16) {
        let mut context = self.core(self.cpu()).context();
        for selector in [fs, gs] {
            assert!(context.takes(selector), "#GP: a segment register loaded with {selector:#x}");
        }
        context.load_selectors(fs, gs);
    }

    pub(super) fn set_fp(&self, registers: [u8; FP_BYTES]) {
        let mxcsr = registers[24..28].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
        assert_eq!(mxcsr & MXCSR_RESERVED, 0, "#GP: MXCSR loaded with {mxcsr:#x}");
        self.core(self.cpu()).context().fp = registers;
    }

    /// Enters ring 3, as IRET would, lets the program run, and takes the trap that it ends with.
    pub(super) fn run_program(&self, context: &mut UserContext) -> UserTrap {
        let cpu = self.cpu();
        let flags = context.flags.bits();
        assert_eq!(flags & !UserFlags::OWN, 0x202, "EFLAGS {flags:#x} in ring 3");
        assert!(!self.interrupts_enabled(cpu), "ring 3 is entered with interrupts off");
        {
            let core = self.core(cpu).context();
            for selector in [context.ds, context.es] {
                assert!(core.takes(selector), "#GP: a segment register loaded with {selector:#x}");
            }
            assert_eq!((core.fs, core.gs), (context.fs, context.gs), "FS and GS are not the program's");
            let segments = [core.read_gdt(core.fs), core.read_gdt(core.gs)];
            assert_eq!(core.hidden, segments, "FS and GS were loaded when they meant something else");
        }
        self.step(Step::EnterUser);
        self.set_interrupts(cpu, true);
        let program = self.program.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let trap = program.map_or(Trap::new(Vector::SYSTEM_CALL), |program| program(cpu, context));
        self.set_interrupts(cpu, false);
        self.step(Step::LeaveUser);
        let mut core = self.core(cpu).context();
        // The program may have loaded any that it may have.
        for selector in [&mut context.ds, &mut context.es, &mut context.fs, &mut context.gs] {
            if !core.takes(*selector) {
                *selector = Selector::NULL.bits();
            }
        }
        core.load_selectors(context.fs, context.gs);
        core.fault = trap.fault;
        UserTrap { vector: trap.vector.into(), error_code: trap.error_code }
    }

    /// Where `page` is for an access of this CPU to user memory.
    fn user_access(&self, page: Page, what: Use) -> Option<PhysAddr> {
        let at = self.access(self.cpu(), page.start(), Access { what, by: Half::User }, 0).ok()?;
        self.ram.contains(at).then_some(at)
    }

    pub(super) fn read_user(&self, from: VirtAddr, to: &mut [u8]) -> u32 {
        let mut done = 0;
        for byte in to {
            let at = VirtAddr::new(from.get().wrapping_add(done));
            let Some(page) = self.user_access(at.containing(), Use::Read) else { break };
            self.step(Step::CopyOut(page.plus(at.offset())));
            *byte = self.peek(page.plus(at.offset()));
            done += 1;
        }
        done
    }

    pub(super) fn write_user(&self, to: VirtAddr, bytes: impl Iterator<Item = u8>) -> u32 {
        let mut done = 0;
        for byte in bytes {
            let at = VirtAddr::new(to.get().wrapping_add(done));
            let Some(page) = self.user_access(at.containing(), Use::Write) else { break };
            self.step(Step::CopyIn(page.plus(at.offset())));
            self.poke(page.plus(at.offset()), byte);
            done += 1;
        }
        done
    }

    pub(super) fn read_user_string(&self, from: VirtAddr, to: &mut [u8]) -> (u32, bool) {
        let mut done = 0;
        for byte in to {
            let mut read = [0];
            let at = VirtAddr::new(from.get().wrapping_add(done));
            match (self.read_user(at, &mut read), read) {
                (0, _) => return (done, false),
                (_, [0]) => return (done, true),
                (_, [value]) => *byte = value,
            }
            done += 1;
        }
        (done, false)
    }
}

/// The running thread, as the test plays it.
impl<P: PagingMode> Sva<Emulated<P>> {
    /// Plays the running thread from its entry to its end: calls what it was made with, and ends it. Afterwards this
    /// CPU runs the thread that the entry named, or its idle thread.
    ///
    /// # Panics
    ///
    /// If it has no entry: it was played already, or this is a clone, which has none.
    pub fn play_entry(&self) {
        let Some(entry) = self.machine.take_entry(self.current_thread().number()) else {
            panic!("the running thread has no entry")
        };
        let next = entry();
        self.end_thread(next);
    }

    /// Ends the running thread, as if its entry returned `next`.
    pub fn end_thread(&self, next: Option<ThreadId>) {
        drop(self.machine.take_entry(self.current_thread().number()));
        self.end_here(State::Ending, next);
    }

    /// Abandons the running thread, as its panic handler would.
    pub fn abandon_thread(&self, next: Option<ThreadId>) {
        self.end_here(State::Abandoning, next);
    }

    /// Ends the running thread. Whoever plays the next one finds interrupts as they were.
    fn end_here(&self, state: State, next: Option<ThreadId>) {
        let was_on = self.machine.interrupts_enabled(self.machine.cpu());
        self.end(state, next);
        self.machine.set_interrupts(self.machine.cpu(), was_on);
    }
}

#[cfg(test)]
mod tests;
