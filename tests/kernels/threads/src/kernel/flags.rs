//! U2: whatever flags the kernel puts into a context.

use super::program::{Program, program};
use super::{Kernel, cpu, frames, println};
use sva_os::context::{Exit, UserException, UserFlags};
use sva_os::interrupt::Exception;

program!(read_flags: "pushfl", "popl %eax", "int $0x80");

/// Bits of EFLAGS that are always clear, or mean virtual interrupts (Intel SDM vol. 1, figure 3-8).
const NEVER: u32 = 0xffc0_8028 | 3 << 19;
const ALWAYS: u32 = 1 << 1;

pub(super) fn run(sva: &'static Kernel) {
    let free = frames::count_free(sva);
    let program = Program::new(sva, read_flags());
    let bits = (0..32).map(|bit| 1_u32 << bit);
    let without = (0..32).map(|bit| !(1_u32 << bit));
    for flags in bits.chain(without).chain([0, u32::MAX]) {
        let mut context = program.context();
        context.flags = UserFlags::new(flags);
        let mut steps = 0;
        loop {
            let exit = sva.run(program.root(), &mut context).unwrap();
            cpu::check_kernel_state();
            match exit {
                Exit::SystemCall => break,
                Exit::Exception(UserException { exception: Exception::Debug, .. }) => steps += 1,
                other => panic!("{flags:#x}: {other:?}"),
            }
        }
        let seen = context.registers.eax;
        let refused = NEVER | cpu::IOPL | cpu::NESTED | cpu::VIRTUAL | cpu::RESUME;
        assert_eq!(seen & refused, 0, "{flags:#x}: {seen:#x}");
        assert_eq!(seen & (ALWAYS | cpu::INTERRUPT), ALWAYS | cpu::INTERRUPT, "{flags:#x}: {seen:#x}");
        assert_eq!(seen & UserFlags::OWN, flags & UserFlags::OWN, "{flags:#x}: {seen:#x}");
        // TF: behind PUSHF and POP.
        assert_eq!(steps, if flags & cpu::TRAP != 0 { 2 } else { 0 }, "{flags:#x}");
    }
    println!("66 words of flags");
    program.destroy(sva);
    assert_eq!(frames::count_free(sva), free);
}
