//! Calls that name a file by its descriptor.

use super::lock;
use crate::errno::{Errno, Result};
use crate::fs::data::Source;
use crate::fs::dirent::Layout;
use crate::fs::file::{File, Whence};
use crate::fs::flags::OpenFlags;
use crate::fs::tty::{Access, Patience, Tty, access_of};
use crate::memory::{END_PAGE, PAGE, pool, user};
use crate::process::Current;
use crate::process::current::{UserSink, UserSource};
use crate::time::{self, Event, SECOND};
use crate::{signal, start};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The most parts of a vector, `UIO_MAXIOV`.
const MOST_PARTS: u32 = 1024;

pub(super) fn read(current: &mut Current, descriptor: u32, to: u32, count: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    if let Some(terminal) = file.terminal() {
        return read_terminal(current, &file, &terminal.clone(), to, count);
    }
    current.read_file(&file, to, count, |_, count, sink| file.read(count, sink))
}

/// Reads from a terminal: who is in the background is stopped, and who waits in raw mode does so as long as the terminal
/// says.
fn read_terminal(current: &mut Current, file: &File, terminal: &Tty, to: u32, count: u32) -> Result<u32> {
    current.check_foreground(terminal, Access::Read)?;
    let mut deadline = None;
    loop {
        let Patience::Tenths(tenths) = terminal.patience() else {
            return current.read_file(file, to, count, |_, count, sink| file.read(count, sink));
        };
        let is_late = deadline.is_some_and(|deadline| time::now() >= deadline);
        let read = current.try_read(to, count, |count, sink| match is_late {
            true => terminal.read_now(count, sink),
            false => file.read(count, sink),
        });
        if read != Err(Errno::EAGAIN) || file.is_nonblocking() {
            return read;
        }
        let until = *deadline.get_or_insert_with(|| time::now() + u64::from(tenths) * (SECOND / 10));
        let alarm = time::at(until, Event::Wake(current.turn));
        let waited = current.wait_for(file, 1);
        time::call_off(alarm);
        waited?;
    }
}

pub(super) fn write(current: &mut Current, descriptor: u32, from: u32, count: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    if let Some(terminal) = file.terminal() {
        current.check_foreground(terminal, Access::Write)?;
    }
    let written = current.write_file(&file, from, count, |_, count, source| file.write(count, source));
    broken(current, written)
}

/// Who writes to a pipe that nobody reads, or to such a socket, is sent SIGPIPE.
pub(super) fn broken(current: &Current, written: Result<u32>) -> Result<u32> {
    if written == Err(Errno::EPIPE) {
        signal::send::to_task(&current.task, signal::Info::kernel(signal::PIPE));
    }
    written
}

