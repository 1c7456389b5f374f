//! Programs in ring 3.
//!
//! A program is plain data, its registers, until [`run`](Sva::run) lets it go on, and again when `run` returns. So
//! there is nothing to forge: the kernel may write into a [`UserContext`] what it likes, and copy and keep it;
//! whatever it holds, ring 3 is what it is entered with.

use super::flags::UserFlags;
use super::processor::{NULL_SELECTORS, Processor};
use crate::address::{Frame, VirtAddr};
use crate::context::FpPolicy;
use crate::interrupt::descriptor::{Descriptor, Selector, user_selector_slot, widened};
use crate::interrupt::dispatch;
use crate::interrupt::frame::Interrupted;
use crate::interrupt::{ErrorCode, Exception, Line, Registers, Source, Vector, check_outside_handlers};
use crate::machine::Machine;
use crate::sva::Sva;
use crate::violation::Violation;

/// The registers of a user program.
///
/// Whatever they hold, the program runs in ring 3, with interrupts on, in the flat segments that the library
/// has for it: [`run`](Sva::run) makes null of a selector that is not one of these, and [`UserFlags`] are those of
/// a program.
#[doc(alias = "sva_icontext")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct UserContext {
    /// The general registers, ESP among them.
    pub registers: Registers,
    /// EIP.
    pub instruction: u32,
    /// EFLAGS.
    pub flags: UserFlags,
    /// DS.
    pub ds: u16,
    /// ES.
    pub es: u16,
    /// FS.
    pub fs: u16,
    /// GS.
    pub gs: u16,
}

impl UserContext {
    /// The selector of the flat data segment.
    pub const DATA: u16 = Selector::USER_DATA.bits();

    /// A program that begins at `instruction` with its stack below `stack`, all else zero.
    pub const fn new(instruction: VirtAddr, stack: VirtAddr) -> Self {
        let registers =
            Registers { eax: 0, ebx: 0, ecx: 0, edx: 0, esi: 0, edi: 0, ebp: 0, esp: stack.get() };
        Self {
            registers,
            instruction: instruction.get(),
            flags: UserFlags::new(0),
            ds: Self::DATA,
            es: Self::DATA,
            fs: 0,
            gs: 0,
        }
    }

    /// FS and GS, FS in the low half.
    #[inline(always)]
    fn thread_selectors(&self) -> u32 {
        u32::from(self.fs) | u32::from(self.gs) << 16
    }

    /// Whether DS and ES are those that nearly every program has.
    #[inline(always)]
    fn has_usual_data_selectors(&self) -> bool {
        const USUAL: u32 = widened(UserContext::DATA) | widened(UserContext::DATA) << 16;
        u32::from(self.ds) | u32::from(self.es) << 16 == USUAL
    }

    /// Makes null of every selector that names no segment of a program whose thread has these TLS segments.
    #[cold]
    #[inline(never)]
    fn sanitise_selectors(&mut self, segments: &[Descriptor]) {
        for selector in [&mut self.ds, &mut self.es, &mut self.fs, &mut self.gs] {
            let fits = match user_selector_slot(*selector) {
                Some(None) => true,
                Some(Some(slot)) => segments.get(slot).is_some_and(|segment| *segment != Descriptor::NULL),
                None => false,
            };
            if !fits {
                *selector = 0;
            }
        }
    }
}

/// Why a program came back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Exit {
    /// It called the kernel, by `int 0x80`. EIP is behind the instruction.
    SystemCall,
    /// It brought an exception about.
    Exception(UserException),
    /// A device interrupted it. The handler, and perhaps the preemption hook, have been called.
    Interrupt(Line),
    /// Another interrupt came, by this vector.
    Other(Vector),
}

/// An exception in ring 3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UserException {
    /// Which.
    pub exception: Exception,
    /// What it says about itself.
    pub code: ErrorCode,
    /// The address of a page fault. `None` for any other.
    pub address: Option<VirtAddr>,
}

/// By what ring 3 was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct UserTrap {
    /// Below 256.
    pub(crate) vector: u32,
    /// Zero if the CPU pushes none.
    pub(crate) error_code: u32,
}

