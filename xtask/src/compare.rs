//! `compare`: scripts in `tests/sessions` that use a system as people do, run by the same busybox on the host's Linux
//! and on the systems in QEMU. They have to print the same, line by line. And so does the small shell of
//! `examples/userland` with a script of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::ending::Ending;
use crate::kernel::Mode;
use crate::process::{read, run};
use crate::qemu::Boot;
use crate::setup;
use crate::system::System;
use crate::toolchain::SourceToolchain;
use crate::userland::{self, Busybox};

const SCRIPTS: &str = "tests/sessions";
const DIRECTORY: &str = "target/sessions";
/// What runs the sessions, and the script for the small shell.
const RUN: &str = "run.sh";
const SMALL: &str = "small.sh";
/// What runs the scripts in `/`, each in a directory below `/tmp`.
const COMMAND: &str = "/bin/sh /run.sh / /tmp";
/// RAM of the machine in MiB.
const MEMORY: u32 = 128;
/// How long one system may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs the scripts on the host and on `systems`.
pub fn compare(systems: &[System]) -> Result<()> {
    let toolchain = SourceToolchain::find()?;
    let qemu = setup::qemu()?;
    let host = Host::prepare()?;
    let expected = host.sessions()?;
    userland::programs(&toolchain)?;
    host.small_shell()?;
    let root = userland::root(&toolchain, &scripts()?)?;
    for system in systems {
        let boot = Boot {
            memory: Some(MEMORY),
            limit: Some(LIMIT),
            ..system.boot(Mode::TwoLevel, &toolchain, &root, COMMAND)?
        };
        println!("xtask: the sessions on {system}");
        let outcome = boot.captured(&qemu)?;
        eprint!("{}", outcome.warnings());
        same(&system.to_string(), &outcome.output, &expected)?;
        ensure!(outcome.ending == Ending::Status(0), "the sessions on {system}: {}", outcome.ending);
        println!("xtask: {system} has printed the {} lines of the host", expected.lines().count());
    }
    Ok(())
}

/// The scripts, and what runs them: to be added to a root directory, where [`COMMAND`] finds them.
fn scripts() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(SCRIPTS)?.collect::<Result<Vec<_>, _>>()?;
    Ok(entries.iter().map(fs::DirEntry::path).collect())
}

/// The host's Linux, with the busybox that is in the root directory.
struct Host {
    busybox: PathBuf,
    /// Where its applets are, and where scripts may write.
    bin: PathBuf,
    work: PathBuf,
    scripts: PathBuf,
}

impl Host {
    fn prepare() -> Result<Self> {
        let busybox = Busybox::fetch().context("the sessions are those of busybox")?;
        let directory = std::env::current_dir()?.join(DIRECTORY);
        let [bin, work] = ["bin", "work"].map(|name| directory.join(name));
        for old in [&bin, &work] {
            if old.exists() {
                fs::remove_dir_all(old)?;
            }
            fs::create_dir_all(old)?;
        }
        let program = fs::canonicalize(&busybox.program)?;
        for applet in &busybox.applets {
            symlink(&program, bin.join(applet))?;
        }
        Ok(Self { busybox: program, bin, work, scripts: fs::canonicalize(SCRIPTS)? })
    }

    /// `program`, with nothing in its environment but the way to the applets.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", &self.bin).env("HOME", "/");
        command
    }

    /// What the scripts print.
    fn sessions(&self) -> Result<String> {
        println!("xtask: the sessions on the host");
        let mut shell = self.command(&self.busybox);
        shell.arg("sh").arg(self.scripts.join(RUN)).arg(&self.scripts).arg(&self.work);
        let printed = between(&read(&mut shell)?)?;
        fs::write(Path::new(DIRECTORY).join("host"), &printed)?;
        Ok(printed)
    }

    /// Compares the small shell with that of busybox.
    fn small_shell(&self) -> Result<()> {
        let run = |name: &str, mut shell: Command| -> Result<String> {
            let directory = self.work.join(name);
            fs::create_dir_all(&directory)?;
            let output = shell.arg(self.scripts.join(SMALL)).current_dir(directory).output()?;
            Ok(format!("{}{}\n", String::from_utf8_lossy(&output.stdout), output.status))
        };
        let mut busybox = self.command(&self.busybox);
        busybox.arg("sh");
        let expected = run("busybox", busybox)?;
        let printed = run("small", self.command(&fs::canonicalize(userland::SHELL)?))?;
        ensure!(printed == expected, "the small shell prints\n{printed}\nand busybox\n{expected}");
        println!("xtask: the small shell has printed the {} lines of busybox", expected.lines().count());
        Ok(())
    }
}

/// Compares what a system printed with what the host did, and shows where they differ.
fn same(system: &str, output: &str, expected: &str) -> Result<()> {
    let printed = between(output).with_context(|| format!("{system} has printed no session:\n{output}"))?;
    if printed == expected {
        return Ok(());
    }
    let file = Path::new(DIRECTORY).join(system);
    fs::write(&file, printed)?;
    let mut diff = Command::new("diff");
    run(diff.arg("-u").arg(Path::new(DIRECTORY).join("host")).arg(file))
        .with_context(|| format!("{system} and the host have not printed the same"))
}

/// From the line that names the first session to that which ends the last, without carriage returns.
fn between(output: &str) -> Result<String> {
    let lines: Vec<_> = output.lines().map(|line| line.trim_end_matches('\r')).collect();
    let is_mark = |line: &&str| line.starts_with("==> ");
    let first = lines.iter().position(is_mark).context("no session begins")?;
    let last = lines.iter().rposition(is_mark).context("no session ends")?;
    let begun = lines.iter().filter(|line| is_mark(line) && line.ends_with(" begins")).count();
    let ended = lines.iter().filter(|line| is_mark(line) && line.contains(" ends with ")).count();
    ensure!(begun == ended && begun > 0, "{begun} sessions begin, {ended} end");
    Ok(lines[first..=last].join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_what_is_between_its_marks() {
        let output =
            "boot\r\n==> a begins\r\none\r\n==> a ends with 0\r\n==> b begins\n==> b ends with 1\nstatus 0\n";
        let expected = "==> a begins\none\n==> a ends with 0\n==> b begins\n==> b ends with 1\n";
        assert_eq!(between(output).unwrap(), expected);
        assert!(between("boot\n").is_err());
        assert!(between("==> a begins\n").is_err(), "it does not end");
    }
}
