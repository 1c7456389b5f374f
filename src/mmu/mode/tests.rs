//! Geometry, and what the real intrinsics write for every kind of frame and all rights.

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
use crate::frame::Kind;
use crate::frame::word::Word as FrameWord;
use crate::init::tests::world::{RAM, World, frame, frames, world};
use crate::mmu::{KernelPages, Pae, TwoLevel};
use crate::violation::Violation;
use std::vec::Vec;

const TABLE: u32 = 13;
const ROOT: u32 = 14;
const DATA: u32 = 15;

/// A frame of every kind, and several of some. What no call makes in this mode is typed by force.
fn one_of_each<P: PagingMode>() -> (World<P>, Vec<(Kind, Frame)>) {
    let sva = world::<P>(1);
    sva.declare_table(frame(TABLE), 1).unwrap();
    sva.declare_root(frame(ROOT)).unwrap();
    sva.retype(frame(DATA), Kind::UserData).unwrap();
    sva.retype(frame(16), Kind::KernelData).unwrap();
    sva.retype(frame(17), Kind::Dma).unwrap();
    core::mem::forget(KernelPages::new(&sva, frames(18, 1)).unwrap());
    sva.grant_memory(frames(19, 1)).unwrap();
    sva.force(frame(20), FrameWord::sealed(Kind::Descriptor));
    sva.force(frame(21), FrameWord::unused(Kind::Table2));
    sva.force(frame(22), FrameWord::unused(Kind::Table3));
    sva.retype(frame(23), Kind::UserData).unwrap();
    let mut all: Vec<_> = (0..RAM).map(|number| (sva.kind(frame(number)), frame(number))).collect();
    all.extend([RAM, RAM + 1, 0xf_ffff].map(|number| (Kind::None, frame(number))));
    for kind in Kind::ALL {
        assert!(all.iter().any(|(other, _)| *other == kind), "{kind:?}");
    }
    (sva, all)
}

/// What must stand in RAM, from the manual: P, U, R/W and NX, and the frame.
fn written<P: PagingMode>(frame: Frame, rights: Rights) -> u64 {
    let no_execute = P::LEVELS == 3 && !rights.execute();
    u64::from(frame.number()) << 12 | 5 | u64::from(rights.write()) << 1 | u64::from(no_execute) << 63
}

fn entry<P: PagingMode>(sva: &World<P>, index: u32) -> u64 {
    let at = frame(TABLE).start().plus(index * <P::Raw as Word>::BYTES);
    sva.machine().peek::<P::Raw>(at).into()
}

fn refusal(kind: Kind, frame: Frame) -> Violation {
    if kind == Kind::None { Violation::NoSuchFrame(frame) } else { Violation::NotMappable(frame) }
}

macro_rules! both_modes {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            fn two_level() {
                super::$name::<super::TwoLevel>();
            }
            #[test]
            fn pae() {
                super::$name::<super::Pae>();
            }
        }
    )*};
}

both_modes!(geometry map_takes_user_data replace_takes_user_data protect_keeps_the_frame gained_rights_are_checked more_rights_are_never_easier leaf_calls_take_leaf_tables);

fn geometry<P: PagingMode>() {
    let () = P::CONSISTENT;
    let bits = if P::LEVELS == 2 { [10, 10, 0] } else { [9, 9, 2] };
    assert_eq!(bits.iter().sum::<u32>(), 20);
    for level in 1..=P::LEVELS {
        let below: u32 = bits[..usize::from(level) - 1].iter().sum();
        let own = bits[usize::from(level) - 1];
        assert_eq!(P::span_bits(level), below);
        assert_eq!(P::entries(level), 1 << own);
        for page in (0..1 << 20u32).step_by(37).chain([0, 1, 511, 512, 1023, 1024, 0xf_ffff]) {
            let index = P::index(level, Page::new(page).unwrap());
            assert_eq!(index, page >> below & ((1 << own) - 1));
            assert!(index < P::entries(level));
        }
    }
    assert_eq!(P::ROOT_SPAN_BITS, P::span_bits(P::LEVELS));
}

