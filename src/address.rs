//! Addresses and the 4 KiB units they fall in.
//!
//! Four newtypes over `u32`, so that a physical address is never taken for a virtual one nor an
//! address for a number: [`PhysAddr`] and [`VirtAddr`] count bytes, [`Frame`] and [`Page`] count
//! units of 4 KiB. A `Frame` or `Page` always lies below 4 GiB, so turning one into its address
//! cannot overflow; every other step is checked and answers `None` instead of wrapping.

use static_assertions::const_assert;

/// log2 of [`FRAME_BYTES`].
pub const FRAME_SHIFT: u32 = 12;
/// Bytes in a frame and in a page.
pub const FRAME_BYTES: u32 = 1 << FRAME_SHIFT;
/// Frames (and pages) in the 4 GiB that 32 bits can name.
pub const FRAME_LIMIT: u32 = 1 << (u32::BITS - FRAME_SHIFT);

const_assert!(usize::BITS >= u32::BITS);

/// Widens `value` for use as a slice index or a length.
#[expect(clippy::as_conversions, reason = "lossless: usize has at least 32 bits, asserted above")]
pub(crate) const fn widen(value: u32) -> usize {
    value as usize
}

macro_rules! address {
    ($(#[$doc:meta])* $name:ident, $unit:ident, $unit_doc:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u32);

        impl $name {
            /// The address `address`, in bytes. Every `u32` is one.
            pub const fn new(address: u32) -> Self {
                Self(address)
            }

            /// The address in bytes.
            pub const fn get(self) -> u32 {
                self.0
            }

            #[doc = concat!("The ", $unit_doc, " that this address lies in.")]
            pub const fn containing(self) -> $unit {
                $unit(self.0 >> FRAME_SHIFT)
            }

            #[doc = concat!("Bytes from the start of its ", $unit_doc, ", below 4096.")]
            pub const fn offset(self) -> u32 {
                self.0 & (FRAME_BYTES - 1)
            }

            /// The address `bytes` further on, or `None` past 4 GiB.
            pub const fn checked_add(self, bytes: u32) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(address) => Some(Self(address)),
                    None => None,
                }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{:#010x}", self.0)
            }
        }
    };
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $address:ident, $(#[$range_doc:meta])* $range:ident, $word:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u32);

        impl $name {
            #[doc = concat!("The ", $word, " at address 0.")]
            pub const ZERO: Self = Self(0);

            #[doc = concat!("The ", $word, " with this number, or `None` from 4 GiB on (`number` ≥ 2^20).")]
            pub const fn new(number: u32) -> Option<Self> {
                if number < FRAME_LIMIT { Some(Self(number)) } else { None }
            }

            #[doc = concat!("The number of this ", $word, ", below 2^20.")]
            pub const fn number(self) -> u32 {
                self.0
            }

            /// The address of its first byte.
            pub const fn start(self) -> $address {
                $address(self.0 << FRAME_SHIFT)
            }

            #[doc = concat!("The ", $word, " `count` further on, or `None` past 4 GiB.")]
            pub const fn checked_add(self, count: u32) -> Option<Self> {
                match self.0.checked_add(count) {
                    Some(number) => Self::new(number),
                    None => None,
                }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{:#010x}", self.start().get())
            }
        }

        $(#[$range_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub struct $range {
            first: $name,
            count: u32,
        }

        impl $range {
            /// No members.
            pub const EMPTY: Self = Self { first: $name(0), count: 0 };

            #[doc = concat!("The `count` ", $word, "s from `first` on, or `None` if they pass 4 GiB. May be empty.")]
            pub const fn new(first: $name, count: u32) -> Option<Self> {
                if count <= FRAME_LIMIT.saturating_sub(first.0) { Some(Self { first, count }) } else { None }
            }

            #[doc = concat!("The first ", $word, " (of an empty range: where it would lie).")]
            pub const fn first(self) -> $name {
                self.first
            }

            #[doc = concat!("How many ", $word, "s, at most 2^20.")]
            pub const fn count(self) -> u32 {
                self.count
            }

            /// Whether there are none.
            pub const fn is_empty(self) -> bool {
                self.count == 0
            }

            #[doc = concat!("The number of the first ", $word, " past the range, at most 2^20.")]
            pub const fn end(self) -> u32 {
                self.first.0.saturating_add(self.count)
            }

            /// Whether `unit` lies in the range.
            pub const fn contains(self, unit: $name) -> bool {
                unit.0.wrapping_sub(self.first.0) < self.count
            }

            /// Whether the two have a member in common.
            pub const fn overlaps(self, other: Self) -> bool {
                self.first.0 < other.end() && other.first.0 < self.end() && !self.is_empty() && !other.is_empty()
            }

            /// Whether all of `other` lies in the range; an empty `other` does.
            pub const fn covers(self, other: Self) -> bool {
                other.is_empty() || (self.first.0 <= other.first.0 && other.end() <= self.end())
            }

            #[doc = concat!("The ", $word, " at `index`, or `None` past the end.")]
            pub const fn get(self, index: u32) -> Option<$name> {
                if index < self.count { self.first.checked_add(index) } else { None }
            }

            #[doc = concat!("Every ", $word, ", in ascending order.")]
            pub fn iter(self) -> impl DoubleEndedIterator<Item = $name> + Clone {
                (self.first.0..self.end()).map($name)
            }
        }
    };
}

address!(
    /// A physical address: what leaves the CPU on its address lines.
    PhysAddr, Frame, "frame"
);
address!(
    /// A linear address: what the page tables translate (Intel SDM vol. 3, 4.1).
    VirtAddr, Page, "page"
);
unit!(
    /// A 4 KiB unit of physical memory, by number.
    Frame, PhysAddr,
    /// Physically contiguous frames.
    FrameRange, "frame"
);
unit!(
    /// A 4 KiB unit of linear addresses, by number.
    Page, VirtAddr,
    /// Contiguous pages.
    PageRange, "page"
);

impl Frame {
    /// The frame of which these are the low bits of the number, as it was written to memory.
    pub(crate) const fn from_low_bits(bits: u32) -> Self {
        Self(bits & FRAME_LIMIT.wrapping_sub(1))
    }
}

impl FrameRange {
    /// The frames that `length` bytes from `start` on touch; `None` if they pass 4 GiB.
    pub(crate) fn of_bytes(start: PhysAddr, length: u32) -> Option<Self> {
        let Some(last) = length.checked_sub(1) else {
            return Some(Self::EMPTY);
        };
        let (first, last) = (start.containing(), start.checked_add(last)?.containing());
        Self::new(first, last.number().wrapping_sub(first.number()).wrapping_add(1))
    }
}

impl PhysAddr {
    /// The address `bytes` further on, for a table that is known to lie below 4 GiB.
    pub(crate) const fn plus(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

#[cfg(test)]
mod tests;
