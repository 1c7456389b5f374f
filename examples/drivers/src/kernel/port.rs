//! Serial ports: the console, and the one over which a test speaks with its host.

use super::{Failure, Machine, World, say};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use crc::{CRC_32_ISO_HDLC, Crc};
use drivers::quiet::Quiet;
use drivers::serial::{self, Error, Serial};
use drivers::wait::MachineClock;
use spin::Once;
use sva_os::Sva;
use sva_os::interrupt::{Handler, Line};
use sva_os::io::UartPorts;

/// The first and the second serial port.
pub(super) const CONSOLE: usize = 0;
pub(super) const LINK: usize = 1;

/// Where they are, and their lines.
const PLACES: [(u16, u32, Handler); 2] =
    [(0x3f8, 4, &|_| interrupt(CONSOLE)), (0x2f8, 3, &|_| interrupt(LINK))];
static PORTS: [Once<Port>; 2] = [Once::new(), Once::new()];

fn interrupt(index: usize) {
    if let Some(port) = PORTS.get(index).and_then(Once::get) {
        port.interrupts.fetch_add(1, Ordering::Relaxed);
        port.serial.with(Serial::interrupt);
    }
}

/// A serial port that receives by interrupts.
pub(super) struct Port {
    serial: Quiet<'static, Machine, Serial<UartPorts<'static, Machine>>>,
    interrupts: AtomicU32,
}

impl Port {
    /// The port that [`CONSOLE`] or [`LINK`] names.
    pub(super) fn open(
        sva: &'static Sva<Machine>,
        clock: &MachineClock<'static, Machine>,
        index: usize,
    ) -> Result<&'static Self, Failure> {
        let none = || Failure::new("there is no such serial port");
        let (place, (first, line, handler)) = PORTS.get(index).zip(PLACES.get(index)).ok_or_else(none)?;
        if let Some(open) = place.get() {
            return Ok(open);
        }
        let serial = Serial::start(sva.io().uart(*first)?, clock)?;
        let serial = Quiet::new(sva.interrupts(), serial);
        let port = place.call_once(|| Self { serial, interrupts: AtomicU32::new(0) });
        let line = Line::new(*line).ok_or_else(none)?;
        sva.interrupts().register_line(line, *handler)?;
        sva.interrupts().unmask(line)?;
        Ok(port)
    }

    /// The next byte that was received.
    pub(super) fn next_byte(&self) -> Option<u8> {
        self.serial.with(Serial::next_byte)
    }

    pub(super) fn send(&self, clock: &MachineClock<'static, Machine>, bytes: &[u8]) -> Result<(), Error> {
        serial::send(clock, bytes, |bytes| self.serial.with(|serial| serial.send_some(bytes)))
    }

    pub(super) fn write(
        &self,
        clock: &MachineClock<'static, Machine>,
        text: fmt::Arguments<'_>,
    ) -> fmt::Result {
        struct Writer<'p>(&'p Port, &'p MachineClock<'static, Machine>);
        impl Write for Writer<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.send(self.1, text.as_bytes()).map_err(|_| fmt::Error)
            }
        }
        Writer(self, clock).write_fmt(text)
    }
}

/// Asks the host for a long line, and says what came. More than a port's FIFO holds comes by interrupts only.
pub(super) fn run(world: &World) -> Result<(), Failure> {
    let link = Port::open(world.sva, world.clock, LINK)?;
    link.send(world.clock, b"serial\n")?;
    let crc = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    let (mut digest, mut count) = (crc.digest(), 0);
    world.until(Duration::from_secs(10), || {
        while let Some(byte) = link.next_byte() {
            if byte == b'\n' {
                return Some(());
            }
            digest.update(&[byte]);
            count += 1;
        }
        None
    })?;
    say!(world, "serial: {count} bytes, CRC {:08x}", digest.finalize());
    if link.interrupts.load(Ordering::Relaxed) == 0 {
        return Err(Failure::new("none came by an interrupt"));
    }
    Ok(())
}
