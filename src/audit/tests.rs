//! Whatever is damaged in RAM, the audit names it.
//!
//! Every test breaks one thing in a machine in full use, asks with scratch memory of several sizes,
//! and mends it again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use crate::address::{PageRange, PhysAddr};
use crate::frame::stamp::Time;
use crate::init::tests::world::{RAM, World, cpu, frame, frames, image, page, world};
use crate::layout::{DirectMap, Layout};
use crate::machine::emulated::Config;
use crate::machine::{Emulated, Word as RamWord};
use crate::memory_map::{Region, Usage};
use crate::mmu::{KernelPages, Pae, Rights, TwoLevel};
use std::string::ToString;
use std::vec;

mod blind;
mod entries;
mod words;

// What the frames of the machine in use are.
const ROOT: u32 = 13;
const LEAVES: u32 = 14;
/// Another table of leaves in `TwoLevel`; in `Pae` the one between root and leaves.
const SECOND: u32 = 15;
const WRITTEN: u32 = 16;
const READ: u32 = 17;
const DROPPED: u32 = 18;
const UNMAPPED: u32 = 19;
const KERNEL_DATA: u32 = 20;
const DMA: u32 = 21;
const PAGES: u32 = 22;
const GRANTED: u32 = 23;
const UNLINKED: u32 = 24;
const OTHER_ROOT: u32 = 25;
const WAS_LINKED: u32 = 26;
const FREE: u32 = 27;

/// Two CPUs with a root each, tables linked and not, frames mapped and not.
fn in_use<P: PagingMode>() -> World<P> {
    let sva = world::<P>(2);
    sva.declare_root(frame(ROOT)).unwrap();
    sva.declare_root(frame(OTHER_ROOT)).unwrap();
    for table in [LEAVES, UNLINKED, WAS_LINKED] {
        sva.declare_table(frame(table), 1).unwrap();
    }
    sva.declare_table(frame(SECOND), P::LEVELS - 1).unwrap();
    let parent = if P::LEVELS == 2 { ROOT } else { SECOND };
    sva.link(frame(ROOT), 2, frame(SECOND)).unwrap();
    sva.link(frame(parent), 1, frame(LEAVES)).unwrap();
    sva.link(frame(parent), 9, frame(WAS_LINKED)).unwrap();
    sva.unlink(frame(parent), 9).unwrap();
    for data in [WRITTEN, READ, DROPPED, UNMAPPED] {
        sva.retype(frame(data), Kind::UserData).unwrap();
    }
    sva.retype(frame(KERNEL_DATA), Kind::KernelData).unwrap();
    sva.retype(frame(DMA), Kind::Dma).unwrap();
    core::mem::forget(KernelPages::new(&sva, frames(PAGES, 1)).unwrap());
    sva.grant_memory(frames(GRANTED, 1)).unwrap();
    sva.map(frame(LEAVES), 0, frame(WRITTEN), Rights::ReadWrite).unwrap();
    sva.map(frame(LEAVES), 5, frame(WRITTEN), Rights::Read).unwrap();
    sva.map(frame(LEAVES), 7, frame(READ), Rights::ReadExecute).unwrap();
    sva.map(frame(LEAVES), 8, frame(DROPPED), Rights::ReadWrite).unwrap();
    sva.unmap(frame(LEAVES), 8).unwrap();
    sva.map(frame(UNLINKED), 3, frame(READ), Rights::Read).unwrap();
    sva.load_root(frame(ROOT)).unwrap();
    sva.machine().as_cpu(cpu(1), || sva.load_root(frame(OTHER_ROOT)).unwrap());
    sva
}

/// Where links of the machine in use are: table, index, level.
fn links<P: PagingMode>() -> [(u32, u32, u8); 2] {
    if P::LEVELS == 2 { [(ROOT, 2, 2), (ROOT, 1, 2)] } else { [(ROOT, 2, 3), (SECOND, 1, 2)] }
}

/// Where its leaves are, and their targets.
const LEAF_PLACES: [(u32, u32, u32); 4] =
    [(LEAVES, 0, WRITTEN), (LEAVES, 5, WRITTEN), (LEAVES, 7, READ), (UNLINKED, 3, READ)];

/// Lengths of scratch memory: none, less than the frames in several passes, and more than enough.
const SCRATCH: [usize; 5] = [1, 7, 63, 64, 1000];

