//! Who is made to flush by a change of the tree: whoever holds a copy of the entry, and nobody else.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use crate::init::tests::world::{World, cpu, frame, world};
use crate::mmu::{Pae, TwoLevel};
use std::vec::Vec;

const CPUS: u32 = 3;
/// The one that loads the root, if any does.
const LOADER: u32 = 2;

/// A root in frame 20 and a table of each level below it in the frames behind, none linked.
fn tables<P: PagingMode>() -> (World<P>, Vec<Frame>) {
    let sva = world::<P>(CPUS);
    let frames: Vec<_> = (0..P::LEVELS).map(|depth| frame(20 + u32::from(depth))).collect();
    sva.declare_root(*frames.first().unwrap()).unwrap();
    for (table, level) in frames.iter().skip(1).zip((1..P::LEVELS).rev()) {
        sva.declare_table(*table, level).unwrap();
    }
    (sva, frames)
}

/// Which CPUs `change` made load CR3.
fn flushed<P: PagingMode>(sva: &World<P>, change: impl FnOnce()) -> Vec<bool> {
    sva.machine().reset_counters();
    change();
    (0..CPUS).map(|number| sva.machine().counters(cpu(number)).root_loads != 0).collect()
}

fn a_change_of_the_tree<P: PagingMode>(loaded: bool) {
    let (sva, frames) = tables::<P>();
    if loaded {
        sva.machine().as_cpu(cpu(LOADER), || sva.load_root(frames[0]).unwrap());
    }
    for (depth, pair) in frames.windows(2).enumerate() {
        let [parent, child] = *pair else { unreachable!("windows of two") };
        let copied = P::ROOT_IN_REGISTERS && depth == 0 && loaded;
        let linked = flushed(&sva, || sva.link(parent, 0, child).unwrap());
        assert_eq!(linked, [copied; 3], "link at depth {depth}, loaded: {loaded}");
        let unlinked = flushed(&sva, || assert_eq!(sva.unlink(parent, 0), Ok(child)));
        assert_eq!(unlinked, [copied; 3], "unlink at depth {depth}, loaded: {loaded}");
    }
}

#[test]
fn only_a_root_in_registers_makes_cpus_flush() {
    for loaded in [false, true] {
        a_change_of_the_tree::<TwoLevel>(loaded);
        a_change_of_the_tree::<Pae>(loaded);
    }
}
