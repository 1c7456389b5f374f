use super::super::fixture::*;
use super::super::{Direction, Event};
use super::*;
use crate::mmu::TwoLevel;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const COUNTER: PhysAddr = PhysAddr::new(0x1000);

fn increment(machine: &Emulated<TwoLevel>) {
    // SAFETY: the address lies in RAM, which holds no tables here.
    let before: u32 = unsafe { machine.load(COUNTER) };
    // SAFETY: as above.
    unsafe { machine.store(COUNTER, before + 1) };
}

fn interrupt(machine: &Emulated<TwoLevel>, cpu: Cpu, run: &dyn Fn()) {
    // SAFETY: the handler is the test's own.
    unsafe { machine.interrupt(cpu, run) };
}

#[test]
fn a_thread_is_the_cpu_that_it_was_made() {
    let machine = machine::<TwoLevel>();
    assert_eq!((machine.cpu(), machine.cpus()), (BOOT, 2));
    let inner =
        machine.as_cpu(OTHER, || (machine.cpu(), machine.as_cpu(BOOT, || machine.cpu()), machine.cpu()));
    assert_eq!(inner, (OTHER, BOOT, OTHER));
    let unwound = std::panic::catch_unwind(|| machine.as_cpu(OTHER, || panic!("on purpose")));
    assert!(unwound.is_err());
    assert_eq!(machine.cpu(), BOOT);
}

#[test]
fn interrupts_run_where_if_is_set() {
    let machine = machine::<TwoLevel>();
    let taken = || machine.counters(OTHER);
    let run = || {
        assert_eq!(machine.cpu(), OTHER);
        assert!(!machine.interrupts_off(), "IF is clear inside");
        increment(&machine);
        // It can interrupt another in turn.
        interrupt(&machine, BOOT, &|| increment(&machine));
    };
    interrupt(&machine, OTHER, &run);
    assert_eq!((machine.peek::<u32>(COUNTER), taken().interrupts), (2, 1));
    assert!(machine.interrupts_enabled(OTHER));
    machine.as_cpu(OTHER, || assert!(machine.interrupts_off()));
    interrupt(&machine, OTHER, &run);
    assert_eq!((taken().interrupts, taken().deferred), (1, 1));
    // SAFETY: they were on.
    machine.as_cpu(OTHER, || unsafe { machine.interrupts_on() });
    machine.defer_interrupts(OTHER, 2);
    (0..3).for_each(|_| interrupt(&machine, OTHER, &run));
    assert_eq!((taken().interrupts, taken().deferred), (2, 3));
    machine.reset_counters();
    assert_eq!(taken(), Default::default());
}

#[test]
fn an_interrupt_that_panics_leaves_the_cpu_as_it_was() {
    let machine = machine::<TwoLevel>();
    let unwound = std::panic::catch_unwind(|| interrupt(&machine, OTHER, &|| panic!("on purpose")));
    assert!(unwound.is_err());
    assert!(machine.interrupts_enabled(OTHER));
    assert_eq!(machine.cpu(), BOOT);
    assert!(machine.interrupts_off());
}

#[test]
fn a_cpu_on_another_thread_does_not_work_while_it_is_interrupted() {
    let machine = machine::<TwoLevel>();
    let rounds = 2000;
    thread::scope(|scope| {
        scope.spawn(|| {
            machine.as_cpu(OTHER, || {
                for _ in 0..rounds {
                    assert!(machine.interrupts_off());
                    increment(&machine);
                    // SAFETY: they were on.
                    unsafe { machine.interrupts_on() };
                }
            })
        });
        while machine.counters(OTHER).interrupts < rounds {
            interrupt(&machine, OTHER, &|| increment(&machine));
        }
    });
    assert_eq!(u64::from(machine.peek::<u32>(COUNTER)), 2 * rounds);
}

#[test]
fn a_cpu_that_is_interrupted_waits_with_its_own_work() {
    let machine = machine::<TwoLevel>();
    let begun = AtomicBool::new(false);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            machine.as_cpu(OTHER, || {
                while !begun.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                assert!(machine.interrupts_off());
                assert!(done.load(Ordering::SeqCst));
            })
        });
        interrupt(&machine, OTHER, &|| {
            begun.store(true, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(50));
            done.store(true, Ordering::SeqCst);
        });
    });
}

