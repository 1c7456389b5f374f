//! The library against a plain model of it: random calls on random CPUs, legal and hostile, over a
//! machine whose MMUs do the worst between any two of them, and in the middle of some.
//!
//! After every step the answer, all of memory and every cached translation are what the model says.
//! `cargo test --release --test model long_model -- --ignored --nocapture` runs as many steps as
//! `SVA_OS_MODEL_STEPS` says, ten million if it says nothing, from the seed `SVA_OS_MODEL_SEED`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

mod common;

#[path = "model/adversary.rs"]
mod adversary;
#[path = "model/choice.rs"]
mod choice;
#[path = "model/client.rs"]
mod client;
#[path = "model/coverage.rs"]
mod coverage;
#[path = "model/invariant.rs"]
mod invariant;
#[path = "model/memory.rs"]
mod memory;
#[path = "model/operation.rs"]
mod operation;
#[path = "model/pick.rs"]
mod pick;
#[path = "model/predict.rs"]
mod predict;
#[path = "model/predict_space.rs"]
mod predict_space;
#[path = "model/raw.rs"]
mod raw;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/run.rs"]
mod run;

use choice::Machine;
use coverage::Coverage;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use proptest_state_machine::ReferenceStateMachine;
use run::Pace;
use std::sync::atomic::Ordering;
use sva_os::mmu::{Pae, PagingMode, TwoLevel};

/// What was found wrong.
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    pub(crate) fn new(what: String) -> Self {
        Self(what)
    }
}

pub(crate) fn fail<T>(what: String) -> Result<T, Failure> {
    Err(Failure::new(what))
}

/// Steps in a world: enough for tables to fill, few enough that RAM does not run out.
const STEPS_IN_A_WORLD: u32 = 400;

/// Runs `worlds` worlds of one mode and one layout.
fn run_worlds<P: PagingMode, const HIGH: bool>(worlds: u32, seed: u64, pace: Pace, coverage: &Coverage) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = P::LEVELS;
    bytes[9] = HIGH.into();
    let config = Config { cases: worlds, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let length = common::world::count(STEPS_IN_A_WORLD);
    let sequences = Machine::<P, HIGH>::sequential_strategy(length..length + 1);
    let result = runner.run(&sequences, |(world, steps, seen)| {
        let begun = || {
            if let Some(seen) = &seen {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        };
        run::run::<P>((*world).clone(), &steps, pace, coverage, begun)
            .map_err(|failure| TestCaseError::fail(failure.0))
    });
    let place = if HIGH { "high half" } else { "identity" };
    match result {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("{} {place}, seed {seed}: {reason}", P::NAME),
        Err(TestError::Fail(reason, (world, steps, _))) => {
            let steps: Vec<_> = steps.iter().map(|step| format!("{step:?}\n")).collect();
            panic!("{} {place}, seed {seed}: {reason}\n{world:?}\n{}", P::NAME, steps.concat());
        }
    }
}

/// A test's worth of worlds, checked as often as can be.
fn run_test<P: PagingMode, const HIGH: bool>() {
    let coverage = Coverage::default();
    let pace = Pace { audit: 1, reachable: 16, everything: 64 };
    run_worlds::<P, HIGH>(65, 0, pace, &coverage);
    println!("{} steps, {} % Ok", coverage.steps(), coverage.percent_ok());
    println!("{}", coverage.table());
    println!("never seen: {:?}", coverage.missing());
    assert!(coverage.percent_ok() >= 30, "too many calls are refused");
    assert_eq!(coverage.unlisted(), [], "not in the list of what can be reached");
}

#[test]
fn two_level_high_half() {
    run_test::<TwoLevel, true>();
}

#[test]
fn two_level_identity() {
    run_test::<TwoLevel, false>();
}

#[test]
fn pae_high_half() {
    run_test::<Pae, true>();
}

#[test]
fn pae_identity() {
    run_test::<Pae, false>();
}

#[test]
#[ignore = "takes an hour: ten million steps"]
fn long_model() {
    let steps = common::number("SVA_OS_MODEL_STEPS", 10_000_000);
    let seed = common::number("SVA_OS_MODEL_SEED", 1);
    let coverage = Coverage::default();
    let pace = Pace { audit: 8, reachable: 64, everything: 256 };
    let mut round = 0;
    while coverage.steps() < steps {
        let at = seed.wrapping_mul(1 << 32).wrapping_add(round);
        run_worlds::<TwoLevel, true>(16, at, pace, &coverage);
        run_worlds::<TwoLevel, false>(16, at, pace, &coverage);
        run_worlds::<Pae, true>(16, at, pace, &coverage);
        run_worlds::<Pae, false>(16, at, pace, &coverage);
        round += 1;
        if round.is_multiple_of(8) {
            println!("{} steps of {steps}, {} % Ok", coverage.steps(), coverage.percent_ok());
        }
    }
    println!("{} steps, {} % Ok\n{}", coverage.steps(), coverage.percent_ok(), coverage.table());
    assert!(coverage.percent_ok() >= 30, "too many calls are refused");
    assert_eq!(coverage.missing(), [], "never seen");
    assert_eq!(coverage.unlisted(), [], "not in the list of what can be reached");
}
