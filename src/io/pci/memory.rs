//! Where functions answer in memory: claims of base address registers, and moving one.

use super::bar::{BARS, Bar};
use super::rules::{self, COMMAND, COMMAND_BITS, FIRST_BAR, HEADER, IO_SPACE, MEMORY_SPACE};
use super::{Function, Pci, each_function};
use crate::address::{PageRange, PhysAddr};
use crate::io::devices::{Devices, frames_of};
use crate::io::mmio::MmioRegion;
use crate::machine::Machine;
use crate::observer::observed;
use crate::violation::Violation;

/// The expansion ROM's dword, whose bit 0 makes it answer (PCI 3.0, 6.2.5.2).
const ROM: u8 = 0x30;
const ROM_ENABLE: u32 = 1 << 0;
/// Of the command's dword: there is a list of capabilities, which begins where the dword at 0x34 says (6.7).
const HAS_CAPABILITIES: u32 = 1 << 20;
const CAPABILITIES: u8 = 0x34;
const MSI_X: u8 = 0x11;
/// As many as fit behind the header: a list that is longer is a ring.
const MOST_CAPABILITIES: usize = 48;
/// The windows that a bridge forwards: memory, and memory that may be prefetched.
const BRIDGE_WINDOWS: [u8; 2] = [0x20, 0x24];

impl<'s, M: Machine> Devices<'s, M> {
    const fn pci(self) -> Pci<'s, M> {
        Pci { machine: &self.sva.machine }
    }

    /// Claims the registers at which `function`, which has no DMA engine, answers by its base address register `index`.
    ///
    /// # Errors
    ///
    /// [`MayHaveDma`](Violation::MayHaveDma), [`NoSuchBar`](Violation::NoSuchBar) if it does not answer in memory by that,
    /// [`MessageTable`](Violation::MessageTable), [`NotDeviceMemory`](Violation::NotDeviceMemory) if it answers where
    /// no bus may, or another function does, [`DeviceTaken`](Violation::DeviceTaken),
    /// [`NoDevicePages`](Violation::NoDevicePages).
    ///
    /// # Checks
    ///
    /// The function is [known to be harmless](super::HARMLESS); where it answers, by this register or another of its own,
    /// the memory map speaks of nothing, the interrupt controllers are not, and no other function is; no table of
    /// message-signalled interrupts lies there; nobody has a frame of it. It is made to answer. Attacks E12, P2, P4,
    /// P8 to P10, P14.
    pub fn claim_bar(self, function: Function, index: u8) -> Result<MmioRegion<'s, M>, Violation> {
        observed(&self.sva.machine, self.pci().check_harmless(function))?;
        // SAFETY: it has no DMA engine.
        unsafe { self.vouch_for_bar(function, index) }
    }

    /// As [`claim_bar`](Self::claim_bar), whatever the function is.
    ///
    /// # Errors
    ///
    /// As [`claim_bar`](Self::claim_bar), but [`MayHaveDma`](Violation::MayHaveDma).
    ///
    /// # Safety
    ///
    /// Whoever gets the registers, programs that they are [lent](MmioRegion::lend) to included, makes the device write or read no frame but those of kind DMA: by what is written there,
    /// and in any order.
    pub unsafe fn vouch_for_bar(self, function: Function, index: u8) -> Result<MmioRegion<'s, M>, Violation> {
        self.sva.intrinsic(|| {
            let (pages, start, length) = self.locked(|| self.take_bar(function, index))?;
            Ok(MmioRegion::new(self.sva, pages, start, length))
        })
    }

    /// Moves the registers at which `function` answers in memory by its base address register `index`: they begin at
    /// `start` then, a multiple of their length. It answers nowhere meanwhile.
    ///
    /// # Errors
    ///
    /// [`NoSuchBar`](Violation::NoSuchBar), [`NotDeviceMemory`](Violation::NotDeviceMemory) if `start` is no such multiple, or
    /// they would lie where no bus may have devices, another register answers, or a bridge forwards;
    /// [`DeviceTaken`](Violation::DeviceTaken), [`PortTaken`](Violation::PortTaken) if any registers of the function are
    /// claimed.
    ///
    /// # Checks
    ///
    /// The new place as for a claim, and that nobody has what would answer elsewhere, or not at all, for the moment.
    /// Attacks P4, P5, P12.
    pub fn move_bar(self, function: Function, index: u8, start: PhysAddr) -> Result<(), Violation> {
        self.sva.intrinsic(|| {
            self.locked(|| {
                let pci = self.pci();
                let no_bar = Violation::NoSuchBar(index.into());
                let bar = pci.bar_of(function, index).ok_or(no_bar)?;
                let Bar::Memory { length, .. } = bar else { return Err(no_bar) };
                let wrong = Violation::NotDeviceMemory(start.containing());
                let frames = frames_of(start, length).ok_or(wrong)?;
                let moved = Bar::Memory { start: start.get(), length };
                if start.get() & length.wrapping_sub(1) != 0
                    || !self.sva.half.devices.bus().covers(frames)
                    || pci.answers_elsewhere(function, index, moved)
                    || pci.is_forwarded(moved)
                {
                    return Err(wrong);
                }
                pci.check_unclaimed(function)?;
                self.check_memory_unclaimed(function)?;
                let command = pci.get(function, COMMAND) & COMMAND_BITS;
                pci.put(function, COMMAND, command & !(IO_SPACE | MEMORY_SPACE));
                pci.put(function, register(index), start.get());
                pci.put(function, COMMAND, command);
                Ok(())
            })
        })
    }

    /// Takes pages for where the register leads, and makes the function answer there. The caller has the configuration to
    /// itself.
    fn take_bar(self, function: Function, index: u8) -> Result<(PageRange, PhysAddr, u32), Violation> {
        let pci = self.pci();
        let no_bar = Violation::NoSuchBar(index.into());
        let bar = pci.bar_of(function, index).ok_or(no_bar)?;
        let Bar::Memory { start, length } = bar else { return Err(no_bar) };
        let start = PhysAddr::new(start);
        let frames = frames_of(start, length).ok_or(no_bar)?;
        if pci.has_message_table(function, index) {
            return Err(Violation::MessageTable(index.into()));
        }
        self.check_placed(function)?;
        if pci.answers_elsewhere(function, index, bar) {
            return Err(Violation::NotDeviceMemory(start.containing()));
        }
        let pages = self.sva.half.devices.take(&self.sva.machine, frames)?;
        let command = pci.get(function, COMMAND) & COMMAND_BITS;
        pci.put(function, COMMAND, command | MEMORY_SPACE);
        Ok((pages, start, length))
    }

    /// Once `function` answers in memory, it does so by every register of its own: nowhere but where a bus may have
    /// devices, and not by its ROM.
    fn check_placed(self, function: Function) -> Result<(), Violation> {
        let pci = self.pci();
        for index in 0..BARS {
            let Some(bar) = pci.bar_of(function, index) else { continue };
            let frames = match bar {
                Bar::Ports { .. } => continue,
                Bar::Memory { start, length } => frames_of(PhysAddr::new(start), length),
                // Beyond 4 GiB nothing is ours.
                Bar::Unreachable if pci.is_beyond(function, index) => continue,
                Bar::Unreachable => None,
            };
            let bus = self.sva.half.devices.bus();
            if !frames.is_some_and(|frames| bus.covers(frames)) {
                let first = PhysAddr::new(pci.get(function, register(index))).containing();
                return Err(Violation::NotDeviceMemory(first));
            }
        }
        let rom = pci.get(function, ROM);
        if rom & ROM_ENABLE != 0 {
            return Err(Violation::NotDeviceMemory(PhysAddr::new(rom).containing()));
        }
        Ok(())
    }

    /// Nobody has registers at which `function` answers in memory.
    fn check_memory_unclaimed(self, function: Function) -> Result<(), Violation> {
        for index in 0..BARS {
            if let Some(Bar::Memory { start, length }) = self.pci().bar_of(function, index)
                && let Some(frames) = frames_of(PhysAddr::new(start), length)
                && let Some(frame) = self.sva.half.devices.first_taken(&self.sva.machine, frames)
            {
                return Err(Violation::DeviceTaken(frame));
            }
        }
        Ok(())
    }
}

