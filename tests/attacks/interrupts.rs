//! D1, D2, D5, S13, X3: descriptor tables, vectors, and the library called from handlers.

use crate::calls::{refuse_all, to_a_sealed_frame};
use crate::common::world::{DATA, READ_ONLY, TEXT, frame, frames};
use crate::stage::{Live, Machine, SPARE, Stage, cpu, cpus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use sva_os::Violation;
use sva_os::address::FrameRange;
use sva_os::frame::Kind;
use sva_os::interrupt::{Counts, Exception, Handler, Line, Source, TrapFrame, Vector};
use sva_os::machine::emulated::{Event, Register, Step, Trap};
use sva_os::mmu::{AddressSpace, KernelPages, PagingMode, Rights};

fn handler(run: impl Fn(&TrapFrame<'_>) + Sync + 'static) -> Handler {
    Box::leak(Box::new(run))
}

fn trap(vector: u32) -> Trap {
    Trap::new(Vector::new(vector).expect("a vector"))
}

attacks! {
    /// GDT and TSS lie in the image's variables, the IDT in a page of them that is mapped read-only, the
    /// stubs in its text. No call that takes a frame's number takes one of these.
    fn attack_d01_no_call_reaches_a_descriptor_table<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        for frame in [DATA, READ_ONLY, TEXT].into_iter().flat_map(|part| frames(part).iter()) {
            refuse_all(&stage, frame, to_a_sealed_frame);
        }
    }

    /// Vectors past the end, those of exceptions and lines through the call for software, and the library's
    /// own, by every call that takes them.
    fn attack_d02_a_vector_that_is_not_for_sale<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let nobody: Handler = &|_| panic!("nothing registered this");
        for vector in (256..600).chain([0x180, 1 << 8, 1 << 16, u32::MAX]) {
            let missing = Violation::NoSuchVector(vector);
            stage.refused(|sva| sva.interrupts().register_software(vector, nobody), missing);
            stage.refused(|sva| sva.interrupts().unregister(vector), missing);
        }
        for vector in 0..48 {
            let wrong = Violation::NotSoftware(vector);
            stage.refused(|sva| sva.interrupts().register_software(vector, nobody), wrong);
        }
        for vector in 240..256 {
            let reserved = Violation::VectorReserved(vector);
            stage.refused(|sva| sva.interrupts().register_software(vector, nobody), reserved);
        }
        let own = [Exception::Debug, Exception::Nmi, Exception::DoubleFault, Exception::MachineCheck];
        for exception in own {
            let reserved = Violation::VectorReserved(exception.vector().into());
            stage.refused(|sva| sva.interrupts().register_exception(exception, nobody), reserved);
            let empty = Violation::NotRegistered(exception.vector().into());
            stage.refused(|sva| sva.interrupts().unregister(exception.vector().into()), empty);
        }
        stage.sound();
    }

    /// Whoever registered first keeps the vector, also against itself, and from another CPU.
    fn attack_d02_a_vector_that_is_taken<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let first: Handler = &|_| {};
        let second: Handler = &|_| panic!("it was refused");
        let exceptions = Exception::ALL.iter().copied().filter(|exception| !exception.is_reserved());
        let calls = stage.sva.interrupts();
        exceptions.clone().for_each(|exception| calls.register_exception(exception, first).unwrap());
        Line::all().for_each(|line| calls.register_line(line, first).unwrap());
        (48..240).for_each(|vector| calls.register_software(vector, first).unwrap());
        for again in [first, second] {
            for attacker in cpus() {
                stage.on(attacker, || {
                    for exception in exceptions.clone() {
                        let taken = Violation::VectorTaken(exception.vector().into());
                        stage.refused(|sva| sva.interrupts().register_exception(exception, again), taken);
                    }
                    for line in Line::all() {
                        let taken = Violation::VectorTaken(Vector::of_line(line).into());
                        stage.refused(|sva| sva.interrupts().register_line(line, again), taken);
                    }
                    for vector in 48..240 {
                        let taken = Violation::VectorTaken(vector);
                        stage.refused(|sva| sva.interrupts().register_software(vector, again), taken);
                    }
                });
            }
        }
        // The first is called.
        for vector in Vector::all().filter(|vector| vector.source() != Source::Nothing) {
            let is_reserved = Exception::new(vector).is_some_and(Exception::is_reserved);
            assert!(is_reserved || stage.sva.machine().raise(cpu(1), Trap::new(vector)));
        }
    }

    /// A handler whose vector was given back is not called, though it was before.
    fn attack_d02_a_handler_that_was_unregistered<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        let count = handler(move |_| _ = counted.fetch_add(1, Ordering::Relaxed));
        let calls = stage.sva.interrupts();
        calls.register_software(0x80, count).unwrap();
        assert!(stage.sva.machine().raise(cpu(0), trap(0x80)));
        calls.unregister(0x80).unwrap();
        stage.refused(|sva| sva.interrupts().unregister(0x80), Violation::NotRegistered(0x80));
        assert!(stage.sva.machine().raise(cpu(0), trap(0x80)));
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    /// Lines 7 and 15: the controller answers although nothing is in service. No handler is called and the
    /// masks stay; of 15 the master has to be told the end, for it believed the slave.
    fn attack_d05_spurious_interrupts<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let machine = stage.sva.machine();
        for (number, command, ends) in [(7, 0x20, [].as_slice()), (15, 0xa0, &[(0x20, 0x62)])] {
            let line = Line::new(number).unwrap();
            let calls = stage.sva.interrupts();
            calls.register_line(line, &|_| panic!("spurious")).unwrap();
            calls.unmask(line).unwrap();
            let masked: Vec<_> = Line::all().map(|line| calls.is_masked(line)).collect();
            for in_service in 0..0x80 {
                machine.devices().inject(Register::Port(command), in_service);
                machine.devices().log.clear();
                let spurious = calls.counts().spurious;
                assert!(machine.raise(cpu(0), Trap::new(Vector::of_line(line))));
                assert_eq!(calls.counts(), Counts { spurious: spurious + 1, ..calls.counts() });
                let written: Vec<_> = (machine.devices().log.iter())
                    .filter(|access| access.direction == sva_os::machine::emulated::Direction::Write)
                    .map(|access| (access.register, access.value))
                    .collect();
                let expected: Vec<_> = [(command, 0x0b)]
                    .iter()
                    .chain(ends)
                    .map(|(port, value)| (Register::Port(*port), *value))
                    .collect();
                assert_eq!(written, expected);
            }
            assert!(masked.into_iter().eq(Line::all().map(|line| calls.is_masked(line))));
        }
        stage.sound();
    }

    /// What was interrupted may stand in a copy from the present root.
    fn attack_s13_no_root_is_loaded_in_a_handler<P>(live: Live) {
        let stage = Arc::new(Stage::<P>::new(live));
        let space = AddressSpace::new(&stage.sva, stage.spare(0)).unwrap();
        let space_root = space.root();
        let runs = Arc::new(AtomicU32::new(0));
        let (inner, counted) = (stage.clone(), runs.clone());
        let attack = handler(move |_| {
            let depth = counted.fetch_add(1, Ordering::Relaxed) + 1;
            for root in [inner.root, inner.sva.sealed_root(), space_root] {
                inner.refused(|sva| sva.load_root(root), Violation::InHandler(depth));
            }
            // Also where it would be refused anyway.
            inner.refused(|sva| sva.load_root(inner.data), Violation::InHandler(depth));
            inner.refused(|sva| sva.interrupts().enable(), Violation::InHandler(depth));
            if depth < 3 {
                assert!(inner.sva.machine().raise(cpu(0), trap(14)));
            }
        });
        stage.sva.interrupts().register_line(Line::TIMER, attack).unwrap();
        stage.sva.interrupts().register_exception(Exception::PageFault, attack).unwrap();
        assert!(stage.sva.machine().raise(cpu(0), trap(32)));
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        stage.sound();
        // Elsewhere nothing has changed.
        stage.sva.load_root(stage.root).unwrap();
        space.load().unwrap();
        stage.sva.load_root(stage.sva.sealed_root()).unwrap();
        stage.on(cpu(2), || stage.sva.load_root(stage.root)).unwrap();
        stage.sound();
    }

    /// The one place where a thread may be left is after the outermost handler of a line.
    fn attack_s13_the_tail_is_no_handler<P>(live: Live) {
        let stage = Arc::new(Stage::<P>::new(live));
        let inner = stage.clone();
        let hooked = move || {
            inner.sva.load_root(inner.root).unwrap();
            inner.sva.interrupts().enable().unwrap();
        };
        stage.sva.interrupts().register_line(Line::TIMER, &|_| {}).unwrap();
        stage.sva.interrupts().set_preempt(Box::leak(Box::new(hooked)));
        assert!(stage.sva.machine().raise(cpu(2), trap(32)));
        assert_eq!(stage.sva.machine().root_of(cpu(2)), stage.root);
        stage.sound();
    }

    /// A handler may call whatever is not refused there, and waits for nobody.
    fn attack_x03_a_handler_calls_the_library<P>(live: Live) {
        for vector in [32, 47, 14, 3, 0x80] {
            let stage = Arc::new(Stage::<P>::new(live));
            let runs = Arc::new(AtomicU32::new(0));
            let (inner, counted) = (stage.clone(), runs.clone());
            let run = handler(move |_| {
                every_call(&inner);
                counted.fetch_add(1, Ordering::Relaxed);
            });
            register(&stage.sva, vector, run);
            for (nth, number) in [0, 2, 0].into_iter().enumerate() {
                assert!(stage.sva.machine().raise(cpu(number), trap(vector)));
                assert_eq!(runs.load(Ordering::Relaxed), nth as u32 + 1);
                stage.sound();
            }
        }
    }

    /// From a call's first write to its last IF is clear: no line interrupts it. Before and after, one does,
    /// and its handler calls the library too. Copies are the exception.
    fn attack_x03_no_line_interrupts_a_call<P>(live: Live) {
        let stage = Arc::new(Stage::<P>::new(live));
        let delivered = Arc::new(Mutex::new(Vec::new()));
        let inner = stage.clone();
        let run = handler(move |_| {
            let spare = inner.spare(8);
            inner.sva.retype(spare, Kind::UserData).unwrap();
            inner.sva.retype(spare, Kind::Free).unwrap();
        });
        stage.sva.interrupts().register_line(Line::TIMER, run).unwrap();
        let noted = delivered.clone();
        at_every_step(&stage, move |stage, event| {
            if stage.sva.machine().raise(event.cpu, trap(32)) {
                noted.lock().unwrap().push(event.what);
            }
        });
        every_call_but_copies(&stage);
        stage.sva.machine().set_hook(None);
        stage.sound();
        let delivered = delivered.lock().unwrap();
        assert!(delivered.len() > 10);
        let writes = |step: &Step| {
            matches!(
                step,
                Step::Store(_)
                    | Step::Exchange(_)
                    | Step::Zero(_)
                    | Step::LoadRoot(_)
                    | Step::Interrupt(_)
                    | Step::InterruptsOn
            )
        };
        assert!(!delivered.iter().any(writes), "{delivered:?}");
    }

    /// A non-maskable interrupt between any two steps changes nothing at all.
    fn attack_x03_nmi_between_any_two_steps<P>() {
        let stage = Arc::new(Stage::<P>::new(Live::Here));
        let came = Arc::new(AtomicU32::new(0));
        let counted = came.clone();
        at_every_step(&stage, move |stage, event| {
            let before = stage.sva.machine().digest();
            assert!(stage.sva.machine().raise(event.cpu, trap(2)));
            assert_eq!(stage.sva.machine().digest(), before);
            counted.fetch_add(1, Ordering::Relaxed);
        });
        every_call(&stage);
        stage.sva.machine().set_hook(None);
        stage.sound();
        let came = came.load(Ordering::Relaxed);
        assert!(came > 100, "{came}");
        assert_eq!(stage.sva.interrupts().counts().nmis, came);
    }

    /// No fault strikes inside a call, as far as anybody knows. If one does, its handler may still call the
    /// library, on the very frames that the call is about: it is refused or not, waits for nothing, and the
    /// interrupted call comes to a sound end.
    fn attack_x03_a_fault_inside_a_call<P>(live: Live) {
        let answers = Arc::new(Mutex::new([0_u32; 2]));
        for nth in 0.. {
            // A stage for each step: whatever the handler does to the call, the next finds a world in order.
            let stage = Arc::new(Stage::<P>::new(live));
            let (inner, counted) = (stage.clone(), answers.clone());
            let run = handler(move |_| {
                for answer in rivals(&inner) {
                    counted.lock().unwrap()[usize::from(answer.is_err())] += 1;
                }
            });
            stage.sva.interrupts().register_exception(Exception::PageFault, run).unwrap();
            let step = Arc::new(AtomicU32::new(0));
            let count = step.clone();
            at_every_step(&stage, move |stage, event| {
                if count.fetch_add(1, Ordering::Relaxed) == nth {
                    assert!(stage.sva.machine().raise(event.cpu, trap(14)));
                }
            });
            contested(&stage);
            stage.sva.machine().set_hook(None);
            stage.sound();
            if step.load(Ordering::Relaxed) <= nth {
                assert!(nth > 50, "{nth} steps");
                break;
            }
        }
        let [done, refused] = *answers.lock().unwrap();
        assert!(done > 100 && refused > 100, "{done} done, {refused} refused");
    }
}

