//! The frame table and the flush clock as they stand in RAM, read and written behind the library's back.

use crate::stage::Machine;
use sva_os::address::{Frame, PhysAddr};
use sva_os::frame::Kind;
use sva_os::machine::{Cpu, Machine as _};
use sva_os::mmu::PagingMode;

/// Where the library's own state lies: the frame table, and right behind it the clock's frame.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    base: u32,
    clock: u32,
    frames: u32,
}

impl Table {
    /// Found by the kind of its frames.
    pub(crate) fn of<P: PagingMode>(sva: &Machine<P>) -> Self {
        let frames = sva.frame_count();
        let first = (0..frames)
            .filter_map(Frame::new)
            .find(|frame| sva.kind(*frame) == Kind::Monitor)
            .expect("the frame table");
        let base = first.start().get();
        Self { base, clock: base + (frames * 8).div_ceil(4096) * 4096, frames }
    }

    fn word<P: PagingMode>(self, sva: &Machine<P>, frame: Frame, half: u32) -> u32 {
        if frame.number() >= self.frames {
            return 0;
        }
        sva.machine().peek(PhysAddr::new(self.base + frame.number() * 8 + half * 4))
    }

    /// The number of the kind of `frame`. No CPU takes a step.
    pub(crate) fn kind<P: PagingMode>(self, sva: &Machine<P>, frame: Frame) -> u32 {
        self.word(sva, frame, 0) & 0x1f
    }

    /// Whether its kind is being changed.
    pub(crate) fn is_busy<P: PagingMode>(self, sva: &Machine<P>, frame: Frame) -> bool {
        self.word(sva, frame, 0) & 1 << 5 != 0
    }

    /// Its stamp, or its parent slot with bit 31 set; 0 is clean.
    pub(crate) fn stamp<P: PagingMode>(self, sva: &Machine<P>, frame: Frame) -> u32 {
        self.word(sva, frame, 1)
    }

    /// The clock word.
    pub(crate) fn now<P: PagingMode>(self, sva: &Machine<P>) -> u32 {
        sva.machine().peek(PhysAddr::new(self.clock))
    }

    /// When `cpu` last flushed.
    pub(crate) fn flushed<P: PagingMode>(self, sva: &Machine<P>, cpu: Cpu) -> u32 {
        sva.machine().peek(PhysAddr::new(self.clock + 4 + cpu.number() * 4))
    }

    /// Sets the clock to `word`, leaving flush times and stamps as they are.
    pub(crate) fn set_now<P: PagingMode>(self, sva: &Machine<P>, word: u32) {
        sva.machine().poke(PhysAddr::new(self.clock), word);
    }

    /// Sets the clock, and every CPU's flush time with it, as at the start. No stamp may exist.
    pub(crate) fn start_clock<P: PagingMode>(self, sva: &Machine<P>, word: u32) {
        for frame in (0..self.frames).filter_map(Frame::new) {
            let stamp = self.stamp(sva, frame);
            assert!(stamp == 0 || stamp & 1 << 31 != 0, "{frame} was dropped already, at {stamp}");
        }
        self.set_now(sva, word);
        for cpu in 0..sva.machine().cpus() {
            let time = word & 0x7fff_ffff | 1;
            sva.machine().poke(PhysAddr::new(self.clock + 4 + cpu * 4), time);
        }
    }
}
