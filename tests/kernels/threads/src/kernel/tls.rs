//! U9: segments for thread-local storage go with their thread, and a program has no segment that it was not given.

use super::program::{CODE, DATA, Program, program};
use super::{Kernel, cpu, frames, kernel, println};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::Violation;
use sva_os::address::VirtAddr;
use sva_os::context::{Exit, ThreadId, TlsLimit, TlsSegment, UserContext, UserException};
use sva_os::interrupt::{ErrorCode, Exception, Line, PageFaultCode};

// Reads the first word of the segment, and the fifth byte.
program!(read_segment: "movl %gs:0, %eax", "int $0x80", "movb %gs:4, %al", "int $0x80");
// Loads the selector in EDX itself, and goes on as it is told.
program!(load_segment: "movl %edx, %gs", "int $0x80", "movl %gs, %eax", "int $0x80");
program!(wait_in_segment: "1: movl %gs:0, %eax", "jmp 1b");

/// Where words lie that tell segments apart: so many bytes from the start of the data, each word its own offset.
const STEP: u32 = 16;

fn segment(number: u32) -> TlsSegment {
    TlsSegment { base: DATA.get() + number * STEP, limit: TlsLimit::Bytes(3) }
}

/// A program with words to read.
fn program(sva: &'static Kernel, code: &[u8]) -> Program {
    let program = Program::new(sva, code);
    let data = program.space.translate(DATA.containing()).unwrap().unwrap().frame();
    for number in 0..256 {
        sva.write_bytes(data, number * STEP, &number.to_le_bytes()).unwrap();
    }
    program
}

fn protected(selector: u32) -> Exit {
    let exception = Exception::GeneralProtection;
    let code = ErrorCode::new(exception.vector(), selector);
    Exit::Exception(UserException { exception, code, address: None })
}

/// Whether a program came back since GS is null. TCG does not look at that either: it reads at 0.
fn is_null(exit: Exit, context: &UserContext) -> bool {
    let page_fault = Exit::Exception(UserException {
        exception: Exception::PageFault,
        code: ErrorCode::PageFault(PageFaultCode::USER),
        address: Some(VirtAddr::new(0)),
    });
    context.gs == 0 && (exit == protected(0) || exit == page_fault)
}

/// Lets the program read its segment; `None` if it has none.
fn read(sva: &Kernel, program: &Program, context: &mut UserContext) -> Option<u32> {
    context.instruction = CODE.get();
    match sva.run(program.root(), context).unwrap() {
        Exit::SystemCall => Some(context.registers.eax),
        exit => {
            assert!(is_null(exit, context), "{exit:?}");
            None
        }
    }
}

pub(super) fn run(sva: &'static Kernel) {
    let free = frames::count_free(sva);
    assert_eq!(sva.set_tls(3, None), Err(Violation::NoSuchTlsSlot(3)));
    changes(sva);
    own_loads(sva);
    emptied_by_a_handler(sva);
    threads(sva);
    assert_eq!(frames::count_free(sva), free);
}

/// Between two runs the kernel changes the segment and takes it away.
fn changes(sva: &'static Kernel) {
    let program = program(sva, read_segment());
    let mut context = program.context();
    for slot in 0..3 {
        context.gs = sva.set_tls(slot, Some(segment(1))).unwrap();
        let selector = context.gs;
        assert_eq!(read(sva, &program, &mut context), Some(1));
        // The limit, at which TCG does not look.
        let exit = sva.run(program.root(), &mut context).unwrap();
        assert!(exit == protected(0) || exit == Exit::SystemCall, "{exit:?}");
        assert_eq!(context.gs, selector);
        for number in [2, 3, 1] {
            sva.set_tls(slot, Some(segment(number))).unwrap();
            assert_eq!(read(sva, &program, &mut context), Some(number), "slot {slot}");
        }
        sva.set_tls(slot, None).unwrap();
        assert_eq!(read(sva, &program, &mut context), None, "slot {slot}");
        sva.set_tls(slot, Some(segment(4))).unwrap();
        assert_eq!(read(sva, &program, &mut context), None, "it stays null");
        sva.set_tls(slot, None).unwrap();
    }
    cpu::check_kernel_state();
    program.destroy(sva);
}

