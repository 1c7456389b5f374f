//! A 16550 serial port, by the crate `uart_16550` over the library's ports, with receive interrupts (PC16550D).

use crate::wait::{Clock, wait};
use core::fmt;
use core::time::Duration;
use heapless::Deque;
use uart_16550::backend::Backend;
use uart_16550::spec::registers::{IER, LSR};
use uart_16550::{Config, InitError, Uart16550};

/// How long the port is waited for: sixteen bytes at 9600 baud take 17 ms.
const PATIENCE: Duration = Duration::from_millis(100);
/// How many bytes are taken from the port at a time: more than its FIFO holds.
const MOST_AT_ONCE: u32 = 64;
/// How many bytes are kept.
const KEPT: usize = 256;

/// What is wrong with a serial port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// Nothing answers there.
    NoPort,
    /// What answers is no port that works.
    BadPort,
    /// The port did not send in time.
    TimedOut,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPort => "there is no serial port",
            Self::BadPort => "the serial port does not work",
            Self::TimedOut => "the serial port did not send in time",
        })
    }
}

impl core::error::Error for Error {}

/// A serial port that runs. Share it with the handler of its line through a [`Quiet`](crate::quiet::Quiet).
pub struct Serial<B: Backend> {
    uart: Uart16550<B>,
    bytes: Deque<u8, KEPT>,
}

impl<B: Backend> fmt::Debug for Serial<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Serial")
    }
}

impl<B: Backend> Serial<B> {
    /// Tests and initialises the port: it asks for its line for what it receives from then on.
    ///
    /// # Errors
    ///
    /// [`NoPort`](Error::NoPort), [`BadPort`](Error::BadPort), [`TimedOut`](Error::TimedOut).
    pub fn start<C: Clock>(mut uart: Uart16550<B>, clock: &C) -> Result<Self, Error> {
        if !uart.check_present() {
            return Err(Error::NoPort);
        }
        // Initialisation waits until all is sent, without a limit: it is waited for here.
        wait(clock, PATIENCE, || uart.lsr().contains(LSR::TRANSMITTER_EMPTY).then_some(()))
            .map_err(|_| Error::BadPort)?;
        let config = Config { interrupts: IER::DATA_READY, ..Config::default() };
        uart.init(config).map_err(|error| match error {
            InitError::DeviceNotPresent => Error::NoPort,
            _ => Error::BadPort,
        })?;
        Ok(Self { uart, bytes: Deque::new() })
    }

    /// Takes what the port received: what its line's handler calls. What there is no room for stays in the port.
    pub fn interrupt(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            if self.bytes.is_full() {
                return;
            }
            let Ok(byte) = self.uart.try_receive_byte() else { return };
            _ = self.bytes.push_back(byte);
        }
    }

    /// The next byte that was received.
    pub fn next_byte(&mut self) -> Option<u8> {
        if self.bytes.is_empty() {
            // More may have come than was taken, and the line asks only once.
            self.interrupt();
        }
        self.bytes.pop_front()
    }

    /// Sends as many of `bytes` as the port takes at once, and answers how many.
    pub fn send_some(&mut self, bytes: &[u8]) -> usize {
        self.uart.send_bytes(bytes)
    }
}

/// Sends all of `bytes` by `send_some`, which is [`Serial::send_some`], locked for each call.
///
/// # Errors
///
/// [`TimedOut`](Error::TimedOut) if the port takes nothing for a while.
pub fn send<C: Clock>(
    clock: &C,
    mut bytes: &[u8],
    mut send_some: impl FnMut(&[u8]) -> usize,
) -> Result<(), Error> {
    while !bytes.is_empty() {
        let sent = wait(clock, PATIENCE, || Some(send_some(bytes)).filter(|sent| *sent != 0));
        bytes = bytes.get(sent.map_err(|_| Error::TimedOut)?..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
