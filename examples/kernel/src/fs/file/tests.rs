use super::*;
use crate::fs::subject::Subject;
use crate::fs::tree::Tree;
use crate::fs::tree::tests::tree;

const CREATE: OpenFlags = OpenFlags::CREAT.union(OpenFlags::RDWR);

fn open(tree: &Tree, subject: &Subject, path: &[u8], flags: OpenFlags) -> Arc<File> {
    tree.open(subject, tree.root(), path, flags, 0o644).unwrap()
}

fn read(file: &File, count: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read(count, &mut bytes)?;
    Ok(bytes)
}

fn device(minor: u32) -> Arc<File> {
    let (tree, subject) = tree();
    let number = DeviceNumber { major: 1, minor };
    tree.make_node(&subject, tree.root(), b"device", 0o020666, number).unwrap();
    open(&tree, &subject, b"device", OpenFlags::RDWR)
}

#[test]
fn an_offset_moves_with_what_is_done() {
    let (tree, subject) = tree();
    let file = open(&tree, &subject, b"file", CREATE);
    assert_eq!(file.write(5, &mut &b"hello"[..]), Ok(5));
    assert_eq!(file.seek(-4, Whence::Current), Ok(1));
    assert_eq!(read(&file, 2).unwrap(), b"el");
    assert_eq!(file.seek(2, Whence::End), Ok(7));
    assert_eq!(file.write(1, &mut &b"!"[..]), Ok(1));
    assert_eq!(file.seek(0, Whence::Start), Ok(0));
    assert_eq!(read(&file, 99).unwrap(), b"hello\0\0!");
    assert_eq!(read(&file, 99).unwrap(), b"");
    assert_eq!(file.seek(-9, Whence::End), Err(Errno::EINVAL));
    assert_eq!(file.seek(i64::MAX, Whence::Current), Err(Errno::EINVAL));
    let mut bytes = Vec::new();
    assert_eq!(file.read_at(1, 3, &mut bytes), Ok(3));
    assert_eq!(file.write_at(0, 1, &mut &b"J"[..]), Ok(1));
    assert_eq!(file.seek(0, Whence::Current), Ok(8));
    file.truncate(2).unwrap();
    assert_eq!(file.stat().size, 2);
    assert_eq!(file.stat().blocks, 8);
}

#[test]
fn what_is_appended_goes_to_the_end() {
    let (tree, subject) = tree();
    let first = open(&tree, &subject, b"file", CREATE);
    let second = open(&tree, &subject, b"file", CREATE | OpenFlags::APPEND);
    first.write(3, &mut &b"abc"[..]).unwrap();
    assert_eq!(second.write(1, &mut &b"d"[..]), Ok(1));
    assert_eq!(second.write_at(0, 1, &mut &b"e"[..]), Ok(1));
    assert_eq!(second.seek(0, Whence::Current), Ok(4));
    first.set_flags(OpenFlags::APPEND | OpenFlags::WRONLY);
    assert_eq!(first.flags(), OpenFlags::RDWR | OpenFlags::APPEND);
    first.write(1, &mut &b"f"[..]).unwrap();
    first.seek(0, Whence::Start).unwrap();
    assert_eq!(read(&first, 9).unwrap(), b"abcdef");
}

#[test]
fn a_file_does_what_it_was_opened_for() {
    let (tree, subject) = tree();
    open(&tree, &subject, b"file", CREATE);
    let reads = open(&tree, &subject, b"file", OpenFlags::RDONLY);
    let writes = open(&tree, &subject, b"file", OpenFlags::WRONLY);
    let path = open(&tree, &subject, b"file", OpenFlags::PATH);
    let directory = open(&tree, &subject, b"/", OpenFlags::RDONLY);
    assert_eq!(reads.write(1, &mut &b"x"[..]), Err(Errno::EBADF));
    assert_eq!(reads.truncate(0), Err(Errno::EINVAL));
    assert_eq!(read(&writes, 1), Err(Errno::EBADF));
    assert_eq!(read(&path, 1), Err(Errno::EBADF));
    assert_eq!(path.seek(0, Whence::Start), Err(Errno::EBADF));
    assert_eq!(read(&directory, 1), Err(Errno::EISDIR));
    assert_eq!(path.stat(), reads.stat());
    assert_eq!(path.poll(), Events::NVAL);
    assert!(reads.directory().is_err());
}

