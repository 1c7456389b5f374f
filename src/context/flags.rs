//! EFLAGS of a program in ring 3.

/// EFLAGS bits (Intel SDM vol. 1, 3.4.3).
const INTERRUPT: u32 = 1 << 9;
const ALWAYS_SET: u32 = 1 << 1;

/// EFLAGS as a user program may have them: interrupts on, nothing that is ring 0's to decide.
///
/// There is no other value of this type, so that nobody has to look when ring 3 is entered: what the kernel
/// [makes](Self::new) is masked then and there, and what ring 3 is left with is what POPF and the CPU let it have (neither
/// IF nor IOPL, VM, VIF or VIP; SDM vol. 2, POPF).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct UserFlags(u32);

impl UserFlags {
    /// The bits that are a program's own: the status flags, DF, TF, AC and ID.
    pub const OWN: u32 = 0x0000_0cd5 | 1 << 8 | 1 << 18 | 1 << 21;

    /// Of `bits`, those that are a program's [own](Self::OWN), with IF set. Attack U2.
    #[inline(always)]
    pub const fn new(bits: u32) -> Self {
        Self(bits & Self::OWN | INTERRUPT | ALWAYS_SET)
    }

    /// Any bits, to see that the emulated CPU objects.
    #[cfg(all(test, feature = "emulated"))]
    pub(crate) const fn forged(bits: u32) -> Self {
        Self(bits)
    }

    /// All 32. Besides what [`new`](Self::new) takes, a program that was interrupted may have NT and RF.
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bit alone, a bit missing, and random ones, against the manual's list.
    #[test]
    fn every_flag_is_kept_or_dropped() {
        let own = [0, 2, 4, 6, 7, 8, 10, 11, 18, 21].iter().fold(0, |flags, bit| flags | 1_u32 << bit);
        assert_eq!(UserFlags::OWN, own);
        for bit in 0..32 {
            for bits in [1_u32 << bit, !(1 << bit), 0x9e37_79b9_u32.rotate_left(bit)] {
                // IF and the bit that is always set, beside what the program has a say in.
                assert_eq!(UserFlags::new(bits).bits(), bits & own | 0x202, "{bits:#x}");
            }
        }
    }
}
