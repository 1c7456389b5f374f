use super::super::fixture::*;
use super::super::{Access, PageFault, Use};
use super::*;
use crate::machine::Machine;
use crate::mmu::{Half, Pae, TwoLevel};

/// CR3 → 1 → 2 → 3, page 0x401 through entry 1 of both tables.
fn two_level(directory: u64, leaf: u64) -> Emulated<TwoLevel> {
    let machine = machine();
    machine.poke(word(1, 1), entry(2, directory) as u32);
    machine.poke(word(2, 1), entry(3, leaf) as u32);
    load_root(&machine, BOOT, 1);
    machine
}

/// CR3 → 1 → 2 → 3 → 4, page 0x40201 through entries 1, 1, 1.
fn pae(directory: u64, leaf: u64) -> Emulated<Pae> {
    let machine = machine();
    machine.poke(quad(1, 1), entry(2, P));
    machine.poke(quad(2, 1), entry(3, directory));
    machine.poke(quad(3, 1), entry(4, leaf));
    load_root(&machine, BOOT, 1);
    machine
}

const TWO_LEVEL_PAGE: Page = page(0x401);
const PAE_PAGE: Page = page(0x4_0201);

fn only<M: PagingMode>(machine: &Emulated<M>, page: Page) -> Option<Translation> {
    let outcomes = machine.outcomes(BOOT, page);
    assert!(outcomes.len() <= 1, "{outcomes:?}");
    let mut listed = machine.reachable(BOOT, all_pages());
    listed.retain(|(listed, _)| *listed == page);
    assert_eq!(listed.first().map(|(_, translation)| *translation), outcomes.first().copied());
    outcomes.first().copied()
}

fn found(frame: Frame, writable: bool, user: bool, executable: bool) -> Option<Translation> {
    Some(Translation { frame, writable, user, executable, global: false, dirty: false })
}

#[test]
fn rights_accumulate_in_two_levels() {
    for directory in [P, W, U, WU] {
        for leaf in [P, W, U, WU] {
            let machine = two_level(directory, leaf);
            let both = directory & leaf;
            let expected = found(frame(3), both & 2 != 0, both & 4 != 0, true);
            assert_eq!(only(&machine, TWO_LEVEL_PAGE), expected);
        }
    }
    assert_eq!(only(&two_level(0x6, WU), TWO_LEVEL_PAGE), None);
    assert_eq!(only(&two_level(WU, 0x6), TWO_LEVEL_PAGE), None);
}

#[test]
fn rights_accumulate_in_pae_and_no_execute_too() {
    for directory in [P, W, U, WU] {
        for leaf in [P, W, U, WU] {
            for (above, below) in [(0, 0), (NX, 0), (0, NX), (NX, NX)] {
                let machine = pae(directory | above, leaf | below);
                let both = directory & leaf;
                let expected = found(frame(4), both & 2 != 0, both & 4 != 0, above | below == 0);
                assert_eq!(only(&machine, PAE_PAGE), expected);
            }
        }
    }
}

#[test]
fn neighbours_are_not_translated() {
    let machine = two_level(WU, WU);
    assert_eq!(machine.reachable(BOOT, all_pages()).len(), 1);
    for other in [0, 1, 0x400, 0x402, 0x801, 0xf_ffff] {
        assert_eq!(machine.outcomes(BOOT, page(other)), []);
    }
    let machine = pae(WU, WU);
    assert_eq!(machine.reachable(BOOT, all_pages()).len(), 1);
    for other in [0x201, 0x4_0001, 0x4_0200, 0x8_0201, 0xc_0201] {
        assert_eq!(machine.outcomes(BOOT, page(other)), []);
    }
}

#[test]
fn the_last_page_is_served_by_the_last_entries() {
    let machine: Emulated<TwoLevel> = machine();
    machine.poke(word(1, 1023), entry(2, WU) as u32);
    machine.poke(word(2, 1023), entry(3, WU) as u32);
    load_root(&machine, BOOT, 1);
    assert_eq!(only(&machine, page(0xf_ffff)), found(frame(3), true, true, true));

    let machine: Emulated<Pae> = super::super::fixture::machine();
    machine.poke(quad(1, 3), entry(2, P));
    machine.poke(quad(2, 511), entry(3, WU));
    machine.poke(quad(3, 511), entry(4, WU));
    load_root(&machine, BOOT, 1);
    assert_eq!(only(&machine, page(0xf_ffff)), found(frame(4), true, true, true));
}

