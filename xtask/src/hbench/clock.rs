//! Time by the host's clock, which the guest's time-stamp counter follows without `-icount`.
//!
//! It is the time of an emulation, on a machine that others may use too. So no time is told but ratios of what ran side
//! by side: the systems take turns, round after round, and of a row's repetitions counts the one that was disturbed
//! least. A ratio is the median of those of the rounds.

use anyhow::{Result, ensure};

use super::program::{Measured, Program};
use super::summary::Summary;
use crate::markdown::Markdown;
use crate::system::System;
use crate::table::{PAPER, RATIOS, geometric_mean, ratio};

/// The ratios of two systems: for each round those of the rows and their means, with their names.
struct Column {
    head: String,
    rounds: Vec<Vec<(String, f64)>>,
}

/// Lets `systems` take turns for so many `rounds`, and prints the table of ratios.
pub fn measure(program: &Program, systems: &[System], rounds: usize) -> Result<()> {
    let index = |system| systems.iter().position(|measured| *measured == system);
    let pairs = RATIOS.map(|(above, below)| Some((index(above)?, index(below)?)));
    let pairs: Vec<_> = pairs.into_iter().flatten().collect();
    ensure!(!pairs.is_empty(), "time is only compared: leave out --on");
    let column = |(above, below): &(usize, usize)| Column {
        head: ratio(systems[*above], systems[*below]),
        rounds: Vec::new(),
    };
    let mut columns: Vec<_> = pairs.iter().map(column).collect();
    // All are built before one runs.
    let boots = systems.iter().map(|system| program.boot(*system)).collect::<Result<Vec<_>>>()?;
    for round in 1..=rounds {
        let mut measured = Vec::new();
        for (system, boot) in systems.iter().zip(&boots) {
            println!("xtask: hbench on {system} by the clock, round {round} of {rounds}");
            let run = program.run(*system, boot)?;
            ensure!(run.failed.is_empty(), "these rows failed on {system}: {}", run.failed.join(", "));
            measured.push(run.rows);
        }
        for (column, (above, below)) in columns.iter_mut().zip(&pairs) {
            column.rounds.push(ratios(&measured[*above], &measured[*below]));
        }
    }
    println!("\n{}", table(&columns));
    Ok(())
}

/// The ratio of each row, and then their geometric means.
fn ratios(above: &[Measured], below: &[Measured]) -> Vec<(String, f64)> {
    let rows = above.iter().zip(below);
    let rows: Vec<_> =
        rows.map(|(above, below)| (above.ticks.name.clone(), above.least / below.least)).collect();
    let mean = |of: &str, wanted: &dyn Fn(&str) -> bool| {
        let ratios = rows.iter().filter(|(name, _)| wanted(name)).map(|(_, ratio)| *ratio);
        Some((format!("geometric mean of {of}"), geometric_mean(ratios)?))
    };
    let means = [mean("all", &|_| true), mean("the paper's eight", &|name| PAPER.contains(&name))];
    let means: Vec<_> = means.into_iter().flatten().collect();
    [rows, means].concat()
}

fn table(columns: &[Column]) -> Markdown {
    let heads = columns.iter().map(|column| column.head.clone());
    let mut table = Markdown::new(["row".to_owned()].into_iter().chain(heads));
    let first = columns.first().and_then(|column| column.rounds.first());
    for (index, (name, _)) in first.into_iter().flatten().enumerate() {
        let cells = columns.iter().map(|column| {
            let summary = Summary::of(column.rounds.iter().map(|ratios| ratios[index].1));
            summary.map(|summary| summary.with_range(3)).unwrap_or_default()
        });
        table.line([name.clone()].into_iter().chain(cells));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Row;

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_and_not_of_the_times() {
        let rows = |getpid, read| {
            let row = |name: &str, least| {
                let ticks = Row { name: name.to_owned(), bytes: 0, median: 2.0 * least + 1.0, spread: 0.0 };
                Measured { operations: 1, repetitions: 3, least, ticks }
            };
            [row("getpid", getpid), row("read-4k", read)]
        };
        // The machine is ten times as slow in the second round, and in the last it is for one of the two.
        let rounds = vec![
            ratios(&rows(110.0, 40.0), &rows(100.0, 10.0)),
            ratios(&rows(1200.0, 400.0), &rows(1000.0, 100.0)),
            ratios(&rows(1300.0, 40.0), &rows(100.0, 10.0)),
        ];
        let shown = table(&[Column { head: "a ÷ b".to_owned(), rounds }]).to_string();
        assert_eq!(
            shown,
            "| row | a ÷ b |\n|---|---:|\n| getpid | 1.200 (1.100 to 13.000) |\n| read-4k | 4.000 (4.000 to 4.000) |\n\
             | geometric mean of all | 2.191 (2.098 to 7.211) |\n| geometric mean of the paper's eight | 1.200 (1.100 to 13.000) |\n"
        );
    }
}
