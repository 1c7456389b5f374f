//! What is counted.

use iced_x86::{Code, Decoder, DecoderOptions, Register};

/// An instruction that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Loads CR3: flushes all but global entries.
    LoadCr3,
    /// Loads CR4: flushes all, if it changes the paging or switches global pages on or off.
    LoadCr4,
    /// Flushes one page.
    Invlpg,
    /// Reads the time-stamp counter.
    ReadCounter,
}

impl Kind {
    /// What the 32-bit code `bytes` starts with, if that is counted.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let instruction = Decoder::new(32, bytes, DecoderOptions::NONE).decode();
        match (instruction.code(), instruction.op0_register()) {
            (Code::Mov_cr_r32, Register::CR3) => Some(Self::LoadCr3),
            (Code::Mov_cr_r32, Register::CR4) => Some(Self::LoadCr4),
            (Code::Invlpg_m, _) => Some(Self::Invlpg),
            (Code::Rdtsc, _) => Some(Self::ReadCounter),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known_whatever_its_operand() {
        for (bytes, kind) in [
            (&[0x0f, 0x22, 0xd8][..], Kind::LoadCr3),  // mov %eax,%cr3
            (&[0x0f, 0x22, 0xdd], Kind::LoadCr3),      // mov %ebp,%cr3
            (&[0x0f, 0x22, 0xe7], Kind::LoadCr4),      // mov %edi,%cr4
            (&[0x0f, 0x01, 0x38], Kind::Invlpg),       // invlpg (%eax)
            (&[0x0f, 0x01, 0x7d, 0x00], Kind::Invlpg), // invlpg 0(%ebp)
            (&[0x0f, 0x01, 0x3c, 0x24], Kind::Invlpg), // invlpg (%esp)
            (&[0x3e, 0x0f, 0x01, 0x3d, 0, 0x10, 0, 0xc0], Kind::Invlpg), // invlpg %ds:0xc0001000
            (&[0x0f, 0x31], Kind::ReadCounter),
        ] {
            assert_eq!(Kind::of(bytes), Some(kind), "{bytes:x?}");
        }
    }

    #[test]
    fn what_looks_like_it_is_not_counted() {
        for bytes in [
            &[0x0f, 0x20, 0xd8][..],        // mov %cr3,%eax
            &[0x0f, 0x22, 0xc0],            // mov %eax,%cr0
            &[0x0f, 0x22, 0xd0],            // mov %eax,%cr2
            &[0x0f, 0x23, 0xd8],            // mov %eax,%db3
            &[0x0f, 0x01, 0x30],            // lmsw (%eax)
            &[0x0f, 0x01, 0x18],            // lidt (%eax)
            &[0x0f, 0x01, 0xf8],            // the same opcode with a register: swapgs
            &[0x0f, 0x01, 0xf9],            // rdtscp
            &[0x0f, 0x32],                  // rdmsr
            &[0xb8, 0x0f, 0x01, 0x38, 0x0], // mov $0x38010f,%eax
            &[0x0f],
            &[],
        ] {
            assert_eq!(Kind::of(bytes), None, "{bytes:x?}");
        }
    }
}
