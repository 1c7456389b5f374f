//! An ATA disk, by programmed I/O (ATA/ATAPI-4, T13/1153D).
//!
//! The CPU moves every word through the data port: READ SECTORS and WRITE SECTORS with 28-bit addresses. Commands
//! that ask for DMA are never sent. The disk is polled; its interrupts are off, or end a [rest](Clock::rest) between two
//! polls.
//!
//! ```text
//! Channel   two sets of registers, and up to two disks that share them
//! Disk      one of these: it knows how many sectors it has
//! ```

mod error;

pub use error::Error;

use crate::registers::Registers;
use crate::wait::{Clock, sleep, wait};
use core::time::Duration;
use spin::Mutex;

/// Registers of the command block.
const DATA: u16 = 0;
const ERROR: u16 = 1;
const SECTOR_COUNT: u16 = 2;
const LBA_LOW: u16 = 3;
const LBA_MIDDLE: u16 = 4;
const LBA_HIGH: u16 = 5;
const DEVICE: u16 = 6;
const STATUS: u16 = 7;
const COMMAND: u16 = 7;
/// Of the control block, the one that is offered: when read, the status without an effect.
const CONTROL: u16 = 0;

/// Of the status.
const BUSY: u8 = 1 << 7;
const READY: u8 = 1 << 6;
const FAULT: u8 = 1 << 5;
const DATA_REQUEST: u8 = 1 << 3;
const FAILED: u8 = 1 << 0;
/// What a bus says where nothing is: lines that float, or are pulled down. A packet device that was reset says the
/// latter too, but not after a command.
const FLOATING: u8 = 0xff;
const NOBODY: [u8; 2] = [FLOATING, 0x00];

/// Of the device register: addresses are of sectors; the second device; the uppermost four bits of an address.
const BY_SECTOR: u8 = 1 << 6;
const OBSOLETE: u8 = 1 << 7 | 1 << 5;
const SECOND: u8 = 1 << 4;

/// Of the control register.
const RESET: u8 = 1 << 2;
const NO_INTERRUPTS: u8 = 1 << 1;

const READ_SECTORS: u8 = 0x20;
const WRITE_SECTORS: u8 = 0x30;
const FLUSH_CACHE: u8 = 0xe7;
const IDENTIFY_DEVICE: u8 = 0xec;

/// Of the error register: the command was not carried out, or there is no such command.
const ABORTED: u8 = 1 << 2;

/// What a packet device answers with when it is taken for a disk, in the middle and high address registers.
const PACKET_DEVICE: [u8; 2] = [0x14, 0xeb];

/// Bytes of a sector, and its words.
pub const SECTOR: usize = 512;
const WORDS: usize = 256;
/// How many sectors a command moves at most; the register has room for 256.
const MOST_SECTORS: usize = 128;
/// How many sectors 28 bits can name.
const LAST_SECTORS: u32 = 1 << 28;
/// How long a device is waited for unless the channel says otherwise: a disk that has to start turning takes seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// One of the two devices of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unit {
    /// Device 0, the master.
    First,
    /// Device 1, the slave.
    Second,
}

/// What a disk says it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// How many sectors it has: 1 to 2^28.
    pub sectors: u32,
    model: [u8; 40],
}

impl Identity {
    /// The model, as printable ASCII; the part before it is not, if there is any that is not.
    pub fn model(&self) -> &str {
        let end = self.model.iter().position(|byte| !matches!(byte, b' '..=b'~')).unwrap_or(self.model.len());
        let text = self.model.get(..end).unwrap_or_default();
        core::str::from_utf8(text).unwrap_or_default().trim()
    }

