//! The contests.

use crate::adversary::Eagerness;
use crate::call::Call::{self, *};
use crate::scenario::Scenario;
use crate::small::STAGE;
use sva_os::frame::Kind;
use sva_os::mmu::PagingMode;
use sva_os::mmu::Rights::{Read, ReadWrite};

/// Frames of the stage by the part they play.
const ROOT: u32 = STAGE;
/// The table between root and leaves where there are three levels, else a free frame.
const MIDDLE: u32 = STAGE + 1;
const TABLE: u32 = STAGE + 2;
const DATA: u32 = STAGE + 3;
const OTHER: u32 = STAGE + 4;
const SPARE: u32 = STAGE + 5;
const BARE_ROOT: u32 = STAGE + 6;
const LOOSE: u32 = STAGE + 7;

/// The table or root that [`TABLE`] hangs in.
const fn top<P: PagingMode>() -> u32 {
    if P::LEVELS == 2 { ROOT } else { MIDDLE }
}

/// A linked table with nothing in it, a loose one, a bare root, two frames of user data, one free.
fn tree<P: PagingMode>() -> Vec<(u32, Call)> {
    let mut calls =
        vec![DeclareRoot(ROOT), DeclareRoot(BARE_ROOT), DeclareTable(TABLE, 1), DeclareTable(LOOSE, 1)];
    if P::LEVELS == 3 {
        calls.extend([DeclareTable(MIDDLE, 2), Link(ROOT, 0, MIDDLE)]);
    }
    calls.extend([Link(top::<P>(), 0, TABLE), Retype(DATA, Kind::UserData), Retype(OTHER, Kind::UserData)]);
    calls.into_iter().map(|call| (0, call)).collect()
}

/// Runs a contest that starts from a tree which all CPUs have loaded, and then `before`.
fn contest<P: PagingMode>(name: &str, preemptions: usize, before: &[Call], cpus: &[&[Call]]) -> u64 {
    special::<P>(name, preemptions, before, cpus, |scenario| scenario)
}

/// As [`contest`], where a call is several steps to its callers.
fn contest_of_parts<P: PagingMode>(name: &str, n: usize, before: &[Call], cpus: &[&[Call]]) -> u64 {
    special::<P>(name, n, before, cpus, |scenario| Scenario { whole_calls: false, ..scenario })
}