fn register<P: PagingMode>(sva: &Machine<P>, vector: u32, handler: Handler) {
    let vector = Vector::new(vector).expect("a vector");
    let calls = sva.interrupts();
    match vector.source() {
        Source::Exception(exception) => calls.register_exception(exception, handler),
        Source::Line(line) => calls.register_line(line, handler),
        Source::Software | Source::Nothing => calls.register_software(vector.into(), handler),
    }
    .unwrap();
}

/// Calls `run` before every step that a CPU takes, but not before the steps that `run` itself takes.
fn at_every_step<P: PagingMode>(
    stage: &Arc<Stage<P>>,
    run: impl Fn(&Stage<P>, Event) + Send + Sync + 'static,
) {
    let inside = AtomicU32::new(0);
    let weak = Arc::downgrade(stage);
    stage.sva.machine().set_hook(Some(Arc::new(move |event| {
        if let Some(stage) = weak.upgrade()
            && inside.swap(1, Ordering::Relaxed) == 0
        {
            run(&stage, event);
            inside.store(0, Ordering::Relaxed);
        }
    })));
}

/// Every intrinsic that a handler may call, on frames that nobody else uses. All is undone at the end.
fn every_call<P: PagingMode>(stage: &Stage<P>) {
    every_call_but_copies(stage);
    stage.sva.write_bytes(stage.data, 8, &[1, 2, 3, 4]).unwrap();
    stage.sva.read_bytes(stage.data, 8, &mut [0; 4]).unwrap();
}