#[test]
fn devices_of_memory_do_what_they_do() {
    let null = device(3);
    assert_eq!(null.write(usize::MAX, &mut &b""[..]), Ok(usize::MAX));
    assert_eq!(read(&null, 9).unwrap(), b"");
    assert_eq!(null.seek(5, Whence::Start), Ok(0));
    let zero = device(5);
    assert_eq!(read(&zero, 1000).unwrap(), [0; 1000]);
    let full = device(7);
    assert_eq!(full.write(1, &mut &b"x"[..]), Err(Errno::ENOSPC));
    assert_eq!(read(&full, 3).unwrap(), [0; 3]);
    let random = device(9);
    let (one, two) = (read(&random, 100).unwrap(), read(&random, 100).unwrap());
    assert_eq!((one.len(), two.len()), (100, 100));
    assert_ne!(one, two);
    assert_eq!(random.write(9, &mut &b"entropy!!"[..]), Ok(9));
    let (tree, subject) = tree();
    let number = DeviceNumber { major: 1, minor: 4 };
    tree.make_node(&subject, tree.root(), b"device", 0o020666, number).unwrap();
    let opened = tree.open(&subject, tree.root(), b"device", OpenFlags::RDONLY, 0);
    assert_eq!(opened.err(), Some(Errno::ENXIO));
}

#[test]
fn times_tell_what_was_done() {
    let (tree, subject) = tree();
    let file = open(&tree, &subject, b"file", CREATE);
    let time = |seconds| crate::fs::clock::Time { seconds, nanoseconds: 0 };
    use crate::fs::tree::Change;
    let inode = file.inode().unwrap();
    tree.change_times(&subject, inode, Change::To(time(5)), Change::To(time(6))).unwrap();
    tree.change_times(&subject, inode, Change::Keep, Change::To(time(7))).unwrap();
    assert_eq!((file.stat().accessed, file.stat().modified), (time(5), time(7)));
    file.write(1, &mut &b"x"[..]).unwrap();
    // The clock of tests stands still.
    assert_eq!(file.stat().modified, time(0));
    let other = Subject { uid: 1, ..subject };
    let now = tree.change_times(&other, inode, Change::Now, Change::Now);
    assert_eq!(now, Err(Errno::EACCES));
    assert_eq!(tree.change_times(&other, inode, Change::To(time(1)), Change::Keep), Err(Errno::EPERM));
}

#[test]
fn a_pipe_has_no_offset() {
    let (tree, _) = tree();
    let (reads, writes) = tree.pipe(OpenFlags::NONBLOCK).unwrap();
    assert_eq!(reads.seek(0, Whence::Current), Err(Errno::ESPIPE));
    assert_eq!(reads.read_at(0, 1, &mut Vec::new()), Err(Errno::ESPIPE));
    assert_eq!(reads.write(1, &mut &b"x"[..]), Err(Errno::EBADF));
    assert_eq!(read(&writes, 1), Err(Errno::EBADF));
    assert!(reads.is_nonblocking() && writes.is_nonblocking());
    assert_eq!(writes.write(3, &mut &b"abc"[..]), Ok(3));
    let mut answer = Vec::new();
    let job = Job::default();
    assert_eq!(reads.ioctl(job, FIONREAD, 0, &mut &[][..], &mut answer), Ok(0));
    assert_eq!(answer, [3, 0, 0, 0]);
    assert_eq!(reads.ioctl(job, FIONBIO, 0, &mut &[0; 4][..], &mut answer), Ok(0));
    assert!(!reads.is_nonblocking());
    assert_eq!(reads.ioctl(job, 0x5401, 0, &mut &[][..], &mut answer), Err(Errno::ENOTTY));
    assert_eq!(reads.stat().mode, S_IFIFO | 0o600);
    assert_eq!(tree.pipe(OpenFlags::APPEND).err(), Some(Errno::EINVAL));
}
