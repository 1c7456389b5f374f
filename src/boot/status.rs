//! How a kernel ends.

/// What a kernel says when it ends: 0 to 127, 0 for success.
///
/// The library ends with these by itself:
///
/// | status | why |
/// |---|---|
/// | 101 | a panic |
/// | 120 | not started by a multiboot loader |
/// | 121 | the loader's structures are cut short, or wrong |
/// | 122 | boot modules overlap |
/// | 123 | the machine lacks what the paging mode needs |
/// | 124 | too little RAM |
/// | 125 | the library stopped the machine: a double fault, or a trap that nobody handles |
/// | 126 | the library refused the layout or the memory map |
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct Status(u8);

impl Status {
    /// All went well.
    pub const OK: Self = Self(0);
    /// The kernel failed, and says no more.
    pub const FAILED: Self = Self(1);
    /// A panic.
    pub const PANIC: Self = Self(101);
    /// Not started by a multiboot loader.
    pub const NO_LOADER: Self = Self(120);
    /// The loader's structures are cut short, or wrong.
    pub const BAD_STRUCTURE: Self = Self(121);
    /// Boot modules overlap.
    pub const MODULES_OVERLAP: Self = Self(122);
    /// The machine lacks what the paging mode needs.
    pub const UNSUPPORTED: Self = Self(123);
    /// Too little RAM.
    pub const NO_ROOM: Self = Self(124);
    /// The library stopped the machine.
    pub const STOPPED: Self = Self(125);
    /// The library refused the layout or the memory map.
    pub const REFUSED: Self = Self(126);

    /// The status `number`, or `None` above 127.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 128 { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}
