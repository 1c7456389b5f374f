//! Calls that name a file by its path.

use super::identity::unless_all_ones;
use super::time::{Width, timespec};
use crate::errno::{Errno, Result};
use crate::fs::clock::Time;
use crate::fs::device::DeviceNumber;
use crate::fs::flags::OpenFlags;
use crate::fs::inode::Inode;
use crate::fs::rename::Replace;
use crate::fs::subject::Subject;
use crate::fs::tree::{Change, Follow, Tree};
use crate::memory::{pool, user};
use crate::process::Current;
use crate::process::tell::Teller;
use crate::start::tree;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// `AT_FDCWD`: paths begin in the current directory.
pub(super) const HERE: u32 = 0xffff_ff9c;
/// What `creat` opens with.
pub(super) const CREATE: u32 = 0o1101;
/// `AT_SYMLINK_NOFOLLOW`, `AT_REMOVEDIR`, `AT_SYMLINK_FOLLOW`, `AT_EMPTY_PATH`, `AT_EACCESS`.
pub(super) const NO_FOLLOW: u32 = 0x100;
pub(super) const REMOVE_DIRECTORY: u32 = 0x200;
const FOLLOW: u32 = 0x400;
const EMPTY_PATH: u32 = 0x1000;

/// Bytes of the heap that a call may take which makes something in a directory.
const COST: usize = 16 << 10;
/// Paths up to this are kept on the stack.
const SHORT: usize = 128;
/// `PATH_MAX`
const LONG: usize = 4096;

/// Calls `then` with the string at `at`.
pub(super) fn with_string<T>(current: &Current, at: u32, then: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    let mut short = [0; SHORT];
    match user::string(&current.space, at, &mut short) {
        Ok(length) => return then(short.get(..length).unwrap_or_default()),
        Err(Errno::ENAMETOOLONG) => {}
        Err(error) => return Err(error),
    }
    let mut long = Vec::new();
    long.try_reserve_exact(LONG).map_err(|_| Errno::ENOMEM)?;
    long.resize(LONG, 0);
    let length = user::string(&current.space, at, &mut long)?;
    then(long.get(..length).unwrap_or_default())
}

/// Where paths begin that are seen from `directory`.
fn start(current: &Current, directory: u32, subject: &Subject) -> Result<Arc<Inode>> {
    if directory == HERE {
        return Ok(subject.directory.clone());
    }
    current.file(directory)?.inode().cloned().ok_or(Errno::ENOTDIR)
}

/// Calls `then` with the path at `at`, and where it begins. An absolute path begins nowhere else.
fn with_path<T>(
    current: &Current,
    directory: u32,
    at: u32,
    then: impl FnOnce(&Tree, &Subject, &Arc<Inode>, &[u8]) -> Result<T>,
) -> Result<T> {
    with_string(current, at, |path| {
        // Nothing is locked in the tree: what /proc tells may be about this very process.
        let subject = current.subject.lock().clone();
        if directory == HERE || path.starts_with(b"/") {
            return then(tree()?, &subject, &subject.directory, path);
        }
        let start = start(current, directory, &subject)?;
        then(tree()?, &subject, &start, path)
    })
}

fn follow(flags: u32) -> Follow {
    if flags & NO_FOLLOW != 0 { Follow::No } else { Follow::Yes }
}

/// Calls `then` with what a path names, or the descriptor itself if the path is empty and that is asked for.
fn with_inode<T>(
    current: &Current,
    directory: u32,
    at: u32,
    flags: u32,
    then: impl FnOnce(&Tree, &Subject, &Arc<Inode>) -> Result<T>,
) -> Result<T> {
    with_path(current, directory, at, |tree, subject, start, path| {
        if path.is_empty() && flags & EMPTY_PATH != 0 {
            return then(tree, subject, start);
        }
        then(tree, subject, &tree.find(subject, start, path, follow(flags))?)
    })
}

fn check_flags(flags: u32, known: u32) -> Result<()> {
    if flags & !known == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}

pub(super) fn open(current: &mut Current, directory: u32, at: u32, flags: u32, mode: u32) -> Result<u32> {
    if !pool::has_room(COST) {
        return Err(Errno::ENOMEM);
    }
    let flags = OpenFlags::from_bits_retain(flags);
    // Who opens a terminal may make it that of his session.
    let job = current.process.job();
    current.subject.lock().job = job;
    let file = with_path(current, directory, at, |tree, subject, start, path| {
        tree.open(subject, start, path, flags, mode as u16 & 0o7777)
    })?;
    let awaited = file.awaited_peer().filter(|_| !file.is_nonblocking());
    while awaited.is_some() && file.awaited_peer() == awaited {
        current.wait_for(&file, 5)?;
    }
    current.files.lock().insert(file, flags.contains(OpenFlags::CLOEXEC))
}

