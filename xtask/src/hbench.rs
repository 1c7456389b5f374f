//! `hbench`: what the operations of a kernel cost, on Linux and on the example kernel with and without the checks of
//! the library. The same programs on the same machine, time counted in instructions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};

use crate::ending::Ending;
use crate::qemu::Boot;
use crate::system::System;
use crate::table::{Row, Table};
use crate::toolchain::SourceToolchain;
use crate::{setup, userland};

const PROGRAM: &str = "/userland/hbench";
/// RAM of the machine in MiB.
const MEMORY: u32 = 256;
/// How long one system may take.
const LIMIT: Duration = Duration::from_secs(900);

/// Measures the operations on `systems`.
pub fn hbench(systems: &[System]) -> Result<()> {
    measure(systems, &[], PROGRAM)
}

/// What a web server and its client do, on one machine.
const SERVE: &str = include_str!("hbench/serve.sh");
const SCRIPT: &str = "serve.sh";
const SCRIPTS: &str = "target/hbench";

/// Measures what it costs to serve files, on `systems`.
pub fn serve(systems: &[System]) -> Result<()> {
    fs::create_dir_all(SCRIPTS)?;
    let script = Path::new(SCRIPTS).join(SCRIPT);
    fs::write(&script, SERVE)?;
    measure(systems, &[script], &format!("/bin/sh /{SCRIPT}"))
}

/// Lets `command` measure on `systems`, with these files in their root directory, and prints what each row costs, and the
/// table of them all.
fn measure(systems: &[System], added: &[PathBuf], command: &str) -> Result<()> {
    let toolchain = SourceToolchain::find()?;
    let qemu = setup::qemu()?;
    let root = userland::root(&toolchain, added)?;
    let mut table = Table::default();
    let mut failed = Vec::new();
    for system in systems {
        let boot = Boot {
            memory: Some(MEMORY),
            icount: true,
            limit: Some(LIMIT),
            ..system.boot(&toolchain, &root, command)?
        };
        println!("xtask: hbench on {system}");
        let outcome = boot.captured(&qemu)?;
        print!("{}", outcome.output);
        eprint!("{}", outcome.warnings());
        let (rows, failures) = rows(&outcome.output).with_context(|| format!("hbench on {system}"))?;
        table.add(*system, rows);
        failed.extend(failures.iter().map(|row| format!("{row} on {system}")));
        let expected = Ending::Status((!failures.is_empty()).into());
        ensure!(outcome.ending == expected, "hbench on {system}: {}", outcome.ending);
    }
    println!("\n{table}");
    ensure!(failed.is_empty(), "these rows failed: {}", failed.join(", "));
    Ok(())
}

/// The rows in what the program printed, in its order, and the names of those that failed, if it came to its end.
fn rows(output: &str) -> Result<(Vec<Row>, Vec<String>)> {
    let lines = output.lines().filter_map(|line| line.strip_prefix("hbench "));
    let (last, rows): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("rows="));
    let [last] = last[..] else { bail!("hbench did not come to its end") };
    let count = rows.len();
    let (failed, measured): (Vec<&str>, Vec<&str>) =
        rows.into_iter().partition(|line: &&str| line.contains(" error="));
    ensure!(last == format!("rows={} failed={}", count, failed.len()), "hbench says {last}");
    let measured = measured.iter().map(|line| line.parse()).collect::<Result<Vec<Row>>>()?;
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    Ok((measured, failed.into_iter().map(name).collect()))
}

impl FromStr for Row {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let fields: BTreeMap<_, _> = line.split(' ').filter_map(|field| field.split_once('=')).collect();
        let field = |name| fields.get(name).with_context(|| format!("no {name} in `{line}`"));
        Ok(Self {
            name: (*field("row")?).to_owned(),
            bytes: field("bytes")?.parse()?,
            median: field("median")?.parse()?,
            spread: field("spread")?.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "boot\n\
        hbench row=getpid operations=9 repetitions=3 bytes=0 min=1.00 median=336.50 max=9.00 spread=0.00\r\n\
        hbench row=read-4k operations=9 repetitions=3 bytes=4096 min=1.00 median=2048.00 max=9.00 spread=1.50\r\n\
        hbench rows=2 failed=0\r\n\nstatus 0\r\n";

    #[test]
    fn rows_count_only_if_all_are_there() {
        let (rows, failed) = rows(OUTPUT).unwrap();
        assert!(failed.is_empty());
        assert_eq!(rows[0], Row { name: "getpid".to_owned(), bytes: 0, median: 336.5, spread: 0.0 });
        assert_eq!((rows[1].bytes, rows[1].median), (4096, 2048.0));
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
