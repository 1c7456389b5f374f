//! The line discipline: from keys to lines.

use super::super::data::Sink;
use super::screen::{Cursor, Screen, after_tab, is_continuation, is_control, width};
use super::termios::{InputFlags, Key, LocalFlags, Termios};
use crate::errno::{Errno, Result};
use alloc::collections::VecDeque;

/// How many bytes wait at most. More are lost.
pub(super) const CAPACITY: usize = 4096;

/// The keys that send signals.
pub const SIGINT: u32 = 2;
pub const SIGQUIT: u32 = 3;
pub const SIGTSTP: u32 = 20;

/// What a byte led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// There is more to read.
    Readable,
    /// The foreground gets a signal.
    Signal(u32),
}

/// A byte of input, and whether a line ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Byte(u8),
    /// The last byte of a line.
    End(u8),
    /// A line ends, and this is no byte.
    EndOfFile,
}

impl Cell {
    fn byte(self) -> Option<u8> {
        match self {
            Self::Byte(byte) | Self::End(byte) => Some(byte),
            Self::EndOfFile => None,
        }
    }
}

/// Input that waits, and the modes it came under.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) termios: Termios,
    cells: VecDeque<Cell>,
    /// How many of them are in lines that have ended.
    ended: usize,
    /// The next byte means nothing special.
    literal: bool,
    /// Output waits for a key.
    pub(super) stopped: bool,
    cursor: Cursor,
}

/// Letters as Linux has them: of ISO 8859-1.
const fn is_in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0xc0 && byte != 0xd7 && byte != 0xf7
}

/// How much is erased.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Erase {
    Character,
    Word,
    Line,
}

impl Line {
    pub(super) fn new() -> Result<Self> {
        let mut cells = VecDeque::new();
        cells.try_reserve_exact(CAPACITY).map_err(|_| Errno::ENOMEM)?;
        let termios = Termios::new();
        Ok(Self { termios, cells, ended: 0, literal: false, stopped: false, cursor: Cursor::default() })
    }

    /// Other modes. If lines come or go, what waits is one from now on, and ends of files are none.
    pub(super) fn set_termios(&mut self, termios: Termios) {
        if termios.is_canonical() != self.termios.is_canonical() {
            self.cells.retain(|cell| *cell != Cell::EndOfFile);
            self.ended = self.cells.len();
            self.literal = false;
        }
        self.termios = termios;
    }

    pub(super) fn flush(&mut self) {
        self.cells.clear();
        self.ended = 0;
        self.literal = false;
    }

    /// How many bytes can be read.
    pub(super) fn waiting(&self) -> usize {
        if self.termios.is_canonical() {
            self.cells.iter().take(self.ended).filter(|cell| cell.byte().is_some()).count()
        } else {
            self.cells.len()
        }
    }

