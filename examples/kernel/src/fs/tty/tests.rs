use super::*;
use crate::wait::TaskId;
use crate::wait::tests::woken;
use proptest::prelude::*;
use std::sync::Mutex as StdMutex;

/// A screen and process groups: group 7 is in session 5, group 8 in session 6.
#[derive(Default)]
pub(in crate::fs) struct Screen {
    shown: StdMutex<Vec<u8>>,
    raised: StdMutex<Vec<(u32, u32)>>,
}

impl Host for Screen {
    fn send(&self, bytes: &[u8]) {
        self.shown.lock().unwrap().extend(bytes);
    }

    fn raise(&self, group: u32, signal: u32) {
        self.raised.lock().unwrap().push((group, signal));
    }

    fn session_of(&self, group: u32) -> Option<u32> {
        [(5, 5), (7, 5), (8, 6)].iter().find(|(other, _)| *other == group).map(|(_, session)| *session)
    }
}

const LEADER: Job = Job { process: 5, group: 5, session: 5 };

pub(in crate::fs) fn terminal() -> (Arc<Tty>, &'static Screen) {
    let screen: &'static Screen = Box::leak(Box::default());
    (Tty::new(screen).unwrap(), screen)
}

pub(super) fn shown_bytes(screen: &Screen) -> Vec<u8> {
    std::mem::take(&mut *screen.shown.lock().unwrap())
}

fn shown(screen: &Screen) -> String {
    String::from_utf8(shown_bytes(screen)).unwrap()
}

fn read(tty: &Tty, count: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let done = tty.read(count, &mut bytes)?;
    assert_eq!(done, bytes.len());
    Ok(bytes)
}

fn raw(tty: &Tty, minimum: u8, time: u8) {
    let mut termios = tty.termios();
    termios.local.remove(LocalFlags::ICANON | LocalFlags::ECHO);
    termios.set_key(Key::Minimum, minimum);
    termios.set_key(Key::Time, time);
    tty.set_termios(termios);
}

#[test]
fn a_line_is_read_when_it_ends() {
    let (tty, screen) = terminal();
    woken();
    tty.readable.add(TaskId(1));
    tty.input(b"ls");
    assert_eq!(read(&tty, 10), Err(Errno::EAGAIN));
    assert_eq!(woken(), []);
    assert_eq!(tty.poll(), Events::OUT);
    tty.input(b" -l\rps\r");
    assert_eq!(woken(), [TaskId(1)]);
    assert_eq!(tty.poll(), Events::IN | Events::OUT);
    assert_eq!(read(&tty, 4), Ok(b"ls -".to_vec()));
    assert_eq!(read(&tty, 10), Ok(b"l\n".to_vec()));
    assert_eq!(read(&tty, 10), Ok(b"ps\n".to_vec()));
    assert_eq!(read(&tty, 10), Err(Errno::EAGAIN));
    assert_eq!(shown(screen), "ls -l\r\nps\r\n");
}

#[test]
fn what_was_typed_can_be_erased() {
    for (typed, line, screen_shows) in [
        (&b"ab\x7fc\r"[..], "ac\n", "ab\x08 \x08c\r\n"),
        (b"\x7fa\r", "a\n", "a\r\n"),
        (b"a\x01\x7f\r", "a\n", "a^A\x08 \x08\x08 \x08\r\n"),
        (b"a\tb\x7f\x7fc\r", "ac\n", "a\tb\x08 \x08\x08\x08\x08\x08\x08\x08\x08c\r\n"),
        (
            b"one two_2 \x17x\r",
            "one x\n",
            "one two_2 \x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08x\r\n",
        ),
        (b"ab\x15c\r", "c\n", "ab\x08 \x08\x08 \x08c\r\n"),
        (b"a\x16\x7fb\r", "a\x7fb\n", "a^\x08^?b\r\n"),
        (b"a\x12b\r", "ab\n", "a^R\r\nab\r\n"),
    ] {
        let (tty, screen) = terminal();
        tty.input(typed);
        assert_eq!(read(&tty, 100).unwrap(), line.as_bytes(), "{typed:?}");
        assert_eq!(shown(screen), screen_shows, "{typed:?}");
    }
}

