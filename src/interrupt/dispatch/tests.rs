//! What becomes of each vector: who is called, in which order, and what stops the machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::interrupt::Vector;
use crate::interrupt::fixture::{BOOT, OTHER, handler, hook, interrupts, machine, raise, stopped, writes};
use crate::machine::emulated::{Register, Trap};
use std::boxed::Box;
use std::format;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::vec::Vec;

/// What happened, in order. It lives for ever, as handlers do.
fn record() -> &'static Mutex<Vec<&'static str>> {
    Box::leak(Box::default())
}

/// EOI of line 3.
const END_OF_3: (u16, u8) = (0x20, 0x63);

#[test]
fn an_exception_without_a_handler_is_reported_and_stops_the_machine() {
    for exception in Exception::ALL.iter().copied() {
        // An NMI is counted; so is a debug exception of ring 0.
        let from_user = exception == Exception::Debug;
        if exception == Exception::Nmi {
            continue;
        }
        let trap = Trap { from_user, ..Trap::new(exception.vector()) };
        let words = stopped(machine(), trap);
        let begin = format!("{} ({}), vector {}", exception.mnemonic(), exception.name(), exception.vector());
        assert!(words.starts_with(&begin), "{words}");
        assert!(words.contains("EIP 0x12345678"), "{words}");
    }
}

#[test]
fn an_exception_that_intel_has_yet_to_name_stops_the_machine() {
    for number in (9..32).filter(|number| Exception::new(Vector::from_number(*number)).is_none()) {
        let words = stopped(machine(), Trap::new(Vector::from_number(number)));
        assert!(words.starts_with(&format!("vector {number}, ")), "{words}");
    }
}

#[test]
fn a_handled_exception_goes_on() {
    for exception in Exception::ALL.iter().copied().filter(|exception| !exception.is_reserved()) {
        let machine = machine();
        let record = record();
        let run = move |frame: &TrapFrame<'_>| {
            assert_eq!(frame.exception(), Some(exception));
            assert_eq!(machine.handlers().handlers_on(BOOT), 1);
            assert!(!machine.interrupts_enabled(BOOT));
            record.lock().unwrap().push(exception.mnemonic());
        };
        interrupts(machine).register_exception(exception, handler(run)).unwrap();
        for from_user in [false, true] {
            assert!(machine.raise(BOOT, Trap { from_user, ..Trap::new(exception.vector()) }));
        }
        assert_eq!(*record.lock().unwrap(), [exception.mnemonic(); 2]);
        assert_eq!(machine.handlers().handlers_on(BOOT), 0);
        assert!(machine.interrupts_enabled(BOOT));
        assert!(machine.console().is_empty());
        assert!(writes(machine).is_empty(), "no end of interrupt");
    }
}

/// The handler sees what the CPU pushed.
#[test]
fn a_frame_says_what_was_raised() {
    let machine = machine();
    let seen: &Mutex<Vec<_>> = Box::leak(Box::default());
    let note = |frame: &TrapFrame<'_>| {
        seen.lock().unwrap().push((
            frame.error_code(),
            frame.fault_address(),
            frame.is_from_user(),
            frame.instruction(),
            frame.flags(),
        ));
    };
    interrupts(machine).register_exception(Exception::PageFault, handler(note)).unwrap();
    let fault = crate::address::VirtAddr::new(0x0804_8123);
    let trap = Trap { error_code: 6, fault, from_user: true, ..Trap::new(Exception::PageFault.vector()) };
    machine.raise(BOOT, trap);
    machine.set_interrupts(BOOT, false);
    machine.raise(BOOT, trap);
    let code = crate::interrupt::ErrorCode::new(Exception::PageFault.vector(), 6);
    let at = crate::address::VirtAddr::new(0x1234_5678);
    let expected = [(code, Some(fault), true, at, 0x202), (code, Some(fault), true, at, 0x002)];
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// In ring 0 only TF is changed, and nobody is asked.
#[test]
fn a_debug_exception_of_the_kernel_is_the_library_s() {
    let machine = machine();
    let before = Saved { vector: 1, cs: 0x08, eflags: 0xffff_ffff, eip: 7, eax: 8, ..Saved::default() };
    let mut saved = before;
    dispatch(machine, &mut saved, OuterStack::default(), 0);
    assert_eq!(saved, Saved { eflags: 0xffff_feff, ..before });
    assert_eq!(machine.handlers().counts().debug, 1);
    assert!(machine.console().is_empty());
}

#[test]
fn nothing_else_changes_what_is_resumed() {
    let machine = machine();
    interrupts(machine).register_exception(Exception::Breakpoint, &|_| {}).unwrap();
    interrupts(machine).register_software(0x80, &|_| {}).unwrap();
    interrupts(machine).register_line(Line::TIMER, &|_| {}).unwrap();
    for vector in [3, 0x80, 0x81, 32, 33, 34, 39, 240, 255] {
        let before = Saved { vector, cs: 0x08, eflags: 0x0001_4dd7, eip: 7, ..Saved::default() };
        let mut saved = before;
        dispatch(machine, &mut saved, OuterStack::default(), 0);
        assert_eq!(saved, before, "{vector}");
    }
}

