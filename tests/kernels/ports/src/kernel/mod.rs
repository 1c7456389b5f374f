mod claims;
mod devices;
mod memory;
mod probes;

use log::{LevelFilter, info};
use spin::Once;
use sva_os::Sva;
use sva_os::boot::{Boot, Status, entry};
use sva_os::io::{self, SerialLog};
use sva_os::machine::I386;
#[cfg(feature = "pae")]
use sva_os::mmu::Pae as Mode;
#[cfg(not(feature = "pae"))]
use sva_os::mmu::TwoLevel as Mode;

entry!(main);

type Machine = I386<Mode>;
type Os = &'static Sva<Machine>;
type Io = io::Io<'static, Machine>;

static LOG: Once<SerialLog<I386<Mode>>> = Once::new();

const TESTS: &[(&str, fn(Os))] = &[
    ("claims", |sva| {
        claims::run(sva.io());
        probes::port(sva);
    }),
    ("devices", |sva| devices::run(sva.io())),
    ("memory", memory::run),
    ("power-off", |sva| power_off(sva.io())),
    ("reset", |sva| reset(sva.io())),
];

/// QEMU then ends as after a success, but the status is what says that it came so far.
fn power_off(io: Io) {
    info!("off\nstatus {}", Status::OK.number());
    io.power_off()
}

fn reset(io: Io) {
    info!("again\nstatus {}", Status::OK.number());
    io.reset()
}

fn main(boot: &'static Boot<Mode>) -> Status {
    let sva = boot.sva();
    let mut uart = sva.io().uart(0x3f8).unwrap();
    uart.init(uart_16550::Config::default()).unwrap();
    log::set_logger(LOG.call_once(|| SerialLog::new(uart, LevelFilter::Info))).unwrap();
    log::set_max_level(LevelFilter::Info);
    // The loader puts the kernel's path in front.
    let name = boot.command_line().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let Some((name, test)) = TESTS.iter().find(|(other, _)| other.as_bytes() == name) else {
        info!("there is no such test");
        return Status::FAILED;
    };
    info!("test {name}");
    test(sva);
    info!("{name}: done");
    Status::OK
}
