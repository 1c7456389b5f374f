//! `hbench`: what the operations of a kernel cost, on Linux and on the example kernel with and without the checks of
//! the library. The same programs on the same machine.

mod instructions;
mod program;

use anyhow::Result;
use lexopt::Arg::Long;
use lexopt::{Parser, ValueExt};

use crate::kernel::Mode;
use crate::system::System;
use program::Program;

/// What to measure, and on what.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    systems: Vec<System>,
    mode: Mode,
}

impl Options {
    pub fn parse(arguments: &mut Parser) -> Result<Self> {
        let mut options = Self { systems: System::ALL.to_vec(), mode: Mode::TwoLevel };
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("on") => options.systems = System::named(&arguments.value()?.string()?)?,
                Long("mode") => options.mode = arguments.value()?.string()?.parse()?,
                _ => return Err(argument.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// Measures, and prints a table.
pub fn hbench(options: &Options) -> Result<()> {
    let program = Program::prepare(options.mode)?;
    instructions::measure(&program, &options.systems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(&mut Parser::from_args(arguments))
    }

    #[test]
    fn the_default_is_all_systems_with_two_levels() {
        let options = parse(&[]).unwrap();
        assert_eq!(options, Options { systems: System::ALL.to_vec(), mode: Mode::TwoLevel });
    }

    #[test]
    fn every_option_is_taken() {
        let options = parse(&["--on", "linux", "--mode=pae"]).unwrap();
        assert_eq!(options, Options { systems: vec![System::Linux], mode: Mode::Pae });
        for bad in [&["--on=minix"][..], &["--mode=long"], &["linux"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
