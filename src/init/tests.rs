//! What init makes of layouts and memory maps: every frame's word, and what the MMU then does.

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
use crate::address::{Page, PageRange};
use crate::layout::{DirectMap, InUse, Role, Segment};
use crate::machine::Emulated;
use crate::machine::emulated::{Allowed, Config, Register};
use crate::mmu::{Half, Pae, PagingMode, Rights, TwoLevel};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

pub(crate) mod world;
use world::{World, frame, frames, image, page, world};

/// Attack B3, and every translation of the kernel half as the MMU makes it.
fn the_mmu_does_what_the_layout_says<P: PagingMode>() {
    let world = world::<P>(2);
    for at in 0..1u32 << 20 {
        let index = at.wrapping_sub(0xc_0000);
        let segment = image(0xc_0000).into_iter().find(|segment| {
            (segment.first.number()..segment.first.number() + segment.frames.count()).contains(&at)
        });
        let rights = match segment.map(|segment| segment.role) {
            Some(Role::Text) => Some(Rights::ReadExecute),
            Some(Role::ReadOnly) => Some(Rights::Read),
            Some(Role::Data | Role::Stack) => Some(Rights::ReadWrite),
            // Guards, firmware; then all else that the direct map reaches.
            None if [6, 7, 12].contains(&index) || index >= world::RAM => None,
            None => Some(Rights::ReadWrite),
        };
        let expected = rights.map(|rights| {
            let executable = rights.execute() || !P::NO_EXECUTE;
            (index, Allowed { writable: rights.write(), user: false, executable })
        });
        for walk in world.machine().walks(crate::machine::Cpu::new(0).unwrap(), page(at)) {
            let found = walk.translation().map(|found| (found.frame.number(), found.allowed()));
            assert_eq!(found, expected, "{} page {at:#x}", P::NAME);
        }
        let leaf = world.translate(world.sealed_root(), page(at)).unwrap();
        let found = leaf.map(|leaf| {
            assert_eq!(leaf.half(), Half::Kernel);
            let executable = leaf.rights().execute();
            (leaf.frame().number(), Allowed { writable: leaf.write(), user: false, executable })
        });
        assert_eq!(found, expected, "{} page {at:#x}", P::NAME);
    }
}

#[test]
fn the_mmu_does_what_the_layout_says_two_level() {
    the_mmu_does_what_the_layout_says::<TwoLevel>();
}

#[test]
fn the_mmu_does_what_the_layout_says_pae() {
    the_mmu_does_what_the_layout_says::<Pae>();
}

/// A layout and a memory map, as numbers.
#[derive(Clone, Debug)]
struct Case {
    ram: Vec<(u64, u64, bool)>,
    in_use: Vec<(u32, u32, bool)>,
    stack: u32,
    direct: (u32, u32),
}

const MACHINE: u32 = 48;
const BASE: u32 = 0xc_0000;

impl Case {
    fn segments(&self) -> [Segment; 3] {
        let part =
            |first, count, role| Segment { first: page(BASE + first), frames: frames(first, count), role };
        [part(1, 2, Role::Text), part(3, 1, Role::Data), part(self.stack, 1, Role::Stack)]
    }

    /// Whether the map gives all of a frame's bytes to the kernel and none to others.
    fn is_ram(&self, number: u32) -> bool {
        let (first, end) = (u64::from(number) << 12, u64::from(number + 1) << 12);
        let given =
            self.ram.iter().any(|(start, length, ok)| *ok && *start <= first && end <= start + length);
        let taken = self
            .ram
            .iter()
            .any(|(start, length, ok)| !*ok && *length > 0 && *start < end && first < start + length);
        given && !taken
    }

    fn reaches(&self, number: u32) -> bool {
        (self.direct.0..self.direct.0 + self.direct.1).contains(&number)
    }

    fn is_guard(&self, number: u32) -> bool {
        number < self.stack && number + 2 >= self.stack
    }

    /// What the layout itself says of a frame.
    fn stated(&self, number: u32) -> Option<Kind> {
        let kinds = [(1..3, Kind::Code), (3..4, Kind::Image), (self.stack..self.stack + 1, Kind::Stack)];
        let image = kinds.into_iter().find(|(frames, _)| frames.contains(&number)).map(|(_, kind)| kind);
        let in_use = self.in_use.iter().find(|(first, count, _)| (*first..first + count).contains(&number));
        image.or(in_use.map(|(_, _, heap)| if *heap { Kind::Heap } else { Kind::Kept }))
    }

