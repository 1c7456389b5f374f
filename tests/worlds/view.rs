//! What stands in RAM, read by the documented layout and not through the library.

use crate::small::{SLOT_PAGES, SPARE_SLOTS, STACKS, World, frame, kernel_tables};
use sva_os::address::{Frame, PhysAddr};
use sva_os::frame::Kind;
use sva_os::machine::{Cpu, Machine};
use sva_os::mmu::PagingMode;

const BUSY: u32 = 1 << 5;
const SEALED: u32 = 1 << 6;
const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const HISTORY: u64 = 0x60;
const NO_EXECUTE: u64 = 1 << 63;
const CPU_LIMIT: u32 = 32;
const IS_PARENT: u32 = 1 << 31;

/// Word 0 of a frame's entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word {
    pub(crate) kind: Kind,
    pub(crate) busy: bool,
    pub(crate) sealed: bool,
    pub(crate) total: u32,
    pub(crate) writable: u32,
}

impl Word {
    /// Nothing stands on it and nobody changes it.
    pub(crate) fn unused(kind: Kind) -> Self {
        Self { kind, busy: false, sealed: false, total: 0, writable: 0 }
    }

    /// Whether a user program may have it in its TLB: user data, or about to become something else.
    pub(crate) fn may_be_cached(self) -> bool {
        self.busy || (self.kind == Kind::UserData && !self.sealed)
    }

    /// Whether a walk may go on in it as a table of `level`.
    pub(crate) fn may_be_walked(self, level: u8) -> bool {
        self.busy || (self.kind == table_kind(level) && !self.sealed)
    }

    /// Whether a CPU's CR3 may name it: a root that cannot become something else meanwhile.
    pub(crate) fn may_be_loaded(self) -> bool {
        self.kind == Kind::Root && !self.busy && (self.sealed || self.writable != 0)
    }
}

/// Word 1 of a frame's entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stamp {
    Clean,
    Dropped(u32),
    Linked { table: u32, index: u32 },
}

/// A present entry, and whether it has other bits than it may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Present {
    pub(crate) frame: u32,
    pub(crate) write: bool,
    pub(crate) execute: bool,
}

/// The kind of a user-half table of `level`.
pub(crate) fn table_kind(level: u8) -> Kind {
    [Kind::Table1, Kind::Table2, Kind::Table3][usize::from(level) - 1]
}

/// The level of a root or user-half table.
pub(crate) fn level<P: PagingMode>(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Root => Some(P::LEVELS),
        Kind::Table1 => Some(1),
        Kind::Table2 => Some(2),
        Kind::Table3 => Some(3),
        _ => None,
    }
}

/// The frame table: the library's memory lies in one run, and the sealed root is its third part.
fn frame_table<P: PagingMode>(world: &World<P>) -> PhysAddr {
    frame(world.sealed_root().number() - 2).start()
}

fn clock<P: PagingMode>(world: &World<P>) -> PhysAddr {
    frame(world.sealed_root().number() - 1).start()
}

fn at(base: PhysAddr, offset: u32) -> PhysAddr {
    base.checked_add(offset).expect("RAM ends below 4 GiB")
}

/// Word 0 of `frame`; of one past the end of RAM, all zero.
pub(crate) fn word<P: PagingMode>(world: &World<P>, frame: Frame) -> Word {
    if frame.number() >= world.machine().frames() {
        return Word::unused(Kind::None);
    }
    let bits: u32 = world.machine().peek(at(frame_table(world), frame.number() * 8));
    let kind = Kind::ALL.into_iter().find(|kind| *kind as u32 == bits & 0x1f).unwrap_or(Kind::None);
    Word {
        kind,
        busy: bits & BUSY != 0,
        sealed: bits & SEALED != 0,
        total: bits >> 19,
        writable: bits >> 7 & 0xfff,
    }
}

/// Word 1 of `frame`.
pub(crate) fn stamp<P: PagingMode>(world: &World<P>, frame: Frame) -> Stamp {
    match world.machine().peek::<u32>(at(frame_table(world), frame.number() * 8 + 4)) {
        0 => Stamp::Clean,
        bits if bits & IS_PARENT != 0 => Stamp::Linked { table: bits >> 10 & 0xf_ffff, index: bits & 0x3ff },
        time => Stamp::Dropped(time),
    }
}

/// Whether time `a` is later than `b`, on the circle of 2^31.
pub(crate) fn is_after(a: u32, b: u32) -> bool {
    let distance = a.wrapping_sub(b) & 0x7fff_ffff;
    distance != 0 && distance < 1 << 30
}

/// What the clock shows.
pub(crate) fn now<P: PagingMode>(world: &World<P>) -> u32 {
    world.machine().peek::<u32>(clock(world)) & 0x7fff_ffff | 1
}

