#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

extern crate std;

use crate::frame::Kind;
use crate::init::tests::world::{World, frame, world};
use crate::mmu::{Pae, Rights, TwoLevel};
use crate::violation::Violation;
use std::boxed::Box;
use std::sync::Mutex;
use std::vec::Vec;

/// Where an observer notes what it is told.
fn notes(sva: &World<Pae>) -> &'static Mutex<Vec<Violation>> {
    let notes: &'static Mutex<Vec<Violation>> = Box::leak(Box::default());
    assert!(sva.observe_refusals(Box::leak(Box::new(|violation| notes.lock().unwrap().push(violation)))));
    notes
}

/// One refusal of every family, told once, and in its words; what succeeds is not told.
#[test]
fn each_refusal_is_told_once() {
    let sva = world::<Pae>(1);
    let notes = notes(&sva);
    let told = || core::mem::take(&mut *notes.lock().unwrap());
    let (table, data) = (frame(20), frame(21));

    sva.declare_table(table, 1).unwrap();
    sva.retype(data, Kind::UserData).unwrap();
    sva.map(table, 0, data, Rights::Read).unwrap();
    drop(sva.io().claim(0x3f8, 8).unwrap());
    assert_eq!(told(), []);

    let refusals = [
        sva.map(table, 0, data, Rights::Read).err(),
        sva.unmap(table, 1).err(),
        sva.protect(table, 1, Rights::Read).err(),
        sva.replace(table, 1, data, Rights::Read).err(),
        sva.take_accessed_dirty(table, 1).err(),
        sva.link(table, 0, table).err(),
        sva.unlink(table, 0).err(),
        sva.declare_table(data, 1).err(),
        sva.declare_table(data, 9).err(),
        sva.declare_root(data).err(),
        sva.remove_table(table).err(),
        sva.remove_root(table).err(),
        sva.retype(data, Kind::Free).err(),
        sva.retype(data, Kind::Root).err(),
        sva.load_root(table).err(),
        sva.translate(table, crate::address::Page::ZERO).err(),
        sva.read_entry(data, 0).err(),
        sva.read_bytes(table, 0, &mut [0]).err(),
        sva.write_bytes(data, 4096, &[0]).err(),
        sva.grant_memory(crate::address::FrameRange::EMPTY).err(),
        crate::mmu::KernelPages::new(&sva, crate::address::FrameRange::EMPTY).err(),
        sva.map_batch(table, 0, &[(data, Rights::Read)]).refused,
        sva.unmap_batch(table, 1, &mut [None]).refused,
        sva.protect_batch(data, 0, &[Rights::Read]).refused,
        sva.read_batch(data, 0, &mut [None]).refused,
        sva.io().claim(0x20, 2).err(),
        sva.io().claim(0x3f8, 0).err(),
        sva.io().claim(0x3f8, 8).unwrap().read::<u32>(5).err(),
        sva.interrupts().unregister(77).err(),
        sva.interrupts().unmask(crate::interrupt::Line::TIMER).err(),
        sva.interrupts().register_software(256, &|_| ()).err(),
        sva.timer().start_periodic(1).err(),
    ];
    for (number, refusal) in refusals.iter().enumerate() {
        assert!(refusal.is_some(), "call {number} is to be refused");
    }
    assert_eq!(told(), refusals.into_iter().flatten().collect::<Vec<_>>());
}

#[test]
fn the_first_observer_stays() {
    let sva = world::<Pae>(1);
    let notes = notes(&sva);
    assert!(!sva.observe_refusals(&|_| panic!("the second is not told")));
    sva.declare_root(frame(0)).unwrap_err();
    assert_eq!(notes.lock().unwrap().len(), 1);
    // A copy of the world has no observer.
    sva.clone().declare_root(frame(0)).unwrap_err();
    assert_eq!(notes.lock().unwrap().len(), 1);
}

/// What the observer is refused itself it is not told; and it runs with interrupts as its caller had them.
#[test]
fn the_observer_may_call_the_library() {
    let sva: &'static World<TwoLevel> = Box::leak(Box::new(world(1)));
    let seen: &'static Mutex<Vec<(Violation, bool)>> = Box::leak(Box::default());
    let observe = move |violation| {
        sva.declare_root(frame(0)).unwrap_err();
        seen.lock()
            .unwrap()
            .push((violation, sva.machine().interrupts_enabled(crate::init::tests::world::cpu(0))));
    };
    assert!(sva.observe_refusals(Box::leak(Box::new(observe))));
    sva.remove_table(frame(20)).unwrap_err();
    sva.machine().set_interrupts(crate::init::tests::world::cpu(0), false);
    sva.remove_table(frame(20)).unwrap_err();
    let expected = Violation::NotATable(frame(20));
    assert_eq!(*seen.lock().unwrap(), [(expected, true), (expected, false)]);
}
