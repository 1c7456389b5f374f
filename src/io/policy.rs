//! Which ports safe code may claim, and why not the others.
//!
//! The answer is **no**, but for the rows of [`OFFERED`]. A row is there because whatever is written to
//! its ports, in any order, no frame of RAM changes, no interrupt takes another vector, and no
//! other port answers elsewhere. [`SENSITIVE`] says of the ports that are best known why they
//! are not: it decides nothing, for what is in neither list is refused too.
//!
//! What the rows rest on, besides their data sheets:
//!
//! 1. **No ISA card reaches RAM.** A transfer, and also a card that masters the bus itself, needs a
//!    channel of the 8237. Init masks them all, and none of the controllers' ports are handed out.
//! 2. **No PCI function answers here** but an IDE or a display controller: I/O BARs lie above all rows,
//!    where the firmware put them, and are not moved down.
//! 3. **Their engines stand still.** They are programmed through BARs that are not offered, and init
//!    takes the bus from every function. That no further index of a display controller's VGA
//!    registers starts one is known of QEMU's, and trusted of others.
//! 4. **No row has an alias.** An ISA card may decode ten address bits only. All rows lie from 0x100 to
//!    0x3ff, so what is offered is what such a card sees.

use super::claims::Ports;
use crate::violation::Violation;

/// Ports in a row, and why they are offered, or are not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
    /// What answers there.
    pub device: &'static str,
    /// Why the ports are offered, or what they could break.
    pub reason: &'static str,
}

const fn row(first: u16, last: u16, device: &'static str, reason: &'static str) -> Row {
    Row { first, last, device, reason }
}

/// What safe code may claim, upwards. A claim lies in one row.
pub const OFFERED: &[Row] = &[
    row(0x170, 0x177, "second ATA channel", "as the first"),
    row(
        0x1ce,
        0x1d0,
        "Bochs VBE",
        "an index and a word of data, which also answers one port on; moves no memory (QEMU: standard VGA)",
    ),
    row(
        0x1f0,
        0x1f7,
        "first ATA channel: command block",
        "the CPU moves every word; a DMA command gets no answer from an engine that is not started (ATA/ATAPI-4)",
    ),
    row(0x201, 0x201, "game port", "one-shots and switches (IBM PC/AT technical reference)"),
    row(0x2e8, 0x2ef, "serial port 4", "as the first"),
    row(0x2f8, 0x2ff, "serial port 2", "as the first"),
    row(
        0x300,
        0x31f,
        "NE2000",
        "its \"remote DMA\" moves bytes between its own RAM and its data port (DP8390D)",
    ),
    row(0x376, 0x376, "second ATA channel: control block", "as the first"),
    row(
        0x378,
        0x37a,
        "first parallel port: data, status, control",
        "no engine without the ECP registers at 0x778, which are not offered (IEEE 1284)",
    ),
    row(
        0x3c0,
        0x3df,
        "VGA",
        "moves bytes of its own memory only, which is seen at 0xa0000 to 0xbffff (IBM VGA)",
    ),
    row(0x3e8, 0x3ef, "serial port 3", "as the first"),
    row(
        0x3f6,
        0x3f6,
        "first ATA channel: control block",
        "interrupt enable and reset of the drives; 0x3f7 is the diskette controller's too (ATA/ATAPI-4)",
    ),
    row(
        0x3f8,
        0x3ff,
        "serial port 1",
        "16550: bytes in and out; its \"DMA mode\" is two pins that no PC connects (PC16550D)",
    ),
];

