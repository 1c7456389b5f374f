//! Claims of memory-mapped devices, at random, against a list of who has what.
//!
//! Between any two calls any CPU may remember any page of the window for devices, or forget it. After each call: no CPU
//! can come to a device that nobody has, or through the caches, or from a program; the audit finds nothing; a call that
//! was refused changed nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

mod common;

use common::world::{Place, frames, image, memory_map, pages};
use proptest::prelude::*;
use proptest::sample::select;
use sva_os::address::{FrameRange, PageRange, PhysAddr};
use sva_os::io::{MmioRegion, pci::Function};
use sva_os::layout::{DirectMap, Layout};
use sva_os::machine::emulated::{Config, PciBus, PciFunction, Register};
use sva_os::machine::{Cpu, Emulated, Machine};
use sva_os::mmu::{Pae, PagingMode, TwoLevel};
use sva_os::{Sva, Violation};

const RAM: u32 = 64;
const WINDOW: (u32, u32) = (0xe_0000, 24);
/// The functions: vendor and device, whether harmless, their first BAR's length in frames.
const FUNCTIONS: [(u32, bool, u32); 4] =
    [(0x1111_1234, true, 8), (0x0002_1b36, true, 1), (0x8029_10ec, true, 2), (0x1000_1af4, false, 1)];
/// Frames at which BARs are, begin, or are asked to be. Some are no place for one.
const PLACES: [u32; 10] =
    [0xf_e000, 0xf_e008, 0xf_e010, 0xf_e012, 0xf_e014, 0xf_e018, 0x10, 0xf_ec00, 0xf_ebfc, 0x40];

#[derive(Clone, Debug)]
enum Call {
    /// Claims so many frames from here on.
    Claim(u32, u32),
    /// Claims the first BAR of a function.
    ClaimBar(usize),
    /// Moves it there.
    Move(usize, u32),
    /// Gives up what was claimed.
    Drop(usize),
    /// Reads a register of 1, 2 or 4 bytes there.
    Access(usize, u32, u32),
    /// A CPU remembers a page of the window, by one way to it.
    Fill(u32, u32, usize),
    /// It forgets something.
    Evict(u32, usize),
}

fn any_call() -> impl Strategy<Value = Call> {
    let offset = prop_oneof![0..0x40u32, 0xff8..0x1010u32, 0x7ff8..0x8010u32, any::<u32>()];
    let first = prop_oneof![9 => 0xa0..0xc0u32, 1 => select(&[0x9fu32, 0, 63, 64, 0xf_ffff][..])];
    prop_oneof![
        3 => (first, 0..12u32).prop_map(|(first, count)| Call::Claim(first, count)),
        3 => (0..FUNCTIONS.len()).prop_map(Call::ClaimBar),
        2 => (0..FUNCTIONS.len(), select(&PLACES[..])).prop_map(|(function, place)| Call::Move(function, place)),
        4 => any::<usize>().prop_map(Call::Drop),
        4 => (any::<usize>(), offset, 0..3u32).prop_map(|(n, offset, log2)| Call::Access(n, offset, 1 << log2)),
        6 => (0..4u32, 0..WINDOW.1, any::<usize>()).prop_map(|(cpu, page, n)| Call::Fill(cpu, page, n)),
        2 => (0..4u32, any::<usize>()).prop_map(|(cpu, n)| Call::Evict(cpu, n)),
    ]
}

struct World<'s, P: PagingMode> {
    sva: &'s Sva<Emulated<P>>,
    /// Who has what: the frames, and the region.
    claimed: Vec<(FrameRange, MmioRegion<'s, Emulated<P>>)>,
    /// Where the functions answer, and whether they do.
    bars: [u32; FUNCTIONS.len()],
    done: [u32; 3],
}

fn function(number: usize) -> Function {
    Function::new(0, 2 + number as u8, 0).unwrap()
}

fn build<P: PagingMode>(cpus: u32) -> Sva<Emulated<P>> {
    let layout = Layout {
        image: &image(Place::HighHalf),
        user: pages(Place::HighHalf.user()),
        direct_map: DirectMap { first: pages((0xc_0000, 1)).first(), frames: frames((0, RAM)) },
        stacks: PageRange::EMPTY,
        devices: pages(WINDOW),
        in_use: &[],
    };
    let machine = Emulated::<P>::new(&Config::new(RAM, cpus));
    let mut bus = PciBus::default();
    for (number, (identity, _, length)) in FUNCTIONS.into_iter().enumerate() {
        let function = PciFunction::new(identity, 0).with_memory(0, PLACES[number] << 12, length << 12);
        bus.functions.insert(self::function(number).number(), function);
    }
    machine.devices().pci = Some(bus);
    Sva::emulate(machine, &layout, &memory_map(RAM)).unwrap()
}