pub(super) fn stat64(current: &mut Current, directory: u32, at: u32, to: u32, flags: u32) -> Result<u32> {
    check_flags(flags, NO_FOLLOW | EMPTY_PATH | NO_AUTOMOUNT)?;
    if flags & EMPTY_PATH != 0 && directory != HERE && user::array::<1>(&current.space, at)? == [0] {
        return super::file::stat64(current, directory, to);
    }
    let stat = with_inode(current, directory, at, flags, |_, _, inode| Ok(inode.stat().to_stat64()))?;
    user::write(&current.space, to, &stat)?;
    Ok(0)
}

/// `AT_NO_AUTOMOUNT`: nothing is mounted by itself.
const NO_AUTOMOUNT: u32 = 0x800;
/// `AT_STATX_SYNC_TYPE`
const SYNC_TYPE: u32 = 0x6000;

pub(super) fn stat(current: &mut Current, at: u32, to: u32, flags: u32) -> Result<u32> {
    let stat = with_inode(current, HERE, at, flags, |_, _, inode| inode.stat().to_stat())?;
    user::write(&current.space, to, &stat)?;
    Ok(0)
}

pub(super) fn statx(current: &mut Current, directory: u32, at: u32, flags: u32, to: u32) -> Result<u32> {
    check_flags(flags, NO_FOLLOW | EMPTY_PATH | NO_AUTOMOUNT | SYNC_TYPE)?;
    let stat = if flags & EMPTY_PATH != 0 && directory != HERE && user::array::<1>(&current.space, at)? == [0]
    {
        current.file(directory)?.stat().to_statx()
    } else {
        with_inode(current, directory, at, flags, |_, _, inode| Ok(inode.stat().to_statx()))?
    };
    user::write(&current.space, to, &stat)?;
    Ok(0)
}

pub(super) fn stat_fs(current: &mut Current, at: u32, to: u32) -> Result<u32> {
    let bytes = with_inode(current, HERE, at, 0, |tree, _, inode| tree.stat_fs(inode).to_statfs())?;
    user::write(&current.space, to, &bytes)?;
    Ok(0)
}

pub(super) fn stat_fs64(current: &mut Current, at: u32, size: u32, to: u32) -> Result<u32> {
    let bytes = with_inode(current, HERE, at, 0, |tree, _, inode| Ok(tree.stat_fs(inode).to_statfs64()))?;
    if size as usize != bytes.len() {
        return Err(Errno::EINVAL);
    }
    user::write(&current.space, to, &bytes)?;
    Ok(0)
}

pub(super) fn access(current: &mut Current, directory: u32, at: u32, mode: u32, flags: u32) -> Result<u32> {
    check_flags(flags, NO_FOLLOW | EMPTY_PATH | REMOVE_DIRECTORY)?;
    with_inode(current, directory, at, flags, |tree, subject, inode| tree.access(subject, inode, mode))?;
    Ok(0)
}

/// The program that a process runs is not told: nothing keeps its path.
pub(super) fn read_link(current: &mut Current, directory: u32, at: u32, to: u32, size: u32) -> Result<u32> {
    if size.cast_signed() <= 0 {
        return Err(Errno::EINVAL);
    }
    let text =
        with_inode(current, directory, at, NO_FOLLOW | EMPTY_PATH, |tree, _, inode| tree.read_link(inode))?;
    super::file::put_some(current, to, size, &text)
}

pub(super) fn link(
    current: &mut Current,
    old_directory: u32,
    old: u32,
    directory: u32,
    at: u32,
    flags: u32,
) -> Result<u32> {
    check_flags(flags, FOLLOW | EMPTY_PATH)?;
    check_room()?;
    let flags = flags & EMPTY_PATH | if flags & FOLLOW != 0 { 0 } else { NO_FOLLOW };
    let inode = with_inode(current, old_directory, old, flags, |_, _, inode| Ok(inode.clone()))?;
    with_path(current, directory, at, |tree, subject, start, path| tree.link(subject, &inode, start, path))?;
    Ok(0)
}

