//! The loopback: a device that receives what it sends.

use super::memory::bytes;
use crate::errno::{Errno, Result};
use alloc::vec::Vec;
use smoltcp::phy::{self, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// The longest packet: headers of IP and TCP, and 16 KiB.
pub(super) const LONGEST: usize = (16 << 10) + 40;
/// Places for packets on their way. One of them is always free.
const PLACES: usize = 8;

/// A ring of packets on their way, in memory of its own.
pub(super) struct Loopback {
    ring: Vec<Packet>,
    first: usize,
    count: usize,
}

struct Packet {
    bytes: Vec<u8>,
    length: usize,
}

impl Loopback {
    /// # Errors
    ///
    /// ENOMEM.
    pub(super) fn new() -> Result<Self> {
        let mut ring = Vec::new();
        ring.try_reserve_exact(PLACES).map_err(|_| Errno::ENOMEM)?;
        for _ in 0..PLACES {
            ring.push(Packet { bytes: bytes(LONGEST)?, length: 0 });
        }
        Ok(Self { ring, first: 0, count: 0 })
    }

    /// Where the next packet goes.
    fn behind(&self) -> usize {
        self.first.wrapping_add(self.count) % PLACES
    }

    fn is_full(&self) -> bool {
        self.count >= PLACES.saturating_sub(1)
    }
}

/// A packet that has come.
pub(super) struct Receive<'l>(&'l Packet);

/// The place for one that goes.
pub(super) struct Transmit<'l> {
    place: &'l mut Packet,
    count: &'l mut usize,
}

impl phy::RxToken for Receive<'_> {
    fn consume<T, F: FnOnce(&[u8]) -> T>(self, run: F) -> T {
        run(self.0.bytes.get(..self.0.length).unwrap_or_default())
    }
}

impl phy::TxToken for Transmit<'_> {
    fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, length: usize, run: F) -> T {
        // No longer than the capabilities say.
        self.place.length = length.min(LONGEST);
        *self.count = self.count.saturating_add(1);
        run(self.place.bytes.get_mut(..length).unwrap_or_default())
    }
}

impl phy::Device for Loopback {
    type RxToken<'t> = Receive<'t>;
    type TxToken<'t> = Transmit<'t>;

    fn receive(&mut self, _now: Instant) -> Option<(Receive<'_>, Transmit<'_>)> {
        let (first, behind) = (self.first, self.behind());
        self.count = self.count.checked_sub(1)?;
        self.first = first.wrapping_add(1) % PLACES;
        let [packet, place] = self.ring.get_disjoint_mut([first, behind]).ok()?;
        Some((Receive(packet), Transmit { place, count: &mut self.count }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmit<'_>> {
        if self.is_full() {
            return None;
        }
        let behind = self.behind();
        Some(Transmit { place: self.ring.get_mut(behind)?, count: &mut self.count })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = LONGEST;
        // What never leaves the memory is not damaged on its way.
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::phy::{Device, RxToken, TxToken};

    fn send(device: &mut Loopback, byte: u8) -> bool {
        let token = device.transmit(Instant::ZERO);
        token.map(|token| token.consume(3, |bytes| bytes.fill(byte))).is_some()
    }

    #[test]
    fn what_is_sent_is_received_in_order_and_no_more_than_there_is_room_for() {
        let mut device = Loopback::new().unwrap();
        for round in 0..20 {
            let sent = (0..=u8::MAX).take_while(|byte| send(&mut device, byte.wrapping_add(round))).count();
            assert_eq!(sent, PLACES - 1);
            for byte in 0..sent {
                let (packet, answer) = device.receive(Instant::ZERO).unwrap();
                packet.consume(|bytes| assert_eq!(bytes, [byte as u8 + round; 3]));
                // The first is answered, as an acknowledgement would be.
                if byte == 0 {
                    answer.consume(1, |bytes| bytes.fill(99));
                }
            }
            device.receive(Instant::ZERO).unwrap().0.consume(|bytes| assert_eq!(bytes, [99]));
            assert!(device.receive(Instant::ZERO).is_none());
        }
    }
}
