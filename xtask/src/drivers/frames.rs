//! A neighbour of the guest on a wire of their own: it asks for its address, pings it, and sends what no neighbour
//! should.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::CARD_BYTES;

const OURS: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
const OUR_ADDRESS: [u8; 4] = [10, 0, 3, 2];
const THEIR_ADDRESS: [u8; 4] = [10, 0, 3, 15];
const ALL: [u8; 6] = [0xff; 6];
const IP: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
/// How long an answer is waited for, and how often it is asked for.
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 5;

/// Each datagram is a frame.
pub struct Neighbour<'w> {
    wire: &'w UdpSocket,
    port: u16,
}

impl<'w> Neighbour<'w> {
    pub fn new(wire: &'w UdpSocket, port: u16) -> Result<Self> {
        wire.set_read_timeout(Some(Duration::from_millis(50)))?;
        Ok(Self { wire, port })
    }

    /// All that it does.
    pub fn visit(&self) -> Result<()> {
        self.ask_for_address()?;
        for length in [0, 1, 18, 56, 255, 256, 507, 508, 1000, 1471, 1472] {
            self.ping(length)?;
        }
        self.send_nonsense()?;
        self.ping(100).context("after frames that make no sense")?;
        // Twice as many as the card has room for.
        for number in 0..120_u16 {
            self.send(&echo(&[0x55; 200], number))?;
        }
        self.ping(1472).context("after more than the card has room for")
    }

    fn send(&self, frame: &[u8]) -> Result<()> {
        self.wire.send_to(frame, ("127.0.0.1", self.port))?;
        Ok(())
    }

    /// Sends `frame` until a frame comes that `is_answer`.
    fn ask(&self, frame: &[u8], is_answer: impl Fn(&[u8]) -> bool) -> Result<()> {
        let mut buffer = [0; 4096];
        for _ in 0..ATTEMPTS {
            self.send(frame)?;
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until {
                if let Ok((length, _)) = self.wire.recv_from(&mut buffer)
                    && is_answer(&buffer[..length])
                {
                    return Ok(());
                }
            }
        }
        bail!("the guest does not answer a frame of {} bytes", frame.len())
    }

    fn ask_for_address(&self) -> Result<()> {
        let mut question = [&ALL, &OURS[..], &ARP, &[0, 1, 8, 0, 6, 4, 0, 1]].concat();
        question.extend([&OURS[..], &OUR_ADDRESS, &[0; 6], &THEIR_ADDRESS].concat());
        question.resize(60, 0);
        let answer = [&OURS, &CARD_BYTES[..], &ARP, &[0, 1, 8, 0, 6, 4, 0, 2]].concat();
        let answer = [&answer, &CARD_BYTES[..], &THEIR_ADDRESS, &OURS, &OUR_ADDRESS].concat();
        self.ask(&question, |frame| frame.starts_with(&answer))
    }

    /// Sends an echo request with that much data, and has it come back unchanged.
    fn ping(&self, length: usize) -> Result<()> {
        let data: Vec<u8> = (0..length).map(|index| (index * 7 + length) as u8).collect();
        let number = 0x7000 | length as u16;
        let request = echo(&data, number);
        self.ask(&request, |frame| {
            let Some((head, rest)) = frame.split_at_checked(34) else { return false };
            let addressed = head.starts_with(&[&OURS[..], &CARD_BYTES, &IP].concat());
            let between = head[26..30] == THEIR_ADDRESS && head[30..34] == OUR_ADDRESS;
            let Some(reply) = rest.get(..8 + length) else { return false };
            addressed
                && between
                && sum(&head[14..]) == 0
                && sum(reply) == 0
                && reply[0] == 0
                && reply[4..8] == request[38..42]
                && reply[8..] == data
        })
        .with_context(|| format!("a ping with {length} bytes"))
    }

    /// Frames with lengths and contents that nobody should send.
    fn send_nonsense(&self) -> Result<()> {
        let mut state = 0x1234_5678_u32;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        for round in 0..300 {
            let length = match round % 6 {
                // An empty datagram is the wire's end.
                0 => 1 + random() % 13,
                1 => 1514 + random() % 2500,
                _ => 1 + random() % 1513,
            };
            let mut frame: Vec<u8> = (0..length).map(|_| random() as u8).collect();
            // Most are for the guest, of a kind that it knows, some with a header that begins well.
            let head = match round % 4 {
                0 => [&CARD_BYTES, &OURS[..], &IP, &[0x45]].concat(),
                1 => [&ALL, &OURS[..], &ARP, &[0, 1, 8, 0, 6, 4]].concat(),
                2 => [&CARD_BYTES, &OURS[..], &IP, &[0x4f, 0, 0xff, 0xff]].concat(),
                _ => Vec::new(),
            };
            frame.iter_mut().zip(head).for_each(|(byte, head)| *byte = head);
            self.send(&frame)?;
            if round % 10 == 0 {
                // The guest may take them, or the card's ring is all that is tried.
                self.ping(64)?;
            }
        }
        Ok(())
    }
}

/// An echo request.
fn echo(data: &[u8], number: u16) -> Vec<u8> {
    let mut message = [&[8, 0, 0, 0, 0x5a, 0x05][..], &number.to_be_bytes(), data].concat();
    let checksum = sum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&checksum);
    let total = (20 + message.len() as u16).to_be_bytes();
    let mut head =
        [&[0x45, 0][..], &total, &[0, 0, 0x40, 0, 64, 1, 0, 0], &OUR_ADDRESS, &THEIR_ADDRESS].concat();
    let checksum = sum(&head).to_be_bytes();
    head[10..12].copy_from_slice(&checksum);
    let mut frame = [&CARD_BYTES, &OURS[..], &IP, &head, &message].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

/// The checksum of the Internet's protocols (RFC 1071): 0 over what holds its own.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        // RFC 1071, section 3: the sum is ddf2.
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(sum(&[1]), !0x0100);
        let frame = echo(&[1, 2, 3], 7);
        assert_eq!(frame.len(), 60);
        assert_eq!((sum(&frame[14..34]), sum(&frame[34..45])), (0, 0));
    }
}
