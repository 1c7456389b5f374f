//! Memory-mapped devices that QEMU's PC has, and all that are refused.

use super::{Os, probes};
use log::info;
use sva_os::Violation;
use sva_os::address::{Frame, FrameRange, PhysAddr};
use sva_os::io::pci::{Bar, HARMLESS};

pub(super) fn run(sva: Os) {
    screen(sva);
    nothing_else(sva);
    display(sva);
    functions(sva);
    assert_eq!(sva.audit().err(), None);
}

fn frames(first: u32, count: u32) -> FrameRange {
    FrameRange::new(Frame::new(first).unwrap(), count).unwrap()
}

/// The text screen holds what is written, and is claimed by one.
fn screen(sva: Os) {
    let screen = sva.devices().claim(frames(0xb8, 8)).unwrap();
    for (cell, letter) in (0..).step_by(2).zip(b"text") {
        screen.write::<u16>(cell, 0x0700 | u16::from(*letter)).unwrap();
    }
    assert_eq!(screen.read::<u32>(0), Ok(0x0765_0774));
    assert_eq!(screen.read::<u8>(4), Ok(b'x'));
    assert_eq!(screen.write::<u32>(0x7ffe, 0), Err(Violation::OutsideRegion(0x7ffe)));
    assert_eq!(screen.write::<u32>(0x8000, 0), Err(Violation::OutsideRegion(0x8000)));
    assert_eq!(sva.audit().err(), None);
    probes::register(&screen);
    let taken = Err(Violation::DeviceTaken(Frame::new(0xb8).unwrap()));
    assert_eq!(sva.devices().claim(frames(0xa0, 0x20)).map(drop), taken);
    drop(screen);
    drop(sva.devices().claim(frames(0xa0, 0x20)).unwrap());
    info!("the screen says text");
}

/// Attack E12: of all frames, those of the display alone are offered.
fn nothing_else(sva: Os) {
    let mut granted = 0;
    for number in 0..1 << 20 {
        let answer = sva.devices().claim(frames(number, 1)).map(drop);
        granted += u32::from(answer.is_ok());
        if let Err(violation) = answer {
            assert_eq!(violation, Violation::NotDeviceMemory(Frame::new(number).unwrap()));
        }
    }
    info!("{granted} frames of {}", 1 << 20);
}

/// The frame buffer of QEMU's display, from end to end, where it is and where it is moved to.
fn display(sva: Os) {
    let pci = sva.io().pci().unwrap();
    let is_display =
        |function: &_| (pci.identity(*function).vendor, pci.identity(*function).device) == (0x1234, 0x1111);
    let display = pci.functions().find(is_display).unwrap();
    let buffer = sva.devices().claim_bar(display, 0).unwrap();
    let last = buffer.length() - 4;
    for (offset, value) in [(0, 0x1234_5678_u32), (last, 0x9abc_def0), (0x10_0000, 1)] {
        buffer.write(offset, value).unwrap();
        assert_eq!(buffer.read(offset), Ok(value));
    }
    assert_eq!(buffer.write(last + 4, 0_u8), Err(Violation::OutsideRegion(last + 4)));
    let registers = sva.devices().claim_bar(display, 2).unwrap();
    let identity = registers.read::<u16>(0x500).unwrap();
    assert_eq!(identity & 0xfff0, 0xb0c0, "{identity:#x}");
    assert_eq!(sva.audit().err(), None);
    let (start, length) = (buffer.start(), buffer.length());
    let elsewhere = PhysAddr::new(start.get() - length);
    let claimed = Err(Violation::DeviceTaken(registers.start().containing()));
    drop(buffer);
    assert_eq!(sva.devices().move_bar(display, 0, elsewhere), claimed);
    drop(registers);
    for wrong in [0, 0x10_0000, 0xfec0_0000, 0xff00_0000, start.get() + 4096] {
        assert!(sva.devices().move_bar(display, 0, PhysAddr::new(wrong)).is_err(), "{wrong:#x}");
    }
    sva.devices().move_bar(display, 0, elsewhere).unwrap();
    let moved = sva.devices().claim_bar(display, 0).unwrap();
    assert_eq!((moved.start(), moved.read(last)), (elsewhere, Ok(0x9abc_def0_u32)));
    info!("{} KiB of display, moved", length >> 10);
}

/// Attacks P6, P10: whatever else is on the bus is nobody's.
fn functions(sva: Os) {
    let pci = sva.io().pci().unwrap();
    let mut refused = 0;
    for function in pci.functions() {
        let identity = pci.identity(function);
        let known =
            |row: &sva_os::io::pci::Harmless| (row.vendor, row.device) == (identity.vendor, identity.device);
        if HARMLESS.iter().any(known) {
            continue;
        }
        for index in 0..6 {
            let may_have_dma = Violation::MayHaveDma(function.number());
            assert_eq!(sva.devices().claim_bar(function, index).map(drop), Err(may_have_dma));
            assert_eq!(pci.claim_ports(function, index).map(drop), Err(may_have_dma));
            refused +=
                u32::from(matches!(pci.bar(function, index), Some(Bar::Memory { .. } | Bar::Ports { .. })));
        }
        let command = pci.read(function, 4) & 0xffff;
        assert_eq!(command & 4, 0, "{function} is bus master");
        assert_eq!(pci.write(function, 4, command | 4), Err(Violation::PciRegister(4)));
        assert_eq!(pci.read(function, 4) & 4, 0);
    }
    assert!(refused > 0);
    info!("{refused} registers of others are nobody's");
}
