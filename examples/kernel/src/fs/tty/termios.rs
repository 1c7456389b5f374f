//! How a terminal behaves, as programs set it.

use super::super::stat::Fields;
use bitflags::bitflags;

bitflags! {
    /// What becomes of input.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct InputFlags: u32 {
        const ISTRIP = 0x20;
        const INLCR = 0x40;
        const IGNCR = 0x80;
        const ICRNL = 0x100;
        const IXON = 0x400;
        const IXANY = 0x800;
        const IMAXBEL = 0x2000;
        const IUTF8 = 0x4000;
        const _ = !0;
    }

    /// What becomes of output.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OutputFlags: u32 {
        const OPOST = 1;
        const ONLCR = 4;
        const OCRNL = 8;
        const ONOCR = 0x10;
        const ONLRET = 0x20;
        const XTABS = 0x1800;
        const _ = !0;
    }

    /// What a line is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct LocalFlags: u32 {
        const ISIG = 1;
        const ICANON = 2;
        const ECHO = 8;
        const ECHOE = 0x10;
        const ECHOK = 0x20;
        const ECHONL = 0x40;
        const NOFLSH = 0x80;
        const TOSTOP = 0x100;
        const ECHOCTL = 0x200;
        const ECHOKE = 0x800;
        const IEXTEN = 0x8000;
        const _ = !0;
    }
}

/// Which key a control character is, by its place in `c_cc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Interrupt = 0,
    Quit = 1,
    Erase = 2,
    Kill = 3,
    EndOfFile = 4,
    Time = 5,
    Minimum = 6,
    Start = 8,
    Stop = 9,
    Suspend = 10,
    EndOfLine = 11,
    Reprint = 12,
    EraseWord = 14,
    Literal = 15,
    EndOfLine2 = 16,
}

/// How many control characters there are.
const KEYS: usize = 19;
/// 38400 bits a second, eight to a byte, received; hangs up when closed.
const CONTROL: u32 = 0x4bf;
/// The speed as a number, for `termios2`.
const SPEED: u32 = 38400;

/// `struct termios`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termios {
    pub input: InputFlags,
    pub output: OutputFlags,
    /// Speed and shape of bytes: kept, and of no effect.
    pub control: u32,
    pub local: LocalFlags,
    discipline: u8,
    keys: [u8; KEYS],
}

impl Termios {
    pub const SIZE: usize = 36;
    /// Of `struct termios2`, with the speeds at the end.
    pub const SIZE_2: usize = 44;

    pub const fn new() -> Self {
        let local = LocalFlags::ISIG
            .union(LocalFlags::ICANON)
            .union(LocalFlags::ECHO)
            .union(LocalFlags::ECHOE)
            .union(LocalFlags::ECHOK)
            .union(LocalFlags::ECHOCTL)
            .union(LocalFlags::ECHOKE)
            .union(LocalFlags::IEXTEN);
        Self {
            input: InputFlags::ICRNL.union(InputFlags::IXON),
            output: OutputFlags::OPOST.union(OutputFlags::ONLCR),
            control: CONTROL,
            local,
            discipline: 0,
            keys: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0],
        }
    }

    /// The control character of a key; zero if it has none.
    pub fn key(&self, key: Key) -> u8 {
        self.keys.get(key as usize).copied().unwrap_or(0)
    }

    pub fn set_key(&mut self, key: Key, byte: u8) {
        if let Some(place) = self.keys.get_mut(key as usize) {
            *place = byte;
        }
    }

    /// Whether a byte is this key. No byte is a key that has none.
    pub(super) fn is(&self, byte: u8, key: Key) -> bool {
        byte != 0 && byte == self.key(key)
    }

    pub(super) fn is_canonical(&self) -> bool {
        self.local.contains(LocalFlags::ICANON)
    }

    pub(super) fn echoes(&self) -> bool {
        self.local.contains(LocalFlags::ECHO)
    }

    fn fields<const N: usize>(&self) -> Fields<N> {
        Fields::new()
            .u32(self.input.bits())
            .u32(self.output.bits())
            .u32(self.control)
            .u32(self.local.bits())
            .bytes(&[self.discipline])
            .bytes(&self.keys)
    }

    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        self.fields().finish()
    }

    pub fn to_bytes_2(&self) -> [u8; Self::SIZE_2] {
        self.fields().u32(SPEED).u32(SPEED).finish()
    }

    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let word = |place: usize| {
            let word = bytes.get(place * 4..).and_then(<[u8]>::first_chunk);
            u32::from_le_bytes(word.copied().unwrap_or_default())
        };
        let [.., discipline] = bytes.first_chunk::<17>().copied().unwrap_or_default();
        Self {
            input: InputFlags::from_bits_retain(word(0)),
            output: OutputFlags::from_bits_retain(word(1)),
            control: word(2),
            local: LocalFlags::from_bits_retain(word(3)),
            discipline,
            keys: bytes.last_chunk().copied().unwrap_or_default(),
        }
    }
}

impl Default for Termios {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_as_linux_has_them() {
        let bytes = Termios::new().to_bytes();
        assert_eq!(bytes[..17], [0, 5, 0, 0, 5, 0, 0, 0, 0xbf, 4, 0, 0, 0x3b, 0x8a, 0, 0, 0]);
        assert_eq!(bytes[17..22], [3, 28, 127, 21, 4]);
        assert_eq!(Termios::from_bytes(&bytes), Termios::new());
        assert_eq!(Termios::new().to_bytes_2()[36..40], 38400_u32.to_le_bytes());
    }
}
