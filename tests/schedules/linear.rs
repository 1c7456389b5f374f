//! Whether what several CPUs were answered, and what they left, is that of calls made one by one.

use crate::call::{Answer, Call};
use crate::recount::stage;
use crate::safety::cpus;
use crate::small::{World, cpu};
use crate::view::{self, Thread, Word, level, word};
use std::cell::RefCell;
use std::collections::HashMap;
use sva_os::mmu::PagingMode;

/// What callers can tell of a world: each frame's word, every entry, every CR3, every thread, who runs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Left {
    words: Vec<Word>,
    entries: Vec<(u32, u32, u64)>,
    roots: Vec<u32>,
    /// In an order that does not depend on which slots they have.
    threads: Vec<Thread>,
    current: Vec<Thread>,
}

/// What callers can tell of `world`.
pub(crate) fn same_to_callers<P: PagingMode>(world: &World<P>) -> Left {
    let mut entries = Vec::new();
    for frame in stage(world) {
        let Some(level) = level::<P>(word(world, frame).kind) else { continue };
        for index in 0..view::entries::<P>(level) {
            let raw = view::raw(world, frame, index) & !0x60;
            if raw != 0 {
                entries.push((frame.number(), index, raw));
            }
        }
    }
    let mut threads = view::threads(world);
    let current = if threads.is_empty() { 0 } else { cpus(world) };
    let current = (0..current).map(|number| threads[view::current(world, cpu(number))].clone()).collect();
    threads.sort();
    Left {
        words: stage(world).map(|frame| word(world, frame)).collect(),
        entries,
        roots: (0..cpus(world)).map(|number| world.machine().root_of(cpu(number)).number()).collect(),
        threads,
        current,
    }
}

/// Refusals that a call may meet only because another is under way: a count that it holds for
/// the moment, or a busy frame or slot. Such a call may be tried again, and stands for no call at all.
const CONTENTION: [&str; 7] =
    ["FrameBusy", "FrameInUse", "TableNotEmpty", "TableLinked", "RootNotEmpty", "RootInUse", "ThreadBusy"];

/// Whether `call` looks which kind its frame is, to ask for just that a moment later. In between
/// the frame may have become another, and the refusal then has a name of its own.
fn looks_twice(call: Call) -> bool {
    matches!(
        call,
        Call::Retype(..)
            | Call::RemoveTable(_)
            | Call::Link(..)
            | Call::Unlink(..)
            | Call::WriteBytes(..)
            | Call::ReadBytes(..)
            | Call::ReadEntry(..)
    )
}

type Key = (Vec<Vec<Answer>>, Vec<(u32, u32, u64)>);

/// All orders of whole calls from one world.
pub(crate) struct Orders<'a, P: PagingMode> {
    start: &'a World<P>,
    cpus: &'a [&'a [Call]],
    /// What was explained before.
    known: RefCell<HashMap<Key, Left>>,
}

impl<'a, P: PagingMode> Orders<'a, P> {
    pub(crate) fn new(start: &'a World<P>, cpus: &'a [&'a [Call]]) -> Self {
        Self { start, cpus, known: RefCell::default() }
    }

    /// `Err` unless some order of whole calls answers and leaves the same.
    pub(crate) fn explain(&self, answers: &[Vec<Answer>], left: &Left) -> Result<(), String> {
        let key = (answers.to_vec(), left.entries.clone());
        if self.known.borrow().get(&key) == Some(left) {
            return Ok(());
        }
        if !self.search(self.start, &mut vec![0; answers.len()], answers, left) {
            return Err(format!("no order of whole calls explains this: {left:x?}"));
        }
        self.known.borrow_mut().insert(key, left.clone());
        Ok(())
    }

    /// Whether the calls from `done` on can be made in some order.
    fn search(&self, world: &World<P>, done: &mut [usize], answers: &[Vec<Answer>], left: &Left) -> bool {
        let mut ended = true;
        for slot in 0..done.len() {
            let Some(call) = self.cpus[slot].get(done[slot]) else { continue };
            ended = false;
            let wanted = answers[slot][done[slot]];
            done[slot] += 1;
            let next = world.clone();
            let answer = next.machine().as_cpu(cpu(slot as u32), || call.perform(&next));
            let refusal = match wanted {
                Answer::Refused(name) | Answer::Batch(0, Some(name)) => Some(name),
                _ => None,
            };
            let contended = refusal.is_some_and(|name| CONTENTION.contains(&name) || looks_twice(*call));
            if answer == wanted && self.search(&next, done, answers, left)
                || contended && self.search(world, done, answers, left)
            {
                done[slot] -= 1;
                return true;
            }
            done[slot] -= 1;
        }
        ended && same_to_callers(world) == *left
    }
}
