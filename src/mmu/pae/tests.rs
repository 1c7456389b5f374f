//! Entries of PAE paging against the manual's tables: all low bits, with none, each and each two of the
//! high ones.

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
use crate::mmu::two_level::tests::bits::{
    Bit, FRAMES, Form, OF_DEVICE, OF_LEAF, OF_LINK, check_decode, check_history,
};
use std::vec::Vec;

/// Intel SDM vol. 3, table 4-11, and what this library adds: see the other mode.
const LEAF: Form = Form { level: 1, is_leaf: true, low: OF_LEAF, no_execute: Bit::Any };

/// The same for registers of a device.
const DEVICE: Form = Form { low: OF_DEVICE, ..LEAF };

/// Table 4-10: a PDE that links a table, which forbids nothing.
const LINK: Form = Form { level: 2, is_leaf: false, low: OF_LINK, no_execute: Bit::Zero };

/// Table 4-8: a PDPTE. All but P and the address is reserved, a caching bit, or ignored.
const POINTER: Form = Form {
    level: 3,
    is_leaf: false,
    low: [
        Bit::One,  // P
        Bit::Zero, // reserved
        Bit::Zero, // reserved
        Bit::Zero, // PWT
        Bit::Zero, // PCD
        Bit::Any,  // reserved, but QEMU notes there that the entry was used
        Bit::Zero, // reserved
        Bit::Zero, // reserved
        Bit::Zero, // reserved
        Bit::Zero, // ignored
        Bit::Zero, // ignored
        Bit::Zero, // ignored
    ],
    no_execute: Bit::Zero,
};

/// No high bit, each, and each two of bits 32 to 62; all of them with NX clear and set.
fn highs() -> impl Iterator<Item = u64> + Clone {
    let reserved = 32..63u32;
    let pairs = reserved.clone().flat_map(move |a| reserved.clone().map(move |b| 1u64 << a | 1u64 << b));
    [0].into_iter().chain(pairs).flat_map(|high| [high, high | 1 << 63])
}

#[test]
fn decode_takes_what_the_manual_allows_and_nothing_else() {
    let mut legal = 0;
    for forms in [&[LEAF, DEVICE][..], &[LINK], &[POINTER]] {
        legal += check_decode::<Pae>(forms, highs(), false);
    }
    // A leaf has R/W, U, A, D and NX free, one of a device U, A, D and NX, a link U and A, a pointer what QEMU notes.
    assert_eq!(legal, (32 + 16 + 4 + 2) * FRAMES.len() as u64);
}

#[test]
fn what_is_written() {
    for number in FRAMES {
        let frame = Frame::new(number).unwrap();
        let address = u64::from(number) << 12;
        for rights in Rights::ALL {
            let write = if rights.write() { 2 } else { 0 };
            let no_execute = if rights.execute() { 0 } else { 1 << 63 };
            assert_eq!(Pae::leaf(frame, rights, Half::User), no_execute | address | 5 | write);
            assert_eq!(Pae::leaf(frame, rights, Half::Kernel), no_execute | address | 1 | write);
            for half in [Half::User, Half::Kernel] {
                let Entry::Leaf(leaf) = Pae::decode(1, Pae::leaf(frame, rights, half)) else {
                    panic!("{frame} {rights:?} {half:?} is a leaf");
                };
                assert_eq!((leaf.frame(), leaf.half(), leaf.rights()), (frame, half, rights));
                assert!(!leaf.accessed() && !leaf.dirty());
            }
        }
        assert_eq!(Pae::link(2, frame, Half::User), address | 7);
        assert_eq!(Pae::link(2, frame, Half::Kernel), address | 3);
        for half in [Half::User, Half::Kernel] {
            assert_eq!(Pae::link(3, frame, half), address | 1, "a PDPTE has no U and no R/W");
            for level in [2, 3] {
                assert_eq!(Pae::decode(level, Pae::link(level, frame, half)), Entry::Table(frame));
            }
        }
    }
}

/// E3, E19, T7: no form is taken for that of another level, except where the bits are the same.
#[test]
fn no_entry_reads_as_another() {
    for number in FRAMES {
        let frame = Frame::new(number).unwrap();
        for half in [Half::User, Half::Kernel] {
            for rights in Rights::ALL {
                let leaf = Pae::leaf(frame, rights, half);
                assert_ne!(Pae::decode(1, leaf), Entry::Empty);
                let as_link = rights == Rights::ReadWriteExecute;
                assert_eq!(Pae::decode(2, leaf) != Entry::Illegal, as_link, "{leaf:#x}");
                let as_pointer = rights == Rights::ReadExecute && half == Half::Kernel;
                assert_eq!(Pae::decode(3, leaf) != Entry::Illegal, as_pointer, "{leaf:#x}");
            }
            assert_eq!(Pae::decode(3, Pae::link(2, frame, half)), Entry::Illegal);
            assert_eq!(Pae::decode(2, Pae::link(3, frame, half)), Entry::Illegal);
        }
    }
}

#[test]
fn history_is_two_bits() {
    let highs = [0, 1 << 63, 1 << 32, !0 << 32];
    let all: Vec<u64> = (0..4096)
        .flat_map(|low| highs.map(move |high| high | low))
        .flat_map(|raw| [raw, raw | 0xffff_f000])
        .collect();
    check_history::<Pae>(&all, 0x60, |raw| raw);
    for raw in all {
        assert_eq!(Pae::at_rest(1, raw), raw & !0x60);
        assert_eq!(Pae::at_rest(2, raw), raw & !0x20, "a PDE has no dirty bit");
        assert_eq!(Pae::at_rest(3, raw), raw & !0x20, "a PDPTE has neither, but QEMU notes that it was used");
    }
}
