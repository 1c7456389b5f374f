//! The keyboard.

use super::port::{LINK, Port};
use super::{Failure, Machine, World, say};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use drivers::keyboard::{Decoder, Ps2};
use drivers::quiet::Quiet;
use heapless::String;
use pc_keyboard::DecodedKey;
use pc_keyboard::layouts::Us104Key;
use spin::Once;
use sva_os::interrupt::Line;
use sva_os::io::Keyboard;

type Shared = Quiet<'static, Machine, Ps2<Keyboard<'static, Machine>>>;

static KEYBOARD: Once<Shared> = Once::new();
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

/// A keyboard's keys, one by one.
pub(super) struct Keys {
    keyboard: &'static Shared,
    decoder: Decoder<Us104Key>,
}

impl Keys {
    pub(super) fn open(world: &World) -> Result<Self, Failure> {
        let keyboard = Ps2::start(world.sva.io().keyboard()?, world.clock)?;
        let keyboard = KEYBOARD.call_once(|| Quiet::new(world.sva.interrupts(), keyboard));
        world.sva.interrupts().register_line(Line::KEYBOARD, &|_| {
            INTERRUPTS.fetch_add(1, Ordering::Relaxed);
            if let Some(keyboard) = KEYBOARD.get() {
                keyboard.with(Ps2::interrupt);
            }
        })?;
        world.sva.interrupts().unmask(Line::KEYBOARD)?;
        Ok(Self { keyboard, decoder: Decoder::new(Us104Key) })
    }

    /// The next letter that was typed.
    pub(super) fn next_letter(&mut self) -> Option<char> {
        while let Some(byte) = self.keyboard.with(Ps2::next_byte) {
            if let Some(DecodedKey::Unicode(letter)) = self.decoder.key(byte) {
                return Some(letter);
            }
        }
        None
    }
}

/// Has the host type a line, and repeats it.
pub(super) fn run(world: &World) -> Result<(), Failure> {
    let mut keys = Keys::open(world)?;
    Port::open(world.sva, world.clock, LINK)?.send(world.clock, b"keyboard\n")?;
    let mut line = String::<64>::new();
    world.until(Duration::from_secs(10), || {
        while let Some(letter) = keys.next_letter() {
            if letter == '\n' || line.push(letter).is_err() {
                return Some(());
            }
        }
        None
    })?;
    say!(world, "keyboard: {line:?}");
    if INTERRUPTS.load(Ordering::Relaxed) == 0 {
        return Err(Failure::new("none came by an interrupt"));
    }
    Ok(())
}
