//! D8: an NMI, and where interrupts are on a timer's interrupt, at every instruction boundary of swaps, of the ways
//! into ring 3 and back, of copies of user memory and of `load_root`.
//!
//! All runs under the trap flag. After each instruction a gate of the test's own calls the library's: that of NMI
//! always. Gates clear TF, so those by which programs of the test come back are the test's own too: they set it
//! again and go on at the library's. What the library loads into EFLAGS clears it also; the gate of the steps sets
//! it once more.

use super::program::{CODE, DATA, Program, STACK, program};
use super::{Kernel, cpu, frames, kernel, println, schedule};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use sva_os::address::{Page, VirtAddr};
use sva_os::context::{Exit, TlsLimit, TlsSegment, UserContext, UserException};
use sva_os::interrupt::{Exception, Line};
use sva_os::mmu::Rights;
use sva_os::{Progress, Violation};

unsafe extern "C" {
    safe static sva_os_text: u8;
    safe static sva_os_text_end: u8;
    safe static sva_os_copy: u8;
    safe static sva_os_copy_end: u8;
    safe static sva_os_string_byte: u8;
    fn threads_step_gate();
    fn threads_undefined_gate();
    fn threads_no_device_gate();
    fn threads_page_fault_gate();
    fn threads_call_gate();
}

global_asm!(
    r#"
// ES, DS and the general registers, 40 bytes, lie below EIP, CS and EFLAGS. NMI comes with DS and ES as they are,
// which may be a program's.
threads_step_gate:
    pushal
    pushl %ds
    pushl %es
    movl %cr3, %esi
    movl %esp, %ebx
    movl $0x0a0a0a0a, %eax
    movl $0x0c0c0c0c, %ecx
    movl $0x0d0d0d0d, %edx
    movl $0x0f0f0f0f, %ebp
    movl %ds, %edi
    int $2
    cmpl $0x0a0a0a0a, %eax
    jne 2f
    cmpl $0x0c0c0c0c, %ecx
    jne 2f
    cmpl $0x0d0d0d0d, %edx
    jne 2f
    cmpl $0x0f0f0f0f, %ebp
    jne 2f
    cmpl %esp, %ebx
    jne 2f
    movl %cr3, %eax
    cmpl %esi, %eax
    jne 2f
    movl %ds, %eax
    cmpl %edi, %eax
    jne 2f

    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    cld
    leal 40(%esp), %eax
    andl $-16, %esp
    subl $12, %esp
    pushl %eax
    call threads_stepped
    movl %ebx, %esp
    testl %eax, %eax
    je 1f
    int $32
1:  movl %cr3, %edi
    cmpl %esi, %edi
    jne 2f
    popl %es
    popl %ds
    popal
    iretl
2:  ud2

// The CPU has pushed what the stub expects; with TF set again, on to the stub.
.macro again name, vector
\name:
    pushfl
    orl $0x100, %ss:(%esp)
    popfl
    jmp sva_os_stubs + 16 * \vector
.endm
again threads_undefined_gate, 6
again threads_no_device_gate, 7
again threads_page_fault_gate, 14
again threads_call_gate, 0x80
"#,
    options(att_syntax)
);

/// Steps go on.
static STEPPING: AtomicBool = AtomicBool::new(false);
static STEPS: AtomicU32 = AtomicU32::new(0);
static BEFORE: AtomicU32 = AtomicU32::new(0);
static TICKS: AtomicU32 = AtomicU32::new(0);

/// A bit for each byte of text at which an instruction began.
static STEPPED: [AtomicU32; BITS / 32] = [const { AtomicU32::new(0) }; BITS / 32];
const BITS: usize = 1 << 20;

fn text() -> core::ops::Range<u32> {
    (&raw const sva_os_text).addr() as u32..(&raw const sva_os_text_end).addr() as u32
}

fn was_stepped(at: u32) -> bool {
    let offset = (at - text().start) as usize;
    STEPPED[offset / 32].load(Ordering::Relaxed) & 1 << (offset % 32) != 0
}

const STI: u8 = 0xfb;

/// What the CPU pushed for a step.
#[repr(C)]
struct Pushed {
    eip: u32,
    cs: u32,
    eflags: u32,
}

