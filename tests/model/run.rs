//! One sequence of steps, run against the library and the reference at once.

use super::adversary::{self, Recorder, cpu};
use super::client::Client;
use super::coverage::Coverage;
use super::invariant::{self, Invariants};
use super::memory::{self, Memory};
use super::operation::{Answer, Call, Step};
use super::raw::{ACCESSED, DIRTY};
use super::reference::{Item, World};
use super::{Failure, fail};
use crate::common::world::{self, count};
use std::sync::Arc;
use sva_os::Sva;
use sva_os::address::Frame;
use sva_os::audit::Summary;
use sva_os::frame::Kind;
use sva_os::machine::Emulated;
use sva_os::machine::emulated::Hook;
use sva_os::mmu::PagingMode;

/// How often what is dear is checked: every so many steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) audit: u32,
    pub(crate) reachable: u32,
    pub(crate) everything: u32,
}

/// A world, its model, and what is known of it.
struct Run<'s, P: PagingMode> {
    sva: &'s Sva<Emulated<P>>,
    client: Client<'s, P>,
    world: World,
    memory: Memory,
    invariants: Invariants,
    recorder: Arc<Recorder>,
    hook: Hook,
    pace: Pace,
    scratch: Vec<u32>,
}

/// Runs `steps` in a fresh world.
pub(crate) fn run<P: PagingMode>(
    world: World,
    steps: &[Step],
    pace: Pace,
    coverage: &Coverage,
    mut begun: impl FnMut(),
) -> Result<(), Failure> {
    let start = world.start;
    let sva = Arc::new(world::world_at::<P>(start.place, start.cpus, start.frames));
    memory::set_clock(sva.machine(), &world);
    let recorder = Arc::new(Recorder::default());
    let weak = Arc::downgrade(&sva);
    let hook: Hook = Arc::new({
        let recorder = Arc::clone(&recorder);
        move |event| recorder.note(&weak, event)
    });
    let mut run = Run {
        sva: &sva,
        client: Client::new(&sva),
        memory: Memory::new(sva.machine()),
        invariants: Invariants::default(),
        recorder,
        hook,
        pace,
        scratch: vec![0; count(start.frames)],
        world,
    };
    run.check_whole(true)?;
    for (step, number) in steps.iter().zip(1u32..) {
        begun();
        let answer = run
            .step(step, number)
            .map_err(|failure| Failure::new(format!("step {number}, {:?}: {}", step.call, failure.0)))?;
        coverage.count(step.call.name(), &answer);
    }
    run.check_whole(true)
}