/// Ports that are never handed out, upwards, and what they could break.
pub const SENSITIVE: &[Row] = &[
    row(0x000, 0x01f, "8237 DMA controller 1", "writes any frame below 16 MiB"),
    row(0x020, 0x021, "8259 interrupt controller 1", "chooses the vectors that interrupts take"),
    row(0x022, 0x023, "chipset and CPU configuration", "moves memory, opens system-management memory"),
    row(0x02e, 0x02f, "Super I/O configuration", "moves a function over other ports, gives it DMA channels"),
    row(0x040, 0x043, "8254 timer", "the kernel's clock; on old boards the refresh of RAM"),
    row(0x048, 0x04b, "second 8254 timer", "its fail-safe output is an NMI"),
    row(0x04e, 0x04f, "Super I/O configuration", "as 0x2e"),
    row(0x060, 0x060, "8042 data", "some commands' bytes switch A20 and pulse the reset line"),
    row(0x061, 0x061, "speaker gate", "shared with the enables of NMI for bus and memory errors"),
    row(0x062, 0x062, "embedded controller data", "as 0x66"),
    row(0x064, 0x064, "8042 command", "D1, DD, DF switch A20; F0 to FF pulse the reset line"),
    row(0x066, 0x066, "embedded controller command", "belongs to the firmware; reaches power and batteries"),
    row(0x070, 0x077, "CMOS RAM and clock", "bit 7 of the index masks NMI; the RAM is the firmware's"),
    row(0x080, 0x08f, "DMA page registers", "the upper address bits of every DMA; 0x80 itself is `delay`"),
    row(0x092, 0x092, "system control A", "bit 1 switches A20, bit 0 resets the CPU"),
    row(0x0a0, 0x0a1, "8259 interrupt controller 2", "chooses the vectors that interrupts take"),
    row(0x0b2, 0x0b3, "APM control", "enters system-management mode with a command"),
    row(0x0c0, 0x0df, "8237 DMA controller 2", "writes any frame below 16 MiB; cascades bus masters"),
    row(0x0f0, 0x0ff, "coprocessor", "clears its pending error; QEMU's debug exit answers at 0xf4"),
    row(0x220, 0x22f, "Sound Blaster", "plays and records by DMA"),
    row(0x278, 0x27a, "second parallel port", "0x279 is the address port of ISA Plug and Play"),
    row(0x330, 0x337, "MPU-401", "or an Adaptec 154x: a bus master"),
    row(0x370, 0x375, "diskette controller 2", "as the first; Super I/O configuration"),
    row(0x377, 0x377, "diskette controller 2", "as the first"),
    row(0x3f0, 0x3f5, "diskette controller 1", "transfers by DMA; 0x3f0 configures several Super I/O chips"),
    row(0x3f7, 0x3f7, "diskette controller 1", "shared by the drives of two controllers"),
    row(0x400, 0x4cf, "EISA system board", "further address bits, counts and modes of every DMA; NMI"),
    row(0x4d0, 0x4d1, "ELCR", "an edge line made level never ends its interrupt, or the reverse loses it"),
    row(0x4d2, 0x4ff, "EISA system board", "as 0x400"),
    row(0x510, 0x51b, "QEMU fw_cfg", "its DMA writes any frame"),
    row(0x600, 0x67f, "ACPI power management", "sleeps, resets, enters system-management mode"),
    row(0x778, 0x77a, "first parallel port: ECP", "transfers by DMA"),
    row(0xa79, 0xa79, "ISA Plug and Play data", "moves a card over other ports, gives it DMA channels"),
    row(0xcf8, 0xcff, "PCI configuration", "moves BARs, starts bus masters; 0xcf9 resets the machine"),
    row(0x4000, 0x407f, "ACPI power management", "as 0x600, in other machines"),
    row(0x5658, 0x5659, "VMware backdoor", "takes every register of the CPU as its argument"),
    row(0xae00, 0xae1f, "QEMU hot-plug", "ejects PCI functions"),
    row(0xaf00, 0xaf1f, "QEMU hot-plug", "ejects CPUs"),
    row(0xb000, 0xb07f, "ACPI power management", "as 0x600, in other machines"),
];

/// The lowest and the highest port that a row may have: see 4. above.
const LOWEST: u16 = 0x100;
const HIGHEST: u16 = 0x3ff;

/// Whether each row is upright and lies above the one before.
const fn is_sorted(mut rows: &[Row]) -> bool {
    while let [row, rest @ ..] = rows {
        if row.first > row.last {
            return false;
        }
        if let [next, ..] = rest
            && next.first <= row.last
        {
            return false;
        }
        rows = rest;
    }
    true
}

/// Whether no row of `rows` has a port of `row`.
const fn is_apart(row: &Row, mut rows: &[Row]) -> bool {
    while let [other, rest @ ..] = rows {
        if row.first <= other.last && other.first <= row.last {
            return false;
        }
        rows = rest;
    }
    true
}

const _: () = {
    assert!(is_sorted(OFFERED));
    assert!(is_sorted(SENSITIVE));
    let mut rows = OFFERED;
    while let [row, rest @ ..] = rows {
        assert!(LOWEST <= row.first && row.last <= HIGHEST);
        assert!(is_apart(row, SENSITIVE));
        rows = rest;
    }
};

/// Whether one row offers all of `ports`; else the first port that it does not.
pub(super) fn check(ports: Ports) -> Result<(), Violation> {
    if cfg!(sva_os_unchecked) {
        return Ok(());
    }
    let first = ports.first();
    let Some(row) = OFFERED.iter().find(|row| row.first <= first && first <= row.last) else {
        return Err(Violation::PortNotOffered(first.into()));
    };
    if ports.last() > row.last {
        return Err(Violation::PortNotOffered(row.last.saturating_add(1).into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
