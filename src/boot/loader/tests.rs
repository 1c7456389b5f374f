#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use crate::violation::Feature;
use proptest::prelude::*;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

/// Where the structures lie in a memory of 64 KiB.
const INFORMATION: u32 = 0x1000;
const MAP: u32 = 0x2000;
const MODULES: u32 = 0x3000;
const TEXT: u32 = 0x4000;

struct Memory(Vec<u8>);

impl Memory {
    fn word(&mut self, at: u32, value: u32) -> &mut Self {
        let at = at as usize;
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn text(&mut self, at: u32, text: &str) {
        let at = at as usize;
        self.0[at..at + text.len()].copy_from_slice(text.as_bytes());
    }

    fn read(&self) -> Result<Loader, Refusal> {
        read(MAGIC, INFORMATION, |start, length| {
            self.0.get(start as usize..start.checked_add(length)? as usize)
        })
    }
}

/// 640 KiB and 31 MiB of RAM with a hole between them, two modules and a command line.
fn sound() -> Memory {
    let mut memory = Memory(vec![0; 0x1_0000]);
    let flags = field::HAS_MAP | field::HAS_MEMORY | field::HAS_COMMAND_LINE | field::HAS_MODULES;
    memory.word(INFORMATION, flags).word(INFORMATION + 4, 640).word(INFORMATION + 8, 31 << 10);
    memory.word(INFORMATION + 16, TEXT).word(INFORMATION + 20, 2).word(INFORMATION + 24, MODULES);
    memory.word(INFORMATION + 44, 24 + 28).word(INFORMATION + 48, MAP);
    memory.word(MAP, 20).word(MAP + 12, 0xa_0000).word(MAP + 20, 1);
    // A longer entry, as the specification allows.
    memory.word(MAP + 24, 24).word(MAP + 28, 0x10_0000).word(MAP + 36, 0x1f0_0000).word(MAP + 44, 2);
    memory.word(MODULES, 0x20_0000).word(MODULES + 4, 0x20_0123).word(MODULES + 8, TEXT + 0x100);
    memory.word(MODULES + 16, 0x20_1000).word(MODULES + 20, 0x20_1000);
    memory.text(TEXT, "mode=pae");
    memory.text(TEXT + 0x100, "disk.img");
    memory
}

fn bytes(start: u32, length: u32) -> Bytes {
    Bytes { start: PhysAddr::new(start), length }
}

#[test]
fn sound_structures_are_read() {
    let loader = sound().read().unwrap_or_else(|refusal| panic!("{refusal}"));
    let region = |start, length, usage| Region { start, length, usage };
    assert_eq!(
        loader.regions.as_slice(),
        [region(0, 0xa_0000, Usage::Available), region(0x10_0000, 0x1f0_0000, Usage::Reserved)]
    );
    assert_eq!(loader.command_line, bytes(TEXT, 8));
    assert_eq!(
        loader.modules.as_slice(),
        [
            ModuleAt { bytes: bytes(0x20_0000, 0x123), text: bytes(TEXT + 0x100, 8) },
            ModuleAt { bytes: bytes(0x20_1000, 0), text: Bytes::EMPTY },
        ]
    );
}

#[test]
fn without_a_map_the_two_bounds_serve() {
    let mut memory = sound();
    memory.word(INFORMATION, field::HAS_MEMORY);
    let loader = memory.read().unwrap_or_else(|refusal| panic!("{refusal}"));
    let region = |start, length| Region { start, length, usage: Usage::Available };
    assert_eq!(loader.regions.as_slice(), [region(0, 640 << 10), region(1 << 20, 31 << 20)]);
    assert_eq!(loader.modules.as_slice(), []);
    assert_eq!(loader.command_line, Bytes::EMPTY);
}

#[test]
fn each_fault_is_told() {
    let refused = |change: &dyn Fn(&mut Memory)| {
        let mut memory = sound();
        change(&mut memory);
        memory.read().err()
    };
    let bad = |at| Some(Refusal::BadStructure(PhysAddr::new(at)));
    assert_eq!(read(1, 0, |_, _| None).err(), Some(Refusal::NotMultiboot(1)));
    assert_eq!(read(MAGIC, 0x7000, |_, _| None).err(), bad(0x7000));
    assert_eq!(refused(&|memory| _ = memory.word(INFORMATION, 0)), bad(INFORMATION), "no memory map at all");
    assert_eq!(refused(&|memory| _ = memory.word(INFORMATION + 48, 0xfff0)), bad(0xfff0), "map past the end");
    assert_eq!(refused(&|memory| _ = memory.word(INFORMATION + 48, u32::MAX)), bad(u32::MAX), "wraps");
    assert_eq!(refused(&|memory| _ = memory.word(INFORMATION + 44, 30)), bad(MAP), "map cut short");
    assert_eq!(refused(&|memory| _ = memory.word(MAP, 19)), bad(MAP), "an entry too short");
    assert_eq!(refused(&|memory| _ = memory.word(MAP, u32::MAX)), bad(MAP), "an entry that wraps");
    assert_eq!(
        refused(&|memory| _ = memory.word(INFORMATION + 24, 0xfff8)),
        bad(0xfff8),
        "modules past the end"
    );
    assert_eq!(
        refused(&|memory| _ = memory.word(INFORMATION + 24, u32::MAX - 15)),
        bad(u32::MAX - 15),
        "wrap"
    );
    assert_eq!(
        refused(&|memory| _ = memory.word(MODULES + 4, 0x1f_ffff)),
        bad(MODULES),
        "ends before it begins"
    );
    assert_eq!(refused(&|memory| _ = memory.word(INFORMATION + 16, 0xffff)).map(Refusal::status), None);
    assert_eq!(refused(&|memory| _ = memory.word(INFORMATION + 16, 0x1_0000)), bad(0x1_0000), "no such text");
    assert_eq!(
        refused(&|memory| memory.0[TEXT as usize..][..2048].fill(b'x')),
        bad(TEXT),
        "a text without an end"
    );
    let overlap =
        |start, end| refused(&|memory| _ = memory.word(MODULES + 16, start).word(MODULES + 20, end));
    assert_eq!(overlap(0x20_0122, 0x20_0200), Some(Refusal::ModulesOverlap(PhysAddr::new(0x20_0122))));
    assert_eq!(overlap(0x1f_0000, 0x20_0001), Some(Refusal::ModulesOverlap(PhysAddr::new(0x1f_0000))));
    assert_eq!(overlap(0x1f_0000, 0x30_0000), Some(Refusal::ModulesOverlap(PhysAddr::new(0x1f_0000))));
    assert_eq!(overlap(0x20_0123, 0x20_0200), None);
    let many = |count: u32| {
        refused(&|memory| {
            memory.word(INFORMATION + 20, count);
            for number in 0..32 {
                memory
                    .word(MODULES + 16 * number, 0x20_0000 + number)
                    .word(MODULES + 16 * number + 4, 0x20_0001 + number);
                memory.word(MODULES + 16 * number + 8, 0);
            }
        })
    };
    assert_eq!(many(16), None);
    assert_eq!(many(17), Some(Refusal::TooManyModules(17)));
}

#[test]
fn each_refusal_has_its_words_and_status() {
    let at = PhysAddr::new(0x9500);
    for (refusal, text, status) in [
        (Refusal::NotMultiboot(7), "not started by a multiboot loader: EAX is 0x00000007", 120),
        (Refusal::BadStructure(at), "the loader's structure at 0x00009500 is cut short or wrong", 121),
        (Refusal::TooManyModules(17), "17 boot modules are too many", 121),
        (Refusal::ModulesOverlap(at), "the boot module at 0x00009500 overlaps another", 122),
        (Violation::Unsupported(Feature::NoExecute).into(), "the machine lacks the no-execute bit (NX)", 123),
        (Violation::NoRoom(5).into(), "no 5 contiguous free frames for the library's tables", 124),
        (Violation::CpuCount(0).into(), "0 CPUs are none or too many", 126),
    ] {
        assert_eq!((refusal.to_string().as_str(), refusal.status().number()), (text, status));
    }
    assert_eq!(Status::new(127).map(Status::number), Some(127));
    assert_eq!(Status::new(128), None);
}

proptest! {
    /// Whatever stands there: an answer, no panic, and what is answered was there to be read.
    #[test]
    fn hostile_structures(words in prop::collection::vec(prop_oneof![0u32..0x100, 0u32..0x1_2000, any::<u32>()], 64)) {
        let mut memory = Memory(vec![0; 0x1000]);
        for (number, word) in (0u32..).zip(&words) {
            memory.word(4 * number, *word);
        }
        for start in 0..64 {
            let result = read(MAGIC, 4 * start, |start, length| {
                memory.0.get(start as usize..start.checked_add(length)? as usize)
            });
            if let Ok(loader) = result {
                for module in loader.modules.as_slice() {
                    prop_assert!(module.text.end() <= 0x1000);
                }
                prop_assert!(loader.command_line.end() < 0x1000);
            }
        }
    }
}
