//! What operations cost on several systems, as a table in Markdown.

use std::fmt::{self, Display, Formatter, Write};

use crate::system::System;

/// A row: what one operation costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub name: String,
    /// Bytes that an operation moves.
    pub bytes: u64,
    /// Ticks: the median, and its spread.
    pub median: f64,
    pub spread: f64,
}

/// The rows that the SVA-OS paper has too.
const PAPER: [&str; 8] =
    ["getpid", "open-close", "write", "signal-install", "signal-handler", "pipe", "poll", "select"];

/// What each row costs on each system.
#[derive(Default)]
pub struct Table {
    systems: Vec<System>,
    /// Names in the order of the program, each with its row of each system.
    rows: Vec<(String, Vec<Row>)>,
}

impl Table {
    pub fn add(&mut self, system: System, rows: Vec<Row>) {
        self.systems.push(system);
        for row in rows {
            match self.rows.iter_mut().find(|(name, _)| *name == row.name) {
                Some((_, others)) => others.push(row),
                None => self.rows.push((row.name.clone(), vec![row])),
            }
        }
    }

    /// Writes the geometric means of the ratios of some rows, if there are such.
    fn write_mean(&self, f: &mut Formatter<'_>, of: &str, wanted: impl Fn(&Row) -> bool) -> fmt::Result {
        let rows = || self.complete().filter(|rows| rows.iter().all(&wanted));
        let count = rows().count();
        if count == 0 {
            return Ok(());
        }
        write!(f, "| geometric mean of {of} |{}", " |".repeat(self.systems.len()))?;
        for (above, below) in self.ratios() {
            let logarithms = rows().map(|rows| (rows[above].median / rows[below].median).ln());
            write!(f, " {:.4} |", (logarithms.sum::<f64>() / count as f64).exp())?;
        }
        writeln!(f)
    }

    /// The rows that were measured on every system.
    fn complete(&self) -> impl Iterator<Item = &[Row]> {
        let rows = self.rows.iter().map(|(_, rows)| rows.as_slice());
        rows.filter(|rows| rows.len() == self.systems.len())
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
        for rows in self.complete() {
            write!(f, "| {} |", rows[0].name)?;
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
            for (above, below) in &ratios {
                write!(f, " {:.4} |", rows[*above].median / rows[*below].median)?;
            }
            writeln!(f)?;
        }
        if !ratios.is_empty() {
            self.write_mean(f, "all", |_| true)?;
            self.write_mean(f, "the paper's eight", |row| PAPER.contains(&row.name.as_str()))?;
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

    fn rows(getpid: f64, read: f64) -> Vec<Row> {
        let row = |name: &str, bytes, median, spread| Row { name: name.to_owned(), bytes, median, spread };
        vec![row("getpid", 0, getpid, 0.0), row("read-4k", 4096, read, 1.5)]
    }

    #[test]
    fn the_table_compares_what_was_measured() {
        let mut table = Table::default();
        table.add(System::Linux, rows(336.5, 2048.0));
        assert_eq!(
            table.to_string(),
            "| row | Linux |\n|---|---:|\n| getpid | 336.5 |\n| read-4k | 2,048 (±1.5), 2000 MB/s |\n"
        );
        table.add(System::Kernel, rows(168.25, 512.0));
        let shown = table.to_string();
        assert!(shown.starts_with("| row | Linux | checked | checked ÷ Linux |\n"), "{shown}");
        assert!(shown.contains("| getpid | 336.5 | 168.2 | 0.5000 |\n"), "{shown}");
        let means =
            "| geometric mean of all | | | 0.3536 |\n| geometric mean of the paper's eight | | | 0.5000 |\n";
        assert!(shown.ends_with(means), "{shown}");
    }

    #[test]
    fn thousands_are_apart() {
        let shown = [0.5, 999.94, 1000.0, 12345.6, 1_234_567.0].map(thousands);
        assert_eq!(shown, ["0.5", "999.9", "1,000", "12,346", "1,234,567"]);
    }
}
