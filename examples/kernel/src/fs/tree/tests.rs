use super::*;
use crate::fs::dirent::Layout;
use crate::fs::poll::Events;
use crate::fs::stat::S_IFSOCK;
use crate::fs::tty::Job;

pub(in crate::fs) fn tree() -> (Tree, Subject) {
    let tree = Tree::new(1 << 20).unwrap();
    let subject = Subject::new(tree.root().clone());
    (tree, subject)
}

/// Paths in the root, as one subject.
struct User<'t>(&'t Tree, Subject);

impl User<'_> {
    fn find(&self, path: &str) -> Result<Arc<Inode>> {
        self.0.find(&self.1, self.0.root(), path.as_bytes(), Follow::Yes)
    }

    fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<File>> {
        self.0.open(&self.1, self.0.root(), path.as_bytes(), flags, 0o666)
    }

    fn make_directory(&self, path: &str, permissions: u16) -> Result<()> {
        self.0.make_directory(&self.1, self.0.root(), path.as_bytes(), permissions)
    }

    fn create(&self, path: &str) -> Result<()> {
        self.open(path, OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::WRONLY).map(drop)
    }

    fn unlink(&self, path: &str) -> Result<()> {
        self.0.unlink(&self.1, self.0.root(), path.as_bytes())
    }

    fn symlink(&self, text: &str, path: &str) -> Result<()> {
        self.0.make_symlink(&self.1, text.as_bytes(), self.0.root(), path.as_bytes())
    }

    fn as_user(&self, uid: u32) -> Self {
        let mut subject = self.1.clone();
        (subject.uid, subject.gid) = (uid, uid);
        Self(self.0, subject)
    }
}

fn errno<T>(result: Result<T>) -> Option<Errno> {
    result.err()
}

#[test]
fn permissions_are_asked_of_all_but_root() {
    let (tree, subject) = tree();
    let root = User(&tree, subject);
    root.make_directory("private", 0o700).unwrap();
    root.create("private/file").unwrap();
    root.make_directory("tmp", 0o1777).unwrap();
    tree.change_mode(&root.1, &root.find("tmp").unwrap(), 0o1777).unwrap();
    root.create("readable").unwrap();
    let (one, two) = (root.as_user(1), root.as_user(2));
    assert_eq!(errno(one.find("private/file")), Some(Errno::EACCES));
    assert_eq!(errno(one.open("readable", OpenFlags::WRONLY)), Some(Errno::EACCES));
    one.open("readable", OpenFlags::RDONLY).unwrap();
    assert_eq!(one.create("file"), Err(Errno::EACCES));
    assert_eq!(one.unlink("readable"), Err(Errno::EACCES));
    one.create("tmp/file").unwrap();
    assert_eq!(two.unlink("tmp/file"), Err(Errno::EPERM));
    let file = one.find("tmp/file").unwrap();
    assert_eq!(tree.change_mode(&two.1, &file, 0), Err(Errno::EPERM));
    assert_eq!(tree.change_owner(&one.1, &file, Some(2), None), Err(Errno::EPERM));
    tree.change_mode(&one.1, &file, 0o200).unwrap();
    assert_eq!(errno(one.open("tmp/file", OpenFlags::RDONLY)), Some(Errno::EACCES));
    assert_eq!(tree.access(&one.1, &file, 2), Ok(()));
    assert_eq!(tree.access(&one.1, &file, 4), Err(Errno::EACCES));
    assert_eq!(tree.access(&one.1, &file, 8), Err(Errno::EINVAL));
    assert_eq!(file.check_execute(&root.1), Err(Errno::EACCES));
    tree.change_mode(&one.1, &file, 0o100).unwrap();
    file.check_execute(&root.1).unwrap();
    assert_eq!(file.check_execute(&two.1), Err(Errno::EACCES));
    tree.change_mode(&one.1, &file, 0o6711).unwrap();
    tree.change_owner(&one.1, &file, None, Some(1)).unwrap();
    assert_eq!(file.stat().mode, S_IFREG | 0o711);
    one.unlink("tmp/file").unwrap();
    let device = DeviceNumber { major: 1, minor: 3 };
    let node = |mode| tree.make_node(&one.1, tree.root(), b"tmp/node", mode, device);
    assert_eq!(node(S_IFCHR), Err(Errno::EPERM));
    assert_eq!(node(S_IFSOCK), Err(Errno::EINVAL));
    node(S_IFREG).unwrap();
}

#[test]
fn who_creates_a_file_may_use_it_whatever_its_mode() {
    let (tree, subject) = tree();
    let flags = OpenFlags::CREAT | OpenFlags::RDWR;
    let file = tree.open(&subject, tree.root(), b"file", flags, 0o000).unwrap();
    assert_eq!(file.write(1, &mut &b"x"[..]), Ok(1));
    assert_eq!(file.stat().mode, S_IFREG);
}

