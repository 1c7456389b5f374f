//! What may stand in each bit of an entry, as data, and every entry compared with it.

use crate::address::Frame;
use crate::machine::Word;
use crate::mmu::{Entry, Half, Leaf, PagingMode, Rights};

/// What a bit must be in a legal present entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bit {
    Zero,
    One,
    Any,
}

impl Bit {
    const fn allows(self, set: bool) -> bool {
        match self {
            Bit::Zero => !set,
            Bit::One => set,
            Bit::Any => true,
        }
    }
}

/// The legal present entries of a table of `level`. Bits 12 to 31 are the frame's, and any; bits 32
/// to 62 are zero.
pub(crate) struct Form {
    pub(crate) level: u8,
    pub(crate) is_leaf: bool,
    pub(crate) low: [Bit; 12],
    /// Bit 63.
    pub(crate) no_execute: Bit,
}

/// The low bits of a leaf, in either mode: no caching bits on RAM, no global page, nothing in the ignored bits.
pub(crate) const OF_LEAF: [Bit; 12] = [
    Bit::One,  // P
    Bit::Any,  // R/W
    Bit::Any,  // U/S
    Bit::Zero, // PWT
    Bit::Zero, // PCD
    Bit::Any,  // A
    Bit::Any,  // D
    Bit::Zero, // PAT
    Bit::Zero, // G
    Bit::Zero, // ignored
    Bit::Zero, // ignored
    Bit::Zero, // ignored
];

/// Those of an entry that links a table. It takes no right away, so R/W is set.
pub(crate) const OF_LINK: [Bit; 12] = [
    Bit::One,  // P
    Bit::One,  // R/W
    Bit::Any,  // U/S
    Bit::Zero, // PWT
    Bit::Zero, // PCD
    Bit::Any,  // A
    Bit::Zero, // ignored
    Bit::Zero, // PS
    Bit::Zero, // ignored
    Bit::Zero, // ignored
    Bit::Zero, // ignored
    Bit::Zero, // ignored
];

/// Those of a leaf for registers of a device: written, and never cached.
pub(crate) const OF_DEVICE: [Bit; 12] = [
    Bit::One,  // P
    Bit::One,  // R/W
    Bit::Any,  // U/S
    Bit::One,  // PWT
    Bit::One,  // PCD
    Bit::Any,  // A
    Bit::Any,  // D
    Bit::Zero, // PAT
    Bit::Zero, // G
    Bit::Zero, // ignored
    Bit::Zero, // ignored
    Bit::Zero, // ignored
];

/// Frames to name: both ends, and some patterns.
pub(crate) const FRAMES: [u32; 7] = [0, 1, 2, 0x5_5555, 0xa_aaaa, 0xf_fffe, 0xf_ffff];

impl Form {
    /// What an entry reads as, by the form alone.
    fn reads(&self, low: u32, number: u32, high: u64) -> Reads {
        if low == 0 && number == 0 && high == 0 {
            return Reads::Empty;
        }
        let low_legal = (0..12).all(|bit| self.low[bit as usize].allows(low >> bit & 1 == 1));
        let legal = low_legal && high << 1 == 0 && self.no_execute.allows(high >> 63 == 1);
        match (legal, self.is_leaf) {
            (false, _) => Reads::Illegal,
            (true, true) => Reads::Leaf,
            (true, false) => Reads::Table,
        }
    }
}

enum Reads {
    Empty,
    Illegal,
    Leaf,
    Table,
}

impl Reads {
    /// What an entry reads as that may have either form.
    fn or(self, other: Self) -> Self {
        if matches!(self, Self::Illegal) { other } else { self }
    }
}

/// Compares `decode` with `forms`, all those of one level, for all low bits, [`FRAMES`] and each of `highs`, the bits from 32
/// on. Says how many were legal.
pub(crate) fn check_decode<P: PagingMode>(
    forms: &[Form],
    highs: impl Iterator<Item = u64>,
    always_executable: bool,
) -> u64 {
    let mut legal = 0;
    for high in highs {
        for number in FRAMES {
            for low in 0..4096u32 {
                let raw = P::Raw::low_bits_of(high | u64::from(number << 12 | low));
                let level = forms.first().unwrap().level;
                let entry = P::decode(level, raw);
                let reads = forms.iter().map(|form| form.reads(low, number, high));
                let reads = reads.reduce(Reads::or).unwrap();
                match (reads, entry) {
                    (Reads::Empty, Entry::Empty) | (Reads::Illegal, Entry::Illegal) => {}
                    (Reads::Table, Entry::Table(table)) => {
                        assert_eq!(table.number(), number);
                        legal += 1;
                    }
                    (Reads::Leaf, Entry::Leaf(leaf)) => {
                        check_leaf(leaf, low, number, always_executable || high >> 63 == 0);
                        assert_eq!(P::unpack(raw), leaf, "{raw:x?}");
                        legal += 1;
                    }
                    (_, entry) => panic!("level {level}: {raw:x?} reads as {entry:?}"),
                }
            }
        }
    }
    legal
}

fn check_leaf(leaf: Leaf, low: u32, number: u32, execute: bool) {
    let bit = |bit: u32| low >> bit & 1 == 1;
    assert_eq!(Some(leaf.frame()), Frame::new(number));
    assert_eq!(leaf.write(), bit(1));
    assert_eq!(leaf.rights(), Rights::new(bit(1), execute));
    assert_eq!(leaf.half(), if bit(2) { Half::User } else { Half::Kernel });
    assert_eq!((leaf.accessed(), leaf.dirty()), (bit(5), bit(6)));
    assert_eq!(leaf.is_device(), bit(3) && bit(4));
}

/// `without_history` clears the bits of `history` and no other; `with_history` sets those of them
/// that the second entry has.
pub(crate) fn check_history<P: PagingMode>(entries: &[P::Raw], history: u64, wide: impl Fn(P::Raw) -> u64) {
    let others = [0, history, !0, !history, 0x20, 0x40, !0x20, !0x40];
    for &raw in entries {
        assert_eq!(wide(P::without_history(raw)), wide(raw) & !history);
        for other in others {
            let other = P::Raw::low_bits_of(other);
            let expected = wide(raw) | (wide(other) & history);
            assert_eq!(wide(P::with_history(raw, other)), expected, "{raw:x?} {other:x?}");
        }
    }
}
