use super::*;
use crate::fs::flags::OpenFlags;
use crate::fs::tree::tests::tree;
use crate::wait::tests::woken;

fn at(descriptor: i32, events: Events) -> PollFd {
    PollFd { descriptor, events, happened: Events::empty() }
}

fn happened(files: &[PollFd]) -> Vec<Events> {
    files.iter().map(|file| file.happened).collect()
}

/// A pipe: 0 to read, 1 to write.
pub(in crate::fs) fn table() -> Descriptors {
    let (tree, _) = tree();
    let (reads, writes) = tree.pipe(OpenFlags::empty()).unwrap();
    let mut table = Descriptors::new();
    table.insert(reads, false).unwrap();
    table.insert(writes, false).unwrap();
    table
}

#[test]
fn what_can_be_done_is_told() {
    let mut table = table();
    let both = Events::IN | Events::OUT;
    let mut files = [at(0, both), at(1, both), at(-1, both), at(9, both)];
    assert_eq!(poll(&table, &mut files), 2);
    assert_eq!(happened(&files), [Events::empty(), Events::OUT, Events::empty(), Events::NVAL]);
    table.get(1).unwrap().write(1, &mut &b"x"[..]).unwrap();
    let mut files = [at(0, Events::RDNORM), at(0, Events::empty()), at(1, Events::WRNORM)];
    assert_eq!(poll(&table, &mut files), 2);
    assert_eq!(happened(&files), [Events::RDNORM, Events::empty(), Events::WRNORM]);
    table.close(1).unwrap();
    let mut files = [at(0, Events::empty())];
    assert_eq!(poll(&table, &mut files), 1);
    assert_eq!(happened(&files), [Events::HUP]);
}

#[test]
fn who_watches_is_woken() {
    let mut table = table();
    let files = [at(0, Events::RDNORM), at(-1, Events::IN), at(7, Events::IN)];
    woken();
    watch(&table, &files, TaskId(1));
    table.get(1).unwrap().write(1, &mut &b"x"[..]).unwrap();
    assert_eq!(woken(), [TaskId(1)]);
    watch(&table, &files, TaskId(1));
    unwatch(&table, &files, TaskId(1));
    table.close(1).unwrap();
    assert_eq!(woken(), []);
}

#[test]
fn a_structure_is_eight_bytes() {
    let bytes = [5, 0, 0, 0, 1, 0, 0xff, 0xff];
    let file = PollFd::from_bytes(bytes);
    assert_eq!(file, at(5, Events::IN));
    let happened = PollFd { happened: Events::HUP, ..file };
    assert_eq!(happened.to_bytes(), [5, 0, 0, 0, 1, 0, 0x10, 0]);
}
