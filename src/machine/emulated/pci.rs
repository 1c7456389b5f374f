//! The configuration space of a PCI bus, by mechanism 1.

use super::device::Register;
use core::hash::{Hash, Hasher};
use std::collections::BTreeMap;

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;
const DWORDS: usize = 64;
/// Of the dword at 0xc.
const LAYOUT: u32 = 0x7f << 16;

/// The configuration registers of a function: what they hold, and which of their bits a write changes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PciFunction {
    /// What each dword holds.
    pub dwords: [u32; DWORDS],
    /// Which of its bits a write changes.
    pub writable: [u32; DWORDS],
}

impl PciFunction {
    /// A function of this vendor (low half), device and class (the dword at 8). Of its command register all bits
    /// can be written that a command has, of its latency, cache line and interrupt line too, and nothing else.
    pub fn new(identity: u32, class: u32) -> Self {
        let mut this = Self { dwords: [0; DWORDS], writable: [0; DWORDS] };
        (this.dwords[0], this.dwords[2]) = (identity, class);
        this.writable[1] = 0x0547;
        this.writable[3] = 0xffff;
        this.writable[15] = 0xff;
        this
    }

    /// With base address register `index` for `count` ports from `first` on. `count` is a power of two.
    pub fn with_ports(mut self, index: usize, first: u32, count: u32) -> Self {
        self.dwords[4 + index] = first | 1;
        self.writable[4 + index] = !(count - 1) & !3;
        self
    }

    /// With base address register `index` for `length` bytes of memory from `start` on. `length` is a power of two.
    pub fn with_memory(mut self, index: usize, start: u32, length: u32) -> Self {
        self.dwords[4 + index] = start;
        self.writable[4 + index] = !(length - 1) & !0xf;
        self
    }

    fn is_bar(&self, dword: usize) -> bool {
        (4..10).contains(&dword) && self.dwords[3] & LAYOUT == 0
    }

    /// Whether it answers where a base address register that holds `bar` says.
    fn answers(&self, bar: u32) -> bool {
        let space = if bar & 1 != 0 { 1 } else { 2 };
        self.dwords[1] & space != 0
    }
}

/// A PCI bus: its functions, by bus, device and number in 16 bits.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct PciBus {
    /// The functions.
    pub functions: BTreeMap<u32, PciFunction>,
    address: u32,
}

impl PciBus {
    /// Of all but the address, which no access relies on.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        self.functions.hash(&mut hasher);
        hasher.finish()
    }

    fn selected(&self) -> (u32, usize) {
        (self.address >> 8 & 0xffff, (self.address >> 2) as usize % DWORDS)
    }

    /// What `register` answers, if it is the bus's.
    pub(super) fn read(&self, register: Register) -> Option<u64> {
        let (function, dword) = self.selected();
        match register {
            Register::Port(ADDRESS) => Some(self.address.into()),
            Register::Port(DATA) if self.address & ENABLE != 0 => {
                let function = self.functions.get(&function);
                Some(function.map_or(u32::MAX, |function| function.dwords[dword]).into())
            }
            _ => None,
        }
    }

    /// Writes `value`; `false` if `register` is not the bus's.
    pub(super) fn write(&mut self, register: Register, value: u64) -> bool {
        let value = value as u32;
        let (function, dword) = self.selected();
        match register {
            Register::Port(ADDRESS) => self.address = value,
            Register::Port(DATA) if self.address & ENABLE != 0 => {
                if let Some(function) = self.functions.get_mut(&function) {
                    let (old, writable) = (function.dwords[dword], function.writable[dword]);
                    let new = old & !writable | value & writable;
                    // What a device answers to while its registers move is nobody's guess.
                    let moves = function.is_bar(dword) && new != old;
                    assert!(
                        !(moves && function.answers(old)),
                        "a base address changes while the function answers"
                    );
                    function.dwords[dword] = new;
                }
            }
            _ => return false,
        }
        true
    }
}