impl<P: PagingMode> World<P> {
    fn entry_at(&self, table: Frame, index: u32) -> PhysAddr {
        table.start().plus(index * <P::Raw as RamWord>::BYTES)
    }

    fn peek_entry(&self, table: Frame, index: u32) -> u64 {
        self.machine().peek::<P::Raw>(self.entry_at(table, index)).into()
    }

    fn poke_entry(&self, table: Frame, index: u32, raw: u64) {
        self.machine().poke(self.entry_at(table, index), P::Raw::low_bits_of(raw));
    }

    /// What the audit finds, which it finds with any scratch memory that is not empty. Without it
    /// finds that too, unless it is a count.
    fn finds(&self) -> Option<Finding> {
        let found = self.audit().err();
        for length in SCRATCH {
            assert_eq!(self.audit_with(&mut vec![0xdead_beef; length]).err(), found, "scratch of {length}");
        }
        let without = self.audit_with(&mut []).err();
        let expected = found.filter(|finding| !matches!(finding, Finding::Count(_)));
        assert_eq!(without, expected, "no scratch");
        found
    }

    /// What it finds while `word` stands at `at`.
    fn finds_with(&self, at: PhysAddr, word: u32) -> Option<Finding> {
        let before: u32 = self.machine().peek(at);
        self.machine().poke(at, word);
        let found = self.finds();
        self.machine().poke(at, before);
        found
    }

    /// What it finds while `raw` stands in entry `index` of `table`.
    fn finds_with_entry(&self, table: u32, index: u32, raw: u64) -> Option<Finding> {
        let before = self.peek_entry(frame(table), index);
        self.poke_entry(frame(table), index, raw);
        let found = self.finds();
        self.poke_entry(frame(table), index, before);
        found
    }

    fn word_bits(&self, number: u32) -> u32 {
        self.machine().peek(self.word_at(frame(number)))
    }
}

fn count(number: u32) -> Option<Finding> {
    Some(Finding::Count(frame(number)))
}

macro_rules! both_modes {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            fn two_level() {
                super::$name::<crate::mmu::TwoLevel>();
            }
            #[test]
            fn pae() {
                super::$name::<crate::mmu::Pae>();
            }
        }
    )*};
}
use both_modes;

both_modes!(a_sound_machine loads cr3);

fn a_sound_machine<P: PagingMode>() {
    let sva = in_use::<P>();
    let digest = sva.machine().digest();
    assert_eq!(sva.finds(), None);
    // The direct map of 64 frames but two guard pages and the firmware's, and the way there.
    let kernel_entries = 64 - 3 + u32::from(P::LEVELS) - 1;
    let free = (0..RAM).filter(|number| sva.kind(frame(*number)) == Kind::Free).count() as u32;
    let expected =
        Summary { kernel_entries, user_entries: 6, user_leaves: 4, tables: 4, roots: 3, free, stacks: 0 };
    for length in SCRATCH {
        assert_eq!(sva.audit_with(&mut vec![7; length]), Ok(expected));
    }
    assert_eq!(sva.audit_with(&mut []), Ok(expected));
    assert_eq!(sva.machine().as_cpu(cpu(1), || sva.audit()), Ok(expected));
    assert_eq!(sva.machine().digest(), digest, "it only looks");
    for number in 0..2 {
        assert!(sva.machine().interrupts_enabled(cpu(number)));
    }
}

/// Where the record of a CPU's root lies.
fn record<P: PagingMode>(sva: &World<P>, number: u32) -> PhysAddr {
    sva.clock_at().plus(4 * (1 + 32 + number))
}

fn loads<P: PagingMode>() {
    let sva = in_use::<P>();
    let (mine, other) = (record(&sva, 0), record(&sva, 1));
    assert_eq!(sva.machine().peek::<u32>(mine), ROOT);
    assert_eq!(sva.machine().peek::<u32>(other), OTHER_ROOT);
    let root = Some(Finding::Root(frame(ROOT)));
    for wrong in [OTHER_ROOT, 0, sva.sealed_root().number(), UNMAPPED, 0xf_ffff, 0x10_0000, u32::MAX] {
        assert_eq!(sva.finds_with(mine, wrong), root);
    }
    assert_eq!(sva.finds_with(other, ROOT), count(ROOT));
    for nowhere in [0xf_ffff, 0x10_0000 | ROOT, u32::MAX] {
        assert_eq!(sva.finds_with(other, nowhere), count(OTHER_ROOT));
    }
    assert_eq!(sva.finds_with(other, UNMAPPED), count(UNMAPPED));
    assert_eq!(sva.finds_with(other, sva.sealed_root().number()), count(OTHER_ROOT));
    assert_eq!(
        sva.machine().as_cpu(cpu(1), || sva.finds_with(other, ROOT)),
        Some(Finding::Root(frame(OTHER_ROOT)))
    );
    assert_eq!(sva.finds(), None);
}

