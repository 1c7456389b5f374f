//! What every kernel needs of the ports that are not handed out, each as one operation.

use super::Io;
use super::keyboard::COMMAND as KEYBOARD;
use super::pci::Function;
use crate::interrupt::quiet::Quiet;
use crate::machine::Machine;

/// Where firmware reports its progress. Of the DMA page registers, but of no channel.
const DELAY: u16 = 0x80;

/// Of its status: the last byte was not taken yet.
const INPUT_FULL: u8 = 1 << 1;
/// Pulses output line 0, which resets the CPU.
const PULSE_RESET: u8 = 0xfe;
/// How many delays a controller is given before the next thing is tried: about 4 ms.
const PATIENCE: u32 = 0x1000;
/// How many the machine is given to go off or to start again: about a second.
const END: u32 = 0x10_0000;

/// The reset control register of Intel's chipsets.
const RESET_CONTROL: u16 = 0xcf9;
/// Of it: what a reset is to be, all of the machine.
const SYSTEM_RESET: u8 = 1 << 1;
/// Of it: when this bit rises, the reset begins.
const RESET_CPU: u8 = 1 << 2;

/// A PCI function with the ACPI registers of a machine.
struct PowerManagement {
    /// Device and vendor.
    id: u32,
    /// The configuration register with the base of their ports, and its bits.
    base: (u8, u32),
    /// The configuration register and bit that say that they answer.
    enable: (u8, u32),
    /// What SLP_TYP may be for soft off.
    soft_off: &'static [u16],
}

/// The chips that virtual machines have. A chip that is not here keeps its power.
const CHIPS: &[PowerManagement] = &[
    // 82371AB, data sheet 290562: PMBA, PMREGMISC. QEMU's i440fx, 0x600, once 0xb000; Bochs.
    PowerManagement { id: 0x7113_8086, base: (0x40, 0xffc0), enable: (0x80, 1), soft_off: &[0] },
    // ICH9, data sheet 316972: PMBASE, ACPI_CNTL. QEMU's q35 takes 0 for soft off, silicon 7.
    PowerManagement { id: 0x2918_8086, base: (0x40, 0xff80), enable: (0x44, 1 << 7), soft_off: &[0, 7] },
];

/// Where PM1a_CNT lies behind the base, for all of them.
const PM1_CONTROL: u16 = 4;
/// SLP_TYP and SLP_EN of PM1a_CNT (ACPI 6.5, 4.8.3.2.1).
const SLEEP_TYPE_SHIFT: u32 = 10;
const SLEEP_ENABLE: u16 = 1 << 13;

impl<M: Machine> Io<'_, M> {
    /// Waits for about a microsecond, as long as a write to a port takes that no device answers.
    ///
    /// # Checks
    ///
    /// None: nothing happens there.
    #[inline(always)]
    pub fn delay(self) {
        // SAFETY: the library's own port; what is written there goes nowhere.
        unsafe { self.machine.port_write::<u8>(DELAY, 0) }
    }

    /// Resets the machine: by the keyboard controller, by the chipset, at last by stopping it.
    ///
    /// # Checks
    ///
    /// None: no Rust code runs on this CPU afterwards, and none at all once the machine has reset.
    pub fn reset(self) -> ! {
        let _quiet = Quiet::new(self.machine);
        for _ in 0..PATIENCE {
            // SAFETY: the library's own port; to read the status changes nothing.
            let status: u8 = unsafe { self.machine.port_read(KEYBOARD) };
            if status & INPUT_FULL == 0 {
                break;
            }
            self.delay();
        }
        // SAFETY: the library's own port; the command resets the CPU and does nothing else.
        unsafe { self.machine.port_write(KEYBOARD, PULSE_RESET) }
        for value in [SYSTEM_RESET, SYSTEM_RESET | RESET_CPU] {
            (0..PATIENCE).for_each(|_| self.delay());
            // SAFETY: the library's own port; what is written resets the machine and does nothing else.
            unsafe { self.machine.port_write(RESET_CONTROL, value) }
        }
        (0..END).for_each(|_| self.delay());
        self.machine.stop("reset")
    }

    /// Switches the machine off, if it has a chip for that which is known here; else stops it.
    ///
    /// # Checks
    ///
    /// Nothing is written to a port unless a PCI function is found that says that it answers there:
    /// elsewhere the same port may start a DMA.
    pub fn power_off(self) -> ! {
        let _quiet = Quiet::new(self.machine);
        let pci = self.pci_unasked();
        for function in Function::of_first_bus() {
            let id = pci.read(function, 0);
            let Some(chip) = CHIPS.iter().find(|chip| chip.id == id) else { continue };
            let base = pci.read(function, chip.base.0) & chip.base.1;
            let answers = pci.read(function, chip.enable.0) & chip.enable.1 != 0;
            let Some(control) = u16::try_from(base).ok().and_then(|base| base.checked_add(PM1_CONTROL))
            else {
                continue;
            };
            if base == 0 || !answers {
                continue;
            }
            for kind in chip.soft_off {
                let value = SLEEP_ENABLE | kind.wrapping_shl(SLEEP_TYPE_SHIFT);
                // SAFETY: the library's own port: PM1a_CNT, by the chip's own word. The value
                // switches the machine off and does nothing else.
                unsafe { self.machine.port_write(control, value) }
                (0..END).for_each(|_| self.delay());
            }
        }
        self.machine.stop("power-off")
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
