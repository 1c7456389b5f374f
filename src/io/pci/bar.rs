//! Base address registers: where a function answers (PCI 3.0, 6.2.5.1).

/// How many an ordinary function has.
pub(super) const BARS: u8 = 6;

/// Bit 0: ports. Of a memory register, bits 1 and 2: how wide; bit 3: prefetchable.
const PORTS: u32 = 1 << 0;
const WIDTH: u32 = 3 << 1;
const WIDE: u32 = 2 << 1;
const PORT_ADDRESS: u32 = !3;
const MEMORY_ADDRESS: u32 = !0xf;

/// Where a function answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Bar {
    /// At so many ports from the first on.
    Ports {
        /// The first port.
        first: u16,
        /// How many.
        count: u32,
    },
    /// At so many bytes of physical addresses.
    Memory {
        /// The first address.
        start: u32,
        /// How many bytes, a power of two.
        length: u32,
    },
    /// Nowhere that this library can reach: beyond 4 GiB, or not placed.
    Unreachable,
}

impl Bar {
    /// From what the register holds, what it keeps of all ones, and the register behind it.
    ///
    /// `None` if there is no such register.
    pub(super) fn new(value: u32, ones: u32, above: u32) -> Option<Self> {
        if ones == 0 {
            return None;
        }
        if value & PORTS != 0 {
            let count = !(ones & PORT_ADDRESS | 0xffff_0000) & 0xffff;
            let first = u16::try_from(value & PORT_ADDRESS).ok();
            let count = count.wrapping_add(1);
            return Some(match first {
                Some(first) if first != 0 => Self::Ports { first, count },
                _ => Self::Unreachable,
            });
        }
        let (start, length) = (value & MEMORY_ADDRESS, (!(ones & MEMORY_ADDRESS)).wrapping_add(1));
        let is_above = value & WIDTH == WIDE && above != 0;
        let fits = start != 0 && length != 0 && start.checked_add(length.wrapping_sub(1)).is_some();
        Some(if fits && !is_above { Self::Memory { start, length } } else { Self::Unreachable })
    }

    /// The first port, of a register for ports with this value.
    pub(super) fn first_port(value: u32) -> Option<u32> {
        (value & PORTS != 0).then_some(value & PORT_ADDRESS)
    }

    /// Whether the register with this value is the lower half of one with 64 bits.
    pub(super) const fn is_wide(value: u32) -> bool {
        value & PORTS == 0 && value & WIDTH == WIDE
    }

    /// Whether the two have a port or an address in common.
    pub(super) fn overlaps(self, other: Self) -> bool {
        let meet = |(a, a_length): (u32, u32), (b, b_length): (u32, u32)| {
            a.wrapping_sub(b) < b_length || b.wrapping_sub(a) < a_length
        };
        match (self, other) {
            (Self::Ports { first, count }, Self::Ports { first: other, count: others }) => {
                meet((first.into(), count), (other.into(), others))
            }
            (Self::Memory { start, length }, Self::Memory { start: other, length: others }) => {
                meet((start, length), (other, others))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