/// Notes the boundary, sees to it that the steps go on in ring 0, and says whether the timer may strike there.
#[unsafe(no_mangle)]
extern "C" fn threads_stepped(pushed: &mut Pushed) -> bool {
    if pushed.cs & 3 != 0 {
        // The way into ring 3 is behind us. The program itself is not stepped.
        pushed.eflags &= !cpu::TRAP;
        return false;
    }
    let stepping = STEPPING.load(Ordering::Relaxed);
    pushed.eflags = pushed.eflags & !cpu::TRAP | if stepping { cpu::TRAP } else { 0 };
    STEPS.fetch_add(1, Ordering::Relaxed);
    assert!(text().contains(&pushed.eip) && text().len() <= BITS);
    let offset = (pushed.eip - text().start) as usize;
    STEPPED[offset / 32].fetch_or(1 << (offset % 32), Ordering::Relaxed);
    let before = BEFORE.swap(pushed.eip, Ordering::Relaxed) as *const u8;
    // SAFETY: the text that was executed just now.
    let shadow = !before.is_null() && unsafe { before.read() } == STI;
    pushed.eflags & cpu::INTERRUPT != 0 && !shadow
}

/// The library's IDT, but for the gates of the test.
fn load_own_gates() {
    static mut IDT: [u64; 256] = [0; 256];
    type Way = unsafe extern "C" fn();
    let own: [(usize, Way, u64); 5] = [
        (1, threads_step_gate, 0),
        (6, threads_undefined_gate, 0),
        (7, threads_no_device_gate, 0),
        (14, threads_page_fault_gate, 0),
        (0x80, threads_call_gate, 3),
    ];
    let mut register = [0u16; 3];
    // SAFETY: one CPU; the library's IDT has 256 gates, and is there to be read.
    unsafe {
        asm!("sidt [{}]", in(reg) register.as_mut_ptr());
        let base = u32::from(register[2]) << 16 | u32::from(register[1]);
        IDT = (base as *const [u64; 256]).read();
        for (vector, way, ring) in own {
            let gate = way as usize as u64;
            IDT[vector] = gate & 0xffff | 8 << 16 | (0x8e00 | ring << 13) << 32 | (gate & 0xffff_0000) << 32;
        }
        let own = (&raw const IDT) as u32;
        register = [256 * 8 - 1, own as u16, (own >> 16) as u16];
        asm!("lidt [{}]", in(reg) register.as_ptr());
    }
}

// A call with all registers full, floating point, a segment, a page that is not there, an instruction that is none.
program!(stepped_program:
    "movl %gs:0, %eax",
    "fninit",
    "fldpi",
    "movl $0x11111111, %ebx",
    "movl $0x22222222, %esi",
    "movl $0x33333333, %edi",
    "movl $0x44444444, %ebp",
    "std",
    "int $0x80",
    "movl %ebx, 0x0b000000",
    "ud2");

/// Runs a program to its end: a call, a page that is not there, an instruction that is none.
fn run_program(sva: &'static Kernel, program: &Program, selector: u16, word: u32) {
    let mut context = program.context();
    context.gs = selector;
    let expect = |context: &UserContext, eax: u32| {
        let seen = context.registers;
        assert_eq!([seen.eax, seen.ebx, seen.esi], [eax, 0x1111_1111, 0x2222_2222]);
        assert_eq!([seen.edi, seen.ebp, seen.esp], [0x3333_3333, 0x4444_4444, STACK.get()]);
        assert_eq!((context.gs, context.flags.bits() & cpu::DIRECTION), (selector, cpu::DIRECTION));
    };
    let mut run = || loop {
        match sva.run(program.root(), &mut context).unwrap() {
            Exit::Interrupt(Line::TIMER) => {}
            exit => return (exit, context),
        }
    };
    let (exit, seen) = run();
    assert_eq!(exit, Exit::SystemCall);
    expect(&seen, word);
    let (exit, seen) = run();
    let Exit::Exception(UserException { exception: Exception::PageFault, address, .. }) = exit else {
        panic!("{exit:?}")
    };
    assert_eq!(address, Some(VirtAddr::new(0x0b00_0000)));
    expect(&seen, word);
    let frame = program.map(sva, Page::new(0xb000).unwrap(), Rights::ReadWrite);
    let (exit, seen) = run();
    assert!(matches!(exit, Exit::Exception(UserException { exception: Exception::InvalidOpcode, .. })));
    expect(&seen, word);
    assert_eq!(seen.instruction, CODE.get() + stepped_program().len() as u32 - 2);
    program.space.unmap(Page::new(0xb000).unwrap()).unwrap();
    sva.retype(frame, sva_os::frame::Kind::Free).unwrap();
}

/// Copies that stop at the end of a page, and strings.
fn copy(sva: &'static Kernel, word: u32) {
    let end = VirtAddr::new(DATA.get() + 4096);
    let start = VirtAddr::new(end.get() - 14);
    let bytes = [word as u8 | 1; 15];
    let stopped = |violation| Progress { done: 14, refused: Some(violation) };
    assert_eq!(sva.copy_to_user(start, &bytes), stopped(Violation::NotWritable(end)));
    let mut back = [0; 15];
    assert_eq!(sva.copy_from_user(start, &mut back), stopped(Violation::NotReadable(end)));
    assert_eq!(back[..14], bytes[..14]);
    assert_eq!(sva.copy_str_from_user(start, &mut back), stopped(Violation::NotReadable(end)));
    assert_eq!(sva.zero_user(start, 15), stopped(Violation::NotWritable(end)));
    assert_eq!(sva.copy_str_from_user(start, &mut back), Progress { done: 0, refused: None });
}

