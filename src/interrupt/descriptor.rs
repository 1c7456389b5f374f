//! Descriptors: the encodings of segments, gates and task states (Intel SDM vol. 3, 3.4.5, 6.11, 7.2).
//!
//! Segmentation is flat: base 0, limit 4 GiB, and protection is left to paging. What remains of it is
//! the ring of the code segment, one TSS for the stack of ring 0, and one for the double fault.

use super::vector::{Exception, Vector};
use crate::address::widen;
use crate::context::{TlsLimit, TlsSegment};
use static_assertions::const_assert;

/// A privilege level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ring {
    Kernel,
    User,
}

impl Ring {
    const fn number(self) -> u64 {
        match self {
            Ring::Kernel => 0,
            Ring::User => 3,
        }
    }
}

/// A segment selector: an index into the GDT, and a privilege level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(crate) struct Selector(u16);

impl Selector {
    pub(crate) const NULL: Self = Self(0);
    pub(crate) const KERNEL_CODE: Self = Self::new(1, Ring::Kernel);
    pub(crate) const KERNEL_DATA: Self = Self::new(2, Ring::Kernel);
    pub(crate) const USER_CODE: Self = Self::new(3, Ring::User);
    pub(crate) const USER_DATA: Self = Self::new(4, Ring::User);
    pub(crate) const TASK: Self = Self::new(5, Ring::Kernel);
    pub(crate) const DOUBLE_FAULT: Self = Self::new(6, Ring::Kernel);

    #[expect(clippy::as_conversions, reason = "a privilege level is below 4")]
    const fn new(index: u16, ring: Ring) -> Self {
        Self(index << 3 | ring.number() as u16)
    }

    /// That of a slot for thread-local storage.
    #[expect(clippy::as_conversions, reason = "an index below 10")]
    pub(crate) const fn tls(slot: u32) -> Self {
        Self::new(FIRST_TLS.wrapping_add(slot) as u16, Ring::User)
    }

    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    #[expect(clippy::as_conversions, reason = "a u16 becomes wider")]
    const fn wide(self) -> u64 {
        self.0 as u64
    }
}

/// The TLS slot that a selector names, `Some(None)` for one that is null or the flat data segment of ring 3. `None`
/// for any other: a program may not have it.
pub(crate) const fn user_selector_slot(selector: u16) -> Option<Option<usize>> {
    // Bits 0 and 1 are the privilege asked for; bit 2 is the local table, which is empty.
    const INDEX: u32 = 3;
    let entry = widened(selector) >> 2;
    if entry == 0 || entry == widened(Selector::USER_DATA.0) >> 2 {
        return Some(None);
    }
    let slot = (entry >> (INDEX - 2)).wrapping_sub(FIRST_TLS);
    if entry & 1 == 0 && slot < TLS_SLOTS { Some(Some(widen(slot))) } else { None }
}

#[expect(clippy::as_conversions, reason = "a u16 becomes wider")]
pub(crate) const fn widened(selector: u16) -> u32 {
    selector as u32
}

/// How many segments for thread-local storage a thread has.
pub const TLS_SLOTS: u32 = 3;
/// The index of the first of their slots in the GDT.
pub(crate) const FIRST_TLS: u32 = 7;
/// Entries of the GDT.
pub(crate) const GDT_ENTRIES: usize = widen(FIRST_TLS) + widen(TLS_SLOTS);

/// P of a segment or a gate.
const PRESENT: u64 = 1 << 47;
/// The first bit of DPL.
const DPL: u32 = 45;
/// S: a code or data segment.
const CODE_OR_DATA: u64 = 1 << 44;
/// The first bit of the type.
const TYPE: u32 = 40;
/// G: the limit counts pages. D/B: 32-bit.
const PAGES: u64 = 1 << 55;
const BITS_32: u64 = 1 << 54;
/// The limit, all ones.
const NO_LIMIT: u64 = 0x000f_0000_0000_ffff;

