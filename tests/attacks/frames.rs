//! F1 to F16: frames declared, removed and used again.

use crate::calls::{Place, refuse_all, to_a_sealed_frame, to_a_stranger};
use crate::common::world::{DATA, FIRST_FREE, GUARD, KEPT, READ_ONLY, RESERVED, STACK, TEXT, frame, frames};
use crate::hardware::all_fault;
use crate::stage::{Live, Machine, RAM, Stage, cpu};
use sva_os::Violation;
use sva_os::address::{FRAME_LIMIT, Frame, PhysAddr};
use sva_os::frame::Kind;
use sva_os::mmu::{Entry, Geometry, PagingMode, Rights};

/// Every way to declare `frame` is refused.
#[track_caller]
fn not_free<P: PagingMode>(stage: &Stage<P>, frame: Frame) {
    for level in 1..P::LEVELS {
        stage.refused(|sva| sva.declare_table(frame, level), Violation::NotFree(frame));
    }
    stage.refused(|sva| sva.declare_root(frame), Violation::NotFree(frame));
}

/// Free frames full of what would be the worst entries.
fn poison<P: PagingMode>(sva: &Machine<P>, frame: Frame, word: u64) {
    for offset in (0..4096).step_by(8) {
        sva.machine().poke(PhysAddr::new(frame.start().get() + offset), word);
    }
}

/// Present, writable, user, accessed, dirty: at the frame table, as a large page, as anything.
const HOSTILE: [u64; 5] = [u64::MAX, 0x67, 0xe7, 0x1fff_0007_1fff_0007, 0x0000_1007_0000_1007];

