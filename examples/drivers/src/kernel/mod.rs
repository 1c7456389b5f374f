//! The kernel: what it has, and what it shows by which name.

mod absent;
mod clock;
mod disk;
mod failure;
mod http;
mod keys;
mod network;
mod port;
mod screen;
mod show;
mod speaker;

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use drivers::wait::{Clock, MachineClock, TimedOut};
use failure::Failure;
use port::Port;
use spin::Once;
use sva_os::Sva;
use sva_os::boot::{Boot, Status, entry};
use sva_os::interrupt::Line;
use sva_os::machine::I386;
#[cfg(feature = "pae")]
use sva_os::mmu::Pae as Mode;
#[cfg(not(feature = "pae"))]
use sva_os::mmu::TwoLevel as Mode;

type Machine = I386<Mode>;

entry!(main);

/// Ticks of the timer in a second: no wait for an interrupt is longer than one.
const HZ: u32 = 100;

type Step = fn(&World) -> Result<(), Failure>;

/// What the kernel shows, by name.
const STEPS: &[(&str, Step)] = &[
    ("absent", absent::run),
    ("clock", clock::run),
    ("disk", disk::run),
    ("keyboard", keys::run),
    ("network", network::run),
    ("screen", screen::run),
    ("serial", port::run),
    ("show", show::run),
    ("speaker", speaker::run),
];

/// What every step needs.
#[derive(Clone, Copy)]
struct World {
    sva: &'static Sva<Machine>,
    clock: &'static MachineClock<'static, Machine>,
    console: &'static Port,
}

impl World {
    fn start(sva: &'static Sva<Machine>) -> Result<Self, Failure> {
        static CLOCK: Once<MachineClock<'static, Machine>> = Once::new();
        static TICKS: AtomicU32 = AtomicU32::new(0);
        let clock = MachineClock::start(sva, HZ)?;
        let clock = CLOCK.call_once(|| clock);
        sva.interrupts().register_line(Line::TIMER, &|_| _ = TICKS.fetch_add(1, Ordering::Relaxed))?;
        sva.interrupts().unmask(Line::TIMER)?;
        Ok(Self { sva, clock, console: Port::open(sva, clock, port::CONSOLE)? })
    }

    /// Writes a line to the console. What it does not take in time is lost.
    fn say(&self, text: fmt::Arguments<'_>) {
        _ = self.console.write(self.clock, text);
        _ = self.console.send(self.clock, b"\r\n");
    }

    /// Halts between interrupts until `poll` answers something, for as long as `limit`.
    fn until<T>(&self, limit: Duration, mut poll: impl FnMut() -> Option<T>) -> Result<T, Failure> {
        let start = self.clock.now();
        loop {
            let passed = self.clock.now().saturating_sub(start);
            if let Some(answer) = poll() {
                return Ok(answer);
            }
            if passed >= limit {
                return Err(TimedOut.into());
            }
            self.sva.interrupts().wait()?;
        }
    }
}

macro_rules! say {
    ($world:expr, $($text:tt)*) => { $world.say(format_args!($($text)*)) };
}
pub(crate) use say;

fn main(boot: &'static Boot<Mode>) -> Status {
    let Ok(world) = World::start(boot.sva()) else { return Status::FAILED };
    // The loader puts the kernel's path in front.
    let text = core::str::from_utf8(boot.command_line()).unwrap_or_default();
    let mut names = text.split_ascii_whitespace().skip(1).peekable();
    let mut status = Status::OK;
    if names.peek().is_none() {
        status = run(&world, "show", status);
    }
    for name in names {
        status = run(&world, name, status);
    }
    match world.sva.audit() {
        Ok(summary) => say!(world, "audit: {summary:?}"),
        Err(finding) => {
            say!(world, "audit: {finding}");
            status = Status::FAILED;
        }
    }
    status
}

/// Runs a step and answers `before`, or that something failed.
fn run(world: &World, name: &str, before: Status) -> Status {
    let Some((_, step)) = STEPS.iter().find(|(other, _)| *other == name) else {
        say!(world, "there is no step {name}");
        return Status::FAILED;
    };
    match step(world) {
        Ok(()) => before,
        Err(failure) => {
            say!(world, "{name}: failed: {failure}");
            Status::FAILED
        }
    }
}
