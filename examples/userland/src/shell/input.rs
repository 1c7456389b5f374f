//! Where a shell's commands come from.

use alloc::ffi::CString;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::expand::Surroundings;
use super::run::{Flow, complain, run_text};
use super::state::State;
use crate::sys::{self, Action, Arguments, ERRORS, Errno, File, INPUT, INTERRUPT, mode, print_to};

const PROMPT: &str = "$ ";
const MORE: &str = "> ";
const WRONG: u8 = 2;
const NOT_FOUND: u8 = 127;

/// Runs what the arguments, a file or the input say.
pub fn main(arguments: Arguments) -> i32 {
    let words: Vec<String> = arguments.from(0).map(|word| word.to_string_lossy().into_owned()).collect();
    let environment: Vec<_> = arguments.environment().filter_map(|entry| entry.to_str().ok()).collect();
    let state = |arguments: &[String]| State::new(environment.iter().copied(), arguments.to_vec());
    let status = match &words[..] {
        [_, option, commands, rest @ ..] if option == "-c" => {
            let mut state = state(if rest.is_empty() { &words[..1] } else { rest });
            whole(commands, &mut state)
        }
        [_, option, ..] if option.starts_with('-') && option.len() > 1 && option != "-i" => {
            complain(format_args!("{option}: not known"));
            WRONG
        }
        [_, file, ..] if file != "-i" => match read(file) {
            Ok(text) => whole(&text, &mut state(&words[1..])),
            Err(error) => {
                complain(format_args!("{file}: {error}"));
                NOT_FOUND
            }
        },
        _ => lines(&mut state(words.get(..1).unwrap_or_default())),
    };
    status.into()
}

/// Runs a text that is all there is.
fn whole(text: &str, state: &mut State) -> u8 {
    if run_text(text, state).is_none() {
        complain(format_args!("the commands end too early"));
        return WRONG;
    }
    state.status
}

fn read(path: &str) -> sys::Result<String> {
    let file = File::open(&CString::new(path).map_err(|_| Errno::NOENT)?, mode::READ)?;
    let mut text = Vec::new();
    let mut buffer = [0; 512];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => text.extend_from_slice(&buffer[..length]),
        }
    }
    file.close()?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Runs what is typed, as soon as it is whole.
fn lines(state: &mut State) -> u8 {
    let typed = INPUT.is_terminal();
    if typed {
        // It is for the program in the foreground.
        _ = sys::on_signal(INTERRUPT, Action::Ignore);
    }
    let prompt = state.variable("PS1").unwrap_or_else(|| PROMPT.to_string());
    let mut text = String::new();
    loop {
        if typed {
            print_to(ERRORS, format_args!("{}", if text.is_empty() { &prompt } else { MORE }));
        }
        // A word that goes on in the next line wants its newline.
        let Some(line) = line() else {
            return if text.is_empty() { state.status } else { whole(&text, state) };
        };
        text += &line;
        match run_text(&text, state) {
            Some(Flow::Exit) => return state.status,
            Some(_) => text.clear(),
            None => {}
        }
        // Whatever ran in the background and has ended.
        while let Ok(Some((child, end))) = sys::ended(None) {
            state.ended.insert(child, end.status());
        }
    }
}

/// The next line, with its newline. No more is read: the rest is for the programs.
fn line() -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        match INPUT.read(&mut byte) {
            Ok(1) => line.push(byte[0]),
            Err(Errno::INTR) => {}
            _ if line.is_empty() => return None,
            _ => break,
        }
    }
    Some(String::from_utf8_lossy(&line).into_owned())
}