#[test]
fn a_group_is_inherited_where_the_directory_says_so() {
    let (tree, subject) = tree();
    let root = User(&tree, subject);
    root.make_directory("shared", 0o777).unwrap();
    let shared = root.find("shared").unwrap();
    tree.change_owner(&root.1, &shared, None, Some(9)).unwrap();
    tree.change_mode(&root.1, &shared, S_ISGID | 0o777).unwrap();
    let one = root.as_user(1);
    one.make_directory("shared/sub", 0o755).unwrap();
    one.create("shared/sub/file").unwrap();
    assert_eq!(root.find("shared/sub").unwrap().stat().mode & 0o7777, S_ISGID | 0o755);
    assert_eq!(root.find("shared/sub/file").unwrap().stat().gid, 9);
}

#[test]
fn names_and_paths_have_a_longest() {
    let (tree, subject) = tree();
    let user = User(&tree, subject);
    user.create(&"n".repeat(255)).unwrap();
    assert_eq!(user.create(&"n".repeat(256)), Err(Errno::ENAMETOOLONG));
    assert_eq!(errno(user.find(&"./".repeat(2048))), Some(Errno::ENAMETOOLONG));
    user.find(&"./".repeat(2047)).unwrap();
    assert_eq!(errno(user.find("")), Some(Errno::ENOENT));
    assert_eq!(user.symlink(&"t".repeat(4096), "link"), Err(Errno::ENAMETOOLONG));
    assert_eq!(user.symlink("", "link"), Err(Errno::ENOENT));
}

#[test]
fn links_are_followed_forty_times() {
    let (tree, subject) = tree();
    let user = User(&tree, subject);
    user.create("0").unwrap();
    for number in 1..=41 {
        user.symlink(&format!("{}", number - 1), &format!("{number}")).unwrap();
    }
    user.find("40").unwrap();
    assert_eq!(errno(user.find("41")), Some(Errno::ELOOP));
    user.symlink("self/x", "self").unwrap();
    assert_eq!(errno(user.find("self")), Some(Errno::ELOOP));
    user.symlink("/../0", "absolute").unwrap();
    assert!(Arc::ptr_eq(&user.find("absolute").unwrap(), &user.find("0").unwrap()));
}

#[test]
fn a_file_lives_as_long_as_it_is_open() {
    let (tree, subject) = tree();
    let user = User(&tree, subject);
    let before = tree.volume().budget().left();
    let file = user.open("file", OpenFlags::CREAT | OpenFlags::RDWR).unwrap();
    file.write(3, &mut &b"abc"[..]).unwrap();
    user.unlink("file").unwrap();
    assert_eq!(file.stat().links, 0);
    let mut bytes = Vec::new();
    assert_eq!(file.read_at(0, 9, &mut bytes), Ok(3));
    assert_eq!(tree.link(&user.1, file.inode().unwrap(), tree.root(), b"again"), Err(Errno::ENOENT));
    drop(file);
    assert_eq!(tree.volume().budget().left(), before);
}

#[test]
fn a_removed_directory_gets_no_entries() {
    let (tree, mut subject) = tree();
    let root = subject.clone();
    tree.make_directory(&subject, tree.root(), b"here", 0o777).unwrap();
    subject.directory = tree.find_directory(&subject, tree.root(), b"here").unwrap();
    tree.remove_directory(&root, tree.root(), b"here").unwrap();
    let here = subject.directory.clone();
    let create = tree.open(&subject, &here, b"file", OpenFlags::CREAT | OpenFlags::WRONLY, 0o666);
    assert_eq!(errno(create), Some(Errno::ENOENT));
    assert_eq!(tree.make_directory(&subject, &here, b"sub", 0o777), Err(Errno::ENOENT));
    assert_eq!(tree.path_of(&subject, &here), Err(Errno::ENOENT));
    assert!(Arc::ptr_eq(&tree.find(&subject, &here, b"..", Follow::Yes).unwrap(), tree.root()));
    let file = tree.open(&subject, &here, b".", OpenFlags::DIRECTORY, 0).unwrap();
    assert_eq!(file.read_directory(Layout::New, 100, &mut Vec::new()), Err(Errno::ENOENT));
}

