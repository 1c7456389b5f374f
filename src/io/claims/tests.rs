//! The bits against plain sets of ports.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec::Vec;

fn ports(first: u16, count: u32) -> Ports {
    Ports::new(first, count).unwrap()
}

/// All numbers of `ports`, by the definition.
fn numbers(ports: Ports) -> impl Iterator<Item = u16> {
    (u32::from(ports.first())..u32::from(ports.first()) + ports.count()).map(|port| port as u16)
}

/// All ports that are taken.
fn taken(claims: &Claims) -> BTreeSet<u16> {
    let bit = |port: u32| claims.words[port as usize / 32].load(Ordering::Relaxed) & 1 << (port % 32) != 0;
    (0..LIMIT).filter(|port| bit(*port)).map(|port| port as u16).collect()
}

#[test]
fn a_range_is_not_empty_and_does_not_wrap() {
    for first in [0, 1, 0x1f, 0x20, 0x7fff, 0x8000, 0xfffe, 0xffff] {
        let room = LIMIT - u32::from(first);
        assert_eq!(Ports::new(first, 0), Err(Violation::NoPorts(first.into())));
        for count in [room + 1, LIMIT + 1, 1 << 31, u32::MAX - u32::from(first), u32::MAX] {
            assert_eq!(Ports::new(first, count), Err(Violation::PastLastPort(first.into())), "{count:#x}");
        }
        for count in [1, room.div_ceil(2), room] {
            let last = u32::from(ports(first, count).last());
            assert_eq!(last, u32::from(first) + count - 1);
        }
    }
}

#[test]
fn the_two_parts_of_a_split_are_the_range() {
    for (first, count) in [(0, 1), (5, 2), (0x3f8, 8), (0xfff0, 16), (0, LIMIT)] {
        let whole = ports(first, count);
        for at in (0..=u16::MAX).filter(|at| u32::from(*at) <= count + 1) {
            match whole.split(at) {
                None => assert!(at == 0 || u32::from(at) >= count),
                Some((low, high)) => {
                    assert_eq!((low.first(), low.count()), (first, u32::from(at)));
                    assert_eq!(u32::from(high.first()), u32::from(low.last()) + 1);
                    assert_eq!((high.last(), low.count() + high.count()), (whole.last(), count));
                }
            }
        }
    }
}

/// Every range in three words, the last three too.
#[test]
fn a_claim_sets_its_bits_and_no_others() {
    for start in [0u32, 0x3e0, LIMIT - 96] {
        let claims = Claims::new();
        for first in start..start + 96 {
            for count in 1..=start + 96 - first {
                let range = ports(first as u16, count);
                assert_eq!(claims.take(range), Ok(()));
                for (word, bits) in claims.words.iter().enumerate() {
                    let numbers = (0..32).map(|bit| word as u32 * 32 + bit);
                    let expected = numbers.fold(0u32, |bits, port| {
                        bits >> 1 | u32::from(first <= port && port < first + count) << 31
                    });
                    assert_eq!(bits.load(Ordering::Relaxed), expected, "{range:?}, word {word}");
                }
                assert!(claims.release(range));
                assert_eq!(claims.taken().count(), 0);
            }
        }
    }
}

/// Every range in three words where two ports are taken.
#[test]
fn a_refused_claim_names_the_first_port_and_changes_nothing() {
    for taken_port in 0..90u16 {
        let claims = Claims::new();
        claims.take(ports(taken_port, 1)).unwrap();
        claims.take(ports(90, 1)).unwrap();
        let before: Vec<_> = claims.taken().collect();
        for first in 0..96u16 {
            for count in 1..=96 - u32::from(first) {
                let range = ports(first, count);
                let lowest = numbers(range).find(|port| *port == taken_port || *port == 90);
                match lowest {
                    Some(port) => assert_eq!(claims.take(range), Err(Violation::PortTaken(port.into()))),
                    None => {
                        assert_eq!(claims.take(range), Ok(()));
                        assert!(claims.release(range));
                    }
                }
                assert!(claims.taken().eq(before.iter().copied()), "{range:?}");
            }
        }
    }
}

