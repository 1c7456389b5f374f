//! What is in the registers is the running thread's, or nobody's.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::address::VirtAddr;
use crate::context::fixture::{FREE, flows, in_both_modes, nothing, on, sound, thread, threads};
use crate::context::{Exit, ThreadId, UserContext};
use crate::init::tests::world::{World, cpu};
use crate::interrupt::{Exception, Vector};
use crate::machine::Cpu;
use crate::machine::emulated::Trap;
use crate::mmu::PagingMode;
use std::sync::{Arc, Mutex};

/// Left over from the firmware.
const POWER_ON: u8 = 0xa5;
const POLICIES: [FpPolicy; 2] = [FpPolicy::Lazy, FpPolicy::Eager];

/// A state that is `n`'s own in every byte, with an MXCSR that can be loaded.
fn pattern(n: u8) -> [u8; 512] {
    let mut bytes = [n; 512];
    bytes[24..28].copy_from_slice(&[n & 0xbf, n & 0x7f, 0, 0]);
    bytes
}

/// As FNINIT and power-on leave the control words; all else zero (Intel SDM vol. 1, 8.1.5, 10.2.3).
fn beginning() -> [u8; 512] {
    let mut bytes = [0; 512];
    (bytes[0], bytes[1]) = (0x7f, 0x03);
    (bytes[24], bytes[25]) = (0x80, 0x1f);
    bytes
}

const fn trap(exception: Exception) -> Trap {
    Trap::new(exception.vector())
}

fn run<P: PagingMode>(sva: &World<P>) {
    let mut context = UserContext::new(VirtAddr::new(0), VirtAddr::new(0));
    assert_eq!(sva.run(sva.root(), &mut context), Ok(Exit::SystemCall));
}

/// Lets `program` run until it makes its system call, on this CPU. It answers `None` where it cannot go on, as
/// CR0.TS is set. Says how often that was.
fn program<P: PagingMode>(
    sva: &'static World<P>,
    program: impl Fn(Cpu) -> Option<()> + Send + Sync + 'static,
) -> u32 {
    let stopped = Arc::new(Mutex::new(0));
    let count = stopped.clone();
    sva.machine().set_program(Some(Arc::new(move |cpu, _| match program(cpu) {
        Some(()) => Trap::new(Vector::SYSTEM_CALL),
        None => {
            *count.lock().unwrap() += 1;
            trap(Exception::DeviceNotAvailable)
        }
    })));
    run(sva);
    let stopped = stopped.lock().unwrap();
    *stopped
}

/// A program that reads all registers.
fn read<P: PagingMode>(sva: &'static World<P>) -> [u8; 512] {
    let seen = Arc::new(Mutex::new(None));
    let noted = seen.clone();
    program(sva, move |cpu| {
        *noted.lock().unwrap() = Some(sva.machine().fp_registers(cpu)?);
        Some(())
    });
    let seen = seen.lock().unwrap().take();
    seen.unwrap()
}

/// A program that writes all registers.
fn write<P: PagingMode>(sva: &'static World<P>, bytes: [u8; 512]) {
    program(sva, move |cpu| sva.machine().set_fp_registers(cpu, bytes).then_some(()));
}

/// A program that does not touch them.
fn nothing_of_it<P: PagingMode>(sva: &'static World<P>) -> u32 {
    program(sva, |_| Some(()))
}

