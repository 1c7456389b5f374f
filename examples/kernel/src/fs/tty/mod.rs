//! Terminals: keys in, text out, and who may have them.

#[cfg(all(test, target_os = "linux"))]
mod host;
pub(super) mod ioctl;
mod line;
mod screen;
mod termios;
#[cfg(test)]
pub(super) mod tests;

pub use ioctl::{Access, access_of};
pub use line::{SIGINT, SIGQUIT, SIGTSTP};
pub use termios::{InputFlags, Key, LocalFlags, OutputFlags, Termios};

use super::data::{Sink, Source};
use super::poll::Events;
use crate::errno::{Errno, Result};
use crate::wait::WaitQueue;
use alloc::sync::Arc;
use core::fmt::{self, Debug, Formatter};
use line::{Effect, Line};
use spin::Mutex;

pub const SIGHUP: u32 = 1;
pub const SIGCONT: u32 = 18;
pub const SIGTTIN: u32 = 21;
pub const SIGTTOU: u32 = 22;
pub const SIGWINCH: u32 = 28;

/// What a terminal needs of the kernel. None of it calls the terminal back.
pub trait Host: Send + Sync {
    /// Sends bytes to the screen.
    fn send(&self, bytes: &[u8]);

    /// Sends a signal to a process group.
    fn raise(&self, group: u32, signal: u32);

    /// The session that a process group is in; `None` if there is no such group.
    fn session_of(&self, group: u32) -> Option<u32>;
}

/// Who a process is to a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Job {
    pub process: u32,
    pub group: u32,
    pub session: u32,
}

impl Job {
    fn is_leader(self) -> bool {
        self.process == self.session
    }
}

/// A terminal.
pub struct Tty {
    line: Mutex<Line>,
    owner: Mutex<Owner>,
    window: Mutex<Window>,
    readable: WaitQueue,
    writable: WaitQueue,
    host: &'static dyn Host,
}

/// Whose terminal it is: zero is nobody.
#[derive(Clone, Copy, Debug, Default)]
struct Owner {
    session: u32,
    foreground: u32,
}

/// `struct winsize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub rows: u16,
    pub columns: u16,
    pub width: u16,
    pub height: u16,
}

/// How long who reads waits for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Forever,
    /// So many tenths of a second, and then takes what there is: [`Tty::read_now`].
    Tenths(u8),
}

