//! A PS/2 keyboard behind an 8042 (IBM PS/2 technical reference; OSDev's summary of it).
//!
//! The library lets through the commands that configure and test the controller, and none of those that reset the
//! machine. [`Ps2`] starts controller and keyboard and hands its bytes over; the crate `pc-keyboard` knows what they
//! mean.

use crate::wait::{Clock, TimedOut, wait};
use core::fmt;
use core::time::Duration;
use heapless::Deque;
use pc_keyboard::{DecodedKey, HandleControl, KeyboardLayout, PS2Keyboard, ScancodeSet1};
use sva_os::io::Keyboard;
use sva_os::machine::Machine;

/// Of the status: a byte is there; the last byte was not taken yet; the byte is the mouse's.
const OUTPUT_FULL: u8 = 1 << 0;
const INPUT_FULL: u8 = 1 << 1;
const FROM_MOUSE: u8 = 1 << 5;
/// What the status says where no controller is.
const NOBODY: u8 = 0xff;

/// Commands of the controller.
const READ_CONFIGURATION: u8 = 0x20;
const WRITE_CONFIGURATION: u8 = 0x60;
const DISABLE_MOUSE: u8 = 0xa7;
const TEST_CONTROLLER: u8 = 0xaa;
const TEST_KEYBOARD: u8 = 0xab;
const DISABLE_KEYBOARD: u8 = 0xad;
const ENABLE_KEYBOARD: u8 = 0xae;
/// What they answer.
const CONTROLLER_WORKS: u8 = 0x55;
const KEYBOARD_WORKS: u8 = 0x00;

/// Of the configuration: interrupts of the keyboard, of the mouse; keyboard and mouse switched off; scan codes of
/// set 2 are made to be of set 1.
const INTERRUPT: u8 = 1 << 0;
const MOUSE_INTERRUPT: u8 = 1 << 1;
const KEYBOARD_OFF: u8 = 1 << 4;
const MOUSE_OFF: u8 = 1 << 5;
const TRANSLATE: u8 = 1 << 6;

/// Commands of the keyboard, and what it answers.
const ENABLE_SCANNING: u8 = 0xf4;
const ACKNOWLEDGED: u8 = 0xfa;
const SEND_AGAIN: u8 = 0xfe;

/// How long the controller is waited for, and the keyboard, which is a slow wire away.
const PATIENCE: Duration = Duration::from_millis(50);
const KEYBOARD_PATIENCE: Duration = Duration::from_millis(500);
/// How often a command is sent to a keyboard that did not understand.
const ATTEMPTS: u32 = 3;
/// How many bytes are taken from the controller at a time; it has room for one, and firmware may offer a few.
const MOST_AT_ONCE: u32 = 32;
/// How many bytes are kept.
const KEPT: usize = 64;

/// A keyboard controller's registers.
pub trait Controller {
    /// Its status.
    fn status(&mut self) -> u8;
    /// The byte that is there.
    fn read(&mut self) -> u8;
    /// Sends a byte to the keyboard, or to where the last command said.
    fn write(&mut self, byte: u8);
    /// Sends a command, if it is one of those that are let through.
    fn command(&mut self, command: u8);
}

impl<M: Machine> Controller for Keyboard<'_, M> {
    fn status(&mut self) -> u8 {
        Keyboard::status(self)
    }

    fn read(&mut self) -> u8 {
        Keyboard::read(self)
    }

    fn write(&mut self, byte: u8) {
        Keyboard::write(self, byte);
    }

    fn command(&mut self, command: u8) {
        // All that are sent here are.
        _ = Keyboard::command(self, command);
    }
}

/// What is wrong with a keyboard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// There is no controller.
    NoController,
    /// The controller, or the keyboard, did not answer in time.
    TimedOut,
    /// The controller's test of itself answered this.
    BadController(u8),
    /// The test of the wires to the keyboard answered this.
    BadWires(u8),
    /// The keyboard answered this where it should have acknowledged.
    NoKeyboard(u8),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoController => f.write_str("there is no keyboard controller"),
            Self::TimedOut => f.write_str("the keyboard did not answer in time"),
            Self::BadController(answer) => write!(f, "the keyboard controller's test answers {answer:#04x}"),
            Self::BadWires(answer) => write!(f, "the test of the keyboard's wires answers {answer:#04x}"),
            Self::NoKeyboard(answer) => write!(f, "the keyboard answers {answer:#04x}"),
        }
    }
}

impl core::error::Error for Error {}

impl From<TimedOut> for Error {
    fn from(_: TimedOut) -> Self {
        Self::TimedOut
    }
}

/// A keyboard that runs. Share it with the handler of line 1 through a [`Quiet`](crate::quiet::Quiet).
#[derive(Debug)]
pub struct Ps2<K> {
    controller: K,
    bytes: Deque<u8, KEPT>,
    lost: u32,
}

