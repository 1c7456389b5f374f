//! What the machine's CPUs can reach, by their own walks and out of what they remember.

use crate::common::world::{READ_ONLY, frames};
use crate::ram::Table;
use crate::stage::{Machine, cpu_of};
use sva_os::address::{Frame, PageRange, VirtAddr};
use sva_os::frame::Kind;
use sva_os::machine::Cpu;
use sva_os::machine::emulated::{Access, Translation, Use};
use sva_os::mmu::{Half, PagingMode};

const USER_DATA: u32 = Kind::UserData as u32;
const NONE: u32 = Kind::None as u32;
const CODE: u32 = Kind::Code as u32;

/// Every page there is.
pub(crate) fn all_pages() -> PageRange {
    PageRange::new(sva_os::address::Page::ZERO, 1 << 20).expect("all of 4 GiB")
}

/// No CPU can reach what it must not: ring 3 reaches user data in the user window, and nothing
/// writes or executes what is not for it.
#[track_caller]
pub(crate) fn isolated<P: PagingMode>(sva: &Machine<P>) {
    let table = Table::of(sva);
    let window = sva.user_window();
    for cpu in (0..32).map_while(|number| cpu_of(sva, number)) {
        for (page, to) in sva.machine().reachable(cpu, all_pages()) {
            if let Err(why) = judge(table, sva, window.contains(page), to) {
                panic!("CPU {} may use {page} as {to:?}: {why}", cpu.number());
            }
        }
    }
}

/// Nothing that a CPU's TLB holds leads to a frame that it must not. No CPU takes a step, so this
/// may be asked in the midst of an intrinsic.
#[track_caller]
pub(crate) fn caches_isolated<P: PagingMode>(table: Table, sva: &Machine<P>) {
    let window = sva.user_window();
    for cpu in (0..32).map_while(|number| cpu_of(sva, number)) {
        for (page, to) in sva.machine().cached(cpu) {
            if let Err(why) = judge(table, sva, window.contains(page), to) {
                panic!("CPU {} remembers {page} as {to:?}: {why}", cpu.number());
            }
        }
        for structure in sva.machine().structures(cpu).iter().filter(|s| window.contains(s.page)) {
            let expected = match structure.level {
                1 => Kind::Table1,
                2 => Kind::Table2,
                _ => Kind::Table3,
            } as u32;
            let kind = table.kind(sva, structure.table);
            if kind != expected && !table.is_busy(sva, structure.table) {
                panic!("CPU {} remembers {structure:?}, of kind {kind}", cpu.number());
            }
        }
    }
}

fn judge<P: PagingMode>(
    table: Table,
    sva: &Machine<P>,
    in_window: bool,
    to: Translation,
) -> Result<(), &'static str> {
    let kind = table.kind(sva, to.frame);
    if in_window != to.user {
        return Err("U in the kernel half, or no U in the user half");
    }
    if to.global {
        return Err("global");
    }
    if kind == NONE {
        return Err("no RAM");
    }
    if to.user {
        return if kind == USER_DATA || table.is_busy(sva, to.frame) { Ok(()) } else { Err("not user data") };
    }
    if to.writable && (kind == CODE || frames(READ_ONLY).contains(to.frame)) {
        return Err("writes a constant");
    }
    if to.executable && P::NO_EXECUTE && kind != CODE {
        return Err("executes data");
    }
    Ok(())
}

/// In how many ways `cpu` might go through an access at `at`.
fn ways<P: PagingMode>(sva: &Machine<P>, cpu: Cpu, at: VirtAddr) -> usize {
    let cached = sva.machine().cached(cpu);
    let cached = cached.iter().filter(|(page, _)| *page == at.containing()).count();
    cached + sva.machine().walks(cpu, at.containing()).len()
}

/// Every access of ring 3 at `at` faults, whichever way the CPU goes.
#[track_caller]
pub(crate) fn faults<P: PagingMode>(sva: &Machine<P>, cpu: Cpu, at: VirtAddr, what: Use) {
    for by in [Half::User, Half::Kernel] {
        for way in 0..ways(sva, cpu, at) {
            if let Ok(reached) = sva.machine().access(cpu, at, Access { what, by }, way) {
                panic!("CPU {} reaches {reached} at {at} to {what:?}", cpu.number());
            }
        }
    }
}

/// Every use of ring 3 or ring 0 at `at` faults on `cpu`, whichever way it goes.
#[track_caller]
pub(crate) fn all_fault<P: PagingMode>(sva: &Machine<P>, cpu: Cpu, at: VirtAddr) {
    for what in [Use::Read, Use::Write, Use::Execute] {
        faults(sva, cpu, at, what);
    }
}

/// What a store of ring 3 at `at` reaches, of each way that does not fault.
pub(crate) fn stores_reach<P: PagingMode>(sva: &Machine<P>, cpu: Cpu, at: VirtAddr) -> Vec<Frame> {
    let store = Access { what: Use::Write, by: Half::User };
    (0..ways(sva, cpu, at))
        .filter_map(|way| sva.machine().access(cpu, at, store, way).ok())
        .map(|reached| reached.containing())
        .collect()
}
