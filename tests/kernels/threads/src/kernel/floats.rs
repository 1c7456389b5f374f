//! S10, U8: the floating-point registers of one thread's program are never seen by another's.

use super::fp_image::{self, Image};
use super::program::{CODE, DATA, Program, program};
use super::{Kernel, cpu, frames, println, schedule};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::address::VirtAddr;
use sva_os::context::{Exit, FpPolicy, FpState, UserContext, UserException};
use sva_os::interrupt::{ErrorCode, Exception, Line};

// EAX says: 1, load the registers from the page of data; 2, store them behind; 3, wait for pending exceptions;
// 4, go on for a while.
program!(extended: "1: int $0x80", "cmpl $1, %eax", "je 2f", "cmpl $2, %eax", "je 3f", "cmpl $3, %eax", "je 4f",
    "cmpl $4, %eax", "jne 1b", "movl $3000, %edx", "5: decl %edx", "jnz 5b", "jmp 1b",
    "2: fxrstor 0x09000000", "jmp 1b", "3: fxsave 0x09000200", "jmp 1b", "4: fwait", "jmp 1b");
// The same without FXSAVE. FNSAVE empties the registers.
program!(plain: "1: int $0x80", "cmpl $1, %eax", "je 2f", "cmpl $2, %eax", "je 3f", "cmpl $3, %eax", "je 4f",
    "cmpl $4, %eax", "jne 1b", "movl $3000, %edx", "5: decl %edx", "jnz 5b", "jmp 1b",
    "2: frstor 0x09000000", "jmp 1b", "3: fnsave 0x09000200", "frstor 0x09000200", "jmp 1b", "4: fwait", "jmp 1b");
// Divides by zero, which is not masked. Above the x87, below SSE.
program!(divide_floats: "fninit", "movl $0x037b, 0x09000000", "fldcw 0x09000000", "fld1", "fldz", "fdivrp", "fwait",
    "int $0x80");
program!(divide_vectors: "movl $0x1d80, 0x09000000", "ldmxcsr 0x09000000", "movl $0x3f800000, 0x09000010",
    "movl $0, 0x09000020", "movss 0x09000010, %xmm0", "divss 0x09000020, %xmm0", "int $0x80");
program!(reserved: "movl $0xffffffff, 0x09000000", "ldmxcsr 0x09000000", "int $0x80");
program!(not_aligned: "movaps 0x09000004, %xmm0", "int $0x80");
program!(new_words: "movl %ebx, 0x09000000", "movd 0x09000000, %mm3", "movd %mm3, %eax", "emms", "int $0x80");

const LOADED: VirtAddr = DATA;
const STORED: VirtAddr = VirtAddr::new(DATA.get() + 512);

/// A program that does to its registers what it is told.
struct Registers {
    sva: &'static Kernel,
    program: Program,
    context: UserContext,
}

impl Registers {
    fn new(sva: &'static Kernel) -> Self {
        let program = Program::new(sva, if cpu::has_fxsave() { extended() } else { plain() });
        let context = program.context();
        let mut this = Self { sva, program, context };
        this.run();
        this
    }

    /// Goes on to the next call, whatever interrupts.
    fn run(&mut self) {
        loop {
            let exit = self.sva.run(self.program.root(), &mut self.context).unwrap();
            cpu::check_kernel_state();
            match exit {
                Exit::SystemCall => return,
                Exit::Interrupt(Line::TIMER) => {}
                other => panic!("{other:?} {:x?}", self.context),
            }
        }
    }

    fn load_bytes(&mut self, bytes: &[u8; 512]) {
        assert_eq!(self.sva.copy_to_user(LOADED, bytes).complete(), Ok(512));
        self.context.registers.eax = 1;
        self.run();
    }

    fn load(&mut self, image: &Image) {
        self.load_bytes(&image.bytes());
    }

    /// What is in the registers.
    fn store(&mut self) -> Image {
        self.context.registers.eax = 2;
        self.run();
        let mut bytes = [0; 512];
        assert_eq!(self.sva.copy_from_user(STORED, &mut bytes).complete(), Ok(512));
        Image::from_bytes(&bytes)
    }

    /// Goes on for a while, without the registers.
    fn idle(&mut self) {
        self.context.registers.eax = 4;
        self.run();
    }

