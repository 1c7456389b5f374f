//! Accesses in functions of their own: what each is compiled to is counted in the kernel's disassembly.

use super::{Machine, Os};
use core::hint::black_box;
use sva_os::io::{Mmio, MmioRegion, Port, PortRange};

/// A port whose number was checked when it was made.
#[inline(never)]
fn constant_port(port: Port<'_, Machine, u8>) -> u8 {
    port.read()
}

/// A port that is computed.
#[inline(never)]
fn computed_port(range: &PortRange<'_, Machine>, offset: u16) -> u8 {
    range.read(offset).unwrap_or(0)
}

/// A register whose place was checked when it was made.
#[inline(never)]
fn constant_register(register: Mmio<'_, Machine, u32>) -> u32 {
    register.read()
}

/// A register whose place is computed.
#[inline(never)]
fn computed_register(region: &MmioRegion<'_, Machine>, offset: u32) -> u32 {
    region.read(offset).unwrap_or(0)
}

/// A serial port that nobody has: its scratch register keeps what it is given.
pub(super) fn port(sva: Os) {
    let range = sva.io().claim(0x2f8, 8).unwrap();
    range.write(7, 0x5a_u8).unwrap();
    let constant = constant_port(black_box(range.port(7).unwrap()));
    assert_eq!(computed_port(black_box(&range), black_box(7)), constant);
    assert_eq!(computed_port(black_box(&range), black_box(8)), 0);
}

/// The first cells of the screen.
pub(super) fn register(screen: &MmioRegion<'_, Machine>) {
    let constant = constant_register(black_box(screen.register(4).unwrap()));
    assert_eq!(computed_register(black_box(screen), black_box(4)), constant);
    assert_eq!(computed_register(black_box(screen), black_box(3)), 0);
}