    /// From the words of IDENTIFY DEVICE.
    fn new(words: &[u16; WORDS]) -> Result<Self, Error> {
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        // Word 0, bit 15: not an ATA device. Word 49, bit 9: it takes the addresses of sectors.
        if word(0) >> 15 != 0 || word(49) >> 9 & 1 == 0 {
            return Err(Error::NotADisk);
        }
        let sectors = u32::from(word(61)) << 16 | u32::from(word(60));
        if !(1..=LAST_SECTORS).contains(&sectors) {
            return Err(Error::NotADisk);
        }
        // Words 27 to 46, the first letter of a word in its high byte.
        let mut model = [0; 40];
        for (letters, word) in model.chunks_exact_mut(2).zip(words.iter().skip(27)) {
            letters.copy_from_slice(&word.to_be_bytes());
        }
        Ok(Self { sectors, model })
    }
}

/// A channel, to which one or two devices are connected.
#[derive(Debug)]
pub struct Channel<R, C> {
    command: R,
    control: R,
    clock: C,
    limit: Duration,
    /// What the control register holds between resets.
    control_bits: u8,
    /// A command did not end as it should have: the devices have to be reset.
    is_stuck: bool,
}

impl<R: Registers, C: Clock> Channel<R, C> {
    /// A channel of a command block, eight registers, and of the control register. Nothing is touched yet.
    pub const fn new(command: R, control: R, clock: C) -> Self {
        Self { command, control, clock, limit: PATIENCE, control_bits: NO_INTERRUPTS, is_stuck: false }
    }

    /// Waits for a device for as long as `limit`, which is ten seconds otherwise.
    pub const fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Has the devices ask for the channel's line when they are done: for a clock that [rests](Clock::rest).
    pub const fn with_interrupts(mut self) -> Self {
        self.control_bits = 0;
        self
    }

    /// Asks what `unit` is.
    ///
    /// # Errors
    ///
    /// [`NoDevice`](Error::NoDevice), [`NotADisk`](Error::NotADisk) for one that is something else, or whose sectors
    /// cannot be named; else as [`read`](Self::read).
    pub fn identify(&mut self, unit: Unit) -> Result<Identity, Error> {
        self.command(IDENTIFY_DEVICE, unit, 0, 0)?;
        // Where there is no second device the first may answer for it, with zeroes.
        if NOBODY.contains(&self.status()) {
            return Err(Error::NoDevice);
        }
        let mut words = [0; WORDS];
        match self.wait_for_data() {
            Ok(()) => self.command.read_words(DATA, &mut words),
            Err(Error::Device(_)) if self.signature() == PACKET_DEVICE => return Err(Error::NotADisk),
            Err(error) => return Err(self.stuck(error)),
        }
        self.finish()?;
        Identity::new(&words)
    }

    /// Reads the sectors from `first` on into `sectors`.
    ///
    /// # Errors
    ///
    /// [`NoDevice`](Error::NoDevice), [`TimedOut`](Error::TimedOut), [`Device`](Error::Device) with what the device says
    /// of it, [`Outside`](Error::Outside) for an address of more than 28 bits. What `sectors` hold is not said then.
    pub fn read(&mut self, unit: Unit, first: u32, sectors: &mut [[u8; SECTOR]]) -> Result<(), Error> {
        let mut next = check(first, sectors.len())?;
        for sectors in sectors.chunks_mut(MOST_SECTORS) {
            let count = u8::try_from(sectors.len()).map_err(|_| Error::Outside)?;
            self.command(READ_SECTORS, unit, next, count)?;
            for sector in sectors {
                self.wait_for_data().map_err(|error| self.stuck(error))?;
                let mut words = [0; WORDS];
                self.command.read_words(DATA, &mut words);
                for (bytes, word) in sector.chunks_exact_mut(2).zip(words) {
                    bytes.copy_from_slice(&word.to_le_bytes());
                }
            }
            self.finish()?;
            next = next.saturating_add(count.into());
        }
        Ok(())
    }

