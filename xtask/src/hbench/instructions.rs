//! Instructions: with QEMU's `-icount` each is one tick of the time-stamp counter, the same on every run.

use anyhow::{Result, ensure};

use super::program::Program;
use crate::qemu::Boot;
use crate::system::System;
use crate::table::Table;

/// Measures on `systems` and prints what each row costs, and the table of them all.
pub fn measure(program: &Program, systems: &[System]) -> Result<()> {
    let mut table = Table::default();
    let mut failed = Vec::new();
    for system in systems {
        println!("xtask: hbench on {system}");
        let boot = Boot { icount: true, ..program.boot(*system)? };
        let run = program.run(*system, &boot)?;
        print!("{}", run.output);
        table.add(*system, run.rows.into_iter().map(|row| row.ticks).collect());
        failed.extend(run.failed.iter().map(|row| format!("{row} on {system}")));
    }
    println!("\n{table}");
    ensure!(failed.is_empty(), "these rows failed: {}", failed.join(", "));
    Ok(())
}
