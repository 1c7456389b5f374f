//! Entries of 32-bit paging against the manual's tables, all of them.

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
use std::vec;
use std::vec::Vec;

pub(crate) mod bits;
use bits::{Bit, Form, OF_DEVICE, OF_LEAF, OF_LINK, check_decode, check_history};

/// Intel SDM vol. 3, table 4-6, and what this library adds: no caching bits on RAM, no global page,
/// nothing in the ignored bits.
const LEAF: Form = Form { level: 1, is_leaf: true, low: OF_LEAF, no_execute: Bit::Zero };

/// The same for registers of a device.
const DEVICE: Form = Form { low: OF_DEVICE, ..LEAF };

/// Table 4-5: a PDE that links a table. It takes no right away, so R/W is set.
const LINK: Form = Form { level: 2, is_leaf: false, low: OF_LINK, no_execute: Bit::Zero };

#[test]
fn decode_takes_what_the_manual_allows_and_nothing_else() {
    let mut legal = 0;
    for forms in [&[LEAF, DEVICE][..], &[LINK]] {
        legal += check_decode::<TwoLevel>(forms, vec![0].into_iter(), true);
    }
    // Of 4096 each: a leaf has R/W, U, A and D free, one of a device U, A and D, a link U and A.
    assert_eq!(legal, (16 + 8 + 4) * bits::FRAMES.len() as u64);
}

#[test]
fn what_is_written() {
    for number in bits::FRAMES {
        let frame = Frame::new(number).unwrap();
        let address = number << 12;
        for rights in Rights::ALL {
            let write = if rights.write() { 2 } else { 0 };
            assert_eq!(TwoLevel::leaf(frame, rights, Half::User), address | 5 | write);
            assert_eq!(TwoLevel::leaf(frame, rights, Half::Kernel), address | 1 | write);
            for half in [Half::User, Half::Kernel] {
                let Entry::Leaf(leaf) = TwoLevel::decode(1, TwoLevel::leaf(frame, rights, half)) else {
                    panic!("{frame} {rights:?} {half:?} is a leaf");
                };
                // Without NX every leaf allows execution, and says so.
                assert_eq!(leaf.rights(), Rights::new(rights.write(), true));
                assert_eq!((leaf.frame(), leaf.half(), leaf.write()), (frame, half, rights.write()));
                assert!(!leaf.accessed() && !leaf.dirty());
            }
        }
        assert_eq!(TwoLevel::link(2, frame, Half::User), address | 7);
        assert_eq!(TwoLevel::link(2, frame, Half::Kernel), address | 3);
        for half in [Half::User, Half::Kernel] {
            assert_eq!(TwoLevel::decode(2, TwoLevel::link(2, frame, half)), Entry::Table(frame));
        }
    }
}

/// E3, E19: a leaf is no link that this library would write unless it happens to allow writing, and
/// no entry is empty that names frame 0.
#[test]
fn no_entry_reads_as_another() {
    let frame = Frame::ZERO;
    for half in [Half::User, Half::Kernel] {
        for rights in Rights::ALL {
            assert_ne!(TwoLevel::leaf(frame, rights, half), 0);
            assert_ne!(TwoLevel::decode(1, TwoLevel::leaf(frame, rights, half)), Entry::Empty);
        }
        assert_eq!(TwoLevel::decode(2, TwoLevel::leaf(frame, Rights::Read, half)), Entry::Illegal);
        assert_ne!(TwoLevel::link(2, frame, half), 0);
    }
}

#[test]
fn history_is_two_bits() {
    let all: Vec<u32> = (0..4096).flat_map(|low| [low, 0xffff_f000 | low, 0x1234_5000 | low]).collect();
    check_history::<TwoLevel>(&all, 0x60, |raw| raw.into());
    for raw in all {
        assert_eq!(TwoLevel::at_rest(1, raw), raw & !0x60);
        assert_eq!(TwoLevel::at_rest(2, raw), raw & !0x20, "a PDE has no dirty bit");
    }
}