    /// Writes `sectors` to the sectors from `first` on. The device may keep them until it is [flushed](Self::flush).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read). Which of the sectors were written is not said then.
    pub fn write(&mut self, unit: Unit, first: u32, sectors: &[[u8; SECTOR]]) -> Result<(), Error> {
        let mut next = check(first, sectors.len())?;
        for sectors in sectors.chunks(MOST_SECTORS) {
            let count = u8::try_from(sectors.len()).map_err(|_| Error::Outside)?;
            self.command(WRITE_SECTORS, unit, next, count)?;
            for sector in sectors {
                self.wait_for_data().map_err(|error| self.stuck(error))?;
                let mut words = [0; WORDS];
                for (word, bytes) in words.iter_mut().zip(sector.as_chunks().0) {
                    *word = u16::from_le_bytes(*bytes);
                }
                self.command.write_words(DATA, &words);
            }
            self.finish()?;
            next = next.saturating_add(count.into());
        }
        Ok(())
    }

    /// Has `unit` write what it keeps to its medium.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn flush(&mut self, unit: Unit) -> Result<(), Error> {
        self.command(FLUSH_CACHE, unit, 0, 0)?;
        match self.finish() {
            // It is an optional command: what has no cache may not know it.
            Err(Error::Device(ABORTED)) => {
                self.is_stuck = false;
                Ok(())
            }
            ended => ended,
        }
    }

    /// Resets both devices, and waits until the first is there again.
    ///
    /// # Errors
    ///
    /// [`NoDevice`](Error::NoDevice), [`TimedOut`](Error::TimedOut).
    pub fn reset(&mut self) -> Result<(), Error> {
        // ATA/ATAPI-4, 9.2: for 5 us at least; the status is valid 2 ms later.
        self.control.write(CONTROL, RESET | self.control_bits);
        sleep(&self.clock, Duration::from_micros(10));
        self.control.write(CONTROL, self.control_bits);
        sleep(&self.clock, Duration::from_millis(2));
        self.wait_until_idle()?;
        self.is_stuck = false;
        Ok(())
    }

    /// Sends `command` to `unit`, when that can take it.
    fn command(&mut self, command: u8, unit: Unit, first: u32, count: u8) -> Result<(), Error> {
        self.control.write(CONTROL, self.control_bits);
        if self.is_stuck {
            self.reset()?;
        }
        // Of a device that is not there, nothing is waited for before another is selected.
        if self.status() != FLOATING {
            self.wait_until_idle()?;
        }
        let [low, middle, high, top] = first.to_le_bytes();
        self.select(unit, top);
        self.wait_until_idle()?;
        self.command.write(SECTOR_COUNT, count);
        self.command.write(LBA_LOW, low);
        self.command.write(LBA_MIDDLE, middle);
        self.command.write(LBA_HIGH, high);
        self.command.write(COMMAND, command);
        self.settle();
        Ok(())
    }

    fn select(&mut self, unit: Unit, top: u8) {
        let unit = if unit == Unit::Second { SECOND } else { 0 };
        self.command.write(DEVICE, OBSOLETE | BY_SECTOR | unit | top & 0xf);
        self.settle();
    }

    /// Gives the device the 400 ns in which its status need not be true: four reads of a register.
    fn settle(&mut self) {
        (0..4).for_each(|_| _ = self.status());
    }

    /// The status, without an effect.
    fn status(&mut self) -> u8 {
        self.control.read(CONTROL)
    }

    fn signature(&mut self) -> [u8; 2] {
        [self.command.read(LBA_MIDDLE), self.command.read(LBA_HIGH)]
    }

    /// Waits until the selected device is neither busy nor in the middle of a transfer.
    fn wait_until_idle(&mut self) -> Result<(), Error> {
        let control = &mut self.control;
        let idle = wait(&self.clock, self.limit, || {
            let status = control.read(CONTROL);
            if status == FLOATING {
                return Some(Err(Error::NoDevice));
            }
            (status & (BUSY | DATA_REQUEST) == 0).then_some(Ok(()))
        });
        idle.unwrap_or_else(|_| {
            self.is_stuck = true;
            Err(Error::TimedOut)
        })
    }

    /// Waits until the device wants a sector moved.
    fn wait_for_data(&mut self) -> Result<(), Error> {
        let status = self.wait_while_busy()?;
        if status & DATA_REQUEST == 0 {
            // Neither an error nor data: the device is not where we think it is.
            return Err(Error::OutOfStep);
        }
        Ok(())
    }

    /// Waits for the end of a command.
    fn finish(&mut self) -> Result<(), Error> {
        let ended = match self.wait_while_busy() {
            Ok(status) if status & DATA_REQUEST != 0 => Err(Error::OutOfStep),
            ended => ended.map(drop),
        };
        ended.map_err(|error| self.stuck(error))
    }

    /// Waits until the device is not busy, and answers with its status if that has no error.
    fn wait_while_busy(&mut self) -> Result<u8, Error> {
        self.settle();
        let control = &mut self.control;
        let status = wait(&self.clock, self.limit, || {
            let status = control.read(CONTROL);
            (status & BUSY == 0 || NOBODY.contains(&status)).then_some(status)
        });
        let status = status.map_err(|_| Error::TimedOut)?;
        if NOBODY.contains(&status) {
            return Err(Error::NoDevice);
        }
        // Read for its effect: the device takes its interrupt back.
        _ = self.command.read(STATUS);
        match status {
            _ if status & (FAILED | FAULT) != 0 => Err(Error::Device(self.command.read(ERROR))),
            _ if status & READY == 0 && status & DATA_REQUEST == 0 => Err(Error::OutOfStep),
            _ => Ok(status),
        }
    }

    /// A command ended with `error`: nothing more is sent before a reset.
    const fn stuck(&mut self, error: Error) -> Error {
        self.is_stuck = true;
        error
    }
}

