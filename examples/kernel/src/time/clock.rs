//! The clock of this machine.

use super::{HZ, SECOND, Scale, since_1970};
use crate::machine::{Kernel, sva};
use crate::schedule;
use crate::wait::TaskId;
use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use spin::{Mutex, Once};
use sva_os::Violation;
use sva_os::interrupt::Line;

/// Ticks since the boot; they wrap after 198 days, and only who has no time-stamp counter looks.
static TICKS: AtomicU32 = AtomicU32::new(0);
static TICKED: AtomicBool = AtomicBool::new(false);

struct Clock {
    /// `None`: by ticks.
    stamps: Option<(u64, Scale)>,
    /// What it was at the boot, in seconds since 1970.
    boot: u64,
}

static CLOCK: Once<Clock> = Once::new();
/// By how many nanoseconds the clock was set forward or back since.
static SHIFT: Mutex<i64> = Mutex::new(0);

/// What happens at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A task goes on.
    Wake(TaskId),
    /// The real-time timer of a process strikes.
    Alarm(u32),
}

static EVENTS: Mutex<BTreeMap<(u64, u32), Event>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Starts the timer.
///
/// # Errors
///
/// As the library's calls.
pub fn init(sva: &'static Kernel) -> Result<(), Violation> {
    let timer = sva.timer();
    let rate = timer.measure_time_stamp();
    let stamps = timer.time_stamp().zip(rate).map(|(now, hz)| (now, Scale::new(hz)));
    CLOCK.call_once(|| Clock { stamps, boot: calendar(sva) });
    sva.interrupts().register_line(Line::TIMER, &|_| {
        TICKS.fetch_add(1, Ordering::Relaxed);
        TICKED.store(true, Ordering::Relaxed);
        schedule::set_due();
    })?;
    sva.interrupts().unmask(Line::TIMER)?;
    timer.start_periodic(HZ)?;
    Ok(())
}

/// What the clock of the CMOS says (MC146818): seconds since 1970.
fn calendar(sva: &Kernel) -> u64 {
    let read = |index| sva.io().cmos(index);
    // It changes once a second, and says so in bit 7 of register 10.
    let once = || {
        let mut tries = 0;
        while read(10) & 0x80 != 0 && tries < 10_000 {
            tries += 1;
        }
        [0, 2, 4, 7, 8, 9].map(read)
    };
    let mut now = once();
    for _ in 0..10 {
        let again = once();
        if again == now {
            break;
        }
        now = again;
    }
    let (is_binary, has_24_hours) = (read(11) & 4 != 0, read(11) & 2 != 0);
    let decode = |byte: u8| u32::from(if is_binary { byte } else { (byte >> 4) * 10 + (byte & 15) });
    let [second, minute, hour, day, month, year] = now;
    let afternoon = !has_24_hours && hour & 0x80 != 0;
    let hour = decode(hour & 0x7f);
    let hour = if has_24_hours { hour } else { hour % 12 + if afternoon { 12 } else { 0 } };
    since_1970(2000 + decode(year), decode(month), decode(day), hour, decode(minute), decode(second))
}

/// Nanoseconds since the boot.
pub fn now() -> u64 {
    match CLOCK.get().and_then(|clock| clock.stamps) {
        Some((start, scale)) => {
            let stamp = sva().timer().time_stamp().unwrap_or(start);
            scale.nanoseconds(stamp.wrapping_sub(start))
        }
        None => u64::from(TICKS.load(Ordering::Relaxed)) * (SECOND / u64::from(HZ)),
    }
}

/// Nanoseconds since 1970.
pub fn real() -> u64 {
    let boot = CLOCK.get().map_or(0, |clock| clock.boot * SECOND);
    boot.wrapping_add(now()).saturating_add_signed(*SHIFT.lock())
}

/// Sets the clock.
pub fn set_real(nanoseconds: u64) {
    let before = real();
    let mut shift = SHIFT.lock();
    *shift = shift.wrapping_add_unsigned(nanoseconds.wrapping_sub(before));
}

/// The name by which an event can be called off.
pub type Name = (u64, u32);

/// Lets `event` happen at `time`, since the boot.
pub fn at(time: u64, event: Event) -> Name {
    let name = (time, NEXT.fetch_add(1, Ordering::Relaxed));
    EVENTS.lock().insert(name, event);
    name
}

/// Calls an event off.
pub fn call_off(name: Name) {
    EVENTS.lock().remove(&name);
}

/// Lets happen what is due.
pub fn attend() {
    if !TICKED.swap(false, Ordering::Relaxed) {
        return;
    }
    let now = now();
    loop {
        let due = {
            let mut events = EVENTS.lock();
            match events.first_entry() {
                Some(first) if first.key().0 <= now => first.remove(),
                _ => return,
            }
        };
        match due {
            Event::Wake(task) => schedule::wake(task),
            Event::Alarm(process) => crate::signal::send::alarm(process),
        }
    }
}