/// Where the base address register `index` is.
pub(super) const fn register(index: u8) -> u8 {
    FIRST_BAR.wrapping_add(index.wrapping_mul(4))
}

impl<M: Machine> Pci<'_, M> {
    /// Whether the register `index` is one of 64 bits that leads beyond 4 GiB.
    fn is_beyond(self, function: Function, index: u8) -> bool {
        Bar::is_wide(self.get(function, register(index)))
            && self.get(function, register(index.wrapping_add(1))) != 0
    }

    /// Whether a bridge forwards a part of `bar` to the bus behind it.
    fn is_forwarded(self, bar: Bar) -> bool {
        each_function(|function, offset| self.get(function, offset))
            .filter(|function| rules::is_bridge(self.get(*function, HEADER)))
            .flat_map(|bridge| BRIDGE_WINDOWS.map(|window| self.get(bridge, window)))
            .any(|window| {
                // Bits 15 to 4 are bits 31 to 20 of the first address, bits 31 to 20 those of the last (PCI-PCI 1.2,
                // 3.2.5.8).
                let (first, last) = ((window & 0xfff0) << 16, window | 0xf_ffff);
                let length = last.wrapping_sub(first).saturating_add(1);
                first <= last && bar.overlaps(Bar::Memory { start: first, length })
            })
    }

    /// Whether the table of message-signalled interrupts, or of those pending, lies where `function` answers by its
    /// register `index`.
    fn has_message_table(self, function: Function, index: u8) -> bool {
        if self.get(function, COMMAND) & HAS_CAPABILITIES == 0 {
            return false;
        }
        let mut next = self.get(function, CAPABILITIES);
        for _ in 0..MOST_CAPABILITIES {
            let Ok(at) = u8::try_from(next & 0xfc) else { return false };
            if at == 0 {
                return false;
            }
            let capability = self.get(function, at);
            if capability & 0xff == u32::from(MSI_X) {
                let leads_here =
                    |place: u8| self.get(function, at.wrapping_add(place)) & 7 == u32::from(index);
                return leads_here(4) || leads_here(8);
            }
            next = capability >> 8;
        }
        false
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
