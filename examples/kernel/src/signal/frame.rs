//! What a handler finds on its stack, laid out as Linux does on i386 (`struct sigframe`, `struct rt_sigframe`).
//!
//! ```text
//! sigframe                        rt_sigframe, for SA_SIGINFO
//!   0  return address               0  return address
//!   4  signal                       4  signal
//!   8  sigcontext, 88 bytes         8  address of the siginfo
//!  96  unused, 624                 12  address of the ucontext
//! 720  high half of the mask       16  siginfo, 128 bytes
//! 724  unused, 8                  144  ucontext, 116 bytes: flags, link, stack, sigcontext, mask
//!                                 260  unused, 8
//! ```
//!
//! Floating-point state lies above it: 112 bytes of `struct _fpstate` that only programs for CPUs without SSE read,
//! and which are not filled, and what FXSAVE stores.

/// Words of a `struct sigcontext`.
pub const CONTEXT_WORDS: usize = 22;
/// Bytes of it.
pub const CONTEXT: usize = 4 * CONTEXT_WORDS;
/// Bytes of a `struct sigframe`.
pub const PLAIN: u32 = 732;
/// Where its context and the high half of its mask begin.
pub const PLAIN_CONTEXT: u32 = 8;
/// The high half of the mask.
pub const PLAIN_MASK: u32 = 720;
/// Bytes of a `struct rt_sigframe`.
pub const RICH: u32 = 268;
/// Where its `siginfo_t` begins.
pub const RICH_INFO: u32 = 16;
/// Where its `ucontext_t` begins.
pub const RICH_UCONTEXT: u32 = 144;
/// Words of a `ucontext_t` in front of its `sigcontext`.
pub const UCONTEXT_HEAD: usize = 5;
/// Where its `sigcontext` begins.
pub const RICH_CONTEXT: u32 = RICH_UCONTEXT + 4 * UCONTEXT_HEAD as u32;
/// Bytes of `struct _fpstate`, of which the first 112 are unused.
pub const FLOATS: u32 = 624;
/// Where FXSAVE's bytes begin in it.
pub const FLOATS_FXSAVE: u32 = 112;
/// Where the word lies that says that they do: `magic` is zero, in the upper half.
pub const FLOATS_MAGIC: u32 = 108;

const _: () = assert!(PLAIN_CONTEXT as usize + CONTEXT + 624 == PLAIN_MASK as usize);
const _: () = assert!(RICH_CONTEXT as usize + CONTEXT + 8 + 8 == RICH as usize);

/// The code at the start of the page that every address space has: what a handler without a restorer returns to.
///
/// `popl %eax; movl $119, %eax; int $0x80`, and from byte 16 on `movl $173, %eax; int $0x80`.
pub const TRAMPOLINE: [u8; 23] = [
    0x58, 0xb8, 119, 0, 0, 0, 0xcd, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, //
    0xb8, 173, 0, 0, 0, 0xcd, 0x80,
];
/// Where the second begins.
pub const TRAMPOLINE_RICH: u32 = 16;

/// What a `struct sigcontext` says of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Saved {
    /// GS, FS, ES, DS.
    pub segments: [u16; 4],
    /// EDI, ESI, EBP, ESP, EBX, EDX, ECX, EAX.
    pub general: [u32; 8],
    /// Number and error code of the last exception, for one that a fault brought about.
    pub trap: [u32; 2],
    /// EIP.
    pub instruction: u32,
    /// EFLAGS.
    pub flags: u32,
    /// Where the floating-point state lies, or 0.
    pub floats: u32,
    /// The low half of the mask.
    pub mask: u32,
    /// CR2.
    pub address: u32,
}

impl Saved {
    /// Its words, with the selectors of ring 3's code and stack.
    pub fn words(&self, code: u16, stack: u16) -> [u32; CONTEXT_WORDS] {
        let [gs, fs, es, ds] = self.segments.map(u32::from);
        let [edi, esi, ebp, esp, ebx, edx, ecx, eax] = self.general;
        let [number, error] = self.trap;
        [
            gs,
            fs,
            es,
            ds,
            edi,
            esi,
            ebp,
            esp,
            ebx,
            edx,
            ecx,
            eax,
            number,
            error,
            self.instruction,
            code.into(),
            self.flags,
            esp,
            stack.into(),
            self.floats,
            self.mask,
            self.address,
        ]
    }

    /// From the words of a `struct sigcontext`, which may be anything.
    pub fn from_words(words: &[u32; CONTEXT_WORDS]) -> Self {
        let [gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax, number, error, eip, _, flags, ..] =
            *words;
        let [.., floats, mask, address] = *words;
        Self {
            segments: [gs, fs, es, ds].map(|selector| selector as u16),
            general: [edi, esi, ebp, esp, ebx, edx, ecx, eax],
            trap: [number, error],
            instruction: eip,
            flags,
            floats,
            mask,
            address,
        }
    }
}

/// Where a frame of `size` bytes begins, below `top`, so that the stack is aligned as a called function finds it;
/// and where the floating-point state above it does. `None` if there is no such room in the address space.
pub fn place(top: u32, size: u32) -> Option<(u32, u32)> {
    let floats = top.checked_sub(FLOATS)? & !63;
    let frame = floats.checked_sub(size)?;
    Some(((frame.checked_add(4)? & !15).checked_sub(4)?, floats))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_comes_back_as_it_was() {
        let saved = Saved {
            segments: [0x33, 0, 0x2b, 0x2b],
            general: [1, 2, 3, 4, 5, 6, 7, 8],
            trap: [14, 6],
            instruction: 9,
            flags: 10,
            floats: 11,
            mask: 12,
            address: 13,
        };
        let words = saved.words(0x23, 0x2b);
        assert_eq!((words[15], words[17], words[18]), (0x23, 4, 0x2b));
        assert_eq!(Saved::from_words(&words), saved);
    }

    #[test]
    fn a_frame_is_aligned_as_for_a_call_and_below_the_floats() {
        for top in 0xbfff_0000u32..0xbfff_0100 {
            for size in [PLAIN, RICH] {
                let (frame, floats) = place(top, size).unwrap();
                assert_eq!((frame + 4) % 16, 0);
                assert_eq!(floats % 64, 0);
                assert!(frame + size <= floats && floats + FLOATS <= top);
            }
        }
        assert_eq!(place(500, PLAIN), None);
        assert_eq!(place(700, PLAIN), None);
    }

    #[test]
    fn the_trampoline_calls_both_ways_to_return() {
        assert_eq!(TRAMPOLINE[2], 119, "sigreturn");
        assert_eq!(TRAMPOLINE[TRAMPOLINE_RICH as usize + 1], 173, "rt_sigreturn");
    }
}