fn check_room() -> Result<()> {
    if pool::has_room(COST) { Ok(()) } else { Err(Errno::ENOSPC) }
}

pub(super) fn symlink(current: &mut Current, text: u32, directory: u32, at: u32) -> Result<u32> {
    check_room()?;
    with_string(current, text, |text| {
        with_path(current, directory, at, |tree, subject, start, path| {
            tree.make_symlink(subject, text, start, path)
        })
    })?;
    Ok(0)
}

pub(super) fn unlink(current: &mut Current, directory: u32, at: u32, flags: u32) -> Result<u32> {
    check_flags(flags, REMOVE_DIRECTORY)?;
    with_path(current, directory, at, |tree, subject, start, path| match flags {
        0 => tree.unlink(subject, start, path),
        _ => tree.remove_directory(subject, start, path),
    })?;
    Ok(0)
}

pub(super) fn make_directory(current: &mut Current, directory: u32, at: u32, mode: u32) -> Result<u32> {
    check_room()?;
    with_path(current, directory, at, |tree, subject, start, path| {
        tree.make_directory(subject, start, path, mode as u16)
    })?;
    Ok(0)
}

pub(super) fn make_node(
    current: &mut Current,
    directory: u32,
    at: u32,
    mode: u32,
    device: u32,
) -> Result<u32> {
    check_room()?;
    let device = DeviceNumber::from_u32(device);
    with_path(current, directory, at, |tree, subject, start, path| {
        tree.make_node(subject, start, path, mode as u16, device)
    })?;
    Ok(0)
}

pub(super) fn rename(
    current: &mut Current,
    old_directory: u32,
    old: u32,
    directory: u32,
    at: u32,
    flags: u32,
) -> Result<u32> {
    check_room()?;
    let replace = Replace::from_u32(flags)?;
    with_string(current, old, |old| {
        with_string(current, at, |path| {
            let subject = current.subject.lock().clone();
            let from = start(current, old_directory, &subject)?;
            let to = start(current, directory, &subject)?;
            tree()?.rename(&subject, (&from, old), (&to, path), replace)
        })
    })?;
    Ok(0)
}

pub(super) fn change_directory(current: &mut Current, at: u32) -> Result<u32> {
    let directory =
        with_path(current, HERE, at, |tree, subject, start, path| tree.find_directory(subject, start, path))?;
    current.subject.lock().directory = directory;
    Ok(0)
}

pub(super) fn change_directory_to(current: &mut Current, descriptor: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    let inode = file.inode().ok_or(Errno::ENOTDIR)?;
    let mut subject = current.subject.lock();
    tree()?.check_directory(&subject, inode)?;
    subject.directory = inode.clone();
    Ok(0)
}

pub(super) fn change_root(current: &mut Current, at: u32) -> Result<u32> {
    let directory = with_path(current, HERE, at, |tree, subject, start, path| {
        if subject.uid != 0 {
            return Err(Errno::EPERM);
        }
        tree.find_directory(subject, start, path)
    })?;
    current.subject.lock().root = directory;
    Ok(0)
}

pub(super) fn directory(current: &mut Current, to: u32, size: u32) -> Result<u32> {
    let subject = current.subject.lock().clone();
    let mut path = tree()?.path_of(&subject, &subject.directory)?;
    path.push(0);
    if path.len() > size as usize {
        return Err(Errno::ERANGE);
    }
    super::file::put_some(current, to, size, &path)
}

pub(super) fn change_mode(current: &mut Current, directory: u32, at: u32, mode: u32) -> Result<u32> {
    with_inode(current, directory, at, 0, |tree, subject, inode| {
        tree.change_mode(subject, inode, mode as u16)
    })?;
    Ok(0)
}

pub(super) fn change_mode_of(current: &mut Current, descriptor: u32, mode: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    let inode = file.inode().ok_or(Errno::EINVAL)?;
    tree()?.change_mode(&current.subject.lock(), inode, mode as u16)?;
    Ok(0)
}

pub(super) fn change_owner(
    current: &mut Current,
    directory: u32,
    at: u32,
    user: u32,
    group: u32,
    flags: u32,
) -> Result<u32> {
    check_flags(flags, NO_FOLLOW | EMPTY_PATH)?;
    with_inode(current, directory, at, flags, |tree, subject, inode| {
        tree.change_owner(subject, inode, unless_all_ones(user), unless_all_ones(group))
    })?;
    Ok(0)
}

