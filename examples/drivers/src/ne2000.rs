//! A network card like the NE2000, by programmed I/O (DP8390D data sheet, National Semiconductor; RTL8029AS).
//!
//! The card has 16 KiB of RAM of its own. Frames that it receives go round a ring of 256-byte pages there, and one
//! that is to be sent lies in front of the ring. What the data sheet calls *remote DMA* moves words between that RAM
//! and the data port, one for each access of the CPU: no frame of the machine's RAM is ever reached.
//!
//! ```text
//! page 0x40         0x46                                    0x80
//!      | to be sent | ring: ... | header, frame | ...        |
//!                                 ^ next to be read (one behind the boundary)
//! ```
//!
//! What stands in a header is believed only if it leads on round the ring by as many pages as its length needs. Else
//! the ring is emptied, and the frames in it are lost.

mod error;
mod network;

pub use error::Error;
pub use network::{Receive, Transmit};

use crate::registers::Registers;
use crate::wait::{Clock, sleep, wait};
use core::time::Duration;

/// How many registers a card has.
pub const REGISTERS: u32 = 32;
/// The shortest and the longest frame, without its checksum.
pub const SHORTEST: usize = 60;
/// See [`SHORTEST`].
pub const LONGEST: usize = 1514;

/// The command register, the same on all pages.
const COMMAND: u16 = 0x00;
const STOP: u8 = 1 << 0;
const START: u8 = 1 << 1;
const SEND: u8 = 1 << 2;
const REMOTE_READ: u8 = 1 << 3;
const REMOTE_WRITE: u8 = 2 << 3;
const NO_REMOTE: u8 = 4 << 3;
const PAGE_1: u8 = 1 << 6;

/// Registers of page 0.
const RING_START: u16 = 0x01;
const RING_END: u16 = 0x02;
const BOUNDARY: u16 = 0x03;
const SEND_PAGE: u16 = 0x04;
const SEND_COUNT: u16 = 0x05;
const INTERRUPTS: u16 = 0x07;
const REMOTE_ADDRESS: u16 = 0x08;
const REMOTE_COUNT: u16 = 0x0a;
const RECEIVE: u16 = 0x0c;
const TRANSMIT: u16 = 0x0d;
const DATA_CONFIGURATION: u16 = 0x0e;
const INTERRUPT_MASK: u16 = 0x0f;
/// Of page 1: the station's address, the page that is received into, and which multicast addresses are wanted.
const STATION: u16 = 0x01;
const CURRENT: u16 = 0x07;
const MULTICAST: u16 = 0x08;
/// On all pages.
const DATA: u16 = 0x10;
const RESET: u16 = 0x1f;

/// Of the interrupt status.
const RECEIVED: u8 = 1 << 0;
const SENT: u8 = 1 << 1;
const RECEIVE_ERROR: u8 = 1 << 2;
const SEND_ERROR: u8 = 1 << 3;
const OVERRUN: u8 = 1 << 4;
const REMOTE_DONE: u8 = 1 << 6;
const RESET_DONE: u8 = 1 << 7;
/// What the card asks for the CPU's attention for.
const WANTED: u8 = RECEIVED | RECEIVE_ERROR | OVERRUN | SEND_ERROR;

/// Words of 16 bits, normal operation, a FIFO of eight bytes.
const WORDS: u8 = 1 << 0 | 1 << 3 | 2 << 5;
/// Frames to the station and to all.
const TO_STATION_AND_ALL: u8 = 1 << 2;
/// Nothing is received, frames are only counted.
const MONITOR: u8 = 1 << 5;
const NORMAL: u8 = 0;
/// What is sent goes nowhere.
const LOOPBACK: u8 = 1 << 1;

/// The card's pages: where its RAM begins, and ends; where the ring does.
const RAM: u8 = 0x40;
const RING: u8 = 0x46;
const END: u8 = 0x80;
const PAGES: u8 = END - RING;
const PAGE: usize = 256;
/// In front of each frame in the ring: status, next page, length.
const HEADER: usize = 4;
/// Behind each, its checksum: counted in the length.
const CHECKSUM: usize = 4;
/// Of a header's status: received without an error.
const INTACT: u8 = 1 << 0;
/// What the PROM holds behind the station's address in a card of 16 bits.
const SIGNATURE: [u8; 2] = [0x57; 2];
/// What a register holds where nothing is.
const NOBODY: u8 = 0xff;

