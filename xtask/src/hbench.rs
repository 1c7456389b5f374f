//! `hbench`: what the operations of a kernel cost, on Linux and on the example kernel with and without the checks of
//! the library. The same programs on the same machine.

mod clock;
mod counts;
mod flushes;
mod instructions;
mod program;
mod summary;

use std::num::NonZeroUsize;
use std::str::FromStr;

use anyhow::{Error, Result, bail};
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
    measure: Measure,
    /// How often the systems take turns, if time is measured.
    rounds: NonZeroUsize,
}

const ROUNDS: NonZeroUsize = NonZeroUsize::new(5).unwrap();

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Instructions,
    /// What flushes the TLB.
    Flushes,
    /// Ratios of time by the clock.
    Time,
}

impl Options {
    pub fn parse(arguments: &mut Parser) -> Result<Self> {
        let mut options = Self {
            systems: System::ALL.to_vec(),
            mode: Mode::TwoLevel,
            measure: Measure::Instructions,
            rounds: ROUNDS,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("on") => options.systems = System::named(&arguments.value()?.string()?)?,
                Long("mode") => options.mode = arguments.value()?.string()?.parse()?,
                Long("measure") => options.measure = arguments.value()?.string()?.parse()?,
                Long("rounds") => options.rounds = arguments.value()?.parse()?,
                _ => return Err(argument.unexpected().into()),
            }
        }
        Ok(options)
    }
}

impl FromStr for Measure {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "instructions" => Ok(Self::Instructions),
            "flushes" => Ok(Self::Flushes),
            "time" => Ok(Self::Time),
            _ => bail!("what is measured is instructions, flushes, or time"),
        }
    }
}

/// Measures, and prints a table.
pub fn hbench(options: &Options) -> Result<()> {
    measure(&Program::operations(options.mode)?, options)
}

/// Measures what it costs to serve files, and prints a table.
pub fn serve(options: &Options) -> Result<()> {
    measure(&Program::serving(options.mode)?, options)
}

fn measure(program: &Program, options: &Options) -> Result<()> {
    match options.measure {
        Measure::Instructions => instructions::measure(program, &options.systems),
        Measure::Flushes => flushes::measure(program, &options.systems),
        Measure::Time => clock::measure(program, &options.systems, options.rounds.get()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(&mut Parser::from_args(arguments))
    }

    #[test]
    fn the_default_is_the_instructions_of_all_systems_with_two_levels() {
        let options = parse(&[]).unwrap();
        assert_eq!((options.systems, options.mode), (System::ALL.to_vec(), Mode::TwoLevel));
        assert_eq!(options.measure, Measure::Instructions);
    }

    #[test]
    fn every_option_is_taken() {
        let options = parse(&["--on", "linux", "--mode=pae", "--measure=time", "--rounds=3"]).unwrap();
        assert_eq!((options.systems, options.mode), (vec![System::Linux], Mode::Pae));
        assert_eq!((options.measure, options.rounds.get()), (Measure::Time, 3));
        assert_eq!(parse(&["--measure=flushes"]).unwrap().measure, Measure::Flushes);
        for bad in
            [&["--on=minix"][..], &["--mode=long"], &["--measure=sympathy"], &["--rounds=0"], &["linux"]]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
