//! Registration against a plain model, and when interrupts come.

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
use crate::interrupt::fixture::{BOOT, Emulator, OTHER, handler, hook, interrupts, machine, raise};
use crate::interrupt::{TrapFrame, Vector};
use proptest::prelude::*;
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::vec::Vec;

/// `call` answers `violation`, and nothing is changed, nor told to a device.
#[track_caller]
fn refused(machine: &Emulator, call: impl FnOnce() -> Result<(), Violation>, violation: Violation) {
    let (before, log) = (machine.digest(), machine.devices().log.len());
    assert_eq!(call(), Err(violation));
    assert_eq!(machine.digest(), before, "a call that answered {violation:?} changed something");
    assert_eq!(machine.devices().log.len(), log);
}

/// A way to register a handler for a vector, if there is one.
#[derive(Clone, Copy, Debug)]
enum Way {
    Exception(Exception),
    Line(Line),
    Software(u32),
}

impl Way {
    /// Every argument of every call, and some numbers beyond 255.
    fn all() -> Vec<Way> {
        let exceptions = Exception::ALL.iter().copied().map(Way::Exception);
        let lines = Line::all().map(Way::Line);
        let software = (0..300).chain([0x180, 1 << 8, 1 << 16, 0x8000_0000, u32::MAX]).map(Way::Software);
        exceptions.chain(lines).chain(software).collect()
    }

    fn vector(self) -> u32 {
        match self {
            Way::Exception(exception) => exception.vector().into(),
            Way::Line(line) => 32 + u32::from(line.number()),
            Way::Software(vector) => vector,
        }
    }

    fn register(self, calls: Interrupts<'_, Emulator>, handler: Handler) -> Result<(), Violation> {
        match self {
            Way::Exception(exception) => calls.register_exception(exception, handler),
            Way::Line(line) => calls.register_line(line, handler),
            Way::Software(vector) => calls.register_software(vector, handler),
        }
    }

    /// What it must answer where `taken` says which vectors have handlers. By the numbers alone.
    fn expected(self, taken: &BTreeSet<u32>) -> Result<(), Violation> {
        let vector = self.vector();
        match self {
            Way::Exception(_) if [1, 2, 8, 18].contains(&vector) => Err(Violation::VectorReserved(vector)),
            Way::Software(256..) => Err(Violation::NoSuchVector(vector)),
            Way::Software(240..) => Err(Violation::VectorReserved(vector)),
            Way::Software(0..48) => Err(Violation::NotSoftware(vector)),
            _ if taken.contains(&vector) => Err(Violation::VectorTaken(vector)),
            _ => Ok(()),
        }
    }
}

/// Attack D2: every vector by every call, into an empty table, into one where all slots are full, and again
/// when all are empty.
#[test]
fn every_vector_by_every_call() {
    let machine = machine();
    let calls = interrupts(machine);
    let mut taken = BTreeSet::new();
    for _ in 0..2 {
        for round in 0..2 {
            for way in Way::all() {
                match way.expected(&taken) {
                    Ok(()) => {
                        assert_eq!(way.register(calls, handler(|_| {})), Ok(()), "{way:?}");
                        assert!(taken.insert(way.vector()));
                    }
                    Err(violation) => refused(machine, || way.register(calls, &|_| {}), violation),
                }
            }
            assert_eq!(taken.len(), 16 + 15 + 192, "round {round}");
        }
        for vector in (0..300).chain([1 << 8, u32::MAX]) {
            let expected = match vector {
                256.. => Err(Violation::NoSuchVector(vector)),
                _ if !taken.remove(&vector) => Err(Violation::NotRegistered(vector)),
                _ => Ok(()),
            };
            match expected {
                Ok(()) => assert_eq!(calls.unregister(vector), Ok(())),
                Err(violation) => refused(machine, || calls.unregister(vector), violation),
            }
        }
        assert!(taken.is_empty());
    }
}

/// What a client may do, with numbers that are picked modulo what there is.
#[derive(Clone, Debug)]
enum Call {
    Register(usize, u32),
    Unregister(u32),
    Mask(u32),
    Unmask(u32),
    Raise(u8),
}

