//! The rows.

use super::Kernel;
use super::world::{self, DATA};
use core::arch::x86::_rdtsc;
use core::hint::black_box;
use sva_os::context::Exit;
use sva_os::mmu::{FrameSource, Rights};

/// How many calls the first run of a row makes.
const CALLS: u64 = 1000;
const PAGE: usize = 4096;

/// Counts every row, and tells `row`.
pub(super) fn run(sva: &'static Kernel, mut row: impl FnMut(&str, u64)) {
    let boot = sva.current_thread();
    let (space, mut context) = world::program(sva);
    let other = world::partner(sva, boot, None);
    let root = space.root();
    sva.interrupts().disable();

    row("swap there and back", count(|| sva.swap(other).unwrap()));
    let elsewhere = world::partner(sva, boot, Some(root));
    row("swap there and back, another root", count(|| sva.swap(elsewhere).unwrap()));

    sva.load_root(root).unwrap();
    row(
        "ring 3 and back, by a system call",
        count(|| {
            assert_eq!(sva.run(root, black_box(&mut context)), Ok(Exit::SystemCall));
        }),
    );
    let mut bytes = [0; PAGE];
    row(
        "copy from user, 1 byte",
        count(|| done(sva.copy_from_user(black_box(DATA), black_box(&mut bytes[..1])))),
    );
    row("copy from user, 4 KiB", count(|| done(sva.copy_from_user(black_box(DATA), black_box(&mut bytes)))));
    row("copy to user, 1 byte", count(|| done(sva.copy_to_user(black_box(DATA), black_box(&bytes[..1])))));
    row("copy to user, 4 KiB", count(|| done(sva.copy_to_user(black_box(DATA), black_box(&bytes)))));

    let frame = world::data(sva);
    let table = world::Source(sva).take().unwrap();
    sva.declare_table(table, 1).unwrap();
    row(
        "map and unmap",
        count(|| {
            sva.map(table, 7, frame, Rights::ReadWrite).unwrap();
            sva.unmap(table, 7).unwrap();
        }),
    );
}

fn done(progress: sva_os::Progress) {
    assert!(progress.refused.is_none());
}

/// Instructions of one call of `run`.
fn count(mut run: impl FnMut()) -> u64 {
    let mut calls = |number: u64| {
        // SAFETY: the CPU has it.
        let start = unsafe { _rdtsc() };
        for _ in 0..number {
            run();
        }
        // SAFETY: as before.
        unsafe { _rdtsc() - start }
    };
    let some = calls(CALLS);
    let twice = calls(2 * CALLS);
    (twice - some) / CALLS
}
