use super::super::fixture::*;
use super::*;
use crate::address::PhysAddr;
use crate::machine::{Machine, Memory};
use crate::mmu::Pae;
use std::format;
use std::sync::atomic::{AtomicU32, Ordering};

const COUNTER: PhysAddr = PhysAddr::new(0x1000);
const LOCK: PhysAddr = PhysAddr::new(0x2000);

type World = Emulated<Pae>;

fn load(machine: &World, at: PhysAddr) -> u32 {
    // SAFETY: the address lies in RAM, which holds no tables here.
    unsafe { machine.load(at) }
}

fn store(machine: &World, at: PhysAddr, value: u32) {
    // SAFETY: as in `load`.
    unsafe { machine.store(at, value) }
}

fn add(machine: &World, at: PhysAddr, value: u32) -> u32 {
    // SAFETY: as in `load`.
    unsafe { machine.fetch_add(at, value) }
}

fn increment(machine: &World) {
    store(machine, COUNTER, load(machine, COUNTER) + 1);
}

fn locked(machine: &World) {
    // SAFETY: as in `load`.
    while unsafe { machine.compare_exchange(LOCK, 0u32, 1) }.is_err() {}
    increment(machine);
    store(machine, LOCK, 0);
}

fn explore_pair(preemptions: usize, body: fn(&World), sum: u32) -> Result<u64, Failure> {
    let check = |machine: &World| assert_eq!(machine.peek::<u32>(COUNTER), sum, "an update was lost");
    explore(preemptions, machine, |machine| machine, &[&body, &body], check)
}

#[test]
fn one_preemption_loses_an_update() {
    assert_eq!(explore_pair(0, increment, 2), Ok(2));
    let failure = explore_pair(1, increment, 2).unwrap_err();
    assert_eq!(failure.cpu, None);
    assert!(failure.message.contains("an update was lost"));
    // The schedule alone brings it about again.
    let machine = machine::<Pae>();
    let body = || increment(&machine);
    failure.schedule.run(&machine, &[&body, &body]).unwrap();
    assert_eq!(machine.peek::<u32>(COUNTER), 1);
}

#[test]
fn atomic_and_locked_updates_are_never_lost() {
    let atomic = |machine: &World| _ = add(machine, COUNTER, 1);
    for preemptions in 0..4 {
        explore_pair(preemptions, atomic, 2).unwrap();
        explore_pair(preemptions, locked, 2).unwrap();
    }
}

#[test]
fn every_order_runs_once() {
    // Two bodies of n steps each have (2n choose n) orders; with enough preemptions all run.
    let body = |machine: &World| (0..3).for_each(|_| _ = add(machine, COUNTER, 1));
    let orders = std::sync::Mutex::new(Vec::new());
    let logged = || {
        let machine = machine::<Pae>();
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        (machine, log)
    };
    let step = |(machine, log): &(World, Arc<std::sync::Mutex<Vec<u32>>>)| {
        for _ in 0..3 {
            add(machine, COUNTER, 1);
            log.lock().unwrap().push(machine.cpu().number());
        }
    };
    let check = |(_, log): &(World, Arc<std::sync::Mutex<Vec<u32>>>)| {
        let order = log.lock().unwrap().clone();
        let mut orders = orders.lock().unwrap();
        assert!(!orders.contains(&order), "{order:?} ran twice");
        orders.push(order);
    };
    assert_eq!(explore(9, logged, |(machine, _)| machine, &[&step, &step], check), Ok(20));
    assert_eq!(orders.lock().unwrap().len(), 20);
    assert_eq!(explore_pair(9, body, 6), Ok(20));
    let counts: Vec<_> = (0..4).map(|preemptions| explore_pair(preemptions, body, 6)).collect();
    assert_eq!(counts, [Ok(2), Ok(6), Ok(14), Ok(18)]);
}

#[test]
fn three_cpus_take_turns_in_every_order() {
    let world = || Emulated::<Pae>::new(&super::super::Config::new(8, 3));
    let body = |machine: &World| _ = add(machine, COUNTER, 1);
    let check = |machine: &World| assert_eq!(machine.peek::<u32>(COUNTER), 3);
    assert_eq!(explore(5, world, |machine| machine, &[&body, &body, &body], check), Ok(6));
}