fn every_call_but_copies<P: PagingMode>(stage: &Stage<P>) {
    let sva = &stage.sva;
    let [data, table, root, pages, other] = [0, 1, 2, 3, 4].map(|n| stage.spare(n));
    let (leaf, index) = (stage.leaf_table(), Stage::<P>::INDEX);
    sva.retype(data, Kind::UserData).unwrap();
    sva.retype(other, Kind::UserData).unwrap();
    sva.map(leaf, index + 1, data, Rights::Read).unwrap();
    sva.replace(leaf, index + 1, other, Rights::ReadWrite).unwrap();
    sva.protect(leaf, index + 1, Rights::Read).unwrap();
    sva.take_accessed_dirty(leaf, index + 1).unwrap();
    sva.read_entry(leaf, index + 1).unwrap();
    sva.unmap(leaf, index + 1).unwrap();
    sva.declare_table(table, 1).unwrap();
    sva.declare_root(root).unwrap();
    let (parent, at) = stage.leaf_parent();
    sva.link(parent, at + 1, table).unwrap();
    sva.translate(stage.root, stage.page).unwrap();
    sva.unlink(parent, at + 1).unwrap();
    sva.remove_table(table).unwrap();
    sva.remove_root(root).unwrap();
    let range = FrameRange::new(pages, 1).expect("one frame");
    drop(KernelPages::new(sva, range).unwrap());
    sva.flush();
    sva.flush_page(stage.page);
    sva.flush_all();
    sva.retype(data, Kind::Free).unwrap();
    sva.retype(other, Kind::Free).unwrap();
    let calls = sva.interrupts();
    calls.register_software(0x90, &|_| {}).unwrap();
    calls.unregister(0x90).unwrap();
    drop(calls.no_preempt());
}

