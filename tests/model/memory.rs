//! All of RAM as it was after the last step, and what of it a call may change (invariant 17).

use super::adversary::Tape;
use super::raw::{self, HISTORY};
use super::reference::{History, Item, Shape, World};
use super::{Failure, fail};
use crate::common::world::{self, count};
use std::collections::{BTreeMap, BTreeSet};
use sva_os::Sva;
use sva_os::address::{FRAME_BYTES, Frame, PhysAddr};
use sva_os::frame::Kind;
use sva_os::machine::Emulated;
use sva_os::mmu::PagingMode;

/// 64-bit words of a frame.
const WORDS: u32 = FRAME_BYTES / 8;
/// CPUs that the library keeps state for: behind the clock word lie so many flush times, then so
/// many records of loaded roots.
const MOST_CPUS: u32 = 32;

pub(crate) struct Memory {
    words: Vec<u64>,
    /// Frames that Rust may write unseen.
    pub(crate) lent: BTreeSet<Frame>,
}

impl Memory {
    pub(crate) fn new<P: PagingMode>(machine: &Emulated<P>) -> Self {
        let words = (0..machine.frames() * WORDS).map(|index| machine.peek(PhysAddr::new(index * 8)));
        Self { words: words.collect(), lent: BTreeSet::new() }
    }

    /// The eight bytes at `at`, as they were.
    fn word(&self, at: PhysAddr) -> u64 {
        self.words[count(at.get() / 8)]
    }

    /// Entry `index` of `table`, as it was.
    pub(crate) fn entry(&self, shape: Shape, table: Frame, index: u32) -> u64 {
        let at = table.start().get() + index * shape.entry_bytes;
        let word = self.words[count(at / 8)];
        if shape.entry_bytes == 8 { word } else { word >> (at % 8 * 8) & u64::from(u32::MAX) }
    }

    /// Takes over what stands at `at` now.
    pub(crate) fn accept<P: PagingMode>(&mut self, machine: &Emulated<P>, at: PhysAddr) {
        self.words[count(at.get() / 8)] = machine.peek(at);
    }

    /// Takes over accessed and dirty of the entries at `noted`; nothing else may have changed.
    pub(crate) fn accept_history<P: PagingMode>(
        &mut self,
        machine: &Emulated<P>,
        shape: Shape,
        noted: &BTreeSet<PhysAddr>,
    ) -> Result<(), Failure> {
        let mut masks = BTreeMap::<PhysAddr, u64>::new();
        for at in noted {
            let shift = if shape.entry_bytes == 8 { 0 } else { at.get() % 8 * 8 };
            *masks.entry(PhysAddr::new(at.get() & !7)).or_default() |= HISTORY << shift;
        }
        for (at, mask) in masks {
            let now: u64 = machine.peek(at);
            if (now ^ self.word(at)) & !mask != 0 {
                return fail(format!("the MMU changed more than history at {at}"));
            }
            self.accept(machine, at);
        }
        Ok(())
    }

    /// Moves the clock to where the oldest stamps and flush times are about to be renewed: on by a
    /// quarter of its circle, and to where its hand begins with frame 0.
    pub(crate) fn leap<P: PagingMode>(&mut self, machine: &Emulated<P>, world: &World) {
        const QUARTER: u32 = 1 << 29;
        const ROUND: u32 = 1 << 21;
        let at = world.clock().start();
        let word: u32 = machine.peek(at);
        machine.poke(at, word.wrapping_add(QUARTER + ROUND) & !(ROUND - 1) | 1);
        self.accept(machine, at);
    }

