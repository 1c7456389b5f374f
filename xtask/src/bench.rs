//! `bench`: the cost of intrinsics, in instructions of 32-bit code.
//!
//! A benchmark is a program (`harness = false`) that prints the names of its cases with `--list`,
//! and with the name of one case runs it, the part to count inside a function named `measured`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::process::read;
use crate::toolchain::{SourceToolchain, executables};
use crate::{callgrind, setup};

/// Counts every case of the benchmark called `name`, or of all.
pub fn bench(name: Option<&str>) -> Result<()> {
    setup::linker_32_bit()?;
    setup::valgrind()?;
    for binary in build(name)? {
        for case in read(Command::new(&binary).arg("--list"))?.lines() {
            println!("{:>12}  {case}", callgrind::count(&binary, &[case], "*::measured*")?);
        }
    }
    Ok(())
}

/// Builds the benchmarks as 32-bit programs and returns where they are.
fn build(name: Option<&str>) -> Result<Vec<PathBuf>> {
    let target = name.map_or("--benches".to_owned(), |name| format!("--bench={name}"));
    let mut build = SourceToolchain::find()?.hosted("build");
    build.args(["--package=sva-os", "--release", "--message-format=json-render-diagnostics", &target]);
    let binaries = executables(&read(&mut build)?, "bench");
    ensure!(!binaries.is_empty(), "there are no benchmarks");
    Ok(binaries)
}