/// Two threads with an address space each, from beginning to end.
fn scenario(sva: &'static Kernel, programs: &'static [Program; 2]) {
    let boot = sva.current_thread();
    let make = |number: u32| {
        let program = &programs[number as usize];
        let entry = move || {
            let segment = TlsSegment { base: DATA.get() + 16 * number, limit: TlsLimit::Bytes(3) };
            let selector = sva.set_tls(number, Some(segment)).unwrap();
            for _ in 0..2 {
                sva.load_root(program.root()).unwrap();
                assert_eq!(sva.copy_to_user(VirtAddr::new(segment.base), &[number as u8 + 7; 4]).done, 4);
                copy(sva, number);
                run_program(sva, program, selector, u32::from_le_bytes([number as u8 + 7; 4]));
                sva.swap(boot).unwrap();
            }
            let state = sva.save_fp();
            sva.load_fp(&state);
            Some(boot)
        };
        sva.new_thread(schedule::stack(sva, 8), (number == 0).then(|| program.root()), entry).unwrap()
    };
    let threads = [make(0), make(1)];
    for _ in 0..3 {
        for thread in threads {
            sva.swap(thread).unwrap();
            assert_eq!(sva.root(), sva.sealed_root());
        }
    }
    for thread in threads {
        assert_eq!(sva.swap(thread), Err(Violation::ThreadEnded(thread.number())));
        assert_eq!(sva.release_stack(thread.stack()).unwrap().count(), 8);
    }
}

/// How often instructions with these bytes were stepped.
fn count(bytes: &[u8]) -> u32 {
    let text = text();
    let stepped = text.filter(|at| was_stepped(*at));
    stepped
        .filter(|at| {
            // SAFETY: text.
            bytes.iter().zip(*at..).all(|(byte, at)| unsafe { (at as *const u8).read() } == *byte)
        })
        .count() as u32
}

pub(super) fn run(sva: &'static Kernel) {
    let programs = alloc::boxed::Box::new([0, 1].map(|_| Program::new(sva, stepped_program())));
    let programs: &'static [Program; 2] = alloc::boxed::Box::leak(programs);
    // The first time tables are made.
    scenario(sva, programs);
    let free = frames::count_free(sva);
    sva.interrupts()
        .register_line(Line::TIMER, &|_| {
            TICKS.fetch_add(1, Ordering::Relaxed);
            assert!(kernel().load_root(kernel().sealed_root()).is_err());
        })
        .unwrap();
    let before = sva.interrupts().counts();
    load_own_gates();
    sva.interrupts().enable().unwrap();
    STEPPING.store(true, Ordering::Relaxed);
    // SAFETY: sets TF. The gate of the steps clears it when they are over.
    unsafe { asm!("pushfd", "or dword ptr [esp], {}", "popfd", const cpu::TRAP) }
    scenario(sva, programs);
    STEPPING.store(false, Ordering::Relaxed);
    sva.interrupts().disable();
    cpu::check_kernel_state();
    let after = sva.interrupts().counts();
    let (steps, ticks) = (STEPS.load(Ordering::Relaxed), TICKS.load(Ordering::Relaxed));
    assert_eq!(frames::count_free(sva), free);
    let boundaries = text().filter(|at| was_stepped(*at)).count();
    println!(
        "{steps} steps, {ticks} with interrupts on, {boundaries} boundaries, {} NMIs",
        after.nmis - before.nmis
    );
    assert!(after.nmis - before.nmis >= steps && boundaries > 1000 && ticks > 100);

    // What has to be among them. The ways into ring 3 and out of a handler: IRET, two. The way back from ring 3: POP to
    // memory at EAX, each with its own offset, and at last that of ESP. The switch: MOV of EDX to ESP. CR3: MOV of a
    // register to it.
    assert!(count(&[0xcf]) >= 2, "IRET");
    assert!(count(&[0x8f]) >= 10, "POP to memory");
    assert!(count(&[0x89, 0xd4]) >= 1, "MOV to ESP");
    assert!(count(&[0x0f, 0x22]) >= 2, "MOV to CR3");
    let copies = (&raw const sva_os_copy).addr() as u32..(&raw const sva_os_copy_end).addr() as u32;
    let in_copies = copies.clone().filter(|at| was_stepped(*at)).count();
    println!("{in_copies} boundaries in copies");
    assert!(in_copies >= 18 && was_stepped((&raw const sva_os_string_byte).addr() as u32));
}
