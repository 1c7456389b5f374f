//! An interrupt at every instruction boundary of every intrinsic.
//!
//! [`step`] runs the scenario under the trap flag. After each instruction a gate of the test's own calls the
//! library's: that of NMI always, that of the timer where interrupts are on.
//!
//! [`strike`] lets the real timer strike. QEMU counts instructions (`-icount shift=0`), so a one-shot
//! strikes after so many, and each round the scenario begins one instruction later: every boundary has to
//! be hit at which interrupts were on when it was stepped.

use super::console::println;
use super::scenario::{self, Frames};
use super::{Boot, Mode};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use sva_os::interrupt::{Line, TrapFrame};

unsafe extern "C" {
    safe static sva_os_text: u8;
    safe static sva_os_text_end: u8;
    fn step_gate();
}

/// A bit for each byte of text.
struct Boundaries([AtomicU32; BITS / 32]);
const BITS: usize = 1 << 20;

impl Boundaries {
    const fn new() -> Self {
        Self([const { AtomicU32::new(0) }; BITS / 32])
    }

    fn bit(at: u32) -> Option<(usize, u32)> {
        let text = &raw const sva_os_text as u32..&raw const sva_os_text_end as u32;
        let offset = (at - text.start) as usize;
        assert!(text.len() <= BITS);
        text.contains(&at).then_some((offset / 32, 1 << (offset % 32)))
    }

    fn note(&self, at: u32) {
        let (word, bit) = Self::bit(at).expect("only text is executed");
        self.0[word].fetch_or(bit, Ordering::Relaxed);
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum()
    }

    /// How many of `wanted` are not here.
    fn missing<'a>(&'a self, wanted: &'a Self) -> impl Iterator<Item = u32> + 'a {
        let text = &raw const sva_os_text as u32;
        (0..BITS).filter_map(move |offset| {
            let (word, bit) = (offset / 32, 1 << (offset % 32));
            let is = |set: &Self| set.0[word].load(Ordering::Relaxed) & bit != 0;
            (is(wanted) && !is(self)).then_some(text + offset as u32)
        })
    }
}

/// Every boundary that was stepped; those at which interrupts were on and not held back by STI.
static STEPPED: Boundaries = Boundaries::new();
static OPEN: Boundaries = Boundaries::new();
/// Where the timer struck.
static STRUCK: Boundaries = Boundaries::new();

static STEPS: AtomicU32 = AtomicU32::new(0);
static TICKS: AtomicU32 = AtomicU32::new(0);
static BEFORE: AtomicU32 = AtomicU32::new(0);

const TRAP_FLAG: u32 = 1 << 8;
const INTERRUPT_FLAG: u32 = 1 << 9;
const STI: u8 = 0xfb;

global_asm!(
    r#"
step_gate:
    pushal
    pushl 40(%esp)
    pushl 36(%esp)
    call stepped
    addl $8, %esp
    testl %eax, %eax
    je 1f
    int $32
1:  int $2
    popal
    iret
"#,
    options(att_syntax)
);

/// Notes the boundary at `eip`, and says whether the timer may strike there.
#[unsafe(no_mangle)]
extern "C" fn stepped(eip: u32, eflags: u32) -> bool {
    STEPS.fetch_add(1, Ordering::Relaxed);
    STEPPED.note(eip);
    let before = BEFORE.swap(eip, Ordering::Relaxed) as *const u8;
    // SAFETY: the text that was executed just now.
    let shadow = !before.is_null() && unsafe { before.read() } == STI;
    let open = eflags & INTERRUPT_FLAG != 0 && !shadow;
    if open {
        OPEN.note(eip);
    }
    open
}

/// The library's IDT, but for the gate of debug exceptions.
fn load_own_gate() {
    static mut IDT: [u64; 256] = [0; 256];
    let mut register = [0u16; 3];
    let gate = step_gate as unsafe extern "C" fn() as usize as u64;
    // SAFETY: one CPU; the library's IDT has 256 gates, and is there to be read.
    unsafe {
        asm!("sidt [{}]", in(reg) register.as_mut_ptr());
        let base = u32::from(register[2]) << 16 | u32::from(register[1]);
        IDT = (base as *const [u64; 256]).read();
        IDT[1] = gate & 0xffff | 8 << 16 | 0x8e00 << 32 | (gate & 0xffff_0000) << 32;
        let own = (&raw const IDT) as u32;
        register = [256 * 8 - 1, own as u16, (own >> 16) as u16];
        asm!("lidt [{}]", in(reg) register.as_ptr());
    }
}

/// Runs the scenario, under the flag of EFLAGS that `flag` is: TF, or none.
#[inline(never)]
fn run_under(flag: u32, boot: &'static Boot<Mode>, frames: Frames) {
    // SAFETY: sets TF, or nothing.
    unsafe { asm!("pushfd", "or dword ptr [esp], {}", "popfd", in(reg) flag) }
    scenario::run(boot, frames);
    // SAFETY: clears TF.
    unsafe { asm!("pushfd", "and dword ptr [esp], 0xfffffeff", "popfd") }
}

