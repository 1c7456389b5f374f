//! Damage to the frame table and the clock.

use super::*;

both_modes!(busy_and_sealed counts kinds parents drops flush_times);

const BUSY: u32 = 1 << 5;
const SEALED: u32 = 1 << 6;
const WRITABLE_ONE: u32 = 1 << 7;
const TOTAL_ONE: u32 = 1 << 19;

fn busy_and_sealed<P: PagingMode>() {
    let sva = in_use::<P>();
    for number in 0..RAM {
        let (at, word) = (sva.word_at(frame(number)), sva.word_bits(number));
        let broken = Some(Finding::Word(frame(number)));
        for damage in [BUSY, SEALED, BUSY | SEALED] {
            assert_eq!(
                sva.finds_with(at, word ^ damage),
                broken,
                "frame {number}, {:?}",
                sva.kind(frame(number))
            );
        }
    }
    assert_eq!(sva.finds(), None);
}

/// One more or one fewer, of either count, at every frame.
fn counts<P: PagingMode>() {
    let sva = in_use::<P>();
    for number in 0..RAM {
        let (at, word) = (sva.word_at(frame(number)), sva.word_bits(number));
        // A table's writable count is its link: compared with its parent slot first.
        let of_writable = match sva.kind(frame(number)).level() {
            Some(_) => Some(Finding::Parent(frame(number))),
            None => count(number),
        };
        for (one, expected) in [(TOTAL_ONE, count(number)), (WRITABLE_ONE, of_writable)] {
            assert_eq!(sva.finds_with(at, word.wrapping_add(one)), expected, "frame {number}, more");
            let most = if one == TOTAL_ONE { word >> 19 } else { word >> 7 & 0x7ff };
            if most != 0 {
                assert_eq!(sva.finds_with(at, word - one), expected, "frame {number}, fewer");
            }
            assert_eq!(
                sva.finds_with(at, word | one << if one == TOTAL_ONE { 12 } else { 11 }),
                expected,
                "guard"
            );
        }
    }
    assert_eq!(sva.finds(), None);
}

fn kinds<P: PagingMode>() {
    let sva = in_use::<P>();
    let with_kind = |number: u32, kind: Kind| {
        let at = sva.word_at(frame(number));
        sva.finds_with(at, sva.word_bits(number) & !0x1f | kind.bits())
    };
    let target = |index| Some(Finding::Target(frame(LEAVES), index));
    for kind in [Kind::Free, Kind::KernelData, Kind::Dma, Kind::Pages] {
        assert_eq!(with_kind(WRITTEN, kind), target(0));
        assert_eq!(with_kind(READ, kind), target(7));
    }
    // A linked table that is none.
    let (parent, index, _) = links::<P>()[1];
    for kind in [Kind::Free, Kind::UserData] {
        let expected = match P::LEVELS {
            2 => Finding::Entry(frame(parent), index),
            _ => Finding::Parent(frame(LEAVES)),
        };
        assert_eq!(with_kind(LEAVES, kind), Some(expected));
    }
    // One that is not linked: nothing explains the counts of what it mapped.
    assert_eq!(with_kind(UNLINKED, Kind::Free), count(READ));
    assert_eq!(with_kind(OTHER_ROOT, Kind::Table1), Some(Finding::Parent(frame(OTHER_ROOT))));
    // What is not RAM is not in the direct map, and the reverse.
    let leaves = frame(sva.kernel_tables().end() - 1);
    for number in [0, FREE, UNMAPPED, KERNEL_DATA, GRANTED, UNLINKED] {
        let found = sva.finds_with(sva.word_at(frame(number)), 0);
        assert_eq!(found, Some(Finding::KernelHalf(leaves, number)));
    }
    let firmware = sva.word_at(frame(12));
    assert_eq!(sva.finds_with(firmware, Kind::Free.bits()), Some(Finding::KernelHalf(leaves, 12)));
    // What never is sealed, and what always is.
    for kind in
        [Kind::Heap, Kind::Image, Kind::Code, Kind::Kept, Kind::Monitor, Kind::Descriptor, Kind::KernelTable]
    {
        assert_eq!(with_kind(FREE, kind), Some(Finding::Word(frame(FREE))), "{kind:?}");
    }
    assert_eq!(with_kind(FREE, Kind::Stack), Some(Finding::Stacks(1)));
    for kind in [Kind::Free, Kind::UserData, Kind::Dma, Kind::Root, Kind::Table1] {
        assert_eq!(with_kind(GRANTED, kind), Some(Finding::Word(frame(GRANTED))), "{kind:?}");
    }
    assert_eq!(sva.finds(), None);
}

