//! Every exception that a program can bring about (U6, D3, D4), from clean registers and from hostile ones (U7):
//! each is reported, and the kernel is as it was.

use super::instructions::{self, Case, Expect};
use super::program::{CODE, DATA, Program, STACK, program};
use super::{Kernel, cpu, frames, println};
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::address::{Frame, VirtAddr};
use sva_os::context::{Exit, UserContext, UserException, UserFlags};
use sva_os::interrupt::{ErrorCode, Exception, Line, Registers, TrapFrame, Vector};

/// How a program's registers are when its instruction comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    /// As the kernel makes them, but for OF.
    Clean,
    /// DF, TF, NT and AC set, by the program itself, in no register what the kernel could use, DS to GS null.
    Hostile,
}

const HOSTILE_FLAGS: u32 = cpu::OVERFLOW | cpu::DIRECTION | cpu::TRAP | cpu::NESTED | cpu::ALIGNMENT;
const POPF: u8 = 0x9d;
const SYSTEM_CALL: [u8; 2] = [0xcd, 0x80];

/// A program of one instruction, which follows a POPF, and a system call after it.
struct Tried {
    program: Program,
    code: Frame,
    stack: Frame,
}

impl Tried {
    fn new(sva: &'static Kernel) -> Self {
        let program = Program::new(sva, &[]);
        let code = program.map(sva, CODE.containing(), sva_os::mmu::Rights::ReadExecute);
        let frame = |at: VirtAddr| program.space.translate(at.containing()).unwrap().unwrap().frame();
        let (data, stack) = (frame(DATA), frame(VirtAddr::new(STACK.get() - 4)));
        for (offset, word) in [
            (instructions::ZERO, 0),
            (instructions::BOUNDS, 3),
            (instructions::BOUNDS + 4, 5),
            (instructions::KERNEL_TEXT, instructions::text()),
            (instructions::DATA_CODE, DATA.get() + instructions::CALL),
            (instructions::NOWHERE, 0x0a00_0000),
            (instructions::KERNEL_SELECTOR, 0x10),
        ] {
            sva.write_bytes(data, offset, &u32::to_le_bytes(word)).unwrap();
        }
        sva.write_bytes(data, instructions::CALL, &SYSTEM_CALL).unwrap();
        Self { program, code, stack }
    }

    /// The registers just before `instruction`, and those that they have come from.
    fn begin(&self, sva: &Kernel, instruction: &[u8], start: Start) -> UserContext {
        sva.write_bytes(self.code, 0, &[POPF]).unwrap();
        sva.write_bytes(self.code, 1, instruction).unwrap();
        sva.write_bytes(self.code, 1 + instruction.len() as u32, &SYSTEM_CALL).unwrap();
        let stack = [HOSTILE_FLAGS, 0, 0x08, 0].map(u32::to_le_bytes);
        sva.write_bytes(self.stack, 4096 - 16, stack.as_flattened()).unwrap();
        let top = VirtAddr::new(STACK.get() - instructions::FAR_FRAME);
        let mut context = UserContext::new(VirtAddr::new(CODE.get() + 1), top);
        context.flags = UserFlags::new(cpu::OVERFLOW);
        if start == Start::Hostile {
            context.instruction = CODE.get();
            // AX is null, for what loads it into SS.
            context.registers = Registers {
                eax: 0xfee1_0000,
                ebx: 0xc000_0000,
                ecx: 0xffff_ffff,
                edx: 0x8000_0000,
                esi: 0xdead_beef,
                edi: 0xffff_fffc,
                ebp: 0xc010_0001,
                esp: top.get() - 4,
            };
            (context.ds, context.es, context.fs, context.gs) = (0, 0, 0, 0);
        }
        context
    }

    /// Tries `case`.
    fn check(&self, sva: &'static Kernel, case: &Case<'_>, start: Start) {
        let mut context = self.begin(sva, case.code, start);
        let begun = context;
        let exit = sva.run(self.program.root(), &mut context).unwrap();
        cpu::check_kernel_state();
        let seen = Seen { case, start, begun: &begun, context: &context, exit };
        if !seen.is(&case.expect) {
            FAILED.fetch_add(1, Ordering::Relaxed);
            println!("{} {start:?}: {exit:x?}, expected {:x?}\n{context:x?}", case.name, case.expect);
        }
        if let (Expect::Jump(..), Start::Hostile) = (case.expect, start) {
            // The jump was stepped; now comes the fetch.
            let exit = sva.run(self.program.root(), &mut context).unwrap();
            let seen = Seen { case, start: Start::Clean, begun: &begun, context: &context, exit };
            assert!(seen.is(&case.expect), "{}: {exit:x?}", case.name);
        }
    }
}

