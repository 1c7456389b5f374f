//! Word 0 of a frame's entry: the one word that decides what may be done with the frame.
//!
//! ```text
//!  31          19 18           7  6   5  4      0
//! +--+-----------+--+-----------+---+---+--------+
//! |G |   total   |G | writable  | S | B |  kind  |
//! +--+-----------+--+-----------+---+---+--------+
//! ```
//!
//! * **kind**: see [`Kind`].
//! * **B**, *busy*: one CPU is changing the kind and owns the frame meanwhile.
//! * **S**, *sealed*: typed at boot for ever; neither retyped nor counted.
//! * **total** and **writable** count what stands on the kind, so that the kind can change only
//!   when both are zero. What is counted depends on the kind:
//!
//! | kind | total | writable |
//! |---|---|---|
//! | user data, kernel data, DMA | leaves that map it, copies under way | those with RW set, copies into it |
//! | table | present entries, its link, intrinsics at work in it | its link (0 or 1) |
//! | root | present user entries, loads, intrinsics at work in it | loads: CPUs and threads |
//!
//! * **G**: the guard of the count below it. An addition that reaches it is refused, a subtraction
//!   that reaches it is a bug of this library; either is found with one test of the new word.

use super::kind::Kind;
use bitflags::bitflags;
use static_assertions::const_assert_eq;

bitflags! {
    /// The fields of a [`Word`].
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Fields: u32 {
        const KIND = 0x1f;
        const BUSY = 1 << 5;
        const SEALED = 1 << 6;
        const WRITABLE = 0x7ff << 7;
        const WRITABLE_GUARD = 1 << 18;
        const TOTAL = 0xfff << 19;
        const TOTAL_GUARD = 1 << 31;

        const GUARDS = Self::WRITABLE_GUARD.bits() | Self::TOTAL_GUARD.bits();
        /// What must equal the bare kind before a use is added.
        const IDENTITY = Self::KIND.bits() | Self::BUSY.bits() | Self::SEALED.bits();
    }
}

const WRITABLE_ONE: u32 = 1 << Fields::WRITABLE.bits().trailing_zeros();
const TOTAL_ONE: u32 = 1 << Fields::TOTAL.bits().trailing_zeros();

// The fields fill the word, and each guard is the bit above its count.
const_assert_eq!(Fields::all().bits(), u32::MAX);
const_assert_eq!(Fields::WRITABLE.bits().wrapping_add(WRITABLE_ONE), Fields::WRITABLE_GUARD.bits());
const_assert_eq!(Fields::TOTAL.bits().wrapping_add(TOTAL_ONE), Fields::TOTAL_GUARD.bits());
// The total's guard is the sign, and the identity is what the word begins with.
const_assert_eq!(Fields::TOTAL_GUARD.bits().cast_signed(), i32::MIN);
const_assert_eq!(Fields::IDENTITY.bits().wrapping_add(1), WRITABLE_ONE);

/// How much of a frame something uses: what it adds to the two counts while it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Uses(u32);

impl Uses {
    /// A read-only leaf, or a copy out of the frame.
    pub(crate) const READ: Self = Self(TOTAL_ONE);
    /// A leaf with RW set, or a copy into the frame.
    pub(crate) const WRITE: Self = Self(TOTAL_ONE | WRITABLE_ONE);
    /// An entry of a table, or an intrinsic at work in it.
    pub(crate) const ENTRY: Self = Self(TOTAL_ONE);
    /// The link that gives a table its parent.
    pub(crate) const LINK: Self = Self(TOTAL_ONE | WRITABLE_ONE);
    /// A CR3, or a thread, that names a root.
    pub(crate) const LOAD: Self = Self(TOTAL_ONE | WRITABLE_ONE);
    /// What a leaf gains when RW is set in it.
    pub(crate) const GAIN_WRITE: Self = Self(WRITABLE_ONE);

    /// Both at once.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// `count` times these: for a batch, whose length is bounded by a table's entries.
    pub(crate) const fn times(self, count: u32) -> Self {
        Self(self.0.wrapping_mul(count))
    }
}

/// Word 0 of a frame's entry.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Word(u32);

impl Word {
    /// The entry of a frame that does not exist.
    pub(crate) const NONE: Self = Self::unused(Kind::None);

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// A frame of `kind` that nothing uses.
    pub(crate) const fn unused(kind: Kind) -> Self {
        Self(kind.bits())
    }

    /// A frame of `kind` for ever.
    pub(crate) const fn sealed(kind: Kind) -> Self {
        Self(kind.bits() | Fields::SEALED.bits())
    }

    /// A frame whose kind, so far `kind`, is being changed.
    pub(crate) const fn busy(kind: Kind) -> Self {
        Self(kind.bits() | Fields::BUSY.bits())
    }

    #[inline]
    pub(crate) const fn kind(self) -> Kind {
        Kind::from_bits(self.0 & Fields::KIND.bits())
    }

    pub(crate) const fn is_busy(self) -> bool {
        self.0 & Fields::BUSY.bits() != 0
    }

    pub(crate) const fn is_sealed(self) -> bool {
        self.0 & Fields::SEALED.bits() != 0
    }

    /// The count of all uses, guard included.
    pub(crate) const fn total(self) -> u32 {
        self.0 / TOTAL_ONE
    }

    /// The count of writable uses, guard included.
    pub(crate) const fn writable(self) -> u32 {
        (self.0 & (Fields::WRITABLE.bits() | Fields::WRITABLE_GUARD.bits())) / WRITABLE_ONE
    }

    /// Whether this is `kind`, neither busy nor sealed, and both counts are in their ranges: one test.
    pub(crate) const fn is(self, kind: Kind) -> bool {
        let fields = Fields::IDENTITY.bits() | Fields::GUARDS.bits();
        self.has(fields, kind.bits())
    }

    /// Whether [`is`](Self::is) holds and there is one writable use, as of a table just linked.
    pub(crate) const fn is_linked_once(self, kind: Kind) -> bool {
        let fields = Fields::IDENTITY.bits() | Fields::GUARDS.bits() | Fields::WRITABLE.bits();
        self.has(fields, kind.bits() | WRITABLE_ONE)
    }

    /// Whether `fields` hold `value`. What all `fields` begin with is the identity, so the difference is
    /// zero there and borrows nothing, or it is not zero: one instruction less than a comparison.
    #[inline(always)]
    const fn has(self, fields: u32, value: u32) -> bool {
        self.0.wrapping_sub(value) & fields == 0
    }

    /// With `uses` more; ask [`overflowed`](Self::overflowed) of the result.
    pub(crate) const fn with(self, uses: Uses) -> Self {
        Self(self.0.wrapping_add(uses.0))
    }

    /// With `uses` fewer; ask [`overflowed`](Self::overflowed) of the result.
    pub(crate) const fn without(self, uses: Uses) -> Self {
        Self(self.0.wrapping_sub(uses.0))
    }

    /// Whether the total left its range, upwards or downwards.
    #[inline(always)]
    pub(crate) const fn total_overflowed(self) -> bool {
        self.0.cast_signed() < 0
    }

    /// Whether a count left its range, upwards or downwards.
    pub(crate) const fn overflowed(self) -> bool {
        self.0 & Fields::GUARDS.bits() != 0
    }
}

impl core::fmt::Debug for Word {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.kind())?;
        if self.is_busy() {
            f.write_str(" busy")?;
        }
        if self.is_sealed() {
            f.write_str(" sealed")?;
        }
        write!(f, " total {} writable {}", self.total(), self.writable())
    }
}

#[cfg(test)]
mod tests;
