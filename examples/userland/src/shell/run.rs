//! Running commands.

use core::fmt;

use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::expand::{fields, text};
use super::parse::{Command, Condition, How, Item, Kind, List, Pipeline, Redirection, parse};
use super::state::{State, out_of_the_way};
use super::token::{Fault, Word};
use super::{builtin, expand::Surroundings};
use crate::sys::{self, Action, ERRORS, Errno, File, INPUT, INTERRUPT, OUTPUT, Pid, mode, print_to};

/// What shells say of a command that was not found, of one that is not a program, and of a text that is no command.
const NOT_FOUND: u8 = 127;
const NOT_A_PROGRAM: u8 = 126;
const WRONG: u8 = 2;

/// How it goes on after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    /// Out of the loop around it.
    Break,
    /// To the next round of the loop around it.
    Continue,
    /// The shell ends.
    Exit,
}

/// Runs all commands of `text`. `None` if they end too early.
pub(super) fn run_text(text: &str, state: &mut State) -> Option<Flow> {
    match parse(text) {
        Ok(list) => Some(run_list(&list, state)),
        Err(Fault::Incomplete) => None,
        Err(Fault::Wrong(why)) => {
            complain(format_args!("{why}"));
            state.status = WRONG;
            Some(Flow::Next)
        }
    }
}

/// What the commands print.
pub(super) fn output(commands: &str, state: &mut State) -> sys::Result<String> {
    let (read, write) = sys::pipe()?;
    let child = sys::spawn(|| {
        _ = read.close();
        lead(write, OUTPUT);
        if run_text(commands, state).is_none() {
            complain(format_args!("the commands in $( ) end too early"));
            state.status = WRONG;
        }
        state.status.into()
    })?;
    write.close()?;
    let mut output = Vec::new();
    let mut buffer = [0; 512];
    loop {
        match read.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => output.extend_from_slice(&buffer[..length]),
        }
    }
    read.close()?;
    state.status = wait(child);
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// Says what is wrong.
pub(super) fn complain(text: fmt::Arguments<'_>) {
    print_to(ERRORS, format_args!("sh: {text}\n"));
}

pub(super) fn run_list(list: &List, state: &mut State) -> Flow {
    for item in list {
        let flow = if item.background { in_background(item, state) } else { run_item(item, state) };
        if flow != Flow::Next {
            return flow;
        }
    }
    Flow::Next
}

fn in_background(item: &Item, state: &mut State) -> Flow {
    let child = start(state, |state| {
        // A program in the background does not read what is typed.
        if let Ok(null) = File::open(c"/dev/null", mode::READ) {
            lead(null, INPUT);
        }
        run_item(item, state);
    });
    state.background = child.or(state.background);
    state.status = child.is_none().into();
    Flow::Next
}

fn run_item(item: &Item, state: &mut State) -> Flow {
    let mut flow = run_pipeline(&item.first, state);
    for (condition, pipeline) in &item.rest {
        if flow != Flow::Next {
            break;
        }
        if (*condition == Condition::And) == (state.status == 0) {
            flow = run_pipeline(pipeline, state);
        }
    }
    flow
}

fn run_pipeline(pipeline: &Pipeline, state: &mut State) -> Flow {
    let flow = match &pipeline.commands[..] {
        [only] => run_command(only, state),
        commands => {
            run_piped(commands, state);
            Flow::Next
        }
    };
    if pipeline.negated {
        state.status = (state.status == 0).into();
    }
    flow
}

/// Runs commands at the same time, each with the output of the one before as its input.
fn run_piped(commands: &[Command], state: &mut State) {
    let mut children = Vec::new();
    let mut input: Option<File> = None;
    for (index, command) in commands.iter().enumerate() {
        let last = index + 1 == commands.len();
        let ends = if last { None } else { sys::pipe().ok() };
        let child = start(state, |state| {
            if let Some(input) = input {
                lead(input, INPUT);
            }
            if let Some((read, write)) = ends {
                _ = read.close();
                lead(write, OUTPUT);
            }
            run_command(command, state);
        });
        for file in [input, ends.map(|(_, write)| write)].into_iter().flatten() {
            _ = file.close();
        }
        input = ends.map(|(read, _)| read);
        children.push(child);
        if !last && input.is_none() {
            complain(format_args!("there is no pipe left"));
            break;
        }
    }
    let mut status = 1;
    for child in children {
        status = child.map_or(1, wait);
    }
    state.status = status;
}