/// What came of an instruction.
struct Seen<'a> {
    case: &'a Case<'a>,
    start: Start,
    begun: &'a UserContext,
    context: &'a UserContext,
    exit: Exit,
}

impl Seen<'_> {
    fn is(&self, expect: &Expect) -> bool {
        let at = CODE.get() + 1;
        let behind = at + self.case.code.len() as u32;
        match *expect {
            // Under TF the step behind it is reported.
            Expect::Harmless if self.start == Start::Hostile => {
                self.is_exception(Exception::Debug, 0, None)
                    && [behind, DATA.get() + instructions::CALL].contains(&self.context.instruction)
            }
            Expect::Harmless => {
                let call = SYSTEM_CALL.len() as u32;
                let called = [behind + call, DATA.get() + instructions::CALL + call];
                self.exit == Exit::SystemCall && called.contains(&self.context.instruction)
            }
            Expect::Fault(exception, code) => {
                self.is_exception(exception, code, None)
                    && self.context.instruction == at
                    && self.has_registers()
            }
            Expect::PageFault(address, code) => {
                self.is_exception(Exception::PageFault, code, Some(address))
                    && self.context.instruction == at
                    && self.has_registers()
            }
            Expect::Trap(exception) => {
                self.is_exception(exception, 0, None)
                    && self.context.instruction == behind
                    && self.has_registers()
            }
            Expect::Jump(to, _) if self.start == Start::Hostile => {
                self.is_exception(Exception::Debug, 0, None) && self.context.instruction == to
            }
            Expect::Jump(to, code) => {
                self.is_exception(Exception::PageFault, code, Some(to)) && self.context.instruction == to
            }
            Expect::Either(one, other) => self.is(one) || self.is(other),
            Expect::ByNested(clear, set) => self.is(if self.start == Start::Hostile { set } else { clear }),
        }
    }

    fn is_exception(&self, exception: Exception, code: u32, address: Option<u32>) -> bool {
        let code = ErrorCode::new(exception.vector(), code);
        let address = address.map(VirtAddr::new);
        self.exit == Exit::Exception(UserException { exception, code, address })
    }

    /// The general registers are as they were, but for what POPF popped; and the flags too.
    fn has_registers(&self) -> bool {
        let mut expected = self.begun.registers;
        let flags = cpu::OVERFLOW | cpu::DIRECTION | cpu::ALIGNMENT | cpu::NESTED | cpu::TRAP;
        let mut wanted = cpu::OVERFLOW;
        if self.start == Start::Hostile {
            expected.esp += 4;
            wanted = HOSTILE_FLAGS;
        }
        self.context.registers == expected && self.context.flags.bits() & flags == wanted
    }
}

/// Instructions of which something else came than is expected.
static FAILED: AtomicU32 = AtomicU32::new(0);

/// How often any handler ran: none is for what a program does.
static CALLED: AtomicU32 = AtomicU32::new(0);

fn on_anything(frame: &TrapFrame<'_>) {
    CALLED.fetch_add(1, Ordering::Relaxed);
    println!("a handler is called: {frame}");
}

/// Registers a handler of every vector that can have one, but the timer's.
fn register_all(sva: &'static Kernel) {
    let interrupts = sva.interrupts();
    for exception in Exception::ALL.iter().filter(|exception| !exception.is_reserved()) {
        interrupts.register_exception(*exception, &on_anything).unwrap();
    }
    for line in (1..16).filter_map(Line::new) {
        interrupts.register_line(line, &on_anything).unwrap();
    }
    for vector in 48..240 {
        interrupts.register_software(vector, &on_anything).unwrap();
    }
}

pub(super) fn run(sva: &'static Kernel) {
    let free = frames::count_free(sva);
    register_all(sva);
    let tried = Tried::new(sva);
    let cases = instructions::cases();
    for start in [Start::Clean, Start::Hostile] {
        for case in &cases {
            tried.check(sva, case, start);
        }
        for vector in Vector::all() {
            let code = [0xcd, vector.number()];
            let expect = match Exception::new(vector) {
                Some(exception @ (Exception::Breakpoint | Exception::Overflow)) => Expect::Trap(exception),
                _ => Expect::Fault(Exception::GeneralProtection, u32::from(vector) * 8 + 2),
            };
            if vector == Vector::SYSTEM_CALL {
                let mut context = tried.begin(sva, &code, start);
                assert_eq!(sva.run(tried.program.root(), &mut context), Ok(Exit::SystemCall));
                assert_eq!(context.instruction, CODE.get() + 3);
                cpu::check_kernel_state();
                continue;
            }
            tried.check(sva, &Case { name: "int", code: &code, expect }, start);
        }
        sva.audit().unwrap();
    }
    assert_eq!(FAILED.load(Ordering::Relaxed), 0);
    assert_eq!(CALLED.load(Ordering::Relaxed), 0);
    println!("{} instructions and 256 vectors, twice", cases.len());
    ports(sva, &tried);
    tried.program.destroy(sva);
    single_steps(sva);
    interrupted(sva);
    assert_eq!(CALLED.load(Ordering::Relaxed), 0);
    assert_eq!(frames::count_free(sva), free);
}