    /// Checks every word that the call wrote, or should have written, and takes over what it now is.
    /// `disturbed` if meanwhile the adversary set accessed and dirty bits, or another CPU flushed.
    pub(crate) fn check_call<P: PagingMode>(
        &mut self,
        sva: &Sva<Emulated<P>>,
        world: &World,
        tape: &Tape,
        disturbed: bool,
    ) -> Result<(), Failure> {
        self.lent.retain(|frame| !tape.zeroed.contains(frame));
        let machine = sva.machine();
        let mut words = tape.written.clone();
        words.extend(tape.noted.iter().map(|at| at.get() & !7));
        for (table, index) in world.effect.slots.keys() {
            words.insert((table.start().get() + index * world.shape.entry_bytes) & !7);
        }
        for frame in world.effect.stamped.iter().chain(&world.effect.retyped) {
            words.insert(world.frame_table().start().get() + frame.number() * 8);
        }
        for frame in world.effect.retyped.iter().chain(&tape.zeroed) {
            words.extend((frame.start().get()..).step_by(8).take(count(WORDS)));
        }
        for at in words {
            let at = PhysAddr::new(at);
            if !self.lent.contains(&at.containing()) {
                self.check_word(machine, world, at, disturbed)?;
                self.accept(machine, at);
            }
        }
        Ok(())
    }

    /// Checks every word of RAM: none changed unnoticed, and every one is what the model says.
    pub(crate) fn check_all<P: PagingMode>(
        &self,
        sva: &Sva<Emulated<P>>,
        world: &World,
    ) -> Result<(), Failure> {
        let mut calm = world.clone();
        calm.effect = Default::default();
        for frame in world.kinds.keys().filter(|frame| !self.lent.contains(frame)) {
            for at in (frame.start().get()..).step_by(8).take(count(WORDS)).map(PhysAddr::new) {
                self.check_word(sva.machine(), &calm, at, false)?;
            }
        }
        Ok(())
    }

    fn check_word<P: PagingMode>(
        &self,
        machine: &Emulated<P>,
        world: &World,
        at: PhysAddr,
        disturbed: bool,
    ) -> Result<(), Failure> {
        let (now, before): (u64, u64) = (machine.peek(at), self.word(at));
        let frame = at.containing();
        let unexpected = |what: &str| {
            fail(format!("{at} in {frame} ({:?}): {before:#x} became {now:#x}, {what}", world.kind(frame)))
        };
        if frame == world.frame_table() {
            return match frame_entry(world, at.offset() / 8, before, now, disturbed) {
                Ok(()) => Ok(()),
                Err(what) => unexpected(what),
            };
        }
        if frame == world.clock() {
            let changed = now != before;
            return if changed && !world.effect.flushed && !disturbed {
                unexpected("without a flush")
            } else {
                Ok(())
            };
        }
        match world.kind(frame) {
            Kind::Root | Kind::Table1 | Kind::Table2 | Kind::Table3 | Kind::KernelTable => {
                let per_word = 8 / world.shape.entry_bytes;
                for index in at.offset() / 8 * per_word..(at.offset() / 8 + 1) * per_word {
                    let shift = index % per_word * 32;
                    let mask = u64::MAX >> (64 - 8 * world.shape.entry_bytes);
                    let (now, before) = (now >> shift & mask, before >> shift & mask);
                    let (want, history) = wanted_entry(world, frame, index, before);
                    let mut seen = now;
                    if disturbed || history.is_none() {
                        seen &= !HISTORY;
                    }
                    let kept = if disturbed { 0 } else { history.unwrap_or(0) };
                    if seen != want | kept {
                        return unexpected(&format!("entry {index} should be {:#x}", want | kept));
                    }
                }
                Ok(())
            }
            Kind::UserData | Kind::KernelData | Kind::Dma | Kind::Pages => {
                let bytes = world.bytes.get(&frame);
                let byte = |at| bytes.and_then(|bytes| bytes.get(&at)).copied().unwrap_or(0);
                let want: [u8; 8] =
                    core::array::from_fn(|n| byte(at.offset() + u32::try_from(n).expect("below 8")));
                if now == u64::from_le_bytes(want) { Ok(()) } else { unexpected("other bytes were written") }
            }
            // What becomes heap is zeroed; what becomes free is left as it is, or as it was made on
            // the way.
            Kind::Heap | Kind::Free if world.effect.zeroed.contains(&frame) && now == 0 => Ok(()),
            Kind::Free
                if now == 0 && world.effect.slots.range((frame, 0)..=(frame, u32::MAX)).count() != 0 =>
            {
                Ok(())
            }
            _ if now != before => unexpected("which nothing may write"),
            _ => Ok(()),
        }
    }
}