/// Does `each` of the parts of a vector, until one is short.
pub(super) fn vector(
    current: &mut Current,
    at: u32,
    count: u32,
    mut each: impl FnMut(&mut Current, u32, u32) -> Result<u32>,
) -> Result<u32> {
    if count > MOST_PARTS {
        return Err(Errno::EINVAL);
    }
    let mut done: u32 = 0;
    for place in 0..count {
        let [start, length] = user::words(&current.space, at.wrapping_add(8 * place))?;
        match each(current, start, length) {
            Ok(more) => {
                done = done.saturating_add(more);
                if more < length {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

pub(super) fn read_vector(current: &mut Current, descriptor: u32, at: u32, count: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    let mut any = false;
    vector(current, at, count, |current, to, count| {
        if count == 0 {
            return Ok(0);
        }
        // What is there already is not held back for more to come.
        if any && !file.poll().intersects(crate::fs::poll::Events::IN) {
            return Err(Errno::EAGAIN);
        }
        any = true;
        current.read_file(&file, to, count, |_, count, sink| file.read(count, sink))
    })
}

pub(super) fn write_vector(current: &mut Current, descriptor: u32, at: u32, count: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    if let Some(terminal) = file.terminal() {
        current.check_foreground(terminal, Access::Write)?;
    }
    let written = vector(current, at, count, |current, from, count| {
        current.write_file(&file, from, count, |_, count, source| file.write(count, source))
    });
    broken(current, written)
}

pub(super) fn read_at(
    current: &mut Current,
    descriptor: u32,
    to: u32,
    count: u32,
    offset: u64,
) -> Result<u32> {
    let file = current.file(descriptor)?;
    i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    current.read_file(&file, to, count, |done, count, sink| {
        file.read_at(offset.saturating_add(done), count, sink)
    })
}

pub(super) fn write_at(
    current: &mut Current,
    descriptor: u32,
    from: u32,
    count: u32,
    offset: u64,
) -> Result<u32> {
    let file = current.file(descriptor)?;
    i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    current.write_file(&file, from, count, |done, count, source| {
        file.write_at(offset.saturating_add(done), count, source)
    })
}

pub(super) fn close(current: &mut Current, descriptor: u32) -> Result<u32> {
    // Closed when the table is unlocked.
    let closed = current.files.lock().close(descriptor)?;
    drop(closed);
    Ok(0)
}

pub(super) fn close_range(current: &mut Current, first: u32, last: u32, flags: u32) -> Result<u32> {
    const MARK_ONLY: u32 = 4;
    if first > last || flags & !MARK_ONLY != 0 {
        return Err(Errno::EINVAL);
    }
    let numbers: Vec<u32> =
        current.files.lock().numbers().filter(|number| (first..=last).contains(number)).collect();
    for number in numbers {
        if flags & MARK_ONLY != 0 {
            current.files.lock().set_closes_on_exec(number, true)?;
        } else {
            close(current, number)?;
        }
    }
    Ok(0)
}

pub(super) fn seek(current: &mut Current, descriptor: u32, offset: i64, whence: u32) -> Result<u64> {
    current.file(descriptor)?.seek(offset, Whence::from_u32(whence)?)
}

pub(super) fn long_seek(
    current: &mut Current,
    descriptor: u32,
    offset: u64,
    to: u32,
    whence: u32,
) -> Result<u32> {
    let place = seek(current, descriptor, offset.cast_signed(), whence)?;
    user::write(&current.space, to, &place.to_le_bytes())?;
    Ok(0)
}

pub(super) fn duplicate(current: &mut Current, descriptor: u32) -> Result<u32> {
    current.files.lock().duplicate(descriptor)
}

pub(super) fn duplicate_over(current: &mut Current, old: u32, new: u32) -> Result<u32> {
    let closed = current.files.lock().duplicate_over(old, new)?;
    drop(closed);
    Ok(new)
}

pub(super) fn duplicate_to(current: &mut Current, old: u32, new: u32, flags: u32) -> Result<u32> {
    if flags & !OpenFlags::CLOEXEC.bits() != 0 {
        return Err(Errno::EINVAL);
    }
    let closed = current.files.lock().duplicate_to(old, new, flags != 0)?;
    drop(closed);
    Ok(new)
}

pub(super) fn pipe(current: &mut Current, at: u32, flags: u32) -> Result<u32> {
    let flags = OpenFlags::from_bits_retain(flags);
    if !pool::has_room(128 << 10) {
        return Err(Errno::ENFILE);
    }
    let (reads, writes) = start::tree()?.pipe(flags)?;
    let closes = flags.contains(OpenFlags::CLOEXEC);
    let mut files = current.files.lock();
    let first = files.insert(reads, closes)?;
    let second = match files.insert(writes, closes) {
        Ok(second) => second,
        Err(error) => {
            let closed = files.close(first);
            drop(files);
            drop(closed);
            return Err(error);
        }
    };
    drop(files);
    if let Err(error) = user::put_words(&current.space, at, [first, second]) {
        close(current, first)?;
        close(current, second)?;
        return Err(error);
    }
    Ok(0)
}

/// `F_*`.
pub(super) mod command {
    pub(in crate::syscall) const DUPLICATE: u32 = 0;
    pub(in crate::syscall) const GET_DESCRIPTOR_FLAGS: u32 = 1;
    pub(in crate::syscall) const SET_DESCRIPTOR_FLAGS: u32 = 2;
    pub(in crate::syscall) const GET_FLAGS: u32 = 3;
    pub(in crate::syscall) const SET_FLAGS: u32 = 4;
    pub(in crate::syscall) const GET_LOCK: u32 = 5;
    pub(in crate::syscall) const SET_LOCK: u32 = 6;
    pub(in crate::syscall) const SET_LOCK_WAITING: u32 = 7;
    pub(in crate::syscall) const GET_LOCK64: u32 = 12;
    pub(in crate::syscall) const SET_LOCK64: u32 = 13;
    pub(in crate::syscall) const SET_LOCK64_WAITING: u32 = 14;
    pub(in crate::syscall) const DUPLICATE_CLOSING: u32 = 1030;
    pub(in crate::syscall) const PIPE_SIZE: u32 = 1032;
}

const CLOSES_ON_EXEC: u32 = 1;

pub(super) fn control(current: &mut Current, descriptor: u32, what: u32, value: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    match what {
        command::DUPLICATE => current.files.lock().insert_from(value, file, false),
        command::DUPLICATE_CLOSING => current.files.lock().insert_from(value, file, true),
        command::GET_DESCRIPTOR_FLAGS => current.files.lock().closes_on_exec(descriptor).map(u32::from),
        command::SET_DESCRIPTOR_FLAGS => {
            current.files.lock().set_closes_on_exec(descriptor, value & CLOSES_ON_EXEC != 0)?;
            Ok(0)
        }
        command::GET_FLAGS => Ok((file.flags() | OpenFlags::LARGEFILE).bits()),
        command::SET_FLAGS => {
            file.set_flags(OpenFlags::from_bits_retain(value));
            Ok(0)
        }
        command::GET_LOCK
        | command::SET_LOCK
        | command::SET_LOCK_WAITING
        | command::GET_LOCK64
        | command::SET_LOCK64
        | command::SET_LOCK64_WAITING => lock::record(current, descriptor, what, value),
        command::PIPE_SIZE => Ok(65_536),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn stat64(current: &mut Current, descriptor: u32, to: u32) -> Result<u32> {
    let stat = current.file(descriptor)?.stat().to_stat64();
    user::write(&current.space, to, &stat)?;
    Ok(0)
}

pub(super) fn stat(current: &mut Current, descriptor: u32, to: u32) -> Result<u32> {
    let stat = current.file(descriptor)?.stat().to_stat()?;
    user::write(&current.space, to, &stat)?;
    Ok(0)
}

pub(super) fn stat_fs(current: &mut Current, descriptor: u32, to: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    let inode = file.inode().ok_or(Errno::EINVAL)?;
    user::write(&current.space, to, &start::tree()?.stat_fs(inode).to_statfs()?)?;
    Ok(0)
}

pub(super) fn stat_fs64(current: &mut Current, descriptor: u32, size: u32, to: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    let inode = file.inode().ok_or(Errno::EINVAL)?;
    let bytes = start::tree()?.stat_fs(inode).to_statfs64();
    if size as usize != bytes.len() {
        return Err(Errno::EINVAL);
    }
    user::write(&current.space, to, &bytes)?;
    Ok(0)
}

pub(super) fn truncate(current: &mut Current, descriptor: u32, size: u64) -> Result<u32> {
    current.file(descriptor)?.truncate(size)?;
    Ok(0)
}

pub(super) fn sync(current: &mut Current, descriptor: u32) -> Result<u32> {
    current.file(descriptor)?.sync()?;
    Ok(0)
}

pub(super) fn directory(
    current: &mut Current,
    descriptor: u32,
    to: u32,
    count: u32,
    layout: Layout,
) -> Result<u32> {
    let file = current.file(descriptor)?;
    current.read_file(&file, to, count, |done, count, sink| {
        // One call reads entries that are there as a whole.
        if done > 0 { Ok(0) } else { file.read_directory(layout, count, sink) }
    })
}

/// How wide the offset of `sendfile` is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Offset {
    Word,
    Long,
}

/// Bytes that `sendfile` moves at once.
const PIECE: usize = 16 << 10;

pub(super) fn send(
    current: &mut Current,
    to: u32,
    from: u32,
    offset_at: u32,
    count: u32,
    width: Offset,
) -> Result<u32> {
    let (to, from) = (current.file(to)?, current.file(from)?);
    let mut offset = match (offset_at, width) {
        (0, _) => None,
        (at, Offset::Word) => Some(u64::from(user::word(&current.space, at)?)),
        (at, Offset::Long) => Some(u64::from_le_bytes(user::array(&current.space, at)?)),
    };
    if !from.inode().is_some_and(|inode| inode.is_regular()) {
        return Err(Errno::EINVAL);
    }
    let mut done = 0u32;
    while done < count {
        let most = PIECE.min((count - done) as usize);
        let mut piece = Vec::new();
        match offset {
            Some(offset) => from.read_at(offset, most, &mut piece)?,
            None => from.read(most, &mut piece)?,
        };
        if piece.is_empty() {
            break;
        }
        let written = write_all(current, &to, &piece);
        let written = match written {
            Ok(written) => written,
            Err(_) if done > 0 => 0,
            Err(error) => return broken(current, Err(error)),
        };
        let rest = piece.len() - written;
        match &mut offset {
            Some(offset) => *offset += written as u64,
            None if rest > 0 => {
                from.seek(-(rest as i64), Whence::Current)?;
            }
            None => {}
        }
        done += written as u32;
        if rest > 0 {
            break;
        }
    }
    match (offset, width) {
        (None, _) => {}
        (Some(offset), Offset::Word) => user::put_words(&current.space, offset_at, [offset as u32])?,
        (Some(offset), Offset::Long) => user::write(&current.space, offset_at, &offset.to_le_bytes())?,
    }
    Ok(done)
}

/// Writes bytes of the kernel's, waiting as `write` does; how many.
fn write_all(current: &Current, file: &Arc<File>, bytes: &[u8]) -> Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        let rest = bytes.get(done..).unwrap_or_default();
        let mut source = rest;
        match file.write(rest.len(), &mut source as &mut dyn Source) {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(Errno::EAGAIN) if !file.is_nonblocking() => match current.wait_for(file, 4) {
                Err(_) if done > 0 => break,
                other => other?,
            },
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// `FIOCLEX`, `FIONCLEX`.
const CLOSE_ON_EXEC: u32 = 0x5451;
const KEEP_ON_EXEC: u32 = 0x5450;

pub(super) fn ioctl(current: &mut Current, descriptor: u32, what: u32, value: u32) -> Result<u32> {
    let file = current.file(descriptor)?;
    if matches!(what, CLOSE_ON_EXEC | KEEP_ON_EXEC) {
        current.files.lock().set_closes_on_exec(descriptor, what == CLOSE_ON_EXEC)?;
        return Ok(0);
    }
    if let Some(terminal) = file.terminal() {
        current.check_foreground(terminal, access_of(what))?;
    }
    let job = current.process.job();
    // How much is read or written there, if it is an address at all, each request knows.
    let room = (END_PAGE * PAGE).saturating_sub(value);
    let mut tries = 0;
    loop {
        let (mut source, mut sink) = (UserSource::new(value, room)?, UserSink::new(value, room)?);
        let result = file.ioctl(job, what, value, &mut source, &mut sink);
        let stopped = source.stopped().or(sink.stopped());
        match (result, stopped) {
            (Err(Errno::EFAULT), Some(stopped)) if tries < 4 => user::bring_in(&current.space, stopped)?,
            (result, _) => return result,
        }
        tries += 1;
    }
}

/// What a call that answers with bytes writes: at most `size` of them to `to`.
pub(super) fn put_some(current: &Current, to: u32, size: u32, bytes: &[u8]) -> Result<u32> {
    let some = bytes.get(..size as usize).unwrap_or(bytes);
    user::write(&current.space, to, some)?;
    Ok(some.len() as u32)
}