fn special<P: PagingMode>(
    name: &str,
    preemptions: usize,
    before: &[Call],
    cpus: &[&[Call]],
    change: impl Fn(Scenario<'_>) -> Scenario<'_>,
) -> u64 {
    let mut all = tree::<P>();
    all.extend((0..cpus.len() as u32).map(|cpu| (cpu, LoadRoot(ROOT))));
    all.extend(before.iter().map(|call| (0, *call)));
    let (eagerness, threads, whole_calls, clock) = (Eagerness::Full, false, true, None);
    change(Scenario { name, eagerness, threads, whole_calls, clock, before: &all, cpus })
        .explore::<P>(preemptions)
}

/// Two CPUs at the entries of one table.
pub(crate) fn leaves<P: PagingMode>(n: usize) -> u64 {
    let both = &[Map(TABLE, 0, DATA, ReadWrite), Map(TABLE, 1, DATA, ReadWrite)];
    let one = &[Map(TABLE, 0, DATA, ReadWrite)];
    let read = &[Map(TABLE, 0, DATA, Read)];
    let away = &[Unmap(TABLE, 0), Retype(DATA, Kind::Free), DeclareTable(DATA, 1)];
    contest::<P>(
        "map, map in one entry",
        n,
        &[],
        &[&[Map(TABLE, 0, DATA, ReadWrite)], &[Map(TABLE, 0, OTHER, Read)]],
    ) + contest::<P>("map, declare", n, &[], &[&[Map(TABLE, 0, DATA, ReadWrite)], &away[1..]])
        + contest::<P>("unmap, unmap", n, one, &[away, &[Unmap(TABLE, 0)]])
        + contest::<P>("unmap, retype and declare", n, one, &[&[Unmap(TABLE, 0)], &away[1..]])
        + contest::<P>("unmap read-only, retype and declare", n, read, &[&[Unmap(TABLE, 0)], &away[1..]])
        + contest::<P>("replace, unmap", n, one, &[&[Replace(TABLE, 0, OTHER, Read)], away])
        + contest::<P>(
            "replace, replace",
            n,
            one,
            &[
                &[Replace(TABLE, 0, OTHER, Read), Retype(DATA, Kind::Free)],
                &[Replace(TABLE, 0, DATA, Read), Retype(OTHER, Kind::Free)],
            ],
        )
        + contest::<P>("protect, unmap", n, read, &[&[Protect(TABLE, 0, ReadWrite)], away])
        + contest::<P>(
            "protect, protect",
            n,
            read,
            &[&[Protect(TABLE, 0, ReadWrite)], &[Protect(TABLE, 0, ReadWrite), Protect(TABLE, 0, Read)]],
        )
        + contest::<P>(
            "protect, replace",
            n,
            read,
            &[
                &[Protect(TABLE, 0, ReadWrite)],
                &[Replace(TABLE, 0, OTHER, Read), Retype(DATA, Kind::KernelData)],
            ],
        )
        + contest::<P>(
            "two unmaps of one frame, flush between",
            n,
            both,
            &[&[Unmap(TABLE, 0), Retype(DATA, Kind::Free)], &[Flush, Unmap(TABLE, 1)]],
        )
}

/// A frame that changes its kind, and who uses it.
pub(crate) fn kinds<P: PagingMode>(n: usize) -> u64 {
    contest::<P>("retype, retype", n, &[], &[
        &[Retype(DATA, Kind::KernelData)],
        &[Retype(DATA, Kind::Free), DeclareTable(DATA, 1)],
    ]) + contest::<P>("declare, declare", n, &[], &[&[DeclareTable(SPARE, 1)], &[DeclareTable(SPARE, 1), RemoveTable(SPARE)]])
        // The kernel half of a two-level root is copied in five hundred steps.
        + contest::<P>("declare, declare root", if P::LEVELS == 2 { 1 } else { n }, &[], &[&[DeclareTable(SPARE, 1)], &[DeclareRoot(SPARE)]])
        + contest::<P>("declare, link of the new table", n, &[], &[
            &[DeclareTable(SPARE, 1)],
            &[Link(top::<P>(), 1, SPARE), Map(SPARE, 0, DATA, ReadWrite)],
        ])
        + contest::<P>("declare, use of the new table", n, &[], &[
            &[DeclareTable(SPARE, 1)],
            &[Map(SPARE, 0, DATA, ReadWrite), Unmap(SPARE, 0)],
        ])
        + contest::<P>("write, retype", n, &[], &[&[WriteBytes(DATA, 0)], &[Retype(DATA, Kind::Free), DeclareTable(DATA, 1)]])
        + contest::<P>("read, retype", n, &[], &[&[ReadBytes(DATA, 0)], &[Retype(DATA, Kind::KernelData), WriteBytes(DATA, 0)]])
        + contest_of_parts::<P>("lend, declare", n, &[], &[&[Lend(SPARE)], &[DeclareTable(SPARE, 1), RemoveTable(SPARE)]])
}

/// Kinds that change while other CPUs flush, or must.
pub(crate) fn flushes<P: PagingMode>(n: usize) -> u64 {
    let one = &[Map(TABLE, 0, DATA, ReadWrite)];
    contest::<P>("unmap and retype, flush", n, one, &[&[Unmap(TABLE, 0), Retype(DATA, Kind::Free)], &[Flush]])
        + contest::<P>(
            "unmap and declare, load root",
            n,
            one,
            &[
                &[Unmap(TABLE, 0), Retype(DATA, Kind::Free), DeclareTable(DATA, 1)],
                &[LoadRoot(BARE_ROOT), LoadRoot(ROOT)],
            ],
        )
        + contest::<P>(
            "retype, unmap elsewhere",
            n,
            &[Map(TABLE, 0, DATA, ReadWrite), Map(TABLE, 1, OTHER, ReadWrite)],
            &[
                &[Unmap(TABLE, 0), Retype(DATA, Kind::KernelData)],
                &[Unmap(TABLE, 1), Retype(OTHER, Kind::KernelData)],
            ],
        )
        + contest::<P>(
            "flush all, retype",
            n,
            one,
            &[&[FlushAll], &[Unmap(TABLE, 0), Retype(DATA, Kind::Free)]],
        )
        + contest::<P>("flush all, flush all", n, one, &[&[FlushAll], &[FlushAll]])
}

/// Tables that are linked, unlinked and removed.
pub(crate) fn tables<P: PagingMode>(n: usize) -> u64 {
    let top = top::<P>();
    let linked = &[Link(top, 1, LOOSE)];
    let full = &[Map(TABLE, 0, DATA, ReadWrite)];
    contest::<P>(
        "map, remove table",
        n,
        &[],
        &[&[Map(LOOSE, 0, DATA, ReadWrite)], &[RemoveTable(LOOSE), Retype(LOOSE, Kind::UserData)]],
    ) + contest::<P>(
        "unmap, remove table",
        n,
        &[Map(LOOSE, 0, DATA, Read)],
        &[&[Unmap(LOOSE, 0)], &[RemoveTable(LOOSE)]],
    ) + contest::<P>("link, link the same table", n, &[], &[&[Link(top, 1, LOOSE)], &[Link(top, 2, LOOSE)]])
        + contest::<P>(
            "link, link in one entry",
            n,
            &[DeclareTable(SPARE, 1)],
            &[&[Link(top, 1, LOOSE)], &[Link(top, 1, SPARE)]],
        )
        + contest::<P>(
            "link, remove table",
            n,
            &[],
            &[&[Link(top, 1, LOOSE)], &[RemoveTable(LOOSE), Retype(LOOSE, Kind::UserData)]],
        )
        + contest::<P>(
            "link, unlink",
            n,
            &[],
            &[&[Link(top, 1, LOOSE)], &[Unlink(top, 1), RemoveTable(LOOSE)]],
        )
        + contest::<P>(
            "unlink and link elsewhere, unlink",
            n,
            linked,
            &[&[Unlink(top, 1), Link(top, 2, LOOSE)], &[Unlink(top, 2), Unlink(top, 1)]],
        )
        + contest::<P>(
            "unlink, remove table",
            n,
            linked,
            &[&[Unlink(top, 1)], &[RemoveTable(LOOSE), Retype(LOOSE, Kind::UserData)]],
        )
        + contest::<P>(
            "unlink and reuse, flush",
            n,
            &[],
            &[&[Unlink(top, 0), RemoveTable(TABLE), Retype(TABLE, Kind::UserData)], &[Flush, LoadRoot(ROOT)]],
        )
        + contest::<P>(
            "unlink, map and unmap below",
            n,
            &[],
            &[&[Unlink(top, 0), RemoveTable(TABLE)], &[Map(TABLE, 0, DATA, ReadWrite), Unmap(TABLE, 0)]],
        )
        + contest::<P>(
            "translate, unlink and reuse",
            n,
            full,
            &[&[Translate(ROOT, 0)], &[Unlink(top, 0), Unmap(TABLE, 0), RemoveTable(TABLE)]],
        )
        + contest::<P>(
            "read entry, remove",
            n,
            &[],
            &[&[ReadEntry(LOOSE, 0)], &[RemoveTable(LOOSE), Retype(LOOSE, Kind::UserData)]],
        )
}

/// Roots, and who has them loaded.
pub(crate) fn roots<P: PagingMode>(n: usize) -> u64 {
    let child = if P::LEVELS == 2 { LOOSE } else { SPARE };
    let level = P::LEVELS - 1;
    let table: &[Call] = if P::LEVELS == 2 { &[] } else { &[DeclareTable(SPARE, 2)] };
    let hung: Vec<Call> = table.iter().copied().chain([Link(BARE_ROOT, 0, child)]).collect();
    contest::<P>(
        "load root, remove root",
        n,
        &[],
        &[&[LoadRoot(BARE_ROOT)], &[RemoveRoot(BARE_ROOT), DeclareTable(BARE_ROOT, 1)]],
    ) + contest::<P>(
        "load another root, remove root",
        n,
        &[LoadRoot(BARE_ROOT)],
        &[&[LoadRoot(ROOT)], &[RemoveRoot(BARE_ROOT), DeclareTable(BARE_ROOT, 1)]],
    ) + contest::<P>(
        "load root, load root",
        n,
        &[],
        &[&[LoadRoot(BARE_ROOT), LoadRoot(ROOT)], &[LoadRoot(BARE_ROOT)]],
    ) + contest::<P>(
        "link in a root, load root",
        n,
        table,
        &[&[Link(BARE_ROOT, 0, child)], &[LoadRoot(BARE_ROOT)]],
    ) + contest::<P>(
        "unlink in a root, load root",
        n,
        &hung,
        &[&[Unlink(BARE_ROOT, 0), RemoveTable(child), DeclareTable(child, level)], &[LoadRoot(BARE_ROOT)]],
    ) + contest::<P>(
        "unlink in a loaded root, load another",
        n,
        &[],
        &[&[Unlink(ROOT, 0)], &[LoadRoot(BARE_ROOT), LoadRoot(ROOT)]],
    ) + contest::<P>(
        "link in a root, remove root",
        n,
        table,
        &[&[Link(BARE_ROOT, 0, child)], &[RemoveRoot(BARE_ROOT)]],
    ) + contest::<P>(
        "link in a loaded root, unlink",
        n,
        table,
        &[&[Link(ROOT, 1, child)], &[Unlink(ROOT, 1), RemoveTable(child)]],
    )
}

/// Batches, which are one call for each element.
pub(crate) fn batches<P: PagingMode>(n: usize) -> u64 {
    let both = &[Map(TABLE, 0, DATA, ReadWrite), Map(TABLE, 1, OTHER, Read)];
    let map = &[MapBatch(TABLE, 0, [DATA, OTHER])];
    contest_of_parts::<P>("map batch, map", n, &[], &[map, &[Map(TABLE, 1, DATA, Read)]])
        + contest_of_parts::<P>(
            "map batch, remove table",
            n,
            &[],
            &[&[MapBatch(LOOSE, 0, [DATA, OTHER])], &[RemoveTable(LOOSE)]],
        )
        + contest_of_parts::<P>("map batch, retype", n, &[], &[map, &[Retype(OTHER, Kind::Free)]])
        + contest_of_parts::<P>(
            "unmap batch, unmap",
            n,
            both,
            &[&[UnmapBatch(TABLE, 0)], &[Unmap(TABLE, 1), Retype(OTHER, Kind::Free)]],
        )
        + contest_of_parts::<P>(
            "protect batch, unmap",
            n,
            both,
            &[&[ProtectBatch(TABLE, 0, ReadWrite)], &[Unmap(TABLE, 1), Retype(OTHER, Kind::Free)]],
        )
}

/// A CPU that notes its use of a page, or is slow to remember it, while another changes the entry.
pub(crate) fn notes<P: PagingMode>(n: usize) -> u64 {
    let one = &[Map(TABLE, 0, DATA, ReadWrite)];
    let lazy = |name: &str, before: &[Call], cpus: &[&[Call]]| {
        special::<P>(name, n, before, cpus, |s| Scenario { eagerness: Eagerness::None, ..s })
    };
    lazy("touch, protect", one, &[&[Touch(0)], &[Protect(TABLE, 0, Read), Unmap(TABLE, 0)]])
        + lazy(
            "touch, unmap and retype",
            one,
            &[&[Touch(0), Touch(0)], &[Unmap(TABLE, 0), Retype(DATA, Kind::Free)]],
        )
        + lazy(
            "touch, replace and retype",
            one,
            &[&[Touch(0)], &[Replace(TABLE, 0, OTHER, Read), Retype(DATA, Kind::Free)]],
        )
        + lazy(
            "touch, take accessed and dirty",
            one,
            &[&[Touch(0), Touch(0)], &[TakeAccessedDirty(TABLE, 0), Unmap(TABLE, 0)]],
        )
        + lazy(
            "touch, unlink and reuse",
            one,
            &[
                &[Touch(0), Touch(0)],
                &[Unlink(top::<P>(), 0), Unmap(TABLE, 0), RemoveTable(TABLE), Retype(TABLE, Kind::UserData)],
            ],
        )
        + lazy(
            "touch and flush, unmap and retype",
            one,
            &[&[Touch(0), Flush, Touch(0)], &[Unmap(TABLE, 0), Retype(DATA, Kind::Free)]],
        )
}

/// The clock's hand comes to a frame with an old stamp.
pub(crate) fn hand<P: PagingMode>(n: usize) -> u64 {
    // The next tick shows a time whose hand points at DATA, more than a quarter of the circle on.
    let clock = 2 * (DATA + (300 << 20)) + 1 - 2;
    let old = |name: &str, before: &[Call], cpus: &[&[Call]]| {
        special::<P>(name, n, before, cpus, |s| Scenario { clock: Some(clock), ..s })
    };
    let both = [Map(TABLE, 0, DATA, ReadWrite), Map(TABLE, 1, DATA, ReadWrite)];
    let flushed = [both[0], both[1], Unmap(TABLE, 0), FlushAll];
    old(
        "the hand, a CPU that has not flushed",
        &[both[0], Unmap(TABLE, 0)],
        &[&[Flush, Retype(DATA, Kind::Free)], &[FlushPage(1)]],
    ) + old("the hand, a newer unmap", &flushed, &[&[Flush, Retype(DATA, Kind::Free)], &[Unmap(TABLE, 1)]])
        + old(
            "the hand, a flush",
            &[both[0], Unmap(TABLE, 0)],
            &[&[Flush, Retype(DATA, Kind::Free)], &[Flush]],
        )
}

/// Three CPUs.
pub(crate) fn three<P: PagingMode>(n: usize) -> u64 {
    let one = &[Map(TABLE, 0, DATA, ReadWrite)];
    let many = &[Map(TABLE, 0, DATA, ReadWrite), Map(TABLE, 1, OTHER, ReadWrite), Link(top::<P>(), 1, LOOSE)];
    contest::<P>(
        "map, unmap, declare",
        n,
        one,
        &[
            &[Map(TABLE, 1, DATA, Read)],
            &[Unmap(TABLE, 0)],
            &[Retype(DATA, Kind::Free), DeclareTable(DATA, 1)],
        ],
    ) + contest::<P>(
        "unmap, flush, declare",
        n,
        one,
        &[&[Unmap(TABLE, 0)], &[Flush], &[Retype(DATA, Kind::Free)]],
    ) + contest::<P>(
        "three that wait for each other",
        n - 1,
        many,
        &[
            &[Unmap(TABLE, 0), Retype(DATA, Kind::KernelData)],
            &[Unmap(TABLE, 1), Retype(OTHER, Kind::KernelData)],
            &[Unlink(top::<P>(), 1), RemoveTable(LOOSE)],
        ],
    )
}