#[test]
fn the_hook_sees_each_step_before_it_is_taken() {
    let machine = Arc::new(machine::<TwoLevel>());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, looking) = (Arc::clone(&seen), Arc::downgrade(&machine));
    machine.set_hook(Some(Arc::new(move |event: Event| {
        let value: u32 = looking.upgrade().unwrap().peek(COUNTER);
        log.lock().unwrap().push((event.cpu, event.what, value));
    })));
    machine.as_cpu(OTHER, || increment(&machine));
    interrupt(&machine, OTHER, &|| machine.invalidate_page(page(7)));
    machine.as_cpu(OTHER, || machine.interrupts_off());
    interrupt(&machine, OTHER, &|| ());
    // SAFETY: no table and no borrow is there.
    unsafe { machine.zero(frame(1)) };
    load_root(&machine, BOOT, 2);
    machine.poke(COUNTER, 5u32);
    machine.fill_nth(BOOT, page(0), 0);
    machine.set_hook(None);
    increment(&machine);
    let expected = [
        (OTHER, Step::Load(COUNTER), 0),
        (OTHER, Step::Store(COUNTER), 0),
        (BOOT, Step::Interrupt(OTHER), 1),
        (OTHER, Step::Enter, 1),
        (OTHER, Step::InvalidatePage(page(7)), 1),
        (OTHER, Step::Leave, 1),
        (OTHER, Step::InterruptsOff, 1),
        (BOOT, Step::Interrupt(OTHER), 1),
        (BOOT, Step::Wait, 1),
        (BOOT, Step::Zero(frame(1)), 1),
        (BOOT, Step::LoadRoot(frame(2)), 0),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn devices_are_on_record_and_answer_as_told() {
    let machine = machine::<TwoLevel>();
    let register = PhysAddr::new(0xfee0_0000);
    machine.devices().inject(Register::Port(0x60), 0x1_23);
    machine.devices().inject(Register::Memory(register), 7);
    // SAFETY: nobody else owns the port.
    let port = || unsafe { machine.port_read::<u8>(0x60) };
    let mapped = map_device(&machine, register, 0x1b);
    let before = machine.digest();
    // SAFETY: nobody else owns the register, which is mapped.
    let read = (port(), port(), unsafe { machine.device_read::<u32>(mapped, register) });
    assert_eq!(read, (0x23, 0xff, 7));
    assert_eq!(machine.digest(), before);
    // SAFETY: as above.
    machine.as_cpu(OTHER, || unsafe { machine.port_write(0x21, 0xffu8) });
    let after = machine.digest();
    assert_ne!(after, before);
    // SAFETY: as above.
    unsafe { machine.device_write(mapped, register, 1u32) };
    assert_ne!(machine.digest(), after);
    let log = machine.devices().log.clone();
    assert_eq!(log.len(), 5);
    assert_eq!((log[3].cpu, log[3].direction, log[3].value), (OTHER, Direction::Write, 0xff));
    assert_eq!(log[4].register, Register::Memory(register));
}

#[test]
#[should_panic(expected = "which is RAM")]
fn ram_is_no_device() {
    // SAFETY: it is not; the machine says so.
    unsafe { machine::<TwoLevel>().device_read::<u32>(VirtAddr::new(0), COUNTER) };
}

/// Where `register` is mapped from now on, by an entry with these low bits.
fn map_device(machine: &Emulated<TwoLevel>, register: PhysAddr, bits: u32) -> VirtAddr {
    machine.poke(word(0, 0), 0x3007_u32);
    machine.poke(word(3, 5), register.containing().start().get() | bits);
    VirtAddr::new(0x5000 | register.offset())
}

/// A mapping that a device must not be reached by is no way to it.
#[test]
fn the_way_to_a_device_is_judged() {
    let register = PhysAddr::new(0xfee0_0008);
    // Cached, half cached, for programs, read-only, absent.
    for bits in [0x03, 0x13, 0x0b, 0x1f, 0x19, 0x1a] {
        let machine = machine::<TwoLevel>();
        let mapped = map_device(&machine, register, bits);
        // SAFETY: nobody else owns the register.
        let read = || unsafe { machine.device_read::<u32>(mapped, register) };
        assert!(std::panic::catch_unwind(read).is_err(), "{bits:#x}");
    }
    // Another offset, another frame, and a CPU that remembers another.
    let machine = machine::<TwoLevel>();
    let mapped = map_device(&machine, register, 0x1b);
    for other in [0xfee0_000c, 0xfee0_1008] {
        // SAFETY: as above.
        let read = || unsafe { machine.device_read::<u32>(mapped, PhysAddr::new(other)) };
        assert!(std::panic::catch_unwind(read).is_err(), "{other:#x}");
    }
    assert!(machine.fill_nth(BOOT, mapped.containing(), 0));
    map_device(&machine, PhysAddr::new(0xfee0_1008), 0x1b);
    // SAFETY: as above.
    let read = || unsafe { machine.device_read::<u32>(mapped, PhysAddr::new(0xfee0_1008)) };
    assert!(std::panic::catch_unwind(read).is_err());
}

#[test]
fn a_machine_is_claimed_once() {
    let machine = machine::<TwoLevel>();
    assert!(machine.claim());
    assert!(!machine.claim());
    assert!(!machine.clone().claim());
}

#[test]
fn a_grant_is_aligned_and_of_the_size_asked_for() {
    let machine = machine::<TwoLevel>();
    let frames = FrameRange::new(frame(3), 2).unwrap();
    // SAFETY: nobody else has the frames.
    let memory = unsafe { machine.grant(frames) };
    assert_eq!((memory.len(), memory.as_ptr().addr() % 4096), (8192, 0));
    memory[8191].write(1);
}

#[test]
#[should_panic(expected = "stopped: a reason")]
fn a_stop_is_a_panic() {
    machine::<TwoLevel>().stop("a reason")
}
