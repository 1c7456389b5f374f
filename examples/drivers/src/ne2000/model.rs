//! A card that a test plays: the DP8390's registers, 16 KiB of RAM behind its remote port, and a ring as honest as it
//! is told to be.

use super::*;
use crate::wait::tests::Pauses;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

pub(crate) const ADDRESS: [u8; 6] = [0x52, 0x54, 0x00, 0xaa, 0xbb, 0xcc];

/// What a card is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Honest,
    /// Nothing, on a bus whose lines read as this.
    Nothing(u8),
    /// All registers and data read as what comes next.
    Noise,
}

pub(crate) struct Model {
    pub(crate) kind: Kind,
    pub(crate) ram: Vec<u8>,
    pub(crate) prom: [u8; 32],
    pub(crate) noise: VecDeque<u8>,
    /// What was sent.
    pub(crate) sent: Vec<Vec<u8>>,
    /// Transmissions end at once, or never, or with too many collisions.
    pub(crate) sending: Sending,
    /// What is written over each header when a frame is received.
    pub(crate) header: Option<[u8; 4]>,
    /// Remote transfers never end.
    pub(crate) is_deaf: bool,
    pub(crate) interrupts: u8,
    pub(crate) mask: u8,
    pub(crate) command: u8,
    pub(crate) receive: u8,
    pub(crate) transmit: u8,
    /// Commands that began a transmission.
    pub(crate) sends: u32,
    pub(crate) current: u8,
    pub(crate) boundary: u8,
    ring: [u8; 2],
    send_count: [u8; 2],
    remote_count: u16,
    remote_address: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sending {
    Works,
    Hangs,
    Collides,
}

impl Model {
    pub(crate) fn new(kind: Kind) -> Self {
        let mut prom = [0x57; 32];
        for (bytes, byte) in prom.chunks_mut(2).zip(ADDRESS) {
            bytes.fill(byte);
        }
        Self {
            kind,
            ram: vec![0; 0x8000],
            prom,
            noise: VecDeque::new(),
            sent: Vec::new(),
            sending: Sending::Works,
            header: None,
            is_deaf: false,
            interrupts: 0,
            mask: 0,
            command: STOP,
            receive: 0,
            transmit: 0,
            sends: 0,
            current: 0,
            boundary: 0,
            ring: [0, 0],
            send_count: [0; 2],
            remote_count: 0,
            remote_address: 0,
        }
    }

    fn noise(&mut self) -> u8 {
        self.noise.rotate_left(1);
        self.noise[0]
    }

    /// A frame comes by the wire. It is lost if there is no room, or nobody wants it.
    pub(crate) fn arrive(&mut self, frame: &[u8]) -> bool {
        let [start, end] = self.ring;
        if self.command & STOP != 0 || self.transmit & LOOPBACK != 0 || self.receive & MONITOR != 0 {
            return false;
        }
        let count = frame.len() + CHECKSUM;
        let pages = (count + HEADER).div_ceil(PAGE) as u8;
        let size = end - start;
        let used = if self.current >= self.boundary {
            self.current - self.boundary
        } else {
            self.current + size - self.boundary
        };
        let room = if used == 0 { size } else { size - used };
        if pages >= room {
            self.interrupts |= OVERRUN;
            return false;
        }
        let next = start + (self.current - start + pages) % size;
        let [low, high] = (count as u16).to_le_bytes();
        let header = self.header.unwrap_or([INTACT, next, low, high]);
        let bytes: Vec<u8> = header.iter().chain(frame).copied().chain([0xcc; CHECKSUM]).collect();
        let mut at = usize::from(self.current) * PAGE;
        for byte in bytes {
            self.ram[at] = byte;
            at += 1;
            if at == usize::from(end) * PAGE {
                at = usize::from(start) * PAGE;
            }
        }
        self.current = next;
        self.interrupts |= RECEIVED;
        true
    }

    fn remote(&mut self, words: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.remote_address;
        let count = words.min(usize::from(self.remote_count) / 2);
        self.remote_address = first.wrapping_add(2 * count as u16);
        self.remote_count -= 2 * count as u16;
        if self.remote_count == 0 && !self.is_deaf {
            self.interrupts |= REMOTE_DONE;
        }
        (0..count).map(move |index| usize::from(first) + 2 * index)
    }

    fn send(&mut self) {
        self.sends += 1;
        assert_eq!(self.transmit & LOOPBACK, 0, "a frame is sent round in the card");
        match self.sending {
            Sending::Works => {
                let length = usize::from(u16::from_le_bytes(self.send_count));
                let start = usize::from(RAM) * PAGE;
                self.sent.push(self.ram[start..start + length].to_vec());
                self.interrupts |= SENT;
                self.command &= !SEND;
            }
            Sending::Hangs => {}
            Sending::Collides => {
                self.interrupts |= SEND_ERROR;
                self.command &= !SEND;
            }
        }
    }
}

/// The card's registers.
pub(crate) struct Port(pub(crate) Rc<RefCell<Model>>);

impl Registers for Port {
    fn read(&mut self, offset: u16) -> u8 {
        let mut model = self.0.borrow_mut();
        match model.kind {
            Kind::Nothing(lines) => return lines,
            Kind::Noise => return model.noise(),
            Kind::Honest => {}
        }
        match (offset, model.command & PAGE_1 != 0) {
            (COMMAND, _) => model.command,
            (RESET, _) => {
                model.interrupts = RESET_DONE;
                model.command = STOP | NO_REMOTE;
                0
            }
            (INTERRUPTS, false) => model.interrupts,
            (BOUNDARY, false) => model.boundary,
            (CURRENT, true) => model.current,
            (offset, page_1) => panic!("a read of register {offset:#x} on page {}", u8::from(page_1)),
        }
    }

