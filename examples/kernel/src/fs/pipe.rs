//! Pipes and named pipes.

use super::budget::Budget;
use super::data::{Sink, Source};
use super::poll::Events;
use super::ring::Ring;
use crate::errno::{Errno, Result};
use crate::wait::WaitQueue;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU32, Ordering};
use spin::Mutex;

/// A write of so many bytes or fewer is done whole or not at all.
pub const PIPE_BUF: usize = 4096;
/// What a pipe holds at most.
pub const PIPE_SIZE: usize = 65536;
/// What it holds before it must hold more. With less than [`PIPE_BUF`] in it, it stays writable.
const FIRST_SIZE: usize = 2 * PIPE_BUF;

/// A pipe: what was written and not yet read, and who holds its ends.
#[derive(Debug)]
pub(super) struct Pipe {
    ring: Mutex<Ring>,
    budget: Arc<Budget>,
    number: u32,
    readers: AtomicU32,
    writers: AtomicU32,
    readable: WaitQueue,
    writable: WaitQueue,
}

/// Which ends of a pipe an open file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) reads: bool,
    pub(super) writes: bool,
}

/// The pipe of a fifo, while somebody has it open.
#[derive(Debug, Default)]
pub(super) struct Fifo(Mutex<Weak<Pipe>>);

static NEXT: AtomicU32 = AtomicU32::new(1);

impl Pipe {
    /// An empty pipe with no ends.
    pub(super) fn new(budget: &Arc<Budget>) -> Result<Arc<Self>> {
        budget.take(FIRST_SIZE).map_err(|_| Errno::ENFILE)?;
        // From here on, dropping the pipe gives back what its ring's capacity says.
        let mut ring = Ring::default();
        if let Err(error) = ring.grow(FIRST_SIZE) {
            budget.give(FIRST_SIZE);
            return Err(error);
        }
        Ok(Arc::new(Self {
            ring: Mutex::new(ring),
            budget: budget.clone(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            readers: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
        }))
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.ring.lock().len()
    }

    pub(super) fn attach(&self, ends: Ends) {
        self.readers.fetch_add(u32::from(ends.reads), Ordering::Relaxed);
        self.writers.fetch_add(u32::from(ends.writes), Ordering::Relaxed);
        // Who opened the other end of a fifo may have waited for this one.
        self.wake();
    }

    pub(super) fn detach(&self, ends: Ends) {
        self.readers.fetch_sub(u32::from(ends.reads), Ordering::Relaxed);
        self.writers.fetch_sub(u32::from(ends.writes), Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        self.readable.wake_all();
        self.writable.wake_all();
    }

    pub(super) fn has_readers(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    pub(super) fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Relaxed) > 0
    }

    pub(super) fn read(&self, count: usize, sink: &mut dyn Sink) -> Result<usize> {
        if count == 0 {
            return Ok(0);
        }
        let mut ring = self.ring.lock();
        if ring.len() == 0 {
            return if self.has_writers() { Err(Errno::EAGAIN) } else { Ok(0) };
        }
        let done = ring.take(count, sink)?;
        let roomy = ring.free() >= PIPE_BUF;
        drop(ring);
        if roomy && done > 0 {
            self.writable.wake_all();
        }
        Ok(done)
    }

    /// EPIPE if nobody can read it: then who writes gets SIGPIPE.
    pub(super) fn write(&self, count: usize, source: &mut dyn Source) -> Result<usize> {
        if !self.has_readers() {
            return Err(Errno::EPIPE);
        }
        if count == 0 {
            return Ok(0);
        }
        let mut ring = self.ring.lock();
        if ring.free() < count {
            self.enlarge(&mut ring);
        }
        let whole = count <= PIPE_BUF;
        if ring.free() == 0 || whole && ring.free() < count {
            return Err(Errno::EAGAIN);
        }
        let got = ring.fill(count, source)?;
        if whole && got < count {
            return Ok(0);
        }
        ring.keep(got);
        drop(ring);
        self.readable.wake_all();
        Ok(got)
    }

    /// To its full size if there is memory; if not, it stays as it is and blocks sooner.
    fn enlarge(&self, ring: &mut Ring) {
        let more = PIPE_SIZE - ring.capacity();
        if more > 0 && self.budget.take(more).is_ok() && ring.grow(PIPE_SIZE).is_err() {
            self.budget.give(more);
        }
    }

    pub(super) fn poll(&self, ends: Ends) -> Events {
        let mut events = Events::empty();
        let mut ring = self.ring.lock();
        if ends.reads {
            events.set(Events::IN, ring.len() > 0);
            events.set(Events::HUP, !self.has_writers());
        }
        if ends.writes {
            if ring.free() < PIPE_BUF {
                self.enlarge(&mut ring);
            }
            events.set(Events::OUT, ring.free() >= PIPE_BUF);
            events.set(Events::ERR, !self.has_readers());
        }
        events
    }

    /// Where its ends wait.
    pub(super) fn queues(&self, ends: Ends, interest: Events, visit: &mut dyn FnMut(&WaitQueue)) {
        if ends.reads && interest.intersects(Events::IN) {
            visit(&self.readable);
        }
        if ends.writes && interest.intersects(Events::OUT) {
            visit(&self.writable);
        }
        // That the other end went is told to both.
        if !interest.intersects(Events::IN | Events::OUT) {
            visit(if ends.reads { &self.readable } else { &self.writable });
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.budget.give(self.ring.get_mut().capacity());
    }
}

impl Fifo {
    /// Its pipe, which is new if nobody has it open.
    pub(super) fn open(&self, budget: &Arc<Budget>) -> Result<Arc<Pipe>> {
        let mut fifo = self.0.lock();
        if let Some(pipe) = fifo.upgrade() {
            return Ok(pipe);
        }
        let pipe = Pipe::new(budget)?;
        *fifo = Arc::downgrade(&pipe);
        Ok(pipe)
    }
}

#[cfg(test)]
mod tests;
