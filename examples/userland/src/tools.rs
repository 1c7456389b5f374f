//! `tools`: the few commands without which a system cannot be looked at, by the name it is called with. They know no
//! options but those given here.
//!
//! `cat [FILE]...` · `echo [-n] [WORD]...` · `false` · `kill [-SIGNAL] PROCESS...` · `ls [-a] [-l] [PATH]...` ·
//! `mkdir DIRECTORY...` · `mount KIND DIRECTORY` · `ps` · `rm FILE...` · `sleep SECONDS` · `true`

use core::ffi::CStr;

use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::directory;
use crate::sys::{
    self, Arguments, ERRORS, Errno, File, INPUT, OUTPUT, Pid, Result, TERMINATE, mode, print_to,
};

/// Does what it is called.
pub fn main(arguments: Arguments) -> i32 {
    let own = arguments.get(0).unwrap_or_default().to_string_lossy();
    let name = own.rsplit('/').next().unwrap_or_default();
    let operands: Vec<&CStr> = arguments.from(1).collect();
    match name {
        "cat" if operands.is_empty() => report(name, c"-", copy(INPUT)),
        "cat" => each(name, &operands, |path| {
            let file = File::open(path, mode::READ)?;
            copy(file)?;
            file.close()
        }),
        "echo" => echo(&operands),
        "false" => 1,
        "kill" => kill(&operands),
        "ls" => list(&operands),
        "mkdir" => each(name, &operands, sys::make_directory),
        "mount" => match operands[..] {
            [kind, at] => report(name, at, sys::mount(kind, at)),
            _ => usage("mount KIND DIRECTORY"),
        },
        "ps" => processes(),
        "rm" => each(name, &operands, sys::unlink),
        "sleep" => match operands.first().and_then(|text| text.to_str().ok()?.parse::<u32>().ok()) {
            Some(seconds) => {
                sys::sleep(seconds.saturating_mul(1000));
                0
            }
            None => usage("sleep SECONDS"),
        },
        "true" => 0,
        _ => usage("cat, echo, false, kill, ls, mkdir, mount, ps, rm, sleep, true"),
    }
}

fn usage(text: &str) -> i32 {
    print_to(ERRORS, format_args!("usage: {text}\n"));
    2
}

/// Says why something went wrong, if it did.
fn report(name: &str, what: &CStr, result: Result<()>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            print_to(ERRORS, format_args!("{name}: {}: {error}\n", what.to_string_lossy()));
            1
        }
    }
}

fn each(name: &str, operands: &[&CStr], mut what: impl FnMut(&CStr) -> Result<()>) -> i32 {
    operands.iter().fold(0, |status, operand| status | report(name, operand, what(operand)))
}

fn copy(file: File) -> Result<()> {
    let mut buffer = alloc::vec![0; 16 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            length => OUTPUT.write_all(&buffer[..length])?,
        }
    }
}

fn echo(words: &[&CStr]) -> i32 {
    let (end, words) = match words {
        [first, rest @ ..] if *first == c"-n" => ("", rest),
        _ => ("\n", words),
    };
    let mut line = words.iter().map(|word| word.to_bytes()).collect::<Vec<_>>().join(&b' ');
    line.extend(end.as_bytes());
    report("echo", c"output", OUTPUT.write_all(&line))
}

fn kill(operands: &[&CStr]) -> i32 {
    let texts: Vec<_> = operands.iter().filter_map(|operand| operand.to_str().ok()).collect();
    let (signal, processes) = match texts[..] {
        [first, ref rest @ ..] if first.starts_with('-') => (first[1..].parse().ok(), rest),
        ref all => (Some(TERMINATE), all),
    };
    let numbers: Option<Vec<u32>> = processes.iter().map(|process| process.parse().ok()).collect();
    let (Some(signal), Some(numbers), false) = (signal, numbers, processes.is_empty()) else {
        return usage("kill [-NUMBER] PROCESS...");
    };
    numbers.into_iter().fold(0, |status, number| status | report("kill", c"", sys::kill(Pid(number), signal)))
}

fn list(operands: &[&CStr]) -> i32 {
    let (options, places): (Vec<&CStr>, Vec<_>) =
        operands.iter().partition(|operand| operand.to_bytes().starts_with(b"-"));
    let option = |letter| options.iter().any(|option| option.to_bytes().contains(&letter));
    let (all, long) = (option(b'a'), option(b'l'));
    let places = if places.is_empty() { alloc::vec![c"."] } else { places };
    each("ls", &places, |place| {
        let text = place.to_string_lossy();
        let status = sys::status(place)?;
        if !status.is_directory() {
            return entry(place, &text, long);
        }
        if places.len() > 1 {
            print_to(OUTPUT, format_args!("{text}:\n"));
        }
        for name in directory::names(&text)?.iter().filter(|name| all || !name.starts_with('.')) {
            let path = CString::new(format!("{text}/{name}")).map_err(|_| Errno::NOENT)?;
            entry(&path, name, long)?;
        }
        Ok(())
    })
}

fn entry(path: &CStr, name: &str, long: bool) -> Result<()> {
    if long {
        let status = sys::status(path)?;
        let (kind, permissions) = (status.kind(), status.permissions());
        print_to(OUTPUT, format_args!("{kind}{permissions:04o} {:>10} ", status.size));
    }
    let mut target = [0; 256];
    let link = if long { sys::read_link(path, &mut target).ok() } else { None };
    match link.and_then(|length| target.get(..length)) {
        Some(target) => {
            print_to(OUTPUT, format_args!("{name} -> {}\n", String::from_utf8_lossy(target)));
        }
        None => print_to(OUTPUT, format_args!("{name}\n")),
    }
    Ok(())
}

/// What `/proc` says of each process: number, parent, state and name.
fn processes() -> i32 {
    let names = match directory::names("/proc") {
        Ok(names) => names,
        Err(error) => return report("ps", c"/proc", Err(error)),
    };
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    print_to(OUTPUT, format_args!("  PID  PPID S COMMAND\n"));
    for number in numbers {
        // One that has ended meanwhile has no line.
        let Some((name, state, parent)) = process(number) else { continue };
        print_to(OUTPUT, format_args!("{number:>5} {parent:>5} {state} {name}\n"));
    }
    0
}

/// From `NUMBER (NAME) STATE PARENT ...`.
fn process(number: u32) -> Option<(String, String, String)> {
    let path = CString::new(format!("/proc/{number}/stat")).ok()?;
    let file = File::open(&path, mode::READ).ok()?;
    let mut buffer = [0; 512];
    let length = file.read(&mut buffer);
    file.close().ok()?;
    let text = String::from_utf8_lossy(buffer.get(..length.ok()?)?).into_owned();
    let (head, tail) = text.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut words = tail.split_whitespace();
    Some((name.into(), words.next()?.into(), words.next()?.into()))
}
