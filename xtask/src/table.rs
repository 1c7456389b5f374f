//! What operations cost on several systems, as a table in Markdown.

use std::fmt::{self, Display, Formatter};

use crate::markdown::Markdown;
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

/// What is divided by what, where both were measured.
pub const RATIOS: [(System, System); 2] =
    [(System::Kernel, System::Unchecked), (System::Kernel, System::Linux)];
/// The rows that the SVA-OS paper has too.
pub const PAPER: [&str; 8] =
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

    /// The line of the geometric means of the ratios of some rows, if there are such.
    fn mean(&self, of: &str, wanted: impl Fn(&Row) -> bool) -> Option<Vec<String>> {
        let rows = || self.complete().filter(|rows| rows.iter().all(&wanted));
        let mut line = vec![format!("geometric mean of {of}")];
        line.resize(1 + self.systems.len(), String::new());
        for (above, below) in self.ratios() {
            let ratios = rows().map(|rows| rows[above].median / rows[below].median);
            line.push(format!("{:.4}", geometric_mean(ratios)?));
        }
        Some(line)
    }

    /// The rows that were measured on every system.
    fn complete(&self) -> impl Iterator<Item = &[Row]> {
        let rows = self.rows.iter().map(|(_, rows)| rows.as_slice());
        rows.filter(|rows| rows.len() == self.systems.len())
    }

    /// The columns of those ratios.
    fn ratios(&self) -> Vec<(usize, usize)> {
        let index = |system| self.systems.iter().position(|measured| *measured == system);
        let indexes = RATIOS.into_iter().map(|(above, below)| Some((index(above)?, index(below)?)));
        indexes.flatten().collect()
    }
}

/// In Markdown.
impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ratios = self.ratios();
        let systems = self.systems.iter().map(System::to_string);
        let heads = ratios.iter().map(|(above, below)| ratio(self.systems[*above], self.systems[*below]));
        let mut table = Markdown::new(["row".to_owned()].into_iter().chain(systems).chain(heads));
        for rows in self.complete() {
            let quotients = ratios
                .iter()
                .map(|(above, below)| format!("{:.4}", rows[*above].median / rows[*below].median));
            table.line([rows[0].name.clone()].into_iter().chain(rows.iter().map(cell)).chain(quotients));
        }
        if !ratios.is_empty() {
            let means = [
                self.mean("all", |_| true),
                self.mean("the paper's eight", |row| PAPER.contains(&row.name.as_str())),
            ];
            means.into_iter().flatten().for_each(|line| table.line(line));
        }
        write!(f, "{table}")
    }
}

/// What is divided by what, as a head of a column.
pub fn ratio(above: System, below: System) -> String {
    format!("{above} ÷ {below}")
}

/// None of no values.
pub fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<_> = values.map(f64::ln).collect();
    let count = logarithms.len();
    (count > 0).then(|| (logarithms.iter().sum::<f64>() / count as f64).exp())
}

fn cell(row: &Row) -> String {
    let mut cell = thousands(row.median);
    if row.spread > 0.0 {
        cell += &format!(" (±{})", thousands(row.spread));
    }
    if row.bytes > 0 {
        // A tick is a nanosecond.
        cell += &format!(", {:.0} MB/s", row.bytes as f64 * 1000.0 / row.median);
    }
    cell
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