/// The address of the first of `count` sectors, all of which 28 bits can name.
fn check(first: u32, count: usize) -> Result<u32, Error> {
    let end = u32::try_from(count).ok().and_then(|count| first.checked_add(count));
    if end.is_some_and(|end| end <= LAST_SECTORS) { Ok(first) } else { Err(Error::Outside) }
}

/// A disk of a channel.
#[derive(Debug)]
pub struct Disk<'c, R, C> {
    channel: &'c Mutex<Channel<R, C>>,
    unit: Unit,
    identity: Identity,
}

impl<'c, R: Registers, C: Clock> Disk<'c, R, C> {
    /// The disk that `unit` of the channel is.
    ///
    /// # Errors
    ///
    /// As [`identify`](Channel::identify).
    pub fn open(channel: &'c Mutex<Channel<R, C>>, unit: Unit) -> Result<Self, Error> {
        let identity = channel.lock().identify(unit)?;
        Ok(Self { channel, unit, identity })
    }

    /// What it is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reads the sectors from `first` on.
    ///
    /// # Errors
    ///
    /// As [`Channel::read`]; [`Outside`](Error::Outside) if the disk has no such sectors.
    pub fn read(&self, first: u32, sectors: &mut [[u8; SECTOR]]) -> Result<(), Error> {
        self.check(first, sectors.len())?;
        self.channel.lock().read(self.unit, first, sectors)
    }

    /// Writes the sectors from `first` on.
    ///
    /// # Errors
    ///
    /// As [`Channel::write`]; [`Outside`](Error::Outside) if the disk has no such sectors.
    pub fn write(&self, first: u32, sectors: &[[u8; SECTOR]]) -> Result<(), Error> {
        self.check(first, sectors.len())?;
        self.channel.lock().write(self.unit, first, sectors)
    }

    /// Has the disk write what it keeps to its medium.
    ///
    /// # Errors
    ///
    /// As [`Channel::flush`].
    pub fn flush(&self) -> Result<(), Error> {
        self.channel.lock().flush(self.unit)
    }

    fn check(&self, first: u32, count: usize) -> Result<(), Error> {
        let end = u32::try_from(count).ok().and_then(|count| first.checked_add(count));
        if end.is_some_and(|end| end <= self.identity.sectors) { Ok(()) } else { Err(Error::Outside) }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