    /// Whether an exception is pending: it is reported.
    fn has_pending(&mut self) -> bool {
        self.context.registers.eax = 3;
        let mut context = self.context;
        let exit = self.sva.run(self.program.root(), &mut context).unwrap();
        cpu::check_kernel_state();
        exit == exception(Exception::FloatingPoint)
    }
}

fn exception(exception: Exception) -> Exit {
    let code = ErrorCode::new(exception.vector(), 0);
    Exit::Exception(UserException { exception, code, address: None })
}

pub(super) fn run(sva: &'static Kernel) {
    let free = frames::count_free(sva);
    for policy in [FpPolicy::Lazy, FpPolicy::Eager] {
        sva.set_fp_policy(policy);
        fresh(sva);
        saved_and_loaded(sva);
        hostile(sva);
        pending(sva);
        exceptions(sva);
        assert_eq!(frames::count_free(sva), free);
    }
    turns(sva, Some(FpPolicy::Lazy));
    turns(sva, Some(FpPolicy::Eager));
    turns(sva, None);
    assert_eq!(frames::count_free(sva), free);
    let kind = if cpu::has_sse() { "FXSAVE and SSE" } else { "FNSAVE" };
    println!("{kind}: {TURNS:?} turns, {} preemptions", schedule::preemptions());
}

/// Runs `body` in a thread of its own, to its end.
fn in_thread(sva: &'static Kernel, body: impl FnOnce() + Send + 'static) {
    let boot = sva.current_thread();
    let entry = move || {
        body();
        Some(boot)
    };
    let thread = sva.new_thread(schedule::stack(sva, 6), None, entry).unwrap();
    sva.swap(thread).unwrap();
    sva.release_stack(thread.stack()).unwrap();
}

/// After one that fills the registers, another finds what every program begins with.
fn fresh(sva: &'static Kernel) {
    for seed in 1..=4 {
        in_thread(sva, move || {
            let mut registers = Registers::new(sva);
            assert_eq!(registers.store(), Image::FIRST);
            registers.load(&Image::of(seed));
            assert_eq!(registers.store(), Image::of(seed));
            // An exception that is pending is not the next one's either.
            if seed.is_multiple_of(2) {
                registers.load(&Image::pending(seed));
            }
            registers.program.destroy(sva);
        });
    }
}

/// The kernel takes the registers and puts them back.
fn saved_and_loaded(sva: &'static Kernel) {
    in_thread(sva, move || {
        assert_eq!(Image::from_bytes(sva.save_fp().bytes()), Image::FIRST);
        let mut registers = Registers::new(sva);
        for seed in 10..30 {
            sva.load_fp(&FpState::new(Image::of(seed).bytes()));
            assert_eq!(registers.store(), Image::of(seed));
            let saved = sva.save_fp();
            assert_eq!(sva.save_fp(), saved);
            assert_eq!(Image::from_bytes(saved.bytes()), Image::of(seed));
            registers.load(&Image::of(seed + 1000));
            assert_eq!(Image::from_bytes(sva.save_fp().bytes()), Image::of(seed + 1000));
            sva.load_fp(&saved);
            assert_eq!(registers.store(), Image::of(seed));
        }
        registers.program.destroy(sva);
    });
}

/// Whatever bytes the kernel says are the state: they are loaded, stored, and left.
fn hostile(sva: &'static Kernel) {
    for bytes in fp_image::hostile() {
        in_thread(sva, move || {
            let mut registers = Registers::new(sva);
            for _ in 0..3 {
                sva.load_fp(&FpState::new(bytes));
                // Not used, used, put away, loaded over.
                registers.idle();
                let image = registers.store();
                let saved = sva.save_fp();
                let expected = fp_image::loadable_mxcsr(&bytes, saved.bytes());
                assert_eq!(image.mxcsr, expected, "{image:x?}");
                assert_eq!(Image::from_bytes(saved.bytes()).mxcsr, expected, "{saved:x?}");
                registers.store();
            }
            // Another program of the same thread, with the state as it is.
            sva.load_fp(&FpState::new(Image::of(3).bytes()));
            assert_eq!(registers.store(), Image::of(3));
            registers.program.destroy(sva);
        });
    }
}

