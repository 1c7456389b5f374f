//! The same keys to this terminal and to a pseudoterminal of the host's Linux, with the same lines and the same echo.

use super::tests::{shown_bytes, terminal};
use super::*;
use proptest::prelude::*;
use rustix::fs::OFlags;
use rustix::io;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, tcgetattr, tcsetattr,
};
use std::os::fd::{AsFd, OwnedFd};

/// A pseudoterminal: who presses keys and sees the screen, and the program.
struct Host {
    user: OwnedFd,
    program: OwnedFd,
}

/// What differs from the modes that a terminal begins with.
#[derive(Clone, Debug)]
struct Modes {
    input: u32,
    output: u32,
    local: u32,
    minimum: u8,
}

#[derive(Clone, Debug)]
enum Step {
    Modes(Modes),
    Keys(Vec<u8>),
    Write(Vec<u8>),
}

impl Host {
    /// `None` where there are no pseudoterminals.
    fn open() -> Option<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let user = openpt(flags).ok()?;
        unlockpt(&user).ok()?;
        let program = ioctl_tiocgptpeer(&user, flags).ok()?;
        for end in [&user, &program] {
            rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK).ok()?;
        }
        Some(Self { user, program })
    }

    fn set_modes(&self, modes: &Modes) {
        let mut termios = tcgetattr(&self.program).unwrap();
        termios.input_modes = InputModes::from_bits_retain(modes.input);
        termios.output_modes = OutputModes::from_bits_retain(modes.output);
        termios.local_modes = LocalModes::from_bits_retain(modes.local);
        termios.special_codes[SpecialCodeIndex::VMIN] = modes.minimum;
        tcsetattr(&self.program, OptionalActions::Now, &termios).unwrap();
    }

    /// All reads of at most `count` bytes until there is nothing, which waits for what is on its way.
    fn read_all(
        end: impl AsFd,
        count: usize,
        stops_at_zero: bool,
    ) -> Vec<core::result::Result<Vec<u8>, u16>> {
        read_all(stops_at_zero, || {
            let mut bytes = vec![0; count];
            match io::read(&end, &mut bytes) {
                Ok(done) => Ok(bytes[..done].to_vec()),
                Err(error) => Err(error.raw_os_error() as u16),
            }
        })
    }
}

type Read = core::result::Result<Vec<u8>, u16>;

/// In raw mode nothing may be an end; it never is in lines.
fn read_all(stops_at_zero: bool, mut read: impl FnMut() -> Read) -> Vec<Read> {
    let mut all = Vec::new();
    loop {
        let read = read();
        let ends = read.is_err() || stops_at_zero && read.as_ref().is_ok_and(Vec::is_empty);
        all.push(read);
        if ends {
            return all;
        }
    }
}

fn set_modes(tty: &Tty, modes: &Modes) {
    let mut termios = tty.termios();
    termios.input = InputFlags::from_bits_retain(modes.input);
    termios.output = OutputFlags::from_bits_retain(modes.output);
    termios.local = LocalFlags::from_bits_retain(modes.local);
    termios.set_key(Key::Minimum, modes.minimum);
    tty.set_termios(termios);
}

fn some_of(flags: &'static [u32]) -> impl Strategy<Value = u32> {
    prop::sample::subsequence(flags, 0..=flags.len()).prop_map(|flags| flags.iter().sum())
}

/// All modes that this terminal knows but IXON: stopped, the host keeps its echo back. And ECHO, which stays as it
/// is: the host does not know where a line began that it did not show.
fn modes() -> impl Strategy<Value = Modes> {
    let local = some_of(&[1, 0x10, 0x20, 0x40, 0x80, 0x200, 0x800, 0x8000]);
    // Lines more often than not.
    let local = (local, prop::sample::select(vec![0, 2, 2, 2])).prop_map(|(local, lines)| local | lines);
    (
        some_of(&[0x20, 0x40, 0x80, 0x100, 0x2000, 0x4000]),
        some_of(&[1, 4, 8, 0x10, 0x20, 0x1800]),
        local,
        0..3_u8,
    )
        .prop_map(|(input, output, local, minimum)| Modes { input, output, local, minimum })
}

/// Not the byte 0xff: the host's echo counts its column in every mode.
fn step() -> impl Strategy<Value = Step> {
    let key = prop_oneof![
        6 => prop::sample::select(b"ab_ .\t\r\n".to_vec()),
        6 => prop::sample::select(b"\x7f\x7f\x15\x17\x04\x16\x12\x03\x1c\x1a\x01\x00\xfe\x80".to_vec()),
        2 => prop::sample::select("\u{e9}\u{20ac}".as_bytes().to_vec()),
    ];
    let text = prop::sample::select(b"xy\t\n\r\x08\x1b\xc3\xa9".to_vec());
    prop_oneof![
        1 => modes().prop_map(Step::Modes),
        4 => prop::collection::vec(key, 1..12).prop_map(Step::Keys),
        1 => prop::collection::vec(text, 1..12).prop_map(Step::Write),
    ]
}

proptest! {
    #[test]
    fn a_terminal_answers_as_linux_does(steps in prop::collection::vec(step(), 1..20), count in 1..6_usize, echo: bool) {
        let Some(host) = Host::open() else {
            eprintln!("there are no pseudoterminals here to compare with");
            return Ok(());
        };
        let (tty, screen) = terminal();
        let set = |modes: &Modes| {
            let local = modes.local & !8 | if echo { 8 } else { 0 };
            host.set_modes(&Modes { local, ..modes.clone() });
            set_modes(&tty, &Modes { local, ..modes.clone() });
        };
        set(&Modes { input: 0x100, output: 5, local: 0x8a3b, minimum: 1 });
        for (place, step) in steps.iter().enumerate() {
            // One by one: a signal drops the output that nobody has seen yet.
            let keys: &[u8] = match step {
                Step::Modes(modes) => {
                    set(modes);
                    &[]
                }
                Step::Keys(keys) => keys,
                Step::Write(bytes) => {
                    prop_assert_eq!(io::write(&host.program, bytes), Ok(bytes.len()));
                    prop_assert_eq!(tty.write(bytes.len(), &mut &bytes[..]), Ok(bytes.len()));
                    &[]
                }
            };
            for typed in (0..keys.len().max(1)).map(|key| keys.get(key..=key).unwrap_or_default()) {
                if !typed.is_empty() {
                    prop_assert_eq!(io::write(&host.user, typed), Ok(1));
                    tty.input(typed);
                }
                let raw = !tty.termios().is_canonical();
                let expected = Host::read_all(&host.program, count, raw);
                let got = read_all(raw, || {
                    let mut bytes = Vec::new();
                    match tty.read_nonblocking(count, &mut bytes) {
                        Ok(_) => Ok(bytes),
                        Err(error) => Err(error.number()),
                    }
                });
                prop_assert_eq!(got, expected, "what is read after {:?} in step {} of {:?}", typed, place, steps);
                let echo = Host::read_all(&host.user, 4096, false).into_iter().flatten().flatten();
                let echo: Vec<u8> = echo.collect();
                prop_assert_eq!(shown_bytes(screen), echo, "the echo of {:?} in step {} of {:?}", typed, place, steps);
            }
        }
    }
}