impl<'s, P: PagingMode> World<'s, P> {
    fn cpus(&self) -> u32 {
        self.sva.machine().cpus()
    }

    fn bar(&self, number: usize) -> FrameRange {
        frames((self.bars[number], FUNCTIONS[number].2))
    }

    /// Why a claim of `wanted`, which may be had, would be refused.
    fn expect_room(&self, wanted: FrameRange) -> Result<(), Violation> {
        let taken = self.claimed.iter().flat_map(|(frames, _)| frames.iter());
        if let Some(frame) = taken.clone().filter(|frame| wanted.contains(*frame)).min() {
            return Err(Violation::DeviceTaken(frame));
        }
        let mut run = 0;
        let mut longest = 0;
        let owned: Vec<_> = self.owned_pages();
        for page in pages(WINDOW).iter() {
            run = if owned.contains(&page.number()) { 0 } else { run + 1 };
            longest = longest.max(run);
        }
        if longest >= wanted.count() { Ok(()) } else { Err(Violation::NoDevicePages(wanted.count())) }
    }

    /// The pages of the window that a walk from the sealed root finds present.
    fn owned_pages(&self) -> Vec<u32> {
        let machine = self.sva.machine();
        let walks = |page| machine.walks(Cpu::new(0).unwrap(), page);
        let present = |page: &_| walks(*page).iter().any(|walk| walk.translation().is_some());
        pages(WINDOW).iter().filter(present).map(|page| page.number()).collect()
    }

    fn expect_claim(&self, first: u32, count: u32) -> Result<(), Violation> {
        let Some(frame) = (first..first + count).find(|frame| !(0xa0..0xc0).contains(frame)) else {
            return match count {
                0 => Err(Violation::EmptyRange(first)),
                _ => self.expect_room(frames((first, count))),
            };
        };
        Err(Violation::NotDeviceMemory(frames((frame, 1)).first()))
    }

    fn expect_bar(&self, number: usize) -> Result<(), Violation> {
        if !FUNCTIONS[number].1 {
            return Err(Violation::MayHaveDma(function(number).number()));
        }
        self.expect_room(self.bar(number))
    }

    fn expect_move(&self, number: usize, place: u32) -> Result<(), Violation> {
        let wrong = Err(Violation::NotDeviceMemory(frames((place, 1)).first()));
        let length = FUNCTIONS[number].2;
        let wanted = FrameRange::new(frames((place, 1)).first(), length);
        let Some(wanted) =
            wanted.filter(|_| place.is_multiple_of(length) && place >= RAM && place + length <= 0xf_ec00)
        else {
            return wrong;
        };
        let others = (0..FUNCTIONS.len()).filter(|other| *other != number);
        if others.clone().any(|other| self.bar(other).overlaps(wanted)) {
            return wrong;
        }
        let old = self.bar(number);
        match self.claimed.iter().find(|(claimed, _)| claimed.overlaps(old)) {
            Some((claimed, _)) => Err(Violation::DeviceTaken(claimed.first())),
            None => Ok(()),
        }
    }

