//! Controllers and keyboards that work, that do not, and that are none.

use super::*;
use crate::wait::tests::Pauses;
use pc_keyboard::layouts::Us104Key;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::string::String;
use std::vec::Vec;

/// A controller that answers as it is told to.
struct Model {
    output: VecDeque<(u8, bool)>,
    configuration: u8,
    works: u8,
    wires: u8,
    /// What the keyboard answers to commands, in order; then nothing.
    answers: VecDeque<u8>,
    is_full: bool,
    expects_configuration: bool,
    log: Vec<(bool, u8)>,
}

impl Model {
    fn new() -> Self {
        Self {
            output: VecDeque::new(),
            configuration: MOUSE_INTERRUPT | KEYBOARD_OFF,
            works: CONTROLLER_WORKS,
            wires: KEYBOARD_WORKS,
            answers: [ACKNOWLEDGED].into(),
            is_full: false,
            expects_configuration: false,
            log: Vec::new(),
        }
    }
}

impl Controller for Model {
    fn status(&mut self) -> u8 {
        let full = if self.is_full { INPUT_FULL } else { 0 };
        match self.output.front() {
            None => full,
            Some((_, true)) => full | OUTPUT_FULL | FROM_MOUSE,
            Some(_) => full | OUTPUT_FULL,
        }
    }

    fn read(&mut self) -> u8 {
        self.output.pop_front().map_or(0, |(byte, _)| byte)
    }

    fn write(&mut self, byte: u8) {
        self.log.push((false, byte));
        if core::mem::take(&mut self.expects_configuration) {
            self.configuration = byte;
        } else if let Some(answer) = self.answers.pop_front() {
            self.output.push_back((answer, false));
        }
    }

    fn command(&mut self, command: u8) {
        self.log.push((true, command));
        match command {
            READ_CONFIGURATION => self.output.push_back((self.configuration, false)),
            WRITE_CONFIGURATION => self.expects_configuration = true,
            TEST_CONTROLLER => self.output.push_back((self.works, false)),
            TEST_KEYBOARD => self.output.push_back((self.wires, false)),
            ENABLE_KEYBOARD | DISABLE_KEYBOARD | DISABLE_MOUSE => {}
            other => panic!("command {other:#x}"),
        }
    }
}

fn start(model: Model) -> Result<Ps2<Model>, Error> {
    Ps2::start(model, &Pauses::of(Duration::from_micros(500)))
}

#[test]
fn a_keyboard_starts_and_types() {
    let mut model = Model::new();
    // Left over from the firmware.
    model.output.extend([(0x1c, false), (0x42, true)]);
    let mut keyboard = start(model).unwrap();
    assert_eq!(keyboard.controller.configuration, INTERRUPT | TRANSLATE | MOUSE_OFF);
    assert_eq!(keyboard.next_byte(), None, "what was left over is gone");
    // Shift, H; the mouse moves; release of both; i.
    let bytes = [0x2a, 0x23, 0xa3, 0xaa, 0x17, 0x97].map(|byte| (byte, false));
    keyboard.controller.output.extend(bytes);
    keyboard.controller.output.insert(2, (0x08, true));
    keyboard.interrupt();
    let mut decoder = Decoder::new(Us104Key);
    let mut typed = String::new();
    while let Some(byte) = keyboard.next_byte() {
        if let Some(DecodedKey::Unicode(letter)) = decoder.key(byte) {
            typed.push(letter);
        }
    }
    assert_eq!((typed.as_str(), keyboard.lost()), ("Hi", 0));
}

#[test]
fn a_keyboard_that_did_not_understand_is_told_again() {
    let with = |answers: &[u8]| {
        let mut model = Model::new();
        model.answers = answers.iter().copied().collect();
        start(model).map(drop)
    };
    assert_eq!(with(&[SEND_AGAIN, SEND_AGAIN, ACKNOWLEDGED]), Ok(()));
    assert_eq!(with(&[SEND_AGAIN; 4]), Err(Error::NoKeyboard(SEND_AGAIN)));
    assert_eq!(with(&[0x00, 0xff, 0x13]), Err(Error::NoKeyboard(0x13)));
    assert_eq!(with(&[]), Err(Error::TimedOut));
}

#[test]
fn what_is_no_controller() {
    struct Nobody(u8);
    impl Controller for Nobody {
        fn status(&mut self) -> u8 {
            self.0
        }
        fn read(&mut self) -> u8 {
            self.0
        }
        fn write(&mut self, _: u8) {}
        fn command(&mut self, _: u8) {}
    }
    let start = |lines| Ps2::start(Nobody(lines), &Pauses::of(Duration::from_micros(500))).map(drop);
    assert_eq!(start(0xff), Err(Error::NoController));
    for lines in 0..0xff {
        assert!(start(lines).is_err(), "{lines:#x}");
    }
    let with = |change: fn(&mut Model)| {
        let mut model = Model::new();
        change(&mut model);
        super::tests::start(model).map(drop)
    };
    assert_eq!(with(|model| model.works = 0xfc), Err(Error::BadController(0xfc)));
    assert_eq!(with(|model| model.wires = 3), Err(Error::BadWires(3)));
    assert_eq!(with(|model| model.is_full = true), Err(Error::TimedOut));
}

#[test]
fn bytes_that_nobody_takes_are_counted() {
    let mut keyboard = start(Model::new()).unwrap();
    for _ in 0..3 {
        keyboard.controller.output.extend([(0x1e, false); 32]);
        keyboard.interrupt();
    }
    assert_eq!(keyboard.lost(), 32);
    assert_eq!(core::iter::from_fn(|| keyboard.next_byte()).count(), KEPT);
    // A controller that always has another byte keeps the handler for so many.
    keyboard.controller.output.extend([(0x1e, false); 1000]);
    keyboard.interrupt();
    assert_eq!(keyboard.controller.output.len(), 1000 - 32);
}

proptest! {
    /// Whatever bytes a keyboard sends, they are keys or none.
    #[test]
    fn any_bytes_are_decoded(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = Decoder::new(Us104Key);
        for byte in bytes {
            _ = decoder.key(byte);
        }
    }
}