#[test]
fn a_software_interrupt_without_a_handler_is_counted() {
    let machine = machine();
    for (nth, vector) in (48..=255_u8).enumerate() {
        assert!(raise(machine, vector));
        assert_eq!(machine.handlers().counts().stray_software, nth as u32 + 1);
    }
    // The vector of the wire between the controllers.
    assert!(raise(machine, 34_u8));
    assert_eq!(machine.handlers().counts().stray_software, 209);
    assert!(writes(machine).is_empty() && machine.console().is_empty());
}

/// Handler, end of interrupt, hook: each with what must be behind it.
#[test]
fn a_line_s_interrupt_is_handled_ended_and_may_preempt() {
    let machine = machine();
    let record = record();
    let calls = interrupts(machine);
    let line = Line::new(3).unwrap();
    let handle = move |_: &TrapFrame<'_>| {
        assert_eq!(machine.handlers().handlers_on(BOOT), 1);
        assert!(!writes(machine).contains(&END_OF_3));
        record.lock().unwrap().push("handler");
    };
    let preempt = move || {
        assert_eq!(machine.handlers().handlers_on(BOOT), 0);
        assert!(!machine.interrupts_enabled(BOOT));
        assert_eq!(writes(machine), [END_OF_3]);
        record.lock().unwrap().push("hook");
    };
    calls.register_line(line, handler(handle)).unwrap();
    calls.set_preempt(hook(preempt));
    assert!(raise(machine, Vector::of_line(line)));
    assert_eq!(*record.lock().unwrap(), ["handler", "hook"]);
    assert!(machine.interrupts_enabled(BOOT));
}

/// IF holds it back; nothing is told to anybody.
#[test]
fn a_line_waits_for_if() {
    let machine = machine();
    interrupts(machine).register_line(Line::TIMER, &|_| panic!("IF is clear")).unwrap();
    machine.set_interrupts(BOOT, false);
    assert!(!raise(machine, Vector::of_line(Line::TIMER)));
    assert!(writes(machine).is_empty());
    assert!(!machine.interrupts_enabled(BOOT));
}

#[test]
fn a_line_without_a_handler_is_masked_ended_and_counted() {
    for line in Line::all() {
        let machine = machine();
        interrupts(machine).set_preempt(&|| panic!("no handler ran"));
        machine.handlers().lines.unmask(machine, line);
        writes(machine);
        assert!(raise(machine, Vector::of_line(line)));
        assert!(interrupts(machine).is_masked(line));
        assert_eq!(machine.handlers().counts().stray_lines, 1);
        let number = line.number();
        let last_writes = writes(machine);
        let expected: &[_] =
            if number < 8 { &[(0x20, 0x60 | number)] } else { &[(0xa0, 0x60 | number & 7), (0x20, 0x62)] };
        assert!(last_writes.ends_with(expected), "{line:?}: {last_writes:x?}");
    }
}

/// Attack D5: neither the handler nor the hook is called, and the line stays as it is.
#[test]
fn a_spurious_interrupt_reaches_nobody() {
    for (number, command, ends) in [(7, 0x20, [].as_slice()), (15, 0xa0, &[(0x20, 0x62)])] {
        let machine = machine();
        let line = Line::new(number).unwrap();
        interrupts(machine).register_line(line, &|_| panic!("it is spurious")).unwrap();
        interrupts(machine).set_preempt(&|| panic!("it is spurious"));
        interrupts(machine).unmask(line).unwrap();
        writes(machine);
        machine.devices().inject(Register::Port(command), 0x7f);
        assert!(raise(machine, Vector::of_line(line)));
        assert_eq!(writes(machine)[1..], *ends);
        assert_eq!(machine.handlers().counts().spurious, 1);
        assert!(!interrupts(machine).is_masked(line));
    }
}

#[test]
fn only_lines_preempt() {
    let machine = machine();
    let calls = interrupts(machine);
    calls.set_preempt(&|| panic!("not for this vector"));
    calls.register_software(0x80, &|_| {}).unwrap();
    calls.register_exception(Exception::PageFault, &|_| {}).unwrap();
    for vector in [0x80, 0x81, 14, 1, 2] {
        assert!(raise(machine, vector as u8));
    }
}

/// The hook waits for the outermost handler. No line interrupts a handler, since IF is clear in all of them;
/// here one does all the same.
#[test]
fn only_the_outermost_handler_is_followed_by_the_hook() {
    let machine = machine();
    let record = record();
    let calls = interrupts(machine);
    let line = |number: u32| Line::new(number).unwrap();
    let inside = move |vector: Vector| {
        let mut saved = Saved { vector: vector.into(), cs: 0x08, ..Saved::default() };
        dispatch(machine, &mut saved, OuterStack::default(), 0);
    };
    let outer = move |_: &TrapFrame<'_>| {
        record.lock().unwrap().push("outer");
        inside(Exception::PageFault.vector());
        record.lock().unwrap().push("outer goes on");
    };
    let middle = move |_: &TrapFrame<'_>| {
        assert_eq!(machine.handlers().handlers_on(BOOT), 2);
        inside(Vector::of_line(line(4)));
        record.lock().unwrap().push("middle");
    };
    let inner = move |_: &TrapFrame<'_>| {
        assert_eq!(machine.handlers().handlers_on(BOOT), 3);
        record.lock().unwrap().push("inner");
    };
    calls.register_line(line(3), handler(outer)).unwrap();
    calls.register_exception(Exception::PageFault, handler(middle)).unwrap();
    calls.register_line(line(4), handler(inner)).unwrap();
    calls.set_preempt(hook(move || record.lock().unwrap().push("hook")));
    assert!(raise(machine, Vector::of_line(line(3))));
    assert_eq!(*record.lock().unwrap(), ["outer", "inner", "middle", "outer goes on", "hook"]);
}

