//! What a task does from its first turn to its last.

use super::{Current, exit};
use crate::machine::sva;
use crate::memory::space::{Access, Fault};
use crate::schedule;
use crate::signal::{self, Info, deliver};
use crate::syscall;
use alloc::boxed::Box;
use core::sync::atomic::Ordering;
use sva_os::context::{Exit, ThreadId, UserException};
use sva_os::interrupt::{ErrorCode, Exception, PageFaultCode};

/// The entry of a task's thread: runs its program until it ends. Answers with the thread that goes on then.
pub fn live(mut current: Box<Current>) -> Option<ThreadId> {
    let sva = sva();
    // From here on they come only while programs run, or nothing does.
    sva.interrupts().disable();
    current.load_tls();
    loop {
        if schedule::is_due() {
            schedule::reschedule(current.turn);
        }
        if current.task.attention.load(Ordering::Relaxed) {
            deliver::attend(&mut current);
        }
        if current.is_over {
            break;
        }
        match sva.run(current.root, &mut current.context) {
            Ok(Exit::SystemCall) => syscall::call(&mut current),
            Ok(Exit::Interrupt(_)) => {}
            Ok(Exit::Exception(exception)) => fault(&mut current, exception),
            // No other vector is a program's to use.
            Ok(Exit::Other(_)) => deliver::force(&mut current, Info::kernel(signal::SEGV), [13, 0], 0),
            Err(violation) => {
                crate::console::print(format_args!("process {}: {violation}\n", current.process.id));
                current.process.end(signal::KILL);
                current.is_over = true;
            }
        }
    }
    let turn = current.turn;
    exit::end_task(*current);
    schedule::end(turn)
}

/// `si_code` of SIGSEGV: nothing is mapped, or what is does not allow it.
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRERR: i32 = 2;
const FPE_INTDIV: i32 = 1;
const TRAP_BRKPT: i32 = 1;
const ILL_ILLOPN: i32 = 2;

/// What comes of an exception in the program.
#[cold]
#[inline(never)]
fn fault(current: &mut Current, exception: UserException) {
    let address = exception.address.map_or(current.context.instruction, |address| address.get());
    let (number, code) = (u32::from(exception.exception.vector()), error_code(exception.code));
    let (signal, why) = match exception.exception {
        Exception::PageFault => match page_fault(current, exception) {
            None => return,
            Some(cause) => cause,
        },
        Exception::DivideError => (signal::FPE, FPE_INTDIV),
        Exception::FloatingPoint | Exception::SimdFloatingPoint => (signal::FPE, 0),
        Exception::InvalidOpcode => (signal::ILL, ILL_ILLOPN),
        Exception::Debug | Exception::Breakpoint => (signal::TRAP, TRAP_BRKPT),
        Exception::AlignmentCheck => (signal::BUS, 1),
        _ => (signal::SEGV, signal::SI_KERNEL),
    };
    let info = Info { signal, code: why, fields: [address, 0, 0] };
    let fault_address = exception.address.map_or(0, |address| address.get());
    deliver::force(current, info, [number, code], fault_address);
}

fn error_code(code: ErrorCode) -> u32 {
    match code {
        ErrorCode::None => 0,
        ErrorCode::Word(word) => word,
        ErrorCode::Selector(selector) => selector.index << 3,
        ErrorCode::PageFault(code) => code.bits(),
    }
}

/// Brings the page in; else says which signal comes of it.
fn page_fault(current: &mut Current, exception: UserException) -> Option<(u32, i32)> {
    let (Some(address), ErrorCode::PageFault(code)) = (exception.address, exception.code) else {
        return Some((signal::SEGV, SEGV_MAPERR));
    };
    let access = if code.contains(PageFaultCode::WRITE) {
        Access::Write
    } else if code.contains(PageFaultCode::FETCH) {
        Access::Execute
    } else {
        Access::Read
    };
    match current.space.lock().fault(address.containing().number(), access) {
        Ok(()) => None,
        Err(Fault::Nothing) => Some((signal::SEGV, SEGV_MAPERR)),
        Err(Fault::Forbidden) => Some((signal::SEGV, SEGV_ACCERR)),
        Err(Fault::BehindFile) => Some((signal::BUS, BUS_ADRERR)),
        Err(Fault::NoFrame) => {
            // Nothing that it could do would help.
            crate::console::print(format_args!("out of memory: process {} is killed\n", current.process.id));
            Some((signal::KILL, signal::SI_KERNEL))
        }
    }
}
