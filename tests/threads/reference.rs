//! A plain model of threads: what each slot holds, what each CPU runs, which root it has.

use super::operation::{Name, Note, Step, legal};
use crate::common::world::{self, count};
use std::collections::{BTreeMap, BTreeSet};
use sva_os::context::UserContext;
use sva_os::mmu::PagingMode;

/// Pages of the window that each slot has, and the most that a stack can have: two are guards.
pub(crate) const SLOT_PAGES: u32 = 16;
pub(crate) const STACK_PAGES: u32 = SLOT_PAGES - 2;
/// Where the window for stacks begins.
pub(crate) const WINDOW: u32 = 0xc_0100;
/// Names from elsewhere that fit no thread: those of so many slots.
pub(crate) const FORGED: u32 = 24;

/// What the world begins as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Start {
    pub(crate) cpus: u32,
    /// Slots in the window, those of idle threads among them.
    pub(crate) slots: u32,
    /// Frames of RAM.
    pub(crate) frames: u32,
    pub(crate) levels: u8,
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    None,
    /// Typed at boot, for ever.
    Sealed,
    Free,
    UserData,
    Root,
    Stack,
}

/// What a slot is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Vacant,
    Unused,
    Ready,
    Saved,
    Running,
    /// A CPU's idle thread, not running.
    Waiting,
    /// One that runs.
    Idle,
    Abandoned,
    /// Being released.
    Busy,
}

/// What a thread begins with, as long as it was not called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u32,
    pub(crate) next: Option<Name>,
}

/// A slot for a thread, or a flow that a CPU booted with.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) state: State,
    /// The root that it will load, if it is to go on.
    pub(crate) root: u32,
    /// Its stack, from the top on down.
    pub(crate) frames: Vec<u32>,
    /// Its TLS descriptors.
    pub(crate) tls: [u64; 3],
    pub(crate) fp: [u8; 512],
    pub(crate) entry: Option<Entry>,
    /// The registers with which a program came back here last.
    pub(crate) context: Option<UserContext>,
}

/// What a CPU is in the middle of.
#[derive(Clone, Debug)]
pub(crate) struct Cpu {
    /// The slot of the thread that it runs.
    pub(crate) current: u32,
    pub(crate) root: u32,
    pub(crate) interrupts: bool,
    pub(crate) handlers: u32,
    /// What is borrowed: the data of all, that of two.
    pub(crate) borrowed: [bool; 2],
    /// Guards against preemption.
    pub(crate) guards: u32,
}

/// The world as the model has it.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) start: Start,
    pub(crate) kinds: Vec<Kind>,
    /// The slots of the window, then the flows that the CPUs booted with.
    pub(crate) slots: Vec<Slot>,
    pub(crate) cpus: Vec<Cpu>,
    /// Names of threads and of stacks that were seen, old ones too.
    pub(crate) threads: Vec<Name>,
    pub(crate) stacks: Vec<Name>,
    /// How many entries there were.
    pub(crate) entries: u32,
    /// What captured values do when they are dropped, by the entry.
    pub(crate) on_drop: BTreeMap<u32, Vec<super::operation::Op>>,
    /// Which CPU calls, and how deep inside of other calls.
    pub(crate) caller: u32,
    pub(crate) depth: u32,
    /// What is seen in this step.
    pub(crate) notes: Vec<Note>,
    /// Calls of this step so far, and those that are left out since on hardware they cannot be made.
    pub(crate) calls: u32,
    pub(crate) skipped: BTreeSet<u32>,
}