#[test]
fn a_character_of_utf8_is_erased_whole() {
    let (tty, screen) = terminal();
    let mut termios = tty.termios();
    termios.input |= InputFlags::IUTF8;
    tty.set_termios(termios);
    tty.input("aé€\x7f\x7f\r".as_bytes());
    assert_eq!(read(&tty, 100).unwrap(), b"a\n");
    assert_eq!(shown(screen), "aé€\x08 \x08\x08 \x08\r\n");
}

#[test]
fn an_end_of_file_ends_one_read() {
    let (tty, _) = terminal();
    tty.input(b"\x04");
    assert_eq!(read(&tty, 10), Ok(vec![]));
    assert_eq!(read(&tty, 10), Err(Errno::EAGAIN));
    tty.input(b"ab\x04cd\x04");
    assert_eq!(read(&tty, 10), Ok(b"ab".to_vec()));
    // It lies behind what was asked for, and is no end of file of its own.
    assert_eq!(read(&tty, 2), Ok(b"cd".to_vec()));
    assert_eq!(read(&tty, 10), Err(Errno::EAGAIN));
}

#[test]
fn keys_send_signals_and_drop_the_line() {
    let (tty, screen) = terminal();
    tty.acquire(LEADER).unwrap();
    tty.input(b"abc\x03\x1c\x1ad\r");
    assert_eq!(*screen.raised.lock().unwrap(), [(5, SIGINT), (5, SIGQUIT), (5, SIGTSTP)]);
    assert_eq!(read(&tty, 10).unwrap(), b"d\n");
    assert_eq!(shown(screen), "abc^C^\\^Zd\r\n");
}

#[test]
fn raw_input_is_read_when_it_is_enough() {
    let (tty, screen) = terminal();
    raw(&tty, 1, 0);
    assert_eq!(read(&tty, 10), Err(Errno::EAGAIN));
    tty.input(b"a\x7f\x04");
    assert_eq!(read(&tty, 10).unwrap(), b"a\x7f\x04");
    raw(&tty, 3, 0);
    tty.input(b"ab");
    assert_eq!(read(&tty, 10), Err(Errno::EAGAIN));
    assert_eq!(tty.poll(), Events::OUT);
    assert_eq!(read(&tty, 2).unwrap(), b"ab");
    tty.input(b"abcd");
    assert_eq!(read(&tty, 10).unwrap(), b"abcd");
    raw(&tty, 0, 0);
    assert_eq!(read(&tty, 10).unwrap(), b"");
    assert_eq!(shown(screen), "");
}

#[test]
fn who_waits_for_raw_input_may_lose_patience() {
    let (tty, _) = terminal();
    assert_eq!(tty.patience(), Patience::Forever);
    raw(&tty, 0, 5);
    assert_eq!(read(&tty, 10), Err(Errno::EAGAIN));
    assert_eq!(tty.patience(), Patience::Tenths(5));
    assert_eq!(tty.read_now(10, &mut Vec::new()), Ok(0));
    raw(&tty, 3, 5);
    assert_eq!(tty.patience(), Patience::Forever);
    tty.input(b"a");
    assert_eq!(tty.patience(), Patience::Tenths(5));
    let mut bytes = Vec::new();
    assert_eq!(tty.read_nonblocking(10, &mut bytes), Ok(1));
    assert_eq!(tty.read_nonblocking(10, &mut bytes), Err(Errno::EAGAIN));
}

#[test]
fn what_waits_survives_a_change_of_mode() {
    let (tty, _) = terminal();
    tty.input(b"ab");
    raw(&tty, 1, 0);
    assert_eq!(read(&tty, 10).unwrap(), b"ab");
    tty.input(b"cd");
    tty.set_termios(Termios::new());
    assert_eq!(read(&tty, 10).unwrap(), b"cd");
}

#[test]
fn a_full_line_takes_its_end_and_nothing_else() {
    let (tty, _) = terminal();
    tty.input(&[b'a'; 5000]);
    tty.input(b"\r\r");
    assert_eq!(read(&tty, 5000).unwrap(), [&[b'a'; 4095][..], b"\n"].concat());
    assert_eq!(read(&tty, 5000), Err(Errno::EAGAIN));
}

