//! The card as a device of the crate `smoltcp`.

use super::{LONGEST, Ne2000};
use crate::registers::Registers;
use crate::wait::Clock;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// A frame that was received.
#[derive(Debug)]
pub struct Receive {
    frame: [u8; LONGEST],
    length: usize,
}

impl RxToken for Receive {
    fn consume<T, F: FnOnce(&[u8]) -> T>(self, run: F) -> T {
        run(self.frame.get(..self.length).unwrap_or_default())
    }
}

/// Leave to send a frame.
#[derive(Debug)]
pub struct Transmit<'c, R, C>(&'c mut Ne2000<R, C>);

impl<R: Registers, C: Clock> TxToken for Transmit<'_, R, C> {
    fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, length: usize, run: F) -> T {
        let mut frame = [0; LONGEST];
        // No longer than the capabilities say.
        let frame = frame.get_mut(..length.min(LONGEST)).unwrap_or_default();
        let answer = run(frame);
        // What is not sent is counted, and sent again by whoever misses it.
        _ = self.0.send(frame);
        answer
    }
}

impl<R: Registers, C: Clock> Device for Ne2000<R, C> {
    type RxToken<'t>
        = Receive
    where
        Self: 't;
    type TxToken<'t>
        = Transmit<'t, R, C>
    where
        Self: 't;

    fn receive(&mut self, _now: Instant) -> Option<(Receive, Transmit<'_, R, C>)> {
        // What is broken is counted, and as good as not received.
        let length = Self::receive(self).ok()??.len();
        Some((Receive { frame: self.received, length }, Transmit(self)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmit<'_, R, C>> {
        Some(Transmit(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = LONGEST;
        capabilities.max_burst_size = Some(1);
        capabilities
    }
}
