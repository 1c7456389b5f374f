//! What goes out to a terminal, and where the cursor is.

use super::termios::{OutputFlags, Termios};

const TAB: u32 = 8;

/// Bytes on their way out, and the column they lead to.
pub(super) struct Screen<'s> {
    pub(super) termios: &'s Termios,
    pub(super) column: &'s mut u32,
    buffer: [u8; 128],
    len: usize,
    send: &'s dyn Fn(&[u8]),
}

impl<'s> Screen<'s> {
    pub(super) fn new(termios: &'s Termios, column: &'s mut u32, send: &'s dyn Fn(&[u8])) -> Self {
        Self { termios, column, buffer: [0; 128], len: 0, send }
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
                    *self.column = 0;
                }
                self.raw(b'\n');
            }
            b'\r' if flags.contains(OutputFlags::ONOCR) && *self.column == 0 => {}
            b'\r' if flags.contains(OutputFlags::OCRNL) => {
                if flags.contains(OutputFlags::ONLRET) {
                    *self.column = 0;
                }
                self.raw(b'\n');
            }
            b'\r' => {
                *self.column = 0;
                self.raw(byte);
            }
            b'\t' => {
                let columns = TAB - *self.column % TAB;
                *self.column = self.column.saturating_add(columns);
                if flags.contains(OutputFlags::XTABS) {
                    (0..columns).for_each(|_| self.raw(b' '));
                } else {
                    self.raw(byte);
                }
            }
            0x08 => {
                *self.column = self.column.saturating_sub(1);
                self.raw(byte);
            }
            _ => {
                *self.column = self.column.saturating_add(width(byte));
                self.raw(byte);
            }
        }
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
pub(super) const fn width(byte: u8) -> u32 {
    if is_control(byte) || is_continuation(byte) { 0 } else { 1 }
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