fn map_takes_user_data<P: PagingMode>() {
    let (sva, all) = one_of_each::<P>();
    let empty = sva.machine().digest();
    for (kind, target) in all {
        for rights in Rights::ALL {
            for index in [0, 77, P::ENTRIES - 1] {
                let answer = sva.map(frame(TABLE), index, target, rights);
                if kind == Kind::UserData {
                    assert_eq!(answer, Ok(()));
                    assert_eq!(entry(&sva, index), written::<P>(target, rights));
                    let uses = sva.mappings(target);
                    assert_eq!((uses.total, uses.writable), (1, u32::from(rights.write())));
                    let leaf = sva.unmap(frame(TABLE), index).unwrap();
                    assert_eq!(
                        (leaf.frame(), leaf.write(), leaf.half()),
                        (target, rights.write(), Half::User)
                    );
                    assert_eq!(entry(&sva, index), 0);
                    sva.machine().poke(sva.stamp_at(target), 0u32);
                } else {
                    assert_eq!(answer, Err(refusal(kind, target)), "{rights:?}");
                }
                assert_eq!(sva.machine().digest(), empty, "{kind:?} {rights:?}");
            }
        }
    }
}

fn replace_takes_user_data<P: PagingMode>() {
    let (sva, all) = one_of_each::<P>();
    let first = frame(23);
    for old_rights in Rights::ALL {
        sva.map(frame(TABLE), 5, first, old_rights).unwrap();
        let before = sva.machine().digest();
        for (kind, target) in all.iter().copied() {
            for rights in Rights::ALL {
                let answer = sva.replace(frame(TABLE), 5, target, rights);
                if kind == Kind::UserData {
                    let old = answer.unwrap();
                    assert_eq!((old.frame(), old.write()), (first, old_rights.write()));
                    assert_eq!(entry(&sva, 5), written::<P>(target, rights));
                    let uses = sva.mappings(target);
                    assert_eq!((uses.total, uses.writable), (1, u32::from(rights.write())));
                    sva.replace(frame(TABLE), 5, first, old_rights).unwrap();
                    for frame in [target, first] {
                        sva.machine().poke(sva.stamp_at(frame), 0u32);
                    }
                } else {
                    assert_eq!(answer, Err(refusal(kind, target)), "{rights:?}");
                }
                assert_eq!(sva.machine().digest(), before, "{kind:?} {rights:?}");
                let empty = sva.replace(frame(TABLE), 6, target, rights);
                let expected =
                    if kind == Kind::UserData { Violation::EntryEmpty(6) } else { refusal(kind, target) };
                assert_eq!(empty, Err(expected));
                assert_eq!(sva.machine().digest(), before, "{kind:?} {rights:?}");
            }
        }
        sva.unmap(frame(TABLE), 5).unwrap();
        sva.machine().poke(sva.stamp_at(first), 0u32);
    }
}

/// E14: what the CPU noted stays, whatever changes.
fn protect_keeps_the_frame<P: PagingMode>() {
    let (sva, _) = one_of_each::<P>();
    for from in Rights::ALL {
        for to in Rights::ALL {
            for history in [0, 0x20, 0x40, 0x60] {
                sva.map(frame(TABLE), 9, frame(DATA), from).unwrap();
                let at = frame(TABLE).start().plus(9 * <P::Raw as Word>::BYTES);
                sva.machine().poke(at, P::Raw::low_bits_of(entry(&sva, 9) | history));
                let old = sva.protect(frame(TABLE), 9, to).unwrap();
                assert_eq!((old.frame(), old.write()), (frame(DATA), from.write()));
                assert_eq!((old.accessed(), old.dirty()), (history & 0x20 != 0, history & 0x40 != 0));
                assert_eq!(entry(&sva, 9), written::<P>(frame(DATA), to) | history);
                let uses = sva.mappings(frame(DATA));
                assert_eq!((uses.total, uses.writable), (1, u32::from(to.write())));
                let taken = sva.take_accessed_dirty(frame(TABLE), 9).unwrap();
                assert_eq!((taken.accessed(), taken.dirty()), (history & 0x20 != 0, history & 0x40 != 0));
                assert_eq!(entry(&sva, 9), written::<P>(frame(DATA), to));
                sva.unmap(frame(TABLE), 9).unwrap();
            }
        }
    }
    for rights in Rights::ALL {
        assert_eq!(sva.protect(frame(TABLE), 9, rights), Err(Violation::EntryEmpty(9)));
    }
}

/// E5: were there a leaf to a frame of another kind, the right to write would still be refused.
fn gained_rights_are_checked<P: PagingMode>() {
    let (sva, all) = one_of_each::<P>();
    let at = frame(TABLE).start().plus(4 * <P::Raw as Word>::BYTES);
    let others = all.into_iter().filter(|(kind, _)| *kind != Kind::UserData);
    for (kind, target) in others {
        for from in [Rights::Read, Rights::ReadExecute] {
            sva.machine().poke(at, P::leaf(target, from, Half::User));
            let before = sva.machine().digest();
            for to in [Rights::ReadWrite, Rights::ReadWriteExecute] {
                assert_eq!(sva.protect(frame(TABLE), 4, to), Err(refusal(kind, target)), "{kind:?}");
                assert_eq!(sva.machine().digest(), before);
            }
        }
    }
}

