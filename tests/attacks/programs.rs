//! U1 to U5, U7 to U9, S10, D3: user programs, what they begin with, what they bring about, and their memory.

use crate::common::world::{FIRST_FREE, frame, low_world, page};
use crate::stage::{Machine, Stage, cpu, cpus, sound};
use std::sync::{Arc, Mutex};
use sva_os::address::{Frame, VirtAddr};
use sva_os::context::{Exit, FpPolicy, FpState, TlsLimit, TlsSegment, UserContext, UserFlags};
use sva_os::frame::Kind;
use sva_os::interrupt::{Exception, Line, Vector};
use sva_os::machine::emulated::Trap;
use sva_os::mmu::{AddressSpace, FrameSource, PagingMode, Rights};
use sva_os::{Progress, Violation};

/// What a program saw of its registers, and whether IF was set.
type Seen = Arc<Mutex<Option<(UserContext, bool)>>>;

/// Lets every program show its registers and call the kernel, or come back by what `trap` is.
fn show<P: PagingMode>(stage: &Stage<P>, trap: Trap) -> Seen {
    let seen = Seen::default();
    let (noted, sva) = (seen.clone(), Arc::downgrade(&stage.sva));
    stage.sva.machine().set_program(Some(Arc::new(move |cpu, context| {
        let sva = sva.upgrade().expect("the stage");
        *noted.lock().unwrap() = Some((*context, sva.machine().interrupts_enabled(cpu)));
        trap
    })));
    seen
}

fn context<P: PagingMode>(stage: &Stage<P>) -> UserContext {
    UserContext::new(stage.address(), stage.address())
}

const SYSTEM_CALL: Trap = Trap::new(Vector::SYSTEM_CALL);

/// CF, PF, AF, ZF, SF, TF, DF, OF, AC, ID: what a program may set itself (Intel SDM vol. 1, 3.4.3).
const OWN: u32 = 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11 | 1 << 18 | 1 << 21;
const IF: u32 = 1 << 9;

