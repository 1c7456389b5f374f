//! What a function of the PCI bus is called, and what it says it is.

use core::fmt;

/// A function: bus, device, number (PCI 3.0, 3.2.2.3.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Function(u16);

impl Function {
    /// The function `function`, below 8, of `device`, below 32, on `bus`; `None` beyond.
    #[expect(clippy::as_conversions, reason = "a u8 becomes wider")]
    pub const fn new(bus: u8, device: u8, function: u8) -> Option<Self> {
        if device >= 32 || function >= 8 {
            return None;
        }
        Some(Self((bus as u16) << 8 | (device as u16) << 3 | function as u16))
    }

    /// All that the first bus can have.
    pub(in crate::io) fn of_first_bus() -> impl Iterator<Item = Self> {
        (0..=0xff).map(Self)
    }

    /// The function with this number: bus, device and number in 16 bits.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        u16::try_from(number).ok().map(Self)
    }

    /// Bus, device and number in 16 bits.
    pub fn number(self) -> u32 {
        self.0.into()
    }

    /// Its bus.
    #[expect(clippy::as_conversions, reason = "the high half is what is wanted")]
    pub const fn bus(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Its device, below 32.
    #[expect(clippy::as_conversions, reason = "five bits")]
    pub const fn device(self) -> u8 {
        (self.0 >> 3 & 31) as u8
    }

    /// Its number in the device, below 8.
    #[expect(clippy::as_conversions, reason = "three bits")]
    pub const fn function(self) -> u8 {
        (self.0 & 7) as u8
    }

    /// Whether it is the first of its device.
    pub(super) const fn is_first(self) -> bool {
        self.function() == 0
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus(), self.device(), self.function())
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({self})")
    }
}

/// What a function says it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// Who made it.
    pub vendor: u16,
    /// Which of the vendor's devices it is.
    pub device: u16,
    /// Its class, for example 3 for a display controller.
    pub class: u8,
    /// Its subclass.
    pub subclass: u8,
    /// Its programming interface.
    pub interface: u8,
}

impl Identity {
    /// From the dwords at 0 and 8.
    #[expect(clippy::as_conversions, reason = "the fields of a dword")]
    pub(super) const fn new(id: u32, class: u32) -> Self {
        Self {
            vendor: id as u16,
            device: (id >> 16) as u16,
            class: (class >> 24) as u8,
            subclass: (class >> 16) as u8,
            interface: (class >> 8) as u8,
        }
    }
}
