//! The PCI bus: what is there, what may be changed about it, and where it answers.
//!
//! Configuration space is read freely and written by [rules]: on or off, cache line, latency, interrupt line. Bus
//! mastering, message-signalled interrupts, bridges, ROMs and everything from 0x40 on are never written for a client.
//!
//! Where a function answers can be claimed, if it is known to be [harmless]. For any other the caller has to
//! vouch, in `unsafe` code: that Bus Master Enable is clear does not hold every device back.

mod bar;
mod function;
mod harmless;
mod memory;
mod rules;
#[cfg(feature = "pci")]
mod types;

pub use bar::Bar;
pub use function::{Function, Identity};
pub use harmless::{HARMLESS, Harmless};

use super::Io;
use super::claims::Ports;
use super::ports::PortRange;
use crate::machine::Machine;
use crate::observer::observed;
use crate::violation::Violation;
use bar::BARS;
use memory::register;
#[cfg(any(test, all(target_arch = "x86", target_os = "none")))]
use rules::BUS_MASTER;
use rules::{CLASS, COMMAND, COMMAND_BITS, HEADER, IDENTITY, IO_SPACE, MEMORY_SPACE};

/// Configuration mechanism 1 (PCI 3.0, 3.2.2.3.2).
pub(super) const CONFIG_ADDRESS: u16 = 0xcf8;
pub(super) const CONFIG_DATA: u16 = 0xcfc;
const CONFIG_ENABLE: u32 = 1 << 31;
/// What answers for a function that is not there.
const NOBODY: u32 = u32::MAX;
/// I/O BARs lie above all ports that ISA devices have.
const FIRST_BAR_PORT: u16 = 0x400;

/// The PCI bus of a machine. It stands for the whole bus, and can be copied.
#[derive(Debug)]
pub struct Pci<'m, M> {
    machine: &'m M,
}

impl<M> Clone for Pci<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Pci<'_, M> {}

impl<'m, M: Machine> Io<'m, M> {
    /// The PCI bus, there or not.
    pub(super) const fn pci_unasked(self) -> Pci<'m, M> {
        Pci { machine: self.machine }
    }

    /// The PCI bus, if the machine has one: its configuration address reads back.
    pub fn pci(self) -> Option<Pci<'m, M>> {
        let pci = self.pci_unasked();
        let there = self.machine.claims().configuration(self.machine, || {
            // SAFETY: the library's own register; an address moves nothing.
            unsafe { self.machine.port_write(CONFIG_ADDRESS, CONFIG_ENABLE) }
            // SAFETY: as before.
            let seen: u32 = unsafe { self.machine.port_read(CONFIG_ADDRESS) };
            seen == CONFIG_ENABLE
        });
        there.then_some(pci)
    }
}

