//! Threads against a plain model of them: random calls, right and hostile, on random CPUs, with programs that
//! leave their mark in every register, interrupts whose hook goes over to another thread, and client code
//! that calls from within handlers, borrows and destructors.
//!
//! After every step all that was seen, every refusal and every register of every program among it, is what the
//! model says. A thread is played by whoever plays its CPU: `swap` returns at once, and the caller goes on as
//! the next. `cargo test --release --test threads long_threads -- --ignored --nocapture` runs as many steps
//! as `SVA_OS_MODEL_STEPS` says, from the seed `SVA_OS_MODEL_SEED`.
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

#[path = "threads/choice.rs"]
mod choice;
#[path = "threads/client.rs"]
mod client;
#[path = "threads/coverage.rs"]
mod coverage;
#[path = "threads/found.rs"]
mod found;
#[path = "threads/operation.rs"]
mod operation;
#[path = "threads/pick.rs"]
mod pick;
#[path = "threads/player.rs"]
mod player;
#[path = "threads/predict.rs"]
mod predict;
#[path = "threads/reference.rs"]
mod reference;
#[path = "threads/ring3.rs"]
mod ring3;
#[path = "threads/run.rs"]
mod run;
#[path = "threads/token.rs"]
mod token;

use choice::Machine;
use coverage::Coverage;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use proptest_state_machine::ReferenceStateMachine;
use std::sync::atomic::Ordering;
use sva_os::mmu::{Pae, PagingMode, TwoLevel};

/// Steps in a world.
const STEPS_IN_A_WORLD: usize = 400;

/// Runs `worlds` worlds of one mode.
fn run_worlds<P: PagingMode>(worlds: u32, seed: u64, coverage: &Coverage) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = P::LEVELS;
    let config = Config { cases: worlds, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let forged = run::forged();
    let sequences = Machine::<P>::sequential_strategy(STEPS_IN_A_WORLD..STEPS_IN_A_WORLD + 1);
    let result = runner.run(&sequences, |(world, steps, seen)| {
        let begun = || {
            if let Some(seen) = &seen {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        };
        run::run::<P>((*world).clone(), forged.clone(), &steps, coverage, begun).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("{}, seed {seed}: {reason}", P::NAME),
        Err(TestError::Fail(reason, (world, steps, _))) => {
            let steps: Vec<_> = steps.iter().map(|step| format!("{step:?}\n")).collect();
            panic!("{}, seed {seed}: {reason}\n{:?}\n{}", P::NAME, world.start, steps.concat());
        }
    }
}

/// A test's worth of worlds.
fn run_test<P: PagingMode>() {
    let coverage = Coverage::default();
    run_worlds::<P>(80, 0, &coverage);
    println!("{} steps, {} % Ok", coverage.steps(), coverage.percent_ok());
    println!("{}", coverage.table());
    println!("never seen: {:?}", coverage.missing());
    assert!(coverage.percent_ok() >= 30, "too many calls are refused");
    assert_eq!(coverage.unlisted(), [], "not in the list of what can be reached");
}

#[test]
fn two_level() {
    run_test::<TwoLevel>();
}

#[test]
fn pae() {
    run_test::<Pae>();
}

#[test]
#[ignore = "takes an hour: ten million steps"]
fn long_threads() {
    let steps = common::number("SVA_OS_MODEL_STEPS", 10_000_000);
    let seed = common::number("SVA_OS_MODEL_SEED", 1);
    let coverage = Coverage::default();
    let mut round = 0;
    while coverage.steps() < steps {
        let at = seed.wrapping_mul(1 << 32).wrapping_add(round);
        run_worlds::<TwoLevel>(16, at, &coverage);
        run_worlds::<Pae>(16, at, &coverage);
        round += 1;
        if round.is_multiple_of(16) {
            println!("{} steps of {steps}, {} % Ok", coverage.steps(), coverage.percent_ok());
        }
    }
    println!("{} steps, {} % Ok\n{}", coverage.steps(), coverage.percent_ok(), coverage.table());
    assert!(coverage.percent_ok() >= 30, "too many calls are refused");
    assert_eq!(coverage.missing(), [], "never seen");
    assert_eq!(coverage.unlisted(), [], "not in the list of what can be reached");
}