/// What a flat segment is for. The accessed bit is set from the start, so the CPU changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contents {
    /// Execute and read.
    Code,
    /// Read and write.
    Data,
}

impl Contents {
    const fn kind(self) -> u64 {
        match self {
            Contents::Code => 0xb,
            Contents::Data => 0x3,
        }
    }
}

/// An entry of the GDT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Descriptor(u64);

impl Descriptor {
    pub(crate) const NULL: Self = Self(0);

    /// All of 4 GiB.
    pub(crate) const fn flat(contents: Contents, ring: Ring) -> Self {
        Self(
            NO_LIMIT
                | PAGES
                | BITS_32
                | PRESENT
                | CODE_OR_DATA
                | ring.number() << DPL
                | contents.kind() << TYPE,
        )
    }

    /// A segment for thread-local storage: writable data of ring 3, whatever `segment` says.
    #[expect(clippy::as_conversions, reason = "u32 becomes wider")]
    pub(crate) const fn tls(segment: TlsSegment) -> Self {
        let (last, granularity) = match segment.limit {
            TlsLimit::Bytes(last) => (last as u64, 0),
            TlsLimit::Pages(last) => (last as u64, PAGES),
        };
        let base = segment.base as u64;
        Self(
            last & 0xffff
                | (last & 0xf_0000) << 32
                | (base & 0xff_ffff) << 16
                | (base >> 24) << 56
                | granularity
                | BITS_32
                | PRESENT
                | CODE_OR_DATA
                | Ring::User.number() << DPL
                | Contents::Data.kind() << TYPE,
        )
    }

    /// Its low and its high word.
    #[expect(clippy::as_conversions, reason = "the halves are what is wanted")]
    pub(crate) const fn halves(self) -> (u32, u32) {
        (self.0 as u32, (self.0 >> 32) as u32)
    }

    /// What [`halves`](Self::halves) gave.
    #[expect(clippy::as_conversions, reason = "u32 becomes wider")]
    pub(crate) const fn from_halves(low: u32, high: u32) -> Self {
        Self(low as u64 | (high as u64) << 32)
    }

    /// The task state at `base`, not busy, for ring 0 alone.
    #[expect(clippy::as_conversions, reason = "u32 becomes wider, a size of 104 narrower")]
    pub(crate) const fn task(base: u32) -> Self {
        const AVAILABLE: u64 = 0x9;
        const LIMIT: u64 = size_of::<TaskState>() as u64 - 1;
        let base = base as u64;
        Self(LIMIT | (base & 0xff_ffff) << 16 | (base >> 24) << 56 | PRESENT | AVAILABLE << TYPE)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }
}

/// The GDT, its two task states at these addresses.
pub(crate) const fn gdt(task: u32, double_fault: u32) -> [Descriptor; GDT_ENTRIES] {
    [
        Descriptor::NULL,
        Descriptor::flat(Contents::Code, Ring::Kernel),
        Descriptor::flat(Contents::Data, Ring::Kernel),
        Descriptor::flat(Contents::Code, Ring::User),
        Descriptor::flat(Contents::Data, Ring::User),
        Descriptor::task(task),
        Descriptor::task(double_fault),
        Descriptor::NULL,
        Descriptor::NULL,
        Descriptor::NULL,
    ]
}

/// An entry of the IDT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(crate) struct Gate(u64);

impl Gate {
    /// No gate: to use the vector is #NP.
    pub(crate) const ABSENT: Self = Self(0);

    /// Enters the kernel at `stub` with interrupts off. `ring` and those inside it may use it by `int`.
    #[expect(clippy::as_conversions, reason = "u32 becomes wider")]
    pub(crate) const fn interrupt(stub: u32, ring: Ring) -> Self {
        const INTERRUPT_32: u64 = 0xe;
        let stub = stub as u64;
        Self(
            stub & 0xffff
                | (stub >> 16) << 48
                | Selector::KERNEL_CODE.wide() << 16
                | PRESENT
                | ring.number() << DPL
                | INTERRUPT_32 << TYPE,
        )
    }

