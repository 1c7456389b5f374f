//! Vectors: the numbers by which the CPU enters the kernel (Intel SDM vol. 3, chapter 6).

use super::lines::Line;

/// The vector of an interrupt or exception.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Vector(u8);

/// What makes the CPU use a vector.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// The CPU itself.
    Exception(Exception),
    /// An interrupt line.
    Line(Line),
    /// An instruction (`int`), or, on a machine that has one, the local APIC.
    Software,
    /// Nothing: Intel keeps the vector for exceptions to come, or the library for itself.
    Nothing,
}

impl Vector {
    /// How many there are.
    pub const COUNT: u32 = 256;
    /// The vector that user programs call the kernel by.
    pub const SYSTEM_CALL: Self = Self(0x80);

    /// The vector with this number, or `None` from 256 on.
    #[expect(clippy::as_conversions, reason = "below 256")]
    pub const fn new(number: u32) -> Option<Self> {
        if number < Self::COUNT { Some(Self(number as u8)) } else { None }
    }

    /// The vector with this number.
    pub const fn from_number(number: u8) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Every vector, in ascending order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + Clone {
        (0..=u8::MAX).map(Self)
    }

    /// What makes the CPU use it.
    pub const fn source(self) -> Source {
        match self.0 {
            0..FIRST_LINE => match Exception::new(self) {
                Some(exception) => Source::Exception(exception),
                None => Source::Nothing,
            },
            FIRST_LINE..FIRST_SOFTWARE => match Line::of(self) {
                Some(line) => Source::Line(line),
                None => Source::Nothing,
            },
            FIRST_SOFTWARE..FIRST_OWN => Source::Software,
            FIRST_OWN.. => Source::Nothing,
        }
    }

    /// The vector of an interrupt line.
    pub const fn of_line(line: Line) -> Self {
        Self(FIRST_LINE | line.number())
    }

    /// Whether ring 3 may use it with an `int` instruction: breakpoint, overflow and the system call.
    pub const fn is_open_to_users(self) -> bool {
        matches!(
            self,
            Self::SYSTEM_CALL | Self(Exception::BREAKPOINT_NUMBER) | Self(Exception::OVERFLOW_NUMBER)
        )
    }
}

impl From<Vector> for u32 {
    fn from(vector: Vector) -> Self {
        vector.0.into()
    }
}

impl core::fmt::Display for Vector {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// The first vector that is not Intel's; the interrupt lines begin there.
pub(super) const FIRST_LINE: u8 = 32;
/// The first vector behind the interrupt lines.
pub(super) const FIRST_SOFTWARE: u8 = 48;
/// From here on the library keeps the vectors: for requests of one CPU to another, and for the spurious
/// interrupts of a local APIC, whose vector must end in ones (Intel SDM vol. 3, 10.9).
pub(super) const FIRST_OWN: u8 = 240;

/// What an exception pushes on the stack above EIP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Pushes {
    Nothing,
    /// An error code that says nothing: always zero, or without a meaning here.
    Word,
    /// A selector.
    Selector,
    /// The bits of a page fault.
    PageFault,
}

