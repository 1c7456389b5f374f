//! Whose turn it is: the threads of a run, of which one runs at a time.

use super::Emulated;
use super::hook::{Event, Hook, Step};
use super::schedule::{Failure, Run, Schedule, Switch};
use crate::machine::Cpu;
use crate::mmu::PagingMode;
use std::any::Any;
use std::boxed::Box;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::string::String;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::vec::Vec;
use std::{eprintln, thread, thread_local};

/// A CPU that takes this many steps, all among the same few and RAM the same, waits for another.
const SPIN: u32 = 16;
/// And after this many it need not be preempted: it is where it was before.
const REPEATS: u32 = 4;
/// More waits than this are a hang.
const MOST_WAITS: u32 = 10_000;
/// More steps than this are a hang.
const MOST_POINTS: u64 = 1 << 26;

/// When no step is taken for so long, that is worth a line.
const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    /// Which body of a run this thread is.
    static BODY: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A switch that could have been made as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Alternative {
    pub(super) switch: Switch,
    /// Whether the CPU that ran before could have gone on.
    pub(super) preemption: bool,
}

/// What the threads of a run share.
pub(super) struct Turns {
    state: Mutex<State>,
    /// One for each body, and the last for who waits for all to end.
    bells: Vec<Condvar>,
    schedule: Schedule,
}

struct State {
    current: usize,
    point: u64,
    /// Those of the schedule that are not made yet, latest first.
    switches: Vec<Switch>,
    switched: usize,
    bodies: Vec<Body>,
    waits: u32,
    failure: Option<Failure>,
    /// Whether alternatives that cost a preemption are wanted.
    preempt: bool,
    alternatives: Vec<Alternative>,
}

/// One CPU of a run.
#[derive(Clone, Default)]
struct Body {
    begun: bool,
    finished: bool,
    /// Interrupts that another's thread now runs for it.
    interrupted: u32,
    /// The last few different steps, latest first, and how many in a row were among them.
    last: [Option<Event>; 4],
    repeated: u32,
}

/// How a body is unwound that did nothing wrong.
struct Abandoned;

impl Turns {
    /// The turns of that many bodies; `preempt` asks for alternatives that cost a preemption.
    pub(super) fn new(schedule: Schedule, bodies: usize, preempt: bool) -> Self {
        let mut state = State {
            current: 0,
            point: 0,
            switches: schedule.switches().iter().rev().copied().collect(),
            switched: 0,
            bodies: std::vec![Body::default(); bodies],
            waits: 0,
            failure: None,
            preempt,
            alternatives: Vec::new(),
        };
        state.current = state.choose(None);
        Self { state: Mutex::new(state), bells: (0..=bodies).map(|_| Condvar::new()).collect(), schedule }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `body` as the thread `slot`, from its first turn on.
    pub(super) fn play(&self, slot: usize, body: impl FnOnce()) {
        let result = if self.await_turn(self.lock(), slot) {
            BODY.set(Some(slot));
            let result = catch_unwind(AssertUnwindSafe(body));
            BODY.set(None);
            result
        } else {
            Ok(())
        };
        self.end(slot, result);
    }

    /// Waits for the turn of `slot`; `false` if the run is given up.
    fn await_turn<'s>(&'s self, mut state: MutexGuard<'s, State>, slot: usize) -> bool {
        while state.current != slot && state.failure.is_none() {
            state = self.wait(state, slot);
        }
        state.failure.is_none()
    }

    /// Waits for a bell. Says so when nothing moves.
    fn wait<'s>(&'s self, state: MutexGuard<'s, State>, bell: usize) -> MutexGuard<'s, State> {
        let point = state.point;
        let answer = self.bells[bell].wait_timeout(state, PATIENCE);
        let (state, timeout) = answer.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() && state.point == point {
            let (schedule, current) = (&self.schedule, state.current);
            eprintln!("schedule {schedule}: CPU {current} takes no step after point {point}");
        }
        state
    }

    /// Before a step of the thread `slot`.
    fn at(&self, slot: usize, event: Event) {
        // A thread that unwinds is about to end its run; it is not stopped in its destructors.
        if thread::panicking() {
            return;
        }
        let mut state = self.lock();
        state.note(slot, event);
        if !state.bodies[slot].begun {
            // It was chosen to take this step.
            state.bodies[slot].begun = true;
            return;
        }
        let waits = event.what == Step::Wait || state.bodies[slot].repeated >= SPIN;
        let next = if waits { state.wait(slot) } else { state.choose(Some(slot)) };
        if next != slot {
            state.current = next;
            self.bells[next].notify_one();
        }
        if state.failure.is_some() {
            self.wake_all();
        }
        if !self.await_turn(state, slot) {
            resume_unwind(Box::new(Abandoned));
        }
    }

