//! A VGA in text mode: 80 columns, 25 rows, as the firmware leaves it (IBM VGA, XGA technical reference).
//!
//! The screen is memory of the card, seen at 0xb8000: two bytes a cell, the letter in code page 437 and its colours.
//! Where the cursor stands two registers say.

use crate::registers::Registers;
use core::fmt;
use sva_os::address::{Frame, FrameRange};
use sva_os::io::{Io, MmioRegion, PortRange};
use sva_os::machine::Machine;
use sva_os::{Sva, Violation};

/// Columns and rows of the screen.
pub const COLUMNS: u32 = 80;
/// See [`COLUMNS`].
pub const ROWS: u32 = 25;
const CELLS: u32 = COLUMNS * ROWS;

/// Where the screen's memory is: frames 0xb8 to 0xbf.
const MEMORY: (u32, u32) = (0xb8, 8);
/// Where the registers are, and from there on: the index and data of the graphics controller and of the CRT controller;
/// what the miscellaneous output holds.
const PORTS: (u16, u32) = (0x3c0, 0x20);
const GRAPHICS: u16 = 0x0e;
const CRT: u16 = 0x14;
const OUTPUT: u16 = 0x0c;
/// Of the miscellaneous output: the CRT controller is at 0x3d4, and the CPU reaches the memory.
const COLOUR: u8 = 1 << 0;
const MEMORY_ENABLED: u8 = 1 << 1;
/// Register of the graphics controller, and what it holds for text at 0xb8000: no graphics, memory map 3.
const MISCELLANEOUS: u8 = 0x06;
const GRAPHICS_MODE: u8 = 1 << 0;
const MEMORY_MAP: u8 = 3 << 2;
/// Registers of the CRT controller: where the screen starts in memory, and where the cursor is; high byte, low byte.
const START: u8 = 0x0c;
const CURSOR: u8 = 0x0e;

/// Light grey on black, in the upper byte of a cell.
const COLOURS: u16 = 0x07 << 8;
const BLANK: u16 = COLOURS | 0x20;
/// A letter that the screen does not have: a square.
const UNKNOWN: u8 = 0xfe;
const TAB: u32 = 8;

/// The memory of a screen.
pub trait Cells {
    /// What is in a cell.
    fn get(&self, cell: u32) -> u16;
    /// Writes a cell; nothing happens if there is none.
    fn set(&mut self, cell: u32, value: u16);
}

impl<M: Machine> Cells for MmioRegion<'_, M> {
    fn get(&self, cell: u32) -> u16 {
        self.read(cell.saturating_mul(2)).unwrap_or(BLANK)
    }

    fn set(&mut self, cell: u32, value: u16) {
        _ = self.write(cell.saturating_mul(2), value);
    }
}

/// Why there is no screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// Nobody answers at the registers of a VGA.
    NoDisplay,
    /// The display shows no text at 0xb8000.
    NoText,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDisplay => "there is no VGA",
            Self::NoText => "the display is not in text mode",
        })
    }
}

impl core::error::Error for Error {}

/// Claims the registers and the memory of a machine's VGA.
///
/// # Errors
///
/// As the library's `claim` of ports and of memory.
pub fn claim<M: Machine>(sva: &Sva<M>) -> Result<(PortRange<'_, M>, MmioRegion<'_, M>), Violation> {
    let io: Io<'_, M> = sva.io();
    let registers = io.claim(PORTS.0, PORTS.1)?;
    let frames = Frame::new(MEMORY.0).and_then(|first| FrameRange::new(first, MEMORY.1));
    let memory = sva.devices().claim(frames.unwrap_or(FrameRange::EMPTY))?;
    Ok((registers, memory))
}

/// A screen, of which the last row goes on.
#[derive(Debug)]
pub struct Screen<R: Registers, S: Cells> {
    registers: R,
    cells: S,
    column: u32,
    row: u32,
}

impl<R: Registers, S: Cells> Screen<R, S> {
    /// Clears the screen of a display in text mode.
    ///
    /// # Errors
    ///
    /// [`NoDisplay`](Error::NoDisplay), [`NoText`](Error::NoText).
    pub fn open(registers: R, cells: S) -> Result<Self, Error> {
        let mut screen = Self { registers, cells, column: 0, row: 0 };
        screen.check()?;
        screen.set_register(START, 0);
        screen.clear();
        Ok(screen)
    }

    /// Empties the screen.
    pub fn clear(&mut self) {
        (0..CELLS).for_each(|cell| self.cells.set(cell, BLANK));
        (self.column, self.row) = (0, 0);
        self.show_cursor();
    }

    /// Writes a letter where the cursor is, and moves it on. A new line goes to the start of the next, a tab to the next
    /// eighth column, a backspace one back in the row.
    pub fn put(&mut self, letter: char) {
        match letter {
            '\n' => self.next_row(),
            '\r' => self.column = 0,
            '\t' => {
                let column = self.column.saturating_add(1).next_multiple_of(TAB);
                if column < COLUMNS { self.column = column } else { self.next_row() }
            }
            '\u{8}' => self.column = self.column.saturating_sub(1),
            letter => {
                let byte =
                    u8::try_from(letter).ok().filter(|byte| matches!(byte, b' '..=b'~')).unwrap_or(UNKNOWN);
                if self.column >= COLUMNS {
                    self.next_row();
                }
                self.cells.set(self.cell(), COLOURS | u16::from(byte));
                // The column behind the last is one: the row is left when something is written there.
                self.column = self.column.saturating_add(1);
            }
        }
    }

    /// Shows the cursor where it is.
    fn show_cursor(&mut self) {
        self.set_register(CURSOR, self.cell().min(CELLS.saturating_sub(1)));
    }

    const fn cell(&self) -> u32 {
        self.row.saturating_mul(COLUMNS).saturating_add(self.column)
    }

    fn next_row(&mut self) {
        self.column = 0;
        if self.row < ROWS.saturating_sub(1) {
            self.row = self.row.saturating_add(1);
            return;
        }
        let last = CELLS.saturating_sub(COLUMNS);
        for cell in 0..last {
            self.cells.set(cell, self.cells.get(cell.saturating_add(COLUMNS)));
        }
        (last..CELLS).for_each(|cell| self.cells.set(cell, BLANK));
    }

    fn check(&mut self) -> Result<(), Error> {
        self.registers.write(GRAPHICS, MISCELLANEOUS);
        let index = self.registers.read(GRAPHICS);
        let mode = self.registers.read(GRAPHICS.saturating_add(1));
        let output = self.registers.read(OUTPUT);
        if index & 0xf != MISCELLANEOUS || output == u8::MAX {
            return Err(Error::NoDisplay);
        }
        let enabled = output & (COLOUR | MEMORY_ENABLED) == COLOUR | MEMORY_ENABLED;
        let shows_text = mode & (GRAPHICS_MODE | MEMORY_MAP) == MEMORY_MAP;
        if enabled && shows_text { Ok(()) } else { Err(Error::NoText) }
    }

    /// Writes a pair of registers of the CRT controller, high byte first.
    fn set_register(&mut self, first: u8, value: u32) {
        let [low, high, ..] = value.to_le_bytes();
        for (index, byte) in [(first, high), (first.saturating_add(1), low)] {
            self.registers.write(CRT, index);
            self.registers.write(CRT.saturating_add(1), byte);
        }
    }
}

impl<R: Registers, S: Cells> fmt::Write for Screen<R, S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().for_each(|letter| self.put(letter));
        self.show_cursor();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
