//! Processes and their tasks.
//!
//! A [`Process`] is what has a number, a parent and signal handlers; its [`Task`]s are what run, each on a thread of the
//! library's. What a task alone looks at, its registers among it, is its [`Current`], which lies with its thread.

pub mod clone;
pub mod current;
pub mod exit;
pub mod life;
pub mod table;
pub mod tell;
pub mod wait;

pub use current::Current;
pub use tell::About;

use crate::fs::subject::Subject;
use crate::fs::tty::Job;
use crate::memory::user::Shared;
use crate::signal::{Action, COUNT, Pending, Set};
use crate::time;
use crate::wait::{TaskId, WaitQueue};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use spin::Mutex;

/// How a process ended, as `wait` tells it.
pub type Status = u32;

/// The status of an exit with `code`.
pub const fn exited(code: u32) -> Status {
    (code & 0xff) << 8
}

/// What is pending for a task alone, and what it holds back.
#[derive(Debug, Default)]
pub struct Signals {
    /// Sent to this task.
    pub pending: Pending,
    /// Held back.
    pub blocked: Set,
}

/// A task: what others know of it.
pub struct Task {
    /// Its number.
    pub id: u32,
    /// Its process.
    pub process: Arc<Process>,
    /// What it is called where turns are given.
    turn: AtomicU32,
    /// Its signals.
    pub signals: Mutex<Signals>,
    /// There may be something to do before its program goes on.
    pub attention: AtomicBool,
}

impl Task {
    /// A task of `process`, which does not run yet.
    pub fn new(id: u32, process: Arc<Process>, blocked: Set) -> Arc<Self> {
        let signals = Mutex::new(Signals { pending: Pending::new(), blocked });
        Arc::new(Self {
            id,
            process,
            turn: AtomicU32::new(u32::MAX),
            signals,
            attention: AtomicBool::new(false),
        })
    }

    /// What it is called where turns are given.
    pub fn turn(&self) -> TaskId {
        TaskId(self.turn.load(Ordering::Relaxed))
    }

    fn set_turn(&self, turn: TaskId) {
        self.turn.store(turn.0, Ordering::Relaxed);
    }

    /// Makes it look at what has happened, soon.
    pub fn alert(&self) {
        self.attention.store(true, Ordering::Relaxed);
        crate::schedule::wake(self.turn());
    }

    /// Whether a signal has come that it does not hold back, or its process ends.
    pub fn is_interrupted(&self) -> bool {
        self.attention.load(Ordering::Relaxed) && self.is_really_interrupted()
    }

    #[cold]
    fn is_really_interrupted(&self) -> bool {
        let signals = self.signals.lock();
        let pending = signals.pending.set().and(self.process.pending.lock().set());
        !pending.without(signals.blocked).is_empty() || self.process.state.lock().ending.is_some()
    }
}

/// What of a process changes.
pub struct State {
    /// Who is told when it ends.
    pub parent: Weak<Process>,
    /// Those it is the parent of.
    pub children: Vec<Arc<Process>>,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// Those that run.
    pub tasks: Vec<Arc<Task>>,
    /// It ends, with this status, as soon as its tasks see it.
    pub ending: Option<Status>,
    /// It has ended, with this status.
    pub ended: Option<Status>,
    /// It is stopped, by this signal.
    pub stopped: Option<u32>,
    /// It was stopped or continued, as `wait` tells it, and nobody was told so far.
    pub news: Option<Status>,
    /// Whether it has executed a program since it was forked.
    pub has_executed: bool,
    /// What ends its waiting for its real-time timer: when, and after that how often, in nanoseconds.
    pub alarm: Option<(time::Name, u64)>,
    /// The name of its program.
    pub name: [u8; 16],
    /// What else it is known by.
    pub about: Arc<About>,
    /// When it was made, since the boot.
    pub begun: u64,
    /// Who it is to the file system, as long as it runs.
    pub subject: Option<Arc<Mutex<Subject>>>,
    /// Its address space, as long as it runs.
    pub space: Weak<Shared>,
}

/// A process.
pub struct Process {
    /// Its number.
    pub id: u32,
    /// What changes.
    pub state: Mutex<State>,
    /// Signals sent to it as a whole.
    pub pending: Mutex<Pending>,
    /// What it does about signals.
    pub actions: Mutex<[Action; COUNT]>,
    /// Who waits for its children.
    pub children: WaitQueue,
    /// Who waits until it executes another program or ends: its parent, after `vfork`.
    pub left: WaitQueue,
    /// Whether it has left its parent's memory.
    pub has_left: AtomicBool,
    /// Who waits until it is continued: its own tasks.
    pub continued: WaitQueue,
}

impl Process {
    fn new(
        id: u32,
        parent: Weak<Process>,
        group: u32,
        session: u32,
        actions: &[Action; COUNT],
        (name, about): ([u8; 16], Arc<About>),
    ) -> Arc<Self> {
        let state = State {
            parent,
            children: Vec::new(),
            group,
            session,
            tasks: Vec::new(),
            ending: None,
            ended: None,
            stopped: None,
            news: None,
            has_executed: false,
            alarm: None,
            name,
            about,
            begun: time::now(),
            subject: None,
            space: Weak::new(),
        };
        Arc::new(Self {
            id,
            state: Mutex::new(state),
            pending: Mutex::new(Pending::new()),
            actions: Mutex::new(*actions),
            children: WaitQueue::new(),
            left: WaitQueue::new(),
            has_left: AtomicBool::new(false),
            continued: WaitQueue::new(),
        })
    }

    /// Its parent's number, or 0.
    pub fn parent_id(&self) -> u32 {
        self.state.lock().parent.upgrade().map_or(0, |parent| parent.id)
    }

    /// What it does about `signal`.
    pub fn action(&self, signal: u32) -> Action {
        self.actions.lock().get(signal.wrapping_sub(1) as usize).copied().unwrap_or_default()
    }

    /// What it is to terminals.
    pub fn job(&self) -> Job {
        let state = self.state.lock();
        Job { process: self.id, group: state.group, session: state.session }
    }

    /// Makes all its tasks look at what has happened.
    pub fn alert(&self) {
        self.state.lock().tasks.iter().for_each(|task| task.alert());
    }

    /// Lets it end with `status`, unless it ends already.
    pub fn end(&self, status: Status) {
        self.state.lock().ending.get_or_insert(status);
        self.alert();
    }

    /// Lets its parent go on, who lent it its memory.
    pub fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        self.left.wake_all();
    }
}