/// A call with a table, an entry, a frame and rights, and whether it was let through.
type Call<P> = fn(&World<P>, u32, u32, Frame, Rights) -> bool;

/// Invariant 19, with each reason for a refusal that there is.
fn more_rights_are_never_easier<P: PagingMode>() {
    let (sva, all) = one_of_each::<P>();
    sva.map(frame(TABLE), 0, frame(DATA), Rights::Read).unwrap();
    let word = FrameWord::unused(Kind::UserData).bits();
    // Free, nearly full and full, of either count; busy, sealed.
    let words = [word, word | 2047 << 7 | 2047 << 19, word | 2046 << 7 | 4094 << 19, word | 4095 << 19]
        .into_iter()
        .chain([word | 1 << 5, word | 1 << 6]);
    let forced = words.map(|bits| (Some(bits), frame(23)));
    let natural = all.into_iter().map(|(_, target)| (None, target));
    let mut refused = 0;
    for (bits, target) in forced.chain(natural) {
        for (table, index) in [(TABLE, 0), (TABLE, 1), (TABLE, P::ENTRIES), (ROOT, 1), (DATA, 1), (16, 0)] {
            let accepts = |rights, call: Call<P>| {
                let copy = sva.clone();
                if let Some(bits) = bits {
                    copy.force(target, FrameWord::from_bits(bits));
                }
                call(&copy, table, index, target, rights)
            };
            let calls: [Call<P>; 3] = [
                |sva, table, index, target, rights| sva.map(frame(table), index, target, rights).is_ok(),
                |sva, table, index, target, rights| sva.replace(frame(table), index, target, rights).is_ok(),
                |sva, table, index, _, rights| sva.protect(frame(table), index, rights).is_ok(),
            ];
            for call in calls {
                let answers = Rights::ALL.map(|rights| (rights, accepts(rights, call)));
                refused += answers.iter().filter(|(_, accepted)| !accepted).count();
                for (less, accepted) in answers {
                    for (more, also) in answers {
                        let covers = more.write() >= less.write() && more.execute() >= less.execute();
                        assert!(
                            accepted || !also || !covers,
                            "{less:?} refused, {more:?} accepted: {target}"
                        );
                    }
                }
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

/// E1, E3: every call on every frame that is no table of leaves.
fn leaf_calls_take_leaf_tables<P: PagingMode>() {
    let (sva, all) = one_of_each::<P>();
    let before = sva.machine().digest();
    for (kind, table) in all.into_iter().filter(|(kind, _)| *kind != Kind::Table1) {
        let expected = match kind {
            Kind::None => Violation::NoSuchFrame(table),
            Kind::Table2 | Kind::Table3 | Kind::Root => Violation::WrongLevel(table),
            _ => Violation::NotATable(table),
        };
        for rights in Rights::ALL {
            assert_eq!(sva.map(table, 0, frame(DATA), rights), Err(expected));
            assert_eq!(sva.replace(table, 0, frame(DATA), rights), Err(expected));
            assert_eq!(sva.protect(table, 0, rights), Err(expected));
        }
        assert_eq!(sva.unmap(table, 0), Err(expected));
        assert_eq!(sva.take_accessed_dirty(table, 0), Err(expected));
        assert_eq!(sva.machine().digest(), before, "{kind:?}");
    }
}

#[test]
fn a_leaf_says_what_it_is() {
    let raw = Pae::leaf(frame(0x12), Rights::ReadExecute, Half::User) | 1 << 5;
    let says = "Leaf { frame: Frame(0x12), rights: ReadExecute, half: User, device: false, accessed: true, dirty: false }";
    assert_eq!(std::format!("{:?}", Pae::unpack(raw)), says);
}

#[test]
fn rights_are_two_bits() {
    for (write, execute) in [(false, false), (true, false), (false, true), (true, true)] {
        let rights = Rights::new(write, execute);
        assert_eq!((rights.write(), rights.execute()), (write, execute));
    }
    let all: std::collections::HashSet<_> = Rights::ALL.into_iter().collect();
    assert_eq!(all.len(), 4);
}