fn call() -> impl Strategy<Value = Call> {
    // Mostly few vectors, so that they meet.
    let vector = prop_oneof![
        4 => prop::sample::select(std::vec![0_u32, 3, 8, 14, 32, 33, 39, 44, 47, 48, 0x80, 239]),
        1 => 0..270_u32
    ];
    let way = prop_oneof![4 => 0..36_usize, 1 => 0..340_usize, 2 => prop::sample::select(std::vec![35 + 48, 35 + 0x80, 35 + 239])];
    prop_oneof![
        4 => (way, 0..4_u32).prop_map(|(way, handler)| Call::Register(way, handler)),
        3 => vector.clone().prop_map(Call::Unregister),
        1 => (0..16_u32).prop_map(Call::Mask),
        2 => (0..16_u32).prop_map(Call::Unmask),
        4 => vector.prop_map(|vector| Call::Raise(vector as u8)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A map from vectors to handlers, and a set of open lines: that is all.
    #[test]
    fn a_table_is_a_map(sequence in prop::collection::vec(call(), 1..120)) {
        let machine = machine();
        let calls = interrupts(machine);
        // Four handlers, each of which notes its number and the vector.
        let noted: &Mutex<Vec<(u32, u32)>> = Box::leak(Box::default());
        let handlers: Vec<_> = (0..4)
            .map(|number| handler(move |frame| noted.lock().unwrap().push((number, frame.vector().into()))))
            .collect();
        let ways = Way::all();
        let (mut map, mut open) = (BTreeMap::new(), BTreeSet::new());
        let mut strays = (0, 0);
        for call in sequence {
            match call {
                Call::Register(way, number) => {
                    let way = ways[way % ways.len()];
                    let expected = way.expected(&map.keys().copied().collect());
                    prop_assert_eq!(way.register(calls, handlers[number as usize]), expected);
                    if expected.is_ok() {
                        map.insert(way.vector(), number);
                    }
                }
                Call::Unregister(vector) => {
                    let expected = match map.remove(&vector) {
                        Some(_) => Ok(()),
                        None if vector < 256 => Err(Violation::NotRegistered(vector)),
                        None => Err(Violation::NoSuchVector(vector)),
                    };
                    prop_assert_eq!(calls.unregister(vector), expected);
                    open.remove(&vector);
                }
                Call::Mask(line) => {
                    if let Some(known) = Line::new(line) {
                        calls.mask(known);
                        open.remove(&(32 + line));
                    }
                }
                Call::Unmask(line) => {
                    let Some(known) = Line::new(line) else { continue };
                    let vector = 32 + line;
                    let has_handler = map.contains_key(&vector);
                    let expected =
                        if has_handler { Ok(()) } else { Err(Violation::NotRegistered(vector)) };
                    prop_assert_eq!(calls.unmask(known), expected);
                    if has_handler {
                        open.insert(vector);
                    }
                }
                Call::Raise(number) => {
                    let vector = u32::from(number);
                    let is_exception = vector < 32;
                    if is_exception && !map.contains_key(&vector) {
                        // It would stop the machine; that is tested elsewhere.
                        continue;
                    }
                    prop_assert!(raise(machine, number));
                    match map.get(&vector) {
                        Some(handler) => {
                            prop_assert_eq!(noted.lock().unwrap().pop(), Some((*handler, vector)));
                        }
                        None if (32..48).contains(&vector) && vector != 34 => {
                            strays.0 += 1;
                            open.remove(&vector);
                        }
                        None => strays.1 += 1,
                    }
                }
            }
            prop_assert!(noted.lock().unwrap().is_empty());
            for line in Line::all() {
                let is_open = open.contains(&(32 + u32::from(line.number())));
                prop_assert_eq!(calls.is_masked(line), !is_open);
            }
            let counts = calls.counts();
            prop_assert_eq!((counts.stray_lines, counts.stray_software), strays);
        }
    }
}

/// The vector of a line that is unregistered is masked, whatever it was.
#[test]
fn unregistering_masks_the_line() {
    let machine = machine();
    let calls = interrupts(machine);
    for line in Line::all() {
        let vector = Vector::of_line(line).into();
        refused(machine, || calls.unmask(line), Violation::NotRegistered(vector));
        calls.register_line(line, &|_| {}).unwrap();
        assert!(calls.is_masked(line), "not before it is asked for");
        calls.unmask(line).unwrap();
        calls.unmask(line).unwrap();
        assert!(!calls.is_masked(line));
        calls.unregister(vector).unwrap();
        assert!(calls.is_masked(line));
    }
}

/// A handler may do with the table what it likes, also with its own slot.
#[test]
fn a_handler_may_unregister_itself_and_register_another() {
    let machine = machine();
    let calls = interrupts(machine);
    let runs: &AtomicU32 = Box::leak(Box::default());
    let second = handler(|_| {
        runs.fetch_add(100, Ordering::Relaxed);
    });
    let first = move |_: &TrapFrame<'_>| {
        let calls = interrupts(machine);
        runs.fetch_add(1, Ordering::Relaxed);
        assert_eq!(calls.register_software(0x80, second), Err(Violation::VectorTaken(0x80)));
        calls.unregister(0x80).unwrap();
        calls.register_software(0x80, second).unwrap();
        // It runs still.
        runs.fetch_add(1, Ordering::Relaxed);
    };
    calls.register_software(0x80, handler(first)).unwrap();
    raise(machine, 0x80_u8);
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    raise(machine, 0x80_u8);
    assert_eq!(runs.load(Ordering::Relaxed), 102);
}

/// A line's handler that unregisters itself: the line is masked, its interrupt is ended, the hook is called.
#[test]
fn a_line_s_handler_may_unregister_itself() {
    let machine = machine();
    let calls = interrupts(machine);
    let hooks: &AtomicU32 = Box::leak(Box::default());
    let vector = Vector::of_line(Line::TIMER);
    let once = move |_: &TrapFrame<'_>| interrupts(machine).unregister(vector.into()).unwrap();
    calls.register_line(Line::TIMER, handler(once)).unwrap();
    calls.unmask(Line::TIMER).unwrap();
    calls.set_preempt(hook(|| _ = hooks.fetch_add(1, Ordering::Relaxed)));
    raise(machine, vector);
    assert!(calls.is_masked(Line::TIMER));
    assert_eq!(hooks.load(Ordering::Relaxed), 1);
    assert_eq!(calls.counts().stray_lines, 0);
}

/// The hook may put another in its place, while it runs.
#[test]
fn the_hook_may_be_replaced_by_itself() {
    let machine = machine();
    let calls = interrupts(machine);
    let runs: &Mutex<Vec<u32>> = Box::leak(Box::default());
    let second = hook(|| runs.lock().unwrap().push(2));
    calls.register_line(Line::TIMER, &|_| {}).unwrap();
    calls.set_preempt(hook(move || {
        interrupts(machine).set_preempt(second);
        runs.lock().unwrap().push(1);
    }));
    for _ in 0..3 {
        raise(machine, Vector::of_line(Line::TIMER));
    }
    assert_eq!(*runs.lock().unwrap(), [1, 2, 2]);
}

/// Attack S13: interrupts stay off in a handler, however deep, and on whatever CPU.
#[test]
fn no_handler_enables_interrupts() {
    let machine = machine();
    let calls = interrupts(machine);
    let depths: &Mutex<Vec<u32>> = Box::leak(Box::default());
    let nested = move |frame: &TrapFrame<'_>| {
        let calls = interrupts(machine);
        let depth = depths.lock().unwrap().len() as u32 + 1;
        depths.lock().unwrap().push(depth);
        refused(machine, || calls.enable(), Violation::InHandler(depth));
        if depth < 5 {
            assert!(raise(machine, frame.vector()));
        }
        refused(machine, || calls.enable(), Violation::InHandler(depth));
        assert!(!calls.without_interrupts(|| machine.interrupts_enabled(BOOT)));
        assert!(!calls.disable());
        assert!(!machine.interrupts_enabled(BOOT));
        // Another CPU is not in a handler.
        machine.as_cpu(OTHER, || {
            calls.disable();
            calls.enable().unwrap();
        });
    };
    calls.register_exception(Exception::Breakpoint, handler(nested)).unwrap();
    raise(machine, Exception::Breakpoint.vector());
    assert_eq!(*depths.lock().unwrap(), [1, 2, 3, 4, 5]);
    assert!(machine.interrupts_enabled(BOOT));
    assert_eq!(calls.enable(), Ok(()));
}

