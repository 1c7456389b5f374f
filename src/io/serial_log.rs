//! A logger on a serial port.

use super::Uart;
use crate::interrupt::quiet::Locked;
use crate::machine::Machine;
use core::fmt::{self, Write};
use log::{LevelFilter, Log, Metadata, Record};

/// How much of a line is gathered before the serial port is locked: what it takes at once.
const GATHERED: usize = uart_16550::spec::FIFO_SIZE;

/// A logger for the crate `log`: a line for each record, its level and target before the text.
///
/// The kernel's own `Display` code runs with interrupts as they are and no lock held, so it may log
/// too. The serial port is locked, with interrupts off, for a few bytes at a time; lines of two CPUs
/// may mix. The library itself never logs.
pub struct SerialLog<M: Machine + 'static> {
    machine: &'static M,
    uart: Locked<Uart<'static, M>>,
    level: LevelFilter,
}

impl<M: Machine> SerialLog<M> {
    /// Logs what is at least as urgent as `level` to `uart`, which is initialised.
    pub const fn new(uart: Uart<'static, M>, level: LevelFilter) -> Self {
        Self { machine: uart.backend().machine(), uart: Locked::new(uart), level }
    }

    fn send(&self, bytes: &[u8]) {
        self.uart.with(self.machine, |uart| uart.send_bytes_exact(bytes));
    }
}

impl<M: Machine> fmt::Debug for SerialLog<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialLog {}", self.level)
    }
}

impl<M: Machine + Sync> Log for SerialLog<M> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mut line = Line { log: self, bytes: [0; GATHERED], length: 0 };
            // What fails is the record's own `Display`; the line then ends where it did.
            _ = write!(line, "{:5} {}: {}", record.level(), record.target(), record.args());
            line.end();
        }
    }

    fn flush(&self) {}
}

/// The end of a line that is not sent yet.
struct Line<'l, M: Machine + 'static> {
    log: &'l SerialLog<M>,
    bytes: [u8; GATHERED],
    length: usize,
}

impl<M: Machine> Line<'_, M> {
    fn push(&mut self, byte: u8) {
        if self.length == GATHERED {
            self.send();
        }
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte;
            self.length = self.length.saturating_add(1);
        }
    }

    fn send(&mut self) {
        self.log.send(self.bytes.get(..self.length).unwrap_or_default());
        self.length = 0;
    }

    fn end(mut self) {
        self.push(b'\r');
        self.push(b'\n');
        self.send();
    }
}

impl<M: Machine> Write for Line<'_, M> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.push(b'\r');
            }
            self.push(byte);
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
