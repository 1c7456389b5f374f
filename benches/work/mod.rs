//! The work that is measured: rows of calls on a bare machine.
//!
//! A row makes one call so many times, each on an entry and a frame of its own, so that every call
//! takes the same way and the longest one that succeeds: no frame was mapped twice, no stamp is as
//! new as the clock. What a call needs is made before, and unmade after, outside of what is measured.

mod call;
#[cfg(target_arch = "x86_64")]
mod offset;
mod rows;
mod world;

use sva_os::mmu::{Pae, PagingMode, TwoLevel};
use world::World;

/// The most calls of one row. A table has as many entries at least.
pub(crate) const MOST: u32 = 512;

/// The most instructions of checking that a call may cost, where that is laid down.
pub(crate) type Budget = Option<u32>;

/// A row, ready to run.
pub(crate) struct Case {
    /// What it does. Cases of several modes have it in common.
    pub(crate) name: &'static str,
    /// The paging mode, or what else manages the tables.
    pub(crate) mode: &'static str,
    pub(crate) budget: Budget,
    /// Whether it checks anything, so that it differs in an unchecked build.
    pub(crate) checks: bool,
    /// Makes what `run` needs, for so many calls.
    pub(crate) prepare: Box<dyn Fn(u32)>,
    /// Makes so many calls.
    pub(crate) run: Box<dyn Fn(u32)>,
    /// Makes everything as it was.
    pub(crate) undo: Box<dyn Fn(u32)>,
}

/// A row of the machine or tables `W`.
struct Row<W: 'static> {
    name: &'static str,
    budget: Budget,
    prepare: fn(&W, u32),
    run: fn(&W, u32),
    undo: fn(&W, u32),
}

impl<W> Row<W> {
    fn on(self, world: &'static W, mode: &'static str, checks: bool) -> Case {
        let Self { name, budget, prepare, run, undo } = self;
        Case {
            name,
            mode,
            budget,
            checks,
            prepare: Box::new(move |n| prepare(world, n)),
            run: Box::new(move |n| run(world, n)),
            undo: Box::new(move |n| undo(world, n)),
        }
    }
}

fn nothing<W>(_: &W, _: u32) {}

/// Every case, and whether all is as it must be after they ran.
pub(crate) struct Work {
    pub(crate) cases: Vec<Case>,
    pub(crate) sound: Vec<Box<dyn Fn() -> bool>>,
}

impl Work {
    pub(crate) fn new() -> Self {
        let mut work = Self { cases: Vec::new(), sound: Vec::new() };
        work.add::<TwoLevel>();
        work.add::<Pae>();
        #[cfg(target_arch = "x86_64")]
        work.add_offset();
        work
    }

    fn add<P: PagingMode>(&mut self) {
        let world: &'static _ = Box::leak(Box::new(World::<P>::new()));
        self.cases.extend(rows::rows().into_iter().map(|row| row.on(world, P::NAME, true)));
        self.sound.push(Box::new(|| cfg!(sva_os_unchecked) || world.sva.audit().is_ok()));
    }

    #[cfg(target_arch = "x86_64")]
    fn add_offset(&mut self) {
        let tables: &'static _ = Box::leak(Box::new(offset::Tables::new()));
        self.cases.extend(offset::rows().into_iter().map(|row| row.on(tables, offset::NAME, false)));
    }
}
