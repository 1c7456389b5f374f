//! Every port there is, and what has one owner.

use super::Io;
use log::info;
use sva_os::Violation;

/// First and last of what can be claimed while the first serial port is the logger's.
const OFFERED: &[(u16, u16)] = &[
    (0x170, 0x177),
    (0x1ce, 0x1d0),
    (0x1f0, 0x1f7),
    (0x201, 0x201),
    (0x2e8, 0x2ef),
    (0x2f8, 0x2ff),
    (0x300, 0x31f),
    (0x376, 0x376),
    (0x378, 0x37a),
    (0x3c0, 0x3df),
    (0x3e8, 0x3ef),
    (0x3f6, 0x3f6),
];
const LOGGER: (u16, u16) = (0x3f8, 0x3ff);

pub(super) fn run(io: Io) {
    let within = |(first, last): (u16, u16), port: u16| first <= port && port <= last;
    let mut granted = 0;
    for port in 0..=u16::MAX {
        let expected = if within(LOGGER, port) {
            Some(Violation::PortTaken(port.into()))
        } else if OFFERED.iter().any(|row| within(*row, port)) {
            None
        } else {
            Some(Violation::PortNotOffered(port.into()))
        };
        let answer = io.claim(port, 1);
        granted += u32::from(answer.is_ok());
        assert_eq!(answer.err(), expected);
    }
    info!("{granted} ports of 65536");

    let held = io.claim(0x300, 0x20).unwrap();
    assert_eq!(io.claim(0x31f, 1).err(), Some(Violation::PortTaken(0x31f)));
    assert_eq!(held.read::<u16>(0x1f), Err(Violation::OutsidePorts(0x1f)));
    assert_eq!(held.write(0xffff, 0u32), Err(Violation::OutsidePorts(0xffff)));
    drop(held);
    core::mem::forget(io.claim(0x31f, 1));
    assert_eq!(io.claim(0x300, 0x20).err(), Some(Violation::PortTaken(0x31f)));
}
