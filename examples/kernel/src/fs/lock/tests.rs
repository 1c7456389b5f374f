use super::*;
use crate::fs::descriptors::Descriptors;
use crate::fs::file::File;
use crate::fs::flags::OpenFlags;
use crate::fs::tree::tests::tree;
use crate::wait::TaskId;
use crate::wait::tests::woken;
use alloc::sync::Arc;
use proptest::prelude::*;
use std::collections::BTreeMap;

const INODE: u32 = 1;

fn kind() -> impl Strategy<Value = Option<Kind>> {
    prop::sample::select(vec![None, Some(Kind::Shared), Some(Kind::Exclusive)])
}

proptest! {
    /// Each byte by itself: who holds it, and how.
    #[test]
    fn ranges_are_sets_of_bytes(
        steps in prop::collection::vec((0..3_u32, 0..12_u64, 0..12_u64, kind()), 0..60),
    ) {
        let locks = Locks::default();
        let mut model = BTreeMap::<(u64, u32), Kind>::new();
        for (table, one, two, kind) in steps {
            let (first, last) = (one.min(two), one.max(two));
            let free = kind.is_none_or(|kind| {
                !model.iter().any(|((byte, other), held)| {
                    (first..=last).contains(byte)
                        && *other != table
                        && (kind == Kind::Exclusive || *held == Kind::Exclusive)
                })
            });
            if let Some(kind) = kind {
                let in_the_way = locks.test(INODE, Owner::Table(table), Range { first, last }, kind);
                prop_assert_eq!(in_the_way.is_none(), free);
                if let Some(Record { start, process, .. }) = in_the_way {
                    prop_assert!(model.contains_key(&(start as u64, process)));
                }
            }
            let set = locks.set(INODE, Owner::Table(table), Range { first, last }, kind, table);
            prop_assert_eq!(set, if free { Ok(()) } else { Err(Errno::EAGAIN) });
            for byte in (first..=last).filter(|_| free) {
                match kind {
                    Some(kind) => model.insert((byte, table), kind),
                    None => model.remove(&(byte, table)),
                };
            }
            let mut held = BTreeMap::new();
            for lock in locks.held.lock().iter() {
                for byte in lock.range.first..=lock.range.last {
                    prop_assert_eq!(held.insert((byte, lock.process), lock.kind), None);
                }
            }
            prop_assert_eq!(&held, &model);
            prop_assert_eq!(locks.count.load(Ordering::Relaxed), locks.held.lock().len());
        }
    }
}

fn record(kind: Option<Kind>, start: i64, len: i64) -> Record {
    Record { kind, whence: Whence::Start, start, len, process: 0 }
}

/// Two tables with the same file each, opened twice.
fn tables() -> (Descriptors, Descriptors) {
    let (tree, subject) = tree();
    let open = || -> Arc<File> {
        let flags = OpenFlags::CREAT | OpenFlags::RDWR;
        tree.open(&subject, tree.root(), b"file", flags, 0o644).unwrap()
    };
    let (mut one, mut two) = (Descriptors::new(), Descriptors::new());
    one.insert(open(), false).unwrap();
    two.insert(open(), true).unwrap();
    (one, two)
}

#[test]
fn a_record_is_held_until_its_owner_closes_the_file() {
    let (mut one, two) = tables();
    let write = record(Some(Kind::Exclusive), 10, 5);
    one.set_record(0, write, 7).unwrap();
    assert_eq!(two.set_record(0, record(Some(Kind::Shared), 14, 0), 8), Err(Errno::EAGAIN));
    assert_eq!(two.test_record(0, record(Some(Kind::Shared), 14, 0)), Ok(Record { process: 7, ..write }));
    let free = record(Some(Kind::Shared), 15, 0);
    assert_eq!(two.test_record(0, free), Ok(Record { kind: None, ..free }));
    // One's own are not in the way, a fork's are its own.
    one.set_record(0, record(Some(Kind::Shared), 0, 11), 7).unwrap();
    let fork = one.try_clone().unwrap();
    assert_eq!(fork.set_record(0, write, 9), Err(Errno::EAGAIN));
    woken();
    two.get(0).unwrap().lock_queue(&mut |queue| queue.add(TaskId(3)));
    let again = one.duplicate(0).unwrap();
    drop(one.close(again));
    assert_eq!(woken(), [TaskId(3)], "any descriptor of the file");
    two.set_record(0, record(Some(Kind::Exclusive), 0, 0), 8).unwrap();
    drop(two);
    fork.set_record(0, write, 9).unwrap();
}

#[test]
fn exec_and_other_files_in_their_place_unlock() {
    let (mut one, mut two) = tables();
    let all = record(Some(Kind::Exclusive), 0, 0);
    two.set_record(0, all, 8).unwrap();
    two.exec();
    one.set_record(0, all, 7).unwrap();
    let (tree, _) = tree();
    let (reads, _writes) = tree.pipe(OpenFlags::empty()).unwrap();
    let pipe = one.insert(reads, false).unwrap();
    assert_eq!(one.set_record(pipe, all, 7), Err(Errno::EINVAL));
    let file = one.get(0).unwrap().clone();
    one.duplicate_to(pipe, 0, false).unwrap();
    let mut three = Descriptors::new();
    three.insert(file, false).unwrap();
    three.set_record(0, all, 9).unwrap();
}