#[test]
fn directories_know_their_paths() {
    let (tree, subject) = tree();
    let user = User(&tree, subject.clone());
    user.make_directory("a", 0o755).unwrap();
    user.make_directory("a/b", 0o755).unwrap();
    user.symlink("a/b", "link").unwrap();
    let path_of = |path| tree.path_of(&subject, &user.find(path).unwrap()).unwrap();
    assert_eq!(path_of("/"), b"/");
    assert_eq!(path_of("link"), b"/a/b");
    let replace = crate::fs::rename::Replace::Yes;
    tree.rename(&subject, (tree.root(), b"a/b"), (tree.root(), b"c"), replace).unwrap();
    assert_eq!(path_of("c"), b"/c");
    assert_eq!(user.find("a").unwrap().stat().links, 2);
    // Seen from another root, as after `chroot`.
    let inner = Subject { root: user.find("a").unwrap(), ..subject.clone() };
    assert_eq!(tree.path_of(&inner, &inner.root).unwrap(), b"/");
    let above = tree.find(&inner, &inner.root, b"../../..", Follow::Yes).unwrap();
    assert!(Arc::ptr_eq(&above, &inner.root));
}

#[test]
fn a_mounted_tree_covers_a_directory() {
    let (tree, subject) = tree();
    let user = User(&tree, subject.clone());
    user.make_directory("mnt", 0o755).unwrap();
    user.create("mnt/below").unwrap();
    tree.mount_memory(&subject, b"none", b"/mnt").unwrap();
    assert_eq!(errno(user.find("mnt/below")), Some(Errno::ENOENT));
    user.make_directory("mnt/sub", 0o755).unwrap();
    assert_ne!(user.find("mnt").unwrap().stat().device, user.find("/").unwrap().stat().device);
    assert!(Arc::ptr_eq(&user.find("mnt/sub/../..").unwrap(), tree.root()));
    assert_eq!(tree.path_of(&subject, &user.find("mnt/sub").unwrap()).unwrap(), b"/mnt/sub");
    user.create("file").unwrap();
    let replace = crate::fs::rename::Replace::Yes;
    let rename = |old: &str, new: &str| {
        tree.rename(&subject, (tree.root(), old.as_bytes()), (tree.root(), new.as_bytes()), replace)
    };
    assert_eq!(rename("file", "mnt/file"), Err(Errno::EXDEV));
    assert_eq!(rename("mnt", "other"), Err(Errno::EBUSY));
    let file = user.find("file").unwrap();
    assert_eq!(tree.link(&subject, &file, tree.root(), b"mnt/file"), Err(Errno::EXDEV));
    assert_eq!(tree.remove_directory(&subject, tree.root(), b"mnt"), Err(Errno::EBUSY));
    // Twice on the same directory: the last covers.
    tree.mount_memory(&subject, b"none", b"/mnt").unwrap();
    assert_eq!(errno(user.find("mnt/sub")), Some(Errno::ENOENT));
    assert!(Arc::ptr_eq(&user.find("mnt/..").unwrap(), tree.root()));
    assert_eq!(tree.path_of(&subject, &user.find("mnt").unwrap()).unwrap(), b"/mnt");
    tree.unmount(&subject, b"/mnt").unwrap();
    user.find("mnt/sub").unwrap();
    tree.unmount(&subject, b"/mnt").unwrap();
    user.find("mnt/below").unwrap();
    assert_eq!(tree.unmount(&subject, b"/mnt"), Err(Errno::EINVAL));
    assert_eq!(tree.unmount(&user.as_user(1).1, b"/mnt"), Err(Errno::EPERM));
    assert_eq!(tree.mount_memory(&subject, b"none", b"/file"), Err(Errno::ENOTDIR));
}

#[test]
fn a_tree_may_be_deeper_than_the_stack() {
    let tree = Tree::new(64 << 20).unwrap();
    let mut subject = Subject::new(tree.root().clone());
    for _ in 0..50_000 {
        tree.make_directory(&subject, &subject.directory.clone(), b"d", 0o755).unwrap();
        subject.directory = tree.find_directory(&subject, &subject.directory, b"d").unwrap();
    }
    assert_eq!(tree.path_of(&subject, &subject.directory), Err(Errno::ENAMETOOLONG));
    drop((tree, subject));
}

#[test]
fn memory_ends_with_an_error() {
    let tree = Tree::new(10_000).unwrap();
    let user = User(&tree, Subject::new(tree.root().clone()));
    let full = (0..).find_map(|number| user.create(&format!("{number}")).err());
    assert_eq!(full, Some(Errno::ENOSPC));
    assert_eq!(user.make_directory("directory", 0o755), Err(Errno::ENOSPC));
    assert!(tree.volume().budget().left() < 1000);
    user.unlink("3").unwrap();
    user.create("three").unwrap();
    let names = (0..).find_map(|number| {
        let inode = user.find("three").unwrap();
        tree.link(&user.1, &inode, tree.root(), format!("link {number}").as_bytes()).err()
    });
    assert_eq!(names, Some(Errno::ENOSPC));
}

