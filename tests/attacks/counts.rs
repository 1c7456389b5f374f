//! E13, E14, E17, E18: counts, histories and batches, exactly.

use crate::common::world::frame;
use crate::ram::Table;
use crate::stage::{CPUS, Live, Machine, RAM, Stage, cpu, refused, sound};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use sva_os::address::{Frame, PhysAddr};
use sva_os::frame::Kind;
use sva_os::machine::Word;
use sva_os::machine::emulated::Step;
use sva_os::mmu::{Geometry, Leaf, PagingMode, Rights};
use sva_os::{Progress, Violation};

/// The most mappings of a frame, and the most writable ones, that its word can count.
const MOST: u32 = 4095;
const MOST_WRITABLE: u32 = 2047;

/// Numbers without a pattern, the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32 % limit
    }
}

/// Maps `frame` in empty entries of spare tables until `count` leaves say so. Answers the tables.
fn map_often<P: PagingMode>(stage: &Stage<P>, target: Frame, rights: Rights, count: u32) -> Vec<Frame> {
    let mut tables = Vec::new();
    for done in 0..count {
        if done % P::ENTRIES == 0 {
            tables.push(stage.spare_table(20 + done / P::ENTRIES, 1));
        }
        let table = *tables.last().unwrap();
        stage.sva.map(table, done % P::ENTRIES, target, rights).unwrap();
    }
    tables
}

/// A batch on a world does what the single calls do on its copy, and answers `expected`.
#[track_caller]
fn same_as_singles<P: PagingMode>(
    stage: &Stage<P>,
    expected: Progress,
    batch: impl FnOnce(&Machine<P>) -> Progress,
    single: impl Fn(&Machine<P>, u32) -> Result<(), Violation>,
) {
    let copy = Machine::<P>::clone(&stage.sva);
    for done in 0..expected.done {
        assert_eq!(single(&copy, done), Ok(()));
    }
    if let Some(violation) = expected.refused {
        refused(&copy, |copy| single(copy, expected.done), violation);
    }
    assert_eq!(batch(&stage.sva), expected);
    assert!(stage.sva.machine().digest() == copy.machine().digest(), "the batch left something else");
    sound(&stage.sva);
}

/// Calls `call` on a stage whose hardware uses the page just before the first exchange of its entry,
/// and answers what the entry was before, is after, and what the call said.
fn used_in_between<P: PagingMode>(
    live: Live,
    call: impl FnOnce(&Machine<P>, Frame, u32) -> Result<Leaf, Violation>,
) -> (Stage<P>, u64, Leaf) {
    let stage = Stage::<P>::new(live);
    let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
    stage.sva.take_accessed_dirty(table, index).unwrap();
    let before = stage.raw(table, index);
    assert_eq!(before & HISTORY, 0);
    let at = PhysAddr::new(table.start().get() + index * <P::Raw as Word>::BYTES);
    let weak = Arc::downgrade(&stage.sva);
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    stage.sva.machine().set_hook(Some(Arc::new(move |event| {
        let sva = weak.upgrade().expect("the world that the hook is in");
        if event.what == Step::Exchange(at) && counter.fetch_add(1, Ordering::Relaxed) == 0 {
            let raw: P::Raw = sva.machine().peek(at);
            sva.machine().poke(at, P::Raw::low_bits_of(raw.into() | HISTORY));
        }
    })));
    let answer = call(&stage.sva, table, index);
    stage.sva.machine().set_hook(None);
    assert!(seen.load(Ordering::Relaxed) > 0, "the entry was never exchanged");
    let answer = answer.expect("A and D are no reason to refuse");
    stage.sound();
    (stage, before, answer)
}

const HISTORY: u64 = 1 << 5 | 1 << 6;