#[test]
fn reserved_bits_end_a_walk() {
    for bit in 32..63 {
        assert_eq!(pae(WU, WU | 1 << bit).walks(BOOT, PAE_PAGE)[0].end(), End::Reserved(1));
        assert_eq!(pae(WU | 1 << bit, WU).walks(BOOT, PAE_PAGE)[0].end(), End::Reserved(2));
    }
    // The bits that software may use, and the cache bits, change nothing.
    for bit in [3, 4, 9, 10, 11] {
        assert!(only(&pae(WU | 1 << bit, WU | 1 << bit), PAE_PAGE).is_some());
        assert!(only(&two_level(WU | 1 << bit, WU | 1 << bit), TWO_LEVEL_PAGE).is_some());
    }
}

#[test]
fn large_pages_translate() {
    let machine = two_level(WU | LARGE, 0);
    machine.poke(word(1, 1), entry(1024, WU | LARGE) as u32);
    assert_eq!(only(&machine, TWO_LEVEL_PAGE), found(frame(1025), true, true, true));
    assert_eq!(machine.reachable(BOOT, all_pages()).len(), 1024);
    machine.poke(word(1, 1), entry(1024 + 2, WU | LARGE) as u32);
    assert_eq!(machine.walks(BOOT, TWO_LEVEL_PAGE)[0].end(), End::Reserved(2));

    let machine = pae(WU, WU);
    machine.poke(quad(2, 1), entry(512, W | LARGE | NX));
    assert_eq!(only(&machine, PAE_PAGE), found(frame(513), true, false, false));
    let range = PageRange::new(page(0x4_0300), 0x1000).unwrap();
    assert_eq!(machine.reachable(BOOT, range).len(), 0x100);
}

use crate::address::PageRange;

#[test]
fn a_fourth_level_walks() {
    let machine: Emulated<FourLevel> = machine();
    machine.poke(quad(1, 0), entry(2, WU));
    machine.poke(quad(2, 1), entry(3, WU));
    machine.poke(quad(3, 1), entry(4, U));
    machine.poke(quad(4, 1), entry(5, WU | NX));
    load_root(&machine, BOOT, 1);
    assert_eq!(only(&machine, PAE_PAGE), found(frame(5), false, true, false));
    assert!(machine.fill_nth(BOOT, PAE_PAGE, 0));
    assert_eq!(machine.structures(BOOT).iter().map(|s| s.level).collect::<Vec<_>>(), [3, 2, 1]);
    machine.poke(quad(1, 0), 0u64);
    assert_eq!(machine.walks(BOOT, PAE_PAGE).len(), 4);
    assert_eq!(machine.reachable(BOOT, all_pages()).len(), 4);
}

#[test]
fn tables_outside_of_ram_read_as_all_ones() {
    let machine = two_level(WU, WU);
    machine.poke(word(1, 1), entry(0x100, WU) as u32);
    assert_eq!(only(&machine, TWO_LEVEL_PAGE).map(|t| t.frame), Some(frame(0xf_ffff)));
    assert!(machine.fill_nth(BOOT, TWO_LEVEL_PAGE, 0));
    let machine = pae(WU, WU);
    machine.poke(quad(2, 1), entry(0x100, WU));
    assert_eq!(machine.walks(BOOT, PAE_PAGE)[0].end(), End::Reserved(1));
}

