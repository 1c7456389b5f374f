//! Devices: every access is on record, and what they answer is chosen by the caller.

use super::pci::PciBus;
use super::ram::mix;
use crate::address::PhysAddr;
use crate::machine::Cpu;
use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

/// Where a device is reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Register {
    /// An I/O port.
    Port(u16),
    /// A physical address.
    Memory(PhysAddr),
    /// Not a device: the CPU's time-stamp counter.
    TimeStamp,
}

impl Register {
    fn bits(self) -> u64 {
        match self {
            Self::Port(port) => u64::from(port),
            Self::Memory(at) => 1 << 32 | u64::from(at.get()),
            Self::TimeStamp => 2 << 32,
        }
    }
}

/// Which way a value went.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// From the device.
    Read,
    /// To the device.
    Write,
}

/// One access to a device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DeviceAccess {
    /// The CPU that made it.
    pub cpu: Cpu,
    /// Where.
    pub register: Register,
    /// Which way.
    pub direction: Direction,
    /// How many bytes: 1, 2 or 4; of the time stamp 8.
    pub bytes: u32,
    /// What was written, or answered.
    pub value: u64,
}

/// The devices of a machine, as far as anybody can tell from outside.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    /// Every access, oldest first. It grows until somebody clears it.
    pub log: Vec<DeviceAccess>,
    /// The PCI bus, if the machine has one. Where its functions answer nobody is.
    pub pci: Option<PciBus>,
    answers: BTreeMap<Register, VecDeque<u64>>,
    written: u64,
}

impl Devices {
    /// Makes the next read of `register` that has no answer yet answer `value`. A read without one
    /// answers all ones, as an empty bus does.
    pub fn inject(&mut self, register: Register, value: u64) {
        self.answers.entry(register).or_default().push_back(value);
    }

    /// A digest of everything that was written, in order, but to the PCI bus: of that, what it holds. Reads and the
    /// log are not in it.
    pub fn digest(&self) -> u64 {
        self.pci.as_ref().map_or(self.written, |pci| mix(self.written, pci.digest()))
    }

    pub(super) fn read(&mut self, cpu: Cpu, register: Register, bytes: u32) -> u64 {
        let of_pci = self.pci.as_ref().and_then(|pci| pci.read(register));
        let injected = |answers: &mut BTreeMap<_, VecDeque<_>>| answers.get_mut(&register)?.pop_front();
        let answer = of_pci.or_else(|| injected(&mut self.answers)).unwrap_or(u64::MAX);
        let value = answer & u64::MAX >> (64 - 8 * bytes);
        self.log.push(DeviceAccess { cpu, register, direction: Direction::Read, bytes, value });
        value
    }

    pub(super) fn write(&mut self, cpu: Cpu, register: Register, bytes: u32, value: u64) {
        self.log.push(DeviceAccess { cpu, register, direction: Direction::Write, bytes, value });
        if self.pci.as_mut().is_some_and(|pci| pci.write(register, value)) {
            return;
        }
        self.written = mix(mix(self.written, register.bits()), mix(bytes.into(), value));
    }
}
