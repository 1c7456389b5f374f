//! Broken executables: good ones with something changed.

use alloc::vec::Vec;

use oorandom::Rand32;

/// Bytes of the header of a 32-bit ELF file, and of a program header.
const HEADER: usize = 52;
const PROGRAM: usize = 32;
/// Where in the header the number of program headers is.
const PROGRAMS: usize = 44;

/// What a field may be set to.
const EDGES: [u32; 18] = [
    0,
    1,
    2,
    3,
    4,
    0x20,
    0x34,
    0xfff,
    0x1000,
    0xffff,
    0x1_0000,
    0x0804_8000,
    0x7fff_ffff,
    0x8000_0000,
    0xbfff_f000,
    0xc000_0000,
    0xffff_f000,
    0xffff_ffff,
];

/// Offsets and lengths of the fields of the header behind its first 16 bytes.
const FIELDS: [(usize, usize); 13] = [
    (16, 2),
    (18, 2),
    (20, 4),
    (24, 4),
    (28, 4),
    (32, 4),
    (36, 4),
    (40, 2),
    (42, 2),
    (44, 2),
    (46, 2),
    (48, 2),
    (50, 2),
];

/// `good` with one to three things changed.
pub fn broken(good: &[u8], random: &mut Rand32) -> Vec<u8> {
    let mut file = good.to_vec();
    for _ in 0..=random.rand_range(0..3) {
        change(&mut file, random);
    }
    file
}

fn change(file: &mut Vec<u8>, random: &mut Rand32) {
    match random.rand_range(0..12) {
        0 => set(file, random.rand_range(0..16) as usize, 1, random.rand_u32()),
        1 | 2 => {
            let (at, length) = FIELDS[random.rand_range(0..FIELDS.len() as u32) as usize];
            let value = edge(random);
            set(file, at, length, value);
        }
        3..=6 => {
            let at = program(file, random) + 4 * random.rand_range(0..8) as usize;
            let value = edge(random);
            set(file, at, 4, value);
        }
        // Two program headers become the same: segments overlap.
        7 => {
            let (from, to) = (program(file, random), program(file, random));
            if let Some(header) = file.get(from..from + PROGRAM).map(<[u8]>::to_vec)
                && let Some(place) = file.get_mut(to..to + PROGRAM)
            {
                place.copy_from_slice(&header);
            }
        }
        8 => file.truncate(random.rand_range(0..file.len().max(1) as u32) as usize),
        9 => {
            for _ in 0..random.rand_range(1..64) {
                let at = random.rand_range(0..file.len().max(1) as u32) as usize;
                set(file, at, 1, random.rand_u32());
            }
        }
        // A script, of an interpreter that is not there, is the script, has a long name, or none.
        10 => {
            let lines: [&[u8]; 5] =
                [b"#!", b"#! \n", b"#!/tmp/badelf\n", b"#!/nothing x\n", b"#!/userland/nothing a b c\n"];
            *file = lines[random.rand_range(0..5) as usize].to_vec();
            if random.rand_range(0..2) == 0 {
                file.extend([b'/'; 5000]);
            }
        }
        _ => set(file, PROGRAMS, 2, random.rand_u32()),
    }
}

/// Where one of the program headers is, of those that there may be.
fn program(file: &[u8], random: &mut Rand32) -> usize {
    let count = file.get(PROGRAMS).copied().unwrap_or(1).clamp(1, 16);
    HEADER + PROGRAM * random.rand_range(0..count.into()) as usize
}

fn edge(random: &mut Rand32) -> u32 {
    match random.rand_range(0..4) {
        0 => random.rand_u32(),
        _ => EDGES[random.rand_range(0..EDGES.len() as u32) as usize],
    }
}

/// Sets bytes of the file, those of them that there are.
fn set(file: &mut [u8], at: usize, length: usize, value: u32) {
    for (byte, new) in file.iter_mut().skip(at).take(length).zip(value.to_le_bytes()) {
        *byte = new;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn good() -> Vec<u8> {
        let mut file = b"\x7fELF\x01\x01\x01".to_vec();
        file.resize(HEADER + 3 * PROGRAM + 100, 0);
        file[PROGRAMS] = 3;
        file
    }

    #[test]
    fn a_seed_breaks_it_the_same_way_again() {
        let broken = |seed| super::broken(&good(), &mut Rand32::new(seed));
        assert_eq!(broken(1), broken(1));
        assert!((0..20).any(|seed| broken(seed) != broken(seed + 1)));
    }

    #[test]
    fn every_byte_of_the_headers_is_changed_some_time() {
        let good = good();
        let mut random = Rand32::new(1);
        let mut changed = BTreeSet::new();
        let (mut shorter, mut scripts) = (0, 0);
        for _ in 0..20_000 {
            let file = broken(&good, &mut random);
            if file.starts_with(b"#!") {
                scripts += 1;
            } else if file.len() < good.len() {
                shorter += 1;
            }
            changed.extend((0..file.len().min(good.len())).filter(|at| file[*at] != good[*at]));
        }
        assert!((0..HEADER + 3 * PROGRAM).all(|at| changed.contains(&at)));
        assert!(shorter > 100 && scripts > 100);
    }

    #[test]
    fn what_is_no_program_can_be_broken_too() {
        let mut random = Rand32::new(2);
        for length in [0, 1, 45, 60] {
            for _ in 0..1000 {
                broken(&good()[..length], &mut random);
            }
        }
    }
}
