//! A channel that a test plays: two sets of registers of one state, and a disk as faulty as it is told to be.

use super::*;
use crate::wait::tests::Pauses;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::vec::Vec;

/// What is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Disk,
    /// A drive for packets, as for CDs.
    Packet,
    /// Nothing, on a bus whose lines read as this.
    Nothing(u8),
    /// Something whose registers read as what comes next, whatever is written.
    Noise,
}

/// The disk's state, and what it does wrong.
pub(crate) struct Model {
    pub(crate) kind: Kind,
    pub(crate) sectors: u32,
    pub(crate) contents: BTreeMap<u32, [u8; SECTOR]>,
    /// What the status of the second device, which is not there, reads as.
    pub(crate) absent: u8,
    /// How often the status is busy after each step.
    pub(crate) busy: u32,
    /// Stays busy for ever from this command on, until it is reset.
    pub(crate) hangs_at: Option<u8>,
    /// Fails for this sector, with this error.
    pub(crate) bad: Option<(u32, u8)>,
    /// Knows no FLUSH CACHE.
    pub(crate) knows_no_flush: bool,
    pub(crate) noise: Vec<u8>,
    /// Every command that came.
    pub(crate) commands: Vec<u8>,
    pub(crate) resets: u32,
    registers: [u8; 8],
    left_busy: u32,
    is_hanging: bool,
    status: u8,
    buffer: Vec<u16>,
    transfer: Option<(u8, u32, u32)>,
}

impl Model {
    pub(crate) fn new(kind: Kind, sectors: u32) -> Self {
        Self {
            kind,
            sectors,
            contents: BTreeMap::new(),
            absent: 0,
            busy: 3,
            hangs_at: None,
            bad: None,
            knows_no_flush: false,
            noise: Vec::new(),
            commands: Vec::new(),
            resets: 0,
            registers: [0; 8],
            left_busy: 0,
            is_hanging: false,
            status: READY,
            buffer: Vec::new(),
            transfer: None,
        }
    }

    fn noise(&mut self) -> u8 {
        let first = self.noise.remove(0);
        self.noise.push(first);
        first
    }

    /// Whether the second device, which is not there, is selected.
    fn is_absent(&self) -> bool {
        self.registers[6] & SECOND != 0
    }

    fn read_status(&mut self) -> u8 {
        match self.kind {
            Kind::Nothing(lines) => lines,
            Kind::Noise => self.noise(),
            _ if self.is_absent() => self.absent,
            _ if self.is_hanging => BUSY,
            _ if self.left_busy > 0 => {
                self.left_busy -= 1;
                BUSY
            }
            _ => self.status,
        }
    }

    fn sector(&self, at: u32) -> [u8; SECTOR] {
        self.contents.get(&at).copied().unwrap_or([0; SECTOR])
    }

    fn offer(&mut self, bytes: &[u8; SECTOR]) {
        self.buffer = bytes.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
        self.status = READY | DATA_REQUEST;
        self.left_busy = self.busy;
    }

    fn fail(&mut self, error: u8) {
        self.registers[1] = error;
        self.status = READY | FAILED;
        self.transfer = None;
        self.left_busy = self.busy;
    }

    /// The next sector of a transfer: it is there, or wanted, or bad, or there is none left.
    fn go_on(&mut self) {
        let Some((command, at, left)) = self.transfer else { return };
        if left == 0 {
            self.transfer = None;
            self.status = READY;
            self.left_busy = self.busy;
            return;
        }
        match self.bad {
            Some((bad, error)) if bad == at => return self.fail(error),
            _ if at >= self.sectors => return self.fail(0x10),
            _ => {}
        }
        if command == READ_SECTORS {
            let sector = self.sector(at);
            self.offer(&sector);
        } else {
            self.buffer.clear();
            self.status = READY | DATA_REQUEST;
            self.left_busy = self.busy;
        }
    }

    fn identify(&mut self) {
        let mut words = [0_u16; WORDS];
        words[49] = 1 << 9;
        words[60] = self.sectors as u16;
        words[61] = (self.sectors >> 16) as u16;
        for (word, letters) in
            words[27..47].iter_mut().zip(b"A MODEL OF A DISK                       ".chunks(2))
        {
            *word = u16::from_be_bytes([letters[0], letters[1]]);
        }
        let mut bytes = [0; SECTOR];
        bytes.chunks_mut(2).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
        self.offer(&bytes);
    }

