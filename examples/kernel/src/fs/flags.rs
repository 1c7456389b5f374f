//! How a file is opened.

use bitflags::bitflags;

bitflags! {
    /// The flags of `open`, `pipe2`, `dup3` and `fcntl`, as on i386. Access is the lowest two bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        const WRONLY = 1;
        const RDWR = 2;
        const CREAT = 0o100;
        const EXCL = 0o200;
        const NOCTTY = 0o400;
        const TRUNC = 0o1000;
        const APPEND = 0o2000;
        const NONBLOCK = 0o4000;
        const LARGEFILE = 0o100000;
        const DIRECTORY = 0o200000;
        const NOFOLLOW = 0o400000;
        const CLOEXEC = 0o2000000;
        const PATH = 0o10000000;
        const TMPFILE = 0o20200000;
        const _ = !0;
    }
}

impl OpenFlags {
    pub const RDONLY: Self = Self::empty();
    pub(super) const ACCESS: u32 = 3;
    /// What `F_SETFL` changes.
    pub(super) const SETTABLE: Self = Self::APPEND.union(Self::NONBLOCK);

    pub const fn reads(self) -> bool {
        let access = self.bits() & Self::ACCESS;
        access == 0 || access == Self::RDWR.bits()
    }

    pub const fn writes(self) -> bool {
        let access = self.bits() & Self::ACCESS;
        access == Self::WRONLY.bits() || access == Self::RDWR.bits()
    }
}