/// Invariant 6.
fn parents<P: PagingMode>() {
    let sva = in_use::<P>();
    let linked = |table, index| Stamp::Linked { table: frame(table), index }.bits();
    let (parent, index, _) = links::<P>()[1];
    assert_eq!(sva.machine().peek::<u32>(sva.stamp_at(frame(LEAVES))), linked(parent, index));
    let now = sva.clock.now(&sva.machine).bits();
    let wrong = [0, now, linked(parent, index + 1), linked(parent + 1, index), linked(0xf_ffff, 1023)];
    for stamp in wrong {
        let found = sva.finds_with(sva.stamp_at(frame(LEAVES)), stamp);
        assert_eq!(found, Some(Finding::Parent(frame(LEAVES))), "{stamp:#x}");
    }
    // Nothing else has a parent.
    for number in (0..RAM).filter(|number| ![LEAVES, SECOND].contains(number)) {
        let found = sva.finds_with(sva.stamp_at(frame(number)), linked(parent, index));
        assert_eq!(found, Some(Finding::Parent(frame(number))), "frame {number}");
    }
    assert_eq!(sva.finds(), None);
}

/// Invariant 10.
fn drops<P: PagingMode>() {
    let sva = in_use::<P>();
    sva.flush_all();
    let now = sva.clock.now(&sva.machine);
    let flushed = [0, 1].map(|number| sva.clock.flushed(&sva.machine, cpu(number)));
    let first = if flushed[0].is_after(flushed[1]) { flushed[1] } else { flushed[0] };
    let back = |time: Time, by: u32| Time::of_clock(time.bits().wrapping_sub(by)).bits();
    let free = |stamp| sva.finds_with(sva.stamp_at(frame(FREE)), stamp);
    let cached = Some(Finding::Stamp(frame(FREE)));
    assert_eq!(free(back(first, 2)), None, "all flushed later");
    assert_eq!(free(first.bits()), cached, "one flushed at that time");
    assert_eq!(free(now.bits()), cached);
    // No stamp lies in the future, whatever the kind.
    let future = back(now, 2u32.wrapping_neg());
    let drops = (0..RAM).filter(|number| ![LEAVES, SECOND].contains(number));
    for number in drops {
        let found = sva.finds_with(sva.stamp_at(frame(number)), future);
        assert_eq!(found, Some(Finding::Stamp(frame(number))), "frame {number}");
        if sva.kind(frame(number)) != Kind::Free {
            assert_eq!(sva.finds_with(sva.stamp_at(frame(number)), now.bits()), None, "frame {number}");
        }
    }
    assert_eq!(sva.finds(), None);
}

/// A CPU that has not flushed since a frame was dropped that now is free.
fn flush_times<P: PagingMode>() {
    let sva = in_use::<P>();
    let dropped = sva.clock.now(&sva.machine).bits();
    sva.machine().poke(sva.stamp_at(frame(FREE)), dropped);
    sva.flush_all();
    assert_eq!(sva.finds(), None);
    for number in 0..2 {
        let at = sva.clock_at().plus(4 + 4 * number);
        let old = Time::of_clock(dropped.wrapping_sub(2)).bits();
        for time in [dropped, old] {
            assert_eq!(sva.finds_with(at, time), Some(Finding::Stamp(frame(FREE))));
        }
    }
    // The clock itself, set back.
    let found = sva.finds_with(sva.clock_at(), Time::of_clock(dropped.wrapping_sub(2)).bits());
    assert!(found.is_some());
}