/// How long the card is waited for: a reset, a transfer of a few words.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long a frame may take to be sent, sixteen collisions and all.
const SENDING: Duration = Duration::from_millis(100);
/// How long the card may go on after it was told to stop (DP8390D, buffer ring overflow).
const STOPPING: Duration = Duration::from_micros(1600);

/// What a card went through.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Frames received.
    pub received: u32,
    /// Frames sent.
    pub sent: u32,
    /// Frames that were damaged, or too long.
    pub dropped: u32,
    /// Frames that were not sent.
    pub send_errors: u32,
    /// Times that the ring was full.
    pub overruns: u32,
    /// Times that the ring made no sense and was emptied.
    pub broken: u32,
}

/// A network card. It is a [`smoltcp::phy::Device`].
#[derive(Debug)]
pub struct Ne2000<R, C> {
    registers: R,
    clock: C,
    /// The station's address.
    address: [u8; 6],
    /// The page of the next frame to be read, in the ring.
    next: u8,
    is_sending: bool,
    counts: Counts,
    received: [u8; LONGEST],
}

impl<R: Registers, C: Clock> Ne2000<R, C> {
    /// Resets the card, reads its address, and lets it receive. Its interrupts are off.
    ///
    /// # Errors
    ///
    /// [`NoCard`](Error::NoCard), [`NotWords`](Error::NotWords) for a card of eight bits,
    /// [`NoAddress`](Error::NoAddress), [`TimedOut`](Error::TimedOut).
    pub fn open(registers: R, clock: C) -> Result<Self, Error> {
        let mut card = Self {
            registers,
            clock,
            address: [0; 6],
            next: RING,
            is_sending: false,
            counts: Counts::default(),
            received: [0; LONGEST],
        };
        card.reset()?;
        card.address = card.read_address()?;
        card.start();
        Ok(card)
    }

    /// The station's address.
    pub const fn address(&self) -> [u8; 6] {
        self.address
    }

    /// What the card went through.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Lets the card ask for the CPU, when something was received or went wrong.
    pub fn enable_interrupts(&mut self) {
        self.registers.write(INTERRUPT_MASK, WANTED);
    }

    /// Holds the card back from asking for the CPU.
    pub fn disable_interrupts(&mut self) {
        self.registers.write(INTERRUPT_MASK, 0);
    }

    /// Takes back what the card asks for the CPU for. To be called after an interrupt, before all frames are
    /// [received](Self::receive): what comes meanwhile asks anew.
    pub fn acknowledge(&mut self) {
        // A full ring and the end of a transmission are looked for where they matter.
        self.registers.write(INTERRUPTS, RECEIVED | RECEIVE_ERROR | SEND_ERROR);
    }

    /// The next frame that was received, without its checksum; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`NoCard`](Error::NoCard); [`BrokenRing`](Error::BrokenRing), after which the ring is empty;
    /// [`TimedOut`](Error::TimedOut).
    pub fn receive(&mut self) -> Result<Option<&[u8]>, Error> {
        let status = self.registers.read(INTERRUPTS);
        if status == NOBODY {
            return Err(Error::NoCard);
        }
        let taken = if status & OVERRUN != 0 { self.take_after_overrun() } else { self.take() };
        Ok(taken?.and_then(|length| self.received.get(..length)))
    }