/// What an entry must be, and its accessed and dirty bits: `None` if they are anybody's.
fn wanted_entry(world: &World, table: Frame, index: u32, before: u64) -> (u64, Option<u64>) {
    let shape = world.shape;
    let Some(level) = world.level(table) else {
        return kernel_entry(world, table, index);
    };
    if index >= shape.entries_at(level) {
        return (0, Some(0));
    }
    if level == shape.levels && !world.is_user_slot(index) {
        let kernel = world.start.place.first_page() >> shape.span_bits(level);
        let table = world.first_kernel_table();
        return (if index == kernel { raw::link(shape, level, table, false) } else { 0 }, None);
    }
    let item: Option<Item> = world.item(table, index);
    let history = match world.effect.slots.get(&(table, index)) {
        None if world.effect.retyped.contains(&table) => 0,
        Some(History::Cleared) => 0,
        None | Some(History::Kept) => before & HISTORY,
    };
    (raw::encode(shape, level, item), Some(history))
}

/// An entry of a kernel table: the library writes none after init.
fn kernel_entry(world: &World, table: Frame, index: u32) -> (u64, Option<u64>) {
    let shape = world.shape;
    let depth = table.number() - world.first_kernel_table().number();
    let level = shape.levels - 1 - u8::try_from(depth).expect("few levels");
    let first = world.start.place.first_page();
    if level > 1 {
        let serves = index == shape.index(level, world::page(first));
        let below = world::frame(table.number() + 1);
        return (if serves { raw::link(shape, level, below, false) } else { 0 }, None);
    }
    let leaf = world.kernel_leaf(world::page(first + index));
    (leaf.map_or(0, |leaf| raw::leaf(shape, leaf.frame, leaf.rights, false)), None)
}

/// The entry of frame `number` in the frame table: its word by the model, its stamp if it may change.
fn frame_entry(
    world: &World,
    number: u32,
    before: u64,
    now: u64,
    others_flushed: bool,
) -> Result<(), &'static str> {
    let frame = world::frame(number);
    let Some(kind) = world.kinds.get(&frame) else {
        return if now == 0 { Ok(()) } else { Err("past the last frame") };
    };
    let sealed = world.sealed.contains(&frame);
    let word = raw::frame_word(*kind as u32, sealed, world.counts(frame));
    let (low, stamp) = (now & u64::from(u32::MAX), now >> 32);
    if low != u64::from(word) {
        return Err("which is not this frame's kind and counts");
    }
    if let Some((parent, index)) = world.parents.get(&frame) {
        let slot = 1 << 31 | parent.number() << 10 | index;
        return if stamp == u64::from(slot) { Ok(()) } else { Err("which is not the slot that links it") };
    }
    if stamp >> 31 != 0 {
        return Err("a slot of a table that is not linked");
    }
    // The clock's hand may forget a stamp that has grown old.
    let renewed = stamp == 0 && (world.effect.flushed || others_flushed);
    if stamp == before >> 32 || world.effect.stamped.contains(&frame) || renewed {
        Ok(())
    } else {
        Err("a stamp that should have stayed")
    }
}

/// The record of the root that each CPU has loaded, as RAM holds it.
pub(crate) fn loaded<P: PagingMode>(machine: &Emulated<P>, world: &World, cpu: u32) -> u32 {
    machine.peek(PhysAddr::new(world.clock().start().get() + 4 * (1 + MOST_CPUS + cpu)))
}

/// Moves the clock, at which no stamp exists yet, to where the world begins.
pub(crate) fn set_clock<P: PagingMode>(machine: &Emulated<P>, world: &World) {
    let base = world.clock().start().get();
    machine.poke(PhysAddr::new(base), world.start.clock);
    for cpu in 1..=MOST_CPUS {
        machine.poke(PhysAddr::new(base + 4 * cpu), world.start.clock & (u32::MAX >> 1) | 1);
    }
}
