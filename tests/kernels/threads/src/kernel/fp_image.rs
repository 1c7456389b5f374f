//! The registers of x87, MMX and SSE as bytes: as FXSAVE writes them, or FNSAVE on a CPU without.

use super::cpu;
use alloc::vec::Vec;
use core::ops::Range;

/// Offsets in what FXSAVE writes (Intel SDM vol. 1, table 10-2).
const MXCSR: Range<usize> = 24..28;
const MXCSR_MASK: Range<usize> = 28..32;
const MXCSR_AT_FIRST: u32 = 0x1f80;
/// Control word after FNINIT.
const CONTROL: u16 = 0x037f;
const REGISTERS: usize = 8;

/// An image of all registers, as the CPU of this machine writes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Image {
    /// Control and status word.
    pub(super) control: u16,
    pub(super) status: u16,
    /// Which registers are empty: a bit each.
    pub(super) empty: u8,
    /// R0 to R7 from the top of the stack on.
    pub(super) stack: [[u8; 10]; REGISTERS],
    pub(super) mxcsr: u32,
    pub(super) vectors: [[u8; 16]; REGISTERS],
}

impl Image {
    /// What a program begins with.
    pub(super) const FIRST: Self = Self {
        control: CONTROL,
        status: 0,
        empty: 0xff,
        stack: [[0; 10]; REGISTERS],
        mxcsr: MXCSR_AT_FIRST,
        vectors: [[0; 16]; REGISTERS],
    };

    /// Registers full of what `seed` says. A CPU without SSE has no vectors.
    pub(super) fn of(seed: u32) -> Self {
        let mut word = seed.wrapping_mul(0x9e37_79b1) | 1;
        let mut byte = || {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (word >> 24) as u8
        };
        let mut image = Self::FIRST;
        image.empty = 0;
        // Rounding and precision.
        image.control = CONTROL & 0xf0ff | u16::from(byte() & 0xc) << 8;
        image.stack = image.stack.map(|register| register.map(|_| byte()));
        if cpu::has_sse() {
            image.mxcsr = MXCSR_AT_FIRST | u32::from(byte() & 3) << 13;
            image.vectors = image.vectors.map(|register| register.map(|_| byte()));
        }
        image
    }

    /// As bytes for FXRSTOR, or FRSTOR.
    pub(super) fn bytes(&self) -> [u8; 512] {
        let mut bytes = [0; 512];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, &self.control.to_le_bytes());
        if cpu::has_fxsave() {
            put(2, &self.status.to_le_bytes());
            put(4, &[!self.empty]);
            put(MXCSR.start, &self.mxcsr.to_le_bytes());
            for (number, register) in self.stack.iter().enumerate() {
                put(32 + 16 * number, register);
            }
            for (number, register) in self.vectors.iter().enumerate() {
                put(160 + 16 * number, register);
            }
        } else {
            put(4, &self.status.to_le_bytes());
            let tags = (0..8).filter(|bit| self.empty >> bit & 1 != 0).map(|bit| 3_u16 << (2 * bit)).sum();
            put(8, &u16::to_le_bytes(tags));
            for (number, register) in self.stack.iter().enumerate() {
                put(28 + 10 * number, register);
            }
        }
        bytes
    }

    /// From what FXSAVE or FNSAVE wrote.
    pub(super) fn from_bytes(bytes: &[u8; 512]) -> Self {
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let mut image = Self { control: half(0), ..Self::FIRST };
        if cpu::has_fxsave() {
            image.status = half(2);
            image.empty = !bytes[4];
            for (number, register) in image.stack.iter_mut().enumerate() {
                register.copy_from_slice(&bytes[32 + 16 * number..][..10]);
            }
            if cpu::has_sse() {
                image.mxcsr = u32::from_le_bytes(bytes[MXCSR].try_into().unwrap());
                for (number, register) in image.vectors.iter_mut().enumerate() {
                    register.copy_from_slice(&bytes[160 + 16 * number..][..16]);
                }
            }
        } else {
            image.status = half(4);
            let tags = half(8);
            image.empty = (0..8).map(|bit| u8::from(tags >> (2 * bit) & 3 == 3) << bit).sum();
            for (number, register) in image.stack.iter_mut().enumerate() {
                register.copy_from_slice(&bytes[28 + 10 * number..][..10]);
            }
        }
        image
    }

    /// With an x87 exception, a division by zero, that is not masked and pending.
    pub(super) fn pending(seed: u32) -> Self {
        const ZERO_DIVIDE: u16 = 1 << 2;
        const SUMMARY_AND_BUSY: u16 = 1 << 7 | 1 << 15;
        let mut image = Self::of(seed);
        image.control &= !ZERO_DIVIDE;
        image.status = ZERO_DIVIDE | SUMMARY_AND_BUSY;
        image
    }
}

/// MXCSR of `bytes` as the CPU takes it that wrote `stored`: with the bits that MXCSR_MASK says (Intel SDM vol. 1,
/// 11.6.6).
pub(super) fn loadable_mxcsr(bytes: &[u8; 512], stored: &[u8; 512]) -> u32 {
    let word = |bytes: &[u8; 512], range: Range<usize>| u32::from_le_bytes(bytes[range].try_into().unwrap());
    match word(stored, MXCSR_MASK) {
        _ if !cpu::has_sse() => MXCSR_AT_FIRST,
        0 => word(bytes, MXCSR) & 0xffbf,
        mask => word(bytes, MXCSR) & mask,
    }
}

/// Bytes that no CPU writes.
pub(super) fn hostile() -> Vec<[u8; 512]> {
    let mut alternating = [0x55; 512];
    alternating.iter_mut().step_by(2).for_each(|byte| *byte = 0xaa);
    // Everything pending, nothing masked, every register in use.
    let mut unmasked = [0xff; 512];
    unmasked[..2].fill(0);
    [[0xff; 512], [0; 512], alternating, unmasked].to_vec()
}
