mod boundaries;
mod bytes;
mod console;
mod heap;
mod lines;
mod loader;
mod overflow;
mod raise;
mod refusals;
mod registers;
mod scenario;
mod traps;
mod walk;

use console::println;
use sva_os::boot::{Boot, Status, entry};
#[cfg(feature = "pae")]
use sva_os::mmu::Pae as Mode;
#[cfg(not(feature = "pae"))]
use sva_os::mmu::TwoLevel as Mode;

entry!(main);

type Test = fn(&'static Boot<Mode>);

const TESTS: &[(&str, Test)] = &[
    ("walk", walk::run),
    ("traps", traps::run),
    ("heap", heap::run),
    ("bytes", bytes::run),
    ("lines", lines::run),
    ("storm", lines::storm),
    ("registers", registers::run),
    ("refusals", refusals::run),
    ("panic", refusals::panic),
    ("step", boundaries::step),
    ("strike", boundaries::strike),
    ("unhandled", traps::unhandled),
    ("machine-check", traps::machine_check),
    ("task-gate", overflow::task_gate),
    ("overflow-small", overflow::small),
    ("overflow-large", overflow::large),
    ("overflow-at-base", overflow::at_base),
];

fn main(boot: &'static Boot<Mode>) -> Status {
    // The loader puts the kernel's path in front.
    let name = boot.command_line().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let Some((name, test)) = TESTS.iter().find(|(other, _)| other.as_bytes() == name) else {
        println!("there is no such test");
        return Status::FAILED;
    };
    println!("test {name}");
    test(boot);
    println!("{name}: done");
    Status::OK
}
