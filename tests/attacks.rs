//! Attacks: each a way in which a kernel or its monitor really broke, turned into a test by id.
//!
//! An attack is **refused** when the call answers with the very `Violation` that it deserves and the
//! digest of all state is what it was. Every attack runs in both paging modes; where it makes a
//! difference, on objects that are idle, live on this CPU, and live on another.
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

#[macro_use]
#[path = "attacks/stage.rs"]
mod stage;
#[path = "attacks/calls.rs"]
mod calls;
#[path = "attacks/hardware.rs"]
mod hardware;
#[path = "attacks/plan.rs"]
mod plan;
#[path = "attacks/race.rs"]
mod race;
#[path = "attacks/ram.rs"]
mod ram;

#[path = "attacks/aliases.rs"]
mod aliases;
#[path = "attacks/boot.rs"]
mod boot;
#[path = "attacks/clock.rs"]
mod clock;
#[path = "attacks/concurrency.rs"]
mod concurrency;
#[path = "attacks/counts.rs"]
mod counts;
#[path = "attacks/entries.rs"]
mod entries;
#[path = "attacks/frames.rs"]
mod frames;
#[path = "attacks/interrupts.rs"]
mod interrupts;
#[path = "attacks/layouts.rs"]
mod layouts;
#[path = "attacks/maps.rs"]
mod maps;
#[path = "attacks/owned.rs"]
mod owned;
#[path = "attacks/plans.rs"]
mod plans;
#[path = "attacks/ports.rs"]
mod ports;
#[path = "attacks/programs.rs"]
mod programs;
#[path = "attacks/ranges.rs"]
mod ranges;
#[path = "attacks/shootdown.rs"]
mod shootdown;
#[path = "attacks/stacks.rs"]
mod stacks;
#[path = "attacks/threads.rs"]
mod threads;
#[path = "attacks/tlb.rs"]
mod tlb;
#[path = "attacks/tree.rs"]
mod tree;
