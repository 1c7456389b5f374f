//! T1 to T7, E15: the shape of the tree, and the kernel half in every root.

use crate::common::world::frame;
use crate::hardware::all_pages;
use crate::stage::{Live, Machine, RAM, Stage, cpu, sound};
use sva_os::Violation;
use sva_os::address::Frame;
use sva_os::frame::Kind;
use sva_os::mmu::{Entry, Geometry, PagingMode};

/// Entries of a root that are the client's, and those that are not.
fn root_entries<P: PagingMode>(sva: &Machine<P>) -> (Vec<u32>, Vec<u32>) {
    let window = sva.user_window();
    let span = P::ROOT_SPAN_BITS;
    (0..P::ROOT_ENTRIES).partition(|index| {
        let first = index << span;
        window.first().number() <= first && first < window.end()
    })
}

/// A root of the stage beside its first one.
fn second_root<P: PagingMode>(stage: &Stage<P>, n: u32) -> Frame {
    let root = stage.spare(n);
    stage.sva.declare_root(root).unwrap();
    root
}

/// The kernel entries of `root` are those of the sealed root, in RAM.
#[track_caller]
fn has_the_kernel_half<P: PagingMode>(sva: &Machine<P>, root: Frame) {
    let accessed = !(1u64 << 5);
    for index in root_entries(sva).1 {
        let raw = |root| crate::stage::raw_entry(sva, root, index) & accessed;
        assert_eq!(raw(root), raw(sva.sealed_root()), "entry {index} of {root}");
    }
}

