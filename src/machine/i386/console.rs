//! The library's own output: the first serial port, polled.
//!
//! For what the library has to say when nothing else can be trusted: a double fault, broken state, a
//! refused boot. It takes no lock, allocates nothing and waits for a bounded time.

use super::port;
use core::fmt;

/// COM1 (16550, data sheet table 1).
const DATA: u16 = 0x3f8;
const LINE_STATUS: u16 = 0x3f8 + 5;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// Reads of the line status before a byte is given up: at 9600 baud a byte takes 1 ms, a read 1 µs.
const MOST_READS: u32 = 100_000;

/// Writes bytes to the first serial port. Where none answers they are lost.
pub(crate) struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let ready = (0..MOST_READS).any(|_| {
                // SAFETY: the line status register of a UART, which has no DMA engine.
                let status: u8 = unsafe { port::read(LINE_STATUS) };
                status & TRANSMITTER_EMPTY != 0
            });
            if ready {
                // SAFETY: the transmitter of a UART, which has no DMA engine.
                unsafe { port::write(DATA, byte) }
            }
        }
        Ok(())
    }
}