in_both_modes! {
    /// Over swaps on one CPU and between CPUs, with either policy, and from one to the other.
    fn no_thread_sees_anothers_registers<P>() {
        for policies in [[FpPolicy::Lazy; 2], [FpPolicy::Eager; 2], POLICIES, [FpPolicy::Eager, FpPolicy::Lazy]] {
            let sva = threads::<P>();
            sva.set_fp_policy(policies[0]);
            let boots = [0, 1].map(|number| on(sva, number, || sva.current_thread()));
            let ids = [0, 1, 2].map(|n| thread(sva, FREE + n));
            for (n, id) in (1..).zip(ids) {
                sva.swap(id).unwrap();
                assert_eq!(read(sva), beginning(), "thread {n}");
                write(sva, pattern(n));
            }
            sva.set_fp_policy(policies[1]);
            // On the other CPU, in another order; `ids[2]` still runs here.
            on(sva, 1, || {
                for n in [2, 1, 2] {
                    sva.swap(ids[usize::from(n) - 1]).unwrap();
                    assert_eq!(read(sva), pattern(n));
                    if n == 1 {
                        nothing_of_it(sva);
                    }
                }
            });
            assert_eq!(read(sva), pattern(3));
            sva.swap(ids[0]).unwrap();
            on(sva, 1, || sva.swap(ids[2])).unwrap();
            assert_eq!(on(sva, 1, || read(sva)), pattern(3));
            assert_eq!(read(sva), pattern(1));
            // The CPUs' first flows never used them.
            for (number, boot) in (0..).zip(boots) {
                on(sva, number, || {
                    sva.swap(boot).unwrap();
                    assert_eq!(read(sva), beginning());
                });
            }
            sound(sva);
        }
    }

    /// A thread that does not use them between two that do changes nothing.
    fn a_thread_between_leaves_them_alone<P>() {
        for policy in POLICIES {
            let sva = threads::<P>();
            sva.set_fp_policy(policy);
            let ids = [0, 1].map(|n| thread(sva, FREE + n));
            sva.swap(ids[0]).unwrap();
            write(sva, pattern(9));
            for run_a_program in [true, false] {
                sva.swap(ids[1]).unwrap();
                if run_a_program {
                    nothing_of_it(sva);
                }
                sva.swap(ids[0]).unwrap();
                assert_eq!(read(sva), pattern(9));
            }
        }
    }

    /// With the lazy policy the first use after a swap is #NM, and no other; with the eager one none is.
    fn when_they_are_loaded<P>() {
        let sva = threads::<P>();
        let boot = sva.current_thread();
        let id = thread(sva, FREE);
        let uses = move || program(sva, move |cpu| sva.machine().fp_registers(cpu).map(drop));
        assert_eq!([uses(), uses(), nothing_of_it(sva), uses()], [1, 0, 0, 0]);
        sva.swap(id).unwrap();
        sva.swap(boot).unwrap();
        assert_eq!([uses(), uses()], [1, 0]);
        sva.set_fp_policy(FpPolicy::Eager);
        sva.swap(id).unwrap();
        assert_eq!([uses(), uses()], [0, 0]);
        sva.set_fp_policy(FpPolicy::Lazy);
        assert_eq!(uses(), 0, "they are there already");
        sva.swap(boot).unwrap();
        assert_eq!(uses(), 1);
    }

    /// What the firmware left there is never seen, nor stored: not before the first use, nor by whom.
    fn power_on_is_never_seen<P>() {
        for policy in POLICIES {
            let sva = threads::<P>();
            sva.set_fp_policy(policy);
            let id = thread(sva, FREE);
            for number in [0, 1] {
                on(sva, number, || {
                    assert_eq!(*sva.save_fp().bytes(), beginning());
                    nothing_of_it(sva);
                    assert_eq!(*sva.save_fp().bytes(), beginning());
                    assert_eq!(read(sva), beginning());
                    let boot = sva.current_thread();
                    sva.swap(id).unwrap();
                    assert!(!sva.save_fp().bytes().contains(&POWER_ON));
                    assert_eq!(read(sva), beginning());
                    sva.swap(boot).unwrap();
                });
            }
        }
    }

    /// Whenever ring 0 runs, CR0.TS is set.
    fn the_kernel_has_none<P>() {
        for policy in POLICIES {
            let sva = threads::<P>();
            sva.set_fp_policy(policy);
            write(sva, pattern(1));
            assert_eq!(sva.machine().fp_registers(cpu(0)), None);
            assert!(!sva.machine().set_fp_registers(cpu(0), pattern(2)));
            read(sva);
            assert_eq!(sva.machine().fp_registers(cpu(0)), None);
            assert_eq!(*sva.save_fp().bytes(), pattern(1));
            sva.load_fp(&FpState::new(pattern(3)));
            assert_eq!(sva.machine().fp_registers(cpu(0)), None);
        }
    }

    /// What is saved is what the program has, in registers or not; what is loaded is what it finds.
    fn save_and_load<P>() {
        for policy in POLICIES {
            let sva = threads::<P>();
            sva.set_fp_policy(policy);
            let id = thread(sva, FREE);
            sva.swap(id).unwrap();
            write(sva, pattern(1));
            let saved = sva.save_fp();
            assert_eq!(*saved.bytes(), pattern(1));
            assert_eq!(sva.save_fp(), saved);
            assert_eq!(read(sva), pattern(1));
            // With and without the registers in use.
            for n in [2, 3] {
                sva.load_fp(&FpState::new(pattern(n)));
                assert_eq!(*sva.save_fp().bytes(), pattern(n));
                assert_eq!(read(sva), pattern(n));
            }
            sva.load_fp(&saved);
            assert_eq!(read(sva), pattern(1));
            // It is the thread's.
            sva.end_thread(None);
            assert_eq!(*sva.save_fp().bytes(), beginning());
        }
    }

    /// Bits of MXCSR that are reserved, one by one and all, cannot be loaded: they are cleared, and nothing else.
    fn reserved_bits_of_mxcsr_are_cleared<P>() {
        for policy in POLICIES {
            let sva = threads::<P>();
            sva.set_fp_policy(policy);
            for mxcsr in (0..32).map(|bit| 1_u32 << bit).chain([u32::MAX, 0x1f80, 0xdead_beef]) {
                let mut bytes = [0xff; 512];
                bytes[24..28].copy_from_slice(&mxcsr.to_le_bytes());
                let mut state = FpState::new([0; 512]);
                state.bytes_mut().copy_from_slice(&bytes);
                assert_eq!(state, FpState::new(bytes));
                assert_eq!(*state.bytes(), bytes);
                sva.load_fp(&state);
                bytes[24..28].copy_from_slice(&(mxcsr & 0xffff).to_le_bytes());
                assert_eq!(*sva.save_fp().bytes(), bytes, "{mxcsr:#x}");
                assert_eq!(read(sva), bytes);
            }
        }
    }

    /// A thread on a used stack begins as any other.
    fn a_stack_used_again_has_no_state<P>() {
        for policy in POLICIES {
            let sva = threads::<P>();
            sva.set_fp_policy(policy);
            let boot = sva.current_thread();
            let old = thread(sva, FREE);
            sva.swap(old).unwrap();
            write(sva, pattern(7));
            sva.end_thread(Some(boot));
            let new: ThreadId = sva.new_thread(old.stack(), None, nothing()).unwrap();
            sva.swap(new).unwrap();
            assert_eq!(read(sva), beginning());
            // Nor does what came after it, on the idle thread.
            write(sva, pattern(8));
            sva.end_thread(None);
            assert_eq!(read(sva), beginning());
        }
    }

    /// Without a window for stacks there is one flow for each CPU, and it has a state as any thread.
    fn a_flow_has_a_state_without_a_window_for_stacks<P>() {
        let sva = flows::<P>();
        for (number, own) in [(0, 1), (1, 2)] {
            on(sva, number, || {
                assert_eq!(read(sva), beginning());
                write(sva, pattern(own));
            });
        }
        for (number, own) in [(0, 1), (1, 2)] {
            on(sva, number, || {
                assert_eq!(*sva.save_fp().bytes(), pattern(own));
                sva.load_fp(&FpState::new(pattern(7)));
                assert_eq!(read(sva), pattern(7));
            });
        }
        sound(sva);
    }
}

/// DAZ came later than MXCSR_MASK's place in the image.
#[test]
fn a_cpu_without_a_mask_lacks_daz() {
    assert_eq!(mxcsr_bits(0), 0xffbf);
    for mask in [0xffbf, 0xffff, 0x2_ffff] {
        assert_eq!(mxcsr_bits(mask), mask);
    }
}
