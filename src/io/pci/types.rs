//! The bus as the crate `pci_types` reads it: headers, classes, capabilities.

use super::{Function, NOBODY, Pci};
use crate::machine::Machine;
use pci_types::{ConfigRegionAccess, PciAddress};

/// Reads what [`Pci::read`] reads, and writes what [`Pci::write`] allows: what is refused changes nothing, and the observer
/// of refusals is told. So where a function answers is [`Pci::bar`]'s to say, and not that crate's, which would write there
/// to know. There is one segment, with 256 bytes of a function.
///
/// ```
/// # use sva_os::{io::pci::{Function, Pci}, machine::Machine};
/// use pci_types::{EndpointHeader, PciAddress, PciHeader, capability::PciCapability};
///
/// /// Whether a function can send its interrupts as messages.
/// fn has_messages<M: Machine>(pci: Pci<'_, M>, function: Function) -> bool {
///     let address = PciAddress::new(0, function.bus(), function.device(), function.function());
///     let Some(endpoint) = EndpointHeader::from_header(PciHeader::new(address), pci) else { return false };
///     endpoint.capabilities(pci).take(48).any(|capability| matches!(capability, PciCapability::MsiX(_)))
/// }
/// ```
impl<M: Machine> ConfigRegionAccess for Pci<'_, M> {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        place(address, offset).map_or(NOBODY, |(function, offset)| Pci::read(*self, function, offset))
    }

    unsafe fn write(&self, address: PciAddress, offset: u16, value: u32) {
        if let Some((function, offset)) = place(address, offset) {
            _ = Pci::write(*self, function, offset, value);
        }
    }
}

fn place(address: PciAddress, offset: u16) -> Option<(Function, u8)> {
    let function = Function::new(address.bus(), address.device(), address.function())?;
    (address.segment() == 0).then_some((function, u8::try_from(offset).ok()?))
}

#[cfg(all(test, feature = "emulated"))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

    use crate::io::Io;
    use crate::machine::Emulated;
    use crate::machine::emulated::{Config, PciBus, PciFunction};
    use crate::mmu::Pae;
    use pci_types::capability::PciCapability;
    use pci_types::{CommandRegister, EndpointHeader, PciAddress, PciHeader};
    use std::vec::Vec;

    #[test]
    fn another_crate_reads_the_bus_and_writes_what_it_may() {
        let machine = Emulated::<Pae>::new(&Config::new(1, 1));
        let mut card = PciFunction::new(0x8029_10ec, 0x0200_0003).with_ports(0, 0xc000, 32);
        card.dwords[1] = 1 << 20;
        card.dwords[0x34 / 4] = 0x40;
        card.dwords[0x40 / 4] = 0x0011;
        machine.devices().pci = Some(PciBus::default());
        machine.devices().pci.as_mut().unwrap().functions.insert(0x18, card);
        let pci = Io::new(&machine).pci().unwrap();
        let header = || PciHeader::new(PciAddress::new(0, 0, 3, 0));
        assert_eq!(header().id(pci), (0x10ec, 0x8029));
        assert_eq!(header().revision_and_class(pci), (3, 2, 0, 0));
        let mut endpoint = EndpointHeader::from_header(header(), pci).unwrap();
        let capabilities: Vec<_> = endpoint.capabilities(pci).take(48).collect();
        assert!(matches!(capabilities[..], [PciCapability::MsiX(_)]));
        // Answering at ports is a client's to switch, mastering the bus is not.
        endpoint.update_command(pci, |command| command | CommandRegister::IO_ENABLE);
        assert!(endpoint.command(pci).contains(CommandRegister::IO_ENABLE));
        endpoint.update_command(pci, |command| command | CommandRegister::BUS_MASTER_ENABLE);
        assert!(!endpoint.command(pci).contains(CommandRegister::BUS_MASTER_ENABLE));
        // Another segment, and what only ECAM reaches.
        assert_eq!(PciHeader::new(PciAddress::new(1, 0, 3, 0)).id(pci), (0xffff, 0xffff));
        assert_eq!(super::place(PciAddress::new(0, 0, 3, 0), 256), None);
    }
}
