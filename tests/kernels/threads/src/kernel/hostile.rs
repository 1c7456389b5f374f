//! S9, S13: what a kernel must not do in a handler, or while it borrows per-CPU data; and how threads go that do
//! not end by themselves.

use super::program::{Program, program};
use super::{Kernel, cpu, frames, kernel, println, schedule};
use alloc::sync::Arc;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use sva_os::Violation;
use sva_os::boot::{Status, exit};
use sva_os::context::{Exit, PerCpu, ThreadId};
use sva_os::interrupt::Line;

program!(call_for_ever: "1: int $0x80", "jmp 1b");
program!(loop_for_ever: "1: jmp 1b");

/// A thread to swap to, and a program to run.
struct Targets {
    thread: ThreadId,
    program: Program,
}

static TARGETS: PerCpu<Option<Targets>, 1> = PerCpu::new([None]);
static DATA: PerCpu<u32, 1> = PerCpu::new([0]);
static OTHER: PerCpu<u32, 1> = PerCpu::new([0]);

/// How often something was refused in a handler.
static REFUSED: AtomicU32 = AtomicU32::new(0);

/// CF, PF, AF, ZF, SF and OF in EFLAGS: what computing leaves there.
const STATUS_FLAGS: u32 = 0x8d5;

/// All that is refused here, for `why`; nothing changes.
fn try_all(sva: &Kernel, thread: ThreadId, program: &Program, why: Violation) {
    let now = || (sva.root(), sva.current_thread(), cpu::flags() & !STATUS_FLAGS, sva.audit());
    let before = now();
    let mut context = program.context();
    let begun = context;
    assert_eq!(sva.swap(thread), Err(why));
    assert_eq!(sva.run(program.root(), &mut context), Err(why));
    assert_eq!(context, begun);
    assert_eq!(sva.load_root(program.root()), Err(why));
    assert_eq!(sva.load_root(sva.sealed_root()), Err(why));
    assert_eq!(sva.interrupts().enable(), Err(why));
    assert_eq!(sva.interrupts().wait(), Err(why));
    assert_eq!(now(), before);
    REFUSED.fetch_add(6, Ordering::Relaxed);
}

/// How deep the handlers are.
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// The handler of a software interrupt that interrupts itself.
fn nested() {
    let depth = DEPTH.fetch_add(1, Ordering::Relaxed) + 1;
    let sva = kernel();
    cpu::check_kernel_state();
    let targets = TARGETS.with(sva, |targets| targets.take()).unwrap().unwrap();
    try_all(sva, targets.thread, &targets.program, Violation::InHandler(depth));
    TARGETS.with(sva, |place| *place = Some(targets)).unwrap();
    if depth < 4 {
        // SAFETY: a software interrupt with a handler: this.
        unsafe { asm!("int 77") }
    }
    DEPTH.fetch_sub(1, Ordering::Relaxed);
}

pub(super) fn run(sva: &'static Kernel) {
    let free = frames::count_free(sva);
    let entry = move || schedule::next(sva);
    let thread = sva.new_thread(schedule::stack(sva, 2), None, entry).unwrap();
    let program = Program::new(sva, call_for_ever());
    in_handlers(sva, thread, program);
    borrowed(sva, thread);
    hooks(sva);
    waits(sva);
    let Targets { program, .. } = TARGETS.with(sva, Option::take).unwrap().unwrap();
    program.destroy(sva);
    sva.release_stack(thread.stack()).unwrap();
    assert_eq!(frames::count_free(sva), free);
    let lost = ends(sva);
    assert_eq!(frames::count_free(sva), free - lost);
    println!("{REFUSED:?} refused");
}

fn in_handlers(sva: &'static Kernel, thread: ThreadId, program: Program) {
    TARGETS.with(sva, |place| *place = Some(Targets { thread, program })).unwrap();
    let interrupts = sva.interrupts();
    interrupts.register_software(77, &|_| nested()).unwrap();
    // SAFETY: a software interrupt with a handler.
    unsafe { asm!("int 77") }
    interrupts.unregister(77).unwrap();

    // The timer's, while a program runs.
    interrupts
        .register_line(Line::TIMER, &|frame| {
            assert!(frame.is_from_user());
            nested_once();
        })
        .unwrap();
    interrupts.unmask(Line::TIMER).unwrap();
    let program = Program::new(sva, loop_for_ever());
    let mut context = program.context();
    sva.timer().one_shot(2000).unwrap();
    assert_eq!(sva.run(program.root(), &mut context), Ok(Exit::Interrupt(Line::TIMER)));
    interrupts.unregister(32).unwrap();
    program.destroy(sva);
}

