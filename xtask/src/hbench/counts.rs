//! The lines that the plugin in `xtask/plugin` writes to QEMU's log, and what they say of each row.
//!
//! A line stands for one read of the time-stamp counter by a program. `hbench` reads it before and after each
//! repetition and else never, so the last lines are its own, in pairs, and before them are those of the firmware and
//! the boot. That a pair is of the row that it is taken for shows in its instructions, which are the row's ticks.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::program::Measured;
use super::summary::Summary;

/// What a line counts.
const NAMES: [&str; 4] = ["instructions", "cr3", "cr4", "invlpg"];
/// All but the instructions, as heads of columns.
pub const FLUSHES: [&str; 3] = ["CR3", "CR4", "INVLPG"];

type Counts = [u64; NAMES.len()];

/// How many [`FLUSHES`] of each kind there are in an operation of each row of `measured`.
pub fn per_operation(measured: &[Measured], log: &str) -> Result<Vec<Vec<Summary>>> {
    let lines = log.lines().filter_map(|line| line.strip_prefix("counts "));
    let reads = lines.map(counts).collect::<Result<Vec<_>>>()?;
    let pairs = |row: &Measured| 1 + row.repetitions;
    let needed = 2 * measured.iter().map(pairs).sum::<usize>();
    let first = reads.len().checked_sub(needed);
    let mut own = &reads[first.with_context(|| format!("{} reads, not {needed}", reads.len()))?..];
    let mut rows = Vec::new();
    for row in measured {
        let (reads, others) = own.split_at(2 * pairs(row));
        own = others;
        rows.push(of_row(row, reads).with_context(|| format!("the counts of {}", row.ticks.name))?);
    }
    Ok(rows)
}

/// The flushes in an operation of a row, from the reads around its repetitions.
fn of_row(row: &Measured, reads: &[Counts]) -> Result<Vec<Summary>> {
    let summary = |index: usize| {
        // The first repetition does not count.
        let counts = reads.chunks(2).skip(1).map(|pair| pair[1][index] - pair[0][index]);
        Summary::of(counts.map(|count| count as f64 / f64::from(row.operations)))
    };
    let summaries = (0..NAMES.len()).map(summary).collect::<Option<Vec<_>>>();
    let mut summaries = summaries.context("no repetition")?;
    let (instructions, ticks) = (summaries.remove(0).median, row.ticks.median);
    // The program rounds down, and an instruction that faults and is executed again ticks once.
    let agree = (ticks..ticks * 1.01).contains(&instructions);
    ensure!(agree, "{instructions} instructions in {ticks} ticks");
    Ok(summaries)
}

/// The numbers of a line.
fn counts(line: &str) -> Result<Counts> {
    let fields: BTreeMap<_, _> = line.split(' ').filter_map(|field| field.split_once('=')).collect();
    let mut counts = [0; NAMES.len()];
    for (count, name) in counts.iter_mut().zip(NAMES) {
        *count = fields.get(name).with_context(|| format!("no {name} in `{line}`"))?.parse()?;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Row;

    /// Of Linux: a read in the firmware, and the rows `switch-2` and `mmap`, three repetitions each.
    const LOG: &str = "CPU Reset (CPU 0)\n\
        counts instructions=7324824 cr3=0 cr4=0 invlpg=0\n\
        counts instructions=6893845155 cr3=17465 cr4=30 invlpg=40379\n\
        counts instructions=6894675173 cr3=17593 cr4=30 invlpg=40379\n\
        counts instructions=6894829812 cr3=17599 cr4=30 invlpg=40380\n\
        counts instructions=6895645412 cr3=17727 cr4=30 invlpg=40380\n\
        counts instructions=6895800112 cr3=17733 cr4=30 invlpg=40381\n\
        counts instructions=6896615546 cr3=17861 cr4=30 invlpg=40381\n\
        counts instructions=6896770373 cr3=17867 cr4=30 invlpg=40382\n\
        counts instructions=6897585248 cr3=17995 cr4=30 invlpg=40382\n\
        counts instructions=6955147577 cr3=20213 cr4=30 invlpg=40746\n\
        counts instructions=6959964049 cr3=20213 cr4=30 invlpg=41546\n\
        counts instructions=6959964060 cr3=20213 cr4=30 invlpg=41546\n\
        counts instructions=6964783171 cr3=20213 cr4=30 invlpg=42346\n\
        counts instructions=6964783227 cr3=20213 cr4=30 invlpg=42346\n\
        counts instructions=6969570083 cr3=20213 cr4=30 invlpg=43146\n\
        counts instructions=6969570139 cr3=20213 cr4=30 invlpg=43146\n\
        counts instructions=6974394418 cr3=20213 cr4=30 invlpg=43946\n";

    fn row(name: &str, operations: u32, median: f64) -> Measured {
        let ticks = Row { name: name.to_owned(), bytes: 0, median, spread: 0.0 };
        Measured { operations, repetitions: 3, least: median, ticks }
    }

    #[test]
    fn flushes_are_those_of_one_operation() {
        let rows = per_operation(&[row("switch-2", 128, 6370.57), row("mmap", 50, 96366.22)], LOG).unwrap();
        let medians = |row: &[Summary]| row.iter().map(|summary| summary.median).collect::<Vec<_>>();
        assert_eq!(medians(&rows[0]), [1.0, 0.0, 0.0], "a byte to the next process");
        assert_eq!(medians(&rows[1]), [0.0, 0.0, 16.0], "sixteen pages");
        assert!(rows.iter().flatten().all(|summary| summary.spread == 0.0));
    }

    #[test]
    fn counts_of_another_row_are_refused() {
        let refused = |rows: &[Measured], log: &str| per_operation(rows, log).is_err();
        let (switch, mmap) = (|| row("switch-2", 128, 6370.57), || row("mmap", 50, 96366.22));
        assert!(refused(&[mmap(), switch()], LOG), "another order");
        assert!(refused(&[switch(), row("mmap", 50, 95000.0)], LOG), "other ticks");
        assert!(refused(&[switch(), row("mmap", 50, 96386.0)], LOG), "more ticks than instructions");
        assert!(refused(&[switch(), mmap(), mmap()], LOG), "too few lines");
        assert!(refused(&[switch(), mmap()], &LOG.replace("invlpg=41546", "invlpg=x")), "no number");
        assert!(refused(&[switch(), mmap()], &LOG.replace("cr4=30 ", "")), "a count is missing");
    }
}