attacks! {
    fn attack_t01_link_a_table_twice_in_one_root_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let table = stage.tables[0];
        for index in root_entries(&stage.sva).0.into_iter().take(400) {
            stage.refused(|sva| sva.link(stage.root, index, table), Violation::TableLinked(table));
        }
        stage.sound();
    }

    fn attack_t01_link_a_table_in_two_roots_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let other = second_root(&stage, 0);
        let table = stage.tables[0];
        for index in [stage.root_index(), 0, stage.root_index() + 1] {
            stage.refused(|sva| sva.link(other, index, table), Violation::TableLinked(table));
        }
    }

    /// Below the root, and two tables in one entry.
    fn attack_t01_link_a_table_of_leaves_twice_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let (parent, index) = stage.leaf_parent();
        let (leaf, other) = (stage.leaf_table(), stage.spare_table(0, 1));
        stage.refused(|sva| sva.link(parent, index, leaf), Violation::TableLinked(leaf));
        stage.refused(|sva| sva.link(parent, index, other), Violation::EntryPresent(index));
        let free = (index + 1) % P::entries(2);
        stage.refused(|sva| sva.link(parent, free, leaf), Violation::TableLinked(leaf));
        // The refused one is not half linked.
        assert_eq!(stage.sva.mappings(other).total, 0);
        assert_eq!(stage.frame_table.stamp(&stage.sva, other), 0);
        stage.sva.link(parent, free, other).unwrap();
        stage.sound();
    }

    /// A refused link gives back the stamp that the table had: it was linked, and is remembered.
    fn attack_t01_a_refused_link_keeps_the_stamp<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let (parent, index) = stage.leaf_parent();
        stage.sva.unmap(stage.leaf_table(), Stage::<P>::INDEX).unwrap();
        let old = stage.sva.unlink(parent, index).unwrap();
        let stamp = stage.frame_table.stamp(&stage.sva, old);
        assert!(stamp != 0 && stamp & 1 << 31 == 0);
        let other = stage.spare_table(0, 1);
        stage.sva.link(parent, index, other).unwrap();
        stage.refused(|sva| sva.link(parent, index, old), Violation::EntryPresent(index));
        assert_eq!(stage.frame_table.stamp(&stage.sva, old), stamp);
    }

    fn attack_t02_a_table_under_one_of_its_level_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        for level in 1..P::LEVELS {
            let (upper, lower) = (
                stage.spare_table(2 * u32::from(level), level),
                stage.spare_table(2 * u32::from(level) + 1, level),
            );
            let culprit = if level == 1 { upper } else { lower };
            stage.refused(|sva| sva.link(upper, 0, lower), Violation::WrongLevel(culprit));
        }
        for table in &stage.tables {
            let other =
                stage.spare_table(10 + table.number() % 2, if *table == stage.leaf_table() { 1 } else { 2 });
            let culprit = if *table == stage.leaf_table() { *table } else { other };
            stage.refused(|sva| sva.link(*table, P::ENTRIES - 1, other), Violation::WrongLevel(culprit));
        }
    }

    fn attack_t02_a_root_under_a_root_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let other = second_root(&stage, 0);
        for root in [other, stage.root, stage.sva.sealed_root()] {
            for index in [0, stage.root_index() + 1] {
                stage.refused(|sva| sva.link(stage.root, index, root), Violation::WrongLevel(root));
                stage.refused(|sva| sva.link(other, index, root), Violation::WrongLevel(root));
            }
        }
    }

    fn attack_t02_a_root_under_a_table_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        for table in &stage.tables {
            let culprit = if *table == stage.leaf_table() { *table } else { stage.root };
            stage.refused(|sva| sva.link(*table, 9, stage.root), Violation::WrongLevel(culprit));
        }
    }

    /// A level left out: a table of leaves right below a root of three levels.
    fn attack_t02_a_level_cannot_be_left_out<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for level in 1..P::LEVELS - 1 {
            let table = stage.spare_table(level.into(), level);
            let index = stage.root_index() + 1;
            stage.refused(|sva| sva.link(stage.root, index, table), Violation::WrongLevel(table));
        }
        // Nor a frame that is no table at all.
        let index = stage.root_index() + 1;
        for none in [stage.data, stage.spare(9)] {
            stage.refused(|sva| sva.link(stage.root, index, none), Violation::NotATable(none));
        }
    }

    fn attack_t03_a_kernel_table_in_a_user_entry_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        for kernel in stage.sva.kernel_tables().iter() {
            for index in [0, stage.root_index() + 1] {
                stage.refused(|sva| sva.link(stage.root, index, kernel), Violation::NotATable(kernel));
            }
            for table in stage.tables.iter().filter(|table| **table != stage.leaf_table()) {
                stage.refused(|sva| sva.link(*table, 9, kernel), Violation::NotATable(kernel));
            }
        }
    }

    fn attack_t03_a_user_table_in_a_kernel_entry_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let table = stage.spare_table(0, P::LEVELS - 1);
        for index in root_entries(&stage.sva).1 {
            stage.refused(|sva| sva.link(stage.root, index, table), Violation::KernelEntry(index));
            let sealed = stage.sva.sealed_root();
            stage.refused(|sva| sva.link(sealed, index, table), Violation::FrameSealed(sealed));
        }
        for kernel in stage.sva.kernel_tables().iter() {
            for index in 0..P::ENTRIES {
                stage.refused(|sva| sva.link(kernel, index, table), Violation::NotATable(kernel));
            }
        }
    }

    /// The sealed root has no user half, and gets none.
    fn attack_t03_a_user_table_in_the_sealed_root_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let sealed = stage.sva.sealed_root();
        let table = stage.spare_table(0, P::LEVELS - 1);
        for index in root_entries(&stage.sva).0 {
            stage.refused(|sva| sva.link(sealed, index, table), Violation::FrameSealed(sealed));
            stage.refused(|sva| sva.unlink(sealed, index), Violation::FrameSealed(sealed));
            assert_eq!(stage.raw(sealed, index), 0);
        }
    }

    fn attack_t04_clear_a_kernel_entry_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let kernel = root_entries(&stage.sva).1;
        assert_eq!(kernel.len() as u32, P::ROOT_ENTRIES / 4);
        for index in kernel {
            stage.refused(|sva| sva.unlink(stage.root, index), Violation::KernelEntry(index));
            let sealed = stage.sva.sealed_root();
            stage.refused(|sva| sva.unlink(sealed, index), Violation::FrameSealed(sealed));
        }
        for table in stage.sva.kernel_tables().iter() {
            for index in 0..P::ENTRIES {
                stage.refused(|sva| sva.unmap(table, index), Violation::NotATable(table));
                stage.refused(|sva| sva.unlink(table, index), Violation::NotATable(table));
            }
        }
    }

    /// Whatever happens to its user half.
    fn attack_t05_a_root_without_the_kernel_half_cannot_exist<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for n in 0..5 {
            let root = second_root(&stage, n);
            has_the_kernel_half(&stage.sva, root);
            let table = stage.spare_table(10 + n, P::LEVELS - 1);
            let user = root_entries(&stage.sva).0;
            for index in [user[0], *user.last().unwrap()] {
                stage.sva.link(root, index, table).unwrap();
                has_the_kernel_half(&stage.sva, root);
                stage.sva.unlink(root, index).unwrap();
                has_the_kernel_half(&stage.sva, root);
            }
            assert!(user.iter().all(|index| stage.raw(root, *index) == 0));
        }
        has_the_kernel_half(&stage.sva, stage.root);
    }

    /// On the CPU: under every root the kernel half translates as under the sealed one.
    fn attack_t05_every_root_translates_the_kernel_half_alike<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        let window = stage.sva.user_window();
        let kernel = || {
            let all = stage.sva.machine().reachable(cpu(0), all_pages()).into_iter();
            let half = all.filter(|(page, _)| !window.contains(*page));
            let mut half: Vec<_> = half.map(|(page, to)| (page, to.frame, to.allowed())).collect();
            half.sort_by_key(|(page, ..)| *page);
            half.dedup();
            half
        };
        let sealed = kernel();
        assert!(sealed.len() as u32 > RAM / 2);
        for root in [stage.root, second_root(&stage, 0)] {
            stage.sva.load_root(root).unwrap();
            assert_eq!(kernel(), sealed);
        }
    }

    /// All kernel tables exist from init on, and all roots link the same: what changes in one is
    /// seen under every root, one that was declared before and one after.
    fn attack_t06_all_roots_share_the_kernel_tables<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        let later = second_root(&stage, 0);
        for kernel in stage.sva.kernel_tables().iter() {
            assert_eq!(stage.sva.kind(kernel), Kind::KernelTable);
        }
        let top: Vec<_> = root_entries(&stage.sva)
            .1
            .into_iter()
            .filter_map(|index| match stage.sva.read_entry(later, index) {
                Ok(Entry::Table(table)) => Some((index, table)),
                _ => None,
            })
            .collect();
        assert!(!top.is_empty() && top.iter().all(|(_, table)| stage.sva.kernel_tables().contains(*table)));
        for root in [stage.root, later] {
            for (index, table) in &top {
                assert_eq!(stage.sva.read_entry(root, *index), Ok(Entry::Table(*table)));
            }
            for number in stage.sva.user_window().end()..stage.sva.user_window().end() + RAM + 8 {
                let page = crate::common::world::page(number);
                let here = stage.sva.translate(root, page);
                assert_eq!(here, stage.sva.translate(stage.sva.sealed_root(), page));
            }
        }
    }

    /// In PAE mode bits 1, 2, 5 to 8 and 63 to 32 of a root's entry are reserved, and a CPU refuses a CR3
    /// under which one is set. They are clear whatever is linked, unlinked and used.
    fn attack_t07_reserved_bits_of_root_entries_stay_clear<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let user = root_entries(&stage.sva).0;
        let table = stage.spare_table(0, P::LEVELS - 1);
        let unused = user.iter().copied().filter(|index| *index != stage.root_index());
        for index in unused.take(3) {
            stage.sva.link(stage.root, index, table).unwrap();
            stage.remember_all();
            for entry in 0..P::ROOT_ENTRIES {
                let raw = stage.raw(stage.root, entry);
                let reserved = if P::ROOT_IN_REGISTERS { 0xffff_ffff_0000_01e6 } else { 0x180 };
                assert_eq!(raw & reserved, 0, "entry {entry} is {raw:#x}");
            }
            // A reserved bit would be #GP here.
            stage.sva.load_root(stage.root).unwrap();
            stage.sva.unlink(stage.root, index).unwrap();
        }
        stage.sound();
    }

    /// What a CPU has in registers is what the root says, after every change of a loaded root.
    fn attack_t07_registers_follow_a_loaded_root<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let table = stage.spare_table(0, P::LEVELS - 1);
        let same = |stage: &Stage<P>| {
            for number in 0..3 {
                let root = stage.sva.machine().root_of(cpu(number));
                let registers = stage.sva.machine().root_registers(cpu(number));
                for (index, register) in (0..4).zip(registers) {
                    let expected = if P::ROOT_IN_REGISTERS { stage.raw(root, index) } else { 0 };
                    assert_eq!(register, expected, "register {index} of CPU {number}");
                }
            }
        };
        same(&stage);
        let index = (stage.root_index() + 1) % 3;
        stage.sva.link(stage.root, index, table).unwrap();
        same(&stage);
        stage.sva.unlink(stage.root, index).unwrap();
        same(&stage);
        sound(&stage.sva);
    }

    /// The stage's tables are where a walk finds them.
    fn attack_t00_the_walk_is_the_tree<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let mut table = stage.root;
        for level in (2..=P::LEVELS).rev() {
            match stage.sva.read_entry(table, P::index(level, stage.page)) {
                Ok(Entry::Table(child)) => table = child,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(table, stage.leaf_table());
        assert_eq!(stage.sva.kind(frame(0)), Kind::Kept);
    }
}