attacks! {
    /// A thousand replacements at random, also of a frame by itself and by other rights.
    fn attack_e13_replacing_at_random_keeps_the_counts<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let mut numbers = Numbers(0x5eed);
        let targets: Vec<_> = (0..6).map(|n| stage.spare_data(n)).collect();
        let tables: Vec<_> = (6..9).map(|n| stage.spare_table(n, 1)).collect();
        let mut model = [None; 3 * 8];
        for step in 0..1000 {
            let place = numbers.below(model.len() as u32);
            let (table, index) = (tables[place as usize / 8], place % 8);
            let target = targets[numbers.below(6) as usize];
            let rights = Rights::ALL[numbers.below(4) as usize];
            let entry = &mut model[place as usize];
            match *entry {
                None => stage.sva.map(table, index, target, rights).unwrap(),
                Some((frame, before)) => {
                    let old = stage.sva.replace(table, index, target, rights).unwrap();
                    let before: Rights = before;
                    assert_eq!((old.frame(), old.write()), (frame, before.write()));
                }
            }
            *entry = Some((target, rights));
            if step % 100 == 0 {
                stage.sound();
            }
        }
        for target in targets {
            let here = model.iter().flatten().filter(|(frame, _)| *frame == target);
            let writable = here.clone().filter(|(_, rights)| rights.write()).count() as u32;
            let counted = stage.sva.mappings(target);
            assert_eq!((counted.total, counted.writable), (here.count() as u32, writable));
        }
        stage.sound();
    }

    fn attack_e14_used_while_it_is_protected<P>(live: Live) {
        for rights in Rights::ALL {
            let call = |sva: &Machine<P>, table, index| sva.protect(table, index, rights);
            let (stage, before, old) = used_in_between(live, call);
            assert!(old.accessed() && old.dirty() && old.write());
            let after = stage.raw(stage.leaf_table(), Stage::<P>::INDEX);
            let no_execute = if P::NO_EXECUTE && !rights.execute() { 1 << 63 } else { 0 };
            let write = u64::from(rights.write()) << 1;
            assert_eq!(after, before & !(1 << 63 | 2) | no_execute | write | HISTORY);
            assert_eq!(stage.sva.mappings(stage.data).writable, u32::from(rights.write()));
        }
    }

    fn attack_e14_used_while_it_is_replaced<P>(live: Live) {
        let call = |sva: &Machine<P>, table, index| {
            sva.retype(frame(40), Kind::UserData)?;
            sva.replace(table, index, frame(40), Rights::Read)
        };
        let (stage, _, old) = used_in_between(live, call);
        assert!(old.accessed() && old.dirty());
        assert_eq!(old.frame(), stage.data);
        // The new page has not been used, whatever happened to the old one.
        assert_eq!(stage.raw(stage.leaf_table(), Stage::<P>::INDEX) & HISTORY, 0);
    }

    fn attack_e14_used_while_it_is_unmapped<P>(live: Live) {
        let (stage, _, old) = used_in_between::<P>(live, |sva, table, index| sva.unmap(table, index));
        assert!(old.accessed() && old.dirty());
        assert_eq!(stage.raw(stage.leaf_table(), Stage::<P>::INDEX), 0);
    }

    /// No use is lost: what came in between is in the answer, and gone from the entry.
    fn attack_e14_used_while_its_history_is_taken<P>(live: Live) {
        let take = |sva: &Machine<P>, table, index| sva.take_accessed_dirty(table, index);
        let (stage, before, old) = used_in_between(live, take);
        assert!(old.accessed() && old.dirty());
        assert_eq!(stage.raw(stage.leaf_table(), Stage::<P>::INDEX), before);
    }

    fn attack_e17_a_batch_of_maps_stops_at_a_bad_element<P>(live: Live) {
        for bad in 0..5u32 {
            let stage = Stage::<P>::new(live);
            let good = stage.spare_data(0);
            let evil = [
                (stage.leaf_table(), Violation::NotMappable(stage.leaf_table())),
                (frame(RAM), Violation::NoSuchFrame(frame(RAM))),
                (stage.spare(1), Violation::NotMappable(stage.spare(1))),
                (stage.root, Violation::NotMappable(stage.root)),
                (frame(1), Violation::NotMappable(frame(1))),
            ];
            let (evil, violation) = evil[bad as usize];
            let mut leaves = vec![(good, Rights::ReadWrite); 5];
            leaves[bad as usize].0 = evil;
            let (table, first) = (stage.leaf_table(), 10);
            let expected = Progress { done: bad, refused: Some(violation) };
            same_as_singles(
                &stage,
                expected,
                |sva| sva.map_batch(table, first, &leaves),
                |sva, n| {
                    let (frame, rights) = leaves[n as usize];
                    sva.map(table, first + n, frame, rights)
                },
            );
        }
    }

    fn attack_e17_a_batch_of_maps_stops_at_a_present_entry<P>(live: Live) {
        for before in 0..4 {
            let stage = Stage::<P>::new(live);
            let leaves = [(stage.data, Rights::Read); 6];
            let (table, full) = (stage.leaf_table(), Stage::<P>::INDEX);
            if full < before {
                continue;
            }
            let first = full - before;
            let expected = Progress { done: before, refused: Some(Violation::EntryPresent(full)) };
            same_as_singles(
                &stage,
                expected,
                |sva| sva.map_batch(table, first, &leaves),
                |sva, n| sva.map(table, first + n, stage.data, Rights::Read),
            );
        }
    }

    fn attack_e17_a_batch_stops_at_the_end_of_the_table<P>(live: Live) {
        for before in 0..3 {
            let stage = Stage::<P>::new(live);
            let table = stage.leaf_table();
            let first = P::ENTRIES - before;
            let end = Some(Violation::NoSuchEntry(P::ENTRIES));
            let expected = Progress { done: before, refused: end };
            let leaves = [(stage.data, Rights::ReadWrite); 4];
            same_as_singles(
                &stage,
                expected,
                |sva| sva.map_batch(table, first, &leaves),
                |sva, n| sva.map(table, first + n, stage.data, Rights::ReadWrite),
            );
            let rights = [Rights::Read; 4];
            same_as_singles(
                &stage,
                expected,
                |sva| sva.protect_batch(table, first, &rights),
                |sva, n| sva.protect(table, first + n, Rights::Read).map(drop),
            );
            let mut old = [None; 4];
            same_as_singles(
                &stage,
                expected,
                |sva| sva.unmap_batch(table, first, &mut old),
                |sva, n| sva.unmap(table, first + n).map(drop),
            );
            assert_eq!(old.iter().flatten().count() as u32, before);
        }
    }

    fn attack_e17_a_batch_that_begins_past_the_end_does_nothing<P>() {
        let stage = Stage::<P>::new(Live::Here);
        for first in [P::ENTRIES, P::ENTRIES + Stage::<P>::INDEX, u32::MAX - 1, u32::MAX, 1 << 31] {
            let table = stage.leaf_table();
            let leaves = [(stage.data, Rights::Read); 3];
            let end = Violation::NoSuchEntry(first);
            stage.refused(|sva| sva.map_batch(table, first, &leaves).complete(), end);
            stage.refused(|sva| sva.protect_batch(table, first, &[Rights::Read; 3]).complete(), end);
            stage.refused(|sva| sva.unmap_batch(table, first, &mut [None; 3]).complete(), end);
        }
    }

    fn attack_e17_batches_of_unmap_and_protect_stop_at_an_empty_entry<P>(live: Live) {
        for hole in 0..4u32 {
            let stage = Stage::<P>::new(live);
            let (table, first) = (stage.leaf_table(), 20);
            for n in (0..4).filter(|n| *n != hole) {
                stage.sva.map(table, first + n, stage.data, Rights::ALL[n as usize]).unwrap();
            }
            let empty = Some(Violation::EntryEmpty(first + hole));
            let expected = Progress { done: hole, refused: empty };
            let rights = [Rights::ReadWrite; 4];
            same_as_singles(
                &stage,
                expected,
                |sva| sva.protect_batch(table, first, &rights),
                |sva, n| sva.protect(table, first + n, Rights::ReadWrite).map(drop),
            );
            let mut old = [None; 4];
            same_as_singles(
                &stage,
                expected,
                |sva| sva.unmap_batch(table, first, &mut old),
                |sva, n| sva.unmap(table, first + n).map(drop),
            );
            assert_eq!(old.iter().flatten().count() as u32, hole);
        }
    }

    fn attack_e17_an_empty_batch_does_nothing<P>(live: Live) {
        let stage = Stage::<P>::new(live);
        let table = stage.leaf_table();
        let none = Progress { done: 0, refused: None };
        let before = stage.sva.machine().digest();
        for first in [0, Stage::<P>::INDEX, P::ENTRIES - 1] {
            assert_eq!(stage.sva.map_batch(table, first, &[]), none);
            assert_eq!(stage.sva.unmap_batch(table, first, &mut []), none);
            assert_eq!(stage.sva.protect_batch(table, first, &[]), none);
        }
        assert_eq!(stage.sva.machine().digest(), before);
    }

    /// A whole table at once, and away with it.
    fn attack_e17_a_batch_may_fill_a_table<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let table = stage.spare_table(0, 1);
        let leaves = vec![(stage.data, Rights::ReadWrite); P::ENTRIES as usize];
        assert_eq!(stage.sva.map_batch(table, 0, &leaves), Progress { done: P::ENTRIES, refused: None });
        assert_eq!(stage.sva.mappings(stage.data).writable, P::ENTRIES + 1);
        stage.refused(|sva| sva.remove_table(table), Violation::TableNotEmpty(table));
        stage.sound();
        let mut old = vec![None; P::ENTRIES as usize];
        assert_eq!(stage.sva.unmap_batch(table, 0, &mut old).complete(), Ok(P::ENTRIES));
        stage.sva.remove_table(table).unwrap();
        stage.sound();
    }

    fn attack_e18_one_writable_mapping_too_many_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let target = stage.spare_data(0);
        map_often(&stage, target, Rights::ReadWrite, MOST_WRITABLE);
        assert_eq!(stage.sva.mappings(target).writable, MOST_WRITABLE);
        let (table, full) = (stage.leaf_table(), Stage::<P>::INDEX);
        let many = Violation::TooManyMappings(target);
        for rights in [Rights::ReadWrite, Rights::ReadWriteExecute] {
            stage.refused(|sva| sva.map(table, 0, target, rights), many);
            stage.refused(|sva| sva.replace(table, full, target, rights), many);
            stage.refused(|sva| sva.map_batch(table, 0, &[(target, rights)]).complete(), many);
        }
        stage.refused(|sva| sva.write_bytes(target, 0, &[1]), many);
        // Reading has its own count, until it would write.
        stage.sva.map(table, 0, target, Rights::Read).unwrap();
        stage.sva.read_bytes(target, 0, &mut [0]).unwrap();
        stage.refused(|sva| sva.protect(table, 0, Rights::ReadWrite), many);
        stage.refused(|sva| sva.protect_batch(table, 0, &[Rights::ReadWrite]).complete(), many);
        stage.sound();
        // One less, and it is accepted again.
        stage.sva.protect(frame(crate::stage::SPARE + 20), 0, Rights::Read).unwrap();
        stage.sva.protect(table, 0, Rights::ReadWrite).unwrap();
        stage.sound();
    }

    fn attack_e18_one_mapping_too_many_is_refused<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let target = stage.spare_data(0);
        let tables = map_often(&stage, target, Rights::Read, MOST);
        assert_eq!(stage.sva.mappings(target).total, MOST);
        let (table, full) = (stage.leaf_table(), Stage::<P>::INDEX);
        let many = Violation::TooManyMappings(target);
        // If it is refused, it is refused with more rights too.
        for rights in Rights::ALL {
            stage.refused(|sva| sva.map(table, 0, target, rights), many);
            stage.refused(|sva| sva.replace(table, full, target, rights), many);
            stage.refused(|sva| sva.map_batch(table, 0, &[(target, rights)]).complete(), many);
        }
        stage.refused(|sva| sva.read_bytes(target, 0, &mut [0]), many);
        stage.refused(|sva| sva.write_bytes(target, 0, &[1]), many);
        // A leaf that is there may still become writable: that adds no mapping.
        stage.sva.protect(tables[0], 0, Rights::ReadWrite).unwrap();
        stage.sva.unmap(tables[0], 0).unwrap();
        stage.sva.map(table, 0, target, Rights::Read).unwrap();
        stage.sound();
    }

    /// A table has fewer entries than its count has room for, and a machine fewer CPUs.
    fn attack_e18_a_root_on_every_cpu_is_counted<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        let before = stage.sva.mappings(stage.root);
        for number in 0..CPUS {
            stage.on(cpu(number), || stage.sva.load_root(stage.root)).unwrap();
            // Again on the same CPU: what CR3 held is given back.
            stage.on(cpu(number), || stage.sva.load_root(stage.root)).unwrap();
        }
        let loaded = stage.sva.mappings(stage.root);
        assert_eq!((loaded.total, loaded.writable), (before.total + CPUS, CPUS));
        stage.sound();
    }

    /// What the stage reads of the frame table is what the library says.
    fn attack_e18_the_frame_table_is_where_it_is_read<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let table = Table::of(&stage.sva);
        for frame in (0..RAM).map(frame) {
            assert_eq!(table.kind(&stage.sva, frame), stage.sva.kind(frame) as u32);
            assert!(!table.is_busy(&stage.sva, frame));
        }
        let before = table.now(&stage.sva);
        stage.sva.flush();
        let now = table.now(&stage.sva);
        assert!(now > before && table.flushed(&stage.sva, cpu(0)) == now & 0x7fff_ffff | 1);
    }
}
