//! The time that inodes are marked with.

use spin::Once;

/// Seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

static CLOCK: Once<fn() -> Time> = Once::new();

/// Says what time it is. The first call counts; before it, it is 1970.
pub fn set_clock(clock: fn() -> Time) {
    CLOCK.call_once(|| clock);
}

pub(super) fn now() -> Time {
    CLOCK.get().map_or(Time::default(), |clock| clock())
}