/// D4: no port is open.
fn ports(sva: &Kernel, tried: &Tried) {
    for code in [[0xec, 0x90], [0xef, 0x90]] {
        let begun = tried.begin(sva, &code, Start::Clean);
        for port in 0..=u32::from(u16::MAX) {
            let mut context = begun;
            context.registers.edx = port;
            let exit = sva.run(tried.program.root(), &mut context).unwrap();
            let exception = Exception::GeneralProtection;
            let refused =
                UserException { exception, code: ErrorCode::new(exception.vector(), 0), address: None };
            assert_eq!(exit, Exit::Exception(refused), "port {port:#x}");
        }
    }
}

// TF by POPF: a report behind each instruction but the POPF itself. POPF gives neither IOPL nor VM.
program!(steps: "pushl $0x37300", "popfl", "nop", "pushfl", "popl %eax", "int $0x80", "nop", "nop");
// The step behind a load of SS is held back until the system call; or it is reported, as TCG does, which holds only
// interrupts back.
program!(shadow: "pushl $0x100", "popfl", "movl %ss, %ecx", "movl %ecx, %ss", "int $0x80");

fn single_steps(sva: &'static Kernel) {
    let debug =
        Exit::Exception(UserException { exception: Exception::Debug, code: ErrorCode::None, address: None });
    let program = Program::new(sva, steps());
    let mut context = program.context();
    // NOP, PUSHF, POP; then the call; then the two NOPs behind it.
    for (offset, exit) in
        [(7, debug), (8, debug), (9, debug), (11, Exit::SystemCall), (12, debug), (13, debug)]
    {
        assert_eq!(sva.run(program.root(), &mut context), Ok(exit));
        assert_eq!(context.instruction, CODE.get() + offset);
        cpu::check_kernel_state();
    }
    let seen = context.registers.eax;
    assert_eq!(seen & (cpu::IOPL | cpu::VIRTUAL), 0, "{seen:#x}");
    assert_eq!(seen & (cpu::TRAP | cpu::INTERRUPT), cpu::TRAP | cpu::INTERRUPT, "{seen:#x}");
    program.destroy(sva);

    let program = Program::new(sva, shadow());
    let mut context = program.context();
    let mut stepped = 0;
    loop {
        let exit = sva.run(program.root(), &mut context).unwrap();
        cpu::check_kernel_state();
        if exit == Exit::SystemCall {
            break;
        }
        assert_eq!(exit, debug);
        stepped += 1;
    }
    println!("{stepped} steps before a call in the shadow of SS");
    assert!((1..=2).contains(&stepped));
    program.destroy(sva);
}

// Sets all flags that it can but TF, and loops.
program!(spin: "pushl $0x44ed7", "popfl", "1: jmp 1b");
// With TF.
program!(spin_stepped: "pushl $0x44fd7", "popfl", "1: jmp 1b");

static TICKS: AtomicU32 = AtomicU32::new(0);

/// Interrupts of hostile programs: their handler finds its own flags and segments, and what the program has.
fn interrupted(sva: &'static Kernel) {
    let interrupts = sva.interrupts();
    interrupts
        .register_line(Line::TIMER, &|frame| {
            TICKS.fetch_add(1, Ordering::Relaxed);
            cpu::check_kernel_state();
            assert_eq!(cpu::flags() & cpu::INTERRUPT, 0);
            assert!(frame.is_from_user());
        })
        .unwrap();
    interrupts.unmask(Line::TIMER).unwrap();
    sva.timer().start_periodic(1000).unwrap();
    for code in [spin(), spin_stepped()] {
        let program = Program::new(sva, code);
        let mut context = program.context();
        (context.ds, context.es) = (0, 0);
        let (mut ticks, mut steps) = (0, 0);
        while ticks < 20 {
            match sva.run(program.root(), &mut context).unwrap() {
                Exit::Interrupt(Line::TIMER) => ticks += 1,
                Exit::Exception(UserException { exception: Exception::Debug, .. }) => steps += 1,
                other => panic!("{other:?}"),
            }
            cpu::check_kernel_state();
        }
        println!("{ticks} ticks, {steps} steps");
        program.destroy(sva);
    }
    sva.timer().stop();
    interrupts.mask(Line::TIMER);
    assert!(TICKS.load(Ordering::Relaxed) >= 40);
}