    /// Whether a line, or an end of file, can be read.
    pub(super) fn has_line(&self) -> bool {
        self.ended > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// A key was pressed.
    pub(super) fn receive(&mut self, byte: u8, send: &dyn Fn(&[u8])) -> Effect {
        let input = self.termios.input;
        let byte = if input.contains(InputFlags::ISTRIP) { byte & 0x7f } else { byte };
        if core::mem::take(&mut self.literal) {
            self.echo(byte, send);
            return self.push(Cell::Byte(byte), send);
        }
        if let Some(effect) = self.receive_control(byte, send) {
            return effect;
        }
        let restarts = self.stopped && input.contains(InputFlags::IXON | InputFlags::IXANY);
        self.stopped &= !restarts;
        let typed = byte;
        let byte = match byte {
            b'\r' if input.contains(InputFlags::IGNCR) => return Effect::Nothing,
            b'\r' if input.contains(InputFlags::ICRNL) => b'\n',
            b'\n' if input.contains(InputFlags::INLCR) => b'\r',
            _ => byte,
        };
        if self.termios.is_canonical() {
            return self.receive_canonical(byte, send);
        }
        if self.termios.echoes() && byte == b'\n' && typed != byte {
            self.screen(send).put(byte);
        } else {
            self.echo(byte, send);
        }
        self.push(Cell::Byte(byte), send)
    }

    /// Flow and signals, in every mode.
    fn receive_control(&mut self, byte: u8, send: &dyn Fn(&[u8])) -> Option<Effect> {
        if self.termios.input.contains(InputFlags::IXON) {
            if self.termios.is(byte, Key::Start) {
                self.stopped = false;
                return Some(Effect::Nothing);
            }
            if self.termios.is(byte, Key::Stop) {
                self.stopped = true;
                return Some(Effect::Nothing);
            }
        }
        if !self.termios.local.contains(LocalFlags::ISIG) {
            return None;
        }
        let signals = [(Key::Interrupt, SIGINT), (Key::Quit, SIGQUIT), (Key::Suspend, SIGTSTP)];
        let (_, signal) = signals.into_iter().find(|(key, _)| self.termios.is(byte, *key))?;
        if !self.termios.local.contains(LocalFlags::NOFLSH) {
            self.flush();
        }
        self.stopped = false;
        self.echo(byte, send);
        Some(Effect::Signal(signal))
    }

    fn receive_canonical(&mut self, byte: u8, send: &dyn Fn(&[u8])) -> Effect {
        let termios = self.termios;
        let extended = termios.local.contains(LocalFlags::IEXTEN);
        let is_word = termios.is(byte, Key::EraseWord);
        let erase = if termios.is(byte, Key::Erase) {
            Some(Erase::Character)
        } else if is_word && (extended || termios.is(byte, Key::Kill)) {
            Some(Erase::Word)
        } else if termios.is(byte, Key::Kill) {
            Some(Erase::Line)
        } else {
            None
        };
        if let Some(erase) = erase {
            self.erase(erase, byte, send);
            return Effect::Nothing;
        }
        if extended && termios.is(byte, Key::Literal) {
            self.literal = true;
            if termios.echoes() && termios.local.contains(LocalFlags::ECHOCTL) {
                self.note_start();
                // The next character is written over it.
                self.screen(send).put_all(b"^\x08");
            }
            return Effect::Nothing;
        }
        if extended && termios.echoes() && termios.is(byte, Key::Reprint) {
            self.reprint(byte, send);
            return Effect::Nothing;
        }
        if byte == b'\n' {
            if termios.local.intersects(LocalFlags::ECHO | LocalFlags::ECHONL) {
                self.screen(send).put(b'\n');
            }
            return self.push(Cell::End(byte), send);
        }
        if termios.is(byte, Key::EndOfFile) {
            return self.push(Cell::EndOfFile, send);
        }
        self.echo(byte, send);
        let ends = termios.is(byte, Key::EndOfLine) || extended && termios.is(byte, Key::EndOfLine2);
        self.push(if ends { Cell::End(byte) } else { Cell::Byte(byte) }, send)
    }

    /// Keeps a byte if there is room. The last place is for the end of a line.
    fn push(&mut self, cell: Cell, send: &dyn Fn(&[u8])) -> Effect {
        let canonical = self.termios.is_canonical();
        let ends = !matches!(cell, Cell::Byte(_));
        let room = CAPACITY - usize::from(canonical && !ends);
        if self.cells.len() >= room {
            if self.termios.input.contains(InputFlags::IMAXBEL) {
                send(b"\x07");
            }
            return Effect::Nothing;
        }
        self.cells.push_back(cell);
        if canonical && !ends {
            return Effect::Nothing;
        }
        self.ended = self.cells.len();
        Effect::Readable
    }

    fn screen<'s>(&'s mut self, send: &'s dyn Fn(&[u8])) -> Screen<'s> {
        Screen::new(&self.termios, &mut self.cursor, send)
    }

    /// Output of a program.
    pub(super) fn write(&mut self, bytes: &[u8], send: &dyn Fn(&[u8])) {
        self.screen(send).put_all(bytes);
    }

    /// The line that is edited begins where the cursor is, if it is empty.
    fn note_start(&mut self) {
        if self.cells.len() == self.ended {
            self.cursor.start = self.cursor.column;
        }
    }

    /// Shows a byte of input, if input is shown.
    fn echo(&mut self, byte: u8, send: &dyn Fn(&[u8])) {
        if self.termios.echoes() {
            self.note_start();
            self.show(byte, send);
        }
    }

    fn show(&mut self, byte: u8, send: &dyn Fn(&[u8])) {
        let as_text = self.termios.local.contains(LocalFlags::ECHOCTL) && is_control(byte);
        let mut screen = self.screen(send);
        if as_text && byte != b'\t' {
            screen.put_control(byte);
        } else {
            screen.put(byte);
        }
    }

    fn reprint(&mut self, byte: u8, send: &dyn Fn(&[u8])) {
        self.show(byte, send);
        self.screen(send).put(b'\n');
        for place in self.ended..self.cells.len() {
            if let Some(byte) = self.cells.get(place).and_then(|cell| cell.byte()) {
                self.show(byte, send);
            }
        }
    }

    fn erase(&mut self, erase: Erase, key: u8, send: &dyn Fn(&[u8])) {
        let local = self.termios.local;
        if self.cells.len() == self.ended {
            return;
        }
        let wipes = LocalFlags::ECHOE | LocalFlags::ECHOK | LocalFlags::ECHOKE;
        if erase == Erase::Line && !(self.termios.echoes() && local.contains(wipes)) {
            self.cells.truncate(self.ended);
            self.echo(key, send);
            if self.termios.echoes() && local.contains(LocalFlags::ECHOK) {
                self.screen(send).put(b'\n');
            }
            return;
        }
        let mut in_word = false;
        while let Some((first, len)) = self.last_character() {
            if erase == Erase::Word && in_word && !is_in_word(first) {
                break;
            }
            in_word |= is_in_word(first);
            self.cells.truncate(self.cells.len() - len);
            self.wipe(first, erase, key, send);
            if erase == Erase::Character {
                break;
            }
        }
    }

    /// The last character of the line that is edited: its first byte, and how many it has in UTF-8. What goes on with
    /// no character is none.
    fn last_character(&self) -> Option<(u8, usize)> {
        let utf8 = self.termios.input.contains(InputFlags::IUTF8);
        let edited = self.cells.iter().skip(self.ended).rev().filter_map(|cell| cell.byte());
        edited.zip(1..).find(|(byte, _)| !(utf8 && is_continuation(*byte)))
    }

    /// Takes a character that is gone from the line off the screen.
    fn wipe(&mut self, byte: u8, erase: Erase, key: u8, send: &dyn Fn(&[u8])) {
        if !self.termios.echoes() {
            return;
        }
        if erase == Erase::Character && !self.termios.local.contains(LocalFlags::ECHOE) {
            return self.show(key, send);
        }
        if byte == b'\t' {
            let before = self.column_of_edited();
            return self.screen(send).go_back(after_tab(before) - before);
        }
        let columns = self.shown_width(byte);
        let mut screen = self.screen(send);
        (0..columns).for_each(|_| screen.put_all(b"\x08 \x08"));
    }

    /// How many columns a byte of input takes on the screen.
    fn shown_width(&self, byte: u8) -> u32 {
        if is_control(byte) && self.termios.local.contains(LocalFlags::ECHOCTL) {
            2
        } else {
            width(byte, &self.termios)
        }
    }

    /// Where the cursor is after what is left of the line.
    fn column_of_edited(&self) -> u32 {
        let bytes = self.cells.iter().skip(self.ended).filter_map(|cell| cell.byte());
        bytes.fold(self.cursor.start, |column, byte| match byte {
            b'\t' => after_tab(column),
            _ => column.saturating_add(self.shown_width(byte)),
        })
    }

    /// Moves at most `count` bytes out: of one line, if there are lines. What the sink does not take stays.
    pub(super) fn take(&mut self, count: usize, sink: &mut dyn Sink) -> Result<usize> {
        let canonical = self.termios.is_canonical();
        let mut done = 0;
        while done < count {
            let mut bytes = [0; 128];
            let mut len = 0;
            let mut end = None;
            let readable = if canonical { self.ended } else { self.cells.len() };
            let room = bytes.len().min(count - done);
            for (cell, place) in self.cells.iter().take(readable).zip(bytes.iter_mut().take(room)) {
                if let Some(byte) = cell.byte() {
                    *place = byte;
                    len += 1;
                }
                if canonical && !matches!(cell, Cell::Byte(_)) {
                    end = Some(*cell);
                    break;
                }
            }
            let put = match sink.put(bytes.get(..len).unwrap_or_default()) {
                Ok(put) => put,
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            };
            self.forget(put);
            done += put;
            if put < len {
                return Ok(done);
            }
            if end == Some(Cell::EndOfFile) {
                self.forget(1);
            }
            if end.is_some() || len == 0 {
                return Ok(done);
            }
        }
        // An end of file right behind what was asked for ends this line; the next read must not be told of it.
        if canonical && done > 0 && self.cells.front() == Some(&Cell::EndOfFile) && self.ended > 0 {
            self.forget(1);
        }
        Ok(done)
    }

    /// The first so many cells are read.
    fn forget(&mut self, count: usize) {
        self.cells.drain(..count.min(self.cells.len()));
        self.ended = self.ended.saturating_sub(count);
    }
}
