//! Brings an exception about, and goes on behind the instruction that raised it.

use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::interrupt::{ErrorCode, Exception, SelectorCode, Table, TrapFrame};

/// Where the instruction begins that is to raise the exception, and where to go on.
pub(super) static RAISED_AT: AtomicU32 = AtomicU32::new(0);
pub(super) static RESUME_AT: AtomicU32 = AtomicU32::new(0);

/// What the handler saw last.
static VECTOR: AtomicU32 = AtomicU32::new(NONE);
static ERROR_CODE: AtomicU32 = AtomicU32::new(0);
static INSTRUCTION: AtomicU32 = AtomicU32::new(0);
static FAULT: AtomicU32 = AtomicU32::new(0);
const NONE: u32 = u32::MAX;

/// What an exception says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) exception: Exception,
    pub(super) error_code: u32,
    pub(super) instruction: u32,
    /// CR2, for a page fault.
    pub(super) fault: u32,
}

/// Notes what it sees, and makes the interrupted code go on at `RESUME_AT`: it writes over EIP where the
/// CPU pushed it.
pub(super) fn handler(frame: &TrapFrame<'_>) {
    VECTOR.store(frame.vector().number().into(), Ordering::Relaxed);
    ERROR_CODE.store(encode(frame.error_code()), Ordering::Relaxed);
    INSTRUCTION.store(frame.instruction().get(), Ordering::Relaxed);
    FAULT.store(frame.fault_address().map_or(0, |address| address.get()), Ordering::Relaxed);
    let pushed = (frame.registers().esp - 12) as *mut u32;
    // SAFETY: ring 0 was interrupted: below its ESP lie EFLAGS, CS and EIP.
    unsafe {
        assert_eq!(pushed.read_volatile(), frame.instruction().get());
        pushed.write_volatile(RESUME_AT.load(Ordering::Relaxed));
    }
}

/// An error code as the CPU pushes it.
fn encode(code: ErrorCode) -> u32 {
    match code {
        ErrorCode::None => 0,
        ErrorCode::Word(word) => word,
        ErrorCode::PageFault(flags) => flags.bits(),
        ErrorCode::Selector(SelectorCode { external, table, index }) => {
            let table = match table {
                Table::Gdt => 0,
                Table::Idt => 1,
                Table::Ldt => 2,
            };
            u32::from(external) | table << 1 | index << 3
        }
    }
}

/// What was seen since the last call.
pub(super) fn take() -> Option<Seen> {
    let vector = VECTOR.swap(NONE, Ordering::Relaxed);
    let exception = u8::try_from(vector)
        .ok()
        .and_then(|number| Exception::new(sva_os::interrupt::Vector::from_number(number)))?;
    Some(Seen {
        exception,
        error_code: ERROR_CODE.load(Ordering::Relaxed),
        instruction: INSTRUCTION.load(Ordering::Relaxed),
        fault: FAULT.load(Ordering::Relaxed),
    })
}

/// Runs `prepare` and then the one instruction `raise`, which is to raise an exception, and says what the
/// handler saw. Registers that they change are named as outputs.
macro_rules! raise {
    ([$($prepare:literal),*], $raise:literal $(, $($operands:tt)*)?) => {{
        use $crate::kernel::raise::{RAISED_AT, RESUME_AT, take};
        assert_eq!(take(), None);
        core::arch::asm!(
            "movl $2f, ({at})",
            "movl $3f, ({resume})",
            $($prepare,)*
            "2:",
            $raise,
            "3:",
            at = in(reg) RAISED_AT.as_ptr(),
            resume = in(reg) RESUME_AT.as_ptr(),
            $($($operands)*,)?
            options(att_syntax)
        );
        (take(), RAISED_AT.load(core::sync::atomic::Ordering::Relaxed))
    }};
}
pub(super) use raise;
