//! E1 to E8, E15, E16, E19, E20: entries that must not be.

use crate::aliases::{kernel_leaf_table, unmappable};
use crate::calls::{Place, by_number};
use crate::common::world::{TEXT, frame};
use crate::hardware::{all_pages, faults};
use crate::stage::{Live, RAM, Stage, cpu, cpus};
use sva_os::Violation;
use sva_os::address::VirtAddr;
use sva_os::frame::Kind;
use sva_os::machine::Word;
use sva_os::machine::emulated::Use;
use sva_os::mmu::{Entry, Geometry, Leaf, PagingMode, Rights};

/// Every entry that is not all zero, of every table and root there is: its level and its bits.
fn all_entries<P: PagingMode>(stage: &Stage<P>) -> Vec<(Kind, u8, u64)> {
    let mut found = Vec::new();
    for table in (0..RAM).map(frame) {
        let kind = stage.sva.kind(table);
        let levels = match kind {
            Kind::Root => P::LEVELS..=P::LEVELS,
            Kind::Table1 => 1..=1,
            Kind::Table2 => 2..=2,
            Kind::KernelTable => {
                // Carved top down: the last is a table of leaves, those before it lie above.
                let last = table == kernel_leaf_table(stage);
                if last { 1..=1 } else { P::LEVELS - 1..=P::LEVELS - 1 }
            }
            _ => continue,
        };
        let level = *levels.start();
        let entries = P::entries(level);
        let raws = (0..entries).map(|index| stage.raw(table, index));
        found.extend(raws.filter(|raw| *raw != 0).map(|raw| (kind, level, raw)));
    }
    found
}

/// A stage on which every call that writes an entry was made with every argument that matters: all
/// rights, all kinds of target, all levels, with the hardware's notes set.
fn everything_said<P: PagingMode>() -> Stage<P> {
    let stage = Stage::<P>::new(Live::Here);
    let other = stage.spare_data(0);
    for kind in [Kind::KernelData, Kind::Dma] {
        let strange = stage.spare(if kind == Kind::Dma { 1 } else { 2 });
        stage.sva.retype(strange, kind).unwrap();
    }
    let table = stage.leaf_table();
    let child = stage.spare_table(3, P::LEVELS - 1);
    stage.sva.link(stage.root, 0, child).unwrap();
    for target in (0..RAM + 2).map(frame) {
        let mut index = 16;
        for rights in Rights::ALL {
            let _ = stage.sva.map(table, index, target, rights);
            let _ = stage.sva.replace(table, index + 1, target, rights);
            let _ = stage.sva.protect(table, index, rights);
            let _ = stage.sva.map_batch(table, index + 2, &[(target, rights), (target, rights)]).refused;
            let _ = stage.sva.link(stage.root, index, target);
            let _ = stage.sva.link(table, index, target);
            index += 4;
        }
    }
    for (index, from) in (64..).zip(Rights::ALL) {
        for (step, to) in (0..).zip(Rights::ALL) {
            let index = index + 4 * step;
            stage.sva.map(table, index, other, from).unwrap();
            stage.sva.protect(table, index, to).unwrap();
            stage.sva.replace(table, index, stage.data, from).unwrap();
        }
    }
    stage.remember_all();
    stage
}

const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
/// PS in a directory, PAT in a leaf.
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;