#[test]
fn a_fifo_is_a_pipe_with_a_name() {
    let (tree, subject) = tree();
    let user = User(&tree, subject.clone());
    tree.make_node(&subject, tree.root(), b"fifo", S_IFIFO | 0o666, DeviceNumber::default()).unwrap();
    let nonblocking = OpenFlags::WRONLY | OpenFlags::NONBLOCK;
    assert_eq!(errno(user.open("fifo", nonblocking)), Some(Errno::ENXIO));
    let reader = user.open("fifo", OpenFlags::RDONLY).unwrap();
    assert!(reader.awaits_peer());
    let writer = user.open("fifo", nonblocking).unwrap();
    assert!(!reader.awaits_peer() && !writer.awaits_peer());
    writer.write(2, &mut &b"ab"[..]).unwrap();
    assert_eq!(reader.poll(), Events::IN);
    let mut bytes = Vec::new();
    assert_eq!(reader.read(9, &mut bytes), Ok(2));
    assert_eq!(reader.read(9, &mut bytes), Err(Errno::EAGAIN));
    drop(writer);
    assert_eq!(reader.read(9, &mut bytes), Ok(0));
    let both = user.open("fifo", OpenFlags::RDWR).unwrap();
    assert!(!both.awaits_peer());
    assert_eq!(both.stat().mode, S_IFIFO | 0o644);
}

#[test]
fn a_terminal_becomes_the_session_leaders_when_it_is_opened() {
    let (tree, subject) = tree();
    let serial = DeviceNumber { major: 4, minor: 64 };
    let devices =
        [("console", DeviceNumber::CONSOLE), ("tty", DeviceNumber::OWN_TERMINAL), ("ttyS0", serial)];
    for (name, device) in devices {
        tree.make_node(&subject, tree.root(), name.as_bytes(), S_IFCHR | 0o666, device).unwrap();
    }
    let mut user = User(&tree, subject);
    assert_eq!(errno(user.open("ttyS0", OpenFlags::RDWR)), Some(Errno::ENXIO));
    let (terminal, _) = crate::fs::tty::tests::terminal();
    tree.add_terminal(DeviceNumber::CONSOLE, terminal.clone());
    tree.add_terminal(serial, terminal.clone());
    let job = |process, session| Job { process, group: process, session };
    user.1.job = job(5, 5);
    user.open("console", OpenFlags::RDWR).unwrap();
    user.open("ttyS0", OpenFlags::RDWR | OpenFlags::NOCTTY).unwrap();
    assert_eq!(errno(user.open("tty", OpenFlags::RDWR)), Some(Errno::ENXIO));
    user.1.job = job(6, 5);
    user.open("ttyS0", OpenFlags::RDWR).unwrap();
    assert_eq!(terminal.session(), 0);
    user.1.job = job(5, 5);
    let file = user.open("ttyS0", OpenFlags::RDWR).unwrap();
    assert_eq!((terminal.session(), terminal.foreground()), (5, 5));
    assert!(Arc::ptr_eq(file.terminal().unwrap(), &terminal));
    user.1.job = job(6, 5);
    user.open("tty", OpenFlags::RDWR).unwrap();
    user.1.job = job(7, 7);
    user.open("ttyS0", OpenFlags::RDWR).unwrap();
    assert_eq!(terminal.session(), 5);
    assert_eq!(errno(user.open("tty", OpenFlags::RDWR)), Some(Errno::ENXIO));
}

#[test]
fn entries_that_stay_are_listed_once_while_others_go() {
    let (tree, subject) = tree();
    let user = User(&tree, subject);
    for number in 0..100 {
        user.create(&format!("{number:03}")).unwrap();
    }
    let directory = user.open("/", OpenFlags::DIRECTORY).unwrap();
    let mut names = Vec::new();
    loop {
        let mut entries = Vec::new();
        if directory.read_directory(Layout::Old, 64, &mut entries).unwrap() == 0 {
            break;
        }
        let mut rest = &entries[..];
        while !rest.is_empty() {
            let len = usize::from(u16::from_le_bytes([rest[8], rest[9]]));
            let name = rest[10..len - 1].split(|byte| *byte == 0).next().unwrap();
            names.push(String::from_utf8(name.to_vec()).unwrap());
            let is_directory = name.starts_with(b".");
            assert_eq!(rest[len - 1], if is_directory { 4 } else { 8 });
            if !is_directory {
                user.unlink(names.last().unwrap()).unwrap();
            }
            rest = &rest[len..];
        }
    }
    assert_eq!(names.len(), 102);
    assert_eq!(directory.read_directory(Layout::New, 64, &mut Vec::new()), Ok(0));
    directory.seek(0, crate::fs::file::Whence::Start).unwrap();
    assert_eq!(directory.read_directory(Layout::New, 20, &mut Vec::new()), Err(Errno::EINVAL));
    assert_eq!(directory.read_directory(Layout::New, 24, &mut Vec::new()), Ok(24));
}
