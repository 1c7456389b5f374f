//! What a frame is used for.

/// The use of a frame, kept in bits 0 to 4 of its word.
///
/// `None` is 0, so that a zeroed or absent entry of the frame table denies everything. A kind
/// changes only while nothing maps, links, loads, reads or writes the frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// There is no such frame: past the end of RAM, a hole, reserved by firmware.
    None = 0,
    /// Nobody's: the client may declare or retype it.
    Free = 1,
    /// Bytes of the kernel, reached by copies only, never mapped by the client.
    KernelData = 2,
    /// Bytes of user programs: the one kind that the user half may map.
    UserData = 3,
    /// Lent to Rust as one owner's [`KernelPages`](crate::mmu::KernelPages).
    Pages = 4,
    /// Granted to Rust for ever.
    Heap = 5,
    /// The kernel image's data and read-only data.
    Image = 6,
    /// The kernel image's text.
    Code = 7,
    /// A range that the layout keeps: boot modules, command line, pinned memory.
    Kept = 8,
    /// A kernel stack.
    Stack = 9,
    /// The library's own memory.
    Monitor = 10,
    /// GDT, IDT or TSS.
    Descriptor = 11,
    /// A buffer that a device may write at any time.
    Dma = 12,
    /// A page table of the kernel half, any level below the root.
    KernelTable = 13,
    /// The table whose address CR3 takes.
    Root = 16,
    /// A user-half page table whose entries are leaves.
    Table1 = 17,
    /// A user-half page table whose entries are `Table1`s.
    Table2 = 18,
    /// A user-half page table whose entries are `Table2`s.
    Table3 = 19,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 18] = [
        Kind::None,
        Kind::Free,
        Kind::KernelData,
        Kind::UserData,
        Kind::Pages,
        Kind::Heap,
        Kind::Image,
        Kind::Code,
        Kind::Kept,
        Kind::Stack,
        Kind::Monitor,
        Kind::Descriptor,
        Kind::Dma,
        Kind::KernelTable,
        Kind::Root,
        Kind::Table1,
        Kind::Table2,
        Kind::Table3,
    ];

    /// The kind with this number; an unused number denies everything, as `None` does.
    #[inline]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        match bits {
            1 => Kind::Free,
            2 => Kind::KernelData,
            3 => Kind::UserData,
            4 => Kind::Pages,
            5 => Kind::Heap,
            6 => Kind::Image,
            7 => Kind::Code,
            8 => Kind::Kept,
            9 => Kind::Stack,
            10 => Kind::Monitor,
            11 => Kind::Descriptor,
            12 => Kind::Dma,
            13 => Kind::KernelTable,
            16 => Kind::Root,
            17 => Kind::Table1,
            18 => Kind::Table2,
            19 => Kind::Table3,
            _ => Kind::None,
        }
    }

    /// The number that [`from_bits`](Self::from_bits) takes.
    #[expect(clippy::as_conversions, reason = "the number of a `repr(u8)` variant, widened")]
    pub(crate) const fn bits(self) -> u32 {
        self as u32
    }

    /// The kind of a user-half table at `level` below the root, 1 to 3.
    #[inline]
    pub(crate) const fn table(level: u8) -> Option<Self> {
        match level {
            1 => Some(Kind::Table1),
            2 => Some(Kind::Table2),
            3 => Some(Kind::Table3),
            _ => None,
        }
    }

    /// The level of a user-half table: 1 for a table of leaves. `None` for all else, roots included.
    #[inline]
    pub(crate) const fn level(self) -> Option<u8> {
        match self {
            Kind::Table1 => Some(1),
            Kind::Table2 => Some(2),
            Kind::Table3 => Some(3),
            _ => None,
        }
    }

    /// Whether a frame's bytes may be read and written by copies.
    pub(crate) const fn has_bytes(self) -> bool {
        matches!(self, Kind::KernelData | Kind::UserData | Kind::Dma)
    }
}

#[cfg(test)]
mod tests;
