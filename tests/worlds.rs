//! Small worlds, explored completely over the real code.
//!
//! A few frames, two CPUs, every intrinsic with every argument that names them: the worlds that can
//! be reached are finitely many, and a search goes to all of them. At each step it checks the
//! invariants by a recount of its own, the library's audit, and that a refusal changed nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

#[allow(dead_code, reason = "`schedules` uses the rest")]
#[path = "worlds/adversary.rs"]
mod adversary;
#[allow(dead_code, reason = "`schedules` uses the rest")]
#[path = "worlds/call.rs"]
mod call;
#[path = "worlds/domain.rs"]
mod domain;
#[path = "worlds/recount.rs"]
mod recount;
#[path = "worlds/safety.rs"]
mod safety;
#[path = "worlds/search.rs"]
mod search;
#[path = "worlds/small.rs"]
mod small;
#[path = "worlds/state.rs"]
mod state;
#[allow(dead_code, reason = "`schedules` uses the rest")]
#[path = "worlds/view.rs"]
mod view;

use domain::Domain;
use search::{Caches, Search};
use std::time::Instant;
use sva_os::frame::Kind;
use sva_os::mmu::{Pae, PagingMode, Rights, TwoLevel};

const KINDS: &[Kind] = &[Kind::Free, Kind::UserData, Kind::KernelData];
const FEW_KINDS: &[Kind] = &[Kind::Free, Kind::UserData];
const MANY_KINDS: &[Kind] = &[Kind::Free, Kind::UserData, Kind::KernelData, Kind::Dma];
const RIGHTS: &[Rights] = &[Rights::Read, Rights::ReadWrite];
const FEW_RIGHTS: &[Rights] = &[Rights::ReadWrite];

fn explore<P: PagingMode>(domain: Domain, caches: Caches) {
    let start = Instant::now();
    let figures = Search::<P>::new(domain, caches, 2).run();
    println!("{}, caches {caches:?}, {domain:?}:\n  {figures:?} in {:.1?}", P::NAME, start.elapsed());
}

/// Root, table, data, or any other use of three frames.
#[test]
fn two_level_worlds_with_full_caches() {
    explore::<TwoLevel>(Domain { stage: 3, pages: 2, kinds: KINDS, rights: RIGHTS }, Caches::Full);
}

/// Root, table, table, data, or any other use of four frames.
#[test]
fn pae_worlds_with_full_caches() {
    explore::<Pae>(Domain { stage: 4, pages: 1, kinds: FEW_KINDS, rights: FEW_RIGHTS }, Caches::Full);
}

#[test]
fn two_level_worlds_with_any_caches() {
    explore::<TwoLevel>(Domain { stage: 3, pages: 1, kinds: FEW_KINDS, rights: FEW_RIGHTS }, Caches::Any);
}

#[test]
#[ignore = "the longer runs"]
fn pae_worlds_with_any_caches() {
    explore::<Pae>(Domain { stage: 4, pages: 1, kinds: FEW_KINDS, rights: FEW_RIGHTS }, Caches::Any);
}

#[test]
#[ignore = "the longer runs"]
fn more_two_level_worlds_with_full_caches() {
    explore::<TwoLevel>(Domain { stage: 4, pages: 2, kinds: MANY_KINDS, rights: RIGHTS }, Caches::Full);
}

#[test]
#[ignore = "the longer runs"]
fn more_pae_worlds_with_full_caches() {
    explore::<Pae>(Domain { stage: 4, pages: 2, kinds: MANY_KINDS, rights: RIGHTS }, Caches::Full);
}

#[test]
#[ignore = "the longer runs"]
fn more_two_level_worlds_with_any_caches() {
    explore::<TwoLevel>(Domain { stage: 3, pages: 2, kinds: KINDS, rights: RIGHTS }, Caches::Any);
}