/// A word whose first port another CPU takes between the look and the claim.
#[derive(Default)]
struct Beaten(core::cell::Cell<u32>);

impl Bits for Beaten {
    fn load(&self) -> u32 {
        0
    }

    fn set(&self, bits: u32) -> u32 {
        let seen = self.0.get() | 1;
        self.0.set(seen | bits);
        seen
    }

    fn clear(&self, bits: u32) -> u32 {
        self.0.replace(self.0.get() & !bits)
    }
}

#[test]
fn a_claim_that_is_beaten_gives_back_its_own_bits_alone() {
    let words = [Beaten::default(), Beaten::default()];
    assert_eq!(take(&words[..1], ports(0, 4)), Err(0));
    assert_eq!(words[0].0.get(), 1, "the other keeps its port");
    // In the second word: the first is given back whole.
    let words = [Beaten::default(), Beaten::default()];
    assert_eq!(take(&words, ports(30, 4)), Err(32));
    assert_eq!(words.map(|word| word.0.get()), [1, 1]);
}

#[test]
fn a_release_of_what_is_not_taken_is_found() {
    let claims = Claims::new();
    assert!(!claims.release(ports(5, 1)));
    for missing in [0x20, 0x2f, 0x3f, 0x40, 0x5f, 0x60, 0x7f] {
        let range = ports(0x20, 0x60);
        claims.take(range).unwrap();
        assert!(claims.release(ports(missing, 1)));
        assert!(!claims.release(range), "{missing:#x}");
        assert_eq!(claims.taken().count(), 0, "the rest is released all the same");
    }
}

#[test]
fn a_copy_has_the_same_claims() {
    let claims = Claims::new();
    claims.take(ports(0x3f8, 8)).unwrap();
    claims.take(ports(0xffff, 1)).unwrap();
    let copy = claims.copy();
    assert!(copy.taken().eq([(0x3e0, 0xff00_0000), (0xffe0, 1 << 31)]));
    assert!(copy.release(ports(0xffff, 1)));
    assert!(claims.taken().eq([(0x3e0, 0xff00_0000), (0xffe0, 1 << 31)]));
    assert_eq!(std::format!("{claims:?}"), "9 ports taken");
}

#[test]
fn all_ports_at_once() {
    let claims = Claims::new();
    let all = ports(0, LIMIT);
    assert_eq!(claims.take(all), Ok(()));
    assert_eq!(taken(&claims).len(), 0x1_0000);
    assert_eq!(claims.take(ports(0x1234, 1)), Err(Violation::PortTaken(0x1234)));
    assert_eq!(claims.take(all), Err(Violation::PortTaken(0)));
    assert!(claims.release(all));
    assert!(taken(&claims).is_empty());
}

/// Ranges that meet often: near word boundaries and both ends.
fn any_ports() -> impl Strategy<Value = Ports> {
    let first = prop_oneof![0..200u16, 0xff80..=0xffff_u16, any::<u16>()];
    let count = prop_oneof![1..8u32, 1..100u32, 1..LIMIT];
    (first, count).prop_map(|(first, count)| ports(first, count.min(LIMIT - u32::from(first))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// `true` claims, `false` releases one of the claims that hold, whichever the number says.
    #[test]
    fn sequences_against_a_set(steps in prop::collection::vec((any::<bool>(), any_ports(), any::<usize>()), 1..60)) {
        let claims = Claims::new();
        let mut model = BTreeSet::new();
        let mut held = Vec::new();
        for (claim, range, which) in steps {
            if claim {
                let expected = numbers(range).find(|port| model.contains(port)).map_or(Ok(()), |port| Err(Violation::PortTaken(port.into())));
                prop_assert_eq!(claims.take(range), expected);
                if expected.is_ok() {
                    model.extend(numbers(range));
                    held.push(range);
                }
            } else if !held.is_empty() {
                let range = held.swap_remove(which % held.len());
                prop_assert!(claims.release(range));
                numbers(range).for_each(|port| _ = model.remove(&port));
            }
            prop_assert_eq!(&taken(&claims), &model);
        }
    }
}
