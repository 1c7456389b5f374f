//! What a task alone has.

use super::{Process, Task};
use crate::errno::{Errno, Result};
use crate::fs::data::{Sink, Source};
use crate::fs::descriptors::Descriptors;
use crate::fs::file::File;
use crate::fs::subject::Subject;
use crate::fs::tty::{Access, Tty};
use crate::machine::{Machine, sva};
use crate::memory::pool;
use crate::memory::user::{self, Shared};
use crate::schedule;
use crate::signal::{IGNORE, Info, Set, send};
use crate::wait::{TaskId, WaitQueue};
use alloc::sync::Arc;
use spin::Mutex;
use sva_os::Violation;
use sva_os::address::{Frame, VirtAddr};
use sva_os::context::{TLS_SLOTS, TlsSegment, UserContext, UserRange};

/// A stack for signal handlers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SignalStack {
    /// Its lowest address.
    pub start: u32,
    /// Its size; 0 if there is none.
    pub size: u32,
}

impl SignalStack {
    /// Whether `at` lies in it.
    pub const fn contains(self, at: u32) -> bool {
        at.wrapping_sub(self.start) < self.size
    }
}

/// A running task, as it sees itself.
pub struct Current {
    /// Its program's registers.
    pub context: UserContext,
    /// The root of its address space.
    pub root: Frame,
    /// What it is called where turns are given.
    pub turn: TaskId,
    /// What others know of it.
    pub task: Arc<Task>,
    /// Its process.
    pub process: Arc<Process>,
    /// Its address space.
    pub space: Arc<Shared>,
    /// Its open files.
    pub files: Arc<Mutex<Descriptors>>,
    /// Who it is to the file system.
    pub subject: Arc<Mutex<Subject>>,
    /// Its segments for thread-local storage.
    pub tls: [Option<TlsSegment>; TLS_SLOTS as usize],
    /// The number of the system call that a signal has just interrupted, for it may be begun anew.
    pub interrupted: Option<u32>,
    /// What it holds back again when a handler has run that `sigsuspend` waited for.
    pub mask_after: Option<Set>,
    /// Its stack for signal handlers.
    pub stack: SignalStack,
    /// Where a zero is written when it ends, for who waits there.
    pub clear_at_end: u32,
    /// It ends.
    pub is_over: bool,
}

/// Memory of a program that a call names.
type Range = UserRange<'static, Machine>;

/// Where what is read for a program goes.
pub struct UserSink {
    range: Range,
    stopped: Option<Violation>,
}

/// Where what a program writes comes from.
pub struct UserSource {
    range: Range,
    stopped: Option<Violation>,
}

/// So many bytes at `at`.
///
/// # Errors
///
/// EFAULT if these are no addresses of a program's.
#[inline(always)]
fn range(at: u32, count: u32) -> Result<Range> {
    sva().user_range(VirtAddr::new(at), count).map_err(|_| Errno::EFAULT)
}

impl UserSink {
    /// To so many bytes at `at`.
    ///
    /// # Errors
    ///
    /// EFAULT if these are no addresses of a program's.
    #[inline(always)]
    pub fn new(at: u32, count: u32) -> Result<Self> {
        Ok(Self { range: range(at, count)?, stopped: None })
    }

    /// Where a page was missing.
    pub const fn stopped(&self) -> Option<Violation> {
        self.stopped
    }
}

impl UserSource {
    /// From so many bytes at `at`.
    ///
    /// # Errors
    ///
    /// EFAULT if these are no addresses of a program's.
    #[inline(always)]
    pub fn new(at: u32, count: u32) -> Result<Self> {
        Ok(Self { range: range(at, count)?, stopped: None })
    }

    /// Where a page was missing.
    pub const fn stopped(&self) -> Option<Violation> {
        self.stopped
    }
}

impl Sink for UserSink {
    fn put(&mut self, bytes: &[u8]) -> Result<usize> {
        let progress = self.range.write(bytes);
        self.stopped = progress.refused;
        Ok(progress.done as usize)
    }

    fn put_zeros(&mut self, count: usize) -> Result<usize> {
        let progress = self.range.zero(count);
        self.stopped = progress.refused;
        Ok(progress.done as usize)
    }
}

impl Source for UserSource {
    fn get(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let progress = self.range.read(buffer);
        self.stopped = progress.refused;
        Ok(progress.done as usize)
    }
}

/// Bytes that are written to a file at once.
const PIECE: u32 = 64 << 10;
/// The most that one call reads or writes, as in Linux.
const MOST: u32 = 0x7fff_f000;

impl Current {
    /// The file with this number.
    #[inline]
    pub fn file(&self, descriptor: u32) -> Result<Arc<File>> {
        self.files.lock().get(descriptor).cloned()
    }

    /// Waits until somebody wakes this task, if no signal has come.
    ///
    /// # Errors
    ///
    /// EINTR.
    pub fn sleep(&self) -> Result<()> {
        if self.task.is_interrupted() {
            return Err(Errno::EINTR);
        }
        schedule::block(self.turn);
        Ok(())
    }

    /// Waits until `queue` is woken, or a signal comes; the caller looks again.
    ///
    /// # Errors
    ///
    /// EINTR.
    pub fn sleep_in(&self, queue: &WaitQueue) -> Result<()> {
        queue.add(self.turn);
        let slept = self.sleep();
        queue.remove(self.turn);
        slept
    }

