//! P1 to P3: I/O ports.

use crate::stage::{CPUS, Live, Stage, cpu};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use sva_os::Violation;
use sva_os::io::{PortRange, Register};
use sva_os::machine::Emulated;
use sva_os::machine::emulated::{DeviceAccess, Direction, Register as Place};
use sva_os::mmu::Pae;

/// The ports from 0x100 to 0x3ff that a driver may have, one letter a port, by the data sheets of what
/// answers there. A claim is of one letter. From the picture, not from the library's table:
///
/// * `u` PC16550D: eight registers behind A0 to A2; COM1 to COM4 where the PC/AT has them.
/// * `a` ATA/ATAPI-4: the command block of eight registers, and of the control block the one that is
///   not the diskette controller's too.
/// * `v` IBM VGA: what it decodes from 0x3c0 on with color emulation.
/// * `b` Bochs VBE: a word of index and a word of data, one port apart.
/// * `n` DP8390D on an NE2000: sixteen registers, the data port, the reset port.
/// * `p` IEEE 1284, compatible mode: data, status, control.
/// * `g` the game port.
const MAP: [(u32, &str); 24] = [
    //       0123456789abcdef0123456789abcdef
    (0x100, "................................"),
    (0x120, "................................"),
    (0x140, "................................"),
    (0x160, "................aaaaaaaa........"),
    (0x180, "................................"),
    (0x1a0, "................................"),
    (0x1c0, "..............bbb..............."),
    (0x1e0, "................aaaaaaaa........"),
    (0x200, ".g.............................."),
    (0x220, "................................"),
    (0x240, "................................"),
    (0x260, "................................"),
    (0x280, "................................"),
    (0x2a0, "................................"),
    (0x2c0, "................................"),
    (0x2e0, "........uuuuuuuu........uuuuuuuu"),
    (0x300, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"),
    (0x320, "................................"),
    (0x340, "................................"),
    (0x360, "......................a.ppp....."),
    (0x380, "................................"),
    (0x3a0, "................................"),
    (0x3c0, "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"),
    (0x3e0, "........uuuuuuuu......a.uuuuuuuu"),
];

/// The letter of every port that has one.
fn letters() -> BTreeMap<u16, char> {
    let mut letters = BTreeMap::new();
    for ((start, line), expected) in MAP.into_iter().zip((0x100..).step_by(0x20)) {
        assert_eq!((start, line.len()), (expected, 0x20));
        for (port, letter) in (start..).zip(line.chars()).filter(|(_, letter)| *letter != '.') {
            letters.insert(u16::try_from(port).unwrap(), letter);
        }
    }
    letters
}

/// What a claim of `count` ports, nobody having any, must answer.
fn expected(letters: &BTreeMap<u16, char>, first: u16, count: u32) -> Result<(), Violation> {
    if count == 0 {
        return Err(Violation::NoPorts(first.into()));
    }
    if u64::from(first) + u64::from(count) > 0x1_0000 {
        return Err(Violation::PastLastPort(first.into()));
    }
    let letter = letters.get(&first);
    let ports = (first..=u16::MAX).take(count as usize);
    match ports.into_iter().find(|port| letter.is_none() || letters.get(port) != letter) {
        None => Ok(()),
        Some(port) => Err(Violation::PortNotOffered(port.into())),
    }
}

fn stage() -> Stage<Pae> {
    Stage::new(Live::Here)
}

/// A claim is answered by `violation`, and nothing is changed.
#[track_caller]
fn claim_refused(stage: &Stage<Pae>, first: u16, count: u32, violation: Violation) {
    stage.refused(|sva| sva.io().claim(first, count).map(drop), violation);
}

type Range<'m> = PortRange<'m, Emulated<Pae>>;

/// Reads and writes the register at offset 0, which is all of the range, and the one behind it.
fn use_whole<W: Register>(stage: &Stage<Pae>, range: &Range<'_>) {
    let port = range.first();
    assert_eq!(range.count(), W::BYTES);
    stage.sva.machine().devices().log.clear();
    range.write(0, W::ZERO).unwrap();
    range.read::<W>(0).unwrap();
    let log = stage.sva.machine().devices().log.clone();
    let seen: Vec<_> =
        log.iter().map(|access: &DeviceAccess| (access.register, access.direction, access.bytes)).collect();
    let place = Place::Port(port);
    assert_eq!(seen, [(place, Direction::Write, W::BYTES), (place, Direction::Read, W::BYTES)]);
    stage.refused(|_| range.read::<W>(1), Violation::OutsidePorts(1));
    stage.refused(|_| range.write(1, W::ZERO), Violation::OutsidePorts(1));
    stage.refused(|_| range.port::<W>(1), Violation::OutsidePorts(1));
}

/// Every port, claimed for a register of every width.
#[test]
fn attack_p03_every_port_in_every_width() {
    let (stage, letters) = (stage(), letters());
    let mut granted = [0; 3];
    for port in 0..=u16::MAX {
        for (width, granted) in [1, 2, 4].into_iter().zip(&mut granted) {
            match expected(&letters, port, width) {
                Err(violation) => claim_refused(&stage, port, width, violation),
                Ok(()) => {
                    let before = stage.sva.machine().digest();
                    let range = stage.sva.io().claim(port, width).unwrap();
                    assert_ne!(stage.sva.machine().digest(), before);
                    *granted += 1;
                    match width {
                        1 => use_whole::<u8>(&stage, &range),
                        2 => use_whole::<u16>(&stage, &range),
                        _ => use_whole::<u32>(&stage, &range),
                    }
                }
            }
        }
    }
    assert_eq!(granted, [121, 108, 88]);
}

/// What has no register in a driver's hands, by what it would break. All of it from the data sheets, port by
/// port.
const NEVER: &[(&str, &[u16])] = &[
    (
        "8237: address, count, command, mode, mask",
        &[0x00, 0x01, 0x08, 0x0a, 0x0b, 0x0f, 0xc0, 0xd0, 0xd4, 0xde],
    ),
    ("8237: pages", &[0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8a, 0x8b, 0x8f, 0x481, 0x48b]),
    ("8259", &[0x20, 0x21, 0xa0, 0xa1]),
    ("ELCR", &[0x4d0, 0x4d1]),
    ("8254", &[0x40, 0x41, 0x42, 0x43]),
    ("NMI, speaker gate", &[0x61]),
    ("8042", &[0x60, 0x64]),
    ("CMOS, NMI mask", &[0x70, 0x71, 0x72, 0x73]),
    ("A20, fast reset", &[0x92]),
    ("SMI", &[0xb2, 0xb3]),
    ("debug exit", &[0xf4]),
    ("diskette controller", &[0x3f0, 0x3f2, 0x3f4, 0x3f5, 0x3f7, 0x370, 0x375, 0x377]),
    ("Sound Blaster", &[0x220, 0x22c]),
    ("ISA Plug and Play", &[0x279, 0xa79]),
    ("ECP", &[0x778, 0x77a]),
    ("PCI configuration, reset control", &[0xcf8, 0xcf9, 0xcfa, 0xcfb, 0xcfc, 0xcfd, 0xcfe, 0xcff]),
    ("fw_cfg", &[0x510, 0x511, 0x514, 0x518, 0x51b]),
    ("vmport", &[0x5658, 0x5659]),
    ("ACPI", &[0x600, 0x604, 0x4004, 0xb000, 0xb004]),
    ("Super I/O", &[0x2e, 0x2f, 0x4e, 0x4f]),
    ("BARs of an i440fx: IDE bus master, UHCI, network", &[0xc000, 0xc002, 0xc004, 0xc040, 0xc100]),
];

#[test]
fn attack_p03_sensitive_ports() {
    let stage = stage();
    for (what, ports) in NEVER {
        for port in *ports {
            for count in [1, 2, 4, 8] {
                let answer = stage.sva.io().claim(*port, count).err();
                assert_eq!(answer, Some(Violation::PortNotOffered((*port).into())), "{what}: {port:#x}");
                claim_refused(&stage, *port, count, Violation::PortNotOffered((*port).into()));
            }
        }
    }
}

/// The claim itself wraps, is empty, or is as long as can be said.
#[test]
fn attack_p01_claims_that_wrap() {
    let stage = stage();
    for first in [0, 1, 0x3f8, 0x3ff, 0xcfa, 0xfffc, 0xffff_u16] {
        claim_refused(&stage, first, 0, Violation::NoPorts(first.into()));
        let room = 0x1_0000 - u32::from(first);
        // The sum with the last two is 0 and 8 in 32 bits.
        let wrapping = 0u32.wrapping_sub(first.into());
        let counts = [room + 1, room + 8, 0x1_0001, u32::MAX, wrapping, wrapping.wrapping_add(8)];
        for count in counts.into_iter().filter(|count| *count > room) {
            claim_refused(&stage, first, count, Violation::PastLastPort(first.into()));
        }
    }
    claim_refused(&stage, 0xcfa, 4, Violation::PortNotOffered(0xcfa));
    claim_refused(&stage, 0xffff, 1, Violation::PortNotOffered(0xffff));
    claim_refused(&stage, 0, 0x1_0000, Violation::PortNotOffered(0));
    claim_refused(&stage, 0x3f8, 0xfc08, Violation::PortNotOffered(0x400));
}

/// A register that begins inside and ends in a neighbour: in no driver's hands, or in another's.
#[test]
fn attack_p01_registers_that_straddle() {
    let stage = stage();
    let io = stage.sva.io();
    let com2 = io.claim(0x2f8, 8).unwrap();
    let _ne2000 = io.claim(0x300, 0x20).unwrap();
    let control = io.claim(0x3f6, 1).unwrap();
    stage.sva.machine().devices().log.clear();
    stage.refused(|_| com2.read::<u16>(7), Violation::OutsidePorts(7));
    stage.refused(|_| com2.write(7, 0u16), Violation::OutsidePorts(7));
    for offset in [5, 6, 7, 8, 0x7fff, 0xfd07, 0xfd08, 0xfffc, 0xfffd, 0xfffe, 0xffff] {
        stage.refused(|_| com2.read::<u32>(offset), Violation::OutsidePorts(offset.into()));
        stage.refused(|_| com2.write(offset, 0u32), Violation::OutsidePorts(offset.into()));
        stage.refused(|_| com2.port::<u32>(offset), Violation::OutsidePorts(offset.into()));
    }
    stage.refused(|_| control.read::<u16>(0), Violation::OutsidePorts(0));
    stage.refused(|_| control.write(1, 0u8), Violation::OutsidePorts(1));
    assert!(stage.sva.machine().devices().log.is_empty());
    let vbe = io.claim(0x1ce, 3).unwrap();
    assert_eq!(vbe.write(1, 0u16), Ok(()), "the data word, at an odd port");
    stage.refused(|_| vbe.write(2, 0u16), Violation::OutsidePorts(2));
}

/// B7: every range there is around the offered ports. Those with offered ends and something else between
/// them are among these.
#[test]
fn attack_b07_claims_of_every_range() {
    let (stage, letters) = (stage(), letters());
    let before = stage.sva.machine().digest();
    let mut gaps = 0;
    for first in 0xf0..0x410_u16 {
        for last in first..0x410 {
            let count = u32::from(last - first) + 1;
            let expected = expected(&letters, first, count);
            let answer = stage.sva.io().claim(first, count).map(drop);
            assert_eq!(answer, expected, "{first:#x} to {last:#x}");
            let ends = letters.contains_key(&first) && letters.contains_key(&last);
            gaps += u32::from(ends && expected.is_err());
        }
        assert_eq!(stage.sva.machine().digest(), before, "{first:#x}");
    }
    assert!(gaps > 5000, "{gaps} ranges with something else between their ends");
}

/// Every range of a card against every other, held by somebody.
#[test]
fn attack_p02_overlapping_claims() {
    let stage = stage();
    let io = stage.sva.io();
    let ranges = || (0..8u16).flat_map(|first| (first..8).map(move |last| (first, last)));
    for start in [0x3f8, 0x310] {
        for (first, last) in ranges() {
            let held = io.claim(start + first, u32::from(last - first) + 1).unwrap();
            for (other, end) in ranges() {
                let (port, count) = (start + other, u32::from(end - other) + 1);
                if other <= last && first <= end {
                    let met = start + other.max(first);
                    claim_refused(&stage, port, count, Violation::PortTaken(met.into()));
                } else {
                    assert_eq!(io.claim(port, count).map(drop), Ok(()));
                }
            }
            drop(held);
        }
        let halves = [io.claim(start, 4).unwrap(), io.claim(start + 4, 4).unwrap()];
        claim_refused(&stage, start, 8, Violation::PortTaken(start.into()));
        let [low, high] = halves;
        drop(low);
        claim_refused(&stage, start, 8, Violation::PortTaken(u32::from(start + 4)));
        std::mem::forget(high);
        claim_refused(&stage, start, 8, Violation::PortTaken(u32::from(start + 4)));
        assert_eq!(io.claim(start, 4).map(drop), Ok(()));
    }
}

/// CPUs claim, use and release parts of one card as fast as they can: no port ever has two owners.
#[test]
fn attack_p02_claims_that_race() {
    const START: u16 = 0x300;
    const ROUNDS: u32 = 30_000;
    let stage = stage();
    let before = stage.sva.machine().digest();
    let owners: Vec<AtomicU32> = (0..32).map(|_| AtomicU32::new(0)).collect();
    let (granted, taken) = (AtomicU32::new(0), AtomicU32::new(0));
    let body = |number: u32| {
        let mut random = number + 1;
        for _ in 0..ROUNDS {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let first = (random >> 16) as u16 % 32;
            let count = (random >> 24) as u16 % (32 - first) + 1;
            match stage.sva.io().claim(START + first, count.into()) {
                Ok(range) => {
                    let mine = &owners[usize::from(first)..usize::from(first + count)];
                    for port in mine {
                        assert_eq!(port.fetch_add(1, Ordering::Relaxed), 0, "a port of two owners");
                    }
                    std::hint::spin_loop();
                    for port in mine {
                        port.fetch_sub(1, Ordering::Relaxed);
                    }
                    granted.fetch_add(1, Ordering::Relaxed);
                    drop(range);
                }
                Err(Violation::PortTaken(port)) => {
                    assert!((START + first..START + first + count).contains(&u16::try_from(port).unwrap()));
                    taken.fetch_add(1, Ordering::Relaxed);
                }
                Err(other) => panic!("{other}"),
            }
        }
    };
    std::thread::scope(|scope| {
        for number in 0..CPUS {
            let (stage, body) = (&stage, &body);
            scope.spawn(move || stage.on(cpu(number), || body(number)));
        }
    });
    let (granted, taken) = (granted.into_inner(), taken.into_inner());
    assert_eq!(granted + taken, CPUS * ROUNDS);
    assert!(granted > ROUNDS / 10 && taken > 0, "{granted} granted, {taken} taken");
    assert_eq!(stage.sva.machine().digest(), before);
}

/// What a kernel does with ports. Numbers choose among the ranges that it has.
#[derive(Clone, Debug)]
enum Step {
    Claim(u16, u32),
    Drop(usize),
    Forget(usize),
    Split(usize, u16),
    Read(usize, u16, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // One in two ranges begins at a row's first port; the others fall where they like.
    let first = prop_oneof![
        prop::sample::select(vec![
            0x170, 0x1ce, 0x1f0, 0x201, 0x2f8, 0x300, 0x376, 0x378, 0x3c0, 0x3f6, 0x3f8
        ]),
        0x2e0..0x320_u16,
        0x3c0..0x400_u16,
        any::<u16>(),
    ];
    let count = prop_oneof![Just(1), 0..9u32, 0..40u32];
    let which = any::<usize>();
    let step = prop_oneof![
        4 => (first, count).prop_map(|(first, count)| Step::Claim(first, count)),
        2 => which.prop_map(Step::Drop),
        1 => which.prop_map(Step::Forget),
        1 => (which, 0..10u16).prop_map(|(which, at)| Step::Split(which, at)),
        2 => (which, prop_oneof![0..9u16, any::<u16>()], prop::sample::select(vec![1, 2, 4u32]))
            .prop_map(|(which, offset, width)| Step::Read(which, offset, width)),
    ];
    vec(step, 1..80)
}

/// Reads a register of so many bytes.
fn read(range: &Range<'_>, offset: u16, width: u32) -> Result<u32, Violation> {
    match width {
        1 => range.read::<u8>(offset).map(u32::from),
        2 => range.read::<u16>(offset).map(u32::from),
        _ => range.read::<u32>(offset),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any sequence, against the set of ports that somebody has.
    #[test]
    fn attack_p02_any_sequence(steps in steps()) {
        let (stage, letters) = (stage(), letters());
        let machine = stage.sva.machine();
        let mut model: BTreeSet<u16> = BTreeSet::new();
        let mut held: Vec<Range<'_>> = Vec::new();
        let ports = |first: u16, count: u32| (first..=u16::MAX).take(count as usize);
        for step in steps {
            let before = machine.digest();
            let refused = match step {
                Step::Claim(first, count) => {
                    let met = ports(first, count).find(|port| model.contains(port));
                    let expected = expected(&letters, first, count)
                        .and_then(|()| met.map_or(Ok(()), |port| Err(Violation::PortTaken(port.into()))));
                    let answer = stage.sva.io().claim(first, count);
                    prop_assert_eq!(answer.as_ref().map(drop), expected.as_ref().map(drop));
                    if let Ok(range) = answer {
                        model.extend(ports(first, count));
                        held.push(range);
                    }
                    expected.is_err()
                }
                _ if held.is_empty() => true,
                Step::Drop(which) => {
                    let range = held.swap_remove(which % held.len());
                    ports(range.first(), range.count()).for_each(|port| _ = model.remove(&port));
                    drop(range);
                    false
                }
                Step::Forget(which) => {
                    std::mem::forget(held.swap_remove(which % held.len()));
                    true
                }
                // What is claimed stays so.
                Step::Split(which, at) => {
                    let which = which % held.len();
                    let (first, count) = (held[which].first(), held[which].count());
                    let answer = held[which].split_off(at);
                    prop_assert_eq!(answer.is_ok(), at > 0 && u32::from(at) < count);
                    if let Ok(high) = answer {
                        prop_assert_eq!((held[which].first(), held[which].count()), (first, at.into()));
                        prop_assert_eq!((high.first(), high.count()), (first + at, count - u32::from(at)));
                        held.push(high);
                    }
                    true
                }
                Step::Read(which, offset, width) => {
                    let range = &held[which % held.len()];
                    let inside = u32::from(offset) + width <= range.count();
                    machine.devices().log.clear();
                    prop_assert_eq!(read(range, offset, width).is_ok(), inside);
                    let log = machine.devices().log.clone();
                    prop_assert_eq!(log.len(), usize::from(inside));
                    if let [access] = log[..] {
                        prop_assert_eq!(access.register, Place::Port(range.first() + offset));
                        prop_assert_eq!(access.bytes, width);
                    }
                    true
                }
            };
            prop_assert_eq!(machine.digest() == before, refused);
        }
        // Each port that the set has is taken, and no other.
        for port in letters.keys() {
            let taken = model.contains(port).then_some(Violation::PortTaken((*port).into()));
            prop_assert_eq!(stage.sva.io().claim(*port, 1).err(), taken);
        }
    }
}