/// The call that a fault interrupts: a page is mapped, taken away, and its frame becomes a table. It is
/// refused where the handler was quicker.
fn contested<P: PagingMode>(stage: &Stage<P>) {
    let (sva, frame) = (&stage.sva, frame(SPARE));
    let (leaf, index) = (stage.leaf_table(), Stage::<P>::INDEX);
    let (parent, at) = stage.leaf_parent();
    _ = sva.retype(frame, Kind::UserData);
    _ = sva.map(leaf, index + 1, frame, Rights::ReadWrite);
    stage.remember_all();
    _ = sva.unmap(leaf, index + 1);
    _ = sva.retype(frame, Kind::Free);
    _ = sva.declare_table(frame, 1);
    _ = sva.link(parent, at + 1, frame);
    _ = sva.unlink(parent, at + 1);
    _ = sva.remove_table(frame);
}

/// What the handler tries meanwhile, with the same frame and the same entries.
fn rivals<P: PagingMode>(stage: &Stage<P>) -> Vec<Result<(), Violation>> {
    let (sva, frame) = (&stage.sva, frame(SPARE));
    let (leaf, index) = (stage.leaf_table(), Stage::<P>::INDEX);
    let (parent, at) = stage.leaf_parent();
    vec![
        sva.map(leaf, index + 1, frame, Rights::ReadWrite),
        sva.unmap(leaf, index + 1).map(drop),
        sva.unlink(parent, at + 1).map(drop),
        sva.retype(frame, Kind::Free),
        sva.declare_table(frame, 1),
        sva.remove_table(frame),
        sva.retype(frame, Kind::UserData),
        sva.map(leaf, index + 1, frame, Rights::ReadWrite),
        sva.load_root(stage.root),
    ]
}
