//! The commands that a shell has to run itself.

use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;

use super::expand::Surroundings;
use super::run::{Flow, complain, execute};
use super::state::State;
use super::token::is_name;
use crate::sys::{self, Pid};

/// What shells say of a process that is not theirs.
const NO_CHILD: u8 = 127;

/// Runs `command` if it is one of them: the status, and how it goes on.
pub(super) fn run(command: &[String], state: &mut State) -> Option<(u8, Flow)> {
    let arguments: Vec<&str> = command.iter().skip(1).map(String::as_str).collect();
    let first = arguments.first().copied();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok());
    let status = match command.first()?.as_str() {
        ":" => 0,
        "cd" => change_directory(first, state),
        "exit" => {
            let status = number(first).map_or(state.status, |status| status as u8);
            return Some((status, Flow::Exit));
        }
        "break" => return Some((0, leave(state, Flow::Break))),
        "continue" => return Some((0, leave(state, Flow::Continue))),
        "export" => export(&arguments, state),
        "exec" if arguments.is_empty() => 0,
        "exec" => return Some((execute(&command[1..], state), Flow::Exit)),
        "set" => {
            let arguments = arguments.iter().skip_while(|argument| **argument == "--");
            let arguments: Vec<_> = arguments.map(|argument| String::from(*argument)).collect();
            state.arguments.truncate(1);
            state.arguments.extend(arguments);
            0
        }
        "wait" => wait(number(first).map(Pid), state),
        _ => return None,
    };
    Some((status, Flow::Next))
}

/// Out of a loop, if there is one.
fn leave(state: &State, flow: Flow) -> Flow {
    if state.loops > 0 { flow } else { Flow::Next }
}

fn change_directory(to: Option<&str>, state: &mut State) -> u8 {
    let to = to.map(String::from).or_else(|| state.variable("HOME")).unwrap_or_default();
    let changed = CString::new(to.as_str()).map(|path| sys::change_directory(&path));
    match changed {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            complain(format_args!("cd: {to}: {error}"));
            1
        }
        Err(_) => 1,
    }
}

fn export(arguments: &[&str], state: &mut State) -> u8 {
    for argument in arguments {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (*argument, None),
        };
        if !is_name(name) {
            complain(format_args!("export: {name}: not a name"));
            return 1;
        }
        if let Some(value) = value {
            state.set(name, value.into());
        }
        state.export(name);
    }
    0
}

/// Waits for one child, or for all.
fn wait(child: Option<Pid>, state: &mut State) -> u8 {
    match child {
        Some(child) => match state.ended.remove(&child) {
            Some(status) => status,
            None => sys::wait(Some(child)).map_or(NO_CHILD, |(_, end)| end.status()),
        },
        None => {
            state.ended.clear();
            while sys::wait(None).is_ok() {}
            0
        }
    }
}
