//! `hbench`: what the operations of a kernel cost, on Linux and on the example kernel with and without the checks of
//! the library. The same programs on the same machine, time counted in instructions.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};

use crate::ending::Ending;
use crate::kernel::{Checks, Kernel, Mode, Profile};
use crate::qemu::Boot;
use crate::toolchain::SourceToolchain;
use crate::{linux, setup, userland};

const KERNEL: &str = "examples/kernel";
const PROGRAM: &str = "/userland/hbench";
/// RAM of the machine in MiB.
const MEMORY: u32 = 256;
/// How long one system may take.
const LIMIT: Duration = Duration::from_secs(900);

/// What is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    Linux,
    /// The example kernel without checks.
    Unchecked,
    /// The example kernel as it is.
    Kernel,
}

impl System {
    pub const ALL: [Self; 3] = [Self::Linux, Self::Unchecked, Self::Kernel];

    fn boot(self, toolchain: &SourceToolchain, root: &Path, command: &str) -> Result<Boot> {
        let checks = match self {
            Self::Linux => return linux::boot(root, command),
            Self::Unchecked => Checks::Unchecked,
            Self::Kernel => Checks::Checked,
        };
        let directory = PathBuf::from(KERNEL);
        ensure!(directory.exists(), "there is no example kernel in {KERNEL}");
        let kernel = Kernel { directory, profile: Profile::Release, mode: Mode::TwoLevel, checks };
        Ok(Boot {
            kernel: kernel.build(toolchain)?,
            append: format!("init=/init -- {command}"),
            modules: vec![root.display().to_string()],
            ..Boot::default()
        })
    }
}

impl FromStr for System {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "linux" => Ok(Self::Linux),
            "unchecked" => Ok(Self::Unchecked),
            "kernel" => Ok(Self::Kernel),
            _ => bail!("hbench runs on linux, unchecked, kernel or all"),
        }
    }
}

impl Display for System {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linux => "Linux",
            Self::Unchecked => "unchecked",
            Self::Kernel => "checked",
        })
    }
}

/// Measures on `systems` and prints what each row costs, and the table of them all.
pub fn hbench(systems: &[System]) -> Result<()> {
    let toolchain = SourceToolchain::find()?;
    let qemu = setup::qemu()?;
    let root = userland::root(&toolchain, &[])?;
    let mut table = Table::default();
    for system in systems {
        let boot = Boot {
            memory: Some(MEMORY),
            icount: true,
            limit: Some(LIMIT),
            ..system.boot(&toolchain, &root, PROGRAM)?
        };
        println!("xtask: hbench on {system}");
        let outcome = boot.captured(&qemu)?;
        print!("{}", outcome.output);
        eprint!("{}", outcome.warnings());
        ensure!(outcome.ending == Ending::Status(0), "hbench on {system}: {}", outcome.ending);
        table.add(*system, rows(&outcome.output)?);
    }
    println!("\n{table}");
    Ok(())
}

/// A row as the program prints it.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    name: String,
    /// Bytes that an operation moves.
    bytes: u64,
    /// Ticks for each operation: the median, and its spread.
    median: f64,
    spread: f64,
}

/// The rows in what the program printed, in its order, if it came to its end and none failed.
fn rows(output: &str) -> Result<Vec<Row>> {
    let lines = output.lines().filter_map(|line| line.strip_prefix("hbench "));
    let (last, rows): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("rows="));
    let [last] = last[..] else { bail!("hbench did not come to its end") };
    let rows = rows.iter().map(|line| line.parse()).collect::<Result<Vec<Row>>>()?;
    ensure!(last == format!("rows={} failed=0", rows.len()), "hbench says {last}");
    Ok(rows)
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

/// What each row costs on each system.
#[derive(Default)]
struct Table {
    systems: Vec<System>,
    /// Names in the order of the program, each with its row of each system.
    rows: Vec<(String, Vec<Row>)>,
}

impl Table {
    fn add(&mut self, system: System, rows: Vec<Row>) {
        self.systems.push(system);
        for row in rows {
            match self.rows.iter_mut().find(|(name, _)| *name == row.name) {
                Some((_, others)) => others.push(row),
                None => self.rows.push((row.name.clone(), vec![row])),
            }
        }
    }

