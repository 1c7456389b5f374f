//! The console: the first serial port, and the terminal on it.

use crate::fs::device::DeviceNumber;
use crate::fs::tree::Tree;
use crate::fs::tty::{Host, Tty};
use crate::machine::{Kernel, Machine};
use crate::process::table;
use crate::schedule;
use crate::signal::{Info, send};
use alloc::sync::Arc;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use spin::{Mutex, Once};
use sva_os::Violation;
use sva_os::interrupt::Line;
use sva_os::io::Uart;

/// The ports of the first serial port, and its line.
const PORTS: u16 = 0x3f8;
const LINE: u32 = 4;
/// The bit of a 16550's interrupt-enable register for received data.
const RECEIVED: u8 = 1;

static UART: Mutex<Option<Uart<'static, Machine>>> = Mutex::new(None);
static INPUT: AtomicBool = AtomicBool::new(false);
static TERMINAL: Once<Arc<Tty>> = Once::new();

/// Terminals that lead here: `/dev/console` and `/dev/ttyS0`.
const DEVICES: [DeviceNumber; 2] =
    [DeviceNumber { major: 5, minor: 1 }, DeviceNumber { major: 4, minor: 64 }];

/// Opens the serial port.
///
/// # Errors
///
/// As the library's calls.
pub fn init(sva: &'static Kernel) -> Result<(), Violation> {
    let mut uart = sva.io().uart(PORTS)?;
    // One that is not there reads as nothing, and takes what it is given.
    _ = uart.init(uart_16550::Config::default());
    uart.enable_interrupts(uart_16550::spec::registers::IER::from_bits_retain(RECEIVED));
    *UART.lock() = Some(uart);
    if let Some(line) = Line::new(LINE) {
        sva.interrupts().register_line(line, &|_| {
            INPUT.store(true, Ordering::Relaxed);
            schedule::set_due();
        })?;
        sva.interrupts().unmask(line)?;
    }
    Ok(())
}

/// Makes the terminal.
///
/// # Errors
///
/// As the file system's calls.
pub fn init_terminal(tree: &Tree) -> crate::errno::Result<()> {
    let terminal = Tty::new(&Console)?;
    for device in DEVICES {
        tree.add_terminal(device, terminal.clone());
    }
    TERMINAL.call_once(|| terminal);
    // What came before there was a terminal.
    INPUT.store(true, Ordering::Relaxed);
    Ok(())
}

/// Hands what has come on to the terminal.
pub fn attend() {
    if !INPUT.swap(false, Ordering::Relaxed) {
        return;
    }
    let Some(terminal) = TERMINAL.get() else {
        return;
    };
    loop {
        let mut bytes = [0; 64];
        let count = UART.lock().as_mut().map_or(0, |uart| uart.receive_bytes(&mut bytes));
        if count == 0 {
            return;
        }
        terminal.input(bytes.get(..count).unwrap_or_default());
    }
}

/// The terminal of a session and the group in its foreground, if it has this one.
pub fn terminal_of(session: u32) -> Option<(DeviceNumber, u32)> {
    let terminal = TERMINAL.get().filter(|terminal| terminal.session() == session)?;
    let [_, device] = DEVICES;
    Some((device, terminal.foreground()))
}

/// A session ends: it has the terminal no longer.
pub fn session_ends(session: u32) {
    if let Some(terminal) = TERMINAL.get() {
        terminal.release(session);
    }
}

/// Says something of the kernel's own.
pub fn print(text: fmt::Arguments<'_>) {
    // The console answers Ok.
    _ = Console.write_fmt(text);
}

struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (place, line) in text.split('\n').enumerate() {
            if place > 0 {
                self.send(b"\r\n");
            }
            self.send(line.as_bytes());
        }
        Ok(())
    }
}

impl Host for Console {
    fn send(&self, bytes: &[u8]) {
        if let Some(uart) = UART.lock().as_mut() {
            uart.send_bytes_exact(bytes);
        }
    }

    fn raise(&self, group: u32, signal: u32) {
        // A group that has ended needs no signal.
        _ = send::to_group(group, Info::kernel(signal));
    }

    fn session_of(&self, group: u32) -> Option<u32> {
        table::group(group).first().map(|process| process.state.lock().session)
    }
}
