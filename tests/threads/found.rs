//! What the model found, each by itself.

use super::run::take_over;
use crate::common::world::frame;
use sva_os::Violation;
use sva_os::address::VirtAddr;
use sva_os::context::{Exit, PerCpu, TlsLimit, TlsSegment, UserContext};
use sva_os::machine::{Cpu, Emulated};
use sva_os::mmu::TwoLevel;

const FREE: u32 = crate::common::world::FIRST_FREE;
const BOOT: Cpu = match Cpu::new(0) {
    Some(cpu) => cpu,
    None => panic!("the first CPU"),
};

type World = sva_os::Sva<Emulated<TwoLevel>>;

fn world() -> World {
    take_over(1, 4, 48)
}

/// FS and GS keep what the GDT had when they were loaded, so they are loaded again after it changed.
#[test]
fn a_segment_that_changes_is_loaded_again() {
    let sva = world();
    let segment = |base| Some(TlsSegment { base, limit: TlsLimit::Pages(1) });
    let selector = sva.set_tls(0, segment(0x1000)).unwrap();
    let mut context = UserContext::new(VirtAddr::new(0), VirtAddr::new(0));
    context.fs = selector;
    for change in [None, segment(0x2000), None] {
        assert_eq!(sva.run(sva.sealed_root(), &mut context), Ok(Exit::SystemCall));
        // The machine looks at what FS has, and what it should have.
        sva.set_tls(0, change).unwrap();
    }
    sva.run(sva.sealed_root(), &mut context).unwrap();
    assert_eq!(context.fs, 0, "of a segment that is gone nothing is left");
}

/// Invariant 18.
#[test]
fn a_refused_enable_leaves_the_flag() {
    let (sva, data) = (world(), PerCpu::<u32, 1>::new([0]));
    for on in [true, false] {
        sva.machine().set_interrupts(BOOT, on);
        data.with(&sva, |_| {
            assert_eq!(sva.interrupts().enable(), Err(Violation::PerCpuBorrowed(1)));
            assert_eq!(sva.machine().interrupts_enabled(BOOT), on);
        })
        .unwrap();
    }
}

/// Invariant 16: a free frame's bytes are nobody's, and yet no refused call writes them.
#[test]
fn a_refused_stack_leaves_its_frames() {
    let sva = world();
    sva.machine().poke(frame(FREE).start(), 7u32);
    let taken = frame(FREE + 1);
    sva.declare_root(taken).unwrap();
    let digest = sva.machine().digest();
    assert_eq!(sva.declare_stack(&[frame(FREE), taken]), Err(Violation::NotFree(taken)));
    assert_eq!(sva.declare_stack(&[frame(FREE); 2]), Err(Violation::NotFree(frame(FREE))));
    assert_eq!(sva.machine().digest(), digest);
}

/// Invariant 8: the idle thread too keeps the root that it had.
#[test]
fn a_root_of_the_idle_thread_is_counted() {
    let sva = world();
    let (root, stack) = (frame(FREE), sva.declare_stack(&[frame(FREE + 1)]).unwrap());
    sva.declare_root(root).unwrap();
    let boot = sva.current_thread();
    let first = sva.new_thread(stack, None, || None).unwrap();
    sva.swap(first).unwrap();
    sva.play_entry();
    // The idle thread runs; the hook may do this there.
    sva.load_root(root).unwrap();
    sva.swap(boot).unwrap();
    assert_eq!(sva.root(), sva.sealed_root());
    assert_eq!(sva.mappings(root).total, 1);
    assert!(sva.audit().is_ok());
    assert_eq!(sva.remove_root(root), Err(Violation::RootInUse(root)));
}

/// The refusal says how many borrows there are, not on which CPU.
#[test]
fn a_refused_borrow_counts_the_borrows() {
    let sva: World = take_over(2, 4, 48);
    let (one, two) = (PerCpu::<u32, 2>::new([0; 2]), PerCpu::<u32, 2>::new([0; 2]));
    sva.machine().as_cpu(Cpu::new(1).unwrap(), || {
        let inner = one.with(&sva, |_| two.with(&sva, |_| one.with(&sva, |_| ())));
        assert_eq!(inner, Ok(Ok(Err(Violation::PerCpuBorrowed(2)))));
    });
}