#[test]
fn registers_are_copies_of_the_root() {
    let machine = pae(WU, WU);
    assert_eq!(machine.root_registers(BOOT), [0, entry(2, P), 0, 0]);
    assert_eq!(machine.walks(BOOT, PAE_PAGE).len(), 1);
    machine.poke(quad(1, 1), 0u64);
    let ends: Vec<_> = machine.walks(BOOT, PAE_PAGE).iter().map(|walk| (walk.start(), walk.end())).collect();
    let End::Leaf(translation) = ends[0].1 else { panic!("{ends:?}") };
    assert_eq!(ends, [(Start::Register, End::Leaf(translation)), (Start::Root, End::Absent(3))]);
    assert_eq!(machine.reachable(BOOT, all_pages()).len(), 1);
    // INVLPG keeps the registers, CR3 loads them anew.
    machine.as_cpu(BOOT, || machine.invalidate_page(PAE_PAGE));
    assert!(only(&machine, PAE_PAGE).is_some());
    load_root(&machine, BOOT, 1);
    assert_eq!(only(&machine, PAE_PAGE), None);
    // What is new in RAM may be used before.
    machine.poke(quad(1, 1), entry(2, P));
    assert!(only(&machine, PAE_PAGE).is_some());
    assert_eq!(machine.root_registers(BOOT), [0; 4]);
}

#[test]
#[should_panic(expected = "#GP")]
fn reserved_bits_of_a_register_are_a_general_protection_fault() {
    let machine = pae(WU, WU);
    machine.poke(quad(1, 2), entry(2, WU));
    load_root(&machine, BOOT, 1);
}

#[test]
fn a_stale_translation_lives_until_it_is_invalidated() {
    let machine = two_level(WU, WU);
    assert!(machine.fill_nth(BOOT, TWO_LEVEL_PAGE, 0));
    let old = machine.cached(BOOT)[0].1;
    machine.poke(word(2, 1), 0u32);
    assert_eq!(machine.outcomes(BOOT, TWO_LEVEL_PAGE), [old]);
    assert_eq!(machine.outcomes(OTHER, TWO_LEVEL_PAGE), []);
    let store = |n| machine.store_through(BOOT, at(0x40_1008), 0x1234_u32, Half::User, n);
    assert_eq!(store(0), Ok(()));
    assert_eq!(machine.peek::<u32>(word(3, 2)), 0x1234);
    assert_eq!(store(1), Err(PageFault { address: at(0x40_1008), code: 6 }));
    machine.as_cpu(OTHER, || machine.invalidate_page(TWO_LEVEL_PAGE));
    assert_eq!(machine.outcomes(BOOT, TWO_LEVEL_PAGE), [old]);
    machine.as_cpu(BOOT, || machine.invalidate_page(TWO_LEVEL_PAGE));
    assert_eq!(machine.outcomes(BOOT, TWO_LEVEL_PAGE), []);
}

#[test]
fn several_translations_of_a_page_are_kept() {
    let machine = two_level(WU, WU);
    for target in [3, 4, 5] {
        machine.poke(word(2, 1), entry(target, WU) as u32);
        assert!(machine.fill_nth(BOOT, TWO_LEVEL_PAGE, 0));
        assert!(machine.fill_nth(BOOT, TWO_LEVEL_PAGE, 0));
    }
    let frames: Vec<_> = machine.outcomes(BOOT, TWO_LEVEL_PAGE).iter().map(|t| t.frame.number()).collect();
    assert_eq!(frames, [3, 4, 5]);
    assert!(machine.evict(BOOT, 1));
    assert_eq!(machine.cached_count(BOOT), 2);
    assert!(!machine.evict(BOOT, 2));
}

#[test]
fn globals_survive_a_load_of_cr3_but_not_invlpg_or_a_take_over() {
    let machine = two_level(WU, WU | G);
    let fill = || {
        assert!(machine.fill_nth(BOOT, TWO_LEVEL_PAGE, 0));
        machine.cached(BOOT)[0].1.global
    };
    assert!(fill());
    load_root(&machine, BOOT, 1);
    assert_eq!((machine.cached_count(BOOT), machine.structure_count(BOOT)), (1, 0));
    machine.as_cpu(BOOT, || machine.invalidate_page(TWO_LEVEL_PAGE));
    assert_eq!(machine.cached_count(BOOT), 0);
    assert!(fill());
    machine.reset_translation_caches(BOOT);
    assert_eq!(machine.cached_count(BOOT), 0);
    assert!(fill());
    // SAFETY: the test says what is a root.
    machine.as_cpu(BOOT, || unsafe { machine.take_over(frame(1)) });
    assert_eq!(machine.cached_count(BOOT), 0);
    // CR4.PGE is clear now: G means nothing.
    assert!(!fill());
    load_root(&machine, BOOT, 1);
    assert_eq!(machine.cached_count(BOOT), 0);
}

