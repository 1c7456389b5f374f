//! What must hold between intrinsics, recounted from RAM without the library's own audit.

use crate::safety::cpus;
use crate::small::{STAGE, World, cpu, frame};
use crate::view::{self, Stamp, Word, entries, is_after, level, word};
use std::collections::BTreeMap;
use sva_os::address::Frame;
use sva_os::frame::Kind;
use sva_os::mmu::PagingMode;

/// What a recount finds standing on a frame.
#[derive(Default)]
struct Uses {
    total: u32,
    writable: u32,
    parent: Option<(u32, u32)>,
}

/// The frames between text and the library's own.
pub(crate) fn stage<P: PagingMode>(world: &World<P>) -> impl Iterator<Item = Frame> + use<P> {
    (STAGE..world.sealed_root().number() - 2).map(frame)
}

/// Everything that must hold while no intrinsic is at work.
pub(crate) fn check<P: PagingMode>(world: &World<P>) -> Result<(), String> {
    let uses = count(world)?;
    check_library(world)?;
    for frame in stage(world) {
        let found = word(world, frame);
        let none = Uses::default();
        let uses = uses.get(&frame.number()).unwrap_or(&none);
        let recounted = Word { total: uses.total, writable: uses.writable, ..Word::unused(found.kind) };
        if found != recounted {
            return Err(format!("frame {frame} is {found:?}, recounted {recounted:?}"));
        }
        check_stamp(world, frame, found, uses)?;
    }
    check_cpus(world)
}

/// Counts what every table of the stage, every CR3 and every thread stands on.
fn count<P: PagingMode>(world: &World<P>) -> Result<BTreeMap<u32, Uses>, String> {
    let mut uses = BTreeMap::<u32, Uses>::new();
    for table in stage(world) {
        let kind = word(world, table).kind;
        let Some(level) = level::<P>(kind) else { continue };
        for index in 0..entries::<P>(level) {
            let raw = view::raw(world, table, index);
            if kind == Kind::Root && index >= entries::<P>(level) / 4 * 3 {
                if raw & !0x20 != view::raw(world, world.sealed_root(), index) & !0x20 {
                    return Err(format!("entry {index} of root {table} is not the kernel half's: {raw:#x}"));
                }
                continue;
            }
            let place = |text| format!("entry {index} of {table}: {text}");
            let Some(present) = view::decode::<P>(level, raw).map_err(place)? else { continue };
            uses.entry(table.number()).or_default().total += 1;
            let target = uses.entry(present.frame).or_default();
            target.total += 1;
            target.writable += u32::from(present.write || level > 1);
            let wanted = if level == 1 { Kind::UserData } else { view::table_kind(level - 1) };
            let found = word(world, frame(present.frame));
            if found.kind != wanted {
                return Err(place(format!("leads to {found:?}")));
            }
            if level > 1 && target.parent.replace((table.number(), index)).is_some() {
                return Err(place("is its table's second link".to_owned()));
            }
        }
    }
    for cpu in (0..cpus(world)).map(cpu) {
        let root = uses.entry(world.machine().root_of(cpu).number()).or_default();
        root.total += 1;
        root.writable += 1;
    }
    for root in view::threads(world).into_iter().filter_map(|thread| thread.root) {
        let root = uses.entry(root).or_default();
        root.total += 1;
        root.writable += 1;
    }
    Ok(uses)
}

/// The library's own frames, and what no call may change at all.
fn check_library<P: PagingMode>(world: &World<P>) -> Result<(), String> {
    let root = world.sealed_root().number();
    let kinds = [(0, Kind::Kept), (1, Kind::Code), (root - 2, Kind::Monitor), (root - 1, Kind::Monitor)];
    let tables = world.kernel_tables().iter().map(|table| (table.number(), Kind::KernelTable));
    for (number, kind) in kinds.into_iter().chain([(root, Kind::Root)]).chain(tables) {
        let found = word(world, frame(number));
        if found != (Word { sealed: true, ..Word::unused(kind) }) {
            return Err(format!("frame {number} of the library's is {found:?}"));
        }
    }
    let empty = (0..entries::<P>(P::LEVELS) / 4 * 3).all(|index| view::raw(world, frame(root), index) == 0);
    if empty { Ok(()) } else { Err("the sealed root has a user entry".to_owned()) }
}

fn check_stamp<P: PagingMode>(world: &World<P>, frame: Frame, word: Word, uses: &Uses) -> Result<(), String> {
    let stamp = view::stamp(world, frame);
    let right = match (stamp, uses.parent) {
        (Stamp::Linked { table, index }, parent) => parent == Some((table, index)),
        (_, Some(_)) => false,
        (Stamp::Clean, None) => true,
        (Stamp::Dropped(time), None) => {
            let flushed = |cpu| is_after(view::flushed(world, cpu), time);
            let free = word.kind == Kind::Free;
            !is_after(time, view::now(world)) && (!free || (0..cpus(world)).map(cpu).all(flushed))
        }
    };
    if right { Ok(()) } else { Err(format!("frame {frame}, {word:?}, parent {:?}: {stamp:?}", uses.parent)) }
}

fn check_cpus<P: PagingMode>(world: &World<P>) -> Result<(), String> {
    for cpu in (0..cpus(world)).map(cpu) {
        let root = world.machine().root_of(cpu);
        let kind = word(world, root).kind;
        let text = |text: &str| format!("CPU {}: {text}", cpu.number());
        if kind != Kind::Root || view::loaded(world, cpu) != root {
            return Err(text(&format!("CR3 names {kind:?} {root}, on record {}", view::loaded(world, cpu))));
        }
        if !world.machine().interrupts_enabled(cpu) {
            return Err(text("IF is clear"));
        }
        if is_after(view::flushed(world, cpu), view::now(world)) {
            return Err(text("flushed in the future"));
        }
        if P::LEVELS == 3 {
            let stale = |index: &u32| {
                world.machine().root_registers(cpu)[*index as usize] != view::raw(world, root, *index)
            };
            if let Some(index) = (0..4).find(stale) {
                return Err(text(&format!("PDPTE register {index} is not what RAM has")));
            }
        }
    }
    Ok(())
}