attacks! {
    /// All of a byte's low selectors, and each of their bits: of the others none is in the GDT.
    fn attack_u01_selectors_are_null_or_data_of_ring_3<P>(live: Live) {
        let stage = Stage::<P>::with_threads(live);
        let segment = TlsSegment { base: 0xc000_0000, limit: TlsLimit::Pages(0xf_ffff) };
        let tls = stage.sva.set_tls(1, Some(segment)).unwrap();
        let seen = show(&stage, SYSTEM_CALL);
        let hostile = (0..0x100).chain((8..16).flat_map(|bit| (0..0x60).map(move |low| 1 << bit | low)));
        for selector in hostile.chain([u16::MAX, 0xfffc]) {
            let allowed = selector < 4 || selector & !3 == 0x20 || selector & !3 == tls & !3;
            let mut context = UserContext { ds: selector, es: selector, fs: selector, gs: selector, ..context(&stage) };
            assert_eq!(stage.sva.run(stage.root, &mut context), Ok(Exit::SystemCall));
            let (seen, _) = seen.lock().unwrap().unwrap();
            let expected = if allowed { selector } else { 0 };
            assert_eq!([seen.ds, seen.es, seen.fs, seen.gs], [expected; 4], "{selector:#x}");
        }
        stage.sound();
    }

    /// IOPL, VM, NT and RF clear, IF set, whatever is asked for.
    fn attack_u02_flags_are_those_of_a_program<P>(live: Live) {
        let stage = Stage::<P>::with_threads(live);
        let seen = show(&stage, SYSTEM_CALL);
        for flags in (0..32).flat_map(|bit| [1 << bit, !(1_u32 << bit)]).chain([0, u32::MAX]) {
            for enabled in [true, false] {
                stage.sva.machine().set_interrupts(cpu(0), enabled);
                let mut context = UserContext { flags: UserFlags::new(flags), ..context(&stage) };
                stage.sva.run(stage.root, &mut context).unwrap();
                let (seen, was_on) = seen.lock().unwrap().unwrap();
                assert_eq!(seen.flags.bits(), flags & OWN | IF | 2);
                assert!(was_on);
                assert_eq!(stage.sva.machine().interrupts_enabled(cpu(0)), enabled);
            }
        }
        stage.sound();
    }

    /// The fault is the program's: `run` returns it, and no handler of the kernel's is called.
    fn attack_u03_eip_and_esp_anywhere<P>(live: Live) {
        let stage = Stage::<P>::with_threads(live);
        let nobody: sva_os::interrupt::Handler = &|_| panic!("a fault of the kernel");
        for exception in [Exception::PageFault, Exception::GeneralProtection, Exception::StackFault] {
            stage.sva.interrupts().register_exception(exception, nobody).unwrap();
        }
        for address in [0, 0xbfff_ffff, 0xc000_0000, 0xc000_1000, 0xd000_0000, 0xffff_fffc, u32::MAX] {
            let at = VirtAddr::new(address);
            for (vector, code) in [(14, 5), (14, 0x15), (13, 0), (12, 0)] {
                let trap = Trap { error_code: code, fault: at, ..Trap::new(Vector::from_number(vector)) };
                let seen = show(&stage, trap);
                let mut context = UserContext::new(at, at);
                let Ok(Exit::Exception(told)) = stage.sva.run(stage.root, &mut context) else {
                    panic!("{address:#x}")
                };
                let (seen, _) = seen.lock().unwrap().unwrap();
                assert_eq!((seen.instruction, seen.registers.esp), (address, address));
                assert_eq!(u32::from(told.exception.vector()), u32::from(vector));
                assert_eq!(told.address, (vector == 14).then_some(at));
            }
        }
        stage.sound();
    }

    /// Near 0, near the split, in the kernel half, unmapped, read-only: the context is as it was.
    fn attack_u04_a_call_is_pushed_on_user_memory_alone<P>(live: Live) {
        let stage = Stage::<P>::with_threads(live);
        stage.sva.load_root(stage.root).unwrap();
        let (index, low) = (Stage::<P>::INDEX, stage.address().get());
        let outside = |at: u32| Violation::NotAUserRange(VirtAddr::new(at));
        let cannot = |at: u32| Violation::NotWritable(VirtAddr::new(at));
        let attempt = |esp: u32, data: &[u8], violation: Violation| {
            let mut context = UserContext::new(VirtAddr::new(0x1234), VirtAddr::new(esp));
            let before = context;
            let answer = stage.sva.push_call(&mut context, VirtAddr::new(0x5678), data, |_| [0x41; 4]);
            assert_eq!(answer, Err(violation), "ESP {esp:#x}");
            assert_eq!(context, before);
        };
        for esp in 0..16 {
            attempt(esp, &[], outside(esp));
            attempt(esp, &[1; 16], outside(esp));
            attempt(0xc000_0030 + esp, &[], outside(0xc000_001c));
            attempt(0xffff_fff0 + esp, &[], outside(0xffff_ffdc));
        }
        attempt(0xc000_0000, &[1], cannot(0xbfff_ffdc));
        attempt(low, &[], cannot(low - 0x14));
        attempt(low + 0x10, &[7; 32], cannot(low - 0x24));
        attempt(low + 0x2000, &[], cannot(low + 0x1fec));
        stage.sva.protect(stage.leaf_table(), index, Rights::Read).unwrap();
        stage.sva.flush_all();
        attempt(low + 0x100, &[1], cannot(low + 0xdc));
        let mut content = [0; 4];
        stage.sva.read_bytes(stage.data, 0, &mut content).unwrap();
        assert_eq!(u32::from_le_bytes(content), Stage::<P>::CONTENT);
        stage.sound();
    }

    /// Wherever the kernel lies: a range that wraps, touches its half, or has a page missing.
    fn attack_u05_user_copies_stay_in_user_memory<P>() {
        let worlds = [(crate::common::world::world::<P>(1, 64), 0_u32), (low_world::<P>(1, 64), 0x4000_0000)];
        for (sva, first) in worlds {
            let last = first.wrapping_add(0xbfff_ffff);
            let frames = map(&sva, &[first >> 12, last >> 12]);
            let outside = |at: u32| Some(Violation::NotAUserRange(VirtAddr::new(at)));
            let refused = [
                (last, 2),
                (last - 3, 5),
                (last.wrapping_add(1), 1),
                (first.wrapping_sub(1), 2),
                (first.wrapping_sub(4), 4),
                (first.wrapping_sub(1), 1),
                (last.wrapping_add(0x1000), 0x1000),
            ];
            for (at, length) in refused {
                let from = VirtAddr::new(at);
                let before = sva.machine().digest();
                let mut bytes = vec![0x77; length];
                let expected = Progress { done: 0, refused: outside(at) };
                assert_eq!(sva.copy_from_user(from, &mut bytes), expected, "{at:#x}");
                assert_eq!(sva.copy_to_user(from, &bytes), expected);
                assert_eq!(sva.zero_user(from, length as u32), expected);
                assert_eq!(sva.user_range(from, length as u32).err(), outside(at));
                assert!(bytes.iter().all(|byte| *byte == 0x77));
                assert_eq!(sva.machine().digest(), before);
            }
            for at in [last.wrapping_add(1), first.wrapping_sub(1), first.wrapping_sub(0x1000)] {
                let expected = Progress { done: 0, refused: outside(at) };
                assert_eq!(sva.copy_str_from_user(VirtAddr::new(at), &mut [0; 8]), expected);
            }
            assert_eq!(sva.zero_user(VirtAddr::new(first), u32::MAX).refused, outside(first));
            assert_eq!(sva.zero_user(VirtAddr::new(first + 1), 0xc000_0000).refused, outside(first + 1));
            // To the very last byte, and from the very first.
            for (at, frame, offset) in [(last - 7, frames[1], 0xff8), (first, frames[0], 0)] {
                assert_eq!(sva.copy_to_user(VirtAddr::new(at), b"12345678").complete(), Ok(8));
                let mut bytes = [0; 8];
                sva.read_bytes(frame, offset, &mut bytes).unwrap();
                assert_eq!(&bytes, b"12345678");
                assert_eq!(sva.copy_from_user(VirtAddr::new(at), &mut bytes).complete(), Ok(8));
            }
            let string = sva.copy_str_from_user(VirtAddr::new(last - 7), &mut [0; 64]);
            assert_eq!(string, Progress { done: 8, refused: outside(last - 7) });
            // In the middle the page is missing.
            let hole = VirtAddr::new(first + 0x1000);
            let from = VirtAddr::new(first + 0xff0);
            let stopped = |violation| Progress { done: 16, refused: Some(violation) };
            assert_eq!(sva.copy_from_user(from, &mut [0; 32]), stopped(Violation::NotReadable(hole)));
            assert_eq!(sva.copy_to_user(from, &[1; 32]), stopped(Violation::NotWritable(hole)));
            assert_eq!(sva.zero_user(from, 32), stopped(Violation::NotWritable(hole)));
            sva.copy_to_user(from, &[1; 16]).complete().unwrap();
            assert_eq!(sva.copy_str_from_user(from, &mut [0; 32]), stopped(Violation::NotReadable(hole)));
            sound(&sva);
        }
    }

    /// The page is taken away between two bytes: what is copied is told, and where it stopped.
    fn attack_u05_a_page_goes_in_the_midst_of_a_copy<P>(live: Live) {
        let stage = Stage::<P>::with_threads(live);
        stage.sva.load_root(stage.root).unwrap();
        let copies = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let (counted, sva, leaf) = (copies.clone(), Arc::downgrade(&stage.sva), stage.leaf_table());
        stage.sva.machine().set_hook(Some(Arc::new(move |event| {
            let is_copy = matches!(event.what, sva_os::machine::emulated::Step::CopyIn(_));
            if is_copy && counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 20 {
                let sva = sva.upgrade().expect("the stage");
                sva.machine().as_cpu(cpu(2), || {
                    sva.unmap(leaf, Stage::<P>::INDEX).unwrap();
                    sva.flush_all();
                });
            }
        })));
        let progress = stage.sva.copy_to_user(stage.address(), &[0x66; 64]);
        stage.sva.machine().set_hook(None);
        let fault = VirtAddr::new(stage.address().get() + 21);
        assert_eq!(progress, Progress { done: 21, refused: Some(Violation::NotWritable(fault)) });
        stage.sound();
    }

    /// Whichever way the kernel is entered, what the program left in its flags stays with the program.
    fn attack_u07_hostile_flags_at_every_entry<P>(live: Live) {
        let stage = Stage::<P>::with_threads(live);
        stage.sva.interrupts().register_line(Line::TIMER, &|frame| assert!(frame.is_from_user())).unwrap();
        for vector in [0, 1, 3, 6, 13, 14, 17, 32, 0x80, 0x90] {
            stage.sva.machine().set_program(Some(Arc::new(move |_, context| {
                context.flags = UserFlags::new(u32::MAX);
                Trap::new(Vector::from_number(vector))
            })));
            let mut context = context(&stage);
            stage.sva.run(stage.root, &mut context).unwrap();
            assert_eq!(context.flags.bits(), OWN | IF | 2, "vector {vector}");
            assert!(stage.sva.machine().interrupts_enabled(cpu(0)));
            let seen = show(&stage, SYSTEM_CALL);
            stage.sva.run(stage.root, &mut context).unwrap();
            assert_eq!(seen.lock().unwrap().unwrap().0.flags.bits(), OWN | IF | 2);
        }
        stage.sound();
    }

    /// Reserved bits of MXCSR are #GP to load: the machine objects to one.
    fn attack_u08_states_with_reserved_bits<P>(live: Live) {
        let stage = Stage::<P>::with_threads(live);
        for policy in [FpPolicy::Lazy, FpPolicy::Eager] {
            stage.sva.set_fp_policy(policy);
            for fill in [0, 0x55, 0xaa, 0xff] {
                let bytes = [fill; 512];
                stage.sva.load_fp(&FpState::new(bytes));
                let seen = registers(&stage);
                assert_eq!(u32::from_le_bytes([seen[24], seen[25], seen[26], seen[27]]) & 0xffff_0000, 0);
                assert!(seen[28..] == bytes[28..] && seen[..24] == bytes[..24]);
            }
        }
    }

    /// A slot is emptied between two turns, by the thread itself; the thread is moved to another CPU and back.
    fn attack_u09_a_tls_slot_that_was_emptied<P>(live: Live) {
        let stage = Stage::<P>::with_threads(live);
        let sva = &stage.sva;
        let boots = [0, 1].map(|number| stage.on(cpu(number), || sva.current_thread()));
        let stack = sva.declare_stack(&[stage.spare(0)]).unwrap();
        let thread = sva.new_thread(stack, Some(stage.root), || None).unwrap();
        sva.swap(thread).unwrap();
        let segment = |base| Some(TlsSegment { base, limit: TlsLimit::Bytes(0xfff) });
        let selector = sva.set_tls(2, segment(0x1000)).unwrap();
        let seen = show(&stage, SYSTEM_CALL);
        let selectors = || {
            let hostile = UserContext { fs: selector, gs: selector, ..context(&stage) };
            sva.run(stage.root, &mut { hostile }).unwrap();
            let (seen, _) = seen.lock().unwrap().unwrap();
            (seen.fs, seen.gs)
        };
        assert_eq!(selectors(), (selector, selector));
        sva.set_tls(2, None).unwrap();
        assert_eq!(selectors(), (0, 0));
        sva.set_tls(2, segment(0x2000)).unwrap();
        assert_eq!(selectors(), (selector, selector));
        sva.swap(boots[0]).unwrap();
        assert_eq!(selectors(), (0, 0));
        stage.on(cpu(1), || {
            assert_eq!(selectors(), (0, 0));
            sva.swap(thread).unwrap();
            assert_eq!(selectors(), (selector, selector));
            sva.set_tls(2, None).unwrap();
            sva.swap(boots[1]).unwrap();
        });
        sva.swap(thread).unwrap();
        assert_eq!(selectors(), (0, 0));
        stage.sound();
    }

    /// Of threads on one CPU and on several: what one wrote the next does not see, nor what the firmware left.
    fn attack_s10_registers_of_one_thread_are_never_seen_by_the_next<P>(live: Live) {
        for policy in [FpPolicy::Lazy, FpPolicy::Eager] {
            let stage = Stage::<P>::with_threads(live);
            let sva = &stage.sva;
            sva.set_fp_policy(policy);
            let threads = [0, 1].map(|n| {
                let stack = sva.declare_stack(&[stage.spare(n)]).unwrap();
                sva.new_thread(stack, Some(stage.root), || None).unwrap()
            });
            let beginning = registers(&stage);
            assert_eq!(beginning[32..], [0; 480]);
            write_registers(&stage, 0x11);
            sva.swap(threads[0]).unwrap();
            assert_eq!(registers(&stage), beginning);
            write_registers(&stage, 0x22);
            stage.on(cpu(1), || {
                sva.swap(threads[1]).unwrap();
                assert_eq!(registers(&stage), beginning);
                write_registers(&stage, 0x33);
            });
            sva.end_thread(None);
            assert_eq!(registers(&stage), beginning, "of the idle thread");
            let again = sva.new_thread(threads[0].stack(), None, || None).unwrap();
            stage.on(cpu(1), || {
                sva.swap(again).unwrap();
                assert_eq!(registers(&stage), beginning);
            });
            sva.swap(threads[1]).unwrap();
            assert_eq!(registers(&stage)[32..], [0x33; 480]);
            for other in cpus() {
                assert_eq!(sva.machine().fp_registers(other), None, "ring 0 has none");
            }
            stage.sound();
        }
    }

    /// `int n` on a gate of ring 0 is #GP with the gate's number, which is the program's own.
    fn attack_d03_a_program_uses_no_gate_of_the_kernels<P>(live: Live) {
        let stage = Stage::<P>::with_threads(live);
        let calls = stage.sva.interrupts();
        let nobody: sva_os::interrupt::Handler = &|_| panic!("it is not a program's to call");
        for exception in Exception::ALL.iter().copied().filter(|exception| !exception.is_reserved()) {
            calls.register_exception(exception, nobody).unwrap();
        }
        Line::all().for_each(|line| calls.register_line(line, nobody).unwrap());
        (48..240).for_each(|vector| calls.register_software(vector, nobody).unwrap());
        for vector in Vector::all() {
            let number = u32::from(vector);
            // As the CPU does, by the gate's DPL.
            let trap = match vector.is_open_to_users() {
                true => Trap::new(vector),
                false => Trap {
                    error_code: number << 3 | 2,
                    ..Trap::new(Exception::GeneralProtection.vector())
                },
            };
            show(&stage, trap);
            let exit = stage.sva.run(stage.root, &mut context(&stage)).unwrap();
            match (number, exit) {
                (0x80, Exit::SystemCall) => {}
                (3 | 4, Exit::Exception(told)) => assert_eq!(u32::from(told.exception.vector()), number),
                (_, Exit::Exception(told)) => {
                    assert_eq!(told.exception, Exception::GeneralProtection);
                    assert!(number != 3 && number != 4 && number != 0x80);
                }
                other => panic!("{other:?}"),
            }
        }
        stage.sound();
    }
}

