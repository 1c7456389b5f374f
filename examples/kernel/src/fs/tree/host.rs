//! The same calls on this tree and on the host's Linux, with the same answers.

use super::*;
use crate::fs::rename::Replace;
use proptest::prelude::*;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, RenameFlags};
use rustix::io;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::os::fd::OwnedFd;

/// How deep the directory lies in which all happens. No path leads out of it upwards: each link that is followed
/// goes up once at most, and forty are followed at most.
const DEPTH: usize = 64;

#[derive(Clone, Debug)]
enum Call {
    Open(String, u32),
    MakeDirectory(String),
    RemoveDirectory(String),
    Unlink(String),
    Rename(String, String, bool),
    Link(String, String),
    Symlink(String, String),
    ReadLink(String),
    Stat(String, bool),
}

/// What a call answers: a number or a text, or an error's number.
type Answer = core::result::Result<Vec<u8>, u16>;

fn path() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "a", "b", "b", "c", "c", ".", ".."]);
    (prop::collection::vec(part, 1..4), prop::sample::select(vec!["", "", "", "", "/", "//"]))
        .prop_map(|(parts, end)| parts.join("/") + end)
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "a/b", "b/c", "../a", "./a/", "c/", ".", "a/../b", ".."])
        .prop_map(String::from)
}

fn call() -> impl Strategy<Value = Call> {
    let flags = prop::sample::subsequence(
        vec![0o100, 0o200, 0o1000, 0o2000, 0o200000, 0o400000, 0o10000000_u32],
        0..4,
    )
    .prop_map(|flags| flags.into_iter().sum::<u32>())
    // What Linux makes of both has changed over the years.
    .prop_filter("to create a directory", |flags| flags & 0o200100 != 0o200100);
    prop_oneof![
        3 => (path(), flags, 0..3_u32).prop_map(|(path, flags, access)| Call::Open(path, flags | access)),
        3 => (path()).prop_map(|path| Call::Open(path, 0o101)),
        3 => path().prop_map(Call::MakeDirectory),
        1 => path().prop_map(Call::RemoveDirectory),
        2 => path().prop_map(Call::Unlink),
        4 => (path(), path(), any::<bool>()).prop_map(|(old, new, replace)| Call::Rename(old, new, replace)),
        2 => (path(), path()).prop_map(|(old, new)| Call::Link(old, new)),
        2 => (text(), path()).prop_map(|(text, path)| Call::Symlink(text, path)),
        1 => path().prop_map(Call::ReadLink),
        2 => (path(), any::<bool>()).prop_map(|(path, follow)| Call::Stat(path, follow)),
    ]
}

/// What both tell in the same way: the mode, the links, and the size of what has contents.
fn told(mode: u32, links: impl Display, size: u64) -> Vec<u8> {
    let size = if mode & 0o170000 == 0o040000 { 0 } else { size };
    format!("{mode:o} {links} {size}").into_bytes()
}