macro_rules! exceptions {
    ($($(#[$doc:meta])* $name:ident = $number:literal $mnemonic:literal $words:literal $pushes:ident;)*) => {
        /// An exception: an interrupt that comes from the CPU (Intel SDM vol. 3, table 6-1).
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Exception {
            $($(#[$doc])* $name = $number,)*
        }

        impl Exception {
            /// All of them, in the order of their vectors.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The exception with this vector; `None` if no exception has it.
            pub const fn new(vector: Vector) -> Option<Self> {
                match vector.0 {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its vector.
            pub const fn vector(self) -> Vector {
                match self {
                    $(Self::$name => Vector($number),)*
                }
            }

            /// What the manual abbreviates it to.
            pub const fn mnemonic(self) -> &'static str {
                match self {
                    $(Self::$name => $mnemonic,)*
                }
            }

            /// What the manual calls it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }

            pub(super) const fn pushes(self) -> Pushes {
                match self {
                    $(Self::$name => Pushes::$pushes,)*
                }
            }
        }
    };
}

exceptions! {
    /// A division by zero, or one whose result does not fit.
    DivideError = 0 "#DE" "divide error" Nothing;
    /// A watchpoint or a single step.
    Debug = 1 "#DB" "debug exception" Nothing;
    /// Not an exception but an interrupt that IF does not hold back.
    Nmi = 2 "NMI" "non-maskable interrupt" Nothing;
    /// `int3`.
    Breakpoint = 3 "#BP" "breakpoint" Nothing;
    /// `into`.
    Overflow = 4 "#OF" "overflow" Nothing;
    /// `bound`.
    BoundRange = 5 "#BR" "BOUND range exceeded" Nothing;
    /// An opcode that does not exist.
    InvalidOpcode = 6 "#UD" "invalid opcode" Nothing;
    /// A floating-point instruction while CR0.TS is set.
    DeviceNotAvailable = 7 "#NM" "device not available" Nothing;
    /// An exception while the CPU was entering the handler of another.
    DoubleFault = 8 "#DF" "double fault" Word;
    /// A task switch to a TSS that is not valid.
    InvalidTss = 10 "#TS" "invalid TSS" Selector;
    /// A segment or gate that is not present.
    SegmentNotPresent = 11 "#NP" "segment not present" Selector;
    /// A limit of the stack segment, or a stack segment that is not present.
    StackFault = 12 "#SS" "stack-segment fault" Selector;
    /// Any other violation of protection.
    GeneralProtection = 13 "#GP" "general protection" Selector;
    /// No translation, or one that does not allow the access.
    PageFault = 14 "#PF" "page fault" PageFault;
    /// An x87 error.
    FloatingPoint = 16 "#MF" "x87 floating-point error" Nothing;
    /// An address that is not aligned, in ring 3 with AC set.
    AlignmentCheck = 17 "#AC" "alignment check" Word;
    /// The machine is broken.
    MachineCheck = 18 "#MC" "machine check" Nothing;
    /// An SSE error.
    SimdFloatingPoint = 19 "#XM" "SIMD floating-point exception" Nothing;
    /// A violation of EPT in a guest.
    Virtualization = 20 "#VE" "virtualization exception" Nothing;
    /// A violation of control-flow enforcement.
    ControlProtection = 21 "#CP" "control protection exception" Word;
}

impl Exception {
    const BREAKPOINT_NUMBER: u8 = Self::Breakpoint.vector().0;
    const OVERFLOW_NUMBER: u8 = Self::Overflow.vector().0;

    /// Whether the CPU pushes an error code.
    pub const fn has_error_code(self) -> bool {
        !matches!(self.pushes(), Pushes::Nothing)
    }

    /// Whether the library keeps it, so that no handler is registered for it.
    ///
    /// * **NMI** and **#MC** come with interrupts off and between any two instructions, also where the
    ///   library holds a lock: whatever runs then must need nothing of it.
    /// * **#DF** runs as a task of its own and is final.
    /// * **#DB** from ring 0 is brought about by user programs alone (a single step across the way into the
    ///   kernel), so it says nothing about the kernel: the library clears its cause and resumes.
    pub const fn is_reserved(self) -> bool {
        matches!(self, Self::Debug | Self::Nmi | Self::DoubleFault | Self::MachineCheck)
    }
}

bitflags::bitflags! {
    /// The error code of a page fault (Intel SDM vol. 3, 4.7).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct PageFaultCode: u32 {
        /// P: the page was present, and its rights did not allow the access.
        const PRESENT = 1 << 0;
        /// W/R: a write.
        const WRITE = 1 << 1;
        /// U/S: from ring 3.
        const USER = 1 << 2;
        /// RSVD: a reserved bit of an entry was set.
        const RESERVED = 1 << 3;
        /// I/D: an instruction fetch.
        const FETCH = 1 << 4;
    }
}

/// The table that a [`SelectorCode`] names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Table {
    /// The global descriptor table.
    Gdt,
    /// A local descriptor table.
    Ldt,
    /// The interrupt descriptor table.
    Idt,
}

/// The error code of an exception about a segment or a gate (Intel SDM vol. 3, 6.13).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SelectorCode {
    /// EXT: it happened while an event was delivered that no instruction caused.
    pub external: bool,
    /// In which table the descriptor is.
    pub table: Table,
    /// Which descriptor of the table, below 8192.
    pub index: u32,
}

impl SelectorCode {
    /// Decodes what the CPU pushed.
    pub const fn new(raw: u32) -> Self {
        let table = match raw >> 1 & 3 {
            0 => Table::Gdt,
            2 => Table::Ldt,
            // IDT, with TI ignored.
            _ => Table::Idt,
        };
        Self { external: raw & 1 != 0, table, index: raw >> 3 & 0x1fff }
    }
}

/// What an exception says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorCode {
    /// It pushes no error code.
    None,
    /// It pushes one without a meaning: 0, or that of a feature that is off.
    Word(u32),
    /// A segment or a gate.
    Selector(SelectorCode),
    /// A page fault.
    PageFault(PageFaultCode),
}

impl ErrorCode {
    /// Decodes what `vector` pushed.
    pub const fn new(vector: Vector, raw: u32) -> Self {
        let Some(exception) = Exception::new(vector) else {
            return Self::None;
        };
        match exception.pushes() {
            Pushes::Nothing => Self::None,
            Pushes::Word => Self::Word(raw),
            Pushes::Selector => Self::Selector(SelectorCode::new(raw)),
            Pushes::PageFault => Self::PageFault(PageFaultCode::from_bits_retain(raw)),
        }
    }
}

#[cfg(test)]
mod tests;
