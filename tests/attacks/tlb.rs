//! C1 to C7 and C9 to C13: CR3, and what CPUs remember of entries that are gone.

use crate::common::world::{frame, page};
use crate::hardware::{all_fault, caches_isolated, stores_reach};
use crate::stage::{Live, RAM, Stage, cpu, cpus, sound};
use sva_os::Violation;
use sva_os::address::{FRAME_LIMIT, Frame, FrameRange, PageRange};
use sva_os::frame::Kind;
use sva_os::machine::Cpu;
use sva_os::mmu::{Geometry, KernelPages, PagingMode, Rights};

/// Gives the stage's page these rights, with every CPU remembering it so, and unmaps it. Nobody flushes.
fn unmap_unflushed<P: PagingMode>(stage: &Stage<P>, rights: Rights) {
    let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
    stage.sva.protect(table, index, rights).unwrap();
    stage.sva.flush_all();
    stage.remember_all();
    assert!(stage.user().is_none_or(|cpu| stage.sva.machine().cached_count(cpu) > 0));
    assert_eq!(stage.sva.unmap(table, index).unwrap().frame(), stage.data);
}

/// After `reuse`, which gives the frame another use, no CPU reaches it at the old address.
#[track_caller]
fn stale_use_faults<P: PagingMode>(live: Live, reuse: impl Fn(&Stage<P>, Frame)) {
    for rights in Rights::ALL {
        let stage = Stage::<P>::new(live);
        unmap_unflushed(&stage, rights);
        if let Some(user) = stage.user().filter(|_| rights.write()) {
            // As long as the frame is user data, the stale translation may be used.
            assert!(stores_reach(&stage.sva, user, stage.address()).contains(&stage.data));
        }
        reuse(&stage, stage.data);
        for cpu in cpus() {
            all_fault(&stage.sva, cpu, stage.address());
        }
        caches_isolated(stage.frame_table, &stage.sva);
        sound(&stage.sva);
    }
}

/// Frees the frame, and makes it what `next` says.
fn free_and<P: PagingMode>(stage: &Stage<P>, frame: Frame, next: impl FnOnce()) {
    stage.sva.retype(frame, Kind::Free).unwrap();
    next();
}

/// Changes that make a frame something else by way of free.
fn as_table<P: PagingMode>(stage: &Stage<P>, frame: Frame) {
    free_and(stage, frame, || stage.sva.declare_table(frame, 1).unwrap());
}

