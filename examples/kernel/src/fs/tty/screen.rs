//! What goes out to a terminal, and where the cursor is.

use super::termios::{InputFlags, OutputFlags, Termios};

const TAB: u32 = 8;

/// Where the cursor is, and where the line that is edited began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    pub(super) column: u32,
    pub(super) start: u32,
}

impl Cursor {
    /// The line goes on in the first column.
    fn return_to_margin(&mut self) {
        *self = Self::default();
    }
}

/// Bytes on their way out, and where they lead to.
pub(super) struct Screen<'s> {
    termios: &'s Termios,
    cursor: &'s mut Cursor,
    buffer: [u8; 128],
    len: usize,
    send: &'s dyn Fn(&[u8]),
}

impl<'s> Screen<'s> {
    pub(super) fn new(termios: &'s Termios, cursor: &'s mut Cursor, send: &'s dyn Fn(&[u8])) -> Self {
        Self { termios, cursor, buffer: [0; 128], len: 0, send }
    }

    /// As it is.
    fn raw(&mut self, byte: u8) {
        if self.len == self.buffer.len() {
            self.flush();
        }
        if let Some(place) = self.buffer.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn flush(&mut self) {
        if let Some(bytes) = self.buffer.get(..self.len)
            && !bytes.is_empty()
        {
            (self.send)(bytes);
        }
        self.len = 0;
    }

    /// As a program writes it.
    pub(super) fn put(&mut self, byte: u8) {
        let flags = self.termios.output;
        if !flags.contains(OutputFlags::OPOST) {
            return self.raw(byte);
        }
        match byte {
            b'\n' => {
                if flags.contains(OutputFlags::ONLCR) {
                    self.raw(b'\r');
                }
                if flags.intersects(OutputFlags::ONLCR | OutputFlags::ONLRET) {
                    self.cursor.column = 0;
                }
                self.cursor.start = self.cursor.column;
                self.raw(b'\n');
            }
            b'\r' if flags.contains(OutputFlags::ONOCR) && self.cursor.column == 0 => {}
            b'\r' if flags.contains(OutputFlags::OCRNL) => {
                if flags.contains(OutputFlags::ONLRET) {
                    self.cursor.return_to_margin();
                }
                self.raw(b'\n');
            }
            b'\r' => {
                self.cursor.return_to_margin();
                self.raw(byte);
            }
            b'\t' => {
                let columns = TAB - self.cursor.column % TAB;
                self.cursor.column = self.cursor.column.saturating_add(columns);
                if flags.contains(OutputFlags::XTABS) {
                    (0..columns).for_each(|_| self.raw(b' '));
                } else {
                    self.raw(byte);
                }
            }
            0x08 => {
                self.cursor.column = self.cursor.column.saturating_sub(1);
                self.raw(byte);
            }
            _ => {
                self.cursor.column = self.cursor.column.saturating_add(width(byte, self.termios));
                self.raw(byte);
            }
        }
    }

    /// A control character as text, in every mode.
    pub(super) fn put_control(&mut self, byte: u8) {
        self.cursor.column = self.cursor.column.saturating_add(2);
        self.raw(b'^');
        self.raw(byte ^ 0x40);
    }

    /// So many columns back, in every mode.
    pub(super) fn go_back(&mut self, columns: u32) {
        self.cursor.column = self.cursor.column.saturating_sub(columns);
        (0..columns).for_each(|_| self.raw(0x08));
    }

    pub(super) fn put_all(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.put(*byte));
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// How far a byte moves the cursor: not at all if it is a control character, or goes on with a character of UTF-8.
pub(super) fn width(byte: u8, termios: &Termios) -> u32 {
    let goes_on = is_continuation(byte) && termios.input.contains(InputFlags::IUTF8);
    u32::from(!is_control(byte) && !goes_on)
}

pub(super) const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

pub(super) const fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Where a tab leads to.
pub(super) const fn after_tab(column: u32) -> u32 {
    column.saturating_add(TAB - column % TAB)
}