#[test]
fn a_stale_structure_entry_leads_to_the_old_table() {
    let machine = two_level(WU, WU);
    machine.fill_nth(BOOT, TWO_LEVEL_PAGE, 0);
    machine.evict(BOOT, 0);
    machine.poke(word(1, 1), 0u32);
    // The table's frame now holds something else, that happens to look like a leaf.
    machine.poke(word(2, 7), entry(9, W) as u32);
    let stale = page(0x407);
    assert_eq!(machine.outcomes(BOOT, stale), [found(frame(9), true, false, true).unwrap()]);
    assert_eq!(machine.reachable(BOOT, all_pages()).len(), 2);
    // A walk through it even writes there.
    assert!(machine.fill_nth(BOOT, stale, 1));
    assert_eq!(machine.peek::<u32>(word(2, 7)), entry(9, W | A) as u32);
    // INVLPG of any page drops it.
    machine.as_cpu(BOOT, || machine.invalidate_page(page(0)));
    assert_eq!(machine.structure_count(BOOT), 0);
    machine.evict(BOOT, 0);
    assert_eq!(machine.outcomes(BOOT, stale), []);
}

#[test]
fn structure_entries_keep_the_rights_above_them() {
    let machine = pae(U | NX, WU);
    assert!(machine.fill_nth(BOOT, PAE_PAGE, 0));
    let [upper, lower] = machine.structures(BOOT)[..] else { panic!() };
    let none = Allowed { writable: false, user: true, executable: false };
    assert_eq!(upper, Structure { level: 2, page: page(0x4_0000), table: frame(2), allowed: Allowed::ALL });
    assert_eq!(lower, Structure { level: 1, page: page(0x4_0200), table: frame(3), allowed: none });
    machine.poke(quad(2, 1), entry(3, WU));
    let outcomes = machine.outcomes(BOOT, page(0x4_0201));
    assert_eq!(outcomes.len(), 2, "the old rights and the new: {outcomes:?}");
    assert!(machine.evict_structure(BOOT, 0));
    assert_eq!(machine.structures(BOOT), [lower]);
}

#[test]
fn history_is_set_where_the_cpu_goes() {
    let machine = two_level(WU, WU);
    assert!(machine.fill_nth(BOOT, TWO_LEVEL_PAGE, 0));
    assert_eq!(machine.peek::<u32>(word(1, 1)), entry(2, WU | A) as u32);
    assert_eq!(machine.peek::<u32>(word(2, 1)), entry(3, WU | A) as u32);
    assert!(!machine.cached(BOOT)[0].1.dirty);
    assert!(machine.fill(BOOT, &machine.walks(BOOT, TWO_LEVEL_PAGE)[0].for_write()));
    assert_eq!(machine.peek::<u32>(word(1, 1)), entry(2, WU | A) as u32);
    assert_eq!(machine.peek::<u32>(word(2, 1)), entry(3, WU | A | D) as u32);
    assert!(machine.cached(BOOT)[1].1.dirty);

    let machine = two_level(WU, U);
    assert!(machine.set_history(BOOT, &machine.walks(BOOT, TWO_LEVEL_PAGE)[0].for_write()));
    assert_eq!(machine.peek::<u32>(word(2, 1)), entry(3, U | A) as u32, "no D without RW");
    assert_eq!((machine.cached_count(BOOT), machine.structure_count(BOOT)), (0, 0));

    let machine = pae(WU, WU | NX);
    assert!(machine.fill(BOOT, &machine.walks(BOOT, PAE_PAGE)[0].for_write()));
    assert_eq!(machine.peek::<u64>(quad(1, 1)), entry(2, P), "a PDPTE has no A");
    assert_eq!(machine.peek::<u64>(quad(2, 1)), entry(3, WU | A));
    assert_eq!(machine.peek::<u64>(quad(3, 1)), entry(4, WU | A | D | NX));
}

