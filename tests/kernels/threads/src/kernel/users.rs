//! Programs in ring 3 that call the kernel.

use super::program::{Program, program};
use super::{Kernel, frames, println};
use sva_os::context::Exit;

// Counts ECX up at every call.
program!(count: "1: incl %ecx", "int $0x80", "jmp 1b");

pub(super) fn run(sva: &'static Kernel) {
    let free = frames::count_free(sva);
    let program = Program::new(sva, count());
    let mut context = program.context();
    for count in 1..=1000 {
        assert_eq!(sva.run(program.root(), &mut context), Ok(Exit::SystemCall));
        assert_eq!(context.registers.ecx, count);
    }
    println!("{context:x?}");
    program.destroy(sva);
    assert_eq!(frames::count_free(sva), free);
}