    /// Sends `frame`, filled up with zeroes to the [shortest](SHORTEST) that there may be. Waits for the one before
    /// to be gone, not for this.
    ///
    /// # Errors
    ///
    /// [`TooLong`](Error::TooLong); [`TimedOut`](Error::TimedOut), [`NotSent`](Error::NotSent) for the frame before.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), Error> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..frame.len()).ok_or(Error::TooLong)?.copy_from_slice(frame);
        let length = frame.len().max(SHORTEST);
        let before = self.wait_until_sent();
        let bytes = bytes.get(..length).unwrap_or_default();
        self.write_ram(u16::from(RAM) << 8, bytes)?;
        let [low, high] = u16::try_from(length).map_err(|_| Error::TooLong)?.to_le_bytes();
        self.registers.write(INTERRUPTS, SENT | SEND_ERROR);
        self.registers.write(SEND_PAGE, RAM);
        self.registers.write(SEND_COUNT, low);
        self.registers.write(SEND_COUNT + 1, high);
        self.registers.write(COMMAND, START | SEND | NO_REMOTE);
        self.is_sending = true;
        self.counts.sent = self.counts.sent.wrapping_add(1);
        before
    }

    /// Waits until the frame that is being sent is gone.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](Error::TimedOut), [`NotSent`](Error::NotSent).
    pub fn wait_until_sent(&mut self) -> Result<(), Error> {
        if !self.is_sending {
            return Ok(());
        }
        self.is_sending = false;
        let registers = &mut self.registers;
        let gone = wait(&self.clock, SENDING, || (registers.read(COMMAND) & SEND == 0).then_some(())).is_ok();
        let failed = self.registers.read(INTERRUPTS) & SEND_ERROR != 0;
        if gone && !failed {
            return Ok(());
        }
        self.counts.send_errors = self.counts.send_errors.wrapping_add(1);
        Err(if gone { Error::NotSent } else { Error::TimedOut })
    }

    /// Resets the card, which then stands still.
    fn reset(&mut self) -> Result<(), Error> {
        let was = self.registers.read(RESET);
        self.registers.write(RESET, was);
        let registers = &mut self.registers;
        let status = wait(&self.clock, PATIENCE, || {
            let status = registers.read(INTERRUPTS);
            (status & RESET_DONE != 0).then_some(status)
        });
        match status {
            Ok(NOBODY) | Err(_) => return Err(Error::NoCard),
            Ok(_) => {}
        }
        self.registers.write(COMMAND, STOP | NO_REMOTE);
        // What is there stands still, as it was told.
        if self.registers.read(COMMAND) & (STOP | START | SEND) != STOP {
            return Err(Error::NoCard);
        }
        self.registers.write(DATA_CONFIGURATION, WORDS);
        self.registers.write(REMOTE_COUNT, 0);
        self.registers.write(REMOTE_COUNT + 1, 0);
        self.registers.write(RECEIVE, MONITOR);
        self.registers.write(TRANSMIT, LOOPBACK);
        self.registers.write(INTERRUPTS, 0xff);
        self.registers.write(INTERRUPT_MASK, 0);
        Ok(())
    }

    /// The station's address, from the card's PROM: each byte of it is read as a word, whose low byte counts.
    fn read_address(&mut self) -> Result<[u8; 6], Error> {
        let mut prom = [0; 32];
        self.read_ram(0, &mut prom)?;
        let mut low = prom.iter().step_by(2).copied();
        let mut address = [0; 6];
        address.iter_mut().zip(&mut low).for_each(|(to, from)| *to = from);
        let signature = [low.by_ref().nth(8), low.next()];
        if signature != SIGNATURE.map(Some) {
            return Err(Error::NotWords);
        }
        // Of one station, not of many; and not nobody's.
        let [first, ..] = address;
        if first & 1 != 0 || address == [0; 6] { Err(Error::NoAddress) } else { Ok(address) }
    }

    /// Empties the ring and lets the card run.
    fn start(&mut self) {
        self.registers.write(COMMAND, STOP | NO_REMOTE);
        self.registers.write(RING_START, RING);
        self.registers.write(RING_END, END);
        self.registers.write(BOUNDARY, RING);
        self.registers.write(COMMAND, STOP | NO_REMOTE | PAGE_1);
        for (register, byte) in (STATION..).zip(self.address) {
            self.registers.write(register, byte);
        }
        for register in MULTICAST..MULTICAST + 8 {
            self.registers.write(register, 0);
        }
        self.next = after(RING, 1);
        self.registers.write(CURRENT, self.next);
        self.registers.write(COMMAND, STOP | NO_REMOTE);
        self.registers.write(INTERRUPTS, 0xff);
        self.registers.write(COMMAND, START | NO_REMOTE);
        self.registers.write(TRANSMIT, NORMAL);
        self.registers.write(RECEIVE, TO_STATION_AND_ALL);
        self.is_sending = false;
    }

    /// Moves the next intact frame out of the ring into `received`, and answers how long it is.
    fn take(&mut self) -> Result<Option<usize>, Error> {
        // No more than one frame for each page: a card that always has another one does not keep us here.
        for _ in 0..PAGES {
            let current = self.current();
            if current == self.next {
                return Ok(None);
            }
            let mut header = [0; HEADER];
            self.read_ram(u16::from(self.next) << 8, &mut header)?;
            let [status, next, low, high] = header;
            let count = u16::from_le_bytes([low, high]).into();
            if !is_sound(self.next, next, current, count) {
                self.empty();
                return Err(Error::BrokenRing);
            }
            let length = count.saturating_sub(CHECKSUM);
            let wanted = status & INTACT != 0 && (SHORTEST..=LONGEST).contains(&length);
            if wanted {
                self.read_frame(length)?;
            }
            self.advance(next);
            let counter = if wanted { &mut self.counts.received } else { &mut self.counts.dropped };
            *counter = counter.wrapping_add(1);
            if wanted {
                return Ok(Some(length));
            }
        }
        self.empty();
        Err(Error::BrokenRing)
    }

    /// As [`take`](Self::take), when the ring was full: the card is stopped, room is made, and the card goes on
    /// (DP8390D, buffer ring overflow).
    fn take_after_overrun(&mut self) -> Result<Option<usize>, Error> {
        self.counts.overruns = self.counts.overruns.wrapping_add(1);
        let was_sending = self.registers.read(COMMAND) & SEND != 0;
        self.registers.write(COMMAND, STOP | NO_REMOTE);
        sleep(&self.clock, STOPPING);
        self.registers.write(REMOTE_COUNT, 0);
        self.registers.write(REMOTE_COUNT + 1, 0);
        let has_sent = self.registers.read(INTERRUPTS) & (SENT | SEND_ERROR) != 0;
        self.registers.write(TRANSMIT, LOOPBACK);
        self.registers.write(COMMAND, START | NO_REMOTE);
        let taken = self.take();
        self.registers.write(INTERRUPTS, OVERRUN);
        self.registers.write(TRANSMIT, NORMAL);
        if was_sending && !has_sent && self.is_sending {
            self.registers.write(COMMAND, START | SEND | NO_REMOTE);
        }
        taken
    }

    /// The page that the card receives into next.
    fn current(&mut self) -> u8 {
        self.registers.write(COMMAND, START | NO_REMOTE | PAGE_1);
        let current = self.registers.read(CURRENT);
        self.registers.write(COMMAND, START | NO_REMOTE);
        current
    }

    /// Reads the frame behind the header at `next`, which may go on at the ring's start.
    fn read_frame(&mut self, length: usize) -> Result<(), Error> {
        let mut bytes = [0; LONGEST];
        let start = usize::from(self.next).saturating_mul(PAGE).saturating_add(HEADER);
        let until_end = usize::from(END).saturating_mul(PAGE).saturating_sub(start).min(length);
        let (before, behind) = bytes.get_mut(..length).ok_or(Error::BrokenRing)?.split_at_mut(until_end);
        self.read_ram(u16::try_from(start).map_err(|_| Error::BrokenRing)?, before)?;
        if !behind.is_empty() {
            self.read_ram(u16::from(RING) << 8, behind)?;
        }
        self.received = bytes;
        Ok(())
    }

    /// Gives the pages before `next` back to the card.
    fn advance(&mut self, next: u8) {
        self.next = next;
        self.registers.write(BOUNDARY, after(next, PAGES.saturating_sub(1)));
    }

    /// Empties the ring, which makes no sense.
    fn empty(&mut self) {
        self.counts.broken = self.counts.broken.wrapping_add(1);
        self.registers.write(COMMAND, STOP | NO_REMOTE);
        sleep(&self.clock, STOPPING);
        self.start();
    }

    /// Reads the card's RAM from `at` on, an even address.
    fn read_ram(&mut self, at: u16, bytes: &mut [u8]) -> Result<(), Error> {
        self.remote(at, bytes.len(), REMOTE_READ)?;
        let mut words = [0; LONGEST / 2];
        let words = words.get_mut(..bytes.len().div_ceil(2)).ok_or(Error::TooLong)?;
        self.registers.read_words(DATA, words);
        for (bytes, word) in bytes.chunks_mut(2).zip(words.iter()) {
            bytes.iter_mut().zip(word.to_le_bytes()).for_each(|(to, from)| *to = from);
        }
        self.end_remote()
    }

    /// Writes `bytes`, an even number of them or one less, to the card's RAM from `at` on, an even address.
    fn write_ram(&mut self, at: u16, bytes: &[u8]) -> Result<(), Error> {
        self.remote(at, bytes.len(), REMOTE_WRITE)?;
        let mut words = [0; LONGEST / 2];
        let words = words.get_mut(..bytes.len().div_ceil(2)).ok_or(Error::TooLong)?;
        for (word, bytes) in words.iter_mut().zip(bytes.chunks(2)) {
            let mut both = [0; 2];
            both.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            *word = u16::from_le_bytes(both);
        }
        self.registers.write_words(DATA, words);
        self.end_remote()
    }

    /// Begins to move `length` bytes, of whole words, through the data port.
    fn remote(&mut self, at: u16, length: usize, direction: u8) -> Result<(), Error> {
        let length = u16::try_from(length.next_multiple_of(2)).map_err(|_| Error::TooLong)?;
        self.registers.write(INTERRUPTS, REMOTE_DONE);
        for (register, value) in [(REMOTE_COUNT, length), (REMOTE_ADDRESS, at)] {
            let [low, high] = value.to_le_bytes();
            self.registers.write(register, low);
            self.registers.write(register.saturating_add(1), high);
        }
        self.registers.write(COMMAND, START | direction);
        Ok(())
    }

    /// Waits until the card has seen the last word go by.
    fn end_remote(&mut self) -> Result<(), Error> {
        let registers = &mut self.registers;
        let done =
            wait(&self.clock, PATIENCE, || (registers.read(INTERRUPTS) & REMOTE_DONE != 0).then_some(()));
        self.registers.write(INTERRUPTS, REMOTE_DONE);
        // Also ends a transfer that did not come to its end.
        self.registers.write(COMMAND, START | NO_REMOTE);
        done.map_err(|_| Error::TimedOut)
    }
}