#[test]
fn a_walk_that_finds_nothing_caches_the_tables_above() {
    let machine = two_level(WU, 0);
    assert!(!machine.fill_nth(BOOT, TWO_LEVEL_PAGE, 0));
    assert_eq!((machine.cached_count(BOOT), machine.structure_count(BOOT)), (0, 1));
    assert_eq!(machine.peek::<u32>(word(1, 1)), entry(2, WU | A) as u32);
}

#[test]
fn a_walk_under_way_may_be_finished_late_but_not_after_an_invalidation() {
    let machine = two_level(WU | A, WU | A);
    let walk = machine.walks(BOOT, TWO_LEVEL_PAGE)[0];
    machine.poke(word(2, 1), 0u32);
    assert!(machine.clone().fill(BOOT, &walk), "A was set, so the entry is not read again");
    assert!(!machine.clone().fill(BOOT, &walk.for_write()), "D must be set in an entry that is gone");
    assert_eq!(machine.peek::<u32>(word(2, 1)), 0);
    machine.poke(word(2, 1), entry(3, U) as u32);
    assert!(machine.clone().fill(BOOT, &walk.for_write()), "the same target still");
    machine.as_cpu(BOOT, || machine.invalidate_page(page(0)));
    assert!(!machine.fill(BOOT, &walk));
    assert!(!machine.set_history(BOOT, &walk));

    let machine = two_level(WU, WU);
    let walk = machine.walks(BOOT, TWO_LEVEL_PAGE)[0];
    machine.poke(word(2, 1), entry(9, WU) as u32);
    assert!(!machine.fill(BOOT, &walk), "A is not set in an entry with another target");
    assert_eq!(machine.peek::<u32>(word(2, 1)), entry(9, WU) as u32);
    assert_eq!((machine.cached_count(BOOT), machine.structure_count(BOOT)), (0, 1));
}

#[test]
fn faults_say_why() {
    let machine = pae(WU, P | NX);
    let address = at(0x4020_1234);
    let code = |by, what| machine.access(BOOT, address, Access { what, by }, 0).map_err(|fault| fault.code);
    assert_eq!(code(Half::Kernel, Use::Read), Ok(PhysAddr::new(0x4234)));
    assert_eq!(code(Half::Kernel, Use::Write), Err(3), "CR0.WP");
    assert_eq!(code(Half::Kernel, Use::Execute), Err(0x11));
    assert_eq!(code(Half::User, Use::Read), Err(5));
    assert_eq!(code(Half::User, Use::Write), Err(7));
    assert_eq!(code(Half::User, Use::Execute), Err(0x15));
    machine.poke(quad(3, 1), 0u64);
    assert_eq!(code(Half::User, Use::Write), Err(6));
    machine.poke(quad(3, 1), entry(4, WU | 1 << 40));
    assert_eq!(code(Half::User, Use::Read), Err(0xd));
    let machine = two_level(WU, W);
    let fetch = Access { what: Use::Execute, by: Half::User };
    assert_eq!(machine.access(BOOT, at(0x40_1000), fetch, 0).map_err(|fault| fault.code), Err(5));
}

#[test]
fn a_store_through_a_clean_entry_sets_dirty_where_the_leaf_still_fits() {
    let machine = two_level(WU, WU);
    machine.fill_nth(BOOT, TWO_LEVEL_PAGE, 0);
    let store = || machine.store_through(BOOT, at(0x40_1000), 1u8, Half::User, 0);
    assert_eq!(machine.clone().store_through(BOOT, at(0x40_1000), 1u8, Half::User, 0), Ok(()));
    store().unwrap();
    assert_eq!(machine.peek::<u32>(word(2, 1)), entry(3, WU | A | D) as u32);
    assert!(machine.cached(BOOT)[0].1.dirty);

    let machine = two_level(WU, WU);
    machine.fill_nth(BOOT, TWO_LEVEL_PAGE, 0);
    machine.poke(word(2, 1), entry(5, WU) as u32);
    machine.store_through(BOOT, at(0x40_1000), 1u8, Half::User, 0).unwrap();
    assert_eq!(machine.peek::<u32>(word(2, 1)), entry(5, WU) as u32);
    assert_eq!(machine.peek::<u8>(PhysAddr::new(0x3000)), 1);
}

