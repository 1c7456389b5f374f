//! U1: whatever selectors the kernel puts into a context, and whatever selectors a program loads itself.

use super::program::{CODE, DATA, Program, STACK, program};
use super::segments::Segments;
use super::{Kernel, cpu, frames, println};
use sva_os::address::VirtAddr;
use sva_os::context::{Exit, UserContext, UserException};
use sva_os::interrupt::{ErrorCode, Exception, PageFaultCode};

// Reads back what it has.
program!(read_back: "movl %ds, %eax", "movl %es, %ebx", "movl %fs, %ecx", "movl %gs, %edx", "int $0x80");

program!(load_ds: "movl %eax, %ds", "int $0x80");
program!(load_es: "movl %eax, %es", "int $0x80");
program!(load_fs: "movl %eax, %fs", "int $0x80");
program!(load_gs: "movl %eax, %gs", "int $0x80");
program!(load_ss: "movl %eax, %ss", "int $0x80");
// The kernel puts the selector behind the address, in the page of data or on the stack. Where they lead, the call is.
program!(jump: "ljmpl *%ss:0x09000000", "int $0x80");
program!(call: "lcall *%ss:0x09000000", "int $0x80");
program!(far_return: "lret", "int $0x80");
program!(interrupt_return: "iretl", "int $0x80");

pub(super) fn run(sva: &'static Kernel) {
    let free = frames::count_free(sva);
    for installed in [[false; 3], [true; 3], [false, true, false]] {
        let segments = Segments::install(sva, installed);
        entered(sva, segments);
    }
    let segments = Segments::install(sva, [false, true, false]);
    for kind in Kind::ALL {
        loaded(sva, segments, kind);
    }
    Segments::install(sva, [false; 3]);
    assert_eq!(frames::count_free(sva), free);
}

/// Enters a program with each selector in each register, and in all.
fn entered(sva: &'static Kernel, segments: Segments) {
    const EVERY: u32 = 4;
    let program = Program::new(sva, read_back());
    let mut kept = 0;
    for register in 0..=EVERY {
        for selector in 0..=u16::MAX {
            let mut context = program.context();
            let mut wanted = [UserContext::DATA, UserContext::DATA, 0, 0];
            for (number, wanted) in (0..).zip(&mut wanted) {
                if register == number || register == EVERY {
                    *wanted = selector;
                }
            }
            [context.ds, context.es, context.fs, context.gs] = wanted;
            assert_eq!(sva.run(program.root(), &mut context), Ok(Exit::SystemCall));
            let registers = context.registers;
            let seen = [registers.eax, registers.ebx, registers.ecx, registers.edx];
            for (seen, wanted) in seen.into_iter().zip(wanted) {
                // A null selector may lose its low bits.
                let expected = if segments.is_data(wanted) { wanted } else { 0 };
                let same = if expected == 0 { seen & 0xfffc == 0 } else { seen & 0xffff == expected.into() };
                assert!(same, "{wanted:#x} is {seen:#x}, {segments:?}");
                kept += u32::from(expected != 0);
            }
            let read: [u16; 4] = [context.ds, context.es, context.fs, context.gs];
            assert_eq!(read.map(u32::from), seen.map(|selector| selector & 0xffff));
        }
        cpu::check_kernel_state();
    }
    println!("{segments:?}: {kept} kept");
    program.destroy(sva);
}

/// How a program loads a selector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Ds,
    Es,
    Fs,
    Gs,
    Ss,
    Jump,
    Call,
    Return,
    InterruptReturn,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Ds,
        Self::Es,
        Self::Fs,
        Self::Gs,
        Self::Ss,
        Self::Jump,
        Self::Call,
        Self::Return,
        Self::InterruptReturn,
    ];

    fn code(self) -> &'static [u8] {
        match self {
            Self::Ds => load_ds(),
            Self::Es => load_es(),
            Self::Fs => load_fs(),
            Self::Gs => load_gs(),
            Self::Ss => load_ss(),
            Self::Jump => jump(),
            Self::Call => call(),
            Self::Return => far_return(),
            Self::InterruptReturn => interrupt_return(),
        }
    }

    /// Whether `selector` can be loaded so (Intel SDM vol. 3, 5.6 to 5.8).
    fn loads(self, segments: Segments, selector: u16) -> bool {
        let is_of_ring_3 = selector & 3 == 3;
        match self {
            // Code of ring 3 can be read.
            Self::Ds | Self::Es | Self::Fs | Self::Gs => {
                Segments::is_null(selector) || segments.is_data(selector) || Segments::is_code(selector)
            }
            Self::Ss => is_of_ring_3 && segments.is_data(selector),
            Self::Jump | Self::Call => Segments::is_code(selector),
            Self::Return | Self::InterruptReturn => is_of_ring_3 && Segments::is_code(selector),
        }
    }

    /// Where TCG reaches the stack as ring 0 would: in far calls and returns. With SMAP on it does none then. (It
    /// also lets a program write kernel memory by a far call with ESP there; on silicon that is a page fault.)
    fn ring_0_access(self, top: VirtAddr) -> Option<UserException> {
        let (code, address) = match self {
            Self::Return | Self::InterruptReturn => (PageFaultCode::PRESENT, top.get()),
            Self::Call => (PageFaultCode::PRESENT | PageFaultCode::WRITE, top.get() - 4),
            _ => return None,
        };
        let code = ErrorCode::PageFault(code);
        Some(UserException { exception: Exception::PageFault, code, address: Some(VirtAddr::new(address)) })
    }
}

/// Lets a program load every selector in one way.
fn loaded(sva: &'static Kernel, segments: Segments, kind: Kind) {
    let program = Program::new(sva, kind.code());
    let frame = |at: VirtAddr| program.space.translate(at.containing()).unwrap().unwrap().frame();
    let (data, stack) = (frame(DATA), frame(VirtAddr::new(STACK.get() - 4)));
    let behind = CODE.get() + kind.code().len() as u32;
    let target = behind - 2;
    let refused = |selector: u16| {
        let exception = Exception::GeneralProtection;
        let code = ErrorCode::new(exception.vector(), u32::from(selector) & !3);
        Exit::Exception(UserException { exception, code, address: None })
    };
    let top = VirtAddr::new(STACK.get() - 12);
    let not_done = kind.ring_0_access(top).filter(|_| cpu::has_smap()).map(Exit::Exception);
    let mut harmless = 0;
    for selector in 0..=u16::MAX {
        let mut context = program.context();
        context.registers.eax = selector.into();
        context.registers.esp = top.get();
        if !matches!(kind, Kind::Ds | Kind::Es | Kind::Fs | Kind::Gs | Kind::Ss) {
            let far = [target, selector.into(), 0].map(u32::to_le_bytes);
            sva.write_bytes(data, 0, far.as_flattened()).unwrap();
            sva.write_bytes(stack, 4096 - 12, far.as_flattened()).unwrap();
        }
        let exit = sva.run(program.root(), &mut context).unwrap();
        if Some(exit) == not_done {
            continue;
        }
        if kind.loads(segments, selector) {
            assert_eq!((exit, context.instruction), (Exit::SystemCall, behind), "{kind:?} {selector:#x}");
            harmless += 1;
        } else {
            assert_eq!(
                (exit, context.instruction),
                (refused(selector), CODE.get()),
                "{kind:?} {selector:#x}"
            );
        }
    }
    cpu::check_kernel_state();
    println!("{kind:?}: {harmless} loaded");
    program.destroy(sva);
}