    /// Switches to the task state that `selector` names.
    pub(crate) const fn task(selector: Selector) -> Self {
        const TASK: u64 = 0x5;
        Self(selector.wide() << 16 | PRESENT | TASK << TYPE)
    }

    /// The gate of `vector`, whose stub is at `stub`.
    pub(crate) const fn of(vector: Vector, stub: u32) -> Self {
        if matches!(Exception::new(vector), Some(Exception::DoubleFault)) {
            return Self::task(Selector::DOUBLE_FAULT);
        }
        Self::interrupt(stub, if vector.is_open_to_users() { Ring::User } else { Ring::Kernel })
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }
}

/// A 32-bit task state (Intel SDM vol. 3, figure 7-2). Selectors are in the low half of their word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub(crate) struct TaskState {
    pub(crate) link: u32,
    pub(crate) esp0: u32,
    pub(crate) ss0: u32,
    pub(crate) outer_stacks: [u32; 4],
    pub(crate) cr3: u32,
    pub(crate) eip: u32,
    pub(crate) eflags: u32,
    pub(crate) eax: u32,
    pub(crate) ecx: u32,
    pub(crate) edx: u32,
    pub(crate) ebx: u32,
    pub(crate) esp: u32,
    pub(crate) ebp: u32,
    pub(crate) esi: u32,
    pub(crate) edi: u32,
    pub(crate) es: u32,
    pub(crate) cs: u32,
    pub(crate) ss: u32,
    pub(crate) ds: u32,
    pub(crate) fs: u32,
    pub(crate) gs: u32,
    pub(crate) ldt: u32,
    /// The offset of the I/O permission bitmap is the high half.
    pub(crate) io_map: u32,
}

const_assert!(size_of::<TaskState>() == 104);

/// EFLAGS with nothing set but the bit that always is (Intel SDM vol. 1, 3.4.3).
pub(crate) const NO_FLAGS: u32 = 1 << 1;

impl TaskState {
    /// No bitmap: its offset lies at the limit, so ring 3 has no port (Intel SDM vol. 1, 19.5.2).
    #[expect(clippy::as_conversions, reason = "a size of 104")]
    const NO_IO_MAP: u32 = (size_of::<Self>() as u32) << 16;

    #[expect(clippy::as_conversions, reason = "u16 becomes wider")]
    const fn wide(selector: Selector) -> u32 {
        selector.bits() as u32
    }

    const EMPTY: Self = Self {
        link: 0,
        esp0: 0,
        ss0: 0,
        outer_stacks: [0; 4],
        cr3: 0,
        eip: 0,
        eflags: 0,
        eax: 0,
        ecx: 0,
        edx: 0,
        ebx: 0,
        esp: 0,
        ebp: 0,
        esi: 0,
        edi: 0,
        es: 0,
        cs: 0,
        ss: 0,
        ds: 0,
        fs: 0,
        gs: 0,
        ldt: 0,
        io_map: Self::NO_IO_MAP,
    };

    /// That of the CPU: its only use is the stack on which ring 3 enters ring 0. Until there is one, ESP0
    /// leads nowhere.
    pub(crate) const fn of_cpu() -> Self {
        Self { ss0: Self::wide(Selector::KERNEL_DATA), ..Self::EMPTY }
    }

    /// A task of ring 0 with interrupts off, which begins at `eip` with these tables and this stack.
    pub(crate) const fn beginning(eip: u32, esp: u32, cr3: u32) -> Self {
        let data = Self::wide(Selector::KERNEL_DATA);
        Self {
            esp0: esp,
            ss0: data,
            cr3,
            eip,
            eflags: NO_FLAGS,
            esp,
            es: data,
            cs: Self::wide(Selector::KERNEL_CODE),
            ss: data,
            ds: data,
            ..Self::EMPTY
        }
    }
}

#[cfg(test)]
mod tests;