/// Sets the clock to an odd time, as if that many flushes had been.
pub(crate) fn set_clock<P: PagingMode>(world: &World<P>, time: u32) {
    world.machine().poke(clock(world), time);
}

/// When `cpu` flushed last.
pub(crate) fn flushed<P: PagingMode>(world: &World<P>, cpu: Cpu) -> u32 {
    world.machine().peek(at(clock(world), 4 + 4 * cpu.number()))
}

/// The root on record for `cpu`.
pub(crate) fn loaded<P: PagingMode>(world: &World<P>, cpu: Cpu) -> Frame {
    frame(world.machine().peek(at(clock(world), 4 * (1 + CPU_LIMIT + cpu.number()))))
}

/// A record of the thread table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Thread {
    /// State and generation.
    pub(crate) word: u32,
    /// The root that it will load, if somebody goes over to it.
    pub(crate) root: Option<u32>,
    /// Its stack, the top first.
    pub(crate) frames: Vec<u32>,
}

/// Slots in the window for stacks; none where there are no threads.
fn slots<P: PagingMode>(world: &World<P>) -> u32 {
    let threads = world.sealed_root().number() + 1 + kernel_tables::<P>();
    // The CPUs' own flows take one frame.
    if world.machine().frames() == threads + 1 { 0 } else { world.machine().cpus() + SPARE_SLOTS }
}

/// The records of all slots, then of the flows that the CPUs booted with.
pub(crate) fn threads<P: PagingMode>(world: &World<P>) -> Vec<Thread> {
    const READY: u32 = 2;
    const SAVED: u32 = 3;
    const WAITING: u32 = 7;
    let base = records(world);
    let read = |number: u32, offset| world.machine().peek::<u32>(at(base, 128 * number + offset));
    let thread = |number| {
        let word = read(number, 0);
        let root = matches!(word & 15, READY | SAVED | WAITING).then(|| read(number, 8));
        let frames = (0..read(number, 12)).map(|place| read(number, 48 + 4 * place)).collect();
        Thread { word, root, frames }
    };
    (0..record_count(world)).map(thread).collect()
}

fn record_count<P: PagingMode>(world: &World<P>) -> u32 {
    slots(world) + world.machine().cpus()
}

/// They lie behind floating-point states of 512 bytes each.
fn records<P: PagingMode>(world: &World<P>) -> PhysAddr {
    let states = frame(world.sealed_root().number() + 1 + kernel_tables::<P>()).start();
    at(states, 512 * record_count(world))
}

/// The number of the slot that `cpu` runs.
pub(crate) fn current<P: PagingMode>(world: &World<P>, cpu: Cpu) -> usize {
    let record: u32 = world.machine().peek(at(clock(world), 512 + 16 * cpu.number()));
    ((record - records(world).get()) / 128) as usize
}

/// The pages of the window for stacks.
pub(crate) fn stack_pages<P: PagingMode>(world: &World<P>) -> core::ops::Range<u32> {
    STACKS..STACKS + slots(world) * SLOT_PAGES
}

/// How many entries a table or root of `level` has.
pub(crate) fn entries<P: PagingMode>(level: u8) -> u32 {
    match (P::LEVELS, level) {
        (2, _) => 1024,
        (3, 3) => 4,
        _ => 512,
    }
}

/// Where entry `index` of `table` lies.
pub(crate) fn entry_at<P: PagingMode>(table: Frame, index: u32) -> PhysAddr {
    at(table.start(), index * if P::LEVELS == 2 { 4 } else { 8 })
}

/// Entry `index` of `table` as RAM has it.
pub(crate) fn raw<P: PagingMode>(world: &World<P>, table: Frame, index: u32) -> u64 {
    let at = entry_at::<P>(table, index);
    if P::LEVELS == 2 { world.machine().peek::<u32>(at).into() } else { world.machine().peek(at) }
}

/// Reads a user-half entry of a table of `level`: `Err` if a bit is set that must not be.
pub(crate) fn decode<P: PagingMode>(level: u8, raw: u64) -> Result<Option<Present>, String> {
    if raw == 0 {
        return Ok(None);
    }
    let registers = P::LEVELS == 3 && level == 3;
    let (need, may) = match (registers, level) {
        (true, _) => (PRESENT, 0),
        (false, 1) => (PRESENT | USER, WRITE | HISTORY | if P::LEVELS > 2 { NO_EXECUTE } else { 0 }),
        (false, _) => (PRESENT | USER | WRITE, 0x20),
    };
    if raw & need != need || raw & !(need | may | 0xffff_f000) != 0 {
        return Err(format!("illegal entry {raw:#x} at level {level}"));
    }
    let number = u32::try_from(raw >> 12 & 0xf_ffff).expect("20 bits");
    Ok(Some(Present { frame: number, write: raw & WRITE != 0, execute: raw & NO_EXECUTE == 0 }))
}