    fn end(&self, slot: usize, result: thread::Result<()>) {
        let mut state = self.lock();
        state.bodies[slot].finished = true;
        match result {
            _ if state.failure.is_some() => {}
            Ok(()) if state.all_finished() => {}
            Ok(()) => {
                state.current = state.choose(None);
                self.bells[state.current].notify_one();
            }
            Err(panic) => state.fail(slot, message(&*panic)),
        }
        if state.failure.is_some() || state.all_finished() {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        self.bells.iter().for_each(Condvar::notify_all);
    }

    /// What the run was like, as soon as all bodies have ended.
    pub(super) fn result(&self) -> Result<Run, Failure> {
        let mut state = self.lock();
        while !state.all_finished() {
            state = self.wait(state, self.bells.len() - 1);
        }
        match state.failure.take() {
            Some(failure) => Err(Failure { schedule: self.schedule.clone(), ..failure }),
            None => Ok(Run {
                points: state.point,
                switches: state.switched,
                alternatives: core::mem::take(&mut state.alternatives),
            }),
        }
    }
}

impl State {
    /// Keeps track of interrupts and of steps that repeat.
    fn note(&mut self, slot: usize, event: Event) {
        let target = event.cpu.number() as usize;
        match (event.what, self.bodies.get_mut(target)) {
            (Step::Enter, Some(body)) => body.interrupted += 1,
            (Step::Leave, Some(body)) => body.interrupted -= 1,
            _ => {}
        }
        let body = &mut self.bodies[slot];
        let known = body.last.iter().position(|last| *last == Some(event));
        body.repeated = if known.is_some() { body.repeated + 1 } else { 0 };
        let oldest = known.unwrap_or(body.last.len() - 1);
        body.last[..=oldest].rotate_right(1);
        body.last[0] = Some(event);
    }

    fn all_finished(&self) -> bool {
        self.bodies.iter().all(|body| body.finished)
    }

    fn can_run(&self, slot: usize) -> bool {
        can_run(&self.bodies[slot])
    }

    /// Those that could run, from the one after `slot` round to the one before it.
    fn others(&self, slot: usize) -> impl Iterator<Item = usize> {
        let count = self.bodies.len();
        (1..count).map(move |step| (slot + step) % count).filter(|other| self.can_run(*other))
    }

    /// Who goes on at this point, where `running` may, or where nobody does: at the beginning, and
    /// at the end of a body.
    fn choose(&mut self, running: Option<usize>) -> usize {
        let point = self.point;
        self.point += 1;
        let first = match running {
            Some(slot) => Some(slot),
            None if self.can_run(self.current) => Some(self.current),
            None => self.others(self.current).next(),
        };
        let Some(first) = first else {
            self.fail(self.current, "a body ended in the midst of an interrupt".into());
            return self.current;
        };
        if point > MOST_POINTS {
            self.fail(first, "the run does not end".into());
        }
        while self.switches.last().is_some_and(|switch| switch.point < point) {
            self.switches.pop();
        }
        if let Some(switch) = self.switches.last() {
            let to = switch.to.number() as usize;
            if switch.point == point && to != first && self.bodies.get(to).is_some_and(can_run) {
                self.switched += 1;
                return to;
            }
        } else if self.may_choose(running) {
            let alternatives =
                (0..self.bodies.len()).filter(|slot| *slot != first && can_run(&self.bodies[*slot]));
            let preemption = running.is_some();
            self.alternatives.extend(
                alternatives
                    .map(|slot| Alternative { switch: Switch { point, to: number(slot) }, preemption }),
            );
        }
        first
    }

    /// Whether another choice at this point is to be listed.
    fn may_choose(&self, running: Option<usize>) -> bool {
        running.is_none_or(|slot| self.preempt && self.bodies[slot].repeated < REPEATS)
    }

    /// Who goes on while `slot` waits.
    fn wait(&mut self, slot: usize) -> usize {
        self.point += 1;
        self.waits += 1;
        self.bodies[slot].repeated = 0;
        if self.waits > MOST_WAITS {
            self.fail(slot, "the CPUs wait for each other without end".into());
        }
        self.others(slot).next().unwrap_or(slot)
    }

    /// Gives the run up, because of what `slot` does.
    fn fail(&mut self, slot: usize, message: String) {
        let last = self.bodies[slot].last[0];
        let schedule = Schedule::default();
        self.failure.get_or_insert(Failure { schedule, cpu: Some(number(slot)), last, message });
    }
}

fn can_run(body: &Body) -> bool {
    !body.finished && body.interrupted == 0
}

/// The scheduler's hook in a machine, until it is dropped.
pub(super) struct Hooked<'m, P: PagingMode> {
    machine: &'m Emulated<P>,
    before: Option<Hook>,
}

impl<'m, P: PagingMode> Hooked<'m, P> {
    pub(super) fn new(machine: &'m Emulated<P>, turns: Arc<Turns>) -> Self {
        let bodies = turns.bells.len() - 1;
        assert!(bodies <= machine.cores.len(), "{bodies} bodies for {} CPUs", machine.cores.len());
        let before = machine.set_hook(None);
        let first = before.clone();
        let hook = move |event| {
            if let Some(first) = &first {
                first(event);
            }
            if let Some(slot) = BODY.get() {
                turns.at(slot, event);
            }
        };
        machine.set_hook(Some(Arc::new(hook)));
        Self { machine, before }
    }
}

impl<P: PagingMode> Drop for Hooked<'_, P> {
    fn drop(&mut self) {
        self.machine.set_hook(self.before.take());
    }
}

pub(super) fn number(slot: usize) -> Cpu {
    match u32::try_from(slot).ok().and_then(Cpu::new) {
        Some(cpu) => cpu,
        None => panic!("there is no CPU {slot}"),
    }
}

/// What a panic said.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).into()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without words".into()
    }
}
