//! `run`: boots an example kernel, its serial port on this terminal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lexopt::Arg::{Long, Value};
use lexopt::{Parser, ValueExt};

use crate::drivers;
use crate::ending::Ending;
use crate::kernel::{Checks, Kernel, Mode, Profile, names};
use crate::qemu::Boot;
use crate::setup;
use crate::toolchain::SourceToolchain;
use crate::userland;

const EXAMPLES: &str = "examples";

/// What to build, and the machine to boot it on.
pub struct Options {
    example: Option<String>,
    profile: Profile,
    mode: Mode,
    checks: Checks,
    /// What the shell is to run, for a kernel that runs programs.
    exec: Option<String>,
    /// Files for its root directory.
    added: Vec<PathBuf>,
    /// All but the kernel.
    boot: Boot,
}

impl Options {
    /// Reads the options. The files they name are relative to `directory`.
    pub fn parse(arguments: &mut Parser, directory: &Path) -> Result<Self> {
        let mut options = Self {
            example: None,
            profile: Profile::Release,
            mode: Mode::TwoLevel,
            checks: Checks::Checked,
            exec: None,
            added: Vec::new(),
            boot: Boot::default(),
        };
        let boot = &mut options.boot;
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("example") => options.example = Some(arguments.value()?.string()?),
                Long("release") => options.profile = Profile::Release,
                Long("debug") => options.profile = Profile::Dev,
                Long("mode") => options.mode = arguments.value()?.string()?.parse()?,
                Long("unchecked") => options.checks = Checks::Unchecked,
                Long("memory") => boot.memory = Some(arguments.value()?.parse()?),
                Long("cpu") => boot.cpu = Some(arguments.value()?.string()?),
                Long("exec") => options.exec = Some(arguments.value()?.string()?),
                Long("add") => options.added.push(added(&arguments.value()?.string()?, directory)?),
                Long("append") => boot.append = arguments.value()?.string()?,
                Long("module") => boot.modules.push(module(&arguments.value()?.string()?, directory)?),
                Long("forward") => boot.forward = Some(arguments.value()?.parse()?),
                Long("timeout") => boot.limit = Some(seconds(arguments.value()?.parse()?)?),
                Long("icount") => boot.icount = true,
                Long("kvm") => boot.kvm = true,
                // What follows a bare `--`.
                Value(first) => {
                    boot.extra.push(first.string()?);
                    for further in arguments.raw_args()? {
                        boot.extra.push(further.string()?);
                    }
                }
                _ => return Err(argument.unexpected().into()),
            }
        }
        if boot.cpu.is_none() && !boot.kvm {
            boot.cpu = options.mode.cpu();
        }
        ensure!(!(boot.kvm && boot.icount), "--icount counts emulated instructions, --kvm emulates none");
        Ok(options)
    }
}

/// A file for the root directory, seen from the root of the project.
fn added(file: &str, directory: &Path) -> Result<PathBuf> {
    let file = directory.join(file);
    ensure!(file.is_file(), "no file {}", file.display());
    Ok(file)
}

/// A module as QEMU wants it, its file seen from the root of the project.
fn module(module: &str, directory: &Path) -> Result<String> {
    let (file, arguments) = module.split_once(' ').unwrap_or((module, ""));
    let file = directory.join(file);
    ensure!(file.is_file(), "no module {}", file.display());
    let file = file.to_str().context("the module's path is not UTF-8")?;
    ensure!(!file.contains(' '), "QEMU takes what follows a space for arguments: {file}");
    Ok([file, arguments].join(" ").trim_end().to_owned())
}

pub fn seconds(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).context("--timeout takes seconds")
}

/// Builds and boots the kernel, and returns the guest's status.
pub fn run(options: &Options) -> Result<ExitCode> {
    let example = example(options.example.as_deref(), &names(Path::new(EXAMPLES))?)?;
    let toolchain = SourceToolchain::find()?;
    let mut boot = options.boot.clone();
    if example == Path::new(PROGRAMS) {
        let commands = options.exec.as_deref();
        with_programs(&mut boot, &toolchain, options.added.clone(), commands)?;
    } else {
        let none = options.exec.is_none() && options.added.is_empty();
        ensure!(none, "{} runs no programs: --exec and --add are for {PROGRAMS}", example.display());
    }
    let kernel = Kernel {
        directory: Path::new(EXAMPLES).join(example),
        profile: options.profile,
        mode: options.mode,
        checks: options.checks,
    };
    boot.kernel = kernel.build(&toolchain)?;
    if kernel.directory.ends_with("drivers") {
        drivers::show(&mut boot)?;
    }
    interactively(&boot)
}

/// Boots on this terminal, and returns the guest's status.
pub fn interactively(boot: &Boot) -> Result<ExitCode> {
    let outcome = boot.interactive(&setup::qemu()?)?;
    eprint!("{}", outcome.warnings());
    match outcome.ending {
        Ending::Status(status) => Ok(ExitCode::from(status)),
        ending => bail!("{ending}"),
    }
}

/// The example that runs programs.
pub const PROGRAMS: &str = "kernel";
/// Where what the shell is to run is put, to be added under its own name.
const COMMANDS: &str = "target/userland/commands";