impl<'m, M: Machine> Pci<'m, M> {
    /// Every function that is there, upwards.
    pub fn functions(self) -> impl Iterator<Item = Function> + use<'m, M> {
        each_function(move |function, offset| self.read(function, offset))
    }

    /// What `function` says it is.
    pub fn identity(self, function: Function) -> Identity {
        Identity::new(self.read(function, IDENTITY), self.read(function, CLASS))
    }

    /// The dword of configuration space at `offset`, of which the two lowest bits do not count. Ones if there is no
    /// such function.
    pub fn read(self, function: Function, offset: u8) -> u32 {
        self.machine.claims().configuration(self.machine, || self.get(function, offset))
    }

    /// Makes the dword of configuration space at `offset` be `value`.
    ///
    /// # Errors
    ///
    /// [`NoSuchFunction`](Violation::NoSuchFunction); [`PciRegister`](Violation::PciRegister) if `value` differs from
    /// what stands there in a bit that is not the client's to change.
    ///
    /// # Checks
    ///
    /// The [rules]; that a function begins or ceases to answer is refused while where it answers is claimed. Attacks
    /// P5 to P7, P12.
    pub fn write(self, function: Function, offset: u8, value: u32) -> Result<(), Violation> {
        let result = self.machine.claims().configuration(self.machine, || {
            if self.get(function, IDENTITY) == NOBODY {
                return Err(Violation::NoSuchFunction(function.number()));
            }
            let (class, header) = (self.get(function, CLASS), self.get(function, HEADER));
            let old = self.get(function, offset);
            let value = rules::check(offset, class, header, old, value)?;
            if offset & !3 == COMMAND && (old ^ value) & IO_SPACE != 0 {
                self.check_unclaimed(function)?;
                self.check_placed(function)?;
            }
            self.put(function, offset, value);
            Ok(())
        });
        observed(self.machine, result)
    }

    /// `function` answers at no port where an ISA device does.
    fn check_placed(self, function: Function) -> Result<(), Violation> {
        for index in 0..BARS {
            let value = self.get(function, register(index));
            if let Some(first) = Bar::first_port(value).filter(|first| *first < FIRST_BAR_PORT.into()) {
                return Err(Violation::PortNotOffered(first));
            }
        }
        Ok(())
    }

    /// No port at which `function` answers is claimed.
    fn check_unclaimed(self, function: Function) -> Result<(), Violation> {
        for index in 0..BARS {
            if let Some(Bar::Ports { first, count }) = self.bar_of(function, index)
                && let Ok(ports) = Ports::new(first, count)
                && let Some(port) = self.machine.claims().first_taken(ports)
            {
                return Err(Violation::PortTaken(port.into()));
            }
        }
        Ok(())
    }

    /// Where `function` answers by its base address register `index`; `None` if it has no such register.
    ///
    /// To know how much it answers to, the function is made to answer nowhere for a moment.
    pub fn bar(self, function: Function, index: u8) -> Option<Bar> {
        self.machine.claims().configuration(self.machine, || self.bar_of(function, index))
    }

    /// As [`bar`](Self::bar), inside.
    fn bar_of(self, function: Function, index: u8) -> Option<Bar> {
        let (class, header) = (self.get(function, CLASS), self.get(function, HEADER));
        if index >= BARS || self.get(function, IDENTITY) == NOBODY || !rules::is_ordinary(class, header) {
            return None;
        }
        if self.is_upper_half(function, index) {
            return None;
        }
        let offset = register(index);
        let value = self.get(function, offset);
        let above = if Bar::is_wide(value) { self.get(function, offset.wrapping_add(4)) } else { 0 };
        let command = self.get(function, COMMAND) & COMMAND_BITS;
        self.put(function, COMMAND, command & !(IO_SPACE | MEMORY_SPACE));
        self.put(function, offset, u32::MAX);
        let ones = self.get(function, offset);
        self.put(function, offset, value);
        self.put(function, COMMAND, command);
        Bar::new(value, ones, above)
    }

    /// Whether base address register `index` is the upper half of the one before.
    fn is_upper_half(self, function: Function, index: u8) -> bool {
        let is_lower_half =
            |before: bool, index: u8| !before && Bar::is_wide(self.get(function, register(index)));
        (0..index).fold(false, is_lower_half)
    }

    /// Claims the ports at which `function`, which has no DMA engine, answers by its register `index`.
    ///
    /// # Errors
    ///
    /// [`MayHaveDma`](Violation::MayHaveDma), [`NoSuchBar`](Violation::NoSuchBar) if it does not answer at ports by
    /// that, [`PortTaken`](Violation::PortTaken), [`PortNotOffered`](Violation::PortNotOffered) if they lie where ISA
    /// devices answer.
    ///
    /// # Checks
    ///
    /// The function is [known to be harmless](HARMLESS); it is made to answer where its register says; nobody else
    /// has the ports, and no other function answers there. Attacks P2, P4, P10.
    pub fn claim_ports(self, function: Function, index: u8) -> Result<PortRange<'m, M>, Violation> {
        observed(self.machine, self.check_harmless(function))?;
        // SAFETY: it has no DMA engine.
        unsafe { self.vouch_for_ports(function, index) }
    }

    /// `function` is known to have no DMA engine.
    fn check_harmless(self, function: Function) -> Result<(), Violation> {
        let is_harmless = harmless::is_harmless(self.identity(function));
        if is_harmless { Ok(()) } else { Err(Violation::MayHaveDma(function.number())) }
    }

    /// As [`claim_ports`](Self::claim_ports), whatever the function is.
    ///
    /// # Errors
    ///
    /// As [`claim_ports`](Self::claim_ports), but [`MayHaveDma`](Violation::MayHaveDma).
    ///
    /// # Safety
    ///
    /// Whoever gets the ports makes the device write or read no frame but those of kind DMA: by what is written there,
    /// and in any order.
    pub unsafe fn vouch_for_ports(
        self,
        function: Function,
        index: u8,
    ) -> Result<PortRange<'m, M>, Violation> {
        let result = self.machine.claims().configuration(self.machine, || {
            let no_bar = Violation::NoSuchBar(index.into());
            let bar = self.bar_of(function, index).ok_or(no_bar)?;
            let Bar::Ports { first, count } = bar else { return Err(no_bar) };
            if first < FIRST_BAR_PORT || self.answers_elsewhere(function, index, bar) {
                return Err(Violation::PortNotOffered(first.into()));
            }
            self.check_placed(function)?;
            let ports = Ports::new(first, count)?;
            self.machine.claims().take(ports)?;
            let command = self.get(function, COMMAND) & COMMAND_BITS;
            self.put(function, COMMAND, command | IO_SPACE);
            Ok(ports)
        });
        observed(self.machine, result).map(|ports| PortRange::new(self.machine, ports))
    }

    /// Whether another register, of this function or another, has a part of `bar`.
    fn answers_elsewhere(self, function: Function, index: u8, bar: Bar) -> bool {
        each_function(|other, offset| self.get(other, offset)).any(|other| {
            (0..BARS).any(|place| {
                (other, place) != (function, index)
                    && self.bar_of(other, place).is_some_and(|other| other.overlaps(bar))
            })
        })
    }

    /// Clears Bus Master Enable in every function.
    #[cfg(any(test, all(target_arch = "x86", target_os = "none")))]
    pub(crate) fn take_bus_from_all(self) {
        for function in self.functions() {
            self.machine.claims().configuration(self.machine, || {
                let command = self.get(function, COMMAND) & COMMAND_BITS;
                self.put(function, COMMAND, command & !BUS_MASTER);
            });
        }
    }

    /// A dword; the caller has the configuration to itself.
    fn get(self, function: Function, offset: u8) -> u32 {
        self.select(function, offset);
        // SAFETY: the library's own register; to read configuration space changes nothing in RAM.
        unsafe { self.machine.port_read(CONFIG_DATA) }
    }

    /// Writes a dword: one that the rules allow, or a base address register that is put back at once.
    fn put(self, function: Function, offset: u8, value: u32) {
        self.select(function, offset);
        // SAFETY: the library's own register; callers write what makes no device reach RAM.
        unsafe { self.machine.port_write(CONFIG_DATA, value) }
    }

    fn select(self, function: Function, offset: u8) {
        let address = CONFIG_ENABLE | function.number() << 8 | u32::from(offset & !3);
        // SAFETY: the library's own register; an address moves nothing.
        unsafe { self.machine.port_write(CONFIG_ADDRESS, address) }
    }
}

/// Every function that is there, upwards, as `read` finds them.
fn each_function(read: impl Fn(Function, u8) -> u32) -> impl Iterator<Item = Function> {
    let mut next = 0;
    core::iter::from_fn(move || {
        while let Some(function) = Function::from_number(next) {
            let exists = read(function, IDENTITY) != NOBODY;
            // A device without a first function has none; one without the bit has only that.
            let more = exists && read(function, HEADER) & rules::MULTI_FUNCTION != 0;
            next = next.saturating_add(if function.is_first() && !more { 8 } else { 1 });
            if exists {
                return Some(function);
            }
        }
        None
    })
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