fn nested_once() {
    let sva = kernel();
    let targets = TARGETS.with(sva, |targets| targets.take()).unwrap().unwrap();
    try_all(sva, targets.thread, &targets.program, Violation::InHandler(1));
    TARGETS.with(sva, |place| *place = Some(targets)).unwrap();
}

static TICKS: AtomicU32 = AtomicU32::new(0);
static HOOKS: AtomicU32 = AtomicU32::new(0);

fn wait_for_ticks(count: u32) {
    let end = TICKS.load(Ordering::Relaxed) + count;
    while TICKS.load(Ordering::Relaxed) < end {
        core::hint::spin_loop();
    }
}

fn borrowed(sva: &'static Kernel, thread: ThreadId) {
    let program = Program::new(sva, call_for_ever());
    let once = Violation::PerCpuBorrowed(1);
    DATA.with(sva, |data| {
        *data += 1;
        try_all(sva, thread, &program, once);
        assert_eq!(DATA.with(sva, |_| ()), Err(Violation::PerCpuBorrowed(1)));
        OTHER.with(sva, |_| try_all(sva, thread, &program, Violation::PerCpuBorrowed(2))).unwrap();
        try_all(sva, thread, &program, once);
    })
    .unwrap();
    program.destroy(sva);

    // A handler that comes meanwhile does not get the data, and no hook is called.
    schedule::start_preempting(sva, 1000, &|_| {
        let sva = kernel();
        TICKS.fetch_add(1, Ordering::Relaxed);
        if BORROWED.load(Ordering::Relaxed) {
            assert_eq!(DATA.with(sva, |_| ()), Err(Violation::PerCpuBorrowed(1)));
            assert_eq!(sva.interrupts().enable(), Err(Violation::InHandler(1)));
        }
        OTHER.with(sva, |other| *other += 1).unwrap();
    });
    sva.interrupts().set_preempt(&|| {
        assert!(!BORROWED.load(Ordering::Relaxed));
        HOOKS.fetch_add(1, Ordering::Relaxed);
    });
    for _ in 0..5 {
        let before = HOOKS.load(Ordering::Relaxed);
        wait_for_ticks(2);
        assert_ne!(HOOKS.load(Ordering::Relaxed), before);
        DATA.with(sva, |data| {
            BORROWED.store(true, Ordering::Relaxed);
            wait_for_ticks(3);
            *data += 1;
            BORROWED.store(false, Ordering::Relaxed);
        })
        .unwrap();
    }
    schedule::stop_preempting(sva);
    assert_eq!(DATA.with(sva, |data| *data), Ok(6));
}

static BORROWED: AtomicBool = AtomicBool::new(false);

/// A hook may let interrupts come, whose hooks do the same: so many, one inside the other.
fn hooks(sva: &'static Kernel) {
    static DEEP: AtomicU32 = AtomicU32::new(0);
    static DEEPEST: AtomicU32 = AtomicU32::new(0);
    const MOST: u32 = 5;
    schedule::start_preempting(sva, 1000, &|_| _ = TICKS.fetch_add(1, Ordering::Relaxed));
    sva.interrupts().set_preempt(&|| {
        let deep = DEEP.fetch_add(1, Ordering::Relaxed) + 1;
        DEEPEST.fetch_max(deep, Ordering::Relaxed);
        cpu::check_kernel_state();
        assert_eq!(cpu::flags() & cpu::INTERRUPT, 0);
        if deep < MOST {
            kernel().interrupts().enable().unwrap();
            wait_for_ticks(1);
        }
        DEEP.fetch_sub(1, Ordering::Relaxed);
    });
    while DEEPEST.load(Ordering::Relaxed) < MOST {
        core::hint::spin_loop();
    }
    schedule::stop_preempting(sva);
    assert_eq!(DEEP.load(Ordering::Relaxed), 0);
    println!("hooks {DEEPEST:?} deep");
}

