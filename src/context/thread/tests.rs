//! What a thread may begin with, and with which stack and root.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::context::fixture::{
    CPUS, FIRST, FREE, flows, in_both_modes, nothing, on, record, refused, sound, stack, state, thread,
    threads,
};
use crate::context::{FpState, TlsLimit, TlsSegment};
use crate::frame::Kind;
use crate::frame::word::Word;
use crate::init::tests::world::{SLOTS, World, cpu, frame, world};
use crate::mmu::PagingMode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec;

const ROOT: u32 = 30;

/// Counts how often one of its clones is dropped.
#[derive(Clone)]
struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[repr(align(32))]
struct Aligned;

/// An entry that captures `value` as it is.
fn capturing<T: Send + 'static>(value: T) -> impl Entry {
    move || {
        let _value = &value;
        None
    }
}

in_both_modes! {
    /// 1024 bytes, and what is aligned to 16, but nothing more.
    fn what_an_entry_captures_fits_on_top<P>() {
        let sva = threads::<P>();
        let id = stack(sva, FREE);
        let too_large = Violation::EntryTooLarge;
        refused(sva, || sva.new_thread(id, None, capturing([0_u8; 1025])), too_large(1025));
        refused(sva, || sva.new_thread(id, None, capturing([0_u8; 4096])), too_large(4096));
        refused(sva, || sva.new_thread(id, None, capturing([0_u64; 129])), too_large(1032));
        refused(sva, || sva.new_thread(id, None, capturing((Aligned, 0_u8))), too_large(32));
        // Refused before anything is asked of root and stack.
        let refusal = too_large(1025);
        refused(sva, || sva.new_thread(id, Some(frame(FREE)), capturing([0_u8; 1025])), refusal);
        let none = world::<P>(1);
        refused(&none, || none.new_thread(id, None, capturing([0_u8; 1025])), refusal);
        let most = sva.new_thread(id, None, capturing([0_u8; 1024])).unwrap();
        sva.release_stack(most.stack()).unwrap();
        let id = stack(sva, FREE);
        let aligned = sva.new_thread(id, None, capturing(0_u128)).unwrap();
        sva.release_stack(aligned.stack()).unwrap();
        sound(sva);
    }

    fn a_root_is_one_and_stays_one<P>() {
        let sva = threads::<P>();
        let id = stack(sva, FREE);
        sva.retype(frame(31), Kind::UserData).unwrap();
        sva.declare_table(frame(32), 1).unwrap();
        sva.declare_root(frame(33)).unwrap();
        let not_roots = [0, 1, 4, 8, 10, 11, FREE, 31, 32, 40, sva.kernel_tables().first().number()];
        for number in not_roots {
            let culprit = Violation::NotARoot(frame(number));
            refused(sva, || sva.new_thread(id, Some(frame(number)), nothing()), culprit);
        }
        for number in [12, 64, 0xf_ffff] {
            let missing = Violation::NoSuchFrame(frame(number));
            refused(sva, || sva.new_thread(id, Some(frame(number)), nothing()), missing);
        }
        sva.force(frame(33), Word::busy(Kind::Root));
        refused(sva, || sva.new_thread(id, Some(frame(33)), nothing()), Violation::FrameBusy(frame(33)));
        sva.force(frame(33), Word::unused(Kind::Root));
        // The sealed root, by its name, is what a thread without a root has.
        let sealed = sva.sealed_root();
        let mut id = id;
        for root in [None, Some(sealed)] {
            let boot = first_flow(sva);
            let thread = sva.new_thread(id, root, nothing()).unwrap();
            assert_eq!(record(sva, FIRST).root(sva.machine()), sealed);
            sva.swap(thread).unwrap();
            assert_eq!(sva.root(), sealed);
            sva.end_thread(Some(boot));
            id = thread.stack();
        }
        sound(sva);
    }

    /// Each use of a root is one of its count, and the last that fits is the last.
    fn so_many_threads_use_a_root<P>() {
        let sva = threads::<P>();
        let root = frame(ROOT);
        sva.declare_root(root).unwrap();
        let id = stack(sva, FREE);
        let full = (0..).scan(Word::unused(Kind::Root), |word, _| {
            let before = *word;
            *word = word.with(Uses::LOAD);
            Some((before, *word))
        });
        let (last, _) = full.take_while(|(before, _)| before.writable() < 0x7ff).last().unwrap();
        let full = last.with(Uses::LOAD);
        sva.force(root, full);
        refused(sva, || sva.new_thread(id, Some(root), nothing()), Violation::TooManyMappings(root));
        sva.force(root, last);
        sva.new_thread(id, Some(root), nothing()).unwrap();
        assert_eq!(sva.mappings(root).writable, 0x7ff);
    }

    /// The root of a thread that is refused is nobody's, and neither is the stack.
    fn a_refused_thread_holds_nothing<P>() {
        let sva = threads::<P>();
        let root = frame(ROOT);
        sva.declare_root(root).unwrap();
        let id = stack(sva, FREE);
        let old = sva.new_thread(id, None, nothing()).unwrap();
        let refusal = Violation::StaleThread(FIRST);
        refused(sva, || sva.new_thread(id, Some(root), nothing()), refusal);
        refused(sva, || sva.new_thread(old.stack(), Some(root), nothing()), Violation::StackInUse(FIRST));
        sva.remove_root(root).unwrap();
        sound(sva);
    }

    /// Whether it is refused by its size, its root or its stack: once, after the call.
    fn a_refused_entry_is_dropped_once<P>() {
        let sva = threads::<P>();
        let id = stack(sva, FREE);
        let made = sva.new_thread(stack(sva, FREE + 1), None, nothing()).unwrap();
        let drops = Counted(Arc::default());
        let count = || drops.0.load(Ordering::Relaxed);
        let large = ([0_u8; 1024], drops.clone());
        sva.new_thread(id, None, capturing(large)).unwrap_err();
        assert_eq!(count(), 1);
        sva.new_thread(id, Some(frame(FREE)), capturing(drops.clone())).unwrap_err();
        assert_eq!(count(), 2);
        sva.new_thread(made.stack(), None, capturing(drops.clone())).unwrap_err();
        assert_eq!(count(), 3);
        // One that is taken is dropped when it has run.
        let thread = sva.new_thread(id, None, capturing(drops.clone())).unwrap();
        assert_eq!(count(), 3);
        sva.swap(thread).unwrap();
        sva.play_entry();
        assert_eq!(count(), 4);
        sva.release_stack(thread.stack()).unwrap();
        assert_eq!(count(), 4);
    }

    /// The drop of a refused entry may call the library: the call is over.
    fn a_refused_entry_is_dropped_outside_of_locks<P>() {
        let sva = threads::<P>();
        let probe = Probe(sva);
        sva.new_thread(stack(sva, FREE), Some(frame(FREE)), capturing(probe)).unwrap_err();
        assert_eq!(sva.kind(frame(40)), Kind::UserData, "it was dropped");

        struct Probe<P: PagingMode>(&'static World<P>);
        impl<P: PagingMode> Drop for Probe<P> {
            fn drop(&mut self) {
                let sva = self.0;
                assert!(sva.machine().interrupts_enabled(cpu(0)));
                sva.retype(frame(40), Kind::UserData).unwrap();
                let id = thread(sva, FREE + 1);
                sva.release_stack(id.stack()).unwrap();
            }
        }
    }

    /// A stack is used again under a new name; every earlier one is refused.
    fn a_stack_is_used_again<P>() {
        let sva = threads::<P>();
        let boot = first_flow(sva);
        let mut names = Vec::new();
        let first = stack(sva, FREE);
        let mut id = first;
        for _ in 0..5 {
            let thread = sva.new_thread(id, None, nothing()).unwrap();
            assert_eq!(thread.number(), FIRST);
            assert!(!names.contains(&thread));
            for old in &names {
                refused(sva, || sva.swap(*old), Violation::StaleThread(FIRST));
                refused(sva, || sva.release_stack(old.stack()), Violation::StaleThread(FIRST));
                refused(sva, || sva.new_thread(old.stack(), None, nothing()), Violation::StaleThread(FIRST));
            }
            refused(sva, || sva.release_stack(first), Violation::StaleThread(FIRST));
            sva.swap(thread).unwrap();
            sva.end_thread(Some(boot));
            refused(sva, || sva.swap(thread), Violation::ThreadEnded(FIRST));
            names.push(thread);
            id = thread.stack();
            sound(sva);
        }
        assert!(sva.release_stack(id).unwrap().eq([frame(FREE)]));
    }

    /// A thread begins with nothing of what the one before it on the stack had.
    fn a_thread_begins_anew<P>() {
        let sva = threads::<P>();
        let (boot, old) = (first_flow(sva), thread(sva, FREE));
        sva.swap(old).unwrap();
        let tls = TlsSegment { base: 0x5000, limit: TlsLimit::Bytes(9) };
        sva.set_tls(1, Some(tls)).unwrap();
        sva.load_fp(&FpState::new([0; 512]));
        sva.end_thread(Some(boot));
        let new = sva.new_thread(old.stack(), None, nothing()).unwrap();
        assert!(!record(sva, FIRST).has_tls(sva.machine()));
        sva.swap(new).unwrap();
        assert_eq!(sva.machine().tls_descriptor(cpu(0), 1), 0);
        let state = sva.save_fp();
        assert_eq!((state.bytes()[0], state.bytes()[25]), (0x7f, 0x1f), "as FNINIT leaves them");
    }

    /// The flows that the CPUs booted with, and the idle threads, are no client's to have the stacks of.
    fn no_client_gets_an_idle_stack<P>() {
        let sva = threads::<P>();
        let boot = first_flow(sva);
        let id = thread(sva, FREE);
        sva.swap(id).unwrap();
        refused(sva, || sva.new_thread(boot.stack(), None, nothing()), Violation::StackInUse(SLOTS));
        refused(sva, || sva.release_stack(boot.stack()), Violation::StackInUse(SLOTS));
        sva.end_thread(None);
        let idle = sva.current_thread();
        assert_eq!((idle.number(), state(sva, 0)), (0, State::Idle));
        refused(sva, || sva.swap(idle), Violation::ThreadRunning(0));
        refused(sva, || sva.new_thread(idle.stack(), None, nothing()), Violation::ThreadRunning(0));
        refused(sva, || sva.release_stack(idle.stack()), Violation::ThreadRunning(0));
        sva.swap(boot).unwrap();
        assert_eq!(state(sva, 0), State::Waiting);
        refused(sva, || sva.swap(idle), Violation::ThreadBusy(0));
        refused(sva, || sva.new_thread(idle.stack(), None, nothing()), Violation::ThreadBusy(0));
        refused(sva, || sva.release_stack(idle.stack()), Violation::ThreadBusy(0));
        on(sva, 1, || refused(sva, || sva.swap(idle), Violation::ThreadBusy(0)));
        sound(sva);
    }

    /// What a CPU booted with has no stack in the window: when it has ended, no thread begins there.
    fn the_first_flow_leaves_no_stack<P>() {
        let sva = threads::<P>();
        let boot = first_flow(sva);
        sva.end_thread(None);
        refused(sva, || sva.swap(boot), Violation::ThreadEnded(SLOTS));
        refused(sva, || sva.new_thread(boot.stack(), None, nothing()), Violation::StaleThread(SLOTS));
        sound(sva);
        assert_eq!(sva.release_stack(boot.stack()).unwrap().count(), 0);
        refused(sva, || sva.release_stack(boot.stack()), Violation::StaleThread(SLOTS));
        // Its slot is not given to a stack.
        let numbers = (0..SLOTS - CPUS).map(|number| stack(sva, FREE + number).number());
        assert!(numbers.eq(FIRST..SLOTS));
        sound(sva);
    }

    fn who_runs_is_told<P>() {
        let sva = threads::<P>();
        let id = thread(sva, FREE);
        for number in [1, 0] {
            on(sva, number, || {
                let boot = sva.current_thread();
                sva.swap(id).unwrap();
                assert_eq!(sva.current_thread(), id);
                sva.swap(boot).unwrap();
                assert_eq!(sva.current_thread(), boot);
            });
        }
        // Without a window for stacks there are the flows that the CPUs booted with.
        let none = flows::<P>();
        let both = [0, 1].map(|number| on(none, number, || none.current_thread()));
        assert_eq!(both.map(ThreadId::number), [0, 1]);
        refused(none, || none.swap(both[0]), Violation::ThreadRunning(0));
        refused(none, || none.swap(both[1]), Violation::ThreadRunning(1));
    }
}

/// The running thread of a new world.
fn first_flow<P: PagingMode>(sva: &World<P>) -> ThreadId {
    sva.current_thread()
}