#[test]
fn a_panic_names_its_schedule_and_ends_the_others() {
    let first = |machine: &World| {
        store(machine, COUNTER, 1);
        store(machine, COUNTER, 0);
    };
    let second = |machine: &World| {
        assert!(load(machine, COUNTER) == 0, "seen half-way");
        (0..100).for_each(|_| _ = load(machine, COUNTER));
    };
    let failure = explore(1, machine, |machine| machine, &[&first, &second], |_: &World| ()).unwrap_err();
    assert_eq!((failure.cpu, &*failure.message), (Some(OTHER), "seen half-way"));
    assert!(format!("{failure}").contains("-> CPU 1"));
}

#[test]
fn interrupts_wait_until_they_are_let_in() {
    let asks = |machine: &World| {
        let done = AtomicU32::new(0);
        let run = || {
            assert_eq!(machine.cpu(), OTHER);
            assert!(!machine.interrupts_off());
            increment(machine);
            done.store(1, Ordering::Relaxed);
        };
        while done.load(Ordering::Relaxed) == 0 {
            // SAFETY: the handler is the test's own.
            unsafe { machine.interrupt(OTHER, &run) };
        }
    };
    let works = |machine: &World| {
        for _ in 0..2 {
            let were_on = machine.interrupts_off();
            assert!(were_on);
            increment(machine);
            // SAFETY: they were on.
            unsafe { machine.interrupts_on() };
        }
    };
    let check = |machine: &World| {
        assert_eq!(machine.peek::<u32>(COUNTER), 3, "not interrupted in between");
        assert_eq!(machine.counters(OTHER).interrupts, 1);
    };
    let runs = explore(2, machine, |machine| machine, &[&asks, &works], check).unwrap();
    assert_eq!(explore(2, machine, |machine| machine, &[&asks, &works], check), Ok(runs));
    assert!(runs > 20, "{runs}");
}

#[test]
fn two_that_wait_for_each_other_are_reported() {
    let first = |machine: &World| while load(machine, COUNTER) == 0 {};
    let second = |machine: &World| while load(machine, LOCK) == 0 {};
    let machine = machine();
    let result = Schedule::default().run(&machine, &[&|| first(&machine), &|| second(&machine)]);
    assert!(result.unwrap_err().message.contains("without end"));
}

#[test]
fn a_hook_of_the_tests_own_sees_every_step_and_comes_back() {
    let machine = machine::<Pae>();
    let steps = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&steps);
    machine.set_hook(Some(Arc::new(move |_| _ = counted.fetch_add(1, Ordering::Relaxed))));
    let body = || increment(&machine);
    let run = Schedule::default().run(&machine, &[&body, &body]).unwrap();
    assert_eq!((steps.load(Ordering::Relaxed), run.points), (4, 4));
    increment(&machine);
    assert_eq!(steps.load(Ordering::Relaxed), 6);
    assert!(machine.set_hook(None).is_some());
}

/// Asks until the other CPU has taken an interrupt.
fn insist(machine: &World, run: &dyn Fn()) {
    while machine.counters(OTHER).interrupts == 0 {
        // SAFETY: the handler is the test's own.
        unsafe { machine.interrupt(OTHER, run) };
    }
}

#[test]
fn a_cpu_takes_no_step_while_it_is_interrupted() {
    let asks = |machine: &World| {
        insist(machine, &|| {
            store(machine, COUNTER, 1);
            store(machine, COUNTER, 0);
        })
    };
    let looks = |machine: &World| (0..3).for_each(|_| assert_eq!(load(machine, COUNTER), 0));
    explore(2, machine, |machine| machine, &[&asks, &looks], |_: &World| ()).unwrap();
}

#[test]
fn who_waits_lets_the_other_go_on_at_once() {
    let machine = machine::<Pae>();
    let asks = || insist(&machine, &|| increment(&machine));
    let works = || {
        assert!(machine.interrupts_off());
        increment(&machine);
        // SAFETY: they were on.
        unsafe { machine.interrupts_on() };
    };
    let switches = [Switch { point: 0, to: OTHER }, Switch { point: 1, to: BOOT }];
    let run = Schedule::new(switches).run(&machine, &[&asks, &works]).unwrap();
    assert_eq!((run.switches, machine.peek::<u32>(COUNTER)), (2, 2));
    assert_eq!(machine.counters(OTHER).deferred, 1);
}