    fn parts_are_sound(&self) -> bool {
        let parts: Vec<u32> = (1..4)
            .chain([self.stack])
            .chain(self.in_use.iter().flat_map(|(first, count, _)| *first..first + count))
            .collect();
        let mut once = parts.clone();
        once.sort();
        once.dedup();
        let hidden = parts[4..].iter().any(|part| self.is_guard(*part));
        once.len() == parts.len()
            && !hidden
            && parts.iter().all(|part| self.is_ram(*part) && self.reaches(*part))
    }

    fn is_spare(&self, number: u32) -> bool {
        number != 0
            && self.is_ram(number)
            && self.reaches(number)
            && self.stated(number).is_none()
            && !self.is_guard(number)
    }

    fn build<P: PagingMode>(&self) -> Result<World<P>, Violation> {
        let (first, count) = self.direct;
        let in_use: Vec<_> = self
            .in_use
            .iter()
            .map(|(first, count, heap)| {
                let frames = frames(*first, *count);
                if *heap { InUse::Heap(frames) } else { InUse::Kept(frames) }
            })
            .collect();
        let layout = Layout {
            image: &self.segments(),
            user: PageRange::new(page(0), BASE).unwrap(),
            direct_map: DirectMap { first: page(BASE + first), frames: frames(first, count) },
            stacks: PageRange::EMPTY,
            devices: PageRange::EMPTY,
            in_use: &in_use,
        };
        let usage = |available| if available { Usage::Available } else { Usage::Reserved };
        let regions: Vec<_> = self
            .ram
            .iter()
            .map(|(start, length, available)| Region {
                start: *start,
                length: *length,
                usage: usage(*available),
            })
            .collect();
        let machine = Emulated::new(&Config { frames: MACHINE, cpus: 1, left_over: vec![] });
        Sva::emulate(machine, &layout, &regions)
    }

    /// Attack B2: refused, or every frame is typed as it must be.
    fn check<P: PagingMode>(&self) -> bool {
        let world = match self.build::<P>() {
            Err(Violation::NoRoom(needed)) => {
                assert!(self.parts_are_sound());
                let fits = |first: u32| (first..first + needed).all(|number| self.is_spare(number));
                assert!(!(0..MACHINE).any(fits), "{needed} fit: {self:?}");
                return false;
            }
            Err(violation) => {
                assert!(!self.parts_are_sound(), "{violation} of {self:?}");
                let named = match violation {
                    Violation::NotRam(frame) => !self.is_ram(frame.number()),
                    Violation::NotDirectlyMapped(frame) => !self.reaches(frame.number()),
                    Violation::FramesOverlap(_) => true,
                    _ => false,
                };
                assert!(named, "{violation} of {self:?}");
                return false;
            }
            Ok(world) => world,
        };
        assert!(self.parts_are_sound(), "{self:?}");
        assert!(world.audit().is_ok());
        let end =
            (0..MACHINE).filter(|number| self.is_ram(*number) && self.reaches(*number)).max().unwrap() + 1;
        assert!(world.frame_count() >= end, "all RAM that is reached has an entry");
        let own: Vec<u32> = (0..MACHINE).filter(|number| self.is_owned(&world, *number)).collect();
        let tables = world.kernel_tables().count();
        let needed = 1 + 1 + 1 + tables + 1;
        assert_eq!(
            own.len() as u32,
            needed,
            "one frame of table, a clock, a root, kernel tables, the CPUs' flows"
        );
        let first = own[0];
        assert_eq!(own, (first..first + needed).collect::<Vec<_>>(), "in one run");
        let higher =
            (first + 1..MACHINE - needed + 1).any(|at| (at..at + needed).all(|number| self.is_spare(number)));
        assert!(!higher, "the highest run");
        for number in 0..MACHINE {
            let word = world.frames.word(&world.machine, frame(number));
            let expected = match self.stated(number) {
                Some(kind) => FrameWord::sealed(kind),
                None if own.contains(&number) => match number - first {
                    0 | 1 => FrameWord::sealed(Kind::Monitor),
                    2 => FrameWord::sealed(Kind::Root),
                    place if place == needed - 1 => FrameWord::sealed(Kind::Monitor),
                    _ => FrameWord::sealed(Kind::KernelTable),
                },
                None if self.is_spare(number) => FrameWord::unused(Kind::Free),
                None if number == 0 && self.is_ram(0) && self.reaches(0) => FrameWord::sealed(Kind::Kept),
                None => FrameWord::NONE,
            };
            assert_eq!(word, expected, "frame {number} of {self:?}");
            assert!(!own.contains(&number) || self.is_spare(number));
        }
        true
    }

