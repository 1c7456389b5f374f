//! The program `hbench` of `examples/userland`, run on a system, and what it prints.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};

use crate::ending::Ending;
use crate::kernel::Mode;
use crate::qemu::Boot;
use crate::system::System;
use crate::table::Row;
use crate::toolchain::SourceToolchain;
use crate::{setup, userland};

const PROGRAM: &str = "/userland/hbench";
/// What lets a web server and the program, its client, run on one machine.
const SERVE: &str = include_str!("serve.sh");
const SCRIPT: &str = "serve.sh";
const SCRIPTS: &str = "target/hbench";
/// RAM of the machine in MiB.
const MEMORY: u32 = 256;
/// How long one system may take.
const LIMIT: Duration = Duration::from_secs(900);

/// The program in its root directory, and what it takes to boot a system with that.
pub struct Program {
    toolchain: SourceToolchain,
    qemu: PathBuf,
    root: PathBuf,
    mode: Mode,
    /// What is to be run.
    command: String,
}

/// What one run of the program came to.
pub struct Run {
    /// All that the system printed.
    pub output: String,
    /// All that QEMU logged.
    pub log: String,
    /// In the order of the program.
    pub rows: Vec<Measured>,
    /// The names of the rows that failed.
    pub failed: Vec<String>,
}

/// A row as the program measured it.
#[derive(Debug, PartialEq)]
pub struct Measured {
    /// How many operations one repetition consists of.
    pub operations: u32,
    /// How often it was measured, after once that does not count.
    pub repetitions: usize,
    /// What each cost in the repetition that took the least.
    pub least: f64,
    /// What each cost.
    pub ticks: Row,
}

impl Program {
    /// The program that measures the operations of a kernel. Systems will be booted in `mode`.
    pub fn operations(mode: Mode) -> Result<Self> {
        Self::prepare(mode, &[], PROGRAM.to_owned())
    }

    /// The same beside a web server, which it asks for files.
    pub fn serving(mode: Mode) -> Result<Self> {
        fs::create_dir_all(SCRIPTS)?;
        let script = Path::new(SCRIPTS).join(SCRIPT);
        fs::write(&script, SERVE)?;
        Self::prepare(mode, &[script], format!("/bin/sh /{SCRIPT}"))
    }

    fn prepare(mode: Mode, added: &[PathBuf], command: String) -> Result<Self> {
        let toolchain = SourceToolchain::find()?;
        let qemu = setup::qemu()?;
        let root = userland::root(&toolchain, added)?;
        Ok(Self { toolchain, qemu, root, mode, command })
    }

    /// A boot of `system` that runs the program.
    pub fn boot(&self, system: System) -> Result<Boot> {
        let boot = system.boot(self.mode, &self.toolchain, &self.root, &self.command)?;
        Ok(Boot { memory: Some(MEMORY), limit: Some(LIMIT), ..boot })
    }

    /// Boots it, to the program's end.
    pub fn run(&self, system: System, boot: &Boot) -> Result<Run> {
        let outcome = boot.captured(&self.qemu)?;
        eprint!("{}", outcome.warnings());
        let what = || format!("hbench on {system}: {}", outcome.ending);
        let (rows, failed) =
            rows(&outcome.output).with_context(|| format!("{}\n{}", what(), outcome.output))?;
        ensure!(outcome.ending == Ending::Status((!failed.is_empty()).into()), what());
        Ok(Run { output: outcome.output, log: outcome.log, rows, failed })
    }
}

/// The rows in what the program printed, in its order, and the names of those that failed, if it came to its end.
fn rows(output: &str) -> Result<(Vec<Measured>, Vec<String>)> {
    let lines = output.lines().filter_map(|line| line.strip_prefix("hbench "));
    let (last, rows): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("rows="));
    let [last] = last[..] else { bail!("hbench did not come to its end") };
    let count = rows.len();
    let (failed, measured): (Vec<&str>, Vec<&str>) =
        rows.into_iter().partition(|line: &&str| line.contains(" error="));
    ensure!(last == format!("rows={} failed={}", count, failed.len()), "hbench says {last}");
    let measured = measured.iter().map(|line| line.parse()).collect::<Result<_>>()?;
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    Ok((measured, failed.into_iter().map(name).collect()))
}

impl FromStr for Measured {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let fields: BTreeMap<_, _> = line.split(' ').filter_map(|field| field.split_once('=')).collect();
        let field = |name| fields.get(name).with_context(|| format!("no {name} in `{line}`"));
        let ticks = Row {
            name: (*field("row")?).to_owned(),
            bytes: field("bytes")?.parse()?,
            median: field("median")?.parse()?,
            spread: field("spread")?.parse()?,
        };
        let (operations, repetitions) = (field("operations")?.parse()?, field("repetitions")?.parse()?);
        Ok(Self { operations, repetitions, least: field("min")?.parse()?, ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "boot\n\
        hbench row=getpid operations=9 repetitions=3 bytes=0 min=1.00 median=336.50 max=9.00 spread=0.00\r\n\
        hbench row=read-4k operations=7 repetitions=3 bytes=4096 min=1.25 median=2048.00 max=9.00 spread=1.50\r\n\
        hbench rows=2 failed=0\r\n\nstatus 0\r\n";

    #[test]
    fn rows_count_only_if_all_are_there() {
        let (rows, failed) = rows(OUTPUT).unwrap();
        assert!(failed.is_empty());
        assert_eq!(rows[0].ticks, Row { name: "getpid".to_owned(), bytes: 0, median: 336.5, spread: 0.0 });
        assert_eq!((rows[0].operations, rows[0].repetitions), (9, 3));
        assert_eq!(rows[1].least, 1.25);
        assert_eq!((rows[1].operations, rows[1].ticks.bytes, rows[1].ticks.median), (7, 4096, 2048.0));
        let refused = |output: &str| super::rows(output).is_err();
        assert!(refused(&OUTPUT.replace("hbench rows=2 failed=0", "")), "no end");
        assert!(refused(&OUTPUT.replace("rows=2", "rows=3")), "a row is lost");
        assert!(refused(&OUTPUT.replace("failed=0", "failed=1")), "one failed");
        assert!(refused(&OUTPUT.replace("median=336.50", "median=x")), "no number");
        let row = OUTPUT.lines().nth(1).unwrap();
        let failing = OUTPUT.replace(row, "hbench row=getpid error=5").replace("failed=0", "failed=1");
        let (rows, failed) = super::rows(&failing).unwrap();
        assert_eq!((rows.len(), failed), (1, vec!["row=getpid".to_owned()]));
    }
}
