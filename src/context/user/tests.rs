//! Whatever a context holds, it is ring 3 that is entered; and why it came back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::context::fixture::{
    CPUS, FREE, at, flows, handler, hook, in_both_modes, nothing, on, refused, sound, stack, stops, thread,
    threads,
};
use crate::context::{PerCpu, TLS_SLOTS, TlsLimit, TlsSegment};
use crate::frame::Kind;
use crate::frame::word::Word;
use crate::init::tests::world::{World, cpu, frame};
use crate::machine::emulated::Trap;
use crate::mmu::PagingMode;
use std::boxed::Box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

const ROOT: u32 = 30;

fn context() -> UserContext {
    UserContext::new(at(0x400), at(0x500))
}

fn segment(base: u32) -> Option<TlsSegment> {
    Some(TlsSegment { base, limit: TlsLimit::Pages(1) })
}

/// Lets `program` be what runs in ring 3.
fn set_program<P: PagingMode>(
    sva: &World<P>,
    program: impl Fn(&mut UserContext) -> Trap + Send + Sync + 'static,
) {
    sva.machine().set_program(Some(Arc::new(move |_, context| program(context))));
}

/// A program that makes a system call, and shows the registers that it began with.
fn shown<P: PagingMode>(sva: &World<P>, context: UserContext) -> UserContext {
    let seen = Arc::new(Mutex::new(None));
    let noted = seen.clone();
    set_program(sva, move |context| {
        *noted.lock().unwrap() = Some(*context);
        Trap::new(Vector::SYSTEM_CALL)
    });
    let mut context = context;
    assert_eq!(sva.run(sva.sealed_root(), &mut context), Ok(Exit::SystemCall));
    let seen = seen.lock().unwrap().take().unwrap();
    assert_eq!(context, seen, "it changed nothing");
    seen
}

/// What becomes of `selector`, where the TLS slots in the mask `tls` are full.
fn allowed(selector: u16, tls: u16) -> u16 {
    let (index, local) = (selector >> 3, selector & 4 != 0);
    let fits = match index {
        0 | 4 => true,
        7..=9 => tls & 1 << (index - 7) != 0,
        _ => false,
    };
    if fits && !local { selector } else { 0 }
}

/// Every value in every register alone, for every choice of full slots.
#[test]
fn all_selectors_are_null_data_or_a_full_slot() {
    for tls in 0..8 {
        let slot =
            |n: u16| if tls & 1 << n != 0 { Descriptor::tls(segment(0).unwrap()) } else { Descriptor::NULL };
        let segments = [slot(0), slot(1), slot(2)];
        for selector in 0..=u16::MAX {
            let usual = context();
            let expected = allowed(selector, tls);
            let mut all = UserContext { ds: selector, es: selector, fs: selector, gs: selector, ..usual };
            all.sanitise_selectors(&segments);
            assert_eq!([all.ds, all.es, all.fs, all.gs], [expected; 4], "{selector:#x} with {tls:#b}");
            if selector & 3 == 3 || selector < 0x60 {
                for register in 0..4 {
                    let mut one = usual;
                    *[&mut one.ds, &mut one.es, &mut one.fs, &mut one.gs][register] = selector;
                    one.sanitise_selectors(&segments);
                    let mut others = [0x23, 0x23, 0, 0];
                    others[register] = expected;
                    assert_eq!([one.ds, one.es, one.fs, one.gs], others);
                }
            }
        }
    }
}

/// The same on the way into ring 3, where values that are usual take a way of their own.
#[test]
fn all_selectors_at_entry() {
    let sva = threads::<crate::mmu::Pae>();
    sva.set_tls(1, segment(0x1000)).unwrap();
    let seen = Arc::new(Mutex::new([0; 4]));
    let noted = seen.clone();
    set_program(sva, move |context| {
        *noted.lock().unwrap() = [context.ds, context.es, context.fs, context.gs];
        Trap::new(Vector::SYSTEM_CALL)
    });
    let enter = |ds, es, fs, gs| {
        let mut context = UserContext { ds, es, fs, gs, ..context() };
        sva.run(sva.sealed_root(), &mut context).unwrap();
        *seen.lock().unwrap()
    };
    for selector in 0..=u16::MAX {
        let expected = allowed(selector, 0b10);
        // FS and GS are null before, and then something else.
        sva.set_tls(2, None).unwrap();
        assert_eq!(enter(0x23, 0x23, selector, selector), [0x23, 0x23, expected, expected]);
        assert_eq!(enter(selector, selector, selector, selector), [expected; 4]);
        if selector < 0x60 {
            assert_eq!(enter(0x23, 0x23, selector, 0x43), [0x23, 0x23, expected, 0x43]);
            assert_eq!(enter(0x23, 0x23, 0x43, selector), [0x23, 0x23, 0x43, expected]);
            assert_eq!(enter(selector, 0x23, 0, 0), [expected, 0x23, 0, 0]);
            assert_eq!(enter(0x23, selector, 0, 0), [0x23, expected, 0, 0]);
        }
    }
}

