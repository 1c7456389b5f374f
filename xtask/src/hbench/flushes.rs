//! What flushes the TLB: loads of CR3 and CR4, and INVLPG. A count of instructions hides what they cost on silicon.
//!
//! A plugin of QEMU counts them (`xtask/plugin`) while the program runs as it does for the count of instructions. It
//! says in QEMU's log how many there were whenever the program reads the time-stamp counter: so the counts are those
//! between the two reads of a repetition, and neither the boot nor what a row prepares is in them.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::counts::{FLUSHES, per_operation};
use super::program::Program;
use super::summary::Summary;
use crate::markdown::Markdown;
use crate::process::read;
use crate::qemu::Boot;
use crate::system::System;
use crate::toolchain::{cargo, shared_libraries};

/// Counts on `systems` and prints the table of them all.
pub fn measure(program: &Program, systems: &[System]) -> Result<()> {
    let plugin = plugin()?.display().to_string();
    let mut columns = Vec::new();
    let mut names = Vec::new();
    for system in systems {
        println!("xtask: hbench on {system}, its flushes counted");
        let boot = Boot {
            icount: true,
            log: Some("plugin"),
            extra: vec!["-plugin".to_owned(), plugin.clone()],
            ..program.boot(*system)?
        };
        let run = program.run(*system, &boot)?;
        print!("{}", run.output);
        ensure!(run.failed.is_empty(), "these rows failed on {system}: {}", run.failed.join(", "));
        columns.push(per_operation(&run.rows, &run.log)?);
        names = run.rows.into_iter().map(|row| row.ticks.name).collect();
    }
    println!("\n{}", table(systems, &names, &columns));
    Ok(())
}

/// Builds the plugin.
fn plugin() -> Result<PathBuf> {
    let mut build = cargo("build");
    build.args(["--package=flush-counter", "--message-format=json-render-diagnostics"]);
    shared_libraries(&read(&mut build)?).pop().context("the plugin is no shared library")
}

/// A column for each kind and system, without what is nowhere: such rows are named below the table.
fn table(systems: &[System], names: &[String], columns: &[Vec<Vec<Summary>>]) -> String {
    let is_some = |summary: &Summary| summary.median > 0.0;
    let kinds = (0..FLUSHES.len()).filter(|kind| columns.iter().flatten().any(|row| is_some(&row[*kind])));
    let kinds: Vec<_> = kinds.collect();
    let has_some = |index: usize| columns.iter().any(|rows| rows[index].iter().any(is_some));
    let (rows, others): (Vec<_>, Vec<_>) = (0..names.len()).partition(|index| has_some(*index));

    let heads =
        kinds.iter().flat_map(|kind| systems.iter().map(|system| format!("{}, {system}", FLUSHES[*kind])));
    let mut table = Markdown::new(["row".to_owned()].into_iter().chain(heads));
    for index in rows {
        let cells = kinds.iter().flat_map(|kind| columns.iter().map(|rows| cell(rows[index][*kind])));
        table.line([names[index].clone()].into_iter().chain(cells));
    }
    let others: Vec<_> = others.into_iter().map(|index| names[index].as_str()).collect();
    format!("{table}\nNone: {}.", others.join(", "))
}

/// Whole numbers without a point.
fn cell(count: Summary) -> String {
    count.with_spread(if count.median.fract() == 0.0 && count.spread.fract() == 0.0 { 0 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nowhere_has_no_column_and_no_line() {
        let row = |cr3, invlpg| [cr3, 0.0, invlpg].map(|count| Summary::of([count]).unwrap()).to_vec();
        let columns =
            [[row(0.0, 16.0), row(0.0, 0.0), row(4.0, 1.0)], [row(0.0, 0.0), row(0.0, 0.0), row(2.25, 3.0)]];
        let names = ["mmap", "getpid", "fork-exit"].map(str::to_owned);
        assert_eq!(
            table(&[System::Linux, System::Kernel], &names, &columns.map(Vec::from)),
            "| row | CR3, Linux | CR3, checked | INVLPG, Linux | INVLPG, checked |\n\
             |---|---:|---:|---:|---:|\n| mmap | 0 | 0 | 16 | 0 |\n| fork-exit | 4 | 2.25 | 1 | 3 |\n\
             \nNone: getpid."
        );
    }
}
