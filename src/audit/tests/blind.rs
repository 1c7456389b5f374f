//! Damage that is easily overlooked, because no single table entry contradicts it.

use super::*;

both_modes!(
    reserved_bits_of_kernel_links
    kinds_of_what_boot_typed
    the_sealed_root
    a_flush_in_the_future
);

/// A PDPTE has no accessed and no dirty bit: both are reserved. Nor has a PDE a dirty bit.
fn reserved_bits_of_kernel_links<P: PagingMode>() {
    let sva = in_use::<P>();
    let index = 3 << (P::ROOT_INDEX_BITS - 2);
    let roots = [sva.sealed_root().number(), ROOT, OTHER_ROOT].map(|root| (root, index, P::LEVELS));
    let below = sva.kernel_tables().first().number();
    let middle = (P::LEVELS == 3).then_some((below, 0, 2));
    for (table, index, level) in roots.into_iter().chain(middle) {
        let raw = sva.peek_entry(frame(table), index);
        assert_ne!(raw, 0);
        for bit in (5..7).filter(|bit| entries::is_overlooked::<P>(level, *bit)) {
            let found = sva.finds_with_entry(table, index, raw ^ 1 << bit);
            assert_eq!(
                found,
                Some(Finding::KernelHalf(frame(table), index)),
                "bit {bit} of {table}[{index}]"
            );
        }
    }
}

/// Image, frame table, clock and kernel tables are what the layout made them.
fn kinds_of_what_boot_typed<P: PagingMode>() {
    let sva = in_use::<P>();
    let own = (0..RAM).filter(|number| matches!(sva.kind(frame(*number)), Kind::Monitor | Kind::KernelTable));
    for number in [1, 3, 4, 8].into_iter().chain(own) {
        for kind in [Kind::Free, Kind::UserData] {
            let found = sva.finds_with(sva.word_at(frame(number)), kind.bits());
            assert!(found.is_some(), "frame {number}, {:?}, as {kind:?}", sva.kind(frame(number)));
        }
    }
}

fn the_sealed_root<P: PagingMode>() {
    let sva = in_use::<P>();
    let root = sva.sealed_root();
    let found = sva.finds_with(sva.word_at(root), Kind::Free.bits() | 1 << 6);
    assert!(found.is_some());
}

/// A CPU that says it flushed later than now would never be asked to.
fn a_flush_in_the_future<P: PagingMode>() {
    let sva = in_use::<P>();
    let now = sva.clock.now(&sva.machine).bits();
    for number in 0..2 {
        let found = sva.finds_with(sva.clock_at().plus(4 + 4 * number), now.wrapping_add(2));
        assert!(found.is_some(), "CPU {number}");
    }
}