impl<K: Controller> Ps2<K> {
    /// Tests the controller and the wires, and starts the keyboard: it asks for line 1 for each byte from then on.
    ///
    /// # Errors
    ///
    /// All of [`Error`].
    pub fn start<C: Clock>(controller: K, clock: &C) -> Result<Self, Error> {
        let mut this = Self { controller, bytes: Deque::new(), lost: 0 };
        if this.controller.status() == NOBODY {
            return Err(Error::NoController);
        }
        this.command(clock, DISABLE_KEYBOARD)?;
        this.command(clock, DISABLE_MOUSE)?;
        this.drop_bytes();
        this.command(clock, TEST_CONTROLLER)?;
        match this.answer(clock, PATIENCE)? {
            CONTROLLER_WORKS => {}
            other => return Err(Error::BadController(other)),
        }
        this.command(clock, TEST_KEYBOARD)?;
        match this.answer(clock, PATIENCE)? {
            KEYBOARD_WORKS => {}
            other => return Err(Error::BadWires(other)),
        }
        this.command(clock, READ_CONFIGURATION)?;
        let configuration = this.answer(clock, PATIENCE)?;
        this.command(clock, ENABLE_KEYBOARD)?;
        // No interrupts until the keyboard has answered: its answers are waited for here.
        let quiet = (configuration | TRANSLATE | MOUSE_OFF) & !(INTERRUPT | MOUSE_INTERRUPT | KEYBOARD_OFF);
        this.configure(clock, quiet)?;
        this.enable_scanning(clock)?;
        this.configure(clock, quiet | INTERRUPT)?;
        Ok(this)
    }

    /// Takes what the controller has: what the handler of line 1 calls.
    pub fn interrupt(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            let status = self.controller.status();
            if status == NOBODY || status & OUTPUT_FULL == 0 {
                return;
            }
            let byte = self.controller.read();
            if status & FROM_MOUSE == 0 && self.bytes.push_back(byte).is_err() {
                self.lost = self.lost.saturating_add(1);
            }
        }
    }

    /// The next byte of the keyboard.
    pub fn next_byte(&mut self) -> Option<u8> {
        self.bytes.pop_front()
    }

    /// How many bytes came when nobody had taken those before.
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    fn configure<C: Clock>(&mut self, clock: &C, configuration: u8) -> Result<(), Error> {
        self.command(clock, WRITE_CONFIGURATION)?;
        self.send(clock, configuration)
    }

    fn enable_scanning<C: Clock>(&mut self, clock: &C) -> Result<(), Error> {
        let mut last = SEND_AGAIN;
        for _ in 0..ATTEMPTS {
            self.drop_bytes();
            self.send(clock, ENABLE_SCANNING)?;
            last = self.answer(clock, KEYBOARD_PATIENCE)?;
            if last == ACKNOWLEDGED {
                return Ok(());
            }
        }
        Err(Error::NoKeyboard(last))
    }

    fn command<C: Clock>(&mut self, clock: &C, command: u8) -> Result<(), Error> {
        self.wait_for_room(clock)?;
        self.controller.command(command);
        Ok(())
    }

    fn send<C: Clock>(&mut self, clock: &C, byte: u8) -> Result<(), Error> {
        self.wait_for_room(clock)?;
        self.controller.write(byte);
        Ok(())
    }

    fn wait_for_room<C: Clock>(&mut self, clock: &C) -> Result<(), TimedOut> {
        wait(clock, PATIENCE, || (self.controller.status() & INPUT_FULL == 0).then_some(()))
    }

    fn answer<C: Clock>(&mut self, clock: &C, limit: Duration) -> Result<u8, TimedOut> {
        wait(clock, limit, || {
            let status = self.controller.status();
            if status & OUTPUT_FULL == 0 {
                return None;
            }
            let byte = self.controller.read();
            (status & FROM_MOUSE == 0).then_some(byte)
        })
    }

    fn drop_bytes(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            if self.controller.status() & OUTPUT_FULL == 0 {
                return;
            }
            _ = self.controller.read();
        }
    }
}

/// Makes keys of bytes.
pub struct Decoder<L: KeyboardLayout>(PS2Keyboard<L, ScancodeSet1>);

impl<L: KeyboardLayout> Decoder<L> {
    /// For keyboards with this layout.
    pub const fn new(layout: L) -> Self {
        Self(PS2Keyboard::new(ScancodeSet1::new(), layout, HandleControl::MapLettersToUnicode))
    }

    /// The key that `byte` completes; `None` if it completes none, or makes no sense.
    pub fn key(&mut self, byte: u8) -> Option<DecodedKey> {
        let event = self.0.add_byte(byte).ok()??;
        self.0.process_keyevent(event)
    }
}

impl<L: KeyboardLayout> fmt::Debug for Decoder<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoder")
    }
}

#[cfg(test)]
mod tests;
