//! Every order of the steps of contending intrinsics, with so many preemptions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

#[allow(dead_code, reason = "`worlds` uses the rest")]
#[path = "worlds/adversary.rs"]
mod adversary;
#[allow(dead_code, reason = "`worlds` uses the rest")]
#[path = "worlds/call.rs"]
mod call;
#[path = "schedules/linear.rs"]
mod linear;
#[path = "schedules/list.rs"]
mod list;
#[path = "worlds/recount.rs"]
mod recount;
#[path = "worlds/safety.rs"]
mod safety;
#[path = "schedules/scenario.rs"]
mod scenario;
#[path = "worlds/small.rs"]
mod small;
#[path = "schedules/threads.rs"]
mod threads;
#[allow(dead_code, reason = "`worlds` uses the rest")]
#[path = "worlds/view.rs"]
mod view;

use sva_os::mmu::{Pae, TwoLevel};

macro_rules! contests {
    ($($list:ident: $($name:ident $preemptions:literal $deep:ident $more:literal)*;)*) => {$($(
        #[test]
        fn $name() {
            run(stringify!($name), $list::$name::<TwoLevel>($preemptions) + $list::$name::<Pae>($preemptions));
        }

        #[test]
        #[ignore = "minutes"]
        fn $deep() {
            run(stringify!($deep), $list::$name::<TwoLevel>($more) + $list::$name::<Pae>($more));
        }
    )*)*};
}

fn run(name: &str, orders: u64) {
    println!("{name}: {orders} orders");
}

contests! {
    list:
    leaves 3 leaves_deep 4
    kinds 3 kinds_deep 4
    flushes 3 flushes_deep 4
    tables 3 tables_deep 4
    roots 3 roots_deep 4
    batches 3 batches_deep 4
    notes 3 notes_deep 4
    hand 3 hand_deep 4
    three 2 three_deep 3;
    threads:
    thread_swaps 3 thread_swaps_deep 4
    thread_ends 3 thread_ends_deep 4
    thread_stacks 3 thread_stacks_deep 4
    thread_roots 3 thread_roots_deep 4;
}