attacks! {
    /// Whatever the frame is, unless it is a table of leaves: also for clearing.
    fn attack_e01_an_entry_of_what_is_no_table_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let no_table = (0..RAM + 1).map(frame).filter(|frame| stage.sva.kind(*frame) != Kind::Table1);
        for none in no_table {
            let expected = match stage.sva.kind(none) {
                Kind::None => Violation::NoSuchFrame(none),
                Kind::Root | Kind::Table2 => Violation::WrongLevel(none),
                _ => Violation::NotATable(none),
            };
            for rights in Rights::ALL {
                stage.refused(|sva| sva.map(none, 0, stage.data, rights), expected);
                stage.refused(|sva| sva.replace(none, 0, stage.data, rights), expected);
                stage.refused(|sva| sva.protect(none, 0, rights), expected);
            }
            stage.refused(|sva| sva.unmap(none, 0), expected);
            stage.refused(|sva| sva.unmap_batch(none, 0, &mut [None]).complete(), expected);
            stage.refused(|sva| sva.read_batch(none, 0, &mut [None]).complete(), expected);
            stage.refused(|sva| sva.take_accessed_dirty(none, 0), expected);
        }
    }

    /// Past the end is refused, though the index modulo the table's size is a present entry.
    fn attack_e02_an_index_past_the_end_of_a_table_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let table = stage.leaf_table();
        let past =
            [P::ENTRIES, 2 * P::ENTRIES, 0x1_0000, 1 << 29, 1 << 30, 1 << 31, u32::MAX - P::ENTRIES + 1];
        for index in past.into_iter().flat_map(|past| [past, past.wrapping_add(Stage::<P>::INDEX)]) {
            let expected = Violation::NoSuchEntry(index);
            stage.refused(|sva| sva.unmap(table, index), expected);
            stage.refused(|sva| sva.map(table, index, stage.data, Rights::Read), expected);
            stage.refused(|sva| sva.protect(table, index, Rights::Read), expected);
            stage.refused(|sva| sva.replace(table, index, stage.data, Rights::Read), expected);
            stage.refused(|sva| sva.take_accessed_dirty(table, index), expected);
            stage.refused(|sva| sva.read_entry(table, index), expected);
            stage.refused(
                |sva| sva.map_batch(table, index, &[(stage.data, Rights::Read)]).complete(),
                expected,
            );
            stage.refused(|sva| sva.protect_batch(table, index, &[Rights::Read]).complete(), expected);
            stage.refused(|sva| sva.unmap_batch(table, index, &mut [None]).complete(), expected);
            stage.refused(|sva| sva.read_batch(table, index, &mut [None]).complete(), expected);
        }
        stage.sound();
    }

    fn attack_e02_an_index_past_the_end_of_a_directory_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let table = stage.spare_table(0, P::LEVELS - 1);
        for directory in [stage.root].into_iter().chain(stage.tables.iter().copied()) {
            let entries = match stage.sva.kind(directory) {
                Kind::Root => P::ROOT_ENTRIES,
                Kind::Table2 => P::ENTRIES,
                _ => continue,
            };
            for index in [entries, entries + stage.root_index(), 2 * entries, 1 << 30, 1 << 31, u32::MAX] {
                let expected = Violation::NoSuchEntry(index);
                stage.refused(|sva| sva.link(directory, index, table), expected);
                stage.refused(|sva| sva.unlink(directory, index), expected);
                stage.refused(|sva| sva.read_entry(directory, index), expected);
            }
        }
    }

    fn attack_e03_a_leaf_call_on_a_directory_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let upper = stage.tables.iter().rev().skip(1).copied();
        for directory in upper.chain([stage.root, stage.sva.sealed_root()]) {
            for (name, place, answer) in by_number(&stage, directory) {
                if place == Place::Table {
                    assert_eq!(answer, Err(Violation::WrongLevel(directory)), "{name}");
                }
            }
        }
    }

    fn attack_e03_a_directory_call_on_a_table_of_leaves_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let (table, other) = (stage.leaf_table(), stage.spare_table(0, 1));
        for index in [0, Stage::<P>::INDEX, P::ENTRIES - 1] {
            stage.refused(|sva| sva.link(table, index, other), Violation::WrongLevel(table));
            stage.refused(|sva| sva.unlink(table, index), Violation::WrongLevel(table));
        }
    }

    /// No call takes a size: whatever is said, no entry above the leaves is a large page.
    fn attack_e04_a_large_page_cannot_be_said<P>() {
        let stage = everything_said::<P>();
        let entries = all_entries(&stage);
        let directories = entries.iter().filter(|(_, level, _)| *level > 1);
        assert!(directories.clone().count() >= 4);
        for (kind, level, raw) in directories {
            assert_eq!(raw & LARGE, 0, "{kind:?} of level {level} holds {raw:#x}");
        }
    }

    /// There is no leaf to a table whose RW could be flipped, and a link is no leaf.
    fn attack_e05_writable_by_protect_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let (parent, index) = stage.leaf_parent();
        for rights in Rights::ALL {
            stage.refused(|sva| sva.protect(parent, index, rights), Violation::WrongLevel(parent));
            stage.refused(
                |sva| sva.protect_batch(parent, index, &[rights]).complete(),
                Violation::WrongLevel(parent),
            );
        }
        unmappable(&stage, stage.leaf_table(), Violation::NotMappable(stage.leaf_table()));
        // The one read-only mapping of text is the kernel half's own.
        let kernel = kernel_leaf_table(&stage);
        stage.refused(|sva| sva.protect(kernel, TEXT.0, Rights::ReadWrite), Violation::NotATable(kernel));
    }

    /// The kernel's leaves lie in tables that no call takes, and U is not an argument of any.
    fn attack_e06_a_kernel_leaf_for_users_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        for table in stage.sva.kernel_tables().iter() {
            for index in 0..P::ENTRIES {
                let expected = Violation::NotATable(table);
                stage.refused(|sva| sva.protect(table, index, Rights::ReadWriteExecute), expected);
                stage.refused(|sva| sva.replace(table, index, stage.data, Rights::Read), expected);
                stage.refused(|sva| sva.map(table, index, stage.data, Rights::Read), expected);
            }
        }
        let window = stage.sva.user_window();
        let kernel = all_entries(&stage).into_iter().filter(|(kind, ..)| *kind == Kind::KernelTable);
        assert!(kernel.inspect(|(_, _, raw)| assert_eq!(raw & 1 << 2, 0)).count() > 64);
        for cpu in cpus() {
            let reachable = stage.sva.machine().reachable(cpu, all_pages());
            assert!(reachable.iter().all(|(page, to)| to.user == window.contains(*page)));
        }
    }

    /// No call takes a memory type: RAM is cached, and what is not RAM is in no table.
    fn attack_e07_cache_bits_cannot_be_said<P>() {
        let stage = everything_said::<P>();
        for (kind, level, raw) in all_entries(&stage) {
            let bits = WRITE_THROUGH | CACHE_DISABLE | LARGE;
            assert_eq!(raw & bits, 0, "{kind:?} of level {level} holds {raw:#x}");
            assert!(raw as u32 >> 12 < RAM, "{raw:#x} leads to no RAM");
        }
    }

    fn attack_e07_a_cached_device_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for device in [0xa0, 0xfee00, 0xfec00].map(frame) {
            unmappable(&stage, device, Violation::NoSuchFrame(device));
        }
    }

    fn attack_e08_a_global_page_cannot_be_said<P>() {
        let stage = everything_said::<P>();
        for (kind, level, raw) in all_entries(&stage) {
            assert_eq!(raw & GLOBAL, 0, "{kind:?} of level {level} holds {raw:#x}");
        }
        for cpu in cpus() {
            assert!(stage.sva.machine().reachable(cpu, all_pages()).iter().all(|(_, to)| !to.global));
        }
    }

    /// All bits that an entry may have, by level and half, and no others: also none of those that the
    /// CPU ignores.
    fn attack_e08_no_other_bit_can_be_said<P>() {
        let stage = everything_said::<P>();
        let entries = all_entries(&stage);
        assert!(entries.len() > 80);
        for (kind, level, raw) in entries {
            let link = if P::ROOT_IN_REGISTERS && level == P::LEVELS { 0x1 } else { 0x27 };
            let legal = if level > 1 { link } else { 0x67 };
            let no_execute = if P::NO_EXECUTE && level == 1 { 1 << 63 } else { 0 };
            let frame = 0xffff_f000;
            assert_eq!(raw & !(legal | frame | no_execute), 0, "{kind:?} of level {level} holds {raw:#x}");
            assert_eq!(raw & 1, 1, "{kind:?} of level {level} holds {raw:#x}, not present");
        }
    }

    fn attack_e15_a_root_in_itself_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let index = stage.root_index() + 1;
        stage.refused(|sva| sva.link(stage.root, index, stage.root), Violation::WrongLevel(stage.root));
        unmappable(&stage, stage.root, Violation::NotMappable(stage.root));
    }

    fn attack_e15_a_table_in_itself_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        for table in &stage.tables {
            stage.refused(|sva| sva.link(*table, 0, *table), Violation::WrongLevel(*table));
            unmappable(&stage, *table, Violation::NotMappable(*table));
        }
    }

    /// The rights above do not matter: a table that nothing links takes no leaf to a table either.
    fn attack_e16_a_leaf_to_a_table_is_refused_where_nothing_reaches_it<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let unlinked = stage.spare_table(0, 1);
        for rights in Rights::ALL {
            let map = |target| stage.sva.map(unlinked, 0, target, rights);
            for victim in stage.tables.iter().chain([&stage.root, &unlinked]) {
                assert_eq!(map(*victim), Err(Violation::NotMappable(*victim)));
            }
        }
        // And a writable leaf there counts, so its frame cannot become one.
        let data = stage.spare_data(1);
        stage.sva.map(unlinked, 0, data, Rights::ReadWrite).unwrap();
        assert_eq!(stage.sva.mappings(data).writable, 1);
        stage.refused(|sva| sva.retype(data, Kind::Free), Violation::FrameInUse(data));
        stage.refused(|sva| sva.declare_table(data, 1), Violation::NotFree(data));
    }

    /// The fewest rights there are still make a present leaf, and nothing that is not present reads as
    /// a table, at any level.
    fn attack_e19_no_rights_never_read_as_a_table<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let read = Stage::<P>::INDEX;
        stage.sva.protect(stage.leaf_table(), read, Rights::Read).unwrap();
        assert!(
            matches!(stage.sva.read_entry(stage.leaf_table(), read), Ok(Entry::Leaf(leaf)) if !leaf.write())
        );
        let high = if P::Raw::BYTES == 8 { vec![0, 1 << 63, 1 << 32, 1 << 62] } else { vec![0] };
        for level in 1..=P::LEVELS {
            for low in 0..1u64 << 12 {
                for high in &high {
                    let raw = high | 0x1000 | low;
                    let decoded = P::decode(level, P::Raw::low_bits_of(raw));
                    let present = raw & 1 != 0;
                    match decoded {
                        Entry::Table(_) => assert!(present && level > 1, "{raw:#x} of level {level}"),
                        Entry::Leaf(_) => assert!(present && level == 1, "{raw:#x} of level {level}"),
                        Entry::Empty => panic!("{raw:#x} reads as empty"),
                        Entry::Illegal => {}
                    }
                }
            }
            assert_eq!(P::decode(level, P::Raw::ZERO), Entry::Empty);
        }
    }

    fn attack_e20_a_user_leaf_without_u_cannot_be_said<P>() {
        let stage = everything_said::<P>();
        let leaves = all_entries(&stage).into_iter().filter(|(kind, ..)| *kind == Kind::Table1);
        assert!(leaves.inspect(|(_, _, raw)| assert_eq!(raw & 1 << 2, 1 << 2)).count() > 16);
        for index in 0..P::ENTRIES {
            if let Ok(Entry::Leaf(leaf)) = stage.sva.read_entry(stage.leaf_table(), index) {
                assert_eq!(leaf.half(), sva_os::mmu::Half::User);
            }
        }
    }

    fn attack_e20_kernel_data_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let kernel = stage.spare(0);
        stage.sva.retype(kernel, Kind::KernelData).unwrap();
        unmappable(&stage, kernel, Violation::NotMappable(kernel));
    }

    fn attack_e20_a_dma_frame_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let dma = stage.spare(0);
        stage.sva.retype(dma, Kind::Dma).unwrap();
        unmappable(&stage, dma, Violation::NotMappable(dma));
    }

    fn attack_e20_a_free_frame_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let free = stage.spare(0);
        unmappable(&stage, free, Violation::NotMappable(free));
    }

    /// Map goes into an empty entry only; replacing, changing and clearing need a present one.
    fn attack_e20_the_state_of_the_entry_is_checked<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let (table, full) = (stage.leaf_table(), Stage::<P>::INDEX);
        let empty = full + 1;
        for rights in Rights::ALL {
            stage.refused(|sva| sva.map(table, full, stage.data, rights), Violation::EntryPresent(full));
            stage.refused(|sva| sva.replace(table, empty, stage.data, rights), Violation::EntryEmpty(empty));
            stage.refused(|sva| sva.protect(table, empty, rights), Violation::EntryEmpty(empty));
        }
        stage.refused(|sva| sva.unmap(table, empty), Violation::EntryEmpty(empty));
        stage.refused(|sva| sva.take_accessed_dirty(table, empty), Violation::EntryEmpty(empty));
        let unlinked = stage.root_index() + 1;
        stage.refused(|sva| sva.unlink(stage.root, unlinked), Violation::EntryEmpty(unlinked));
    }

    /// What a leaf says of itself is what was asked, in every table entry, as the CPU sees it too.
    fn attack_e20_rights_are_those_that_were_asked<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for rights in Rights::ALL {
            let old = stage.sva.protect(stage.leaf_table(), Stage::<P>::INDEX, rights).unwrap();
            assert_eq!(old.frame(), stage.data);
            let leaf: Leaf = stage.sva.translate(stage.root, stage.page).unwrap().unwrap();
            let execute = rights.execute() || !P::NO_EXECUTE;
            assert_eq!((leaf.rights().write(), leaf.rights().execute()), (rights.write(), execute));
            stage.sva.flush();
            let at: VirtAddr = stage.address();
            if !rights.write() {
                faults(&stage.sva, cpu(0), at, Use::Write);
            }
            if !execute {
                faults(&stage.sva, cpu(0), at, Use::Execute);
            }
        }
    }
}