/// Lets `boot` have the root directory with the programs and `added`, where the shell runs `commands`, or asks for them.
pub fn with_programs(
    boot: &mut Boot,
    toolchain: &SourceToolchain,
    mut added: Vec<PathBuf>,
    commands: Option<&str>,
) -> Result<()> {
    if let Some(commands) = commands {
        let file = PathBuf::from(COMMANDS);
        fs::create_dir_all(file.parent().context("a file is in a directory")?)?;
        fs::write(&file, format!("{commands}\n"))?;
        added.push(file);
        boot.append = format!("{} -- /bin/sh /commands", boot.append).trim_start().to_owned();
    }
    let root = userland::root(toolchain, &added)?;
    boot.modules.insert(0, root.display().to_string());
    Ok(())
}

/// What is booted when nothing is asked for: the first of these that there is.
const DEFAULTS: [&str; 2] = ["kernel", "minimal"];

/// The example that is asked for, or the default.
fn example(name: Option<&str>, examples: &[String]) -> Result<PathBuf> {
    let all = || examples.join(", ");
    match (name, examples) {
        (_, []) => bail!("there is no kernel to boot yet"),
        (Some(name), _) if examples.iter().any(|example| example == name) => Ok(name.into()),
        (Some(name), _) => bail!("no example `{name}`, but {}", all()),
        (None, [only]) => Ok(only.into()),
        (None, _) => match DEFAULTS.iter().find(|name| examples.iter().any(|example| example == *name)) {
            Some(name) => {
                eprintln!("xtask: booting {name}; --example takes one of {}", all());
                Ok(name.into())
            }
            None => bail!("which example? --example takes one of {}", all()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(&mut Parser::from_args(arguments), Path::new(""))
    }

    #[test]
    fn a_plain_run_is_a_release_build_with_two_levels_and_checks() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.example, None);
        assert_eq!((options.profile, options.mode), (Profile::Release, Mode::TwoLevel));
        assert_eq!(options.checks, Checks::Checked);
        assert!(!options.boot.kvm && !options.boot.icount && options.boot.limit.is_none());
    }

    #[test]
    fn options_say_what_to_build_and_where_to_boot_it() {
        let options = parse(&[
            "--example=shell",
            "--debug",
            "--mode=pae",
            "--unchecked",
            "--memory=64",
            "--cpu=486",
            "--append=a b",
            "--timeout=1.5",
            "--forward=8080",
            "--module",
            "Cargo.toml x  y",
            "--module=src/run.rs",
            "--icount",
            "--exec=ls -l /; false",
            "--add=Cargo.toml",
            "--",
            "-device",
            "--mode",
        ])
        .unwrap();
        assert_eq!(options.example.as_deref(), Some("shell"));
        assert_eq!((options.profile, options.mode), (Profile::Dev, Mode::Pae));
        assert_eq!(options.checks, Checks::Unchecked);
        assert_eq!(options.exec.as_deref(), Some("ls -l /; false"));
        assert_eq!(options.added, [PathBuf::from("Cargo.toml")]);
        let boot = options.boot;
        assert_eq!((boot.memory, boot.cpu.as_deref()), (Some(64), Some("486")));
        assert_eq!((boot.append.as_str(), boot.limit), ("a b", Some(Duration::from_millis(1500))));
        assert_eq!(boot.modules, ["Cargo.toml x  y", "src/run.rs"]);
        assert!(boot.icount && !boot.kvm);
        assert_eq!(boot.forward, Some(8080));
        assert_eq!(boot.extra, ["-device", "--mode"]);
    }

    #[test]
    fn pae_has_a_cpu_with_no_execute_bits() {
        let cpu = |arguments: &[&str]| parse(arguments).unwrap().boot.cpu;
        assert_eq!(cpu(&["--mode=pae"]).as_deref(), Some("qemu32,+nx"));
        assert_eq!(cpu(&["--mode=pae", "--cpu=pentium3"]).as_deref(), Some("pentium3"));
        assert_eq!(cpu(&["--mode=pae", "--kvm"]), None);
        assert_eq!(cpu(&["--mode=two-level"]), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            &["--memory=much"][..],
            &["--mode=long"],
            &["--timeout=-1"],
            &["--module=no-such-file"],
            &["--add=no-such-file"],
            &["--icount", "--kvm"],
            &["--forward=http"],
            &["--speed"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_module_is_found_from_where_the_caller_is() {
        let seen = module("run.rs a", Path::new("src")).unwrap();
        assert_eq!(seen, "src/run.rs a");
        assert!(module("run.rs", Path::new("")).is_err());
    }

    #[test]
    fn the_only_example_needs_no_name() {
        let [one, two] = ["one", "two"].map(str::to_owned);
        let name = |name, examples: &[String]| example(name, examples).map_err(|error| error.to_string());
        assert_eq!(name(None, std::slice::from_ref(&one)), Ok("one".into()));
        assert_eq!(name(Some("two"), &[one.clone(), two.clone()]), Ok("two".into()));
        assert!(name(None, &[one.clone(), two.clone()]).unwrap_err().contains("one, two"));
        assert_eq!(name(None, &[one.clone(), "minimal".to_owned(), two]), Ok("minimal".into()));
        assert!(name(Some("on"), &[one]).is_err());
        assert_eq!(name(None, &[]), Err("there is no kernel to boot yet".to_owned()));
    }
}
