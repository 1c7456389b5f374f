//! The project's commands: `cargo xtask help` lists them.

#![forbid(unsafe_code)]

mod applications;
mod archive;
mod bench;
mod compare;
mod debian;
mod disassembly;
mod drivers;
mod ending;
mod hbench;
mod http;
mod kernel;
mod kernels;
mod linux;
mod markdown;
mod model;
mod mutants;
mod mutations;
mod process;
mod qemu;
mod run;
mod safe;
mod sessions;
mod setup;
mod snapshot;
mod system;
mod table;
mod test;
mod toolchain;
mod unpack;
mod userland;
mod watch;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lexopt::Arg::{Long, Value};
use lexopt::ValueExt;

use crate::kernel::Mode;
use crate::qemu::Boot;
use crate::system::System;
use crate::toolchain::SourceToolchain;

const HELP: &str = "\
cargo xtask COMMAND

  test [--quick]     what every change has to pass; --quick: format, clippy, tests
  model [--steps N]  the long random walks of the models, 10,000,000 steps each
  mutants [--file GLOB] [--jobs N] [--fresh] [--listed]
                     breaks the source one operator at a time: some test must fail;
                     goes on where it was stopped, --fresh starts anew;
                     --listed: all tests, also on what is listed as equivalent
  mutations [NAME]   applies the wrong orders in tests/mutants/*.patch: some test must fail
  safe               expands the kernels' sources: no `unsafe` but the entry's and what is derived; counts
                     their lines
  bench              counts the instructions of the checks, against their budgets
  kernels [NAME]     boots the test kernels in QEMU: all, or the runs with NAME in their name;
                     soak-long, a million swaps, has to be named
  userland [--add FILE]...
                     builds the programs of examples/userland and packs them with Debian's busybox
                     into target/userland/root*.cpio, the root directory of a kernel that runs them
  applications [--on SYSTEM]
                     builds bzip2 and LAME for i386, runs them on the systems, as hbench, and compares
                     what they write byte by byte, and what they cost
  compare [--on SYSTEM]
                     runs the scripts of tests/sessions by busybox on the host and on the systems, as
                     hbench, and compares what they print
  linux [--mode MODE] [--add FILE]... [--memory MIB] [--icount] [--timeout SECONDS] [-- COMMAND...]
                     boots Debian's Linux for i386, which it fetches, with the same root directory
  hbench [--on SYSTEM] [--mode MODE] [--measure WHAT] [--rounds N]
                     what a kernel's operations cost on linux (Debian's for i386, which it fetches),
                     unchecked, kernel, or all, the default: instructions, the default; flushes, which are
                     loads of CR3 and INVLPGs; or time, as ratios of N rounds (5) in which they take turns
  serve [OPTION]...  what it costs to serve files over the loopback: httpd and a client, with the options of hbench
  sessions [NAME]    lets the shell work on the example kernel in QEMU: all sessions, or those with NAME
                     in their name; `hour`, an hour of random system calls, has to be named
  run [OPTION]... [-- QEMU-ARGUMENT]...
                     boots an example kernel in QEMU and ends with its status; Ctrl-A X leaves
    --example NAME     which of examples/*, if there are several
    --debug            the dev profile; --release is the default
    --mode MODE        paging: two-level, the default, or pae (the kernel's feature `pae`)
    --unchecked        without the library's checks, to see what they cost
    --memory MIB, --cpu NAME
                       the machine, if not QEMU's default of 128 and qemu32; for pae with NX
    --exec COMMANDS    what the shell of the example `kernel` runs, instead of asking for it
    --add FILE         puts a file into the root directory of that, as a program; may be repeated
    --forward PORT     a network card, and a port of this machine that leads to port 80 of the guest
    --append TEXT      the kernel's command line
    --module FILE      a boot module, with arguments if they follow a space; may be repeated
    --timeout SECONDS  ends the guest, as a failure
    --icount           time is counted in instructions, the same on every run
    --kvm              on the host's CPU instead of an emulated one

What a command needs and the machine lacks, it installs (as root, with apt-get) or names. A QEMU that
cannot be installed beside what is there, it unpacks into target/tools.
";

fn main() -> ExitCode {
    command().unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn command() -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent directory")?;
    // Where the caller is, seen from the root, where this program works.
    let below_root = match env::current_dir()? {
        directory if directory.starts_with(root) => directory.strip_prefix(root)?.to_owned(),
        directory => directory,
    };
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
        "bench" => bench::bench()?,
        "safe" => safe::safe()?,
        "kernels" => kernels::kernels(name(&mut arguments)?.as_deref())?,
        "sessions" => sessions::sessions(name(&mut arguments)?.as_deref())?,
        "run" => return run::run(&run::Options::parse(&mut arguments, &below_root)?),
        "hbench" => hbench::hbench(&hbench::Options::parse(&mut arguments)?)?,
        "serve" => hbench::serve(&hbench::Options::parse(&mut arguments)?)?,
        "applications" => applications::applications(&systems(&mut arguments)?)?,
        "linux" => return linux(&mut arguments, &below_root),
        "compare" => compare::compare(&systems(&mut arguments)?)?,
        "userland" => {
            let added = added(&mut arguments, &below_root)?;
            println!("{}", userland::root(&SourceToolchain::find()?, &added)?.display());
        }
        "help" => print!("{HELP}"),
        other => bail!("no command `{other}`: see `cargo xtask help`"),
    }
    Ok(ExitCode::SUCCESS)
}

/// What follows `--on`, all of it if nothing does.
fn systems(arguments: &mut lexopt::Parser) -> Result<Vec<System>> {
    let mut systems = System::ALL.to_vec();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("on") => systems = System::named(&arguments.value()?.string()?)?,
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(systems)
}

/// Boots Linux on this terminal: options, and after `--` the command that its first process runs.
fn linux(arguments: &mut lexopt::Parser, directory: &Path) -> Result<ExitCode> {
    let (mut added, mut command) = (Vec::new(), Vec::new());
    let (mut mode, mut memory, mut icount, mut limit) = (Mode::TwoLevel, None, false, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("add") => added.push(directory.join(arguments.value()?)),
            Long("mode") => mode = arguments.value()?.string()?.parse()?,
            Long("memory") => memory = Some(arguments.value()?.parse()?),
            Long("icount") => icount = true,
            Long("timeout") => limit = Some(run::seconds(arguments.value()?.parse()?)?),
            Value(word) => command.push(word.string()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    let root = userland::root(&SourceToolchain::find()?, &added)?;
    let boot = Boot { memory, icount, limit, ..linux::boot(mode, &root, &command.join(" "))? };
    run::interactively(&boot)
}

/// Files after `--add`, relative to `directory`.
fn added(arguments: &mut lexopt::Parser, directory: &Path) -> Result<Vec<PathBuf>> {
    let mut added = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("add") => added.push(directory.join(arguments.value()?)),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(added)
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
