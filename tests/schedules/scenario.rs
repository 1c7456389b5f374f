//! Two or three CPUs, each with a few calls, in every order with so many preemptions.
//!
//! The machine is at its worst throughout: before every step every TLB is filled as far as it goes,
//! programs store through it, and all of it must be harmless then. When all calls have returned,
//! everything is recounted, and the answers must be those of some order of whole calls.

use crate::adversary::{Eagerness, Watch, soil, strike, words};
use crate::call::{Answer, Call};
use crate::linear::{Orders, same_to_callers};
use crate::small::{World, cpu, small_world, small_world_of_threads};
use crate::view::set_clock;
use crate::{recount, safety};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use sva_os::machine::emulated;
use sva_os::mmu::PagingMode;

/// Frames on the stage, and pages in play.
pub(crate) const FRAMES: u32 = 8;
pub(crate) const PAGES: u32 = 2;

/// What every CPU calls, and from which world on.
#[derive(Clone, Copy)]
pub(crate) struct Scenario<'a> {
    pub(crate) name: &'a str,
    pub(crate) eagerness: Eagerness,
    /// Whether there are threads.
    pub(crate) threads: bool,
    /// Whether every call is one step to its callers. Batches, and pages lent and given back, are
    /// several.
    pub(crate) whole_calls: bool,
    /// What the clock shows in the end of what comes before.
    pub(crate) clock: Option<u32>,
    /// Called one after the other before, with the CPU that calls.
    pub(crate) before: &'a [(u32, Call)],
    /// The calls of each CPU, CPU 0 first.
    pub(crate) cpus: &'a [&'a [Call]],
}

/// What one CPU does in a run.
type Body<'a, P> = &'a (dyn Fn(&Run<P>) + Sync);

/// One run: the world, and what each CPU was answered.
struct Run<P: PagingMode> {
    watch: Watch<P>,
    answers: Vec<Mutex<Vec<Answer>>>,
}

impl<P: PagingMode> Run<P> {
    fn new(world: &World<P>, cpus: usize, eagerness: Eagerness) -> Self {
        let watch = Watch::new(world.clone(), PAGES, eagerness);
        Self { watch, answers: (0..cpus).map(|_| Mutex::default()).collect() }
    }

    fn play(&self, slot: usize, calls: &[Call]) {
        for call in calls {
            let answer = call.perform(self.watch.world());
            self.answers[slot].lock().unwrap_or_else(PoisonError::into_inner).push(answer);
        }
    }

    fn answers(&self) -> Vec<Vec<Answer>> {
        self.answers.iter().map(|answers| answers.lock().expect("no CPU panicked").clone()).collect()
    }
}

impl Scenario<'_> {
    /// The world before any of the CPUs begins.
    fn start<P: PagingMode>(&self) -> World<P> {
        let cpus = self.cpus.len() as u32;
        let world = if self.threads {
            small_world_of_threads::<P>(cpus, FRAMES)
        } else {
            small_world::<P>(cpus, FRAMES)
        };
        let strike = || {
            if self.eagerness == Eagerness::Full {
                strike(&world, PAGES).unwrap_or_else(|text| panic!("{} beforehand: {text}", self.name));
            }
        };
        for (from, call) in self.before {
            // What a TLB holds from before a call is what the next ones have to reckon with.
            strike();
            let answer = world.machine().as_cpu(cpu(*from), || call.perform(&world));
            assert!(!answer.is_refusal(), "{}: {call:?} beforehand is {answer:?}", self.name);
        }
        soil(&world);
        strike();
        if let Some(time) = self.clock {
            set_clock(&world, time);
        }
        world
    }

    /// Tries every order with at most `preemptions` preemptions.
    ///
    /// # Panics
    ///
    /// At the first order that breaks something.
    pub(crate) fn explore<P: PagingMode>(&self, preemptions: usize) -> u64 {
        let began = Instant::now();
        let start = self.start::<P>();
        let orders = Orders::new(&start, self.cpus);
        let bodies: Vec<_> = self
            .cpus
            .iter()
            .enumerate()
            .map(|(slot, calls)| move |run: &Run<P>| run.play(slot, calls))
            .collect();
        let bodies: Vec<Body<'_, P>> = bodies.iter().map(|body| body as _).collect();
        let runs = emulated::explore(
            preemptions,
            || Run::new(&start, self.cpus.len(), self.eagerness),
            |run| run.watch.world().machine(),
            &bodies,
            |run| self.check(run, &orders),
        )
        .unwrap_or_else(|failure| panic!("{} {}: {failure}", P::NAME, self.name));
        let seconds = began.elapsed().as_secs_f32();
        println!(
            "{:>9} {:<44} {preemptions} preemptions {runs:>7} orders {seconds:6.2} s",
            P::NAME,
            self.name
        );
        runs
    }

    fn check<P: PagingMode>(&self, run: &Run<P>, orders: &Orders<'_, P>) {
        let answers = run.answers();
        let world = run.watch.world();
        let sound = run
            .watch
            .stop()
            .and_then(|()| recount::check(world))
            .and_then(|()| safety::check(world, PAGES))
            .and_then(|()| world.audit().map(drop).map_err(|finding| finding.to_string()))
            .and_then(|()| match self.whole_calls {
                true => orders.explain(&answers, &same_to_callers(world)),
                false => Ok(()),
            });
        if let Err(text) = sound {
            panic!("{text}\nanswers {answers:?}\nframes {:?}", words(world));
        }
    }
}
