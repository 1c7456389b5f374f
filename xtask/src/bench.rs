//! `bench`: what the checks cost, in instructions.
//!
//! The benchmark `counts` counts itself under valgrind and prints the table. Here it is built, as it
//! is and without the checks: as 32-bit code, which is the code of record, and on a 64-bit host as code of
//! the host too, where other libraries can be set beside it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{read, run};
use crate::setup;
use crate::toolchain::{SourceToolchain, cargo, executables};

/// Builds the benchmark and runs it. An error if a row is over its budget.
pub fn bench() -> Result<()> {
    setup::linker_32_bit()?;
    setup::valgrind()?;
    let toolchain = SourceToolchain::find()?;
    let record = count(|| {
        let mut build = toolchain.hosted("build");
        build.arg("-Zbuild-std=std,panic_abort");
        build
    });
    if cfg!(target_arch = "x86_64") {
        count(|| {
            let mut build = cargo("build");
            build.arg("--target-dir=target/bench").env("RUSTC_BOOTSTRAP", "1");
            build
        })?;
    }
    record
}

/// Lets the `build` of some cargo make the benchmark twice, and runs it.
fn count(build: impl Fn() -> Command) -> Result<()> {
    let unchecked = benchmark(build(), &["--cfg=sva_os_unchecked"])?;
    run(Command::new(benchmark(build(), &[])?).arg("--unchecked").arg(unchecked))
}

/// Builds the benchmark, the library with these flags too, and returns where it is.
///
/// Flags in the environment would reach all libraries, and each build would be one from the start.
fn benchmark(mut cargo: Command, flags: &[&str]) -> Result<PathBuf> {
    // Like a kernel: at one address, and nothing unwinds.
    let flags = [&["-Crelocation-model=static"], flags].concat();
    cargo.args(["--package=sva-os", "--release", "--bench=counts", "-Zprofile-rustflags"]);
    cargo.arg(format!("--config=profile.release.package.sva-os.rustflags={flags:?}"));
    cargo.args(["--config=profile.release.panic='abort'", "-Zpanic-abort-tests"]);
    cargo.arg("--message-format=json-render-diagnostics").env_remove("RUSTFLAGS");
    executables(&read(&mut cargo)?, "bench").pop().context("cargo built no benchmark")
}
