//! The rows of `counts` by the clock, for people: `cargo bench --bench times`.
//!
//! What a machine that others use too shows is no figure of record.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    missing_docs,
    reason = "a benchmark fails by panicking, and criterion's macros make functions without words"
)]

#[expect(dead_code, reason = "budgets are of counts, and nobody judges here")]
mod work;

use criterion::{Criterion, criterion_group, criterion_main};
use std::time::{Duration, Instant};
use work::{MOST, Work};

fn times(criterion: &mut Criterion) {
    for case in &Work::new().cases {
        criterion.bench_function(&format!("{}, {}", case.name, case.mode), |bencher| {
            bencher.iter_custom(|calls| {
                let mut time = Duration::ZERO;
                let mut left = calls;
                while left > 0 {
                    let now = u32::try_from(left).map_or(MOST, |left| left.min(MOST));
                    (case.prepare)(now);
                    let start = Instant::now();
                    (case.run)(now);
                    time += start.elapsed();
                    (case.undo)(now);
                    left -= u64::from(now);
                }
                time
            });
        });
    }
}

/// Short: what the rows do takes less than a microsecond.
fn quick() -> Criterion {
    let criterion = Criterion::default().sample_size(20);
    criterion.warm_up_time(Duration::from_millis(50)).measurement_time(Duration::from_millis(300))
}

criterion_group!(name = benches; config = quick(); targets = times);
criterion_main!(benches);
