//! The project's commands: `cargo xtask help` lists them.

#![forbid(unsafe_code)]

mod bench;
mod callgrind;
mod model;
mod mutants;
mod mutations;
mod process;
mod setup;
mod snapshot;
mod test;
mod toolchain;

use std::env;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lexopt::Arg::{Long, Value};
use lexopt::ValueExt;

const HELP: &str = "\
cargo xtask COMMAND

  test [--quick]     what every change has to pass; --quick: format, clippy, tests
  model [--steps N]  the long random walk of the model, 10,000,000 steps
  mutants [--file GLOB] [--jobs N] [--fresh] [--listed]
                     breaks the source one operator at a time: some test must fail;
                     goes on where it was stopped, --fresh starts anew;
                     --listed: all tests, also on what is listed as equivalent
  mutations [NAME]   applies the wrong orders in tests/mutants/*.patch: some test must fail
  bench [NAME]       counts the instructions that the benchmarks execute
  run                boots an example kernel

What a command needs and the machine lacks, it installs (as root, with apt-get) or names.
";

fn main() -> ExitCode {
    command().unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn command() -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent directory")?;
    env::set_current_dir(root)?;

    let mut arguments = lexopt::Parser::from_env();
    let command = match arguments.next()? {
        Some(Value(command)) => command.string()?,
        Some(Long("help")) | None => "help".to_owned(),
        Some(other) => return Err(other.unexpected().into()),
    };
    match command.as_str() {
        "test" => {
            let mut quick = false;
            while let Some(argument) = arguments.next()? {
                match argument {
                    Long("quick") => quick = true,
                    _ => return Err(argument.unexpected().into()),
                }
            }
            test::test(quick)?;
        }
        "model" => {
            let mut steps = 10_000_000;
            while let Some(argument) = arguments.next()? {
                match argument {
                    Long("steps") => steps = arguments.value()?.parse()?,
                    _ => return Err(argument.unexpected().into()),
                }
            }
            model::model(steps)?;
        }
        "mutants" => {
            let mut options = mutants::Options::default();
            while let Some(argument) = arguments.next()? {
                match argument {
                    Long("file") => options.files.push(arguments.value()?.string()?),
                    Long("jobs") => options.jobs = Some(arguments.value()?.parse()?),
                    Long("fresh") => options.fresh = true,
                    Long("listed") => options.listed = true,
                    _ => return Err(argument.unexpected().into()),
                }
            }
            mutants::mutants(&options)?;
        }
        "mutations" => mutations::mutations(name(&mut arguments)?.as_deref())?,
        "bench" => bench::bench(name(&mut arguments)?.as_deref())?,
        "run" => {
            eprintln!("xtask: there is no kernel to boot yet");
            return Ok(ExitCode::from(2));
        }
        "help" => print!("{HELP}"),
        other => bail!("no command `{other}`: see `cargo xtask help`"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The one optional argument of a command.
fn name(arguments: &mut lexopt::Parser) -> Result<Option<String>> {
    let name = match arguments.next()? {
        Some(Value(name)) => Some(name.string()?),
        Some(other) => return Err(other.unexpected().into()),
        None => None,
    };
    match arguments.next()? {
        Some(other) => Err(other.unexpected().into()),
        None => Ok(name),
    }
}
