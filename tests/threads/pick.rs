//! Picking numbers, frames and names: right ones mostly.

use super::operation::Name;
use super::reference::{Cpu, Kind, SLOT_PAGES, State, WINDOW, World};
use crate::common::world::count;
use proptest::prelude::Rng;
use proptest::test_runner::TestRng;
use sva_os::context::{TlsLimit, TlsSegment};

pub(crate) struct Picker<'w> {
    pub(crate) world: &'w World,
    /// The CPU that calls.
    pub(crate) cpu: u32,
    rng: &'w mut TestRng,
}

impl<'w> Picker<'w> {
    pub(crate) fn new(world: &'w World, rng: &'w mut TestRng) -> Self {
        let mut picker = Self { world, cpu: 0, rng };
        picker.cpu = picker.below(world.start.cpus);
        picker
    }

    pub(crate) fn here(&self) -> &'w Cpu {
        &self.world.cpus[count(self.cpu)]
    }

    pub(crate) fn word(&mut self) -> u32 {
        match self.rng.next_u32() % 8 {
            0 => 0,
            1 => u32::MAX,
            _ => self.rng.next_u32(),
        }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.rng.next_u32().to_le_bytes()[0]
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.rng.next_u32() % end.max(1)
    }

    /// True `percent` times in a hundred.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// One of them, if there are any.
    fn of<T: Copy>(&mut self, options: &[T]) -> Option<T> {
        let length = u32::try_from(options.len()).expect("few");
        options.get(count(self.below(length))).copied()
    }

    pub(crate) fn one<T: Copy>(&mut self, options: &[T]) -> T {
        self.of(options).expect("at least one")
    }

    /// A frame of one of these kinds nearly always, else any.
    pub(crate) fn frame_of(&mut self, kinds: &[Kind]) -> u32 {
        let kind = self.one(kinds);
        let frames: Vec<_> = self.world.of_kind(kind).collect();
        match self.of(&frames) {
            Some(frame) if self.percent(93) => frame,
            _ => {
                let end = self.world.start.frames + 2;
                self.below(end)
            }
        }
    }

    /// A root mostly, the sealed one among them.
    pub(crate) fn root(&mut self) -> u32 {
        match self.below(10) {
            0 => self.world.sealed_root(),
            1 => self.frame_of(&[Kind::Free, Kind::Stack, Kind::Sealed, Kind::None]),
            _ => self.frame_of(&[Kind::Root]),
        }
    }

    /// The place in `names` of one whose slot is in one of these states, the newest of a slot.
    fn in_state(&mut self, names: &[Name], states: &[State]) -> Option<usize> {
        let fits = |name: &Name| self.world.state(*name).is_some_and(|state| states.contains(&state));
        let places: Vec<_> = (0..names.len()).filter(|place| fits(&names[*place])).collect();
        self.of(&places)
    }

    /// One that was seen, or will be; a new one mostly.
    fn any(&mut self, names: &[Name]) -> usize {
        let length = u32::try_from(names.len()).expect("few");
        let first = if self.percent(70) { length.saturating_sub(12) } else { 0 };
        count(first + self.below(length + 1 - first))
    }

    /// A thread to go over to: one that can be resumed mostly.
    pub(crate) fn thread(&mut self) -> usize {
        let names = &self.world.threads;
        let states: &[State] = match self.below(20) {
            0..14 => &[State::Ready, State::Saved],
            14 | 15 => &[State::Running, State::Idle],
            16 => &[State::Unused, State::Abandoned],
            17 => &[State::Waiting],
            _ => &[],
        };
        self.in_state(names, states).unwrap_or_else(|| self.any(names))
    }

    /// What an entry names when it returns.
    pub(crate) fn next(&mut self) -> Option<usize> {
        self.percent(75).then(|| self.thread())
    }

    pub(crate) fn unused_stack(&mut self) -> usize {
        let names = &self.world.stacks;
        let states: &[State] = match self.below(20) {
            0..15 => &[State::Unused],
            15 => &[State::Ready, State::Saved],
            16 => &[State::Running, State::Idle, State::Waiting],
            17 => &[State::Abandoned],
            _ => &[],
        };
        self.in_state(names, states).unwrap_or_else(|| self.any(names))
    }

    pub(crate) fn stack_to_release(&mut self) -> usize {
        let names = &self.world.stacks;
        let states: &[State] = match self.below(20) {
            0..7 => &[State::Unused],
            7..13 => &[State::Ready],
            13 => &[State::Saved],
            14 => &[State::Running, State::Idle],
            15 => &[State::Abandoned],
            16 => &[State::Waiting],
            _ => &[],
        };
        self.in_state(names, states).unwrap_or_else(|| self.any(names))
    }

    pub(crate) fn segment(&mut self) -> TlsSegment {
        let last = self.word();
        let limit = if self.percent(50) { TlsLimit::Bytes(last & 0xf_ffff) } else { TlsLimit::Pages(last) };
        TlsSegment { base: self.word(), limit }
    }

    /// A selector: null, the flat segment, a TLS segment; of the kernel, of the local table; anything.
    pub(crate) fn selector(&mut self) -> u16 {
        match self.below(20) {
            0..4 => self.one(&[0, 1, 2, 3]),
            4..8 => self.one(&[0x20, 0x21, 0x22, 0x23]),
            8..15 => self.one(&[0x3b, 0x3b, 0x38, 0x43, 0x4b]),
            15..18 => self.one(&[0x8, 0x10, 0x1b, 0x2b, 0x33, 0x27, 0x3f, 0x53, 0x04]),
            _ => u16::from_le_bytes([self.byte(), self.byte()]),
        }
    }

    /// A CPU, a page and one of its walks: of the window for stacks mostly.
    pub(crate) fn fill(&mut self) -> (u32, u32, usize) {
        let cpu = self.below(self.world.start.cpus);
        let window = self.world.start.slots * SLOT_PAGES;
        let page = match self.below(10) {
            // Near the top of a slot, where stacks are.
            0..8 => WINDOW + self.below(self.world.start.slots) * SLOT_PAGES + SLOT_PAGES - 1 - self.below(3),
            8 => WINDOW + self.below(window),
            _ => self.below(1 << 20),
        };
        (cpu, page, count(self.below(3)))
    }
}