/// Starts a child that does `what` and ends with the status that this leaves.
fn start(state: &mut State, what: impl FnOnce(&mut State)) -> Option<Pid> {
    let child = sys::spawn(|| {
        _ = sys::on_signal(INTERRUPT, Action::Default);
        what(state);
        state.status.into()
    });
    child.inspect_err(|error| complain(format_args!("no process: {error}"))).ok()
}

fn wait(child: Pid) -> u8 {
    sys::wait(Some(child)).map_or(NOT_FOUND, |(_, end)| end.status())
}

/// Makes `to` lead where `file` does, which is closed.
fn lead(file: File, to: File) {
    if file != to {
        _ = file.duplicate_to(to);
        _ = file.close();
    }
}

fn run_command(command: &Command, state: &mut State) -> Flow {
    if let Kind::Simple { assignments, words } = &command.kind {
        return run_simple(assignments, words, &command.redirections, state);
    }
    if let Kind::Subshell(list) = &command.kind {
        let child = start(state, |state| {
            if redirect(&command.redirections, state, None) {
                run_list(list, state);
            }
        });
        state.status = child.map_or(1, wait);
        return Flow::Next;
    }
    let mut saved = Vec::new();
    let flow = if redirect(&command.redirections, state, Some(&mut saved)) {
        run_compound(&command.kind, state)
    } else {
        Flow::Next
    };
    restore(saved);
    flow
}

fn run_compound(kind: &Kind, state: &mut State) -> Flow {
    match kind {
        Kind::Group(list) | Kind::Subshell(list) => run_list(list, state),
        Kind::If { branches, otherwise } => {
            for (condition, body) in branches {
                let flow = run_list(condition, state);
                if flow != Flow::Next {
                    return flow;
                }
                if state.status == 0 {
                    return run_list(body, state);
                }
            }
            state.status = 0;
            run_list(otherwise, state)
        }
        Kind::While { wanted, condition, body } => {
            let mut status = 0;
            let flow = run_loop(state, |state| {
                let flow = run_list(condition, state);
                if flow != Flow::Next {
                    return flow;
                }
                if (state.status == 0) != *wanted {
                    return Flow::Break;
                }
                let flow = run_list(body, state);
                status = state.status;
                flow
            });
            if flow != Flow::Exit {
                state.status = status;
            }
            flow
        }
        Kind::For { name, words, body } => {
            let values: Vec<_> = words.iter().flat_map(|word| fields(word, state)).collect();
            let mut values = values.into_iter();
            state.status = 0;
            run_loop(state, |state| match values.next() {
                Some(value) => {
                    state.set(name, value);
                    run_list(body, state)
                }
                None => Flow::Break,
            })
        }
        Kind::Simple { assignments, words } => run_simple(assignments, words, &[], state),
    }
}

/// Does rounds of a loop until one breaks it, or ends the shell.
fn run_loop(state: &mut State, mut round: impl FnMut(&mut State) -> Flow) -> Flow {
    state.loops += 1;
    let flow = loop {
        match round(state) {
            Flow::Next | Flow::Continue => {}
            Flow::Break => break Flow::Next,
            Flow::Exit => break Flow::Exit,
        }
    };
    state.loops -= 1;
    flow
}

