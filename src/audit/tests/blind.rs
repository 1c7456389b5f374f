//! Damage that is easily overlooked, because no table entry contradicts it.

use super::*;

both_modes!(kinds_of_what_boot_typed the_sealed_root its_empty_half a_flush_in_the_future even_times a_load_of_nothing);

/// Image, frame table, clock and kernel tables are what the layout made them.
fn kinds_of_what_boot_typed<P: PagingMode>() {
    let sva = in_use::<P>();
    let own = (0..RAM).filter(|number| matches!(sva.kind(frame(*number)), Kind::Monitor | Kind::KernelTable));
    for number in [1, 2, 3, 4, 5, 8, 9].into_iter().chain(own) {
        let at = sva.word_at(frame(number));
        let changed =
            Kind::ALL.into_iter().filter(|kind| *kind != Kind::None && *kind != sva.kind(frame(number)));
        for kind in changed {
            for sealed in [0, 1 << 6] {
                let found = sva.finds_with(at, kind.bits() | sealed);
                assert_eq!(found, Some(Finding::Word(frame(number))), "frame {number} as {kind:?}");
            }
        }
    }
}

fn the_sealed_root<P: PagingMode>() {
    let sva = in_use::<P>();
    let root = sva.sealed_root();
    for kind in [Kind::Free, Kind::UserData, Kind::Table1, Kind::KernelTable, Kind::Monitor] {
        let found = sva.finds_with(sva.word_at(root), kind.bits() | 1 << 6);
        assert_eq!(found, Some(Finding::Word(root)), "{kind:?}");
    }
}

/// A table that hangs in the sealed root hangs in every thread's without one.
fn its_empty_half<P: PagingMode>() {
    let sva = in_use::<P>();
    let root = sva.sealed_root();
    for index in 0..3 << (P::ROOT_INDEX_BITS - 2) {
        let link = P::link(P::LEVELS, frame(UNLINKED), Half::User).into();
        let found = sva.finds_with_entry(root.number(), index, link);
        assert_eq!(found, Some(Finding::Entry(root, index)));
    }
}

/// A CPU that says it flushed later than now would never be asked to.
fn a_flush_in_the_future<P: PagingMode>() {
    let sva = in_use::<P>();
    let now = sva.clock.now(&sva.machine).bits();
    for number in 0..2 {
        for ahead in [2, 4, 1 << 29] {
            let found = sva.finds_with(sva.clock_at().plus(4 + 4 * number), now.wrapping_add(ahead));
            assert_eq!(found, Some(Finding::FlushTime(cpu(number))));
        }
    }
}

/// The clock shows odd times only.
fn even_times<P: PagingMode>() {
    let sva = in_use::<P>();
    for number in (0..RAM).filter(|number| ![LEAVES, SECOND].contains(number)) {
        let found = sva.finds_with(sva.stamp_at(frame(number)), 2);
        assert_eq!(found, Some(Finding::Stamp(frame(number))));
    }
}

/// The load of the sealed root is not counted, but its record names a root all the same. Looked at
/// with the counts, so not without scratch memory.
fn a_load_of_nothing<P: PagingMode>() {
    let sva = in_use::<P>();
    let root = sva.sealed_root();
    sva.machine().as_cpu(cpu(1), || sva.load_root(root).unwrap());
    assert_eq!(sva.finds(), None);
    let at = record(&sva, 1);
    for (nothing, expected) in [
        (FREE, Finding::Count(frame(FREE))),
        (UNMAPPED, Finding::Count(frame(UNMAPPED))),
        (RAM, Finding::Root(frame(RAM))),
        (0xf_ffff, Finding::Root(frame(0xf_ffff))),
        (0x10_0000, Finding::Root(Frame::ZERO)),
        (u32::MAX, Finding::Root(Frame::ZERO)),
    ] {
        sva.machine().poke(at, nothing);
        for length in SCRATCH {
            assert_eq!(sva.audit_with(&mut vec![0; length]).err(), Some(expected), "{nothing:#x}");
        }
        assert!(sva.audit_with(&mut []).is_ok());
        sva.machine().poke(at, root.number());
    }
    assert_eq!(sva.finds(), None);
}