    fn command(&mut self, command: u8) {
        if self.kind != Kind::Disk && self.kind != Kind::Packet || self.is_absent() {
            return;
        }
        self.commands.push(command);
        if self.hangs_at == Some(command) {
            self.is_hanging = true;
            return;
        }
        self.transfer = None;
        if self.kind == Kind::Packet {
            [self.registers[4], self.registers[5]] = PACKET_DEVICE;
            return self.fail(ABORTED);
        }
        let [_, _, count, low, middle, high, device, _] = self.registers;
        let at = u32::from_le_bytes([low, middle, high, device & 0xf]);
        let count = if count == 0 { 256 } else { count.into() };
        match command {
            IDENTIFY_DEVICE => self.identify(),
            READ_SECTORS | WRITE_SECTORS => {
                self.transfer = Some((command, at, count));
                self.go_on();
            }
            FLUSH_CACHE if !self.knows_no_flush => {
                self.status = READY;
                self.left_busy = self.busy;
            }
            _ => self.fail(ABORTED),
        }
    }

    fn read_data(&mut self, words: &mut [u16]) {
        let is_wanted = self.status & DATA_REQUEST != 0 && !self.is_absent();
        for word in words {
            *word = if is_wanted && !self.buffer.is_empty() { self.buffer.remove(0) } else { 0xffff };
        }
        if is_wanted && self.buffer.is_empty() {
            self.status = READY;
            if let Some((command, at, left)) = self.transfer {
                self.transfer = Some((command, at + 1, left - 1));
                self.go_on();
            }
        }
    }

    fn write_data(&mut self, words: &[u16]) {
        let Some((WRITE_SECTORS, at, left)) = self.transfer else { return };
        self.buffer.extend(words);
        if self.buffer.len() >= WORDS {
            let mut bytes = [0; SECTOR];
            for (bytes, word) in bytes.chunks_mut(2).zip(&self.buffer) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            self.contents.insert(at, bytes);
            self.transfer = Some((WRITE_SECTORS, at + 1, left - 1));
            self.go_on();
        }
    }
}

/// One of the two sets of registers.
pub(crate) struct Side {
    model: Rc<RefCell<Model>>,
    is_control: bool,
}

impl Registers for Side {
    fn read(&mut self, offset: u16) -> u8 {
        let mut model = self.model.borrow_mut();
        if self.is_control {
            assert_eq!(offset, 0, "the control block has one register");
            return model.read_status();
        }
        assert!((1..8).contains(&offset), "a register of eight bits");
        match model.kind {
            Kind::Nothing(lines) => lines,
            Kind::Noise => model.noise(),
            _ if offset == STATUS => model.read_status(),
            _ => model.registers[usize::from(offset)],
        }
    }

    fn write(&mut self, offset: u16, value: u8) {
        let mut model = self.model.borrow_mut();
        if self.is_control {
            assert_eq!(offset, 0, "the control block has one register");
            if value & RESET != 0 {
                model.resets += 1;
                model.is_hanging = false;
                model.transfer = None;
                model.status = if model.kind == Kind::Packet { 0 } else { READY };
                model.registers[6] = 0;
                model.left_busy = model.busy;
            }
            return;
        }
        assert!((1..8).contains(&offset), "a register of eight bits");
        if offset == COMMAND { model.command(value) } else { model.registers[usize::from(offset)] = value }
    }

    fn read_words(&mut self, offset: u16, words: &mut [u16]) {
        assert!(!self.is_control && offset == DATA, "data flow through one port");
        let mut model = self.model.borrow_mut();
        match model.kind {
            Kind::Noise => words.iter_mut().for_each(|word| *word = u16::from(model.noise()) << 3),
            _ => model.read_data(words),
        }
    }

    fn write_words(&mut self, offset: u16, words: &[u16]) {
        assert!(!self.is_control && offset == DATA, "data flow through one port");
        self.model.borrow_mut().write_data(words);
    }
}

/// A channel to a disk of the test, which keeps a hand on it.
pub(crate) fn channel(model: Model) -> (Channel<Side, Pauses>, Rc<RefCell<Model>>) {
    let model = Rc::new(RefCell::new(model));
    let side = |is_control| Side { model: Rc::clone(&model), is_control };
    let channel = Channel::new(side(false), side(true), Pauses::of(Duration::from_micros(100)));
    (channel.with_limit(Duration::from_millis(20)), model)
}
