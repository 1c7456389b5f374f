//! Several CPUs, one step at a time, in an order that can be chosen and repeated.
//!
//! Each CPU's work is a closure on a thread of its own, and only one of the threads runs. Before
//! every [`Step`](super::Step) it may be stopped there and another go on: a *preemption*. Between two steps
//! nothing that another CPU could see happens, so the orders of the steps are all there are.
//!
//! [`Schedule::run`] runs one order. [`explore`] runs all with up to so many preemptions, without
//! keeping any state: each run tells where it could have been preempted, and those are the next
//! runs. Few preemptions find most errors, and with two the number of runs is about the square of
//! the number of steps.

use super::Emulated;
use super::hook::Event;
use super::turns::{Alternative, Hooked, Turns, message, number};
use crate::machine::Cpu;
use crate::mmu::PagingMode;
use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::sync::{Arc, mpsc};
use std::thread;
use std::vec::Vec;

/// A choice that differs from going on with the same CPU.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Switch {
    /// At which of the run's points. 0 is the beginning; then, in the order in which they come,
    /// there is one before every step of any CPU but the first of its body, which is taken as soon
    /// as that CPU is chosen, and one at the end of every body but the last.
    pub point: u64,
    /// Who goes on. Where it cannot, nothing is switched.
    pub to: Cpu,
}

/// An order of the steps of several CPUs.
///
/// CPU 0 begins. A CPU goes on until its body ends; then the next one that can. It is interrupted
/// at the [`switches`](Self::switches), and, at no charge, where it waits: when an interrupt that
/// it asks for is deferred, in [`pause`](Emulated::pause), and when it repeats the same few steps
/// while RAM stays the same.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Schedule {
    switches: Vec<Switch>,
}

/// A schedule under which something went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The schedule: [`run`](Schedule::run) it to see it again.
    pub schedule: Schedule,
    /// The CPU that panicked; `None` if the check afterwards did.
    pub cpu: Option<Cpu>,
    /// The last step that it took or was about to take.
    pub last: Option<Event>,
    /// What the panic said.
    pub message: String,
}

/// What a run was like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// How many points it had at which something could have been chosen.
    pub points: u64,
    /// How many of the schedule's switches were made.
    pub switches: usize,
    pub(super) alternatives: Vec<Alternative>,
}

impl Schedule {
    /// The schedule with these switches, in any order.
    pub fn new(switches: impl IntoIterator<Item = Switch>) -> Self {
        let mut switches: Vec<_> = switches.into_iter().collect();
        switches.sort_by_key(|switch| switch.point);
        Self { switches }
    }

    /// Its switches, earliest first.
    pub fn switches(&self) -> &[Switch] {
        &self.switches
    }

    /// Runs `bodies` on `machine`, the first as CPU 0 and so on, in this order. A hook that is
    /// installed is called before every step too.
    ///
    /// # Errors
    ///
    /// The first panic, also if the CPUs wait for each other without end. The other bodies are
    /// unwound from where they were.
    ///
    /// # Panics
    ///
    /// If the machine has fewer CPUs, or a run is under way on it.
    pub fn run<P: PagingMode>(
        &self,
        machine: &Emulated<P>,
        bodies: &[&(dyn Fn() + Sync)],
    ) -> Result<Run, Failure> {
        assert!(!bodies.is_empty(), "there is nothing to run");
        let turns = Arc::new(Turns::new(self.clone(), bodies.len(), false));
        let _hooked = Hooked::new(machine, Arc::clone(&turns));
        thread::scope(|scope| {
            for (slot, body) in bodies.iter().enumerate() {
                let turns = &turns;
                scope.spawn(move || turns.play(slot, || machine.as_cpu(number(slot), body)));
            }
        });
        turns.result()
    }
}

/// Runs `bodies` in every order with at most `preemptions` preemptions, each time in a new world,
/// then `check`. Those with fewer come first. Says how many orders that were. `machine` finds the
/// machine of a world.
///
/// The bodies must do the same when they run in the same order: no clocks, no chance.
///
/// # Errors
///
/// The first schedule under which a body or the check panics.
///
/// # Panics
///
/// If there are no bodies or more than the machine has CPUs, or a body does now this, now that.
pub fn explore<P: PagingMode, W: Send + Sync>(
    preemptions: usize,
    make_world: impl Fn() -> W,
    machine: impl Fn(&W) -> &Emulated<P> + Sync,
    bodies: &[&(dyn Fn(&W) + Sync)],
    check: impl Fn(&W),
) -> Result<u64, Failure> {
    assert!(!bodies.is_empty(), "there is nothing to run");
    let play = |turns: &Turns, slot: usize, world: &W| {
        turns.play(slot, || machine(world).as_cpu(number(slot), || bodies[slot](world)));
    };
    thread::scope(|scope| {
        // This thread plays the first body, and one thread for all runs each of the others.
        let players: Vec<_> = (1..bodies.len())
            .map(|slot| {
                let (player, runs) = mpsc::channel::<(Arc<Turns>, Arc<W>)>();
                scope.spawn(move || runs.iter().for_each(|(turns, world)| play(&turns, slot, &world)));
                player
            })
            .collect();
        every_order(preemptions, |schedule, preempt| {
            let world = Arc::new(make_world());
            let turns = Arc::new(Turns::new(schedule.clone(), bodies.len(), preempt));
            let hooked = Hooked::new(machine(&world), Arc::clone(&turns));
            for player in &players {
                // None of them can be gone: they catch every panic.
                _ = player.send((Arc::clone(&turns), Arc::clone(&world)));
            }
            play(&turns, 0, &world);
            let run = turns.result()?;
            drop(hooked);
            catch_unwind(AssertUnwindSafe(|| check(&world))).map_err(|panic| Failure {
                schedule: schedule.clone(),
                cpu: None,
                last: None,
                message: message(&*panic),
            })?;
            Ok(run)
        })
    })
}

/// Calls `run` with every schedule, and with whether preemptions may be added to it.
fn every_order(
    preemptions: usize,
    run: impl Fn(&Schedule, bool) -> Result<Run, Failure>,
) -> Result<u64, Failure> {
    let mut runs = 0;
    let mut spent = 0;
    let mut open = std::vec![Schedule::default()];
    let mut later = Vec::new();
    while let Some(schedule) = open.pop() {
        let run = run(&schedule, spent < preemptions)?;
        assert!(
            run.switches == schedule.switches.len(),
            "schedule {schedule}: the bodies do not always do the same"
        );
        runs += 1;
        for alternative in run.alternatives.into_iter().rev() {
            let mut switches = schedule.switches.clone();
            switches.push(alternative.switch);
            let list = if alternative.preemption { &mut later } else { &mut open };
            list.push(Schedule { switches });
        }
        if open.is_empty() {
            spent += 1;
            open = core::mem::take(&mut later);
        }
    }
    Ok(runs)
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for switch in &self.switches {
            list.entry(&format_args!("{} -> CPU {}", switch.point, switch.to.number()));
        }
        list.finish()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cpu {
            Some(cpu) => write!(f, "schedule {}: CPU {}", self.schedule, cpu.number())?,
            None => write!(f, "schedule {}: the check", self.schedule)?,
        }
        if let Some(last) = self.last {
            write!(f, " (after {:?})", last.what)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl core::error::Error for Failure {}

#[cfg(test)]
mod tests;