impl<P: PagingMode> Run<'_, P> {
    fn step(&mut self, step: &Step, number: u32) -> Result<Answer, Failure> {
        for act in &step.before {
            adversary::act(self.sva, &mut self.world, &mut self.memory, &self.recorder, *act)?;
        }
        let caller = cpu(step.cpu);
        let machine = self.sva.machine();
        let history = self.history_before(&step.call);
        machine.set_interrupts(caller, step.interrupts);
        let digest = machine.digest();
        self.recorder.rewind(step.during.as_ref());

        machine.set_hook(Some(Arc::clone(&self.hook)));
        let answer = machine.as_cpu(caller, || self.client.call(&step.call));
        machine.set_hook(None);

        if machine.interrupts_enabled(caller) != step.interrupts {
            return fail("the interrupt flag is not as it was".into());
        }
        self.world.call(step.cpu, &step.call);
        if self.world.effect.answer.as_ref() != Some(&answer) {
            return fail(format!("answered {answer:?}, not {:?}", self.world.effect.answer));
        }
        let calm = step.during.is_none();
        if calm && answer.is_no_op() && !matches!(answer, Answer::Left(..)) && machine.digest() != digest {
            return fail("refused, and yet something changed".into());
        }
        machine.set_interrupts(caller, true);
        self.check_history(&answer, history, calm)?;
        self.check_effects(&step.call, calm)?;
        self.check_flushed(step, &answer)?;
        self.invariants.check(self.sva, &self.world, &self.memory)?;
        self.check_paced(number)?;
        Ok(answer)
    }

    /// Accessed and dirty that the call should report, if it reports a leaf.
    fn history_before(&self, call: &Call) -> Option<(bool, bool)> {
        let (world, memory) = (&self.world, &self.memory);
        let at = |table: Frame, index| {
            let entry = memory.entry(world.shape, table, index);
            (entry & ACCESSED != 0, entry & DIRTY != 0)
        };
        let is_entry = |table, index| {
            matches!(world.kind(table), Kind::Table1 | Kind::Table2 | Kind::Root)
                && index < world.shape.entries_at(world.level(table).unwrap_or(1))
        };
        match *call {
            Call::Unmap(table, index)
            | Call::Protect(table, index, _)
            | Call::Replace(table, index, ..)
            | Call::TakeAccessedDirty(table, index)
            | Call::ReadEntry(table, index) => is_entry(table, index).then(|| at(table, index)),
            Call::Translate(root, page)
            | Call::SpaceTranslate(root, page)
            | Call::SpaceUnmap(root, page)
            | Call::SpaceProtect(root, page, _)
            | Call::SpaceReplace(root, page, ..) => {
                (world.kind(root) == Kind::Root).then(|| invariant::leaf_history(world, memory, root, page))
            }
            _ => None,
        }
    }

    fn check_history(
        &self,
        answer: &Answer,
        before: Option<(bool, bool)>,
        calm: bool,
    ) -> Result<(), Failure> {
        let (Some(told), Some(before), Answer::Leaf(_)) = (self.client.history, before, answer) else {
            return Ok(());
        };
        let lost = (before.0 && !told.0) || (before.1 && !told.1);
        if lost || (calm && told != before) {
            return fail(format!("accessed and dirty were {before:?}, told {told:?}"));
        }
        Ok(())
    }

    fn check_effects(&mut self, call: &Call, calm: bool) -> Result<(), Failure> {
        let mut tape = self.recorder.tape();
        if let Call::PagesWrite(first, ..) = call
            && let Some(frames) = self.world.pages.get(first)
        {
            self.memory.lent.extend(frames.iter());
        }
        self.memory.check_call(self.sva, &self.world, &tape, !calm)?;
        tape.noted.clear();
        let effect = &self.world.effect;
        self.invariants
            .touched(effect.slots.keys().map(|(table, _)| *table).chain(effect.retyped.iter().copied()));
        let touched = tape.written.iter().map(|at| world::frame(at >> 12));
        self.invariants.touched(touched.chain(tape.zeroed.iter().copied()));
        Ok(())
    }

    /// What a flush promises its caller.
    fn check_flushed(&self, step: &Step, answer: &Answer) -> Result<(), Failure> {
        let fresh = |number, page| invariant::check_fresh(self.sva, &self.world, number, page);
        match step.call {
            Call::Flush => {
                if step.during.is_none() {
                    self.check_empty(step.cpu)?;
                }
                fresh(step.cpu, None)
            }
            Call::FlushPage(page) => fresh(step.cpu, Some(page)),
            Call::FlushRange(pages) => {
                let cached = self.sva.machine().cached(cpu(step.cpu)).into_iter();
                cached
                    .filter(|(page, _)| pages.contains(*page))
                    .try_for_each(|(page, _)| fresh(step.cpu, Some(page)))
            }
            Call::FlushAll => (0..self.world.start.cpus).try_for_each(|number| {
                if step.during.is_none() {
                    self.check_empty(number)?;
                }
                fresh(number, None)
            }),
            Call::LoadRoot(_) if *answer == Answer::Done => fresh(step.cpu, None),
            Call::SpaceUnmap(root, page)
            | Call::SpaceProtect(root, page, _)
            | Call::SpaceReplace(root, page, ..)
                if matches!(answer, Answer::Leaf(_)) && self.world.cr3[count(step.cpu)] == root =>
            {
                fresh(step.cpu, Some(page))
            }
            _ => Ok(()),
        }
    }

    fn check_empty(&self, number: u32) -> Result<(), Failure> {
        let machine = self.sva.machine();
        match machine.cached_count(cpu(number)) + machine.structure_count(cpu(number)) {
            0 => Ok(()),
            left => fail(format!("CPU {number} was flushed and remembers {left} entries")),
        }
    }

    fn check_paced(&mut self, number: u32) -> Result<(), Failure> {
        let due = |pace: u32| number.is_multiple_of(pace);
        if due(self.pace.audit) {
            self.check_audit()?;
        }
        if due(self.pace.reachable) {
            invariant::check_reachable(self.sva, &self.world)?;
        }
        if due(self.pace.everything) { self.check_whole(false) } else { Ok(()) }
    }

    /// All that can be checked, from nothing remembered.
    fn check_whole(&mut self, audit: bool) -> Result<(), Failure> {
        self.memory.check_all(self.sva, &self.world)?;
        self.invariants.forget();
        self.invariants.check(self.sva, &self.world, &self.memory)?;
        invariant::check_reachable(self.sva, &self.world)?;
        let (sva, world) = (self.sva, &self.world);
        let own = (sva.frame_count(), sva.sealed_root(), sva.kernel_tables(), sva.user_window(), sva.root());
        let wanted = (
            world.start.frames,
            world.sealed_root(),
            world::frames((world.first_kernel_table().number(), world.kernel_table_count())),
            world::pages(world.start.place.user()),
            world.cr3[0],
        );
        if own != wanted {
            return fail(format!("the library says {own:?} of itself, not {wanted:?}"));
        }
        for (frame, kind) in &self.world.kinds {
            let counts = self.world.counts(*frame);
            let mappings = self.sva.mappings(*frame);
            if self.sva.kind(*frame) != *kind || (mappings.total, mappings.writable) != counts {
                return fail(format!("{frame} should be {kind:?} with {counts:?}"));
            }
        }
        if audit { self.check_audit() } else { Ok(()) }
    }

    /// What the audit counted is what the model has.
    fn check_summary(&self, summary: &Summary) -> Result<(), Failure> {
        let world = &self.world;
        let kinds = |wanted: &[Kind]| {
            let frames = world.kinds.values().filter(|kind| wanted.contains(kind));
            frames.map(|_| 1u32).sum::<u32>()
        };
        let entries = world.tables.values().flat_map(|entries| entries.values());
        let leaves = entries.clone().filter(|item| matches!(item, Item::Leaf(..))).map(|_| 1u32).sum();
        let wanted = Summary {
            kernel_entries: summary.kernel_entries,
            user_entries: entries.map(|_| 1u32).sum(),
            user_leaves: leaves,
            tables: kinds(&[Kind::Table1, Kind::Table2, Kind::Table3]),
            roots: kinds(&[Kind::Root]),
            free: kinds(&[Kind::Free]),
            stacks: 0,
        };
        if *summary == wanted {
            Ok(())
        } else {
            fail(format!("the audit counts {summary:?}, not {wanted:?}"))
        }
    }

    fn check_audit(&mut self) -> Result<(), Failure> {
        match self.sva.audit_with(&mut self.scratch) {
            Ok(summary) => self.check_summary(&summary),
            Err(finding) => fail(format!("the audit says: {finding}")),
        }
    }
}