#[test]
fn output_is_processed_and_stops_on_demand() {
    let (tty, screen) = terminal();
    assert_eq!(tty.write(4, &mut &b"a\nb\n"[..]), Ok(4));
    assert_eq!(shown(screen), "a\r\nb\r\n");
    tty.input(b"\x13");
    assert_eq!(tty.write(4, &mut &b"a\nb\n"[..]), Err(Errno::EAGAIN));
    assert_eq!(tty.poll(), Events::empty());
    woken();
    tty.writable.add(TaskId(2));
    tty.input(b"\x11");
    assert_eq!(woken(), [TaskId(2)]);
    let mut termios = tty.termios();
    termios.output.remove(OutputFlags::OPOST);
    tty.set_termios(termios);
    assert_eq!(tty.write(2, &mut &b"a\n"[..]), Ok(2));
    assert_eq!(shown(screen), "a\n");
}

#[test]
fn a_short_sink_loses_nothing() {
    let (tty, _) = terminal();
    tty.input(b"abcdef\r");
    let mut bytes = [0; 4];
    assert_eq!(tty.read(100, &mut &mut bytes[..]), Ok(4));
    assert_eq!(&bytes, b"abcd");
    assert_eq!(read(&tty, 100).unwrap(), b"ef\n");
}

#[test]
fn a_terminal_belongs_to_one_session() {
    let (tty, screen) = terminal();
    let other = Job { process: 6, group: 6, session: 6 };
    let background = Job { process: 7, group: 7, session: 5 };
    assert_eq!(tty.acquire(background), Err(Errno::EPERM));
    tty.acquire(LEADER).unwrap();
    assert_eq!(tty.acquire(other), Err(Errno::EPERM));
    assert_eq!(tty.background_signal(background, Access::Read), Some(SIGTTIN));
    assert_eq!(tty.background_signal(background, Access::Write), None);
    assert_eq!(tty.background_signal(background, Access::Change), Some(SIGTTOU));
    assert_eq!(tty.background_signal(LEADER, Access::Read), None);
    assert_eq!(tty.background_signal(other, Access::Read), None);
    let mut termios = tty.termios();
    termios.local |= LocalFlags::TOSTOP;
    tty.set_termios(termios);
    assert_eq!(tty.background_signal(background, Access::Write), Some(SIGTTOU));

    let ioctl = |job, request, argument: u32, answer: &mut Vec<u8>| {
        tty.ioctl(job, request, 0, &mut &argument.to_le_bytes()[..], answer)
    };
    let none = &mut Vec::new();
    assert_eq!(ioctl(LEADER, 0x5410, 8, none), Err(Errno::EPERM));
    assert_eq!(ioctl(LEADER, 0x5410, 9, none), Err(Errno::ESRCH));
    assert_eq!(ioctl(other, 0x5410, 8, none), Err(Errno::ENOTTY));
    assert_eq!(ioctl(LEADER, 0x5410, 7, none), Ok(0));
    assert_eq!(tty.background_signal(background, Access::Read), None);
    let mut answer = Vec::new();
    assert_eq!(ioctl(background, 0x540f, 0, &mut answer), Ok(0));
    assert_eq!(answer, 7_u32.to_le_bytes());

    tty.set_window(Window { rows: 50, ..tty.window() });
    tty.set_window(tty.window());
    tty.release(6);
    tty.release(5);
    assert_eq!(*screen.raised.lock().unwrap(), [(7, SIGWINCH), (7, SIGHUP), (7, SIGCONT)]);
    tty.acquire(other).unwrap();
}