/// Guards on another CPU do not count.
#[test]
fn guards_keep_the_hook_away_on_their_cpu() {
    let machine = machine();
    let record = record();
    let calls = interrupts(machine);
    let vector = Vector::of_line(Line::TIMER);
    let hooks = || record.lock().unwrap().len();
    calls.register_line(Line::TIMER, &|_| {}).unwrap();
    calls.set_preempt(hook(move || record.lock().unwrap().push("hook")));
    let first = calls.no_preempt();
    let second = calls.no_preempt();
    assert!(raise(machine, vector));
    assert_eq!(hooks(), 0);
    assert!(machine.raise(OTHER, Trap::new(vector)));
    assert_eq!(hooks(), 1);
    // Dropped by a thread that is another CPU now: the guard is that of its own CPU.
    machine.as_cpu(OTHER, || drop(first));
    assert!(raise(machine, vector));
    assert_eq!(hooks(), 1);
    drop(second);
    assert!(raise(machine, vector));
    assert_eq!(hooks(), 2);
    core::mem::forget(calls.no_preempt());
    assert!(raise(machine, vector));
    assert_eq!(hooks(), 2);
}

/// A guard that a handler takes and drops changes nothing; one that it keeps counts at once.
#[test]
fn a_handler_may_hold_guards() {
    let machine = machine();
    let record = record();
    let calls = interrupts(machine);
    calls.register_line(Line::TIMER, handler(move |_| drop(interrupts(machine).no_preempt()))).unwrap();
    let keep = move |_: &TrapFrame<'_>| core::mem::forget(interrupts(machine).no_preempt());
    calls.register_line(Line::KEYBOARD, handler(keep)).unwrap();
    calls.set_preempt(hook(move || record.lock().unwrap().push("hook")));
    assert!(raise(machine, Vector::of_line(Line::TIMER)));
    assert_eq!(record.lock().unwrap().len(), 1);
    assert!(raise(machine, Vector::of_line(Line::KEYBOARD)));
    assert_eq!(record.lock().unwrap().len(), 1);
}

/// The hook is no handler: it may let interrupts come, and then they have a tail of their own.
#[test]
fn the_hook_may_enable_interrupts() {
    let machine = machine();
    let record = record();
    let calls = interrupts(machine);
    calls.register_line(Line::TIMER, &|_| {}).unwrap();
    calls.register_line(Line::KEYBOARD, handler(move |_| record.lock().unwrap().push("inner"))).unwrap();
    let preempt = move || {
        record.lock().unwrap().push("hook");
        if record.lock().unwrap().len() == 1 {
            interrupts(machine).enable().unwrap();
            assert!(raise(machine, Vector::of_line(Line::KEYBOARD)));
            record.lock().unwrap().push("back");
        }
    };
    calls.set_preempt(hook(preempt));
    assert!(raise(machine, Vector::of_line(Line::TIMER)));
    assert_eq!(*record.lock().unwrap(), ["hook", "inner", "hook", "back"]);
    // The way out of a trap finds them off, whatever the hook did.
    machine.set_interrupts(BOOT, false);
    let mut saved = Saved { vector: 32, cs: 0x08, ..Saved::default() };
    calls.set_preempt(hook(move || interrupts(machine).enable().unwrap()));
    dispatch(machine, &mut saved, OuterStack::default(), 0);
    assert!(!machine.interrupts_enabled(BOOT));
}

/// On the host, where a panic may be caught.
#[test]
fn a_handler_that_panics_leaves_no_depth_behind() {
    let machine = machine();
    interrupts(machine).register_software(0x80, &|_| panic!("on purpose")).unwrap();
    assert!(catch_unwind(|| raise(machine, 0x80_u8)).is_err());
    assert_eq!(machine.handlers().handlers_on(BOOT), 0);
}

/// Each CPU counts for itself.
#[test]
fn depth_is_that_of_a_cpu() {
    let machine = machine();
    let look = move |_: &TrapFrame<'_>| {
        assert_eq!(machine.handlers().handlers_on(OTHER), 1);
        assert_eq!(machine.handlers().handlers_on(BOOT), 0);
    };
    interrupts(machine).register_software(0x80, handler(look)).unwrap();
    assert!(machine.raise(OTHER, Trap::new(Vector::SYSTEM_CALL)));
}
