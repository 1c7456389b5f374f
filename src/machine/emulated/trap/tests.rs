//! A CPU that is interrupted behaves as one: IF, and who it is.

extern crate std;

use super::*;
use crate::interrupt::{Interrupts, Line};
use crate::machine::emulated::fixture::{BOOT, OTHER, machine};
use crate::mmu::TwoLevel;
use std::boxed::Box;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

fn trap(number: u8) -> Trap {
    Trap::new(Vector::from_number(number))
}

#[test]
fn the_thread_is_the_cpu_that_is_interrupted() {
    let machine: &Emulated<TwoLevel> = Box::leak(Box::new(machine()));
    let seen: &Mutex<Vec<u32>> = Box::leak(Box::default());
    let note = move |_: &crate::interrupt::TrapFrame<'_>| seen.lock().unwrap().push(machine.cpu().number());
    Interrupts::new(machine).register_software(0x80, Box::leak(Box::new(note))).unwrap();
    assert!(machine.raise(OTHER, trap(0x80)));
    assert!(machine.raise(BOOT, trap(0x80)));
    assert_eq!(*seen.lock().unwrap(), [1, 0]);
    assert_eq!(machine.cpu(), BOOT);
}

/// What `iret` does.
#[test]
fn if_comes_back() {
    let machine = machine::<TwoLevel>();
    Interrupts::new(&machine).register_exception(Exception::PageFault, &|_| {}).unwrap();
    for enabled in [true, false] {
        machine.set_interrupts(BOOT, enabled);
        for vector in [14, 0x80, 1, 2] {
            assert!(machine.raise(BOOT, trap(vector)));
            assert_eq!(machine.interrupts_enabled(BOOT), enabled);
        }
    }
}

#[test]
fn only_lines_wait_for_if() {
    let machine = machine::<TwoLevel>();
    machine.set_interrupts(BOOT, false);
    for line in Line::all() {
        assert!(!machine.raise(BOOT, Trap::new(Vector::of_line(line))));
        assert!(machine.raise(OTHER, Trap::new(Vector::of_line(line))));
    }
    assert_eq!(Interrupts::new(&machine).counts().stray_lines, 15);
}

/// A request of another CPU finds IF clear, and waits.
#[test]
fn it_is_not_interrupted_meanwhile() {
    let machine: &Emulated<TwoLevel> = Box::leak(Box::new(machine()));
    let ask = move |_: &crate::interrupt::TrapFrame<'_>| {
        machine.as_cpu(OTHER, || {
            // SAFETY: stands for the library's request to flush.
            unsafe { machine.interrupt(BOOT, &|| panic!("IF is clear")) }
        });
    };
    Interrupts::new(machine).register_software(0x80, Box::leak(Box::new(ask))).unwrap();
    assert!(machine.raise(BOOT, trap(0x80)));
    assert_eq!(machine.counters(BOOT).deferred, 1);
}

/// Whoever chooses what runs next is told where a trap begins and ends.
#[test]
fn hooks_see_it_come_and_go() {
    let machine = machine::<TwoLevel>();
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = steps.clone();
    machine.set_hook(Some(Arc::new(move |event| seen.lock().unwrap().push((event.cpu, event.what)))));
    assert!(machine.raise(OTHER, trap(0x80)));
    let steps = steps.lock().unwrap().clone();
    let at = |what| steps.iter().position(|step| *step == (OTHER, what)).unwrap();
    assert!(at(Step::InterruptsOff) < at(Step::Enter) && at(Step::Enter) < at(Step::Leave));
}
