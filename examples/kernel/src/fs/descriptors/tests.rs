use super::*;
use crate::fs::flags::OpenFlags;
use crate::fs::tree::Tree;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn file() -> Arc<File> {
    Tree::new(1 << 16).unwrap().pipe(OpenFlags::empty()).unwrap().0
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u32, bool),
    Close(u32),
    Duplicate(u32),
    DuplicateOver(u32, u32),
    DuplicateTo(u32, u32, bool),
    Mark(u32, bool),
    Limit(u32),
    Fork,
    Exec,
}

fn step() -> impl Strategy<Value = Step> {
    let fd = 0..12_u32;
    prop_oneof![
        (fd.clone(), any::<bool>()).prop_map(|(lowest, closes)| Step::Insert(lowest, closes)),
        fd.clone().prop_map(Step::Close),
        fd.clone().prop_map(Step::Duplicate),
        (fd.clone(), fd.clone()).prop_map(|(old, new)| Step::DuplicateOver(old, new)),
        (fd.clone(), fd.clone(), any::<bool>())
            .prop_map(|(old, new, closes)| Step::DuplicateTo(old, new, closes)),
        (fd.clone(), any::<bool>()).prop_map(|(fd, closes)| Step::Mark(fd, closes)),
        (4..12_u32).prop_map(Step::Limit),
        Just(Step::Fork),
        Just(Step::Exec),
    ]
}

/// The files by number, told apart by their addresses.
type Model = BTreeMap<u32, (usize, bool)>;

fn insert(model: &mut Model, lowest: u32, limit: u32, value: (usize, bool)) -> Result<u32> {
    if lowest >= limit {
        return Err(Errno::EINVAL);
    }
    let free = (lowest..limit).find(|fd| !model.contains_key(fd)).ok_or(Errno::EMFILE)?;
    model.insert(free, value);
    Ok(free)
}

fn address(file: &Arc<File>) -> usize {
    Arc::as_ptr(file).addr()
}

proptest! {
    #[test]
    fn a_table_is_a_map(steps in prop::collection::vec(step(), 0..80)) {
        let mut table = Descriptors::new();
        let mut model = Model::new();
        let mut limit = DEFAULT_LIMIT;
        for step in steps {
            match step {
                Step::Insert(lowest, closes) => {
                    let file = file();
                    let value = (address(&file), closes);
                    let got = table.insert_from(lowest, file, closes);
                    prop_assert_eq!(got, insert(&mut model, lowest, limit, value));
                }
                Step::Close(fd) => {
                    let closed = table.close(fd).map(|file| address(&file));
                    prop_assert_eq!(closed, model.remove(&fd).map(|(file, _)| file).ok_or(Errno::EBADF));
                }
                Step::Duplicate(fd) => {
                    let expected = match model.get(&fd).copied() {
                        Some((file, _)) => insert(&mut model, 0, limit, (file, false)),
                        None => Err(Errno::EBADF),
                    };
                    prop_assert_eq!(table.duplicate(fd), expected);
                }
                Step::DuplicateOver(old, new) => {
                    let got = table.duplicate_over(old, new).map(|file| file.map(|file| address(&file)));
                    let expected = match model.get(&old).copied() {
                        None => Err(Errno::EBADF),
                        Some(_) if old == new => Ok(None),
                        Some(_) if new >= limit => Err(Errno::EBADF),
                        Some((file, _)) => Ok(model.insert(new, (file, false)).map(|(file, _)| file)),
                    };
                    prop_assert_eq!(got, expected);
                }
                Step::DuplicateTo(old, new, closes) => {
                    let got = table.duplicate_to(old, new, closes).map(|file| file.map(|file| address(&file)));
                    let expected = match model.get(&old).copied() {
                        _ if old == new => Err(Errno::EINVAL),
                        _ if new >= limit => Err(Errno::EBADF),
                        None => Err(Errno::EBADF),
                        Some((file, _)) => Ok(model.insert(new, (file, closes)).map(|(file, _)| file)),
                    };
                    prop_assert_eq!(got, expected);
                }
                Step::Mark(fd, closes) => {
                    let expected = model.get_mut(&fd).map(|slot| slot.1 = closes).ok_or(Errno::EBADF);
                    prop_assert_eq!(table.set_closes_on_exec(fd, closes), expected);
                }
                Step::Limit(new) => {
                    table.set_limit(new).unwrap();
                    limit = new;
                }
                Step::Fork => table = table.try_clone().unwrap(),
                Step::Exec => {
                    table.exec();
                    model.retain(|_, (_, closes)| !*closes);
                }
            }
            prop_assert!(table.numbers().eq(model.keys().copied()));
            for (fd, (file, closes)) in &model {
                prop_assert_eq!(table.get(*fd).map(address), Ok(*file));
                prop_assert_eq!(table.closes_on_exec(*fd), Ok(*closes));
            }
        }
    }
}

#[test]
fn numbers_beyond_all_limits_are_refused() {
    let mut table = Descriptors::new();
    table.insert(file(), false).unwrap();
    assert_eq!(table.get(u32::MAX).err(), Some(Errno::EBADF));
    assert_eq!(table.close(u32::MAX).err(), Some(Errno::EBADF));
    assert_eq!(table.duplicate_to(0, u32::MAX, false).err(), Some(Errno::EBADF));
    assert_eq!(table.insert_from(u32::MAX, file(), false), Err(Errno::EINVAL));
    assert_eq!(table.set_limit(MAX_LIMIT + 1), Err(Errno::EPERM));
    table.set_limit(0).unwrap();
    assert_eq!(table.insert(file(), false), Err(Errno::EMFILE));
}
