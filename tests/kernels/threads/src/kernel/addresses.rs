//! U3: whatever EIP and ESP the kernel puts into a context.

use super::instructions::{PRESENT, USER, WRITE, text};
use super::program::{CODE, Program, STACK, program};
use super::{Kernel, cpu, frames, println};
use alloc::vec::Vec;
use sva_os::context::{Exit, UserContext, UserException};
use sva_os::interrupt::{ErrorCode, Exception, PageFaultCode};

// A call, and a call after a push.
program!(only_call: "int $0x80");
program!(push: "pushl %eax", "int $0x80");

const KERNEL_HALF: u32 = 0xc000_0000;

/// Addresses at every border, and some hundred more.
fn addresses() -> Vec<u32> {
    let borders =
        [0, 0x1000, CODE.get() + 0x1000, STACK.get(), KERNEL_HALF, text(), 0xf800_0000, 0xffff_f000];
    let near = borders
        .into_iter()
        .flat_map(|at| (0..32).map(move |offset| u32::wrapping_add(at, offset).wrapping_sub(16)));
    // The stack of the kernel, what init made, and what is nowhere.
    let local = 0_u32;
    let kernel = [(&raw const local).addr() as u32, addresses as fn() -> Vec<u32> as usize as u32];
    let mut word = 0x1234_5678_u32;
    let random = (0..500).map(move |_| {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        word
    });
    near.chain(kernel).chain(random).collect()
}

pub(super) fn run(sva: &'static Kernel) {
    let free = frames::count_free(sva);
    let addresses = addresses();
    let call = Program::new(sva, only_call());
    let push = Program::new(sva, push());
    let mut faults = 0;
    for at in &addresses {
        // Where it calls, it does not matter what ESP is.
        let mut context = call.context();
        context.registers.esp = *at;
        assert_eq!(sva.run(call.root(), &mut context), Ok(Exit::SystemCall), "ESP {at:#x}");
        assert_eq!(context.registers.esp, *at);
        cpu::check_kernel_state();

        let mut context = push.context();
        context.registers.esp = *at;
        faults += u32::from(pushed(sva, &push, &mut context, *at));

        let mut context = call.context();
        context.instruction = *at;
        faults += u32::from(jumped(sva, &call, &mut context, *at));
    }
    sva.audit().unwrap();
    println!("{} addresses, {faults} faults", addresses.len());
    call.destroy(sva);
    push.destroy(sva);
    assert_eq!(frames::count_free(sva), free);
}

/// Pushes a word below `at`; says whether that was a fault.
fn pushed(sva: &Kernel, program: &Program, context: &mut UserContext, at: u32) -> bool {
    let exit = sva.run(program.root(), context).unwrap();
    cpu::check_kernel_state();
    let lowest = at.wrapping_sub(4);
    let in_pages = |first: u32, last: u32| (first..=last - 3).contains(&lowest);
    if in_pages(STACK.get() - 4096, STACK.get() - 1) || in_pages(0x0900_0000, 0x0900_0fff) {
        assert_eq!(exit, Exit::SystemCall, "ESP {at:#x}");
        assert_eq!(context.registers.esp, lowest);
        return false;
    }
    assert_eq!((context.instruction, context.registers.esp), (CODE.get(), at));
    match exit {
        Exit::Exception(UserException {
            exception: Exception::PageFault,
            code: ErrorCode::PageFault(code),
            address: Some(address),
        }) => {
            let offset = address.get().wrapping_sub(lowest);
            assert!(offset < 4, "ESP {at:#x}: {exit:x?}");
            let wanted = PageFaultCode::USER | PageFaultCode::WRITE;
            assert_eq!(code - PageFaultCode::PRESENT, wanted, "ESP {at:#x}");
            // Nothing is present for a program and not writable but its code.
            let is_code = address.containing() == CODE.containing();
            let in_kernel = address.get() >= KERNEL_HALF;
            assert!(is_code || in_kernel || !code.contains(PageFaultCode::PRESENT), "ESP {at:#x}: {exit:x?}");
        }
        // A word that wraps at the end of the segment.
        Exit::Exception(UserException { exception: Exception::StackFault, .. }) => {
            assert!(lowest > u32::MAX - 3, "ESP {at:#x}");
        }
        other => panic!("ESP {at:#x}: {other:x?}"),
    }
    true
}

/// Jumps to `at`; says whether that was a fault.
fn jumped(sva: &Kernel, program: &Program, context: &mut UserContext, at: u32) -> bool {
    let exit = sva.run(program.root(), context).unwrap();
    cpu::check_kernel_state();
    match exit {
        Exit::Exception(UserException {
            exception: Exception::PageFault,
            code: ErrorCode::PageFault(code),
            address: Some(address),
        }) => {
            assert_eq!(code.bits() & !(PRESENT | WRITE), USER | cpu::fetch() & code.bits(), "EIP {at:#x}");
            if context.instruction == at && !is_mapped(at) {
                // The fetch itself, perhaps of bytes behind the first.
                assert!(address.get().wrapping_sub(at) < 16, "EIP {at:#x}: {exit:x?}");
                assert_eq!(code.bits() & cpu::fetch(), cpu::fetch());
                assert!(!code.contains(PageFaultCode::WRITE));
            }
            true
        }
        // In the pages of the program there is code, and zeroes.
        Exit::SystemCall | Exit::Exception(_) => {
            assert!(is_mapped(at) || at > u32::MAX - 16, "EIP {at:#x}: {exit:x?}");
            false
        }
        other => panic!("EIP {at:#x}: {other:x?}"),
    }
}

fn is_mapped(at: u32) -> bool {
    [CODE.get(), 0x0900_0000, STACK.get() - 4096].iter().any(|start| (*start..start + 4096).contains(&at))
}