/// `wait` waits, and leaves IF as it was.
fn waits(sva: &'static Kernel) {
    schedule::start_preempting(sva, 1000, &|_| _ = TICKS.fetch_add(1, Ordering::Relaxed));
    for on in [true, false] {
        if !on {
            sva.interrupts().disable();
        }
        for _ in 0..5 {
            let before = TICKS.load(Ordering::Relaxed);
            sva.interrupts().wait().unwrap();
            assert!(TICKS.load(Ordering::Relaxed) > before);
            assert_eq!(cpu::flags() & cpu::INTERRUPT != 0, on);
        }
    }
    schedule::stop_preempting(sva);
}

/// Threads that end in nobody, in one that is gone, and not at all. Says how many frames are lost with those.
fn ends(sva: &'static Kernel) -> usize {
    const PAGES: usize = 3;
    let boot = sva.current_thread();
    // From the idle thread, and from no other, the timer comes back here.
    schedule::start_preempting(sva, 1000, &|_| ());
    sva.interrupts().set_preempt(&|| {
        if kernel().current_thread().number() == schedule::IDLE {
            assert!(schedule::pass(kernel()));
        }
    });
    let shared = Arc::new(());
    let make = |entry: fn(&'static Kernel, Arc<()>) -> Option<ThreadId>| {
        let held = Arc::clone(&shared);
        sva.new_thread(schedule::stack(sva, PAGES), None, move || entry(sva, held)).unwrap()
    };
    let go = |thread| {
        schedule::add(sva, boot);
        sva.swap(thread).unwrap();
    };
    let nobody = make(|_, _| None);
    go(nobody);
    assert_eq!(Arc::strong_count(&shared), 1);
    assert_eq!(sva.swap(nobody), Err(Violation::ThreadEnded(nobody.number())));
    static GONE: PerCpu<Option<ThreadId>, 1> = PerCpu::new([None]);
    GONE.with(sva, |gone| *gone = Some(nobody)).unwrap();
    let in_one_that_is_gone = make(|sva, _| GONE.with(sva, |gone| *gone).unwrap());
    go(in_one_that_is_gone);
    // On the stack of the one that ended in nobody.
    let again = sva.new_thread(nobody.stack(), None, || None).unwrap();
    go(again);
    for thread in [again, in_one_that_is_gone] {
        assert_eq!(sva.release_stack(thread.stack()).unwrap().count(), PAGES);
    }

    // Abandoned in an address space, which is free then; what lies on its stack is not dropped.
    let program = Program::new(sva, call_for_ever());
    let root = program.root();
    let held = Arc::clone(&shared);
    let in_space = move || {
        let _held = held;
        assert_eq!(sva.root(), root);
        sva.abandon(schedule::next(sva))
    };
    let abandoned = sva.new_thread(schedule::stack(sva, PAGES), Some(root), in_space).unwrap();
    go(abandoned);
    program.destroy(sva);
    let to_nobody = make(|sva, held| {
        let _held = held;
        sva.abandon(None)
    });
    go(to_nobody);
    assert_eq!(Arc::strong_count(&shared), 3);
    for thread in [abandoned, to_nobody] {
        let ended = Violation::ThreadEnded(thread.number());
        assert_eq!(sva.swap(thread), Err(ended));
        assert_eq!(sva.release_stack(thread.stack()).err(), Some(ended));
        assert_eq!(sva.new_thread(thread.stack(), None, || None), Err(ended));
    }
    schedule::stop_preempting(sva);
    sva.audit().unwrap();
    println!("abandoned {abandoned:?} and {to_nobody:?}");
    2 * PAGES
}

/// The flow that the machine booted with is abandoned too, and another goes on to the end.
pub(super) fn abandon_boot(sva: &'static Kernel) {
    let entry = move || {
        println!("abandon-boot: {:?}", sva.audit().unwrap());
        exit(Status::OK)
    };
    let thread = sva.new_thread(schedule::stack(sva, 8), None, entry).unwrap();
    sva.abandon(Some(thread))
}

/// In a handler there is nobody to go on with.
pub(super) fn abandon_in_handler(sva: &'static Kernel) {
    schedule::start_preempting(sva, 1000, &|_| kernel().abandon(None));
    loop {
        core::hint::spin_loop();
    }
}

/// Nor while per-CPU data is borrowed.
pub(super) fn abandon_in_borrow(sva: &'static Kernel) {
    let thread = sva.new_thread(schedule::stack(sva, 2), None, || None).unwrap();
    DATA.with(sva, |_| sva.abandon(Some(thread))).unwrap()
}