/// As FNINIT and power-on leave the floating-point registers.
fn fp_at_beginning() -> [u8; 512] {
    let mut bytes = [0; 512];
    bytes[0..2].copy_from_slice(&0x037fu16.to_le_bytes());
    bytes[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
    legal(bytes)
}

/// How many frames the library keeps: frame table, clock, sealed root, kernel tables, a record and a
/// floating-point state for each slot and each flow that a CPU booted with, stacks of idle threads.
fn own_frames(cpus: u32, slots: u32, levels: u8) -> u32 {
    let (tables, threads) = (u32::from(levels) - 1, ((slots + cpus) * (128 + 512)).div_ceil(4096));
    3 + tables + threads + 4 * cpus
}

impl Slot {
    pub(crate) fn begin_anew(&mut self) {
        self.tls = [0; 3];
        self.fp = fp_at_beginning();
    }
}

impl World {
    pub(crate) fn new<P: PagingMode>(cpus: u32, spare_slots: u32, spare_frames: u32) -> Self {
        let slots = cpus + spare_slots;
        let first_own = world::FIRST_FREE + spare_frames;
        let frames = first_own + own_frames(cpus, slots, P::LEVELS);
        let start = Start { cpus, slots, frames, levels: P::LEVELS };
        let kind = |number| match number {
            6 | 7 | 12 => Kind::None,
            13.. if number < first_own => Kind::Free,
            _ => Kind::Sealed,
        };
        let sealed_root = first_own + 2;
        let slot = |number| Slot {
            generation: 0,
            state: match number {
                _ if number < cpus => State::Waiting,
                _ if number < slots => State::Vacant,
                _ => State::Running,
            },
            root: sealed_root,
            frames: Vec::new(),
            tls: [0; 3],
            fp: fp_at_beginning(),
            entry: None,
            context: None,
        };
        let cpu = |number| Cpu {
            current: slots + number,
            root: sealed_root,
            interrupts: true,
            handlers: 0,
            borrowed: [false; 2],
            guards: 0,
        };
        let forged = |generation| (1..FORGED).map(move |number| Name { number, generation });
        Self {
            start,
            kinds: (0..start.frames).map(kind).collect(),
            slots: (0..slots + cpus).map(slot).collect(),
            cpus: (0..cpus).map(cpu).collect(),
            threads: forged(2).collect(),
            stacks: forged(1).collect(),
            entries: 0,
            on_drop: BTreeMap::new(),
            caller: 0,
            depth: 0,
            notes: Vec::new(),
            calls: 0,
            skipped: BTreeSet::new(),
        }
    }

    /// Makes the step.
    pub(crate) fn step(&mut self, step: &Step) {
        self.caller = step.cpu;
        self.notes.clear();
        self.skipped.clear();
        self.calls = 0;
        self.here().interrupts = step.interrupts;
        self.perform(&step.op);
        self.here().interrupts = true;
    }

    /// The first frame of the library's own.
    pub(crate) fn first_own(&self) -> u32 {
        let Start { cpus, slots, frames, levels } = self.start;
        frames - own_frames(cpus, slots, levels)
    }

    /// Behind the frame table and the clock.
    pub(crate) fn sealed_root(&self) -> u32 {
        self.first_own() + 2
    }

    pub(crate) fn kind(&self, frame: u32) -> Kind {
        self.kinds.get(count(frame)).copied().unwrap_or(Kind::None)
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = u32> {
        (0..).zip(&self.kinds).filter(move |(_, found)| **found == kind).map(|(number, _)| number)
    }

    pub(crate) fn here(&mut self) -> &mut Cpu {
        &mut self.cpus[count(self.caller)]
    }

    pub(crate) fn slot(&self, number: u32) -> &Slot {
        &self.slots[count(number)]
    }

    pub(crate) fn slot_mut(&mut self, number: u32) -> &mut Slot {
        &mut self.slots[count(number)]
    }

    /// The slot that runs here.
    pub(crate) fn current(&self) -> u32 {
        self.cpus[count(self.caller)].current
    }

    pub(crate) fn name(&self, number: u32) -> Name {
        Name { number, generation: self.slot(number).generation }
    }

    /// The state of the thread with that name, if there is one.
    pub(crate) fn state(&self, name: Name) -> Option<State> {
        let slot = self.slots.get(count(name.number))?;
        (slot.generation == name.generation && slot.state != State::Vacant).then_some(slot.state)
    }

    /// How many CPUs have `root` loaded, and how many threads will load it.
    pub(crate) fn loads(&self, root: u32) -> u32 {
        let cpus = self.cpus.iter().filter(|cpu| cpu.root == root).count();
        let threads = self.slots.iter().filter(|slot| slot.root == root && slot.will_go_on()).count();
        u32::try_from(cpus + threads).expect("few")
    }
}

impl Slot {
    /// Whether it is a thread that a CPU may yet go over to.
    pub(crate) fn will_go_on(&self) -> bool {
        matches!(self.state, State::Ready | State::Saved | State::Waiting)
    }
}