#[test]
fn enable_and_disable() {
    let machine = machine();
    let calls = interrupts(machine);
    for before in [true, false] {
        machine.set_interrupts(BOOT, before);
        assert_eq!(calls.disable(), before);
        assert!(!machine.interrupts_enabled(BOOT));
        machine.set_interrupts(BOOT, before);
        assert_eq!(calls.enable(), Ok(()));
        assert!(machine.interrupts_enabled(BOOT));
    }
}

/// Whatever is done inside, to whatever depth, and if it panics.
#[test]
fn without_interrupts_restores_what_was() {
    let machine = machine();
    let calls = interrupts(machine);
    let is_on = || machine.interrupts_enabled(BOOT);
    for before in [true, false] {
        machine.set_interrupts(BOOT, before);
        let answer = calls.without_interrupts(|| {
            assert!(!is_on());
            calls.without_interrupts(|| assert!(!is_on()));
            assert!(!is_on());
            calls.without_interrupts(|| calls.enable().unwrap());
            assert!(!is_on(), "the inner one restores what it found");
            calls.enable().unwrap();
            calls.without_interrupts(|| assert!(!is_on()));
            assert!(is_on(), "as the enable above left them");
            7
        });
        assert_eq!((answer, is_on()), (7, before));
        calls.without_interrupts(|| _ = calls.disable());
        assert_eq!(is_on(), before);
        let unwound = catch_unwind(|| interrupts(machine).without_interrupts(|| panic!("on purpose")));
        assert!(unwound.is_err());
        assert_eq!(is_on(), before);
    }
}