#[test]
fn modes_are_got_and_set() {
    let (tty, _) = terminal();
    tty.input(b"typed");
    let mut bytes = Vec::new();
    assert_eq!(tty.ioctl(LEADER, 0x5401, 0, &mut &[][..], &mut bytes), Ok(0));
    bytes[12] &= !2;
    // Half a structure changes nothing.
    assert_eq!(tty.ioctl(LEADER, 0x5402, 0, &mut &bytes[..20], &mut Vec::new()), Err(Errno::EFAULT));
    assert!(tty.termios().is_canonical());
    assert_eq!(tty.ioctl(LEADER, 0x5402, 0, &mut &bytes[..], &mut Vec::new()), Ok(0));
    assert!(!tty.termios().is_canonical());
    assert_eq!(tty.line.lock().waiting(), 5);
    assert_eq!(tty.ioctl(LEADER, 0x5404, 0, &mut &bytes[..], &mut Vec::new()), Ok(0));
    assert_eq!(tty.line.lock().waiting(), 0);
    assert_eq!(tty.ioctl(LEADER, 0x1234, 0, &mut &[][..], &mut Vec::new()), Err(Errno::ENOTTY));
}

/// What a line discipline makes of keys, by the shortest possible rules: printable characters, newline, and the keys
/// for erase, kill and end of file.
fn lines(keys: &[u8]) -> Vec<Vec<u8>> {
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    for key in keys {
        match key {
            b'\r' => {
                line.push(b'\n');
                lines.push(std::mem::take(&mut line));
            }
            4 => lines.push(std::mem::take(&mut line)),
            21 => line.clear(),
            127 => drop(line.pop()),
            _ => line.push(*key),
        }
    }
    lines
}

proptest! {
    #[test]
    fn lines_are_what_was_typed(
        keys in prop::collection::vec(prop::sample::select(b"abc d\t\r\r\x04\x15\x7f\x7f".to_vec()), 0..200),
    ) {
        let (tty, _) = terminal();
        tty.input(&keys);
        for line in lines(&keys) {
            prop_assert_eq!(read(&tty, 4096), Ok(line));
        }
        prop_assert_eq!(read(&tty, 4096), Err(Errno::EAGAIN));
    }

    /// Whoever sees only the screen sees the line that is read.
    #[test]
    fn the_screen_shows_the_line(
        keys in prop::collection::vec(prop::sample::select(b"ab \t\x01\x15\x17\x7f\x7f".to_vec()), 0..60),
    ) {
        let (tty, screen) = terminal();
        tty.write(2, &mut &b"$ "[..]).unwrap();
        tty.input(&keys);
        let mut row = Vec::new();
        let mut column = 0;
        for byte in shown(screen).bytes() {
            match byte {
                8 => column -= 1,
                b'\t' => column = (column / 8 + 1) * 8,
                _ => {
                    row.resize(row.len().max(column + 1), b' ');
                    row[column] = byte;
                    column += 1;
                }
            }
        }
        tty.input(b"\r");
        let mut expected = b"$ ".to_vec();
        for byte in read(&tty, 4096).unwrap() {
            match byte {
                b'\n' => {}
                b'\t' => expected.resize((expected.len() / 8 + 1) * 8, b' '),
                1 => expected.extend(b"^A"),
                _ => expected.push(byte),
            }
        }
        prop_assert_eq!(column, expected.len());
        row.resize(row.len().max(expected.len()), b' ');
        prop_assert!(row[expected.len()..].iter().all(|byte| *byte == b' '));
        prop_assert_eq!(&row[..expected.len()], &expected[..]);
    }

    #[test]
    fn no_mode_and_no_key_is_too_strange(
        steps in prop::collection::vec((prop::array::uniform32(any::<u8>()), any::<[u8; 4]>(), any::<Vec<u8>>()), 0..20),
    ) {
        let (tty, _) = terminal();
        tty.acquire(LEADER).unwrap();
        for (head, tail, keys) in steps {
            let bytes: Vec<u8> = head.into_iter().chain(tail).collect();
            tty.set_termios(Termios::from_bytes(&bytes.try_into().unwrap()));
            tty.input(&keys);
            let _ = tty.write(keys.len(), &mut &keys[..]);
            let waiting = tty.line.lock().waiting();
            if let Ok(bytes) = read(&tty, 50) {
                prop_assert!(bytes.len() <= waiting.min(50));
                prop_assert_eq!(tty.line.lock().waiting(), waiting - bytes.len());
            }
        }
    }
}
