//! Every register and every bit, against the list.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

use super::*;

const DISPLAY: u32 = 0x0300_0000;

/// The bits that may change, bit by bit.
fn open(offset: u8) -> u32 {
    match offset & !3 {
        0x04 => 0b100_0000_0001,
        0x0c => 0xffff,
        0x3c => 0xff,
        _ => 0,
    }
}

#[test]
fn one_bit_of_one_register() {
    for offset in 0..=u8::MAX {
        for bit in 0..32 {
            for old in [0, u32::MAX, 0xa5a5_5a5a] {
                let new = old ^ 1 << bit;
                let answer = check(offset, DISPLAY, 0, old, new);
                let is_status = offset & !3 == 0x04 && bit >= 16;
                if is_status {
                    assert_eq!(answer, Ok(old & 0xffff), "the status is not written");
                } else if open(offset) >> bit & 1 != 0 {
                    let written = if offset & !3 == 0x04 { new & 0xffff } else { new };
                    assert_eq!(answer, Ok(written), "{offset:#x} bit {bit}");
                } else {
                    assert_eq!(answer, Err(Violation::PciRegister(u32::from(offset & !3))));
                }
            }
        }
    }
}

#[test]
fn nothing_of_a_bridge_or_of_what_is_laid_out_like_one() {
    for (class, header) in [(0x0600_0000, 0), (0x0604_0000, 1 << 16), (DISPLAY, 1 << 16), (DISPLAY, 2 << 16)]
    {
        assert!(!is_ordinary(class, header));
        for offset in [COMMAND, HEADER, INTERRUPT] {
            assert_eq!(check(offset, class, header, 0, 1), Err(Violation::PciRegister(offset.into())));
            assert_eq!(check(offset, class, header, 7, 7), Ok(7), "what changes nothing");
        }
    }
    assert!(is_ordinary(DISPLAY, MULTI_FUNCTION), "with several functions");
}
