//! U4: `push_call`, where the stack is there, and where it is not.

use super::program::{CODE, Program, STACK, program};
use super::{Kernel, cpu, frames, println};
use sva_os::Violation;
use sva_os::address::{Page, VirtAddr};
use sva_os::context::{Exit, UserContext};
use sva_os::mmu::Rights;

// The callee: the return address, two arguments, what the second leads to, and the ESP it began with.
program!(callee: "movl (%esp), %eax", "movl 4(%esp), %ebx", "movl 8(%esp), %esi", "movl (%esi), %ecx",
    "movl %esp, %edx", "int $0x80");

const RETURN: u32 = 0x1234_5678;
const ARGUMENT: u32 = 0x9abc_def0;
const DATA: [u8; 5] = *b"there";

fn push(sva: &Kernel, context: &mut UserContext) -> Result<VirtAddr, Violation> {
    sva.push_call(context, CODE, &DATA, |data| [RETURN, ARGUMENT, data.get()])
}

pub(super) fn run(sva: &'static Kernel) {
    let free = frames::count_free(sva);
    let program = Program::new(sva, callee());
    // The last page of the window, and one that cannot be written.
    program.map(sva, Page::new(0xb_ffff).unwrap(), Rights::ReadWrite);
    program.map(sva, Page::new(0x3_0000).unwrap(), Rights::Read);
    sva.load_root(program.root()).unwrap();
    for top in (STACK.get() - 64..=STACK.get()).chain([0xc000_0000, 0xbfff_f800]) {
        let mut context = UserContext::new(VirtAddr::new(0), VirtAddr::new(top));
        let data = push(sva, &mut context).unwrap();
        assert!(data.get().is_multiple_of(16) && top - (data.get() + 5) < 16 + 16, "{top:#x}: {data:?}");
        assert_eq!(sva.run(program.root(), &mut context), Ok(Exit::SystemCall));
        let registers = context.registers;
        assert_eq!([registers.eax, registers.ebx, registers.esi], [RETURN, ARGUMENT, data.get()]);
        assert_eq!(registers.ecx, u32::from_le_bytes(*DATA.first_chunk().unwrap()));
        // Above the return address the stack is aligned, and what was pushed lies below where it was.
        assert_eq!((registers.edx + 4) % 16, 0);
        assert!(registers.edx < data.get() && registers.edx + 12 <= data.get());
    }
    let mut refusals = 0;
    let wraps = |top: u32| Violation::NotAUserRange(VirtAddr::new(top));
    // Near 0, in the kernel half, and across the split: what is pushed begins above it.
    for top in (0..5).chain([0xc000_0040, 0xd000_0000, u32::MAX, u32::MAX - 3]) {
        let mut context = UserContext::new(CODE, VirtAddr::new(top));
        let before = context;
        let refusal = push(sva, &mut context).unwrap_err();
        assert!(top >= 5 && matches!(refusal, Violation::NotAUserRange(_)) || refusal == wraps(top));
        assert_eq!(context, before);
        refusals += 1;
    }
    // Where the words lie in the window but the data does not, nothing counts as pushed.
    for top in 0xc000_0001..0xc000_0050 {
        let mut context = UserContext::new(CODE, VirtAddr::new(top));
        let before = context;
        match push(sva, &mut context) {
            Ok(data) => assert!(data.get() + 5 <= 0xc000_0000, "{top:#x}"),
            Err(_) => {
                assert_eq!(context, before);
                refusals += 1;
            }
        }
    }
    // Nothing there, and nothing to be written.
    for (top, violation) in [
        (0x0a00_0100, Violation::NotWritable as fn(_) -> _),
        (0x3000_0100, Violation::NotWritable),
        (64, Violation::NotWritable),
    ] {
        let mut context = UserContext::new(CODE, VirtAddr::new(top));
        let before = context;
        let refusal = push(sva, &mut context).unwrap_err();
        let at = (top - 64..top).find(|at| refusal == violation(VirtAddr::new(*at)));
        assert!(at.is_some(), "{top:#x}: {refusal:?}");
        assert_eq!(context, before);
        refusals += 1;
    }
    // The words are in a page that is there, the data is not.
    let mut context = UserContext::new(CODE, VirtAddr::new(STACK.get() - 4096 + 16));
    let before = context;
    assert!(matches!(push(sva, &mut context), Err(Violation::NotWritable(_))));
    assert_eq!(context, before);
    println!("{} refusals", refusals + 1);
    cpu::check_kernel_state();
    program.destroy(sva);
    assert_eq!(frames::count_free(sva), free);
}