    /// What is divided by what, where both were measured.
    fn ratios(&self) -> Vec<(usize, usize)> {
        let index = |system| self.systems.iter().position(|measured| *measured == system);
        let pairs = [(System::Kernel, System::Unchecked), (System::Kernel, System::Linux)];
        pairs.into_iter().filter_map(|(above, below)| Some((index(above)?, index(below)?))).collect()
    }
}

/// In Markdown.
impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ratios = self.ratios();
        let mut head = "| row |".to_owned();
        let mut line = "|---|".to_owned();
        for system in &self.systems {
            write!(head, " {system} |")?;
            line += "---:|";
        }
        for (above, below) in &ratios {
            write!(head, " {} ÷ {} |", self.systems[*above], self.systems[*below])?;
            line += "---:|";
        }
        writeln!(f, "{head}\n{line}")?;
        let mut logarithms = vec![Vec::new(); ratios.len()];
        for (name, rows) in self.rows.iter().filter(|(_, rows)| rows.len() == self.systems.len()) {
            write!(f, "| {name} |")?;
            for row in rows {
                write!(f, " {}", thousands(row.median))?;
                if row.spread > 0.0 {
                    write!(f, " (±{})", thousands(row.spread))?;
                }
                if row.bytes > 0 {
                    // A tick is a nanosecond.
                    write!(f, ", {:.0} MB/s", row.bytes as f64 * 1000.0 / row.median)?;
                }
                f.write_str(" |")?;
            }
            for ((above, below), logarithms) in ratios.iter().zip(&mut logarithms) {
                let ratio = rows[*above].median / rows[*below].median;
                logarithms.push(ratio.ln());
                write!(f, " {ratio:.3} |")?;
            }
            writeln!(f)?;
        }
        if !ratios.is_empty() {
            write!(f, "| geometric mean |{}", " |".repeat(self.systems.len()))?;
            for logarithms in logarithms {
                let mean = logarithms.iter().sum::<f64>() / logarithms.len().max(1) as f64;
                write!(f, " {:.3} |", mean.exp())?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A number with its thousands apart, and one decimal where it is small.
fn thousands(number: f64) -> String {
    if number < 1000.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut apart = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
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
        let rows = rows(OUTPUT).unwrap();
        assert_eq!(rows[0], Row { name: "getpid".to_owned(), bytes: 0, median: 336.5, spread: 0.0 });
        assert_eq!((rows[1].bytes, rows[1].median), (4096, 2048.0));
        let refused = |output: &str| super::rows(output).is_err();
        assert!(refused(&OUTPUT.replace("hbench rows=2 failed=0", "")), "no end");
        assert!(refused(&OUTPUT.replace("rows=2", "rows=3")), "a row is lost");
        assert!(refused(&OUTPUT.replace("failed=0", "failed=1")), "one failed");
        assert!(refused(&OUTPUT.replace("median=336.50", "error=5")), "no number");
    }

    #[test]
    fn the_table_compares_what_was_measured() {
        let mut table = Table::default();
        table.add(System::Linux, rows(OUTPUT).unwrap());
        assert_eq!(
            table.to_string(),
            "| row | Linux |\n|---|---:|\n| getpid | 336.5 |\n| read-4k | 2,048 (±1.5), 2000 MB/s |\n"
        );
        let halved = OUTPUT.replace("336.50", "168.25").replace("2048.00", "512.00");
        table.add(System::Kernel, rows(&halved).unwrap());
        let shown = table.to_string();
        assert!(shown.starts_with("| row | Linux | checked | checked ÷ Linux |\n"), "{shown}");
        assert!(shown.contains("| getpid | 336.5 | 168.2 | 0.500 |\n"), "{shown}");
        assert!(shown.ends_with("| geometric mean | | | 0.354 |\n"), "{shown}");
    }

    #[test]
    fn thousands_are_apart() {
        let shown = [0.5, 999.94, 1000.0, 12345.6, 1_234_567.0].map(thousands);
        assert_eq!(shown, ["0.5", "999.9", "1,000", "12,346", "1,234,567"]);
    }
}