/// The page so many pages after `page`, both of the ring, round it.
const fn after(page: u8, pages: u8) -> u8 {
    let offset = page.wrapping_sub(RING).wrapping_add(pages % PAGES);
    RING.wrapping_add(offset % PAGES)
}

/// How many pages lie from `from` to `to`, both of the ring, round it.
const fn distance(from: u8, to: u8) -> u8 {
    to.wrapping_sub(from).wrapping_add(if to < from { PAGES } else { 0 })
}

/// Whether the header at `page`, with the next page and the count of bytes it names, can be true of a card that
/// receives into `current` next.
fn is_sound(page: u8, next: u8, current: u8, count: usize) -> bool {
    let is_of_ring = |page| (RING..END).contains(&page);
    if !is_of_ring(next) || !is_of_ring(current) {
        return false;
    }
    let pages = count.saturating_add(HEADER).div_ceil(PAGE);
    let used = usize::from(distance(page, next));
    // A card may leave a page unused behind a frame.
    (used == pages || used == pages.saturating_add(1)) && next_is_before(page, next, current)
}

/// Whether `next` lies behind `page`, and not behind `current`.
const fn next_is_before(page: u8, next: u8, current: u8) -> bool {
    let used = distance(page, next);
    used != 0 && used <= distance(page, current)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
