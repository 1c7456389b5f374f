use super::*;
use crate::errno::Errno;
use crate::fs::dirent::Layout;
use crate::fs::flags::OpenFlags;
use crate::fs::tree::Follow;

/// Two processes: 1, which asks, and 7.
struct Fake;

impl Proc for Fake {
    fn current(&self) -> u32 {
        1
    }

    fn after(&self, process: u32) -> Option<u32> {
        [1, 7].into_iter().find(|other| *other > process)
    }

    fn process(&self, process: u32) -> Option<Process> {
        [1, 7].contains(&process).then(|| Process {
            parent: process / 2,
            group: 1,
            session: 1,
            terminal: Some((DeviceNumber { major: 4, minor: 64 }, 1)),
            state: if process == 1 { State::Running } else { State::Sleeping },
            name: b"a name ) of more than fifteen".to_vec(),
            uid: process,
            gid: 0,
            threads: 1,
            user_time: 123,
            system_time: 45,
            start: 6,
            size: 0x8000,
            resident: 5,
        })
    }

    fn arguments(&self, _: u32) -> Vec<u8> {
        b"sh\0-c\0true\0".to_vec()
    }

    fn executable(&self, process: u32) -> Option<Vec<u8>> {
        (process == 1).then(|| b"/bin/busybox".to_vec())
    }

    fn directory(&self, _: u32) -> Option<Vec<u8>> {
        Some(b"/".to_vec())
    }

    fn system(&self) -> System {
        System {
            uptime: 12345,
            idle_time: 6,
            memory: 65536,
            memory_free: 1024,
            running: 1,
            ..System::default()
        }
    }
}

#[test]
fn what_is_told_is_counted_while_it_is_kept() {
    let (tree, subject) = mounted();
    let before = tree.volume().budget().left();
    let file = tree.open(&subject, tree.root(), b"/proc/meminfo", OpenFlags::RDONLY, 0).unwrap();
    let opened = tree.volume().budget().left();
    let mut bytes = Vec::new();
    file.read_at(5, 9, &mut bytes).unwrap();
    assert_eq!(bytes, b"tal:     ");
    let kept = opened - tree.volume().budget().left();
    assert!(kept >= 250, "{kept}");
    file.read_at(0, 9, &mut bytes).unwrap();
    assert_eq!(opened - tree.volume().budget().left(), kept);
    drop(file);
    assert_eq!(tree.volume().budget().left(), before);
}

fn mounted() -> (Tree, Subject) {
    let tree = Tree::new(1 << 20).unwrap();
    let subject = Subject::new(tree.root().clone());
    tree.make_directory(&subject, tree.root(), b"/proc", 0o555).unwrap();
    tree.mount_proc(&subject, b"proc", b"/proc", &Fake).unwrap();
    (tree, subject)
}

fn read(path: &str) -> Result<String> {
    let (tree, subject) = mounted();
    let file = tree.open(&subject, tree.root(), path.as_bytes(), OpenFlags::RDONLY, 0)?;
    let mut bytes = Vec::new();
    while file.read(7, &mut bytes)? > 0 {}
    Ok(String::from_utf8(bytes).unwrap())
}

#[test]
fn a_process_has_52_fields() {
    let stat = read("/proc/7/stat").unwrap();
    let (name, rest) = stat.rsplit_once(')').unwrap();
    assert_eq!(name, "7 (a name ) of mor");
    let fields: Vec<_> = rest.split_whitespace().collect();
    assert_eq!(fields.len(), 50);
    // Counted from 1, as in proc(5), where these begin with 3.
    let field = |number: usize| fields[number - 3];
    assert_eq!((field(3), field(4), field(7), field(8)), ("S", "3", "1088", "1"));
    assert_eq!((field(14), field(15), field(20), field(22)), ("123", "45", "1", "6"));
    assert_eq!((field(23), field(24), field(38)), ("32768", "5", "17"));
}

#[test]
fn files_tell_what_the_kernel_knows() {
    assert_eq!(read("/proc/uptime").unwrap(), "123.45 0.06\n");
    assert_eq!(read("/proc/self/cmdline").unwrap(), "sh\0-c\0true\0");
    assert!(read("/proc/meminfo").unwrap().starts_with("MemTotal:          65536 kB\n"));
    assert_eq!(read("/proc/mounts").unwrap(), "rootfs / rootfs rw 0 0\nproc /proc proc rw 0 0\n");
    assert!(read("/proc/1/status").unwrap().contains("\nUid:\t1\t1\t1\t1\n"));
    assert!(read("/proc/stat").unwrap().starts_with("cpu  0 0 0 6 "));
    assert_eq!(read("/proc/8/stat"), Err(Errno::ENOENT));
    assert_eq!(read("/proc/007/stat"), Err(Errno::ENOENT));
    assert_eq!(read("/proc/7/exe"), Err(Errno::ENOENT));
}

#[test]
fn all_that_is_listed_is_there() {
    let (tree, subject) = mounted();
    for (path, expected) in [("/proc", 12), ("/proc/1", 9), ("/proc/7", 8)] {
        let file = tree.open(&subject, tree.root(), path.as_bytes(), OpenFlags::RDONLY, 0).unwrap();
        let mut entries = Vec::new();
        while file.read_directory(Layout::New, 64, &mut entries).unwrap() > 0 {}
        let mut names = Vec::new();
        let mut rest = &entries[..];
        while !rest.is_empty() {
            let len = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let number = u64::from_le_bytes(rest[..8].try_into().unwrap());
            let name = rest[19..len].split(|byte| *byte == 0).next().unwrap();
            let inode = tree.find(&subject, file.inode().unwrap(), name, Follow::No).unwrap();
            if name != b".." {
                assert_eq!(inode.stat().inode, number, "{name:?}");
            }
            assert_eq!(inode.kind() >> 12, u16::from(rest[18]));
            names.push(name.to_vec());
            rest = &rest[len..];
        }
        assert_eq!(names.len(), expected, "{path}");
    }
    let inode = tree.find(&subject, tree.root(), b"/proc/7", Follow::Yes).unwrap();
    assert_eq!(tree.path_of(&subject, &inode).unwrap(), b"/proc/7");
    assert_eq!(inode.stat().uid, 7);
}

#[test]
fn nothing_can_be_changed() {
    let (tree, subject) = mounted();
    let root = tree.root();
    let open = |path: &[u8], flags| tree.open(&subject, root, path, flags, 0o644).map(|_| ());
    assert_eq!(open(b"/proc/new", OpenFlags::CREAT | OpenFlags::WRONLY), Err(Errno::ENOENT));
    assert_eq!(open(b"/proc/uptime", OpenFlags::WRONLY), Err(Errno::EACCES));
    assert_eq!(tree.make_directory(&subject, root, b"/proc/new", 0o755), Err(Errno::ENOENT));
    assert_eq!(tree.unlink(&subject, root, b"/proc/uptime"), Err(Errno::EPERM));
    assert_eq!(tree.remove_directory(&subject, root, b"/proc/7"), Err(Errno::EPERM));
    assert_eq!(tree.remove_directory(&subject, root, b"/proc"), Err(Errno::EBUSY));
    let rename = tree.rename(
        &subject,
        (root, b"/proc/uptime"),
        (root, b"/proc/stat"),
        crate::fs::rename::Replace::Yes,
    );
    assert_eq!(rename, Err(Errno::EPERM));
    tree.unmount(&subject, b"/proc").unwrap();
    assert_eq!(open(b"/proc/uptime", OpenFlags::RDONLY), Err(Errno::ENOENT));
    tree.remove_directory(&subject, root, b"/proc").unwrap();
}
