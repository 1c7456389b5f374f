//! The machine objects to what hardware would fault at, or would let pass to no good.

extern crate std;

use super::*;
use crate::context::{TlsLimit, TlsSegment};
use crate::machine::Context as _;
use crate::machine::emulated::fixture::{BOOT, OTHER, machine};
use crate::mmu::TwoLevel;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;

type Machine = Emulated<TwoLevel>;

const USER: u16 = UserContext::DATA;

/// What the machine says when it objects to `run`.
fn objection(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    match panic.downcast::<String>() {
        Ok(said) => *said,
        Err(panic) => (*panic.downcast_ref::<&str>().unwrap()).into(),
    }
}

fn segment(base: u32) -> Descriptor {
    Descriptor::tls(TlsSegment { base, limit: TlsLimit::Bytes(0xfff) })
}

fn set_tls(machine: &Machine, slot: u32, segment: Descriptor) {
    // SAFETY: a slot below 3, and data of ring 3 or null.
    unsafe { machine.set_tls(slot, segment) }
}

fn context() -> UserContext {
    UserContext::new(VirtAddr::new(0), VirtAddr::new(0))
}

/// Enters ring 3 with interrupts off, as the library does.
fn enter(machine: &Machine, mut context: UserContext) -> (UserTrap, UserContext) {
    machine.set_interrupts(BOOT, false);
    (machine.run_program(&mut context), context)
}

#[test]
fn two_cpus_are_not_on_one_stack() {
    let machine = machine::<TwoLevel>();
    assert_ne!(machine.stack_pointer(), machine.as_cpu(OTHER, || machine.stack_pointer()));
    machine.change_stack(0x1ff0);
    let said = objection(|| machine.as_cpu(OTHER, || machine.change_stack(0x1ff0)));
    assert_eq!(said, "CPUs 1 and 0 are on one stack");
    machine.as_cpu(OTHER, || machine.change_stack(0x2ff0));
    machine.change_stack(0x1ff0);
    assert!(objection(|| machine.change_stack(0x2ff0)).ends_with("one stack"));
}

/// Null, data of ring 3, and TLS slots that are full.
#[test]
fn segment_registers_take_what_the_gdt_has() {
    let machine = machine::<TwoLevel>();
    for selector in [8, 0x10, 0x1b, 0x28, 0x30, 0x3b, 0x43, 0x4b, 0x53, 0x27, 4, 0xfffb] {
        assert!(objection(|| machine.load_selectors(selector, 0)).starts_with("#GP"), "{selector:#x}");
        assert!(objection(|| machine.load_selectors(0, selector)).starts_with("#GP"), "{selector:#x}");
        let context = UserContext { ds: selector, ..context() };
        assert!(objection(|| _ = enter(&machine, context)).starts_with("#GP"), "{selector:#x}");
    }
    set_tls(&machine, 1, segment(0x5000));
    for selector in [0, 3, USER, 0x20, 0x43, 0x40] {
        machine.load_selectors(selector, selector);
        assert_eq!(machine.thread_selectors(BOOT), (selector, selector));
    }
    assert_eq!(machine.tls_descriptor(BOOT, 1), segment(0x5000).bits());
    assert_eq!(machine.tls_descriptor(OTHER, 1), 0, "each CPU has its own");
}

/// A CPU keeps the segment that it loaded.
#[test]
fn a_register_stands_for_what_was_loaded() {
    let machine = machine::<TwoLevel>();
    set_tls(&machine, 0, segment(0x1000));
    machine.load_selectors(0x3b, USER);
    let context = UserContext { fs: 0x3b, gs: USER, ..context() };
    enter(&machine, context);
    for other in [segment(0x2000), Descriptor::NULL] {
        set_tls(&machine, 0, other);
        assert!(objection(|| _ = enter(&machine, context)).contains("when they meant something else"));
    }
    set_tls(&machine, 0, segment(0x2000));
    machine.load_selectors(0x3b, USER);
    enter(&machine, context);
    // FS and GS are loaded before, and not by the way in.
    let other = UserContext { fs: 0, ..context };
    assert!(objection(|| _ = enter(&machine, other)).contains("not the program's"));
}

#[test]
fn only_flags_of_ring_3_enter_it() {
    let machine = machine::<TwoLevel>();
    let refused = |bits| {
        let context = UserContext { flags: UserFlags::forged(bits), ..context() };
        assert!(objection(|| _ = enter(&machine, context)).contains("in ring 3"), "{bits:#x}");
    };
    for bit in (0..32).filter(|bit| 1 << bit & (UserFlags::OWN | 0x202) == 0) {
        refused(0x202 | 1 << bit);
    }
    // Without IF, and without the bit that is always set.
    refused(2);
    refused(0x200);
    machine.set_interrupts(BOOT, true);
    let said = objection(|| _ = machine.run_program(&mut context()));
    assert_eq!(said, "ring 3 is entered with interrupts off");
}

