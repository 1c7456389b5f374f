//! Devices that QEMU's PC has, driven through claimed ports.

use super::Io;
use log::info;

pub(super) fn run(io: Io) {
    vbe(io);
    cdrom(io);
}

/// The display: its identity is a word behind an odd port.
fn vbe(io: Io) {
    let ports = io.claim(0x1ce, 3).unwrap();
    ports.write(0, 0u16).unwrap();
    let identity = ports.read::<u16>(1).unwrap();
    assert_eq!(identity & 0xfff0, 0xb0c0, "{identity:#x}");
    info!("VBE {}", identity & 0xf);
}

/// ATA/ATAPI-4: the command block, and of its status and commands these.
const DATA: u16 = 0;
const DEVICE: u16 = 6;
const STATUS: u16 = 7;
const COMMAND: u16 = 7;
const BUSY: u8 = 1 << 7;
const DATA_REQUEST: u8 = 1 << 3;
const IDENTIFY_PACKET_DEVICE: u8 = 0xa1;

/// The drive of the second channel: a word at a time, by the CPU.
fn cdrom(io: Io) {
    let command_block = io.claim(0x170, 8).unwrap();
    let status = command_block.port::<u8>(STATUS).unwrap();
    let data = command_block.port::<u16>(DATA).unwrap();
    command_block.write(DEVICE, 0xa0u8).unwrap();
    command_block.write(COMMAND, IDENTIFY_PACKET_DEVICE).unwrap();
    while status.read() & BUSY != 0 {
        io.delay();
    }
    assert!(status.read() & DATA_REQUEST != 0);
    let mut words = [0u16; 256];
    words.fill_with(|| data.read());
    assert!(status.read() & DATA_REQUEST == 0, "one block of 512 bytes");
    // Words 27 to 46: the model, two letters a word, the first of them in the high byte.
    let mut model = [0u8; 40];
    for (letters, word) in model.chunks_exact_mut(2).zip(&words[27..]) {
        letters.copy_from_slice(&word.to_be_bytes());
    }
    info!("drive: {}", core::str::from_utf8(&model).unwrap().trim_end());
}