    /// Tries `again` until it need not wait for `file` to have one of these events.
    fn until_ready(
        &self,
        file: &File,
        events: u16,
        mut again: impl FnMut() -> Result<usize>,
    ) -> Result<usize> {
        loop {
            match again() {
                Err(Errno::EAGAIN) if !file.is_nonblocking() => {}
                result => return result,
            }
            self.wait_for(file, events)?;
        }
    }

    /// Waits until one of these events may have come to `file`.
    ///
    /// # Errors
    ///
    /// EINTR.
    #[cold]
    pub fn wait_for(&self, file: &File, events: u16) -> Result<()> {
        let events = crate::fs::poll::Events::from_bits_retain(events);
        file.queues(events, &mut |queue| queue.add(self.turn));
        let slept = self.sleep();
        file.queues(events, &mut |queue| queue.remove(self.turn));
        slept
    }

    /// A process in the background that does this with its terminal is stopped, or told that it cannot (POSIX, 11.1.4).
    ///
    /// # Errors
    ///
    /// EINTR, when the signal is on its way and the call is to be begun anew; EIO.
    pub fn check_foreground(&self, terminal: &Tty, access: Access) -> Result<()> {
        if access == Access::Look {
            return Ok(());
        }
        let job = self.process.job();
        let Some(signal) = terminal.background_signal(job, access) else {
            return Ok(());
        };
        let is_held = self.task.signals.lock().blocked.has(signal);
        if is_held || self.process.action(signal).handler == IGNORE {
            return if access == Access::Read { Err(Errno::EIO) } else { Ok(()) };
        }
        send::to_group(job.group, Info::kernel(signal))?;
        Err(Errno::EINTR)
    }

    /// Reads once to `to`, and does not wait.
    pub fn try_read(
        &self,
        to: u32,
        count: u32,
        mut read: impl FnMut(usize, &mut UserSink) -> Result<usize>,
    ) -> Result<u32> {
        let mut tries = 0;
        loop {
            let count = count.min(MOST);
            let mut sink = UserSink::new(to, count)?;
            let done = read(count as usize, &mut sink)?;
            match sink.stopped {
                Some(stopped) if done == 0 && tries < 3 => user::bring_in(&self.space, stopped)?,
                _ => return Ok(done as u32),
            }
            tries += 1;
        }
    }

    /// Writes once from `from`, and does not wait.
    pub fn try_write(
        &self,
        from: u32,
        count: u32,
        mut write: impl FnMut(usize, &mut UserSource) -> Result<usize>,
    ) -> Result<u32> {
        let mut tries = 0;
        loop {
            let count = count.min(MOST);
            let mut source = UserSource::new(from, count)?;
            let done = write(count as usize, &mut source)?;
            match source.stopped {
                Some(stopped) if done == 0 && tries < 3 => user::bring_in(&self.space, stopped)?,
                _ => return Ok(done as u32),
            }
            tries += 1;
        }
    }

    /// Reads from `file` to `to`: `read` is told how much at most, and where to.
    pub fn read_file(
        &self,
        file: &File,
        to: u32,
        count: u32,
        mut read: impl FnMut(u64, usize, &mut UserSink) -> Result<usize>,
    ) -> Result<u32> {
        let count = count.min(MOST);
        let mut done = 0;
        loop {
            let left = count - done;
            let mut sink = UserSink::new(to.wrapping_add(done), left)?;
            let mut once = || read(done.into(), left as usize, &mut sink);
            let result = if done == 0 { self.until_ready(file, 1, once) } else { once() };
            match result {
                Ok(more) => done += more as u32,
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
            match sink.stopped {
                Some(stopped) if done < count => match user::bring_in(&self.space, stopped) {
                    Err(_) if done > 0 => return Ok(done),
                    other => other?,
                },
                _ => return Ok(done),
            }
        }
    }

    /// Writes what is at `from` to `file`, all of it unless that is not to wait.
    pub fn write_file(
        &self,
        file: &File,
        from: u32,
        count: u32,
        mut write: impl FnMut(u64, usize, &mut UserSource) -> Result<usize>,
    ) -> Result<u32> {
        let count = count.min(MOST);
        // What files hold lies in the heap, which is made to grow before it is full.
        let is_kept = file.inode().is_some_and(|inode| inode.is_regular());
        let mut done = 0;
        loop {
            let mut left = count - done;
            if is_kept {
                left = left.min(PIECE);
                if !pool::has_room((left + PIECE / 16) as usize) {
                    return if done > 0 { Ok(done) } else { Err(Errno::ENOSPC) };
                }
            }
            let mut stopped = None;
            let result = self.until_ready(file, 4, || {
                let mut source = UserSource::new(from.wrapping_add(done), left)?;
                let result = write(done.into(), left as usize, &mut source);
                stopped = source.stopped;
                result
            });
            let more = match result {
                Ok(more) => more as u32,
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            };
            done += more;
            if done >= count {
                return Ok(done);
            }
            match stopped {
                Some(stopped) => match user::bring_in(&self.space, stopped) {
                    Err(_) if done > 0 => return Ok(done),
                    other => other?,
                },
                None if more == 0 || file.is_nonblocking() && !is_kept => return Ok(done),
                None => {}
            }
        }
    }
}