fn run_simple(
    assignments: &[(String, Word)],
    words: &[Word],
    redirections: &[Redirection],
    state: &mut State,
) -> Flow {
    let before = state.status;
    let command: Vec<_> = words.iter().flat_map(|word| fields(word, state)).collect();
    let is_builtin = command.first().is_none_or(|name| BUILTINS.contains(&name.as_str()));
    if is_builtin {
        // Only what $( ) in them says counts, if anything does.
        if command.is_empty() && state.status == before {
            state.status = 0;
        }
        assign(assignments, state, false);
        let keeps = command.len() == 1 && command[0] == "exec";
        let mut saved = Vec::new();
        if !redirect(redirections, state, (!keeps).then_some(&mut saved)) {
            restore(saved);
            return Flow::Next;
        }
        let done = builtin::run(&command, state);
        restore(saved);
        let Some((status, flow)) = done else { return Flow::Next };
        state.status = status;
        return flow;
    }
    let child = start(state, |state| {
        assign(assignments, state, true);
        if redirect(redirections, state, None) {
            state.status = execute(&command, state);
        }
    });
    state.status = child.map_or(1, wait);
    Flow::Next
}

/// Those of `builtin`.
const BUILTINS: [&str; 9] = [":", "break", "cd", "continue", "exec", "exit", "export", "set", "wait"];

fn assign(assignments: &[(String, Word)], state: &mut State, export: bool) {
    for (name, word) in assignments {
        let value = text(word, state);
        state.set(name, value);
        if export {
            state.export(name);
        }
    }
}

/// Lets open files lead elsewhere, and says whether it could. What they were goes to `saved`, if it is to come back.
fn redirect(redirections: &[Redirection], state: &mut State, mut saved: Option<&mut Vec<Saved>>) -> bool {
    for Redirection { file, how, target } in redirections {
        let file = File(*file);
        let target = text(target, state);
        if let Some(saved) = saved.as_deref_mut() {
            saved.push((file, out_of_the_way(file).ok()));
        }
        let opened = CString::new(target.as_str()).map_err(|_| Errno::NOENT).and_then(|path| match how {
            How::Read => File::open(&path, mode::READ),
            How::Write => File::open(&path, mode::WRITE | mode::CREATE | mode::TRUNCATE),
            How::Append => File::open(&path, mode::WRITE | mode::CREATE | mode::APPEND),
            How::Duplicate => {
                let number = target.parse().map_err(|_| Errno::INVAL)?;
                out_of_the_way(File(number))
            }
        });
        match opened {
            Ok(opened) => lead(opened, file),
            Err(error) => {
                complain(format_args!("{target}: {error}"));
                state.status = 1;
                return false;
            }
        }
    }
    true
}

/// An open file, and what it was, if it was open.
type Saved = (File, Option<File>);

fn restore(saved: Vec<Saved>) {
    for (file, was) in saved.into_iter().rev() {
        match was {
            Some(was) => lead(was, file),
            None => _ = file.close(),
        }
    }
}

/// Becomes a program. The status, if that cannot be.
pub(super) fn execute(command: &[String], state: &State) -> u8 {
    let strings = |strings: &[String]| -> Option<Vec<CString>> {
        strings.iter().map(|string| CString::new(string.as_str()).ok()).collect()
    };
    let (Some(arguments), Some(name)) = (strings(command), command.first()) else {
        return NOT_FOUND;
    };
    let environment = state.environment();
    let arguments: Vec<_> = arguments.iter().map(CString::as_c_str).collect();
    let environment: Vec<_> = environment.iter().map(CString::as_c_str).collect();
    let path = state.variable("PATH").unwrap_or_default();
    let places = if name.contains('/') { "" } else { path.as_str() };
    let mut error = Errno::NOENT;
    for place in places.split(':') {
        let slash = if place.is_empty() { "" } else { "/" };
        let Ok(path) = CString::new(format!("{place}{slash}{name}")) else { continue };
        let why = sys::execute(&path, &arguments, &environment);
        if why != Errno::NOENT {
            error = why;
            break;
        }
    }
    complain(format_args!("{name}: {error}"));
    if error == Errno::NOENT { NOT_FOUND } else { NOT_A_PROGRAM }
}
