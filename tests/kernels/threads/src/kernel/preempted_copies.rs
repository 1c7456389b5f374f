//! Copies that the timer interrupts in the middle, while another thread copies in another address space.

use super::program::Program;
use super::{Kernel, println, schedule};
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::address::{Page, VirtAddr};
use sva_os::interrupt::TrapFrame;
use sva_os::mmu::Rights;
use sva_os::{Progress, Violation};

/// A buffer of so many pages, and nothing behind it.
const FIRST: u32 = 0x2_0000;
const PAGES: u32 = 16;
const BYTES: u32 = PAGES << 12;
/// Interrupts in the middle of copies that are waited for.
const WANTED: u32 = 100;
const MOST_ROUNDS: u32 = 20_000;

unsafe extern "C" {
    safe static sva_os_copy: u8;
    safe static sva_os_copy_end: u8;
    safe static sva_os_zero_words: u8;
    safe static sva_os_zero_bytes: u8;
}

/// How often a copy was interrupted.
static INTERRUPTED: AtomicU32 = AtomicU32::new(0);
static ROUNDS: AtomicU32 = AtomicU32::new(0);

fn on_tick(frame: &TrapFrame<'_>) {
    let at = |symbol: &u8| (&raw const *symbol).addr() as u32;
    let eip = frame.instruction().get();
    let copies = at(&sva_os_copy)..at(&sva_os_copy_end);
    let zeroes = at(&sva_os_zero_words)..=at(&sva_os_zero_bytes);
    if copies.contains(&eip) || zeroes.contains(&eip) {
        INTERRUPTED.fetch_add(1, Ordering::Relaxed);
    }
    // AC is the copy's own.
    super::cpu::check_kernel_state();
}

/// Copies there and back, a byte more than there is, in its own address space.
fn work(sva: &'static Kernel, seed: u32) {
    let program = Program::new(sva, &[]);
    for page in 0..PAGES {
        program.map(sva, Page::new(FIRST + page).unwrap(), Rights::ReadWrite);
    }
    sva.load_root(program.root()).unwrap();
    let end = VirtAddr::new((FIRST + PAGES) << 12);
    let mut round = seed;
    while INTERRUPTED.load(Ordering::Relaxed) < WANTED && round < MOST_ROUNDS {
        round += 7;
        // So many bytes are left out at the beginning.
        let skipped = round % 8;
        let start = VirtAddr::new((FIRST << 12) + skipped);
        let length = BYTES - skipped;
        let bytes: Vec<u8> = (0..=length).map(|index| (index.wrapping_mul(round) >> 3) as u8).collect();
        let wanted = Progress { done: length, refused: Some(Violation::NotWritable(end)) };
        assert_eq!(sva.copy_to_user(start, &bytes), wanted);
        let mut back = vec![0xee; bytes.len()];
        let wanted = Progress { done: length, refused: Some(Violation::NotReadable(end)) };
        assert_eq!(sva.copy_from_user(start, &mut back), wanted);
        assert!(back[..length as usize] == bytes[..length as usize]);
        assert_eq!(back[length as usize], 0xee);
        let wanted = Progress { done: length, refused: Some(Violation::NotWritable(end)) };
        assert_eq!(sva.zero_user(start, length + 1), wanted);
        assert_eq!(sva.copy_from_user(start, &mut back).done, length);
        assert!(back[..length as usize].iter().all(|byte| *byte == 0));
        ROUNDS.fetch_add(1, Ordering::Relaxed);
    }
    program.destroy(sva);
}

pub(super) fn run(sva: &'static Kernel) {
    const THREADS: u32 = 3;
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let entry = move || {
                work(sva, number);
                schedule::next(sva)
            };
            sva.new_thread(schedule::stack(sva, 8), None, entry).unwrap()
        })
        .collect();
    threads.iter().for_each(|thread| schedule::add(sva, *thread));
    schedule::start_preempting(sva, 10_000, &on_tick);
    while schedule::pass(sva) {}
    schedule::stop_preempting(sva);
    for thread in threads {
        sva.release_stack(thread.stack()).unwrap();
    }
    println!(
        "{ROUNDS:?} rounds of copies, interrupted {INTERRUPTED:?} times, {} preemptions",
        schedule::preemptions()
    );
    assert!(INTERRUPTED.load(Ordering::Relaxed) >= WANTED);
    assert!(schedule::preemptions() >= WANTED);
}