attacks! {
    fn attack_c01_load_what_is_no_root_is_refused<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        for none in (0..RAM + 1).chain([FRAME_LIMIT - 1]).map(frame) {
            let expected = match stage.sva.kind(none) {
                Kind::Root => continue,
                Kind::None => Violation::NoSuchFrame(none),
                _ => Violation::NotARoot(none),
            };
            for cpu in cpus() {
                stage.on(cpu, || stage.refused(|sva| sva.load_root(none), expected));
            }
        }
    }

    /// Also after refused loads, loads of what is loaded, and flushes.
    fn attack_c03_the_root_on_record_is_in_cr3<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let other = stage.spare(0);
        stage.sva.declare_root(other).unwrap();
        let roots = [stage.root, other, stage.sva.sealed_root(), stage.data, other, other, stage.root];
        for (step, root) in (0..).zip(roots.into_iter().cycle().take(40)) {
            let cpu = cpu(step * 7 % 3);
            let before = stage.sva.machine().root_of(cpu);
            let loaded = stage.on(cpu, || stage.sva.load_root(root));
            let expected = if loaded.is_ok() { root } else { before };
            assert_eq!(loaded.is_err(), root == stage.data);
            assert_eq!(stage.sva.machine().root_of(cpu), expected);
            assert_eq!(stage.on(cpu, || stage.sva.root()), expected);
            if step % 3 == 0 {
                stage.on(cpu, || stage.sva.flush());
                assert_eq!(stage.sva.machine().root_of(cpu), expected);
            }
            for root in [stage.root, other] {
                let loads = cpus().filter(|cpu| stage.sva.machine().root_of(*cpu) == root).count();
                assert_eq!(stage.sva.mappings(root).writable, loads as u32);
            }
        }
        stage.sound();
    }

    fn attack_c04_a_stale_store_to_a_table_faults<P>(live: Live) {
        stale_use_faults::<P>(live, as_table);
    }

    fn attack_c04_a_stale_store_to_a_root_faults<P>(live: Live) {
        stale_use_faults::<P>(live, |stage, frame| {
            free_and(stage, frame, || stage.sva.declare_root(frame).unwrap());
        });
    }

    fn attack_c04_a_stale_store_to_kernel_data_faults<P>(live: Live) {
        stale_use_faults::<P>(live, |stage, frame| stage.sva.retype(frame, Kind::KernelData).unwrap());
    }

    fn attack_c04_a_stale_store_to_a_dma_frame_faults<P>(live: Live) {
        stale_use_faults::<P>(live, |stage, frame| stage.sva.retype(frame, Kind::Dma).unwrap());
    }

    fn attack_c04_a_stale_store_to_owned_pages_faults<P>(live: Live) {
        stale_use_faults::<P>(live, |stage, frame| {
            free_and(stage, frame, || {
                let range = FrameRange::new(frame, 1).unwrap();
                core::mem::forget(KernelPages::new(&stage.sva, range).unwrap());
            });
        });
    }

    fn attack_c04_a_stale_store_to_the_heap_faults<P>(live: Live) {
        stale_use_faults::<P>(live, |stage, frame| {
            free_and(stage, frame, || {
                stage.sva.grant_memory(FrameRange::new(frame, 1).unwrap()).unwrap();
            });
        });
    }

    /// Even the next user's data: the frame was somebody else's.
    fn attack_c04_a_stale_store_to_new_user_data_faults<P>(live: Live) {
        stale_use_faults::<P>(live, |stage, frame| {
            stage.sva.retype(frame, Kind::UserData).unwrap();
            let mut bytes = [1; 64];
            stage.sva.read_bytes(frame, 0, &mut bytes).unwrap();
            assert_eq!(bytes, [0; 64], "the next user reads what the last one wrote");
        });
    }

    /// The last of several mappings counts, not the first that went.
    fn attack_c04_each_of_several_mappings_is_flushed<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let (table, first) = (stage.leaf_table(), Stage::<P>::INDEX);
        for (n, rights) in (1..).zip(Rights::ALL) {
            stage.sva.map(table, first + n, stage.data, rights).unwrap();
        }
        let pages: Vec<_> = (0..5).map(|n| page(stage.page.number() + n)).collect();
        let touch = || {
            for cpu in cpus() {
                pages.iter().for_each(|page| {
                    stage.sva.machine().fill_nth(cpu, *page, 0);
                });
            }
        };
        for n in (0..5).rev() {
            stage.sva.flush_all();
            touch();
            stage.sva.unmap(table, first + n).unwrap();
        }
        as_table(&stage, stage.data);
        for cpu in cpus() {
            pages.iter().for_each(|page| all_fault(&stage.sva, cpu, page.start()));
        }
        stage.sound();
    }

    /// What `replace` and `unmap_batch` take away is stale like what `unmap` does.
    fn attack_c04_a_replaced_frame_is_flushed<P>(live: Live) {
        for rights in Rights::ALL {
            let stage = Stage::<P>::new(live);
            let other = stage.spare_data(0);
            stage.remember_all();
            stage.sva.replace(stage.leaf_table(), Stage::<P>::INDEX, other, rights).unwrap();
            as_table(&stage, stage.data);
            for cpu in cpus() {
                let reached = stores_reach(&stage.sva, cpu, stage.address());
                assert!(reached.iter().all(|frame| *frame == other), "{reached:?}");
            }
            stage.sound();
        }
    }

    fn attack_c04_a_frame_of_a_batch_is_flushed<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        stage.remember_all();
        let done = stage.sva.unmap_batch(stage.leaf_table(), Stage::<P>::INDEX, &mut [None]).complete();
        assert_eq!(done, Ok(1));
        as_table(&stage, stage.data);
        cpus().for_each(|cpu| all_fault(&stage.sva, cpu, stage.address()));
        stage.sound();
    }

    /// A right that was taken away and is still remembered does not outlive the mapping.
    fn attack_c04_a_stale_right_to_write_goes_with_the_frame<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
        stage.remember_all();
        stage.sva.protect(table, index, Rights::Read).unwrap();
        stage.refused(|sva| sva.retype(stage.data, Kind::Free), Violation::FrameInUse(stage.data));
        stage.sva.unmap(table, index).unwrap();
        as_table(&stage, stage.data);
        cpus().for_each(|cpu| all_fault(&stage.sva, cpu, stage.address()));
    }

    /// Where every CPU has flushed since, nobody is made to flush again.
    fn attack_c04_no_cpu_flushes_twice<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        unmap_unflushed(&stage, Rights::ReadWrite);
        stage.sva.flush_all();
        stage.sva.machine().reset_counters();
        stage.sva.retype(stage.data, Kind::Free).unwrap();
        for cpu in cpus() {
            assert_eq!(stage.sva.machine().counters(cpu).root_loads, 0);
        }
        stage.sound();
    }

    /// On all CPUs at once, of which one is slow to answer.
    fn attack_c05_a_stale_store_on_another_cpu_faults<P>() {
        for (rights, slow) in Rights::ALL.into_iter().zip([0, 1, 5, 50]) {
            let stage = Stage::<P>::new(Live::Nowhere);
            stage.everywhere();
            unmap_unflushed(&stage, rights);
            stage.sva.machine().defer_interrupts(cpu(2), slow);
            as_table(&stage, stage.data);
            cpus().for_each(|cpu| all_fault(&stage.sva, cpu, stage.address()));
            assert!(stage.sva.machine().counters(cpu(2)).interrupts > 0);
            stage.sound();
        }
    }

    /// The CPU that changes the kind is not the one that unmapped, nor the one that remembers.
    fn attack_c05_three_cpus_take_part<P>() {
        for (one, two, three) in [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)] {
            let stage = Stage::<P>::new(Live::Nowhere);
            stage.on(cpu(one), || stage.sva.load_root(stage.root)).unwrap();
            stage.touch(cpu(one));
            let unmapped = stage.on(cpu(two), || stage.sva.unmap(stage.leaf_table(), Stage::<P>::INDEX));
            assert_eq!(unmapped.unwrap().frame(), stage.data);
            stage.on(cpu(three), || as_table(&stage, stage.data));
            cpus().for_each(|cpu| all_fault(&stage.sva, cpu, stage.address()));
            stage.sound();
        }
    }

    /// A flush before the entry was gone does not count, even if the clock stood still since.
    fn attack_c06_a_flush_before_the_unmap_does_not_count<P>(live: Live) {
        for flushes in 1..4 {
            let stage = Stage::<P>::new(live);
            for _ in 0..flushes {
                cpus().for_each(|cpu| stage.on(cpu, || stage.sva.flush()));
            }
            stage.remember_all();
            stage.sva.unmap(stage.leaf_table(), Stage::<P>::INDEX).unwrap();
            as_table(&stage, stage.data);
            cpus().for_each(|cpu| all_fault(&stage.sva, cpu, stage.address()));
            stage.sound();
        }
    }

    /// The stamp and a flush at one time: it is not known which was first, so there is another flush.
    fn attack_c07_equal_times_flush<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        stage.everywhere();
        for last in cpus() {
            let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
            cpus().for_each(|cpu| stage.on(cpu, || stage.sva.flush()));
            stage.on(last, || stage.sva.flush());
            stage.remember_all();
            stage.sva.unmap(table, index).unwrap();
            let stamp = stage.frame_table.stamp(&stage.sva, stage.data);
            assert_eq!(stamp, stage.frame_table.flushed(&stage.sva, last));
            stage.sva.retype(stage.data, Kind::UserData).unwrap();
            cpus().for_each(|cpu| all_fault(&stage.sva, cpu, stage.address()));
            stage.sva.map(table, index, stage.data, Rights::ReadWrite).unwrap();
            stage.remember_all();
        }
        stage.sound();
    }

    /// A later drop is not hidden by an earlier one, nor an earlier one by a later flush of one CPU.
    fn attack_c07_the_last_drop_is_the_stamp<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        stage.everywhere();
        let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
        for round in 0..6 {
            stage.sva.unmap(table, index).unwrap();
            let stamp = stage.frame_table.stamp(&stage.sva, stage.data);
            assert_eq!(stamp, stage.frame_table.now(&stage.sva));
            stage.on(cpu(round % 3), || stage.sva.flush());
            stage.sva.map(table, index, stage.data, Rights::Read).unwrap();
            stage.remember_all();
        }
        stage.sva.unmap(table, index).unwrap();
        as_table(&stage, stage.data);
        cpus().for_each(|cpu| all_fault(&stage.sva, cpu, stage.address()));
    }

    /// A process whose root another CPU still runs: its root stays until that CPU has another. Kernel
    /// threads that only borrow a root are not there yet.
    fn attack_c09_the_root_of_a_process_that_runs_elsewhere_stays<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        stage.sva.unmap(stage.leaf_table(), Stage::<P>::INDEX).unwrap();
        let mut parents = vec![(stage.root, stage.root_index())];
        if stage.tables.len() > 1 {
            parents.push(stage.leaf_parent());
        }
        for (parent, index) in parents.into_iter().rev() {
            let table = stage.sva.unlink(parent, index).unwrap();
            stage.refused(|sva| sva.remove_root(stage.root), Violation::RootInUse(stage.root));
            stage.sva.remove_table(table).unwrap();
        }
        stage.refused(|sva| sva.remove_root(stage.root), Violation::RootInUse(stage.root));
        let sealed = stage.sva.sealed_root();
        stage.on(cpu(1), || stage.sva.load_root(sealed)).unwrap();
        stage.sva.remove_root(stage.root).unwrap();
        stage.sound();
    }

    fn attack_c10_an_empty_range_flushes_nothing_and_ends<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let before = stage.sva.machine().digest();
        stage.sva.flush_range(PageRange::EMPTY);
        stage.sva.flush_range(PageRange::new(stage.page, 0).unwrap());
        stage.sva.flush_range(PageRange::new(page(FRAME_LIMIT - 1), 0).unwrap());
        assert_eq!(stage.sva.machine().digest(), before);
    }

    /// Each page of the range, the first and the last too, whether it is flushed by page or whole.
    fn attack_c10_no_page_of_a_range_is_skipped<P>() {
        for count in [1, 2, 3, 31, 32, 33, 64] {
            for place in [0, count / 2, count - 1] {
                let stage = Stage::<P>::new(Live::Here);
                assert_eq!(stage.sva.machine().cached_count(cpu(0)), 1);
                let first = page(stage.page.number() - place);
                stage.sva.flush_range(PageRange::new(first, count).unwrap());
                assert_eq!(stage.sva.machine().cached_count(cpu(0)), 0, "page {place} of {count}");
                assert_eq!(stage.sva.machine().structure_count(cpu(0)), 0);
            }
        }
    }

    fn attack_c10_ranges_at_the_ends_of_the_address_space_end<P>() {
        let stage = Stage::<P>::new(Live::Here);
        stage.sva.flush_range(PageRange::new(page(FRAME_LIMIT - 1), 1).unwrap());
        stage.sva.flush_range(PageRange::new(page(FRAME_LIMIT - 31), 31).unwrap());
        stage.sva.flush_range(PageRange::new(page(0), 31).unwrap());
        assert_eq!(stage.sva.machine().cached_count(cpu(0)), 1, "the page is in none of these");
        stage.sva.flush_range(crate::hardware::all_pages());
        assert_eq!(stage.sva.machine().cached_count(cpu(0)), 0);
        // A range that wraps cannot be said.
        assert_eq!(PageRange::new(page(FRAME_LIMIT - 1), 2), None);
        assert_eq!(PageRange::new(page(1), u32::MAX), None);
        stage.sound();
    }

    fn attack_c10_a_flush_of_all_reaches_every_cpu<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        stage.everywhere();
        stage.on(cpu(1), || stage.sva.flush_all());
        for cpu in cpus() {
            assert_eq!(stage.sva.machine().cached_count(cpu), 0);
            assert_eq!(stage.sva.machine().structure_count(cpu), 0);
        }
    }

    /// When a frame is free no CPU remembers it: not its data, and not it as a table.
    fn attack_c11_a_free_frame_is_in_no_tlb<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        stage.everywhere();
        unmap_unflushed(&stage, Rights::ReadWrite);
        stage.remember_all();
        let remembers = |cpu: Cpu, frame: Frame| {
            let machine = stage.sva.machine();
            machine.cached(cpu).iter().any(|(_, to)| to.frame == frame)
                || machine.structures(cpu).iter().any(|structure| structure.table == frame)
        };
        assert!(cpus().any(|cpu| remembers(cpu, stage.data)));
        stage.sva.retype(stage.data, Kind::Free).unwrap();
        assert!(!cpus().any(|cpu| remembers(cpu, stage.data)));
        let (parent, index) = stage.leaf_parent();
        stage.remember_all();
        let table = stage.sva.unlink(parent, index).unwrap();
        stage.sva.remove_table(table).unwrap();
        assert!(!cpus().any(|cpu| remembers(cpu, table)));
        stage.sound();
    }

    /// While one CPU does not answer, the frame is not free; when it does, it is.
    fn attack_c11_a_slow_cpu_is_waited_for<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        unmap_unflushed(&stage, Rights::Read);
        stage.sva.machine().reset_counters();
        stage.sva.machine().defer_interrupts(cpu(1), 100);
        stage.sva.retype(stage.data, Kind::Free).unwrap();
        assert_eq!(stage.sva.machine().counters(cpu(1)).deferred, 100);
        all_fault(&stage.sva, cpu(1), stage.address());
    }

    /// Windows for stacks and devices are not there yet: owned pages lie in the direct map, whose
    /// addresses never translate to anything else, however often a frame is lent and remembered.
    fn attack_c12_an_address_of_owned_pages_is_never_stale<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        let owned = stage.spare(0);
        let direct = page(stage.sva.user_window().end() + owned.number());
        let range = FrameRange::new(owned, 1).unwrap();
        for round in 0..4 {
            cpus().for_each(|cpu| assert!(stage.sva.machine().fill_nth(cpu, direct, 0)));
            let pages = KernelPages::new(&stage.sva, range).unwrap();
            assert!(pages.iter().all(|byte| *byte == 0));
            drop(pages);
            if round % 2 == 1 {
                stage.sva.retype(owned, Kind::UserData).unwrap();
                stage.sva.retype(owned, Kind::Free).unwrap();
            }
            for cpu in cpus() {
                for (page, to) in
                    stage.sva.machine().cached(cpu).into_iter().filter(|(page, _)| *page == direct)
                {
                    let now = stage.sva.translate(stage.sva.sealed_root(), page).unwrap().unwrap();
                    assert_eq!((to.frame, to.writable, to.user), (now.frame(), now.write(), false));
                }
            }
            stage.sound();
        }
    }

    /// The root's entry is cleared while the root is loaded, and what it led to is used again.
    fn attack_c13_a_cleared_entry_of_a_loaded_root_is_not_used<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        stage.remember_all();
        stage.sva.unmap(stage.leaf_table(), Stage::<P>::INDEX).unwrap();
        let top = stage.sva.unlink(stage.root, stage.root_index()).unwrap();
        if P::ROOT_IN_REGISTERS {
            for cpu in cpus() {
                let register = stage.sva.machine().root_registers(cpu)[stage.root_index() as usize];
                assert_eq!(register, 0, "CPU {} goes on with the old table", cpu.number());
            }
        }
        if stage.tables.len() > 1 {
            let (parent, index) = stage.leaf_parent();
            assert_eq!(parent, top);
            let leaf = stage.sva.unlink(parent, index).unwrap();
            stage.sva.remove_table(leaf).unwrap();
        }
        stage.sva.remove_table(top).unwrap();
        stage.sva.retype(top, Kind::UserData).unwrap();
        stage.sva.write_bytes(top, 0, &[0x67; 4096]).unwrap();
        cpus().for_each(|cpu| all_fault(&stage.sva, cpu, stage.address()));
        stage.sound();
    }

    /// The reverse: a new entry of a loaded root is there for its CPUs, and no other.
    fn attack_c13_a_new_entry_of_a_loaded_root_is_used<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let index = (stage.root_index() + 1) % 3;
        let mut parent = stage.root;
        for level in (1..P::LEVELS).rev() {
            let table = stage.spare_table(level.into(), level);
            stage.sva.link(parent, if level + 1 == P::LEVELS { index } else { 0 }, table).unwrap();
            parent = table;
        }
        let data = stage.spare_data(5);
        stage.sva.map(parent, 0, data, Rights::ReadWrite).unwrap();
        let address = page(index << P::ROOT_SPAN_BITS).start();
        for cpu in cpus() {
            let reached = stores_reach(&stage.sva, cpu, address);
            assert_eq!(!reached.is_empty(), stage.user() == Some(cpu));
            assert!(reached.iter().all(|frame| *frame == data));
        }
        stage.sound();
    }
}