/// An exception that is pending in one thread is reported there, whoever uses the registers in between.
fn pending(sva: &'static Kernel) {
    in_thread(sva, move || {
        let me = sva.current_thread();
        let mut registers = Registers::new(sva);
        let entry = move || {
            let mut other = Registers::new(sva);
            for seed in 40..50 {
                assert!(!other.has_pending());
                other.load(&Image::of(seed));
                sva.swap(me).unwrap();
                assert_eq!(other.store(), Image::of(seed));
            }
            other.program.destroy(sva);
            Some(me)
        };
        let thread = sva.new_thread(schedule::stack(sva, 6), None, entry).unwrap();
        for round in 0..10 {
            registers.load(&Image::pending(round));
            if round % 2 == 0 {
                assert!(registers.has_pending());
            }
            sva.swap(thread).unwrap();
            // Whether the busy bit follows is for the CPU to say.
            let mut expected = Image::pending(round);
            let mut seen = registers.store();
            seen.status |= 1 << 15;
            expected.status |= 1 << 15;
            assert_eq!(seen, expected);
            assert!(registers.has_pending());
            // Thrown away while it is pending: the next load must not report it.
            sva.load_fp(&FpState::new(Image::of(round).bytes()));
            assert!(!registers.has_pending());
            assert_eq!(registers.store(), Image::of(round));
        }
        sva.swap(thread).unwrap();
        sva.release_stack(thread.stack()).unwrap();
        registers.program.destroy(sva);
    });
}

/// Exceptions of the x87 and of SSE are the program's.
fn exceptions(sva: &'static Kernel) {
    let sse = cpu::has_sse();
    let protected = exception(Exception::GeneralProtection);
    // With a precise exit, or for SSE what TCG does instead: it never raises #XM, and takes reserved bits.
    let all = [
        (divide_floats(), exception(Exception::FloatingPoint), exception(Exception::FloatingPoint), true),
        (divide_vectors(), exception(Exception::SimdFloatingPoint), Exit::SystemCall, sse),
        (reserved(), protected, Exit::SystemCall, sse),
        (not_aligned(), protected, protected, sse),
        (new_words(), Exit::SystemCall, Exit::SystemCall, sse),
    ];
    for (code, wanted, instead, there) in all {
        in_thread(sva, move || {
            let program = Program::new(sva, code);
            let mut context = program.context();
            context.registers.ebx = 0x1234_5678;
            let exit = sva.run(program.root(), &mut context).unwrap();
            cpu::check_kernel_state();
            if there {
                assert!(exit == wanted || exit == instead, "{exit:?}, expected {wanted:?}");
                if wanted == Exit::SystemCall {
                    assert_eq!(context.registers.eax, 0x1234_5678);
                }
            }
            if exit == exception(Exception::FloatingPoint) {
                // FWAIT, again and again.
                assert_eq!(context.instruction, CODE.get() + code.len() as u32 - 3);
                assert_eq!(sva.run(program.root(), &mut context), Ok(exit));
            }
            program.destroy(sva);
        });
    }
}

static TURNS: AtomicU32 = AtomicU32::new(0);
const THREADS: u32 = 10;
const ROUNDS: u32 = 60;

/// Threads fill their registers and look after them turn by turn, with the timer in between; some have none.
/// Without a policy it changes all the time.
fn turns(sva: &'static Kernel, policy: Option<FpPolicy>) {
    sva.set_fp_policy(policy.unwrap_or_default());
    let body = move |number: u32| {
        let mut registers = Registers::new(sva);
        let uses = number % 3 != 2;
        let mut image = Image::FIRST;
        for round in 0..ROUNDS {
            if uses {
                assert_eq!(registers.store(), image, "thread {number}, round {round}");
                if round % 4 == number % 4 {
                    image = Image::of(number << 16 | round);
                    registers.load(&image);
                }
            }
            if policy.is_none() {
                sva.set_fp_policy(if round % 2 == 0 { FpPolicy::Eager } else { FpPolicy::Lazy });
            }
            registers.idle();
            schedule::pass(sva);
            TURNS.fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(registers.store(), image);
        registers.program.destroy(sva);
    };
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let entry = move || {
                body(number);
                schedule::next(sva)
            };
            sva.new_thread(schedule::stack(sva, 8), None, entry).unwrap()
        })
        .collect();
    threads.iter().for_each(|thread| schedule::add(sva, *thread));
    schedule::start_preempting(sva, 5000, &|_| cpu::check_kernel_state());
    while schedule::pass(sva) {}
    schedule::stop_preempting(sva);
    for thread in threads {
        sva.release_stack(thread.stack()).unwrap();
    }
}
