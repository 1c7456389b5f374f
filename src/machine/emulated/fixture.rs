//! Tables written by hand, bit by bit, for the tests of this machine.

use super::{Config, Emulated};
use crate::address::{Frame, Page, PageRange, PhysAddr, VirtAddr};
use crate::machine::{Cpu, Machine, sealed::Sealed};
use crate::mmu::{Entry, Half, Leaf, PagingMode, Rights};

/// Present.
pub(super) const P: u64 = 0x1;
/// Present, RW.
pub(super) const W: u64 = 0x3;
/// Present, U.
pub(super) const U: u64 = 0x5;
/// Present, RW, U.
pub(super) const WU: u64 = 0x7;
pub(super) const A: u64 = 0x20;
pub(super) const D: u64 = 0x40;
pub(super) const LARGE: u64 = 0x80;
pub(super) const G: u64 = 0x100;
pub(super) const NX: u64 = 1 << 63;

pub(super) const BOOT: Cpu = cpu(0);
pub(super) const OTHER: Cpu = cpu(1);

pub(super) const fn cpu(number: u32) -> Cpu {
    match Cpu::new(number) {
        Some(cpu) => cpu,
        None => panic!(),
    }
}

pub(super) const fn frame(number: u32) -> Frame {
    match Frame::new(number) {
        Some(frame) => frame,
        None => panic!(),
    }
}

pub(super) const fn page(number: u32) -> Page {
    match Page::new(number) {
        Some(page) => page,
        None => panic!(),
    }
}

pub(super) fn all_pages() -> PageRange {
    PageRange::new(Page::ZERO, 1 << 20).unwrap()
}

pub(super) fn at(address: u32) -> VirtAddr {
    VirtAddr::new(address)
}

/// 64 frames, 2 CPUs, nothing left over.
pub(super) fn machine<M: PagingMode>() -> Emulated<M> {
    Emulated::new(&Config { left_over: [].into(), ..Config::new(64, 2) })
}

/// Where entry `index` of a table of 4-byte entries lies.
pub(super) fn word(table: u32, index: u32) -> PhysAddr {
    PhysAddr::new(table * 4096 + index * 4)
}

/// Where entry `index` of a table of 8-byte entries lies.
pub(super) fn quad(table: u32, index: u32) -> PhysAddr {
    PhysAddr::new(table * 4096 + index * 8)
}

/// An entry that names `frame`.
pub(super) fn entry(frame: u32, bits: u64) -> u64 {
    u64::from(frame) << 12 | bits
}

pub(super) fn load_root<M: PagingMode>(machine: &Emulated<M>, cpu: Cpu, root: u32) {
    // SAFETY: the test says what is a root.
    machine.as_cpu(cpu, || unsafe { machine.load_root(frame(root)) })
}

/// A fourth level, to see that the walker is ready for it. It walks; it encodes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) enum FourLevel {}

impl Sealed for FourLevel {}

impl PagingMode for FourLevel {
    type Raw = u64;
    const NAME: &'static str = "four-level";
    const LEVELS: u8 = 4;
    const INDEX_BITS: u32 = 9;
    const ROOT_INDEX_BITS: u32 = 9;
    const NO_EXECUTE: bool = true;
    const ROOT_IN_REGISTERS: bool = false;

    fn leaf(_: Frame, _: Rights, _: Half) -> u64 {
        unreachable!()
    }
    fn device_leaf(_: Frame, _: Half) -> u64 {
        unreachable!()
    }
    fn link(_: u8, _: Frame, _: Half) -> u64 {
        unreachable!()
    }
    fn unpack(_: u64) -> Leaf {
        unreachable!()
    }
    fn decode(_: u8, _: u64) -> Entry {
        unreachable!()
    }
    fn at_rest(_: u8, _: u64) -> u64 {
        unreachable!()
    }
    fn without_history(_: u64) -> u64 {
        unreachable!()
    }
    fn with_history(_: u64, _: u64) -> u64 {
        unreachable!()
    }
}
