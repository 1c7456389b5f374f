//! What `/proc` tells.

use super::{Process, table};
use crate::fs::proc::{self, Proc, State, System};
use crate::memory::{PAGE, pool};
use crate::start::tree;
use crate::time::{self, SECOND};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What the kernel tells.
pub struct Teller;

/// What a process is known by, since it executed its program.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Its arguments, each with a zero at its end; no more than [`ARGUMENTS`] bytes of them.
    pub arguments: Vec<u8>,
    /// The path of its program's file.
    pub executable: Vec<u8>,
}

impl About {
    /// Of what executes the program at `path` with `arguments`.
    pub fn new(path: &[u8], given: &[Vec<u8>]) -> Self {
        let mut arguments = Vec::new();
        for argument in given {
            let left = ARGUMENTS.saturating_sub(arguments.len() + 1);
            arguments.extend(argument.iter().take(left));
            arguments.push(0);
            if left <= argument.len() {
                break;
            }
        }
        Self { arguments, executable: path.to_vec() }
    }
}

/// How much of its arguments a process is remembered by.
const ARGUMENTS: usize = 4096;
/// What `/proc/version` says.
const VERSION: &str = concat!("Linux version 6.1.0 (sva-os kernel ", env!("CARGO_PKG_VERSION"), ")");

fn hundredths(nanoseconds: u64) -> u64 {
    nanoseconds / (SECOND / 100)
}

fn running() -> Option<Arc<Process>> {
    table::of_turn(crate::machine::sva().current_thread().number())
}

impl Proc for Teller {
    fn current(&self) -> u32 {
        running().map_or(0, |process| process.id)
    }

    fn after(&self, process: u32) -> Option<u32> {
        table::after(process)
    }

    fn process(&self, id: u32) -> Option<proc::Process> {
        let process = table::process(id)?;
        let is_running = self.current() == id;
        let (parent, job) = (process.parent_id(), process.job());
        let state = process.state.lock();
        let what = if state.ended.is_some() {
            State::Zombie
        } else if state.stopped.is_some() {
            State::Stopped
        } else if is_running {
            State::Running
        } else {
            State::Sleeping
        };
        let name = state.name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        let (threads, start) = (state.tasks.len() as u32, state.begun);
        let (subject, space) = (state.subject.clone(), state.space.upgrade());
        drop(state);
        let (uid, gid) = subject.map_or((0, 0), |subject| {
            let subject = subject.lock();
            (subject.uid, subject.gid)
        });
        // Whose address space is in use at this moment is not looked at: it is the one that asks, in the midst of a fault.
        let (size, resident) = space
            .as_deref()
            .and_then(|space| space.try_lock())
            .map_or((0, 0), |space| (space.regions().pages().saturating_mul(PAGE), space.resident()));
        Some(proc::Process {
            parent,
            group: job.group,
            session: job.session,
            terminal: crate::console::terminal_of(job.session),
            state: what,
            name,
            uid,
            gid,
            threads,
            user_time: 0,
            system_time: 0,
            start: hundredths(start),
            size,
            resident,
        })
    }

    fn arguments(&self, process: u32) -> Vec<u8> {
        table::process(process).map_or(Vec::new(), |process| process.state.lock().about.arguments.clone())
    }

    fn executable(&self, process: u32) -> Option<Vec<u8>> {
        let path = table::process(process)?.state.lock().about.executable.clone();
        (!path.is_empty()).then_some(path)
    }

    fn directory(&self, process: u32) -> Option<Vec<u8>> {
        let subject = table::process(process)?.state.lock().subject.clone()?;
        let subject = subject.lock().clone();
        tree().ok()?.path_of(&subject, &subject.directory).ok()
    }

    fn system(&self) -> System {
        let now = time::now();
        let (boot, _) = time::split(time::real().saturating_sub(now));
        let (processes, tasks) = table::counts();
        let (forks, last) = table::made();
        System {
            uptime: hundredths(now),
            user_time: 0,
            system_time: 0,
            idle_time: 0,
            boot: boot.into(),
            memory: pool::total().saturating_mul(PAGE / 1024),
            memory_free: pool::unused().saturating_mul(PAGE / 1024),
            interrupts: 0,
            switches: 0,
            forks,
            running: tasks.min(1) as u32,
            processes: processes as u32,
            last_process: last,
            version: VERSION,
        }
    }
}
