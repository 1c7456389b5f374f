//! Entries as RAM holds them, read and written by the manual (Intel SDM vol. 3, tables 4-5, 4-6
//! and 4-8 to 4-11), for the two modes alone and strictly: whatever the library never writes is bad.

use super::reference::{Item, Shape};
use crate::common::world;
use sva_os::address::Frame;
use sva_os::mmu::Rights;

pub(crate) const PRESENT: u64 = 1 << 0;
pub(crate) const WRITE: u64 = 1 << 1;
pub(crate) const USER: u64 = 1 << 2;
pub(crate) const ACCESSED: u64 = 1 << 5;
pub(crate) const DIRTY: u64 = 1 << 6;
pub(crate) const HISTORY: u64 = ACCESSED | DIRTY;
const NO_EXECUTE: u64 = 1 << 63;
const FRAME: u64 = 0xffff_f000;

/// An entry of a user-half table, or of a root's user half.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Raw {
    Empty,
    Leaf { frame: Frame, rights: Rights },
    Table(Frame),
    Bad,
}

/// What a user entry of a table of `level` says.
pub(crate) fn decode(shape: Shape, level: u8, raw: u64) -> Raw {
    if raw == 0 {
        return Raw::Empty;
    }
    let frame = world::frame(u32::try_from((raw & FRAME) >> 12).expect("20 bits"));
    let pointer = shape.pae && level == 3;
    let must = if pointer { PRESENT } else { PRESENT | USER };
    let may = match (level, pointer) {
        (1, _) if shape.pae => must | WRITE | HISTORY | NO_EXECUTE,
        (1, _) => must | WRITE | HISTORY,
        (_, true) => must,
        // A link takes no right away, so that leaves alone decide.
        (_, false) => must | WRITE | ACCESSED,
    };
    if raw & must != must || raw & !(may | FRAME) != 0 {
        Raw::Bad
    } else if level == 1 {
        let execute = !shape.pae || raw & NO_EXECUTE == 0;
        Raw::Leaf { frame, rights: Rights::new(raw & WRITE != 0, execute) }
    } else if pointer || raw & WRITE != 0 {
        Raw::Table(frame)
    } else {
        Raw::Bad
    }
}

/// How an entry that says so must look, accessed and dirty clear.
pub(crate) fn encode(shape: Shape, level: u8, item: Option<Item>) -> u64 {
    match item {
        None => 0,
        Some(Item::Leaf(frame, rights)) => leaf(shape, frame, rights, true),
        Some(Item::Table(table)) => link(shape, level, table, true),
    }
}

/// A leaf, for users or for the kernel alone.
pub(crate) fn leaf(shape: Shape, frame: Frame, rights: Rights, user: bool) -> u64 {
    let mut raw = u64::from(frame.number()) << 12 | PRESENT;
    if rights.write() {
        raw |= WRITE;
    }
    if user {
        raw |= USER;
    }
    if shape.pae && !rights.execute() {
        raw |= NO_EXECUTE;
    }
    raw
}

/// A link in a table of `level`.
pub(crate) fn link(shape: Shape, level: u8, table: Frame, user: bool) -> u64 {
    let raw = u64::from(table.number()) << 12 | PRESENT;
    match (shape.pae && level == 3, user) {
        (true, _) => raw,
        (false, true) => raw | WRITE | USER,
        (false, false) => raw | WRITE,
    }
}

/// Word 0 of a frame's entry in the frame table: kind, sealed, writable and total count.
pub(crate) fn frame_word(kind: u32, sealed: bool, (total, writable): (u32, u32)) -> u32 {
    kind | u32::from(sealed) << 6 | writable << 7 | total << 19
}
