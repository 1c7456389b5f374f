//! Damage to page tables: every bit of entries of every sort.

use super::*;

both_modes!(
    each_bit_of_a_leaf
    each_bit_of_a_link
    each_bit_of_an_empty_entry
    leaves_to_frames_of_every_kind
    forged_and_lost_entries
    each_bit_of_the_kernel_half
    each_bit_of_a_root_of_the_client
);

fn bits<P: PagingMode>() -> core::ops::Range<u32> {
    0..8 * <P::Raw as RamWord>::BYTES
}

fn entry(table: u32, index: u32) -> Option<Finding> {
    Some(Finding::Entry(frame(table), index))
}

fn target_of(raw: u64) -> u32 {
    (raw >> 12) as u32 & 0xf_ffff
}

fn each_bit_of_a_leaf<P: PagingMode>() {
    let sva = in_use::<P>();
    for (table, index, target) in LEAF_PLACES {
        let raw = sva.peek_entry(frame(table), index);
        assert_eq!(target_of(raw), target);
        for bit in bits::<P>() {
            let changed = raw ^ 1 << bit;
            let other = target_of(changed);
            let expected = match bit {
                // R/W: the target's writable count.
                1 => count(target),
                // Accessed, dirty and NX are nobody's record.
                5 | 6 | 63 => None,
                12..32 if Frame::new(other).is_some_and(|other| sva.kind(other) == Kind::UserData) => {
                    count(target.min(other))
                }
                12..32 => Some(Finding::Target(frame(table), index)),
                _ => entry(table, index),
            };
            assert_eq!(
                sva.finds_with_entry(table, index, changed),
                expected,
                "bit {bit} at {table}[{index}]"
            );
        }
    }
    assert_eq!(sva.finds(), None);
}

fn each_bit_of_a_link<P: PagingMode>() {
    let sva = in_use::<P>();
    for (table, index, level) in links::<P>() {
        let raw = sva.peek_entry(frame(table), index);
        for bit in bits::<P>() {
            let changed = raw ^ 1 << bit;
            let other = target_of(changed);
            let expected = match bit {
                _ if is_history(level, bit) => None,
                12..32 => {
                    let kind = sva.kind(frame(other));
                    if kind.level() == Some(level - 1) {
                        Some(Finding::Parent(frame(other)))
                    } else {
                        entry(table, index)
                    }
                }
                _ => entry(table, index),
            };
            assert_eq!(
                sva.finds_with_entry(table, index, changed),
                expected,
                "bit {bit} at {table}[{index}]"
            );
        }
    }
    assert_eq!(sva.finds(), None);
}

fn each_bit_of_an_empty_entry<P: PagingMode>() {
    let sva = in_use::<P>();
    let user_end = 3 << (P::ROOT_INDEX_BITS - 2);
    let places = [(ROOT, 0, P::LEVELS), (ROOT, user_end - 1 - u32::from(P::LEVELS == 3), P::LEVELS)]
        .into_iter()
        .chain([(OTHER_ROOT, 0, P::LEVELS), (SECOND, 0, P::LEVELS - 1)])
        .chain([(LEAVES, 1, 1), (LEAVES, (1 << P::INDEX_BITS) - 1, 1), (UNLINKED, 0, 1), (WAS_LINKED, 9, 1)]);
    for (table, index, level) in places {
        assert_eq!(sva.peek_entry(frame(table), index), 0);
        for bit in bits::<P>() {
            // A leaf that is only present leads to frame 0.
            let expected = match (bit, level) {
                (0, 1) => Some(Finding::Target(frame(table), index)),
                _ => entry(table, index),
            };
            assert_eq!(
                sva.finds_with_entry(table, index, 1 << bit),
                expected,
                "bit {bit} at {table}[{index}]"
            );
        }
    }
    assert_eq!(sva.finds(), None);
}

/// Invariants 3 and 4.
fn leaves_to_frames_of_every_kind<P: PagingMode>() {
    let sva = in_use::<P>();
    for number in (0..RAM).chain([RAM, 0xf_ffff]) {
        let kind = sva.kind(frame(number));
        for rights in Rights::ALL {
            let forged = P::leaf(frame(number), rights, Half::User).into();
            let expected = match kind {
                Kind::UserData => count(number.min(LEAVES)),
                _ => Some(Finding::Target(frame(LEAVES), 1)),
            };
            assert_eq!(sva.finds_with_entry(LEAVES, 1, forged), expected, "frame {number}, {kind:?}");
            let for_kernel = P::leaf(frame(number), rights, Half::Kernel).into();
            let expected = match kind {
                Kind::UserData => entry(LEAVES, 1),
                _ => Some(Finding::Target(frame(LEAVES), 1)),
            };
            assert_eq!(sva.finds_with_entry(LEAVES, 1, for_kernel), expected, "frame {number}, {kind:?}");
        }
    }
}

