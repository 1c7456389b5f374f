//! The moves on shared words under every interleaving, and every reordering that the C11 memory model allows.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib loom`
//!
//! The library's own code runs on a machine of a dozen words, each a `loom` atomic: first the moves of
//! the frame table and the clock by themselves, then whole intrinsics on two CPUs. The machine
//! checks by itself that no frame is given new contents while a TLB leads to it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

extern crate std;

mod intrinsics;
pub(crate) mod machine;
mod moves;
