use super::*;
use cpio::newc::{Builder, ModeFileType, trailer};
use proptest::prelude::*;
use std::io::Write;

/// An archive of these, made by another library. Each entry's fields are as the caller left them.
fn archive(entries: Vec<(Builder, &[u8])>) -> Vec<u8> {
    let mut archive = Vec::new();
    for (entry, contents) in entries {
        let mut writer = entry.write(archive, contents.len() as u32);
        writer.write_all(contents).unwrap();
        archive = writer.finish().unwrap();
    }
    trailer(archive).unwrap()
}

fn entry(name: &str, kind: ModeFileType, permissions: u32) -> Builder {
    Builder::new(name).mode(permissions).set_mode_file_type(kind).nlink(1)
}

fn sample() -> Vec<u8> {
    archive(vec![
        (entry(".", ModeFileType::Directory, 0o755), b""),
        (entry("bin", ModeFileType::Directory, 0o750).uid(1).gid(2).ino(2), b""),
        (entry("bin/sh", ModeFileType::Regular, 0o4755).mtime(77).ino(3).nlink(2), b""),
        (entry("bin/ash", ModeFileType::Regular, 0o4755).mtime(77).ino(3).nlink(2), b"#!/bin/sh\n"),
        (entry("ls", ModeFileType::Symlink, 0o777).ino(4), b"bin/sh"),
        (entry("null", ModeFileType::Char, 0o666).rdev_major(1).rdev_minor(3).ino(5), b""),
        (entry("pipe", ModeFileType::Fifo, 0o600).ino(6), b""),
    ])
}

fn unpacked(archive: &[u8]) -> core::result::Result<Tree, BadArchive> {
    let tree = Tree::new(1 << 20).unwrap();
    unpack(&tree, archive)?;
    Ok(tree)
}

fn read(tree: &Tree, path: &str) -> Result<Vec<u8>> {
    let subject = Subject::new(tree.root().clone());
    let file = tree.open(&subject, tree.root(), path.as_bytes(), OpenFlags::RDONLY, 0)?;
    let mut contents = Vec::new();
    file.read(usize::MAX, &mut contents)?;
    Ok(contents)
}

#[test]
fn an_archive_becomes_files() {
    let tree = unpacked(&sample()).unwrap();
    let subject = Subject::new(tree.root().clone());
    let stat = |path: &[u8]| tree.find(&subject, tree.root(), path, Follow::No).unwrap().stat();
    assert_eq!(stat(b"bin").mode, S_IFDIR | 0o750);
    assert_eq!((stat(b"bin").uid, stat(b"bin").gid), (1, 2));
    assert_eq!(stat(b"bin/sh").mode, S_IFREG | 0o4755);
    assert_eq!(stat(b"bin/sh").links, 2);
    assert_eq!(stat(b"bin/sh"), stat(b"bin/ash"));
    assert_eq!(stat(b"bin/sh").modified.seconds, 77);
    assert_eq!(read(&tree, "ls").unwrap(), b"#!/bin/sh\n");
    assert_eq!(stat(b"null").special, DeviceNumber { major: 1, minor: 3 });
    assert_eq!(stat(b"pipe").mode, S_IFIFO | 0o600);
}

#[test]
fn archives_follow_one_another_and_the_last_counts() {
    let second = archive(vec![
        (entry("ls", ModeFileType::Regular, 0o755), b"new"),
        (entry("bin", ModeFileType::Directory, 0o700), b""),
    ]);
    let tree = unpacked(&[sample(), vec![0; 512], second].concat()).unwrap();
    assert_eq!(read(&tree, "ls").unwrap(), b"new");
    assert_eq!(read(&tree, "bin/sh").unwrap(), b"#!/bin/sh\n");
}

#[test]
fn what_is_not_whole_is_refused() {
    let sample = sample();
    // Every beginning but the whole: the trailer is 124 bytes, and zeros at its end are padding.
    let whole = sample.iter().rposition(|byte| *byte != 0).unwrap() + 2;
    for len in 0..sample.len() {
        assert_eq!(unpacked(&sample[..len]).is_ok(), len >= whole, "{len} of {}", sample.len());
    }
}

#[test]
fn what_cannot_be_made_is_refused() {
    let refused = |entries| unpacked(&archive(entries)).err().map(|error| error.errno);
    let file = |name: &str| vec![(entry(name, ModeFileType::Regular, 0o644), &b""[..])];
    assert_eq!(refused(file("none/file")), Some(Errno::ENOENT));
    assert_eq!(refused(file("file/")), Some(Errno::ENOENT));
    assert_eq!(refused(file("/")), Some(Errno::EBUSY));
    assert_eq!(refused(file("..")), Some(Errno::ENOTEMPTY));
    assert_eq!(refused(file(&"n".repeat(256))), Some(Errno::ENAMETOOLONG));
    let socket = entry("socket", ModeFileType::Socket, 0o644);
    assert_eq!(refused(vec![(socket, b"")]), Some(Errno::EINVAL));
    let large = vec![0; 1 << 20];
    let file = entry("large", ModeFileType::Regular, 0o644);
    assert_eq!(refused(vec![(file, &large)]), Some(Errno::ENOSPC));
    assert_eq!(refused(vec![(entry("link", ModeFileType::Symlink, 0o777), b"")]), Some(Errno::ENOENT));
}

proptest! {
    #[test]
    fn no_archive_is_too_strange(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut archive = sample();
        for (place, byte) in changes {
            let place = place.index(archive.len());
            archive[place] = byte;
        }
        // Whatever it says is an answer.
        if let Err(error) = unpacked(&archive) {
            prop_assert!(error.offset <= archive.len());
        }
    }
}
