//! What needs no lock, and what is counted.

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
use crate::interrupt::fixture::{BOOT, Emulator, handler, interrupts, machine, raise};
use crate::interrupt::{Exception, Line};
use crate::machine::Emulated;
use crate::machine::emulated::Trap;
use crate::mmu::TwoLevel;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::vec::Vec;

/// Calls `run` while every lock of the handlers is held, and fails if it waits for one.
fn with_all_locks_held<R: Send + 'static>(
    machine: &'static Emulator,
    run: impl FnOnce() -> R + Send + 'static,
) -> R {
    let handlers = machine.handlers();
    let (sender, receiver) = mpsc::channel();
    let slots: Vec<_> = handlers.slots.iter().map(Locked::hold).collect();
    let held = (slots, handlers.preempt.hold(), handlers.timer.hold(), handlers.lines.hold());
    thread::spawn(move || {
        // A panic drops the sender.
        _ = sender.send(run());
    });
    let answer = receiver.recv_timeout(Duration::from_secs(20));
    drop(held);
    answer.expect("it waits for no lock")
}

/// They come when they like, also to a CPU that holds a lock.
#[test]
fn nmi_machine_check_and_debug_take_no_lock() {
    let machine = machine();
    with_all_locks_held(machine, || assert!(raise(machine, Exception::Nmi.vector())));
    assert_eq!(machine.handlers().counts().nmis, 1);
    with_all_locks_held(machine, || assert!(raise(machine, Exception::Debug.vector())));
    assert_eq!(machine.handlers().counts().debug, 1);
    let stopped = with_all_locks_held(machine, || {
        let trap = Trap::new(Exception::MachineCheck.vector());
        crate::interrupt::fixture::stopped(machine, trap)
    });
    assert!(stopped.starts_with("#MC (machine check)"), "{stopped}");
}

/// What is refused inside handlers asks for the depth, which takes no lock either.
#[test]
fn the_depth_takes_no_lock() {
    let machine = machine();
    assert_eq!(with_all_locks_held(machine, || machine.handlers().handlers_on(BOOT)), 0);
}

#[test]
fn a_copy_has_the_handlers_and_shares_nothing() {
    let machine = machine();
    let calls = interrupts(machine);
    calls.register_software(0x80, handler(|_| {})).unwrap();
    calls.set_preempt(&|| {});
    let copy: Emulated<TwoLevel> = machine.clone();
    assert_eq!(copy.digest(), machine.digest());
    assert!(interrupts(&copy).unregister(0x80).is_ok());
    assert_ne!(copy.digest(), machine.digest());
    assert!(calls.unregister(0x80).is_ok(), "it is still here");
    assert_eq!(copy.digest(), machine.digest());
}

/// Each part of the state shows in the digest; the counters do not.
#[test]
fn the_digest_is_of_what_decides() {
    let machine = machine();
    let digest = || machine.handlers().digest();
    let calls = interrupts(machine);
    let empty = digest();
    let (one, other) = (handler(|_| {}), handler(|frame| assert!(!frame.is_from_user())));
    calls.register_software(0x80, one).unwrap();
    let with_one = digest();
    assert_ne!(with_one, empty);
    calls.unregister(0x80).unwrap();
    assert_eq!(digest(), empty);
    calls.register_software(0x80, other).unwrap();
    assert_ne!(digest(), with_one, "another handler");
    calls.unregister(0x80).unwrap();
    calls.register_software(0x81, one).unwrap();
    assert_ne!(digest(), with_one, "another vector");
    calls.unregister(0x81).unwrap();
    let guard = calls.no_preempt();
    let with_guard = digest();
    assert_ne!(with_guard, empty);
    let second = calls.no_preempt();
    assert_ne!(digest(), with_guard, "how many there are");
    drop((guard, second));
    assert_eq!(digest(), empty);
    calls.register_line(Line::TIMER, handler(|_| {})).unwrap();
    let masked = digest();
    calls.unmask(Line::TIMER).unwrap();
    assert_ne!(digest(), masked, "which lines are masked");
    calls.unregister(32).unwrap();
    assert_eq!(digest(), empty);
    raise(machine, 0x80_u8);
    raise(machine, Exception::Nmi.vector());
    assert_eq!(digest(), empty);
    calls.set_preempt(&|| {});
    assert_ne!(digest(), empty);
}

/// A count of guards that is full stays full: no guard is ever taken for another's.
#[test]
fn a_full_count_of_guards_is_never_counted_down() {
    let handlers = Handlers::new();
    let guards = &handlers.nesting(BOOT).unwrap().no_preempt;
    guards.store(u32::MAX - 1, Ordering::Relaxed);
    handlers.forbid_preemption(BOOT);
    assert_eq!(guards.load(Ordering::Relaxed), u32::MAX);
    handlers.forbid_preemption(BOOT);
    handlers.allow_preemption(BOOT);
    handlers.allow_preemption(BOOT);
    assert_eq!(guards.load(Ordering::Relaxed), u32::MAX);
    guards.store(0, Ordering::Relaxed);
    handlers.allow_preemption(BOOT);
    assert_eq!(guards.load(Ordering::Relaxed), 0);
}

#[test]
fn handlers_are_shown_by_name() {
    assert_eq!(std::format!("{:?}", Handlers::new()), "Handlers { .. }");
}