fn on_host(at: &OwnedFd, call: &Call) -> Answer {
    let result = match call {
        Call::Open(path, flags) => rustix::fs::openat(
            at,
            path.as_str(),
            OFlags::from_bits_retain(*flags) | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::from_bits_retain(0o666),
        )
        .map(|file| match flags {
            flags if flags & 0o10000000 != 0 => Vec::new(),
            flags if flags & 3 == 0 => Vec::new(),
            _ => format!("{:?}", rustix::io::write(&file, b"text").map_err(io::Errno::raw_os_error)).into(),
        }),
        Call::MakeDirectory(path) => {
            rustix::fs::mkdirat(at, path.as_str(), Mode::from_bits_retain(0o777)).map(|()| Vec::new())
        }
        Call::RemoveDirectory(path) => {
            rustix::fs::unlinkat(at, path.as_str(), AtFlags::REMOVEDIR).map(|()| Vec::new())
        }
        Call::Unlink(path) => rustix::fs::unlinkat(at, path.as_str(), AtFlags::empty()).map(|()| Vec::new()),
        Call::Rename(old, new, replace) => {
            let flags = if *replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
            rustix::fs::renameat_with(at, old.as_str(), at, new.as_str(), flags).map(|()| Vec::new())
        }
        Call::Link(old, new) => {
            rustix::fs::linkat(at, old.as_str(), at, new.as_str(), AtFlags::empty()).map(|()| Vec::new())
        }
        Call::Symlink(text, path) => {
            rustix::fs::symlinkat(text.as_str(), at, path.as_str()).map(|()| Vec::new())
        }
        Call::ReadLink(path) => {
            rustix::fs::readlinkat(at, path.as_str(), Vec::new()).map(|text| text.into_bytes())
        }
        Call::Stat(path, follow) => {
            let flags = if *follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
            rustix::fs::statat(at, path.as_str(), flags)
                .map(|stat| told(stat.st_mode, stat.st_nlink, stat.st_size as u64))
        }
    };
    result.map_err(|error| error.raw_os_error() as u16)
}

fn on_tree(tree: &Tree, subject: &Subject, call: &Call) -> Answer {
    let at = &subject.directory;
    let follow = |follow: &bool| if *follow { Follow::Yes } else { Follow::No };
    let none = |()| Vec::new();
    let result = match call {
        Call::Open(path, flags) => {
            let flags = OpenFlags::from_bits_retain(*flags);
            tree.open(subject, at, path.as_bytes(), flags, 0o666).map(|file| {
                if flags.contains(OpenFlags::PATH) || !flags.writes() && flags.bits() & 3 == 0 {
                    return Vec::new();
                }
                let written = file.write(4, &mut &b"text"[..]).map_err(|error| i32::from(error.number()));
                format!("{written:?}").into_bytes()
            })
        }
        Call::MakeDirectory(path) => tree.make_directory(subject, at, path.as_bytes(), 0o777).map(none),
        Call::RemoveDirectory(path) => tree.remove_directory(subject, at, path.as_bytes()).map(none),
        Call::Unlink(path) => tree.unlink(subject, at, path.as_bytes()).map(none),
        Call::Rename(old, new, replace) => {
            let replace = if *replace { Replace::Yes } else { Replace::No };
            tree.rename(subject, (at, old.as_bytes()), (at, new.as_bytes()), replace).map(none)
        }
        Call::Link(old, new) => tree
            .find(subject, at, old.as_bytes(), Follow::No)
            .and_then(|inode| tree.link(subject, &inode, at, new.as_bytes()))
            .map(none),
        Call::Symlink(text, path) => {
            tree.make_symlink(subject, text.as_bytes(), at, path.as_bytes()).map(none)
        }
        Call::ReadLink(path) => tree
            .find(subject, at, path.as_bytes(), Follow::No)
            .and_then(|inode| tree.read_link(&inode))
            .map(|text| text.to_vec()),
        Call::Stat(path, to_end) => tree.find(subject, at, path.as_bytes(), follow(to_end)).map(|inode| {
            let stat = inode.stat();
            told(u32::from(stat.mode), stat.links, stat.size)
        }),
    };
    result.map_err(Errno::number)
}

/// All paths below a directory.
fn paths(list: &dyn Fn(&str) -> Vec<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = vec![String::from(".")];
    while let Some(directory) = rest.pop() {
        for name in list(&directory) {
            let path = format!("{directory}/{name}");
            rest.push(path.clone());
            found.insert(path);
        }
    }
    found
}

fn list_on_host(at: &OwnedFd, path: &str) -> Vec<String> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(directory) = rustix::fs::openat(at, path, flags, Mode::empty()) else { return Vec::new() };
    let mut buffer = Vec::with_capacity(4096);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        names.push(entry.unwrap().file_name().to_str().unwrap().to_string());
    }
    names.retain(|name| name != "." && name != "..");
    names
}