attacks! {
    /// The second declaration answers `NotFree`, and the table keeps its entries.
    fn attack_f01_declare_a_table_twice_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        for (below, table) in (1u8..).zip(&stage.tables) {
            let level = P::LEVELS - below;
            stage.refused(|sva| sva.declare_table(*table, level), Violation::NotFree(*table));
        }
        assert!(stage.sva.translate(stage.root, stage.page).unwrap().is_some());
        stage.sound();
    }

    fn attack_f01_declare_a_root_twice_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        stage.refused(|sva| sva.declare_root(stage.root), Violation::NotFree(stage.root));
        let sealed = stage.sva.sealed_root();
        stage.refused(|sva| sva.declare_root(sealed), Violation::NotFree(sealed));
    }

    fn attack_f01_declare_an_empty_table_twice_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        let table = stage.spare_table(0, 1);
        stage.refused(|sva| sva.declare_table(table, 1), Violation::NotFree(table));
    }

    fn attack_f02_declare_a_linked_table_at_another_level_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        stage.tables.iter().for_each(|table| not_free(&stage, *table));
        not_free(&stage, stage.root);
    }

    fn attack_f02_declare_an_unlinked_table_at_another_level_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        for level in 1..P::LEVELS {
            let table = stage.spare_table(level.into(), level);
            not_free(&stage, table);
        }
    }

    /// There is no table of the root's level, of level 0, nor above.
    fn attack_f02_a_level_that_does_not_exist_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        for level in [0, P::LEVELS, P::LEVELS + 1, 4, 17, u8::MAX] {
            let spare = stage.spare(0);
            stage.refused(|sva| sva.declare_table(spare, level), Violation::NoSuchLevel(level.into()));
        }
    }

    fn attack_f03_declare_with_a_writable_mapping_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        assert_eq!(stage.sva.mappings(stage.data).writable, 1);
        not_free(&stage, stage.data);
        for kind in [Kind::Free, Kind::KernelData, Kind::UserData, Kind::Dma] {
            stage.refused(|sva| sva.retype(stage.data, kind), Violation::FrameInUse(stage.data));
        }
    }

    fn attack_f04_declare_with_a_read_only_mapping_is_refused<P>(live: Live) {
        for rights in [Rights::Read, Rights::ReadExecute] {
            let stage = Stage::<P>::new(live);
            stage.sva.protect(stage.leaf_table(), Stage::<P>::INDEX, rights).unwrap();
            assert_eq!(stage.sva.mappings(stage.data).writable, 0);
            not_free(&stage, stage.data);
            for kind in [Kind::Free, Kind::KernelData, Kind::UserData, Kind::Dma] {
                stage.refused(|sva| sva.retype(stage.data, kind), Violation::FrameInUse(stage.data));
            }
        }
    }

    /// Nothing of what a frame held is ever an entry: not after a declare, and not after a link.
    fn attack_f05_a_table_made_of_hostile_bytes_is_empty<P>(live: Live) {
        for hostile in HOSTILE {
            let stage = Stage::<P>::new(live);
            let mut parent = stage.root;
            for level in (1..P::LEVELS).rev() {
                let table = stage.spare(level.into());
                poison(&stage.sva, table, hostile);
                stage.sva.declare_table(table, level).unwrap();
                let index = if level + 1 == P::LEVELS { stage.root_index() + 1 } else { 0 };
                stage.sva.link(parent, index, table).unwrap();
                parent = table;
                for index in 0..P::ENTRIES {
                    assert_eq!(stage.sva.read_entry(table, index), Ok(Entry::Empty));
                    assert_eq!(stage.raw(table, index), 0);
                }
                assert_eq!(stage.sva.mappings(table).total, 1, "its link alone");
            }
            stage.sound();
        }
    }

    fn attack_f05_a_root_made_of_hostile_bytes_has_the_kernel_half_alone<P>() {
        for hostile in HOSTILE {
            let stage = Stage::<P>::new(Live::Nowhere);
            let root = stage.spare(0);
            poison(&stage.sva, root, hostile);
            stage.sva.declare_root(root).unwrap();
            for index in 0..P::ROOT_ENTRIES {
                assert_eq!(stage.raw(root, index), stage.raw(stage.sva.sealed_root(), index));
            }
            stage.sva.load_root(root).unwrap();
            stage.sound();
        }
    }

    /// The same by the library's own calls: bytes that user programs wrote.
    fn attack_f05_user_bytes_are_gone_from_a_declared_table<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        let reused = stage.spare_data(0);
        stage.sva.write_bytes(reused, 0, &[0xe7; 4096]).unwrap();
        stage.sva.retype(reused, Kind::Free).unwrap();
        stage.sva.declare_table(reused, 1).unwrap();
        assert!((0..P::ENTRIES).all(|index| stage.raw(reused, index) == 0));
    }

    fn attack_f06_a_frame_past_the_table_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        assert_eq!(stage.sva.frame_count(), RAM);
        for number in [RAM, RAM + 1, 0x8_0000, FRAME_LIMIT - 1] {
            refuse_all(&stage, frame(number), |_, frame| Violation::NoSuchFrame(frame));
        }
    }

    /// A frame that firmware reserves, and those that no one may reach behind a guard page.
    fn attack_f06_a_frame_in_a_hole_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for hole in frames(RESERVED).iter().chain(frames(GUARD).iter()) {
            assert_eq!(stage.sva.kind(hole), Kind::None);
            refuse_all(&stage, hole, |_, frame| Violation::NoSuchFrame(frame));
        }
    }

    /// The local APIC, the I/O APIC and the flash at the top of 4 GiB.
    fn attack_f06_a_frame_of_a_device_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for number in [0xfee00, 0xfec00, 0xfffff] {
            refuse_all(&stage, frame(number), |_, frame| Violation::NoSuchFrame(frame));
        }
    }

    /// The boot stack, which is sealed. Those of threads are in `stacks`.
    fn attack_f07_a_stack_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for part in frames(STACK).iter() {
            assert_eq!(stage.sva.kind(part), Kind::Stack);
            refuse_all(&stage, part, to_a_sealed_frame);
        }
    }

    fn attack_f08_the_frame_table_the_clock_and_the_records_are_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let own = (0..RAM).map(frame).filter(|frame| stage.sva.kind(*frame) == Kind::Monitor);
        assert_eq!(own.map(|frame| refuse_all(&stage, frame, to_a_sealed_frame)).count(), 3);
    }

    fn attack_f08_the_kernel_tables_are_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        assert!(!stage.sva.kernel_tables().is_empty());
        for table in stage.sva.kernel_tables().iter() {
            assert_eq!(stage.sva.kind(table), Kind::KernelTable);
            refuse_all(&stage, table, to_a_sealed_frame);
        }
    }

    /// The sealed root may be loaded and walked, and nothing else.
    fn attack_f08_the_sealed_root_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let sealed = stage.sva.sealed_root();
        for (name, place, answer) in crate::calls::by_number(&stage, sealed) {
            let expected = match place {
                Place::Root => Ok(()),
                Place::RemovedTable | Place::Table | Place::Child => Err(Violation::WrongLevel(sealed)),
                Place::RemovedRoot | Place::Parent | Place::Read => Err(Violation::FrameSealed(sealed)),
                _ => Err(to_a_sealed_frame(place, sealed)),
            };
            assert_eq!(answer, expected, "{name} with the sealed root as {place:?}");
        }
        stage.sound();
    }

    fn attack_f08_frame_zero_and_kept_frames_are_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for kept in frames(KEPT).iter().chain([Frame::ZERO]) {
            assert_eq!(stage.sva.kind(kept), Kind::Kept);
            refuse_all(&stage, kept, to_a_sealed_frame);
        }
    }

    fn attack_f09_text_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for text in frames(TEXT).iter() {
            assert_eq!(stage.sva.kind(text), Kind::Code);
            refuse_all(&stage, text, to_a_sealed_frame);
        }
    }

    fn attack_f09_constants_and_variables_are_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for image in frames(READ_ONLY).iter().chain(frames(DATA).iter()) {
            assert_eq!(stage.sva.kind(image), Kind::Image);
            refuse_all(&stage, image, to_a_sealed_frame);
        }
    }

    /// Buffers of drivers are not there yet: a frame that was retyped stands for them. Its bytes may
    /// be copied; for ever it is nothing else.
    fn attack_f10_a_dma_frame_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let dma = stage.spare(0);
        stage.sva.retype(dma, Kind::Dma).unwrap();
        for (name, place, answer) in crate::calls::by_number(&stage, dma) {
            let expected = match place {
                Place::Bytes => Ok(()),
                Place::Retyped => Err(Violation::FrameIsDma(dma)),
                _ => Err(to_a_stranger(place, dma)),
            };
            assert_eq!(answer, expected, "{name} with a DMA frame as {place:?}");
        }
        stage.sound();
    }

    fn attack_f11_remove_a_table_with_one_entry_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        for index in [0, 1, P::ENTRIES / 2, P::ENTRIES - 1] {
            let table = stage.spare_table(0, 1);
            stage.sva.map(table, index, stage.data, Rights::Read).unwrap();
            stage.refused(|sva| sva.remove_table(table), Violation::TableNotEmpty(table));
            stage.sva.unmap(table, index).unwrap();
            stage.sva.remove_table(table).unwrap();
        }
    }

    fn attack_f11_remove_a_table_that_links_one_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        for level in 2..P::LEVELS {
            let upper = stage.spare_table(0, level);
            let lower = stage.spare_table(1, level - 1);
            stage.sva.link(upper, P::ENTRIES - 1, lower).unwrap();
            stage.refused(|sva| sva.remove_table(upper), Violation::TableNotEmpty(upper));
        }
    }

    fn attack_f11_remove_a_root_with_one_entry_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        stage.refused(|sva| sva.remove_root(stage.root), Violation::RootNotEmpty(stage.root));
    }

    fn attack_f12_remove_a_linked_table_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        for table in &stage.tables {
            stage.refused(|sva| sva.remove_table(*table), Violation::TableLinked(*table));
        }
        stage.sva.unmap(stage.leaf_table(), Stage::<P>::INDEX).unwrap();
        let empty = stage.leaf_table();
        stage.refused(|sva| sva.remove_table(empty), Violation::TableLinked(empty));
    }

    fn attack_f13_remove_a_root_in_cr3_of_this_cpu_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        stage.refused(|sva| sva.remove_root(stage.root), Violation::RootInUse(stage.root));
    }

    fn attack_f13_remove_a_root_in_cr3_of_another_cpu_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        stage.refused(|sva| sva.remove_root(stage.root), Violation::RootInUse(stage.root));
    }

    /// Also when it is empty, as long as one of several CPUs has it.
    fn attack_f13_an_empty_root_goes_only_when_the_last_cpu_left_it<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        let root = stage.spare(0);
        stage.sva.declare_root(root).unwrap();
        let sealed = stage.sva.sealed_root();
        for number in 0..3 {
            stage.on(cpu(number), || stage.sva.load_root(root)).unwrap();
        }
        for number in [1, 0, 2] {
            stage.refused(|sva| sva.remove_root(root), Violation::RootInUse(root));
            stage.on(cpu(number), || stage.sva.load_root(sealed)).unwrap();
        }
        stage.sva.remove_root(root).unwrap();
        stage.sound();
    }

    /// A thread without a root of its own has it. Roots of threads are in `threads`.
    fn attack_f13_remove_the_sealed_root_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let sealed = stage.sva.sealed_root();
        stage.refused(|sva| sva.remove_root(sealed), Violation::FrameSealed(sealed));
    }

    /// A frame that was a linked table, filled as data by the next owner: no CPU walks it, however
    /// the table was remembered.
    fn attack_f14_a_removed_table_is_not_walked<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        stage.sva.unmap(stage.leaf_table(), Stage::<P>::INDEX).unwrap();
        let (mut parent, mut parents) = (stage.root, Vec::new());
        for (level, table) in (2..=P::LEVELS).rev().zip(&stage.tables) {
            parents.push((parent, P::index(level, stage.page)));
            parent = *table;
        }
        for (table, (parent, index)) in stage.tables.iter().zip(parents).rev() {
            stage.remember_all();
            assert_eq!(stage.sva.unlink(parent, index), Ok(*table));
            stage.sva.remove_table(*table).unwrap();
            stage.remember_all();
            stage.sva.retype(*table, Kind::UserData).unwrap();
            // In both modes: leaves and links to the frame table's neighbourhood.
            stage.sva.write_bytes(*table, 0, &0x0000_1067_0000_1067_u64.to_le_bytes().repeat(512)).unwrap();
        }
        for number in 0..3 {
            all_fault(&stage.sva, cpu(number), stage.address());
        }
        stage.sound();
    }

    fn attack_f15_remove_a_table_twice_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for level in 1..P::LEVELS {
            let table = stage.spare_table(0, level);
            stage.sva.remove_table(table).unwrap();
            stage.refused(|sva| sva.remove_table(table), Violation::NotATable(table));
        }
    }

    fn attack_f15_remove_a_root_twice_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let root = stage.spare(0);
        stage.sva.declare_root(root).unwrap();
        stage.sva.remove_root(root).unwrap();
        stage.refused(|sva| sva.remove_root(root), Violation::NotARoot(root));
    }

    /// What never was a table, and the reverse of each.
    fn attack_f15_remove_what_was_not_declared_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let free = stage.spare(0);
        for none in [free, stage.data] {
            stage.refused(|sva| sva.remove_table(none), Violation::NotATable(none));
            stage.refused(|sva| sva.remove_root(none), Violation::NotARoot(none));
        }
        let table = stage.leaf_table();
        stage.refused(|sva| sva.remove_root(table), Violation::NotARoot(table));
        stage.refused(|sva| sva.remove_table(stage.root), Violation::WrongLevel(stage.root));
    }

    /// Counts, entries and parent are those of a new table, whatever it was before.
    fn attack_f16_a_table_used_again_keeps_nothing<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        stage.sva.unmap(stage.leaf_table(), Stage::<P>::INDEX).unwrap();
        let (parent, index) = stage.leaf_parent();
        let table = stage.sva.unlink(parent, index).unwrap();
        stage.sva.remove_table(table).unwrap();
        assert_eq!(stage.frame_table.stamp(&stage.sva, table) & 1 << 31, 0, "it still has a parent");
        stage.refused(|sva| sva.map(table, 0, stage.data, Rights::Read), Violation::NotATable(table));
        stage.refused(|sva| sva.link(parent, index, table), Violation::NotATable(table));
        stage.sva.declare_table(table, 1).unwrap();
        let fresh = stage.sva.mappings(table);
        assert_eq!((fresh.total, fresh.writable), (0, 0));
        assert!((0..P::ENTRIES).all(|index| stage.raw(table, index) == 0));
        stage.sva.link(parent, index, table).unwrap();
        stage.sound();
    }

    /// A page table that comes back as user data is user data alone.
    fn attack_f16_a_table_that_becomes_data_is_no_table<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let reused = stage.spare_table(0, 1);
        stage.sva.remove_table(reused).unwrap();
        stage.sva.retype(reused, Kind::UserData).unwrap();
        stage.sva.map(stage.leaf_table(), 9, reused, Rights::ReadWrite).unwrap();
        stage.refused(|sva| sva.map(reused, 0, stage.data, Rights::Read), Violation::NotATable(reused));
        stage.refused(|sva| sva.remove_table(reused), Violation::NotATable(reused));
        not_free(&stage, reused);
        stage.sound();
    }

    /// The stage's own frames are where the other attacks expect them.
    fn attack_f00_the_stage_stands<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        assert_eq!(stage.sva.kind(frame(FIRST_FREE)), Kind::Root);
        for cpu in crate::stage::cpus() {
            let loaded = stage.sva.machine().root_of(cpu) == stage.root;
            assert_eq!(loaded, stage.user() == Some(cpu));
            let reached = crate::hardware::stores_reach(&stage.sva, cpu, stage.address());
            assert_eq!(reached.is_empty(), !loaded);
            assert!(reached.iter().all(|frame| *frame == stage.data));
        }
    }
}