impl<M: Machine> Sva<M> {
    /// Runs the program in `context` in the address space `root`, until it comes back, and says why. `context`
    /// then holds its registers as they are.
    ///
    /// It goes over to `root` if that is not loaded, and leaves it loaded. Every vector ends the program's turn:
    /// of a device's interrupt the handler is called first, and then, where that is allowed, the preemption
    /// hook. A #NM is the library's own, unless the CPU has no floating point.
    ///
    /// # Errors
    ///
    /// [`InHandler`](Violation::InHandler), [`PerCpuBorrowed`](Violation::PerCpuBorrowed); of the root, as
    /// [`load_root`](Self::load_root).
    ///
    /// # Checks
    ///
    /// Whatever `context` holds: CS and SS are ring 3's, other selectors are data of ring 3 or null, EFLAGS are a
    /// program's by their type (invariant 14); the root is one as long as it is loaded; no handler runs
    /// here, and no per-CPU data is borrowed. Attacks S13, U1 to U3, U6, U7, U9.
    #[doc(alias = "sva_reinit_icontext")]
    #[doc(alias = "sva_load_icontext")]
    pub fn run(&self, root: Frame, context: &mut UserContext) -> Result<Exit, Violation> {
        self.intrinsic(|| {
            check_outside_handlers(&self.machine)?;
            if root != self.machine.root() {
                self.go_to(root)?;
            }
            let processor = self.processor();
            let trap = loop {
                let trap = self.enter(processor, context);
                if trap.vector != u32::from(Exception::DeviceNotAvailable.vector()) || !self.machine.has_fp()
                {
                    break trap;
                }
                self.fetch_fp();
            };
            Ok(self.left(trap, context))
        })
    }

    /// Loads `root`. Out of the way: a thread that was swapped to has its program's root already.
    #[cold]
    #[inline(never)]
    fn go_to(&self, root: Frame) -> Result<(), Violation> {
        self.change_root(root)
    }

    /// Enters ring 3, and comes back by a trap.
    #[inline(always)]
    fn enter(&self, processor: Processor, context: &mut UserContext) -> UserTrap {
        if !(context.has_usual_data_selectors()
            && processor.has_selectors(&self.machine, context.thread_selectors()))
        {
            self.load_selectors(context);
        }
        if self.machine.handlers().fp_policy() == FpPolicy::Eager {
            self.fetch_fp_early();
        }
        let selectors = context.thread_selectors();
        let trap = if processor.is_fp_live(&self.machine) {
            self.machine.open_fp();
            let trap = self.enter_sanitised(context);
            self.machine.close_fp();
            trap
        } else {
            self.enter_sanitised(context)
        };
        // What a program loaded itself is looked at when it is entered next.
        if context.thread_selectors() != selectors {
            self.unload_selectors();
        }
        trap
    }

    /// Enters ring 3 with `context`, whose selectors were sanitised.
    #[inline(always)]
    fn enter_sanitised(&self, context: &mut UserContext) -> UserTrap {
        // SAFETY: the caller sanitised the selectors and loaded FS and GS; interrupts are off.
        unsafe { self.machine.enter_user(context) }
    }

    /// Sanitises the selectors of `context`, and loads FS and GS.
    #[cold]
    #[inline(never)]
    fn load_selectors(&self, context: &mut UserContext) {
        let processor = self.processor();
        if cfg!(not(sva_os_unchecked)) {
            context.sanitise_selectors(&processor.current(&self.machine).tls(&self.machine));
        }
        // SAFETY: null, the flat data segment of ring 3, or a TLS segment of this thread, which are this CPU's
        // since it runs the thread.
        unsafe { self.machine.load_thread_selectors(context.fs, context.gs) }
        processor.set_selectors(&self.machine, context.thread_selectors());
    }

    /// Makes FS and GS null if they are not, so that neither stands for a segment that the thread to run does not have.
    #[inline(always)]
    pub(super) fn drop_selectors(&self, processor: Processor) {
        if !processor.has_selectors(&self.machine, NULL_SELECTORS) {
            self.unload_selectors();
        }
    }

    /// Makes FS and GS null.
    #[cold]
    #[inline(never)]
    fn unload_selectors(&self) {
        let null = Selector::NULL.bits();
        // SAFETY: null.
        unsafe { self.machine.load_thread_selectors(null, null) }
        self.processor().set_selectors(&self.machine, NULL_SELECTORS);
    }

    /// What came of a program's turn. Interrupts are off.
    #[inline(always)]
    fn left(&self, trap: UserTrap, context: &UserContext) -> Exit {
        if trap.vector == u32::from(Vector::SYSTEM_CALL) {
            return Exit::SystemCall;
        }
        self.interrupted(trap, context)
    }

    #[inline(never)]
    fn interrupted(&self, trap: UserTrap, context: &UserContext) -> Exit {
        // Before anything else may fault.
        let fault = self.machine.fault_address();
        let interrupted = Interrupted::of_user(trap, context, fault);
        let vector = interrupted.frame().vector();
        match vector.source() {
            Source::Exception(Exception::MachineCheck) => {
                dispatch::unhandled(&self.machine, &interrupted.frame())
            }
            Source::Exception(exception) => Exit::Exception(UserException {
                exception,
                code: ErrorCode::new(vector, trap.error_code),
                address: (exception == Exception::PageFault).then_some(fault),
            }),
            Source::Line(line) => {
                dispatch::interrupt(&self.machine, line, &interrupted.frame());
                Exit::Interrupt(line)
            }
            Source::Software | Source::Nothing => Exit::Other(vector),
        }
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
