//! Tables in Markdown: the first column is a name, the others are numbers.

use std::fmt::{self, Display, Formatter};

/// A table.
pub struct Markdown {
    heads: Vec<String>,
    lines: Vec<Vec<String>>,
}

impl Markdown {
    /// With no lines yet.
    pub fn new(heads: impl IntoIterator<Item = String>) -> Self {
        Self { heads: heads.into_iter().collect(), lines: Vec::new() }
    }

    /// One more line, which has as many cells as there are heads.
    pub fn line(&mut self, cells: impl IntoIterator<Item = String>) {
        self.lines.push(cells.into_iter().collect());
    }
}

impl Display for Markdown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_line(f, &self.heads)?;
        writeln!(f, "|---|{}", "---:|".repeat(self.heads.len().saturating_sub(1)))?;
        self.lines.iter().try_for_each(|line| write_line(f, line))
    }
}

fn write_line(f: &mut Formatter<'_>, cells: &[String]) -> fmt::Result {
    f.write_str("|")?;
    for cell in cells {
        let space = if cell.is_empty() { "" } else { " " };
        write!(f, "{space}{cell} |")?;
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_the_right_and_an_empty_cell_is_short() {
        let strings = |cells: [&str; 3]| cells.map(str::to_owned);
        let mut table = Markdown::new(strings(["row", "a", "b"]));
        table.line(strings(["getpid", "1", "2"]));
        table.line(strings(["mean", "", "3"]));
        assert_eq!(
            table.to_string(),
            "| row | a | b |\n|---|---:|---:|\n| getpid | 1 | 2 |\n| mean | | 3 |\n"
        );
    }
}
