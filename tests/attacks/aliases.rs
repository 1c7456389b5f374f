//! E9 to E12: aliases of what users must not have.

use crate::common::world::{RESERVED, TEXT, frame, frames};
use crate::hardware::{all_pages, faults};
use crate::stage::{Live, Machine, RAM, Stage, cpu, cpus};
use sva_os::Violation;
use sva_os::address::Frame;
use sva_os::frame::Kind;
use sva_os::machine::emulated::Use;
use sva_os::mmu::{Geometry, PagingMode, Rights};

/// The first kernel table of leaves: it has the direct map, and the image.
pub(crate) fn kernel_leaf_table<P: PagingMode>(stage: &Stage<P>) -> Frame {
    stage.sva.kernel_tables().iter().last().expect("a kernel table")
}

/// No leaf of any rights to `target` is made, in any way, in any table.
#[track_caller]
pub(crate) fn unmappable<P: PagingMode>(stage: &Stage<P>, target: Frame, violation: Violation) {
    let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
    for rights in Rights::ALL {
        stage.refused(|sva| sva.map(table, index + 1, target, rights), violation);
        stage.refused(|sva| sva.replace(table, index, target, rights), violation);
        stage.refused(|sva| sva.map_batch(table, index + 1, &[(target, rights)]).complete(), violation);
    }
}

attacks! {
    fn attack_e09_a_table_mapped_in_itself_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let table = stage.leaf_table();
        unmappable(&stage, table, Violation::NotMappable(table));
    }

    fn attack_e09_a_table_mapped_in_another_table_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let other = stage.spare_table(0, 1);
        for table in stage.tables.iter().chain([&stage.root, &other]) {
            for rights in Rights::ALL {
                stage.refused(|sva| sva.map(other, 0, *table, rights), Violation::NotMappable(*table));
            }
        }
    }

    fn attack_e09_a_table_mapped_under_another_root_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let root = stage.spare(0);
        stage.sva.declare_root(root).unwrap();
        let mut parent = root;
        for level in (1..P::LEVELS).rev() {
            let table = stage.spare_table(level.into(), level);
            stage.sva.link(parent, P::index(level + 1, stage.page), table).unwrap();
            parent = table;
        }
        for victim in stage.tables.iter().chain([&stage.root, &root]) {
            for rights in Rights::ALL {
                stage.refused(|sva| sva.map(parent, 0, *victim, rights), Violation::NotMappable(*victim));
            }
        }
    }

    fn attack_e09_a_table_mapped_in_the_kernel_half_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        for kernel in stage.sva.kernel_tables().iter() {
            for index in 0..P::ENTRIES {
                let map = |sva: &Machine<P>| sva.map(kernel, index, stage.leaf_table(), Rights::ReadWrite);
                stage.refused(map, Violation::NotATable(kernel));
            }
        }
    }

    /// Every leaf that a call can make has U; so "an alias with U" is each of those above, and here
    /// is what ring 3 finds of all tables: nothing.
    fn attack_e09_a_table_mapped_for_users_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let tables = (0..RAM).map(frame).filter(|frame| {
            matches!(stage.sva.kind(*frame), Kind::Root | Kind::Table1 | Kind::Table2 | Kind::KernelTable)
        });
        for table in tables.collect::<Vec<_>>() {
            unmappable(&stage, table, Violation::NotMappable(table));
            for cpu in cpus() {
                let reachable = stage.sva.machine().reachable(cpu, all_pages());
                assert!(!reachable.iter().any(|(_, to)| to.user && to.frame == table));
            }
        }
    }

    fn attack_e10_text_mapped_for_users_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        for text in frames(TEXT).iter() {
            unmappable(&stage, text, Violation::NotMappable(text));
        }
    }

    /// Without U: through the kernel half, whose tables no call takes. Its own mappings of text, in
    /// the image and in the direct map, are not writable.
    fn attack_e10_text_mapped_for_the_kernel_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let kernel = kernel_leaf_table(&stage);
        for text in frames(TEXT).iter() {
            for rights in Rights::ALL {
                let map = |sva: &Machine<P>| sva.map(kernel, P::ENTRIES - 1, text, rights);
                stage.refused(map, Violation::NotATable(kernel));
            }
            let mut mapped = 0;
            for (page, to) in stage.sva.machine().reachable(cpu(0), all_pages()) {
                if to.frame == text {
                    mapped += 1;
                    faults(&stage.sva, cpu(0), page.start(), Use::Write);
                }
            }
            assert!(mapped > 0, "{text} is mapped nowhere");
        }
    }

    fn attack_e11_library_memory_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let own = |kind| matches!(kind, Kind::Monitor | Kind::KernelTable);
        let library = (0..RAM).map(frame).filter(|frame| own(stage.sva.kind(*frame)));
        let library: Vec<_> = library.chain([stage.sva.sealed_root()]).collect();
        assert!(library.len() >= 4);
        for frame in library {
            unmappable(&stage, frame, Violation::NotMappable(frame));
        }
    }

    /// Claims of device memory are not there yet: a device's frame and firmware's are in no table.
    fn attack_e12_what_is_not_ram_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        for none in [RESERVED.0, RAM, 0xfee00, 0xf_ffff].map(frame) {
            unmappable(&stage, none, Violation::NoSuchFrame(none));
        }
        for to in stage.sva.machine().reachable(cpu(0), all_pages()) {
            assert_ne!(stage.sva.kind(to.1.frame), Kind::None, "{to:?}");
        }
    }
}