pub(super) fn change_owner_of(current: &mut Current, descriptor: u32, user: u32, group: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    let inode = file.inode().ok_or(Errno::EINVAL)?;
    let (user, group) = (unless_all_ones(user), unless_all_ones(group));
    tree()?.change_owner(&current.subject.lock(), inode, user, group)?;
    Ok(0)
}

pub(super) fn truncate(current: &mut Current, at: u32, size: u64) -> Result<u32> {
    i64::try_from(size).map_err(|_| Errno::EINVAL)?;
    with_inode(current, HERE, at, 0, |tree, subject, inode| tree.truncate(subject, inode, size))?;
    Ok(0)
}

/// `UTIME_NOW`, `UTIME_OMIT`.
const NOW: u32 = 0x3fff_ffff;
const OMIT: u32 = 0x3fff_fffe;

fn change((seconds, nanoseconds): (i64, u32)) -> Result<Change> {
    match nanoseconds {
        NOW => Ok(Change::Now),
        OMIT => Ok(Change::Keep),
        0..1_000_000_000 => Ok(Change::To(Time { seconds, nanoseconds })),
        _ => Err(Errno::EINVAL),
    }
}

fn set(current: &mut Current, directory: u32, at: u32, flags: u32, times: [Change; 2]) -> Result<u32> {
    let [accessed, modified] = times;
    if at == 0 {
        let file = current.file(directory)?;
        let inode = file.inode().ok_or(Errno::EINVAL)?;
        tree()?.change_times(&current.subject.lock(), inode, accessed, modified)?;
        return Ok(0);
    }
    with_inode(current, directory, at, flags, |tree, subject, inode| {
        tree.change_times(subject, inode, accessed, modified)
    })?;
    Ok(0)
}

pub(super) fn set_times(
    current: &mut Current,
    directory: u32,
    at: u32,
    times: u32,
    flags: u32,
    width: Width,
) -> Result<u32> {
    check_flags(flags, NO_FOLLOW | EMPTY_PATH)?;
    let times = if times == 0 {
        [Change::Now; 2]
    } else {
        let second = times.wrapping_add(width.timespec());
        [change(timespec(current, times, width)?)?, change(timespec(current, second, width)?)?]
    };
    set(current, directory, at, flags, times)
}

pub(super) fn set_times_micro(current: &mut Current, at: u32, times: u32) -> Result<u32> {
    let times = if times == 0 {
        [Change::Now; 2]
    } else {
        let [a, b, c, d] = user::words(&current.space, times)?;
        let time = |seconds: u32, micros: u32| match micros {
            0..1_000_000 => change((seconds.cast_signed().into(), micros * 1000)),
            _ => Err(Errno::EINVAL),
        };
        [time(a, b)?, time(c, d)?]
    };
    set(current, HERE, at, 0, times)
}

pub(super) fn set_times_seconds(current: &mut Current, at: u32, times: u32) -> Result<u32> {
    let times = if times == 0 {
        [Change::Now; 2]
    } else {
        user::words(&current.space, times)?
            .map(|seconds: u32| Change::To(Time { seconds: seconds.cast_signed().into(), nanoseconds: 0 }))
    };
    set(current, HERE, at, 0, times)
}

pub(super) fn mask(current: &mut Current, mask: u32) -> Result<u32> {
    let before = core::mem::replace(&mut current.subject.lock().umask, mask as u16 & 0o777);
    Ok(before.into())
}

/// File systems in memory can be mounted, and `/proc`.
pub(super) fn mount(current: &mut Current, source: u32, at: u32, kind: u32) -> Result<u32> {
    check_room()?;
    with_string(current, kind, |kind| {
        with_string(current, at, |path| {
            let mount = |source: &[u8]| {
                let subject = current.subject.lock().clone();
                match kind {
                    b"proc" => tree()?.mount_proc(&subject, source, path, &Teller),
                    b"tmpfs" | b"ramfs" => tree()?.mount_memory(&subject, source, path),
                    _ => Err(Errno::ENODEV),
                }
            };
            if source == 0 { mount(b"none") } else { with_string(current, source, mount) }
        })
    })?;
    Ok(0)
}

pub(super) fn unmount(current: &mut Current, at: u32) -> Result<u32> {
    let subject = current.subject.lock().clone();
    with_string(current, at, |path| tree()?.unmount(&subject, path))?;
    Ok(0)
}
