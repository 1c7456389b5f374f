//! Interrupts that come by themselves: the timer's, through the PIC, into handlers and out of them again.

use super::console::println;
use super::{Boot, Mode};
use core::arch::{asm, naked_asm};
use core::hint::spin_loop;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use sva_os::address::Frame;
use sva_os::frame::Kind;
use sva_os::interrupt::{Exception, Line, TrapFrame, Vector};
use sva_os::machine::I386;
use sva_os::mmu::{PagingMode, Rights};
use sva_os::{Sva, Violation};

type Machine = I386<Mode>;

static TICKS: AtomicU32 = AtomicU32::new(0);
static HOOKS: AtomicU32 = AtomicU32::new(0);

fn ticks() -> u32 {
    TICKS.load(Ordering::Relaxed)
}

fn hooks() -> u32 {
    HOOKS.load(Ordering::Relaxed)
}

/// Waits for so many ticks more.
fn wait(count: u32) {
    let start = ticks();
    while ticks().wrapping_sub(start) < count {
        spin_loop();
    }
}

/// Long enough for several periods of the rates that are used here.
fn pause(sva: &Sva<Machine>) {
    // 55 ms by the timer's own count would disturb it; a port takes its time on any machine.
    (0..100_000).for_each(|_| sva.io().delay());
}

pub(super) fn run(boot: &'static Boot<Mode>) {
    let sva = boot.sva();
    let interrupts = sva.interrupts();
    interrupts.register_line(Line::TIMER, &tick).unwrap();
    interrupts.set_preempt(&|| _ = HOOKS.fetch_add(1, Ordering::Relaxed));
    interrupts.unmask(Line::TIMER).unwrap();
    interrupts.enable().unwrap();

    one_shot(sva);
    periodic(sva);
    masked(sva);
    guarded(sva);
    strange(sva);
    registers_stay();
    inside(boot);

    sva.timer().stop();
    interrupts.unregister(Vector::of_line(Line::TIMER).into()).unwrap();
    assert!(interrupts.is_masked(Line::TIMER));
    interrupts.disable();
    println!("{:?}, {} ticks", interrupts.counts(), ticks());
    sva.audit().unwrap();
}

/// DF and AC in EFLAGS: what a gate leaves as it finds it.
const LEFT_BY_GATES: u32 = 1 << 10 | 1 << 18;

/// What every tick looks at: interrupts are off, DF and AC are clear, and the frame is of ring 0.
fn tick(frame: &TrapFrame<'_>) {
    let flags: u32;
    // SAFETY: reads EFLAGS.
    unsafe { asm!("pushfd", "pop {}", out(reg) flags) }
    assert_eq!(flags & (1 << 9 | LEFT_BY_GATES), 0);
    assert!(frame.flags() & 1 << 9 != 0, "it was let through");
    assert!(!frame.is_from_user() && frame.exception().is_none());
    assert_eq!(frame.vector(), Vector::of_line(Line::TIMER));
    TICKS.fetch_add(1, Ordering::Relaxed);
}

/// One interrupt each, and no second one.
fn one_shot(sva: &Sva<Machine>) {
    for delay in [1, 2, 100, 11_932, 65_536] {
        // One of the firmware's timer, or of the last round's, may be on its way.
        sva.timer().stop();
        pause(sva);
        let before = ticks();
        sva.timer().one_shot(delay).unwrap();
        while ticks() == before {
            spin_loop();
        }
        pause(sva);
        assert_eq!(ticks(), before + 1, "after {delay} ticks");
    }
}

fn periodic(sva: &Sva<Machine>) {
    for hz in [19, 100, 1_000, 5_000] {
        sva.timer().start_periodic(hz).unwrap();
        wait(5);
        let left = sva.timer().remaining();
        assert!((1..=65_536).contains(&left));
    }
    if let Some(rate) = sva.timer().measure_time_stamp() {
        println!("time stamp: {rate} a second");
        assert!(rate > 1_000_000);
    }
    sva.timer().stop();
    // One may have been on its way.
    pause(sva);
    let before = ticks();
    pause(sva);
    assert_eq!(ticks(), before, "the timer is stopped");
    sva.timer().start_periodic(1_000).unwrap();
}