    fn is_owned<P: PagingMode>(&self, world: &World<P>, number: u32) -> bool {
        let kind = world.kind(frame(number));
        matches!(kind, Kind::Monitor | Kind::KernelTable) || frame(number) == world.sealed_root()
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let bytes = 4096u64 * u64::from(MACHINE);
    let region = |kernel| {
        let start = prop_oneof![(0..u64::from(MACHINE)).prop_map(|frame| frame << 12), 0..bytes];
        (start, prop_oneof![0..20_000u64, Just(4096u64)])
            .prop_map(move |(start, length)| (start, length.min(bytes - start), kernel))
    };
    let whole = prop_oneof![5 => Just((0, bytes, true)), 1 => Just((1, bytes - 1, true)), 1 => Just((0x1000, bytes - 0x2000, true))];
    let ram = (whole, prop::collection::vec(prop_oneof![region(true), region(false)], 0..4)).prop_map(
        |(whole, mut rest)| {
            rest.insert(rest.len() / 2, whole);
            rest
        },
    );
    let in_use = prop::collection::vec((10..40u32, 0..4u32, any::<bool>()), 0..3);
    let direct = prop_oneof![5 => Just((0, MACHINE)), 1 => (0..3u32, 30..45u32), 1 => Just((0, 8))];
    (ram, in_use, 6..12u32, direct).prop_map(|(ram, in_use, stack, direct)| Case {
        ram,
        in_use,
        stack,
        direct,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_frame_is_typed(case in any_case()) {
        let two_level = case.check::<TwoLevel>();
        let pae = case.check::<Pae>();
        prop_assert!(two_level || !pae || case.direct.1 > 0);
    }
}

#[test]
fn many_cases_are_built_and_many_are_refused() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let cases: Vec<_> = (0..200).map(|_| any_case().new_tree(&mut runner).unwrap().current()).collect();
    let built = cases.iter().filter(|case| case.build::<Pae>().is_ok()).count();
    assert!((20..190).contains(&built), "{built} of 200");
}

/// A range that the kernel keeps must be one that it can read.
#[test]
fn what_lies_behind_a_guard_page_cannot_be_kept() {
    let bytes = u64::from(MACHINE) << 12;
    for heap in [false, true] {
        let case =
            Case { ram: vec![(0, bytes, true)], in_use: vec![(9, 1, heap)], stack: 10, direct: (0, MACHINE) };
        assert!(case.build::<Pae>().is_err(), "frame 9 is reached at a guard page only");
    }
}

/// Every line has its vector and is masked, the cascade apart.
#[test]
fn the_interrupt_controllers_are_started() {
    let world = world::<Pae>(1);
    let log = &world.machine().devices().log;
    let last = |port| log.iter().rfind(|access| access.register == Register::Port(port)).unwrap().value;
    assert_eq!((last(0x21), last(0xa1)), (0xfb, 0xff));
}

/// Attack B1.
#[test]
fn a_machine_is_taken_over_once() {
    let world = world::<Pae>(1);
    let again = world.machine().clone();
    let layout = Layout {
        image: &image(BASE),
        user: PageRange::new(Page::ZERO, BASE).unwrap(),
        direct_map: DirectMap { first: page(BASE), frames: frames(0, world::RAM) },
        stacks: PageRange::EMPTY,
        devices: PageRange::EMPTY,
        in_use: &[],
    };
    let ram = [Region { start: 0, length: u64::from(world::RAM) << 12, usage: Usage::Available }];
    let digest = again.digest();
    assert_eq!(digest, world.machine().digest());
    let refused = Sva::emulate(again, &layout, &ram).err();
    assert_eq!(refused, Some(Violation::AlreadyInitialised(world.root().start())));
}
