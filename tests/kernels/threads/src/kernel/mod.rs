#[path = "../../../machine/src/kernel/console.rs"]
mod console;
mod cpu;
mod exceptions;
mod frames;
mod instructions;
mod program;
mod swaps;
mod users;

use console::println;
use sva_os::Sva;
use sva_os::boot::{Boot, Status, entry};
use sva_os::machine::I386;
#[cfg(feature = "pae")]
use sva_os::mmu::Pae as Mode;
#[cfg(not(feature = "pae"))]
use sva_os::mmu::TwoLevel as Mode;

entry!(main);

type Kernel = Sva<I386<Mode>>;
type Test = fn(&'static Kernel);

const TESTS: &[(&str, Test)] = &[("swaps", swaps::run), ("users", users::run), ("exceptions", exceptions::run)];

fn main(boot: &'static Boot<Mode>) -> Status {
    // The loader puts the kernel's path in front.
    let name = boot.command_line().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let Some((name, test)) = TESTS.iter().find(|(other, _)| other.as_bytes() == name) else {
        println!("there is no such test");
        return Status::FAILED;
    };
    frames::make_heap(boot.sva());
    println!("test {name}");
    test(boot.sva());
    println!("{name}: {:?}", boot.sva().audit().unwrap());
    println!("{name}: done");
    Status::OK
}
