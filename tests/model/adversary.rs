//! The hardware and the user programs: between two calls, and in the middle of one.

use super::memory::Memory;
use super::operation::{Act, MidAct, Way};
use super::reference::World;
use super::{Failure, fail};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use sva_os::Sva;
use sva_os::address::{FRAME_BYTES, Frame, PhysAddr};
use sva_os::frame::Kind;
use sva_os::machine::emulated::{Access, Event, Step, Use, Walk};
use sva_os::machine::{Cpu, Emulated};
use sva_os::mmu::{Half, PagingMode};

/// The most walks that are under way at a time.
const MOST_UNDER_WAY: usize = 8;

pub(crate) fn cpu(number: u32) -> Cpu {
    Cpu::new(number).expect("a CPU")
}

/// What is noted while a call runs, and what is to happen meanwhile.
#[derive(Default)]
pub(crate) struct Tape {
    /// Words, by the address of their eight bytes, that were written or might have been.
    pub(crate) written: BTreeSet<u32>,
    /// Frames that were zeroed.
    pub(crate) zeroed: BTreeSet<Frame>,
    /// Entries whose accessed and dirty bits the adversary may have set.
    pub(crate) noted: BTreeSet<PhysAddr>,
    /// Walks under way.
    under_way: Vec<(u32, Walk)>,
    steps: u32,
    planned: BTreeMap<u32, Vec<MidAct>>,
    has_leapt: bool,
    /// Acting: what happens now is the adversary's doing.
    busy: bool,
}

/// The tape, shared with the hook.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Tape>);

impl Recorder {
    pub(crate) fn tape(&self) -> MutexGuard<'_, Tape> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a new call, in which `planned` is to happen.
    pub(crate) fn rewind(&self, planned: Option<&(u32, Vec<MidAct>)>) {
        let mut tape = self.tape();
        tape.written.clear();
        tape.zeroed.clear();
        tape.noted.clear();
        tape.steps = 0;
        tape.planned = planned.into_iter().cloned().collect();
    }

    /// The hook: notes what `event` may write, and does what is planned just before it.
    pub(crate) fn note<P: PagingMode>(&self, sva: &Weak<Sva<Emulated<P>>>, event: Event) {
        let mut tape = self.tape();
        match event.what {
            Step::Store(at) | Step::Exchange(at) => {
                tape.written.insert(at.get() & !7);
            }
            Step::CopyIn(at) => {
                let end = (at.get() & !(FRAME_BYTES - 1)) + FRAME_BYTES - 1;
                tape.written.extend((at.get() & !7..=end).step_by(8));
            }
            Step::Zero(frame) => {
                tape.zeroed.insert(frame);
            }
            _ => {}
        }
        if tape.busy {
            return;
        }
        let now = tape.steps;
        tape.steps += 1;
        let Some(acts) = tape.planned.remove(&now) else { return };
        let Some(sva) = sva.upgrade() else { return };
        tape.busy = true;
        for act in acts {
            match act {
                MidAct::Fill(way) => fill(sva.machine(), &mut tape, way),
                MidAct::Begin(way) => begin(sva.machine(), &mut tape, way),
                // A CPU that is in the middle of an interrupt, or of this call, does nothing else.
                MidAct::Flush(other) if other == event.cpu.number() => {}
                MidAct::Flush(other) => {
                    drop(tape);
                    sva.machine().as_cpu(cpu(other), || sva.flush());
                    tape = self.tape();
                }
            }
        }
        tape.busy = false;
    }
}

/// The walk that `way` names, which is one of several.
fn walk<P: PagingMode>(machine: &Emulated<P>, way: Way) -> Walk {
    let walks = machine.walks(cpu(way.cpu), way.page);
    let walk = walks[way.nth % walks.len()];
    if way.store { walk.for_write() } else { walk }
}

fn fill<P: PagingMode>(machine: &Emulated<P>, tape: &mut Tape, way: Way) {
    let walk = walk(machine, way);
    machine.fill(cpu(way.cpu), &walk);
    tape.noted.extend(walk.entries().map(|(at, _)| at));
}

fn begin<P: PagingMode>(machine: &Emulated<P>, tape: &mut Tape, way: Way) {
    if tape.under_way.len() == MOST_UNDER_WAY {
        tape.under_way.remove(0);
    }
    tape.under_way.push((way.cpu, walk(machine, way)));
}

/// Does what may happen between two calls.
pub(crate) fn act<P: PagingMode>(
    sva: &Sva<Emulated<P>>,
    world: &mut World,
    memory: &mut Memory,
    recorder: &Recorder,
    act: Act,
) -> Result<(), Failure> {
    let machine = sva.machine();
    let mut tape = recorder.tape();
    match act {
        Act::Fill(way) => fill(machine, &mut tape, way),
        Act::Note(way) => {
            let walk = walk(machine, way);
            machine.set_history(cpu(way.cpu), &walk);
            tape.noted.extend(walk.entries().map(|(at, _)| at));
        }
        Act::Begin(way) => begin(machine, &mut tape, way),
        Act::Finish(nth) => {
            if !tape.under_way.is_empty() {
                let nth = nth % tape.under_way.len();
                let (number, walk) = tape.under_way.remove(nth);
                let before = machine.ram_digest();
                machine.fill(cpu(number), &walk);
                // A walk that a flush has ended changes nothing, and what it passed may be no table now.
                if machine.ram_digest() != before {
                    tape.noted.extend(walk.entries().map(|(at, _)| at));
                }
            }
        }
        Act::Evict(number, nth) => {
            machine.evict(cpu(number), nth);
        }
        Act::EvictStructure(number, nth) => {
            machine.evict_structure(cpu(number), nth);
        }
        Act::Store(way, offset, byte) => {
            drop(tape);
            return store(sva, world, memory, way, offset, byte);
        }
        Act::Defer(number, times) => machine.defer_interrupts(cpu(number), times),
        // Once in a world: before the hand has come round, time does not go on as far again.
        Act::Leap if !tape.has_leapt => {
            tape.has_leapt = true;
            memory.leap(machine, world);
        }
        Act::Leap => {}
    }
    let noted = core::mem::take(&mut tape.noted);
    drop(tape);
    memory.accept_history(machine, world.shape, &noted)
}

/// A program in ring 3 stores a byte, wherever the MMU lets it.
fn store<P: PagingMode>(
    sva: &Sva<Emulated<P>>,
    world: &mut World,
    memory: &mut Memory,
    way: Way,
    offset: u32,
    byte: u8,
) -> Result<(), Failure> {
    let machine = sva.machine();
    let at = way.page.start().checked_add(offset % FRAME_BYTES).expect("inside the page");
    let entries: BTreeSet<_> = machine
        .walks(cpu(way.cpu), way.page)
        .iter()
        .flat_map(|walk| walk.entries().map(|(at, _)| at).collect::<Vec<_>>())
        .collect();
    let access = Access { what: Use::Write, by: Half::User };
    let stored = machine.access(cpu(way.cpu), at, access, way.nth);
    memory.accept_history(machine, world.shape, &entries)?;
    let Ok(physical) = stored else { return Ok(()) };
    let frame = physical.containing();
    if world.kind(frame) != Kind::UserData {
        return fail(format!("a program on CPU {} stores to {frame}, {:?}", way.cpu, world.kind(frame)));
    }
    machine.poke(physical, byte);
    world.write_byte(frame, physical.offset(), byte);
    memory.accept(machine, PhysAddr::new(physical.get() & !7));
    Ok(())
}
