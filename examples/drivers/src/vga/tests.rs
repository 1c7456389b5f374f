//! Screens that show what is written, and displays that show none.

use super::*;
use core::fmt::Write;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// The registers of a display.
struct Display {
    /// What every register reads as, if nothing is there.
    lines: Option<u8>,
    output: u8,
    mode: u8,
    index: BTreeMap<u16, u8>,
    crt: BTreeMap<u8, u8>,
}

impl Display {
    fn new() -> Self {
        Self { lines: None, output: 0x67, mode: 0x0e, index: BTreeMap::new(), crt: BTreeMap::new() }
    }

    fn cursor(&self) -> (u32, u32) {
        let cell = u32::from(self.crt[&14]) << 8 | u32::from(self.crt[&15]);
        (cell % COLUMNS, cell / COLUMNS)
    }
}

impl Registers for Display {
    fn read(&mut self, offset: u16) -> u8 {
        match (self.lines, offset) {
            (Some(lines), _) => lines,
            (_, 0x0c) => self.output,
            (_, 0x0e) => self.index[&0x0e],
            (_, 0x0f) if self.index[&0x0e] == 6 => self.mode,
            (_, offset) => panic!("a read of {offset:#x}"),
        }
    }

    fn write(&mut self, offset: u16, value: u8) {
        match offset {
            0x0e | 0x14 => _ = self.index.insert(offset, value),
            0x15 => _ = self.crt.insert(self.index[&0x14], value),
            _ => panic!("a write to {offset:#x}"),
        }
    }

    fn read_words(&mut self, offset: u16, _: &mut [u16]) {
        panic!("words from {offset:#x}");
    }

    fn write_words(&mut self, offset: u16, _: &[u16]) {
        panic!("words to {offset:#x}");
    }
}

struct Memory(Vec<u16>);

impl Cells for Memory {
    fn get(&self, cell: u32) -> u16 {
        self.0[cell as usize]
    }

    fn set(&mut self, cell: u32, value: u16) {
        self.0[cell as usize] = value;
    }
}

fn screen() -> Screen<Display, Memory> {
    Screen::open(Display::new(), Memory(vec![0x1234; CELLS as usize])).unwrap()
}

fn rows(screen: &Screen<Display, Memory>) -> Vec<String> {
    let row = |cells: &[u16]| {
        cells.iter().map(|cell| char::from(*cell as u8)).collect::<String>().trim_end().to_string()
    };
    screen.cells.0.chunks(COLUMNS as usize).map(row).collect()
}

#[test]
fn what_is_written_is_shown() {
    let mut screen = screen();
    assert!(screen.cells.0.iter().all(|cell| *cell == 0x0720));
    write!(screen, "one\ttwo\r\nthrex\u{8}e é~").unwrap();
    assert_eq!(rows(&screen)[..3], ["one     two", "three \u{fe}~", ""]);
    assert_eq!(screen.registers.cursor(), (8, 1));
    assert_eq!((screen.registers.crt[&12], screen.registers.crt[&13]), (0, 0));
}

#[test]
fn rows_go_on_and_the_screen_goes_up() {
    let mut screen = screen();
    let long: String = (0..81).map(|number| char::from(b'a' + number % 26)).collect();
    write!(screen, "{long}").unwrap();
    assert_eq!((rows(&screen)[0].as_str(), rows(&screen)[1].as_str()), (&long[..80], &long[80..]));
    screen.clear();
    for number in 0..30 {
        write!(screen, "\nrow {number}").unwrap();
    }
    let shown: Vec<_> = (5..30).map(|number| std::format!("row {number}")).collect();
    assert_eq!(rows(&screen), shown);
    assert_eq!(screen.registers.cursor(), (6, 24));
}

#[test]
fn what_is_no_screen() {
    let open = |change: fn(&mut Display)| {
        let mut display = Display::new();
        change(&mut display);
        Screen::open(display, Memory(vec![0x1234; CELLS as usize])).map(drop)
    };
    assert_eq!(open(|display| display.lines = Some(0xff)), Err(Error::NoDisplay));
    assert_eq!(open(|display| display.lines = Some(0)), Err(Error::NoDisplay));
    assert_eq!(open(|display| display.mode = 0x0f), Err(Error::NoText));
    assert_eq!(open(|display| display.mode = 0x0a), Err(Error::NoText));
    assert_eq!(open(|display| display.output = 0x66), Err(Error::NoText));
    assert_eq!(open(|display| display.output = 0x65), Err(Error::NoText));
}

proptest! {
    /// Whatever is written stays on the screen: the memory above would panic.
    #[test]
    fn any_text_is_shown(text in ".{0,300}", controls in prop::collection::vec("[\n\r\t\u{8}]{0,60}", 1..20)) {
        let mut screen = screen();
        for control in controls {
            write!(screen, "{text}{control}").unwrap();
        }
        let (column, row) = screen.registers.cursor();
        prop_assert!(column < COLUMNS && row < ROWS);
    }
}