/// The timer's handler calls the library too: on frames of its own, or it would not be refused the same.
fn on_tick(boot: &'static Boot<Mode>) {
    TICKS.fetch_add(1, Ordering::Relaxed);
    let sva = boot.sva();
    sva.flush();
    assert!(sva.load_root(sva.sealed_root()).is_err(), "not in a handler");
    assert!(sva.interrupts().enable().is_err(), "not in a handler");
}

static BOOT: AtomicUsize = AtomicUsize::new(0);

fn boot() -> &'static Boot<Mode> {
    // SAFETY: `begin` put it there.
    unsafe { &*(BOOT.load(Ordering::Relaxed) as *const Boot<Mode>) }
}

fn begin(boot: &'static Boot<Mode>) -> Frames {
    BOOT.store(core::ptr::from_ref(boot) as usize, Ordering::Relaxed);
    let frames = Frames::take(boot, 0);
    scenario::run(boot, frames);
    println!("before: {:?}", boot.sva().audit().unwrap());
    frames
}

fn step_all(boot: &'static Boot<Mode>, frames: Frames) {
    load_own_gate();
    boot.sva().interrupts().enable().unwrap();
    BEFORE.store(0, Ordering::Relaxed);
    run_under(TRAP_FLAG, boot, frames);
    boot.sva().interrupts().disable();
}

/// See the module.
pub(super) fn step(boot: &'static Boot<Mode>) {
    let frames = begin(boot);
    boot.sva().interrupts().register_line(Line::TIMER, &|_| on_tick(self::boot())).unwrap();
    let before = boot.sva().interrupts().counts();
    step_all(boot, frames);
    let after = boot.sva().interrupts().counts();
    let (steps, ticks) = (STEPS.load(Ordering::Relaxed), TICKS.load(Ordering::Relaxed));
    println!("after: {:?}", boot.sva().audit().unwrap());
    println!(
        "{steps} steps, {ticks} with interrupts on; boundaries {}, open {}",
        STEPPED.count(),
        OPEN.count()
    );
    println!("NMI at boundaries {} of {}", STEPPED.count(), STEPPED.count());
    assert_eq!(after.nmis - before.nmis, steps);
    assert!(STEPPED.count() > 1000 && OPEN.count() > 100 && ticks > OPEN.count());
}

/// See the module.
pub(super) fn strike(boot: &'static Boot<Mode>) {
    let frames = begin(boot);
    let sva = boot.sva();
    sva.interrupts()
        .register_line(Line::TIMER, &|frame: &TrapFrame<'_>| {
            STRUCK.note(frame.instruction().get());
            STRIKES.fetch_add(1, Ordering::Relaxed);
            on_tick(self::boot());
        })
        .unwrap();
    step_all(boot, frames);
    sva.interrupts().unmask(Line::TIMER).unwrap();
    let steps = STEPS.load(Ordering::Relaxed);
    println!("{steps} steps, open boundaries {}", OPEN.count());
    let mut rounds = 0;
    // The timer's tick is no whole number of instructions, so a strike may miss its boundary by one: further
    // sweeps, which start the timer at other moments of its tick, find what one has missed.
    for number in 0..MOST_SWEEPS {
        sweep(boot, frames, steps, number * PHASE % TICK, &mut rounds);
        if STRUCK.missing(&OPEN).next().is_none() {
            break;
        }
    }
    let missing = STRUCK.missing(&OPEN).count() as u32;
    STRUCK.missing(&OPEN).for_each(|at| println!("not hit: {at:#010x}"));
    println!("after {rounds} rounds: {:?}", sva.audit().unwrap());
    println!("timer at boundaries {} of {}", OPEN.count() - missing, OPEN.count());
    assert_eq!(missing, 0);
}

const MOST_SWEEPS: u32 = 12;
/// Instructions by which one sweep starts the timer later than the one before.
const PHASE: u32 = 59;
/// Instructions in a tick of the timer.
const TICK: u32 = 838;

static STRIKES: AtomicU32 = AtomicU32::new(0);

/// Lets the timer strike at each of the scenario's `steps` instructions, once: so many ticks after it was
/// started, and the scenario begins up to a tick late. `phase` says when in a tick the timer is started.
fn sweep(boot: &'static Boot<Mode>, frames: Frames, steps: u32, phase: u32, rounds: &mut u32) {
    let sva = boot.sva();
    for ticks in 1..steps / TICK + 4 {
        for late in 0..TICK + 128 {
            *rounds += 1;
            STRIKES.store(0, Ordering::Relaxed);
            delay(phase);
            sva.timer().one_shot(ticks).unwrap();
            sva.interrupts().enable().unwrap();
            delay(late);
            run_under(0, boot, frames);
            while STRIKES.load(Ordering::Relaxed) == 0 {
                core::hint::spin_loop();
            }
            sva.interrupts().disable();
        }
        sva.audit().unwrap();
    }
}

/// Executes `count` instructions that do nothing, at most `TICK` and some.
fn delay(count: u32) {
    // SAFETY: jumps into a row of NOPs, each a byte long, so many before its end.
    unsafe {
        asm!("movl $2f, {at}", "subl {count}, {at}", "jmpl *{at}", ".skip 1024, 0x90", "2:",
            at = out(reg) _, count = in(reg) count, options(att_syntax));
    }
}