/// All floating-point registers, as a program of the running thread sees them.
fn registers<P: PagingMode>(stage: &Stage<P>) -> [u8; 512] {
    let seen = Arc::new(Mutex::new([0; 512]));
    let noted = seen.clone();
    with_registers(stage, move |registers| *noted.lock().unwrap() = *registers);
    let seen = *seen.lock().unwrap();
    assert!(!seen.contains(&0xa5), "left over from the firmware");
    seen
}

/// Lets a program of the running thread write `value` to all but the control registers.
fn write_registers<P: PagingMode>(stage: &Stage<P>, value: u8) {
    with_registers(stage, move |registers| registers[32..].fill(value));
}

/// Lets a program of the running thread use its registers.
fn with_registers<P: PagingMode>(stage: &Stage<P>, run: impl Fn(&mut [u8; 512]) + Send + Sync + 'static) {
    let sva = Arc::downgrade(&stage.sva);
    stage.sva.machine().set_program(Some(Arc::new(move |cpu, _| {
        let sva = sva.upgrade().expect("the stage");
        match sva.machine().fp_registers(cpu) {
            Some(mut registers) => {
                run(&mut registers);
                assert!(sva.machine().set_fp_registers(cpu, registers));
                SYSTEM_CALL
            }
            None => Trap::new(Exception::DeviceNotAvailable.vector()),
        }
    })));
    assert_eq!(stage.sva.run(stage.root, &mut context(stage)), Ok(Exit::SystemCall));
}

/// Frames from the first that is free on.
struct Spare(u32);

impl FrameSource for Spare {
    fn take(&mut self) -> Option<Frame> {
        self.0 += 1;
        Some(frame(self.0 - 1))
    }

    fn give_back(&mut self, frame: Frame) {
        panic!("{frame} was needed")
    }
}

/// Maps `pages`, each to a frame of its own, in an address space that is loaded.
fn map<P: PagingMode>(sva: &Machine<P>, pages: &[u32]) -> Vec<Frame> {
    let mut spare = Spare(FIRST_FREE);
    let space = AddressSpace::new(sva, frame(FIRST_FREE + 20)).unwrap();
    let frames = pages.iter().map(|number| {
        let data = spare.take().expect("a frame");
        sva.retype(data, Kind::UserData).unwrap();
        space.map(page(*number), data, Rights::ReadWrite, &mut spare).unwrap();
        data
    });
    let frames = frames.collect();
    space.load().unwrap();
    frames
}