    /// Does `call`, judges its answer, and says whether the library answered at all, and how.
    fn call(&mut self, call: &Call) -> Option<bool> {
        let machine = self.sva.machine();
        let devices = self.sva.devices();
        let before = machine.digest();
        let (answer, expected) = match *call {
            Call::Claim(first, count) => {
                let expected = self.expect_claim(first, count);
                let range = FrameRange::new(frames((first, 1)).first(), count)?;
                let answer = devices.claim(range);
                (answer.map(|region| self.claimed.push((range, region))), expected)
            }
            Call::ClaimBar(number) => {
                let expected = self.expect_bar(number);
                let range = self.bar(number);
                let answer = devices.claim_bar(function(number), 0);
                (answer.map(|region| self.claimed.push((range, region))), expected)
            }
            Call::Move(number, place) => {
                let expected = self.expect_move(number, place);
                let answer = devices.move_bar(function(number), 0, PhysAddr::new(place << 12));
                (answer.map(|()| self.bars[number] = place), expected)
            }
            Call::Drop(n) => {
                let n = n.checked_rem(self.claimed.len())?;
                drop(self.claimed.swap_remove(n));
                return Some(true);
            }
            Call::Access(n, offset, bytes) => {
                let (range, region) = &self.claimed[n.checked_rem(self.claimed.len())?];
                let fits = offset % bytes == 0
                    && u64::from(offset) + u64::from(bytes) <= u64::from(range.count()) << 12;
                let expected = if fits { Ok(()) } else { Err(Violation::OutsideRegion(offset)) };
                machine.devices().log.clear();
                let answer = match bytes {
                    1 => region.read::<u8>(offset).map(drop),
                    2 => region.read::<u16>(offset).map(drop),
                    _ => region.read::<u32>(offset).map(drop),
                };
                let at = Register::Memory(PhysAddr::new((range.first().number() << 12).wrapping_add(offset)));
                let seen: Vec<_> =
                    machine.devices().log.iter().map(|access| (access.register, access.bytes)).collect();
                assert_eq!(seen, if fits { vec![(at, bytes)] } else { vec![] });
                (answer, expected)
            }
            Call::Fill(cpu, place, n) => {
                let cpu = Cpu::new(cpu % self.cpus()).unwrap();
                machine.fill_nth(cpu, pages((WINDOW.0 + place, 1)).first(), n);
                return None;
            }
            Call::Evict(cpu, n) => {
                let cpu = Cpu::new(cpu % self.cpus()).unwrap();
                let count = machine.cached_count(cpu);
                machine.evict(cpu, n.checked_rem(count)?);
                return None;
            }
        };
        assert_eq!(answer, expected, "{call:?}");
        if answer.is_err() {
            assert!(machine.digest() == before, "{call:?} was refused and changed something");
        }
        Some(answer.is_ok())
    }

    /// Wherever a CPU may come from the window, somebody has it.
    fn check(&self) {
        let machine = self.sva.machine();
        for cpu in (0..self.cpus()).filter_map(Cpu::new) {
            machine.visit_reachable(cpu, pages(WINDOW), |page, translation| {
                let sound =
                    translation.writable && !translation.user && (!P::NO_EXECUTE || !translation.executable);
                let owned =
                    self.claimed.iter().filter(|(frames, _)| frames.contains(translation.frame)).count();
                assert!(
                    sound && owned == 1,
                    "{cpu:?} comes from {page} to {translation:?}, of {owned} owners"
                );
            });
            assert_eq!(machine.as_cpu(cpu, || self.sva.audit()).err(), None);
        }
        let claimed: u32 = self.claimed.iter().map(|(frames, _)| frames.count()).sum();
        assert_eq!(self.owned_pages().len(), claimed as usize);
    }
}

fn run<P: PagingMode>(cpus: u32, calls: &[Call]) -> [u32; 3] {
    let sva = build::<P>(cpus);
    let bars = [PLACES[0], PLACES[1], PLACES[2], PLACES[3]];
    let mut world = World { sva: &sva, claimed: Vec::new(), bars, done: [0; 3] };
    for call in calls {
        match world.call(call) {
            Some(true) => world.done[0] += 1,
            Some(false) => world.done[1] += 1,
            None => world.done[2] += 1,
        }
        world.check();
    }
    world.done
}

fn any_calls() -> impl Strategy<Value = (u32, Vec<Call>)> {
    (1..5u32, prop::collection::vec(any_call(), 1..60))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn two_level((cpus, calls) in any_calls()) {
        run::<TwoLevel>(cpus, &calls);
    }

    #[test]
    fn pae((cpus, calls) in any_calls()) {
        run::<Pae>(cpus, &calls);
    }
}

/// Both answers are frequent, or the walks above would show little.
#[test]
fn many_calls_succeed_and_many_do_not() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut sum = [0; 3];
    for _ in 0..40 {
        let (cpus, calls) = any_calls().new_tree(&mut runner).unwrap().current();
        let done = run::<Pae>(cpus, &calls);
        (0..3).for_each(|place| sum[place] += done[place]);
    }
    assert!(sum[0] > 100 && sum[1] > 100 && sum[2] > 100, "{sum:?}");
}