fn forged_and_lost_entries<P: PagingMode>() {
    let sva = in_use::<P>();
    for (table, index, target) in LEAF_PLACES {
        assert_eq!(sva.finds_with_entry(table, index, 0), count(table.min(target)));
    }
    for (table, index, level) in links::<P>() {
        let raw = sva.peek_entry(frame(table), index);
        assert_eq!(sva.finds_with_entry(table, index, 0), count(table.min(target_of(raw))));
        // Linked twice: invariant 6.
        let child = Some(Finding::Parent(frame(target_of(raw))));
        assert_eq!(sva.finds_with_entry(table, index - 1, raw), child);
        if level == P::LEVELS {
            assert_eq!(sva.finds_with_entry(OTHER_ROOT, index, raw), child);
        }
    }
    // A table that says it has no parent, and itself.
    let (table, index, level) = links::<P>()[1];
    for wrong in [UNLINKED, WAS_LINKED] {
        let link = P::link(level, frame(wrong), Half::User).into();
        assert_eq!(sva.finds_with_entry(table, index, link), Some(Finding::Parent(frame(wrong))));
    }
    for wrong in [table, UNMAPPED, FREE, 0xf_ffff] {
        let link = P::link(level, frame(wrong), Half::User).into();
        assert_eq!(sva.finds_with_entry(table, index, link), entry(table, index));
    }
    assert_eq!(sva.finds(), None);
}

/// Whether a CPU may set `bit` by itself in an entry of a table of `level`: a link has no dirty bit. A
/// PDPTE of silicon has neither; that of QEMU is marked accessed.
fn is_history(level: u8, bit: u32) -> bool {
    match bit {
        5 => true,
        6 => level == 1,
        _ => false,
    }
}

fn each_bit_of_the_kernel_half<P: PagingMode>() {
    let sva = in_use::<P>();
    let root = sva.sealed_root().number();
    let kernel = 3 << (P::ROOT_INDEX_BITS - 2)..1 << P::ROOT_INDEX_BITS;
    let tables = sva.kernel_tables();
    let below = tables.iter().enumerate().flat_map(|(place, table)| {
        let level = P::LEVELS - 1 - place as u8;
        (0..1 << P::INDEX_BITS).map(move |index| (table.number(), index, level))
    });
    assert_eq!(tables.count(), u32::from(P::LEVELS) - 1, "one a level");
    let mut seen = 0;
    for (table, index, level) in kernel.map(|index| (root, index, P::LEVELS)).chain(below) {
        let raw = sva.peek_entry(frame(table), index);
        for bit in bits::<P>() {
            let expected = (!is_history(level, bit)).then_some(Finding::KernelHalf(frame(table), index));
            // No CPU notes anything in an empty entry, but nor does it matter there.
            if raw == 0 && is_history(level, bit) {
                continue;
            }
            sva.poke_entry(frame(table), index, raw ^ 1 << bit);
            // The kernel half comes first, whatever the scratch memory: asked now and then.
            let found = if seen % 97 == 0 { sva.finds() } else { sva.audit_with(&mut []).err() };
            sva.poke_entry(frame(table), index, raw);
            assert_eq!(found, expected, "bit {bit} of {table}[{index}], level {level}");
            seen += 1;
        }
    }
    assert!(seen > 30_000);
    assert_eq!(sva.finds(), None);
}

fn each_bit_of_a_root_of_the_client<P: PagingMode>() {
    let sva = in_use::<P>();
    for root in [ROOT, OTHER_ROOT] {
        for index in 3 << (P::ROOT_INDEX_BITS - 2)..1 << P::ROOT_INDEX_BITS {
            let raw = sva.peek_entry(frame(root), index);
            assert_eq!(raw, sva.peek_entry(sva.sealed_root(), index));
            for bit in bits::<P>().filter(|bit| !is_history(P::LEVELS, *bit)) {
                let expected = Some(Finding::KernelHalf(frame(root), index));
                assert_eq!(
                    sva.finds_with_entry(root, index, raw ^ 1 << bit),
                    expected,
                    "bit {bit} of {index}"
                );
            }
        }
    }
}
