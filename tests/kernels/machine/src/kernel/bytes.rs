//! Bytes that the compiler moves: every length and alignment up to some words, and moves onto themselves.

use super::console::println;
use super::{Boot, Mode};
use core::hint::black_box;

const LENGTH: usize = 64;

/// Bytes that differ from their neighbours.
fn pattern() -> [u8; LENGTH] {
    core::array::from_fn(|place| place as u8 ^ 0xa5)
}

pub(super) fn run(_: &'static Boot<Mode>) {
    let mut moves = 0;
    for length in 0..=24 {
        for from in 0..12 {
            for to in 0..12 {
                let before = pattern();
                // As `memcpy`, to other memory.
                let mut copy = [0; LENGTH];
                copy[to..to + length].copy_from_slice(black_box(&before[from..from + length]));
                // As `memmove`, over one another: both ways.
                let mut moved = before;
                black_box(&mut moved).copy_within(from..from + length, to);
                for place in 0..LENGTH {
                    let is_inside = (to..to + length).contains(&place);
                    let source = if is_inside { before[place - to + from] } else { before[place] };
                    assert_eq!(moved[place], source, "memmove {from} {to} {length} {place}");
                    let source = if is_inside { source } else { 0 };
                    assert_eq!(copy[place], source, "memcpy {from} {to} {length} {place}");
                }
                moves += 1;
            }
        }
        for to in 0..8 {
            let mut filled = pattern();
            black_box(&mut filled[to..to + length]).fill(black_box(0xc3));
            for (place, (byte, before)) in filled.iter().zip(pattern()).enumerate() {
                let expected = if (to..to + length).contains(&place) { 0xc3 } else { before };
                assert_eq!(*byte, expected, "memset {to} {length} {place}");
            }
        }
    }
    println!("{moves} moves");
}