    fn write(&mut self, offset: u16, value: u8) {
        let mut model = self.0.borrow_mut();
        if model.kind != Kind::Honest {
            return;
        }
        let stopped = model.command & STOP != 0;
        match (offset, model.command & PAGE_1 != 0) {
            (COMMAND, _) => {
                let sending = model.command & SEND;
                model.command = value | if value & STOP == 0 { sending } else { 0 };
                if value & STOP == 0 {
                    model.interrupts &= !RESET_DONE;
                }
                if value & SEND != 0 {
                    model.send();
                }
            }
            (RESET | RECEIVE | TRANSMIT | DATA_CONFIGURATION | REMOTE_ADDRESS..=0x0b, false) => {
                match offset {
                    RECEIVE => model.receive = value,
                    TRANSMIT => model.transmit = value,
                    REMOTE_ADDRESS => model.remote_address = model.remote_address & 0xff00 | u16::from(value),
                    0x09 => model.remote_address = model.remote_address & 0xff | u16::from(value) << 8,
                    REMOTE_COUNT => model.remote_count = model.remote_count & 0xff00 | u16::from(value),
                    0x0b => model.remote_count = model.remote_count & 0xff | u16::from(value) << 8,
                    _ => {}
                }
            }
            (RING_START, false) => model.ring[0] = value,
            (RING_END, false) => model.ring[1] = value,
            (BOUNDARY, false) => {
                assert!(
                    (model.ring[0]..model.ring[1]).contains(&value),
                    "the boundary is outside of the ring"
                );
                model.boundary = value;
            }
            (SEND_PAGE, false) => assert_eq!(value, RAM),
            (SEND_COUNT, false) => model.send_count[0] = value,
            (0x06, false) => model.send_count[1] = value,
            (INTERRUPTS, false) => model.interrupts &= !(value & 0x7f),
            (INTERRUPT_MASK, false) => model.mask = value,
            (CURRENT, true) => {
                assert!(stopped, "the card receives where it is being changed");
                model.current = value;
            }
            (STATION..=0x06, true) => assert_eq!(value, ADDRESS[usize::from(offset - STATION)]),
            (MULTICAST..=0x0f, true) => assert_eq!(value, 0),
            (offset, page_1) => panic!("a write to register {offset:#x} on page {}", u8::from(page_1)),
        }
    }

    fn read_words(&mut self, offset: u16, words: &mut [u16]) {
        assert_eq!(offset, DATA, "data flow through one port");
        let mut model = self.0.borrow_mut();
        match model.kind {
            Kind::Honest => assert_ne!(model.command & REMOTE_READ, 0, "nobody asked for data"),
            _ => {
                words
                    .iter_mut()
                    .for_each(|word| *word = u16::from_le_bytes([model.read_noise(), model.read_noise()]));
                return;
            }
        }
        words.fill(0xffff);
        let places = model.remote(words.len());
        for (word, at) in words.iter_mut().zip(places) {
            let bytes = match at {
                0..0x20 => &model.prom[at..at + 2],
                0x4000..0x8000 => &model.ram[at..at + 2],
                _ => panic!("{at:#x} is nowhere in the card"),
            };
            *word = u16::from_le_bytes([bytes[0], bytes[1]]);
        }
    }

    fn write_words(&mut self, offset: u16, words: &[u16]) {
        assert_eq!(offset, DATA, "data flow through one port");
        let mut model = self.0.borrow_mut();
        if model.kind != Kind::Honest {
            return;
        }
        assert_ne!(model.command & REMOTE_WRITE, 0, "nobody asked for data");
        let end = usize::from(RING) * PAGE;
        for (word, at) in words.iter().zip(model.remote(words.len())) {
            assert!((usize::from(RAM) * PAGE..end).contains(&at), "a write to the ring, at {at:#x}");
            model.ram[at..at + 2].copy_from_slice(&word.to_le_bytes());
        }
    }
}

impl Model {
    fn read_noise(&mut self) -> u8 {
        match self.kind {
            Kind::Nothing(lines) => lines,
            _ => self.noise(),
        }
    }
}

pub(crate) type Card = Ne2000<Port, Pauses>;

/// A card of the test, which keeps a hand on it.
pub(crate) fn open(model: Model) -> (Result<Card, Error>, Rc<RefCell<Model>>) {
    let model = Rc::new(RefCell::new(model));
    let card = Ne2000::open(Port(Rc::clone(&model)), Pauses::of(Duration::from_micros(50)));
    (card, model)
}