fn list_on_tree(tree: &Tree, subject: &Subject, path: &str) -> Vec<String> {
    let flags = OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW;
    let Ok(file) = tree.open(subject, &subject.directory, path.as_bytes(), flags, 0) else {
        return Vec::new();
    };
    let mut entries = Vec::new();
    while file.read_directory(crate::fs::dirent::Layout::New, 40, &mut entries).unwrap() > 0 {}
    let mut names = Vec::new();
    let mut rest = &entries[..];
    while !rest.is_empty() {
        let len = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
        let name = rest[19..len].split(|byte| *byte == 0).next().unwrap();
        names.push(String::from_utf8(name.to_vec()).unwrap());
        rest = &rest[len..];
    }
    names.retain(|name| name != "." && name != "..");
    names
}

/// A directory on the host and one here, equally deep.
fn both() -> (tempfile::TempDir, OwnedFd, Tree, Subject) {
    let deep = "up/".repeat(DEPTH);
    let host = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(host.path().join(&deep)).unwrap();
    let at = rustix::fs::open(host.path().join(&deep), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .unwrap();
    let tree = Tree::new(1 << 20).unwrap();
    let mut subject = Subject::new(tree.root().clone());
    for _ in 0..DEPTH {
        tree.make_directory(&subject, &subject.directory.clone(), b"up", 0o777).unwrap();
        subject.directory = tree.find_directory(&subject, &subject.directory, b"up").unwrap();
    }
    (host, at, tree, subject)
}

proptest! {
    // Each case makes and removes a deep directory on the host.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn the_tree_answers_as_linux_does(calls in prop::collection::vec(call(), 1..60)) {
        let (_host, at, tree, subject) = both();
        rustix::process::umask(Mode::from_bits_retain(0o022));
        let before = tree.volume().budget().left();
        for (place, call) in calls.iter().enumerate() {
            let expected = on_host(&at, call);
            let got = on_tree(&tree, &subject, call);
            prop_assert_eq!(&got, &expected, "call {} of {:?}", place, calls);
        }
        let here = paths(&|path| list_on_tree(&tree, &subject, path));
        prop_assert_eq!(&here, &paths(&|path| list_on_host(&at, path)));

        // Whatever is taken away gives back all that it took.
        for path in here.iter().rev() {
            let path = path.as_bytes();
            if tree.unlink(&subject, &subject.directory, path).is_err() {
                tree.remove_directory(&subject, &subject.directory, path).unwrap();
            }
        }
        let mut above = (1..=DEPTH).map(|levels| list_on_tree(&tree, &subject, &"../".repeat(levels)));
        if above.all(|names| names.len() == 1) {
            prop_assert_eq!(tree.volume().budget().left(), before);
        }
    }
}

/// All that can be seen of a tree, and how much memory is left.
fn seen(tree: &Tree, subject: &Subject) -> (Vec<(String, Answer)>, usize) {
    let look = |path: String| {
        let stat = on_tree(tree, subject, &Call::Stat(path.clone(), false));
        let text = on_tree(tree, subject, &Call::ReadLink(path.clone())).unwrap_or_default();
        (path, stat.map(|stat| [stat, text].concat()))
    };
    let paths = paths(&|path| list_on_tree(tree, subject, path));
    (paths.into_iter().map(look).collect(), tree.volume().budget().left())
}

proptest! {
    #[test]
    fn what_is_refused_changes_nothing(
        budget in 500..6000_usize,
        calls in prop::collection::vec(call(), 1..60),
    ) {
        let tree = Tree::new(budget).unwrap();
        let subject = Subject::new(tree.root().clone());
        for (place, call) in calls.iter().enumerate() {
            let before = seen(&tree, &subject);
            if on_tree(&tree, &subject, call).is_err() {
                prop_assert_eq!(seen(&tree, &subject), before, "call {} of {:?}", place, calls);
            }
        }
    }
}
