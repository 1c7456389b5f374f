//! From a stub to a handler.

use super::frame::{OuterStack, Saved, TrapFrame};
use super::lines::Line;
use super::vector::{Exception, FIRST_LINE, Source};
use crate::machine::Machine;

/// TF in EFLAGS: a debug exception after each instruction (Intel SDM vol. 1, 3.4.3.3).
const TRAP_FLAG: u32 = 1 << 8;

/// Serves what a stub saved. Interrupts are off. `fault` is CR2, `outer` the stack of ring 3.
///
/// No lock is held when a handler or the hook is called. What the library keeps for itself is told
/// before any lock is touched.
pub(crate) fn dispatch<M: Machine>(machine: &M, saved: &mut Saved, outer: OuterStack, fault: u32) {
    let handlers = machine.handlers();
    let frame = TrapFrame::new(saved, outer, fault);
    match frame.vector().source() {
        Source::Exception(Exception::Debug) if !saved.is_from_user() => {
            saved.eflags &= !TRAP_FLAG;
            handlers.count_debug();
        }
        Source::Exception(exception) if !exception.is_reserved() && handlers.run(machine, &frame) => {}
        Source::Exception(_) => unhandled(machine, &frame),
        Source::Line(line) => interrupt(machine, line, &frame),
        Source::Software if handlers.run(machine, &frame) => {}
        Source::Nothing if frame.vector().number() < FIRST_LINE => unhandled(machine, &frame),
        Source::Software | Source::Nothing => handlers.count_stray(),
    }
}

/// Serves an interrupt by `line`: handler, end of interrupt, and the hook at the tail of the outermost one.
pub(crate) fn interrupt<M: Machine>(machine: &M, line: Line, frame: &TrapFrame<'_>) {
    let handlers = machine.handlers();
    if handlers.lines.is_spurious(machine, line) {
        return;
    }
    let served = handlers.run(machine, frame);
    if !served {
        handlers.lines.silence(machine, line);
    }
    handlers.lines.end(machine, line);
    if served {
        handlers.preempt(machine);
    }
}

/// An exception that nobody handles: whatever brought it about would do so again.
#[cold]
pub(crate) fn unhandled<M: Machine>(machine: &M, frame: &TrapFrame<'_>) -> ! {
    machine.report(format_args!("{frame}"));
    machine.stop("an exception has no handler")
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