/// Of CPUs that register for one vector at the same time, one wins.
#[test]
fn of_many_one_takes_a_vector() {
    const ROUNDS: u32 = 2_000;
    let machine = machine();
    let calls = interrupts(machine);
    let wins = |cpu| {
        thread::spawn(move || {
            machine.as_cpu(cpu, || {
                let calls = interrupts(machine);
                let won = |round: u32| calls.register_software(48 + round % 100, &|_| {}).is_ok();
                let mut taken = 0;
                for round in 0..ROUNDS {
                    if won(round) {
                        taken += 1;
                        calls.unregister(48 + round % 100).unwrap();
                    }
                }
                taken
            })
        })
    };
    let threads = [BOOT, OTHER].map(wins);
    let taken: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    // Each was refused at most where the other held the vector, which it then gave back.
    assert!((ROUNDS..=2 * ROUNDS).contains(&taken), "{taken}");
    for vector in 48..148 {
        assert_eq!(calls.unregister(vector), Err(Violation::NotRegistered(vector)));
    }
}

/// Handlers are found, or not, but never half: one CPU changes a slot while another is interrupted by it.
#[test]
fn a_slot_that_changes_is_never_seen_half() {
    let machine = machine();
    let seen: &[AtomicU32; 2] = Box::leak(Box::default());
    // Two closures of different types, so that data and vtable of one do not fit the other.
    let (a, b) = ([7_u64; 4], 9_u8);
    let first = handler(move |_| {
        assert_eq!(a, [7; 4]);
        seen[0].fetch_add(1, Ordering::Relaxed);
    });
    let second = handler(move |_| {
        assert_eq!(b, 9);
        seen[1].fetch_add(1, Ordering::Relaxed);
    });
    let changer = thread::spawn(move || {
        machine.as_cpu(OTHER, || {
            for round in 0..20_000 {
                let calls = interrupts(machine);
                calls.register_software(0x80, if round % 2 == 0 { first } else { second }).unwrap();
                calls.unregister(0x80).unwrap();
            }
        });
    });
    let mut raised = 0;
    while !changer.is_finished() {
        raise(machine, 0x80_u8);
        raised += 1;
    }
    changer.join().unwrap();
    let ran: u32 = seen.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    assert_eq!(ran + interrupts(machine).counts().stray_software, raised);
}