/// Masked at the controller, or by IF.
fn masked(sva: &Sva<Machine>) {
    let interrupts = sva.interrupts();
    wait(2);
    interrupts.mask(Line::TIMER);
    let before = ticks();
    pause(sva);
    assert_eq!(ticks(), before, "the line is masked");
    interrupts.unmask(Line::TIMER).unwrap();
    wait(2);
    interrupts.without_interrupts(|| {
        let before = ticks();
        interrupts.without_interrupts(|| pause(sva));
        pause(sva);
        assert_eq!(ticks(), before, "IF is clear");
    });
    wait(2);
    assert!(interrupts.disable());
    let before = ticks();
    pause(sva);
    assert_eq!(ticks(), before, "IF is clear");
    interrupts.enable().unwrap();
    wait(2);
}

/// The hook follows each handler, unless there is a guard.
fn guarded(sva: &Sva<Machine>) {
    let interrupts = sva.interrupts();
    let both = || interrupts.without_interrupts(|| (ticks(), hooks()));
    let (ticks_before, hooks_before) = both();
    assert_eq!(ticks_before, hooks_before, "a hook for each tick");
    let guard = interrupts.no_preempt();
    let hooks_before = hooks();
    wait(5);
    assert_eq!(hooks(), hooks_before, "none under a guard");
    drop(guard);
    let (ticks_before, hooks_before) = both();
    wait(5);
    let (ticks_after, hooks_after) = both();
    assert_eq!(ticks_after - ticks_before, hooks_after - hooks_before);
}

/// Interrupts that no device asked for. The timer goes on through all of them.
fn strange(sva: &Sva<Machine>) {
    let interrupts = sva.interrupts();
    let before = interrupts.counts();
    interrupts.without_interrupts(|| {
        // SAFETY: ring 0 may use the gates of lines 7 and 15: nothing is in service, so both are spurious.
        unsafe { asm!("int 39", "int 47") }
        // SAFETY: line 3 has no handler, the wire between the controllers none, and 0x99 none.
        unsafe { asm!("int 35", "int 34", "int 0x99") }
    });
    let after = interrupts.counts();
    assert_eq!(after.spurious, before.spurious + 2);
    assert_eq!(after.stray_lines, before.stray_lines + 1);
    assert_eq!(after.stray_software, before.stray_software + 2);
    wait(5);
}

/// Spins with a value in each register, DF and AC set, until the word changes. Answers with the bits that
/// differ afterwards.
#[unsafe(naked)]
extern "C" fn spin(word: *const u32) -> u32 {
    naked_asm!(
        "pushl %ebp",
        "pushl %ebx",
        "pushl %esi",
        "pushl %edi",
        "movl 20(%esp), %ecx",
        "movl (%ecx), %eax",
        "movl $0x0b0b0b0b, %ebx",
        "movl $0xd0d0d0d0, %edx",
        "movl $0x51515151, %esi",
        "movl $0xd1d1d1d1, %edi",
        "movl $0xb9b9b9b9, %ebp",
        "pushfl",
        "orl ${flags}, (%esp)",
        "popfl",
        "2:",
        "cmpl (%ecx), %eax",
        "je 2b",
        "pushfl",
        "pushfl",
        "andl ${others}, (%esp)",
        "popfl",
        "xorl $0x0b0b0b0b, %ebx",
        "xorl $0xd0d0d0d0, %edx",
        "xorl $0x51515151, %esi",
        "xorl $0xd1d1d1d1, %edi",
        "xorl $0xb9b9b9b9, %ebp",
        "popl %eax",
        "notl %eax",
        "andl ${flags}, %eax",
        "orl %ebx, %eax",
        "orl %edx, %eax",
        "orl %esi, %eax",
        "orl %edi, %eax",
        "orl %ebp, %eax",
        "popl %edi",
        "popl %esi",
        "popl %ebx",
        "popl %ebp",
        "retl",
        flags = const LEFT_BY_GATES,
        others = const !LEFT_BY_GATES,
        options(att_syntax)
    )
}

/// DS and ES as the kernel has them.
fn segments() -> (u16, u16) {
    let (ds, es): (u16, u16);
    // SAFETY: reads DS and ES.
    unsafe { asm!("movw %ds, {0:x}", "movw %es, {1:x}", out(reg) ds, out(reg) es, options(att_syntax)) }
    (ds, es)
}

/// All registers, DF and AC come back.
fn registers_stay() {
    let before = segments();
    for _ in 0..20 {
        assert_eq!(spin(TICKS.as_ptr()), 0);
    }
    assert_eq!(segments(), before);
}