#[test]
fn what_lies_outside_of_ram_is_a_device() {
    let machine = two_level(WU, WU);
    machine.poke(word(2, 1), entry(0xf_ec00, WU) as u32);
    machine.store_through(BOOT, at(0x40_1010), 7u32, Half::Kernel, 0).unwrap();
    assert_eq!(machine.load_through::<u32>(BOOT, at(0x40_1010), Half::Kernel, 0), Ok(u32::MAX));
    assert_eq!(machine.devices().log.len(), 2);
}

#[test]
fn each_reserved_bit_of_a_register_s_entry_counts() {
    for bit in [1, 2, 5, 6, 7, 8].into_iter().chain(32..64) {
        let machine = pae(WU, WU);
        machine.poke(quad(1, 1), entry(2, P | 1 << bit));
        let ends: Vec<_> = machine.walks(BOOT, PAE_PAGE).iter().map(|walk| walk.end()).collect();
        assert_eq!(ends[1..], [End::Reserved(3)], "bit {bit}");
    }
}

#[test]
fn each_reserved_bit_of_a_large_page_counts() {
    for bit in 13..22 {
        let machine = two_level(WU, 0);
        machine.poke(word(1, 1), entry(0, WU | LARGE | 1 << bit) as u32);
        assert_eq!(machine.walks(BOOT, TWO_LEVEL_PAGE)[0].end(), End::Reserved(2), "bit {bit}");
    }
    for bit in 13..21 {
        let machine = pae(WU, 0);
        machine.poke(quad(2, 1), entry(0, WU | LARGE | 1 << bit));
        assert_eq!(machine.walks(BOOT, PAE_PAGE)[0].end(), End::Reserved(2), "bit {bit}");
    }
}

#[test]
fn an_entry_that_is_no_longer_present_is_left_alone() {
    let machine = two_level(WU, WU);
    let walk = machine.walks(BOOT, TWO_LEVEL_PAGE)[0];
    machine.poke(word(2, 1), entry(3, 0x6) as u32);
    assert!(!machine.fill(BOOT, &walk));
    assert!(!machine.set_history(BOOT, &walk));
    assert_eq!(machine.peek::<u32>(word(2, 1)), entry(3, 0x6) as u32);
}

#[test]
fn rights_go_on_from_one_structure_entry_to_the_next() {
    let machine: Emulated<FourLevel> = machine();
    machine.poke(quad(1, 0), entry(2, U | NX));
    machine.poke(quad(2, 1), entry(3, WU));
    machine.poke(quad(3, 1), entry(4, WU));
    machine.poke(quad(4, 1), entry(5, WU));
    load_root(&machine, BOOT, 1);
    machine.fill_nth(BOOT, PAE_PAGE, 0);
    let all = machine.structures(BOOT);
    assert!(all.iter().all(|s| s.allowed == Allowed { writable: false, user: true, executable: false }));
    // From the uppermost alone, the others come back the same, and none is there twice.
    assert!(machine.evict_structure(BOOT, 2) && machine.evict_structure(BOOT, 1) && machine.evict(BOOT, 0));
    assert!(machine.fill_nth(BOOT, PAE_PAGE, 1));
    assert!(machine.fill_nth(BOOT, PAE_PAGE, 1));
    assert_eq!(machine.structures(BOOT), all);
}

#[test]
fn without_global_pages_no_translation_is_global() {
    let machine = two_level(WU, WU | G);
    // SAFETY: the test says what is a root.
    machine.as_cpu(BOOT, || unsafe { machine.take_over(frame(1)) });
    assert_eq!(only(&machine, TWO_LEVEL_PAGE), found(frame(3), true, true, true));
}
