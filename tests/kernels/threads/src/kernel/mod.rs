mod addresses;
mod calls;
#[path = "../../../machine/src/kernel/console.rs"]
mod console;
mod copies;
mod cpu;
mod exceptions;
mod flags;
mod floats;
mod fp_image;
mod frames;
mod hostile;
mod instructions;
mod overflow;
mod preempted_copies;
mod program;
#[path = "../../../machine/src/kernel/raise.rs"]
mod raise;
mod schedule;
mod segments;
mod selectors;
mod soak;
mod soak_bodies;
mod step;
mod swaps;
mod tls;
mod users;

use console::println;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
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

/// The library's handle, for handlers that capture nothing.
static KERNEL: AtomicPtr<Kernel> = AtomicPtr::new(ptr::null_mut());

fn kernel() -> &'static Kernel {
    // SAFETY: `main` put it there, before any test began.
    unsafe { &*KERNEL.load(Ordering::Relaxed) }
}

const TESTS: &[(&str, Test)] = &[
    ("swaps", swaps::run),
    ("users", users::run),
    ("exceptions", exceptions::run),
    ("selectors", selectors::run),
    ("flags", flags::run),
    ("addresses", addresses::run),
    ("tls", tls::run),
    ("copies", copies::run),
    ("calls", calls::run),
    ("floats", floats::run),
    ("hostile", hostile::run),
    ("abandon-boot", hostile::abandon_boot),
    ("abandon-in-handler", hostile::abandon_in_handler),
    ("abandon-in-borrow", hostile::abandon_in_borrow),
    ("step", step::run),
    ("overflow-small", overflow::small),
    ("overflow-large", overflow::large),
    ("overflow-at-base", overflow::at_base),
    ("overflow-in-swap", overflow::in_swap),
    ("overflow-in-declare", overflow::in_declare),
    ("overflow-in-audit", overflow::in_audit),
    ("overflow-in-handler", overflow::in_handler),
    ("soak", soak::run),
    ("soak-long", soak::run_long),
];

fn main(boot: &'static Boot<Mode>) -> Status {
    // The loader puts the kernel's path in front.
    let name = boot.command_line().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let Some((name, test)) = TESTS.iter().find(|(other, _)| other.as_bytes() == name) else {
        println!("there is no such test");
        return Status::FAILED;
    };
    KERNEL.store(ptr::from_ref(boot.sva()).cast_mut(), Ordering::Relaxed);
    frames::make_heap(boot.sva());
    println!("test {name}");
    test(boot.sva());
    println!("{name}: {:?}", boot.sva().audit().unwrap());
    println!("{name}: done");
    Status::OK
}
