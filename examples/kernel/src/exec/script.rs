//! Scripts: files that begin with `#!` and the program that reads them.

/// The program that a script names, and the argument for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Script<'a> {
    /// The program's path.
    pub program: &'a [u8],
    /// All that follows it in the line.
    pub argument: Option<&'a [u8]>,
}

/// How long that line may be.
const LINE: usize = 255;

/// Reads the first line of a file that begins with `bytes`; `None` if it is no script.
pub fn parse(bytes: &[u8]) -> Option<Script<'_>> {
    let rest = bytes.strip_prefix(b"#!")?;
    let rest = rest.get(..LINE).unwrap_or(rest);
    let line = rest.split(|byte| *byte == b'\n').next()?;
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let line = line.trim_ascii();
    let end = line.iter().position(is_blank).unwrap_or(line.len());
    let (program, argument) = line.split_at_checked(end)?;
    let argument = argument.trim_ascii();
    if program.is_empty() || line.contains(&0) {
        return None;
    }
    Some(Script { program, argument: (!argument.is_empty()).then_some(argument) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_a_program_and_at_most_one_argument() {
        let parsed = |text: &'static [u8]| parse(text).map(|script| (script.program, script.argument));
        assert_eq!(parsed(b"#!/bin/sh\necho"), Some((&b"/bin/sh"[..], None)));
        assert_eq!(parsed(b"#! \t/bin/awk -f x \nBEGIN"), Some((&b"/bin/awk"[..], Some(&b"-f x"[..]))));
        assert_eq!(parsed(b"#!/bin/sh"), Some((&b"/bin/sh"[..], None)));
        for bad in [&b"#!"[..], b"#!  \n/bin/sh", b"# !/bin/sh", b"", b"#!/bin\0/sh\n"] {
            assert_eq!(parse(bad), None);
        }
    }
}