/// In a handler interrupts cannot be enabled and no root loaded; one inside another counts as two. Afterwards
/// both are as before.
fn inside(boot: &'static Boot<Mode>) {
    static BOOT: AtomicPtr<Boot<Mode>> = AtomicPtr::new(null_mut());
    static DEPTHS: AtomicU32 = AtomicU32::new(0);
    fn refused(_: &TrapFrame<'_>) {
        // SAFETY: a `&'static Boot`, stored below before a handler that reads it is registered.
        let sva = unsafe { &*BOOT.load(Ordering::Relaxed) }.sva();
        let depth = DEPTHS.fetch_add(1, Ordering::Relaxed) + 1;
        assert_eq!(sva.interrupts().enable(), Err(Violation::InHandler(depth)));
        assert_eq!(sva.load_root(sva.sealed_root()), Err(Violation::InHandler(depth)));
        if depth == 1 {
            // SAFETY: this very handler handles it.
            unsafe { asm!("int3") }
            assert_eq!(sva.interrupts().enable(), Err(Violation::InHandler(1)));
        }
    }
    BOOT.store((&raw const *boot).cast_mut(), Ordering::Relaxed);
    let interrupts = boot.sva().interrupts();
    interrupts.register_exception(Exception::Breakpoint, &refused).unwrap();
    interrupts.register_line(Line::KEYBOARD, &refused).unwrap();
    // SAFETY: ring 0 may use the line's gate; its end of interrupt ends nothing.
    interrupts.without_interrupts(|| unsafe { asm!("int 33") });
    assert_eq!(DEPTHS.load(Ordering::Relaxed), 2);
    interrupts.enable().unwrap();
    boot.sva().load_root(boot.sva().sealed_root()).unwrap();
    wait(2);
}

/// Frames of the storm, from the end of RAM down.
fn spare(sva: &Sva<Machine>) -> impl Iterator<Item = Frame> {
    let numbers = (1..sva.frame_count()).rev();
    numbers.filter_map(Frame::new).filter(|frame| sva.kind(*frame) == Kind::Free)
}

/// Attack D6: as many interrupts as the machine can bear, whose handler maps, links and flushes, while the kernel
/// does the same. Neither disturbs the other.
pub(super) fn storm(boot: &'static Boot<Mode>) {
    static BOOT: AtomicPtr<Boot<Mode>> = AtomicPtr::new(null_mut());
    static FRAMES: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];
    fn work(_: &TrapFrame<'_>) {
        // SAFETY: a `&'static Boot`, stored below before the handler is registered.
        let sva = unsafe { &*BOOT.load(Ordering::Relaxed) }.sva();
        let [root, table, data] =
            FRAMES.each_ref().map(|frame| Frame::new(frame.load(Ordering::Relaxed)).unwrap());
        round_trip(sva, root, table, data);
        TICKS.fetch_add(1, Ordering::Relaxed);
    }
    let sva = boot.sva();
    let mut frames = spare(sva);
    let mut next = || frames.next().unwrap();
    FRAMES.iter().for_each(|frame| frame.store(next().number(), Ordering::Relaxed));
    BOOT.store((&raw const *boot).cast_mut(), Ordering::Relaxed);
    let (root, table, data) = (next(), next(), next());
    sva.interrupts().register_line(Line::TIMER, &work).unwrap();
    sva.interrupts().unmask(Line::TIMER).unwrap();
    sva.timer().start_periodic(10_000).unwrap();
    sva.interrupts().enable().unwrap();
    let mut rounds = 0_u32;
    // A host that is busy delivers ticks that it owes one upon the other: then a round takes thousands.
    while ticks() < 2_000 || rounds < 3 {
        round_trip(sva, root, table, data);
        sva.flush_all();
        rounds += 1;
    }
    sva.interrupts().disable();
    sva.timer().stop();
    println!("{} ticks in {rounds} rounds, {:?}", ticks(), sva.interrupts().counts());
    sva.audit().unwrap();
}

/// Makes an address space of three free frames, and frees them again.
fn round_trip(sva: &Sva<Machine>, root: Frame, table: Frame, data: Frame) {
    sva.declare_root(root).unwrap();
    sva.retype(data, Kind::UserData).unwrap();
    sva.declare_table(table, 1).unwrap();
    // Below the root there is the table of leaves, or, with PAE, a directory that is left out.
    if Mode::LEVELS == 2 {
        sva.link(root, 5, table).unwrap();
    }
    for index in 0..20 {
        sva.map(table, index, data, Rights::ReadWrite).unwrap();
    }
    sva.protect(table, 7, Rights::Read).unwrap();
    for index in 0..20 {
        sva.unmap(table, index).unwrap();
    }
    if Mode::LEVELS == 2 {
        sva.unlink(root, 5).unwrap();
    }
    sva.remove_table(table).unwrap();
    sva.remove_root(root).unwrap();
    sva.retype(data, Kind::Free).unwrap();
}