in_both_modes! {
    fn flags_are_those_of_the_context<P>() {
        let sva = threads::<P>();
        for bits in [0, 1, u32::MAX] {
            let flags = UserFlags::new(bits);
            assert_eq!(shown(sva, UserContext { flags, ..context() }).flags, flags);
        }
    }

    /// They need no trust: whatever they are, ring 3 goes there, or faults there.
    fn eip_and_esp_may_be_anything<P>() {
        let sva = threads::<P>();
        for address in [0, 1, 0xbfff_ffff, 0xc000_0000, 0xc000_1000, 0xd000_0000, 0xffff_fff0, u32::MAX] {
            let mut context = UserContext::new(VirtAddr::new(address), VirtAddr::new(!address));
            context.registers.eax = 0x1111_2222;
            let seen = shown(sva, context);
            assert_eq!((seen.instruction, seen.registers.esp), (address, !address));
            assert_eq!(seen.registers, context.registers);
        }
    }

    /// What the program leaves in its registers is what the context then holds.
    fn the_program_is_stopped_where_it_is<P>() {
        let sva = threads::<P>();
        set_program(sva, |context| {
            context.registers.eax += 1;
            context.instruction = 0xffff_fffe;
            context.flags = UserFlags::new(1 << 18);
            Trap::new(Vector::SYSTEM_CALL)
        });
        let mut context = context();
        for round in 1..4 {
            assert_eq!(sva.run(sva.sealed_root(), &mut context), Ok(Exit::SystemCall));
            assert_eq!((context.registers.eax, context.instruction), (round, 0xffff_fffe));
            assert_eq!(context.flags.bits(), 1 << 18 | 0x202);
        }
    }

    /// Each vector ends the turn, and is told by what it is.
    fn every_vector_has_its_reason<P>() {
        let sva = threads::<P>();
        let fault = VirtAddr::new(0xc000_1234);
        for vector in Vector::all() {
            let trap = Trap { error_code: 0x15, fault, ..Trap::new(vector) };
            let first = AtomicU32::new(0);
            set_program(sva, move |_| {
                let is_again = first.fetch_add(1, Ordering::Relaxed) != 0;
                if is_again { Trap::new(Vector::SYSTEM_CALL) } else { trap }
            });
            let mut context = context();
            let mut run = || sva.run(sva.sealed_root(), &mut context);
            let expected = match vector.number() {
                // The library's own: the program goes on.
                7 => Exit::SystemCall,
                0x80 => Exit::SystemCall,
                // Their gates lead elsewhere, whoever is interrupted.
                2 | 8 => continue,
                18 => {
                    stops(|| _ = run(), "an exception has no handler");
                    assert!(core::mem::take(&mut *sva.machine().console()).contains("#MC"));
                    sva.machine().set_interrupts(cpu(0), true);
                    continue;
                }
                number @ (0..=6 | 10..=14 | 16..=21) => Exit::Exception(UserException {
                    exception: Exception::new(vector).unwrap(),
                    code: ErrorCode::new(vector, 0x15),
                    address: (number == 14).then_some(fault),
                }),
                34 => Exit::Other(vector),
                number @ 32..48 => Exit::Interrupt(Line::new((number - 32).into()).unwrap()),
                _ => Exit::Other(vector),
            };
            assert_eq!(run(), Ok(expected), "vector {vector}");
            assert!(sva.machine().interrupts_enabled(cpu(0)));
        }
        sound(sva);
    }

    /// No handler is called for what a program brings about itself: its kernel is told, by `run`.
    fn exceptions_of_programs_go_to_nobody_else<P>() {
        let sva = threads::<P>();
        let calls = sva.interrupts();
        for exception in Exception::ALL.iter().copied().filter(|exception| !exception.is_reserved()) {
            calls.register_exception(exception, &|_| panic!("it was the program's")).unwrap();
        }
        calls.register_software(0x80, &|_| panic!("it was the program's")).unwrap();
        calls.set_preempt(&|| panic!("no device interrupted"));
        for vector in [0, 1, 3, 6, 13, 14, 0x80] {
            set_program(sva, move |_| Trap::new(Vector::from_number(vector)));
            sva.run(sva.sealed_root(), &mut context()).unwrap();
        }
    }

    /// First the line's handler, which sees the program, then the hook, and both with interrupts off.
    fn a_line_calls_its_handler_and_then_the_hook<P>() {
        let sva = threads::<P>();
        let seen: &Mutex<Vec<&str>> = Box::leak(Box::default());
        let off = || assert!(!sva.machine().interrupts_enabled(cpu(0)));
        let calls = sva.interrupts();
        calls.register_line(Line::TIMER, handler(move |frame| {
            off();
            assert!(frame.is_from_user());
            assert_eq!((frame.instruction(), frame.registers().esp), (at(0x777), at(0x500).get()));
            assert_eq!((frame.registers().ebx, frame.code_segment()), (77, 0x1b));
            refused(sva, || sva.run(sva.sealed_root(), &mut context()), Violation::InHandler(1));
            seen.lock().unwrap().push("handler");
        })).unwrap();
        let other = thread(sva, FREE);
        let boot = sva.current_thread();
        calls.set_preempt(hook(move || {
            off();
            seen.lock().unwrap().push("hook");
            sva.swap(other).unwrap();
        }));
        set_program(sva, |context| {
            context.instruction = at(0x777).get();
            context.registers.ebx = 77;
            Trap::new(Vector::of_line(Line::TIMER))
        });
        assert_eq!(sva.run(sva.sealed_root(), &mut context()), Ok(Exit::Interrupt(Line::TIMER)));
        assert_eq!(*seen.lock().unwrap(), ["handler", "hook"]);
        assert!(sva.machine().interrupts_enabled(cpu(0)));
        assert_eq!(sva.current_thread(), other, "the hook went over to it");
        sva.swap(boot).unwrap();
        // A guard keeps the hook back, not the handler.
        let guard = calls.no_preempt();
        sva.run(sva.sealed_root(), &mut context()).unwrap();
        drop(guard);
        assert_eq!(*seen.lock().unwrap(), ["handler", "hook", "handler"]);
        sound(sva);
    }

    /// The root is loaded and counted, stays loaded, and is not loaded twice.
    fn the_root_is_that_of_the_program<P>() {
        let sva = threads::<P>();
        let root = frame(ROOT);
        sva.declare_root(root).unwrap();
        sva.machine().reset_counters();
        set_program(sva, move |_| {
            assert_eq!(sva.machine().root_of(cpu(0)), root);
            Trap::new(Vector::SYSTEM_CALL)
        });
        for _ in 0..3 {
            sva.run(root, &mut context()).unwrap();
            assert_eq!((sva.root(), sva.mappings(root).writable), (root, 1));
        }
        assert_eq!(sva.machine().counters(cpu(0)).root_loads, 1);
        refused(sva, || sva.remove_root(root), Violation::RootInUse(root));
        sound(sva);
    }

    fn a_refused_run_changes_nothing<P>() {
        let sva = threads::<P>();
        set_program(sva, |_| panic!("it was refused"));
        sva.retype(frame(31), Kind::UserData).unwrap();
        sva.declare_table(frame(32), 1).unwrap();
        sva.declare_root(frame(33)).unwrap();
        sva.force(frame(33), Word::busy(Kind::Root));
        sva.declare_root(frame(34)).unwrap();
        let full = (0..0x7ff).fold(Word::unused(Kind::Root), |word, _| word.with(crate::frame::word::Uses::LOAD));
        sva.force(frame(34), full);
        let hostile = UserContext { flags: UserFlags::new(u32::MAX), ds: 8, es: 16, fs: 0xffff, gs: 40, ..context() };
        let attempts = [0, 1, 8, 11, FREE, 31, 32]
            .map(|number| Violation::NotARoot(frame(number)))
            .into_iter()
            .chain([12, 64, 0xf_ffff].map(|number| Violation::NoSuchFrame(frame(number))))
            .chain([Violation::FrameBusy(frame(33)), Violation::TooManyMappings(frame(34))]);
        for violation in attempts {
            let (Violation::NotARoot(root)
            | Violation::NoSuchFrame(root)
            | Violation::FrameBusy(root)
            | Violation::TooManyMappings(root)) = violation
            else {
                panic!("{violation:?}")
            };
            let mut context = hostile;
            refused(sva, || sva.run(root, &mut context), violation);
            assert_eq!(context, hostile);
        }
    }

    /// A kernel needs no window for stacks to run programs.
    fn a_flow_runs_programs_without_a_window_for_stacks<P>() {
        let sva = flows::<P>();
        for number in [0, 1] {
            on(sva, number, || {
                let selector = sva.set_tls(0, segment(0x1000)).unwrap();
                let with_tls = UserContext { fs: selector, gs: 0x43, ..context() };
                let seen = shown(sva, with_tls);
                assert_eq!((seen.fs, seen.gs), (selector, 0));
            });
        }
        sound(sva);
    }

    /// FS and GS are loaded anew when a slot is filled, changed or emptied, and on another CPU.
    fn fs_and_gs_are_loaded_when_they_must_be<P>() {
        let sva = threads::<P>();
        let boot = sva.current_thread();
        let id = thread(sva, FREE);
        sva.swap(id).unwrap();
        let selector = sva.set_tls(0, segment(0x1000)).unwrap();
        let with_tls = UserContext { fs: selector, gs: selector, ..context() };
        let selectors = || {
            let seen = shown(sva, with_tls);
            (seen.fs, seen.gs)
        };
        // The machine itself objects to a register that stands for an earlier segment.
        assert_eq!(selectors(), (selector, selector));
        assert_eq!(selectors(), (selector, selector));
        sva.set_tls(0, segment(0x2000)).unwrap();
        assert_eq!(selectors(), (selector, selector));
        sva.set_tls(0, None).unwrap();
        assert_eq!(selectors(), (0, 0));
        sva.set_tls(0, segment(0x3000)).unwrap();
        assert_eq!(selectors(), (selector, selector));
        sva.swap(boot).unwrap();
        assert_eq!(selectors(), (0, 0), "the slot is another thread's");
        on(sva, 1, || {
            sva.swap(id).unwrap();
            assert_eq!(selectors(), (selector, selector));
            sva.set_tls(0, None).unwrap();
            assert_eq!(selectors(), (0, 0));
        });
        sva.set_tls(0, segment(0x4000)).unwrap();
        assert_eq!(selectors(), (selector, selector));
    }

    /// What a program loads by itself is its own, and is not left in the registers.
    fn a_program_may_load_what_it_may_have<P>() {
        let sva = threads::<P>();
        let selectors: Vec<_> = (0..TLS_SLOTS).map(|slot| sva.set_tls(slot, segment(slot)).unwrap()).collect();
        for fs in [0, 3, 0x23, selectors[0], selectors[1], selectors[2]] {
            set_program(sva, move |context| {
                context.fs = fs;
                Trap::new(Vector::SYSTEM_CALL)
            });
            let mut context = context();
            sva.run(sva.sealed_root(), &mut context).unwrap();
            assert_eq!(context.fs, fs);
            assert_eq!(sva.machine().thread_selectors(cpu(0)), (0, 0));
            // What it loaded is not another's, whose FS was loaded before.
            assert_eq!(shown(sva, super::tests::context()).fs, 0);
            assert_eq!(shown(sva, context).fs, fs);
            // Another program of the thread has its own.
            assert_eq!(shown(sva, super::tests::context()).fs, 0);
        }
    }

    /// In ring 3 interrupts are on, whatever they were; afterwards they are as they were.
    fn interrupts_are_on_in_ring_3<P>() {
        let sva = threads::<P>();
        for enabled in [true, false] {
            sva.machine().set_interrupts(cpu(0), enabled);
            set_program(sva, move |_| {
                assert!(sva.machine().interrupts_enabled(cpu(0)));
                Trap::new(Vector::SYSTEM_CALL)
            });
            sva.run(sva.sealed_root(), &mut context()).unwrap();
            assert_eq!(sva.machine().interrupts_enabled(cpu(0)), enabled);
        }
    }

    /// On any thread and CPU, also several at a time.
    fn every_cpu_runs_its_own_program<P>() {
        let sva = threads::<P>();
        sva.declare_root(frame(ROOT)).unwrap();
        let id = sva.new_thread(stack(sva, FREE), Some(frame(ROOT)), nothing()).unwrap();
        sva.machine().set_program(Some(Arc::new(move |cpu, context| {
            context.registers.eax = cpu.number();
            if cpu.number() == 0 {
                on(sva, 1, || {
                    let mut inner = super::tests::context();
                    sva.run(frame(ROOT), &mut inner).unwrap();
                    assert_eq!(inner.registers.eax, 1);
                });
            }
            Trap::new(Vector::SYSTEM_CALL)
        })));
        on(sva, 1, || sva.swap(id)).unwrap();
        let mut context = context();
        sva.run(frame(ROOT), &mut context).unwrap();
        assert_eq!((context.registers.eax, sva.mappings(frame(ROOT)).writable), (0, CPUS));
        let data = PerCpu::new([0; 2]);
        data.with(sva, |_| refused(sva, || sva.run(frame(ROOT), &mut context), Violation::PerCpuBorrowed(1))).unwrap();
        sound(sva);
    }
}