fn cr3<P: PagingMode>() {
    let sva = in_use::<P>();
    for wrong in [OTHER_ROOT, UNMAPPED, FREE, sva.sealed_root().number()] {
        // SAFETY: this is the damage; no program runs on the machine.
        unsafe { sva.machine.load_root(frame(wrong)) }
        assert_eq!(sva.finds(), Some(Finding::Root(frame(wrong))));
    }
    // SAFETY: the root that CPU 0 had.
    unsafe { sva.machine.load_root(frame(ROOT)) }
    assert_eq!(sva.finds(), None);
    // A root that is loaded is one.
    let word = sva.word_bits(ROOT);
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Root && *kind != Kind::None);
    for kind in kinds {
        let found = sva.finds_with(sva.word_at(frame(ROOT)), word & !0x1f | kind.bits());
        assert_eq!(found, Some(Finding::Root(frame(ROOT))), "{kind:?}");
    }
}

#[test]
fn findings_say_their_invariant() {
    let frame = frame(0x12);
    for (finding, invariant, text) in [
        (Finding::Entry(frame, 3), 1, "invariant 1 broken: Entry(Frame(0x12), 3)"),
        (Finding::Target(frame, 3), 4, "invariant 4 broken: Target(Frame(0x12), 3)"),
        (Finding::Count(frame), 5, "invariant 5 broken: Count(Frame(0x12))"),
        (Finding::Parent(frame), 6, "invariant 6 broken: Parent(Frame(0x12))"),
        (Finding::KernelHalf(frame, 9), 7, "invariant 7 broken: KernelHalf(Frame(0x12), 9)"),
        (Finding::Root(frame), 8, "invariant 8 broken: Root(Frame(0x12))"),
        (Finding::FlushTime(cpu(3)), 9, "invariant 9 broken: FlushTime(Cpu(3))"),
        (Finding::Stamp(frame), 10, "invariant 10 broken: Stamp(Frame(0x12))"),
        (Finding::Word(frame), 5, "invariant 5 broken: Word(Frame(0x12))"),
    ] {
        assert_eq!(finding.invariant(), invariant);
        assert_eq!(finding.to_string(), text);
    }
}

/// The recount looks from the first table or root to the last, wherever these are.
#[test]
fn a_root_may_be_the_last_frame() {
    fn recounts<P: PagingMode>() {
        let region = |start: u64, count: u64| Region {
            start: start << 12,
            length: count << 12,
            usage: Usage::Available,
        };
        let layout = Layout {
            image: &image(0xc_0000),
            user: PageRange::new(page(0), 0xc_0000).unwrap(),
            direct_map: DirectMap { first: page(0xc_0000), frames: frames(0, RAM) },
            stacks: PageRange::EMPTY,
            devices: PageRange::EMPTY,
            in_use: &[],
        };
        // The library's own memory does not fit behind the hole.
        let regions = [region(0, 60), region(63, 1)];
        let machine = Emulated::<P>::new(&Config::new(RAM, 1));
        let sva = Sva::emulate(machine, &layout, &regions).unwrap();
        sva.declare_root(frame(63)).unwrap();
        sva.declare_table(frame(13), P::LEVELS - 1).unwrap();
        sva.link(frame(63), 0, frame(13)).unwrap();
        assert_eq!(sva.audit().map(|summary| summary.user_entries), Ok(1));
        let table = sva.machine().peek::<u32>(frame(63).start());
        sva.machine().poke(frame(63).start(), 0u32);
        assert!(sva.audit().is_err());
        sva.machine().poke(frame(63).start(), table);
        assert!(sva.audit().is_ok());
    }
    recounts::<TwoLevel>();
    recounts::<Pae>();
}
