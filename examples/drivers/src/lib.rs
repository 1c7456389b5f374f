//! Drivers in safe Rust over [`sva_os`]'s checked ports and registers.
//!
//! | device | module | reached through |
//! |---|---|---|
//! | 16550 serial port | [`serial`] | `io().uart(first)` |
//! | PS/2 keyboard | [`keyboard`] | `io().keyboard()` |
//! | CMOS clock | [`cmos`] | `io().cmos(index)` |
//! | VGA, text | [`vga`] | `io().claim(0x3c0, 32)`, `devices().claim(..)` of 0xb8000 to 0xbffff |
//! | ATA disk, by programmed I/O | [`ata`] | `io().claim(0x1f0, 8)`, `io().claim(0x3f6, 1)` |
//! | NE2000 network card | [`ne2000`] | `io().claim(0x300, 32)`, or `io().pci()` and `claim_ports` |
//!
//! None of them needs DMA: the CPU moves every byte, so whatever a driver does wrong, no frame of RAM changes behind
//! Rust's back. What may be reached the library decides; a driver gets [registers](registers::Registers) and
//! is generic over them, so that a hostile device can be played on the host.
//!
//! Two rules hold for every driver. **Each wait has an end**, by time and by count: see [`wait`]. **What a
//! device says is an allegation**: lengths, page numbers and status bytes are checked before they are used, and what
//! does not fit is an error.
//!
//! [`blocks`] and [`volumes`] lie between a disk and the crate `embedded-sdmmc`; [`ne2000::Ne2000`] is a device
//! of the crate `smoltcp`.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

#[cfg(test)]
extern crate std;

pub mod ata;
pub mod blocks;
pub mod cmos;
pub mod keyboard;
pub mod ne2000;
pub mod quiet;
pub mod registers;
pub mod serial;
pub mod vga;
pub mod volumes;
pub mod wait;
#[cfg(test)]
mod world;