/// A program is one function for all CPUs; without one it calls the kernel at once.
#[test]
fn a_program_comes_back_by_its_trap() {
    let machine = machine::<TwoLevel>();
    assert_eq!(enter(&machine, context()).0, UserTrap { vector: 0x80, error_code: 0 });
    let fault = VirtAddr::new(0x1234);
    machine.set_program(Some(Arc::new(move |cpu, context| {
        assert_eq!(cpu, BOOT);
        (context.fs, context.es, context.flags) = (0x3b, USER, UserFlags::new(u32::MAX));
        Trap { error_code: 6, fault, ..Trap::new(Vector::from_number(14)) }
    })));
    let (trap, context) = enter(&machine, context());
    assert_eq!(trap, UserTrap { vector: 14, error_code: 6 });
    assert_eq!(machine.fault_address(), fault);
    assert!(!machine.interrupts_enabled(BOOT));
    // It cannot load what is not there, nor change what is not its own.
    assert_eq!((context.fs, context.es, context.flags), (0, USER, UserFlags::new(u32::MAX)));
}

#[test]
fn floating_point_is_seen_while_ts_is_clear() {
    let machine = machine::<TwoLevel>();
    assert_eq!(machine.fp_registers(BOOT), None);
    assert!(!machine.set_fp_registers(BOOT, [1; 512]));
    machine.open_fp();
    assert_eq!(machine.fp_registers(BOOT), Some(FP_AT_POWER_ON));
    assert_eq!(machine.fp_registers(OTHER), None);
    assert!(machine.set_fp_registers(BOOT, [1; 512]));
    machine.close_fp();
    machine.open_fp();
    assert_eq!(machine.fp_registers(BOOT), Some([1; 512]));
}

#[test]
fn reserved_bits_of_mxcsr_are_gp() {
    let machine = machine::<TwoLevel>();
    for bit in 0..32 {
        let mut registers = [0xff; 512];
        registers[24..28].copy_from_slice(&(1_u32 << bit).to_le_bytes());
        if bit < 16 {
            machine.set_fp(registers);
        } else {
            assert!(objection(|| machine.set_fp(registers)).contains("MXCSR"), "bit {bit}");
        }
    }
}

/// Each part of what a thread has of a CPU.
#[test]
fn all_of_it_is_in_the_digest_and_in_a_clone() {
    let changes: [&dyn Fn(&Machine); 7] = [
        &|machine| machine.change_stack(0x1ff0),
        &|machine| machine.load_selectors(USER, 0),
        &|machine| machine.load_selectors(0, USER),
        &|machine| set_tls(machine, 0, segment(0)),
        &|machine| set_tls(machine, 2, segment(0)),
        &|machine| machine.open_fp(),
        &|machine| machine.set_fp([0; 512]),
    ];
    for change in changes {
        let machine = machine::<TwoLevel>();
        let before = machine.digest();
        change(&machine);
        let after = machine.digest();
        assert_ne!(after, before);
        assert_eq!(machine.clone().digest(), after);
    }
    // What a register stands for counts also when all that can be read is the same.
    let machines = [0x1000, 0x2000].map(|base| {
        let machine = machine::<TwoLevel>();
        set_tls(&machine, 0, segment(base));
        machine.load_selectors(0x3b, 0);
        set_tls(&machine, 0, segment(0x3000));
        machine.digest()
    });
    assert_ne!(machines[0], machines[1]);
}

#[test]
fn an_entry_is_played_once() {
    let sva = crate::init::tests::world::world_with_threads::<TwoLevel>(1);
    assert_eq!(objection(|| sva.play_entry()), "the running thread has no entry");
    let frame = crate::init::tests::world::frame;
    let [first, second] = [20, 21].map(|number| {
        let stack = sva.declare_stack(&[frame(number)]).unwrap();
        sva.new_thread(stack, None, || None).unwrap()
    });
    sva.swap(first).unwrap();
    sva.play_entry();
    assert_eq!(sva.current_thread().number(), 0);
    let copy = sva.clone();
    copy.swap(second).unwrap();
    assert_eq!(objection(|| copy.play_entry()), "the running thread has no entry");
    // Which entry a test takes for itself is not played.
    sva.swap(second).unwrap();
    sva.end_thread(None);
    assert!(sva.machine.take_entry(second.number()).is_none());
}