/// What a program loads itself counts no more than what the kernel wrote.
fn own_loads(sva: &'static Kernel) {
    let program = program(sva, load_segment());
    let selector = sva.set_tls(1, Some(segment(1))).unwrap();
    for (loaded, left) in [(selector, selector), (UserContext::DATA, UserContext::DATA), (0x1b, 0)] {
        let mut context = program.context();
        context.registers.edx = loaded.into();
        assert_eq!(sva.run(program.root(), &mut context), Ok(Exit::SystemCall));
        assert_eq!(context.gs, loaded);
        assert_eq!(sva.run(program.root(), &mut context), Ok(Exit::SystemCall));
        assert_eq!((context.gs, context.registers.eax & 0xffff), (left, left.into()), "{loaded:#x}");
    }
    // Taken away while the program has it.
    let mut context = program.context();
    context.registers.edx = selector.into();
    assert_eq!(sva.run(program.root(), &mut context), Ok(Exit::SystemCall));
    sva.set_tls(1, None).unwrap();
    assert_eq!(sva.run(program.root(), &mut context), Ok(Exit::SystemCall));
    assert_eq!((context.gs, context.registers.eax & 0xffff), (0, 0));
    program.destroy(sva);
}

/// The handler of an interrupt of the program takes its segment away.
fn emptied_by_a_handler(sva: &'static Kernel) {
    let program = program(sva, wait_in_segment());
    let interrupts = sva.interrupts();
    interrupts
        .register_line(Line::TIMER, &|frame| {
            if frame.registers().eax == 5 {
                kernel().set_tls(0, None).unwrap();
            }
        })
        .unwrap();
    let mut context = program.context();
    context.gs = sva.set_tls(0, Some(segment(5))).unwrap();
    interrupts.unmask(Line::TIMER).unwrap();
    sva.timer().start_periodic(1000).unwrap();
    // An interrupt may come before the first instruction.
    while context.registers.eax != 5 {
        assert_eq!(sva.run(program.root(), &mut context), Ok(Exit::Interrupt(Line::TIMER)));
    }
    // Another may be on its way.
    let mut exit = Exit::Interrupt(Line::TIMER);
    while exit == Exit::Interrupt(Line::TIMER) {
        exit = sva.run(program.root(), &mut context).unwrap();
    }
    assert!(is_null(exit, &context), "{exit:?}");
    sva.timer().stop();
    interrupts.unregister(32).unwrap();
    program.destroy(sva);
}

const THREADS: u32 = 8;
const ROUNDS: u32 = 50;

/// Each thread has its own segment in the same slot, some have none; they take turns.
fn threads(sva: &'static Kernel) {
    static READS: AtomicU32 = AtomicU32::new(0);
    let boot = sva.current_thread();
    let body = move |number: u32| {
        let program = program(sva, read_segment());
        let mut context = program.context();
        let has_segment = number % 4 != 3;
        if has_segment {
            sva.set_tls(2, Some(segment(number))).unwrap();
        }
        for _ in 0..ROUNDS {
            // The selector of the slot, whoever's segment is in it now.
            context.gs = 0x4b;
            assert_eq!(read(sva, &program, &mut context), has_segment.then_some(number));
            READS.fetch_add(1, Ordering::Relaxed);
            sva.swap(boot).unwrap();
        }
        program.destroy(sva);
        Some(boot)
    };
    let threads: Vec<ThreadId> = (0..THREADS)
        .map(|number| {
            let stack = sva.declare_stack(&frames::free(sva, 4)).unwrap();
            sva.new_thread(stack, None, move || body(number)).unwrap()
        })
        .collect();
    for _ in 0..=ROUNDS {
        threads.iter().for_each(|thread| sva.swap(*thread).unwrap());
    }
    for thread in &threads {
        sva.release_stack(thread.stack()).unwrap();
    }
    assert_eq!(READS.load(Ordering::Relaxed), THREADS * ROUNDS);
    // A new thread on an old stack begins without.
    let stack = sva.declare_stack(&frames::free(sva, 4)).unwrap();
    let thread = sva
        .new_thread(stack, None, move || {
            let program = program(sva, read_segment());
            let mut context = program.context();
            context.gs = 0x4b;
            assert_eq!(read(sva, &program, &mut context), None);
            program.destroy(sva);
            Some(boot)
        })
        .unwrap();
    sva.swap(thread).unwrap();
    sva.release_stack(thread.stack()).unwrap();
    println!("{READS:?} reads through segments of {THREADS} threads");
}
