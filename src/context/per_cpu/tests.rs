//! One borrow at a time, on the CPU where it began.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::context::UserContext;
use crate::context::fixture::{
    CPUS, FREE, at, handler, in_both_modes, nothing, on, refused, sound, stack, stops, thread, threads,
};
use crate::init::tests::world::{World, cpu, frame, world};
use crate::interrupt::{Line, Vector};
use crate::machine::emulated::Trap;
use crate::mmu::PagingMode;
use std::boxed::Box;
use std::sync::atomic::AtomicU32;

in_both_modes! {
    fn each_cpu_has_its_own<P>() {
        let sva = threads::<P>();
        let data = PerCpu::new([10, 20]);
        for _ in 0..2 {
            for number in 0..CPUS {
                on(sva, number, || data.with(sva, |value| *value += 1)).unwrap();
            }
        }
        assert_eq!(on(sva, 0, || data.with(sva, |value| *value)), Ok(12));
        assert_eq!(on(sva, 1, || data.with(sva, |value| *value)), Ok(22));
    }

    fn a_cpu_without_a_value_is_refused<P>() {
        let sva = threads::<P>();
        let one = PerCpu::new([7]);
        let none: PerCpu<u32, 0> = PerCpu::new([]);
        on(sva, 1, || refused(sva, || one.with(sva, |_| panic!("there is none")), Violation::CpuCount(1)));
        refused(sva, || none.with(sva, |_| panic!("there is none")), Violation::CpuCount(0));
        assert_eq!(one.with(sva, |value| *value), Ok(7));
        on(sva, 1, || sva.swap(thread(sva, FREE)).unwrap());
        sound(sva);
    }

    /// However many are borrowed, they are never counted as none.
    fn the_count_of_borrows_does_not_wrap<P>() {
        let sva = threads::<P>();
        let handlers = sva.machine().handlers();
        let id = thread(sva, FREE);
        (0..0xffff).for_each(|_| handlers.begin_borrow(cpu(0)));
        let last = PerCpu::new([0; 2]);
        refused(sva, || last.with(sva, |_| panic!("it is one too many")), Violation::PerCpuBorrowed(0xffff));
        refused(sva, || sva.swap(id), Violation::PerCpuBorrowed(0xffff));
        handlers.end_borrow(cpu(0));
        last.with(sva, |_| refused(sva, || sva.swap(id), Violation::PerCpuBorrowed(0xffff))).unwrap();
        (0..0xfffe).for_each(|_| handlers.end_borrow(cpu(0)));
        sva.swap(id).unwrap();
    }

    /// By the caller itself; another value may be borrowed, and another CPU's.
    fn one_borrow_at_a_time<P>() {
        let sva = threads::<P>();
        let (data, other) = (PerCpu::new([0; 2]), PerCpu::new([0; 2]));
        let answer = data.with(sva, |value| {
            refused(sva, || data.with(sva, |_| panic!("it is borrowed")), Violation::PerCpuBorrowed(1));
            other.with(sva, |other| (*value, *other) = (1, 2)).unwrap();
            on(sva, 1, || {
                data.with(sva, |value| *value = 3).unwrap();
                // How often this CPU borrows, it says.
                data.with(sva, |_| {
                    refused(sva, || data.with(sva, |_| ()), Violation::PerCpuBorrowed(1));
                })
                .unwrap();
            });
            *value
        });
        assert_eq!(answer, Ok(1));
        assert_eq!(data.with(sva, |value| *value), Ok(1));
        assert_eq!(on(sva, 1, || data.with(sva, |value| *value)), Ok(3));
    }

    /// A handler is refused what it interrupted the use of; it may have the rest.
    fn a_handler_finds_it_borrowed<P>() {
        let sva = threads::<P>();
        let data: &PerCpu<u32, 2> = Box::leak(Box::new(PerCpu::new([0; 2])));
        let other: &PerCpu<u32, 2> = Box::leak(Box::new(PerCpu::new([0; 2])));
        let runs: &AtomicU32 = Box::leak(Box::default());
        let calls = sva.interrupts();
        calls.register_line(Line::TIMER, handler(move |_| {
            runs.fetch_add(1, Ordering::Relaxed);
            refused(sva, || data.with(sva, |_| panic!("it is borrowed")), Violation::PerCpuBorrowed(1));
            other.with(sva, |value| *value += 1).unwrap();
        })).unwrap();
        calls.set_preempt(&|| panic!("per-CPU data is borrowed"));
        data.with(sva, |_| assert!(sva.machine().raise(cpu(0), Trap::new(Vector::of_line(Line::TIMER))))).unwrap();
        assert_eq!((runs.load(Ordering::Relaxed), other.with(sva, |value| *value)), (1, Ok(1)));
    }

    /// What would leave the thread or the address space, or let the world in, is refused, and told how often
    /// data is borrowed; afterwards it is not.
    fn a_borrow_keeps_its_thread<P>() {
        for enabled in [true, false] {
            let sva = threads::<P>();
            let id = thread(sva, FREE);
            sva.declare_root(frame(30)).unwrap();
            let with_root = sva.new_thread(stack(sva, FREE + 1), Some(frame(30)), nothing()).unwrap();
            let (first, second) = (PerCpu::new([0; 2]), PerCpu::new([0; 2]));
            sva.machine().set_interrupts(cpu(0), enabled);
            let all = |times| {
                let violation = Violation::PerCpuBorrowed(times);
                for id in [id, with_root] {
                    refused(sva, || sva.swap(id), violation);
                }
                for root in [frame(30), sva.sealed_root(), frame(FREE)] {
                    refused(sva, || sva.load_root(root), violation);
                    let mut context = UserContext::new(at(0), at(0));
                    let before = context;
                    refused(sva, || sva.run(root, &mut context), violation);
                    assert_eq!(context, before);
                }
                refused(sva, || sva.interrupts().enable(), violation);
                refused(sva, || sva.interrupts().wait(), violation);
                let why = "a thread ends inside a handler, or while per-CPU data is borrowed";
                stops(|| sva.end_thread(None), why);
                stops(|| sva.abandon_thread(None), why);
                sva.machine().set_interrupts(cpu(0), enabled);
            };
            first.with(sva, |_| {
                all(1);
                second.with(sva, |_| all(2)).unwrap();
                all(1);
                // Another CPU is not concerned.
                on(sva, 1, || {
                    let boot = sva.current_thread();
                    sva.machine().set_interrupts(cpu(1), true);
                    sva.swap(with_root).unwrap();
                    sva.swap(boot).unwrap();
                    sva.interrupts().enable().unwrap();
                });
            })
            .unwrap();
            assert_eq!(sva.machine().interrupts_enabled(cpu(0)), enabled);
            sva.interrupts().enable().unwrap();
            sva.swap(with_root).unwrap();
            sva.load_root(sva.sealed_root()).unwrap();
            sva.end_thread(Some(id));
            sound(sva);
        }
    }

    /// A refused borrow leaves nothing behind, and one whose closure unwinds neither.
    fn what_fails_is_not_borrowed<P>() {
        let sva = threads::<P>();
        let data = PerCpu::new([0; 2]);
        let before = sva.machine().digest();
        let unwound = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            data.with(sva, |_| std::panic::resume_unwind(Box::new(())))
        }));
        assert!(unwound.is_err());
        assert_eq!(sva.machine().digest(), before);
        assert_eq!(data.with(sva, |value| *value), Ok(0));
        swaps(sva);
    }

    /// It needs no window for stacks.
    fn it_needs_no_threads<P>() {
        let sva = world::<P>(1);
        assert_eq!(PerCpu::new([5; 32]).with(&sva, |value| *value), Ok(5));
    }
}

/// A thread can be left.
fn swaps<P: PagingMode>(sva: &World<P>) {
    sva.swap(thread(sva, FREE)).unwrap();
}