impl Tty {
    pub fn new(host: &'static dyn Host) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            line: Mutex::new(Line::new()?),
            owner: Mutex::new(Owner::default()),
            window: Mutex::new(Window { rows: 24, columns: 80, width: 0, height: 0 }),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
            host,
        }))
    }

    /// Keys were pressed. Not to be called in an interrupt handler.
    pub fn input(&self, bytes: &[u8]) {
        for byte in bytes {
            let mut line = self.line.lock();
            let was_stopped = line.stopped;
            let effect = line.receive(*byte, &|bytes| self.host.send(bytes));
            let goes_on = was_stopped && !line.stopped;
            drop(line);
            if goes_on {
                self.writable.wake_all();
            }
            match effect {
                Effect::Nothing => {}
                Effect::Readable => self.readable.wake_all(),
                Effect::Signal(signal) => self.raise(signal),
            }
        }
    }

    /// Sends a signal to the foreground, if there is one.
    fn raise(&self, signal: u32) {
        let foreground = self.owner.lock().foreground;
        if foreground != 0 {
            self.host.raise(foreground, signal);
        }
    }

    /// Reads a line, or in raw mode what there is if that is enough; else EAGAIN.
    pub fn read(&self, count: usize, sink: &mut dyn Sink) -> Result<usize> {
        let mut line = self.line.lock();
        let termios = &line.termios;
        let enough = if termios.is_canonical() {
            line.has_line()
        } else {
            let minimum = usize::from(termios.key(Key::Minimum));
            let at_once = minimum == 0 && termios.key(Key::Time) == 0;
            at_once || line.waiting() >= minimum.clamp(1, count.max(1))
        };
        if count == 0 {
            Ok(0)
        } else if enough {
            line.take(count, sink)
        } else {
            Err(Errno::EAGAIN)
        }
    }

    /// Reads what there is, enough or not: for who does not wait. EAGAIN if there is nothing.
    pub fn read_nonblocking(&self, count: usize, sink: &mut dyn Sink) -> Result<usize> {
        let mut line = self.line.lock();
        if line.termios.is_canonical() || line.is_empty() {
            drop(line);
            return self.read(count, sink);
        }
        line.take(count, sink)
    }

    /// Reads what there is, enough or not: for who has waited long enough. Zero in raw mode if there is nothing.
    pub fn read_now(&self, count: usize, sink: &mut dyn Sink) -> Result<usize> {
        let mut line = self.line.lock();
        if line.termios.is_canonical() && !line.has_line() {
            return Err(Errno::EAGAIN);
        }
        line.take(count, sink)
    }

    /// How long who was told EAGAIN waits for the next byte.
    pub fn patience(&self) -> Patience {
        let line = self.line.lock();
        let termios = &line.termios;
        let time = termios.key(Key::Time);
        let first = termios.key(Key::Minimum) > 0 && line.is_empty();
        if termios.is_canonical() || time == 0 || first { Patience::Forever } else { Patience::Tenths(time) }
    }

    /// Writes, unless output is stopped: then EAGAIN.
    pub fn write(&self, count: usize, source: &mut dyn Source) -> Result<usize> {
        let mut done = 0;
        while done < count {
            if self.line.lock().stopped {
                return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN) };
            }
            let mut bytes = [0; 256];
            let some = bytes.len().min(count - done);
            let got = match bytes.get_mut(..some).map_or(Ok(0), |bytes| source.get(bytes)) {
                Ok(got) => got,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            let bytes = bytes.get(..got).unwrap_or_default();
            self.line.lock().write(bytes, &|bytes| self.host.send(bytes));
            done += got;
            if got < some {
                break;
            }
        }
        Ok(done)
    }

    pub(super) fn poll(&self) -> Events {
        let line = self.line.lock();
        let termios = &line.termios;
        let minimum = match (termios.key(Key::Minimum), termios.key(Key::Time)) {
            (minimum, 0) if minimum > 0 => usize::from(minimum),
            _ => 1,
        };
        let readable = if termios.is_canonical() { line.has_line() } else { line.waiting() >= minimum };
        let mut events = Events::empty();
        events.set(Events::IN, readable);
        events.set(Events::OUT, !line.stopped);
        events
    }

    pub(super) fn queues(&self, interest: Events, visit: &mut dyn FnMut(&WaitQueue)) {
        if interest.intersects(Events::IN) {
            visit(&self.readable);
        }
        if interest.intersects(Events::OUT) {
            visit(&self.writable);
        }
    }

    pub fn termios(&self) -> Termios {
        self.line.lock().termios
    }

    pub fn set_termios(&self, termios: Termios) {
        self.line.lock().set_termios(termios);
        // What waits may be enough now, or may go out.
        self.readable.wake_all();
        self.writable.wake_all();
    }

    /// Forgets what was typed and not read.
    pub fn flush_input(&self) {
        self.line.lock().flush();
    }

    fn set_stopped(&self, stopped: bool) {
        self.line.lock().stopped = stopped;
        if !stopped {
            self.writable.wake_all();
        }
    }

    pub fn window(&self) -> Window {
        *self.window.lock()
    }

    /// Another size; the foreground is told.
    pub fn set_window(&self, window: Window) {
        let before = core::mem::replace(&mut *self.window.lock(), window);
        if before != window {
            self.raise(SIGWINCH);
        }
    }

    /// The session whose terminal it is; zero if nobody's.
    pub fn session(&self) -> u32 {
        self.owner.lock().session
    }

    pub fn foreground(&self) -> u32 {
        self.owner.lock().foreground
    }

    /// Makes it the terminal of a session that has none. Whether that has none, the caller knows.
    pub fn acquire(&self, job: Job) -> Result<()> {
        let mut owner = self.owner.lock();
        if owner.session == job.session {
            return Ok(());
        }
        if !job.is_leader() || owner.session != 0 {
            return Err(Errno::EPERM);
        }
        *owner = Owner { session: job.session, foreground: job.group };
        Ok(())
    }

    /// A session ends, or gives its terminal up. Its foreground is hung up on.
    pub fn release(&self, session: u32) {
        let mut owner = self.owner.lock();
        if owner.session != session || session == 0 {
            return;
        }
        let foreground = core::mem::take(&mut *owner).foreground;
        drop(owner);
        if foreground != 0 {
            self.host.raise(foreground, SIGHUP);
            self.host.raise(foreground, SIGCONT);
        }
    }

    /// The signal for a process that is not in the foreground and does this, if it gets one.
    ///
    /// If it ignores or blocks SIGTTOU it may go on; SIGTTIN ignored, or a group that is orphaned, is EIO.
    pub fn background_signal(&self, job: Job, access: Access) -> Option<u32> {
        let owner = *self.owner.lock();
        if owner.session != job.session || owner.foreground == 0 || owner.foreground == job.group {
            return None;
        }
        match access {
            Access::Look => None,
            Access::Read => Some(SIGTTIN),
            Access::Write if !self.line.lock().termios.local.contains(LocalFlags::TOSTOP) => None,
            Access::Write | Access::Change => Some(SIGTTOU),
        }
    }
}

impl Debug for Tty {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tty").field("owner", &*self.owner.lock()).finish_non_exhaustive()
    }
}