#[test]
fn a_whole_file_is_locked_for_those_who_share_its_description() {
    let (one, two) = tables();
    let (first, second) = (one.get(0).unwrap(), two.get(0).unwrap());
    first.lock_whole(Some(Kind::Shared)).unwrap();
    second.lock_whole(Some(Kind::Shared)).unwrap();
    assert_eq!(first.lock_whole(Some(Kind::Exclusive)), Err(Errno::EAGAIN));
    // As in Linux: who asks for more gives back first.
    second.lock_whole(Some(Kind::Exclusive)).unwrap();
    // The other kind of lock knows nothing of it.
    one.set_record(0, record(Some(Kind::Exclusive), 0, 0), 7).unwrap();
    let shared = two.try_clone().unwrap();
    drop(two);
    assert_eq!(first.lock_whole(Some(Kind::Shared)), Err(Errno::EAGAIN));
    drop(shared);
    first.lock_whole(Some(Kind::Shared)).unwrap();
    first.lock_whole(None).unwrap();
}

#[test]
fn a_record_is_for_what_the_file_was_opened_for() {
    let (tree, subject) = tree();
    let mut table = Descriptors::new();
    for flags in [OpenFlags::CREAT, OpenFlags::WRONLY, OpenFlags::PATH] {
        let file = tree.open(&subject, tree.root(), b"file", flags, 0o644).unwrap();
        table.insert(file, false).unwrap();
    }
    let of = |kind| record(Some(kind), 0, 1);
    table.set_record(0, of(Kind::Shared), 1).unwrap();
    assert_eq!(table.set_record(0, of(Kind::Exclusive), 1), Err(Errno::EBADF));
    assert_eq!(table.set_record(1, of(Kind::Shared), 1), Err(Errno::EBADF));
    table.set_record(1, of(Kind::Exclusive), 1).unwrap();
    assert_eq!(table.set_record(2, of(Kind::Shared), 1), Err(Errno::EBADF));
    assert_eq!(table.set_record(9, of(Kind::Shared), 1), Err(Errno::EBADF));
    assert_eq!(table.test_record(0, record(None, 0, 1)), Err(Errno::EINVAL));
}

#[test]
fn there_are_only_so_many() {
    let locks = Locks::default();
    let one = |place: u64| {
        let range = Range { first: place * 2, last: place * 2 };
        locks.set(INODE, Owner::Table(1), range, Some(Kind::Shared), 1)
    };
    let refused = (0..).find_map(|place| one(place).err());
    assert_eq!(refused, Some(Errno::ENOLCK));
    assert!(locks.held.lock().len() <= MAX_LOCKS);
    locks.release(INODE, Owner::Table(1));
    assert_eq!(one(0), Ok(()));
    // To unlock the middle of one makes two of it.
    let locks = Locks::default();
    let set = |first, last, kind| locks.set(INODE, Owner::Table(1), Range { first, last }, kind, 1);
    set(0, 10_000, Some(Kind::Shared)).unwrap();
    let refused = (1..5000).find_map(|place| set(place * 2, place * 2, None).err());
    assert_eq!(refused, Some(Errno::ENOLCK));
    assert_eq!(locks.held.lock().len(), MAX_LOCKS);
    set(0, 1, None).unwrap();
}

#[test]
fn ranges_are_counted_as_posix_does() {
    let range = |start, len, origin| record(None, start, len).range(origin);
    assert_eq!(range(5, 10, 100), Ok(Range { first: 105, last: 114 }));
    assert_eq!(range(5, 0, 100), Ok(Range { first: 105, last: i64::MAX as u64 }));
    assert_eq!(range(5, -3, 100), Ok(Range { first: 102, last: 104 }));
    assert_eq!(range(-101, 1, 100), Err(Errno::EINVAL));
    assert_eq!(range(0, -1, 0), Err(Errno::EINVAL));
    assert_eq!(range(i64::MAX, 1, 1), Err(Errno::EOVERFLOW));
    assert_eq!(range(i64::MAX, 2, 0), Err(Errno::EOVERFLOW));
    assert_eq!(range(i64::MIN, i64::MIN, 0), Err(Errno::EINVAL));
}

#[test]
fn structures_are_as_on_i386() {
    let bytes = [1, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0];
    let lock = Record::from_bytes(bytes).unwrap();
    assert_eq!(lock, record(Some(Kind::Exclusive), 5, 6));
    assert_eq!(Record { process: 7, ..lock }.to_bytes(), Ok(bytes));
    let mut bytes = [0; 24];
    bytes[..4].copy_from_slice(&[2, 0, 1, 0]);
    bytes[4..12].fill(0xff);
    bytes[12] = 9;
    bytes[20] = 7;
    let lock = Record::from_bytes_64(bytes).unwrap();
    assert_eq!(lock, Record { whence: Whence::Current, ..record(None, -1, 9) });
    assert_eq!(Record { process: 7, ..lock }.to_bytes_64(), bytes);
    assert_eq!(record(None, 1 << 31, 0).to_bytes(), Err(Errno::EOVERFLOW));
    bytes[0] = 3;
    assert_eq!(Record::from_bytes_64(bytes), Err(Errno::EINVAL));
}
