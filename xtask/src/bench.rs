//! `bench`: what the checks cost, in instructions.
//!
//! The benchmark `counts` counts itself under valgrind and prints the table. Here it is built, as it
//! is and without the checks: as 32-bit code, which is the code of record, and on a 64-bit host as code of
//! the host too, where other libraries can be set beside it.
//!
//! What only a CPU does (swaps, ring 3, user memory), the kernel in `benches/kernel` counts in QEMU, where the time
//! stamp counts instructions.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::ending::Ending;
use crate::kernel::{Checks, Kernel, Mode, Profile};
use crate::process::{read, run};
use crate::qemu::Boot;
use crate::setup;
use crate::toolchain::{SourceToolchain, cargo, executables};

/// The kernel that counts, and its CPU.
const KERNEL: &str = "benches/kernel";
const CPU: &str = "max";
/// Rows that have a budget: how much of a call may be checking.
const BUDGETS: [(&str, u64); 3] = [
    ("swap there and back", 2 * 15),
    ("swap there and back, another root", 2 * 15),
    ("ring 3 and back, by a system call", 6),
];

/// Runs both benchmarks. An error if a row is over its budget.
pub fn bench() -> Result<()> {
    let machine = on_the_machine();
    on_the_host().and(machine)
}

/// Boots the kernel in both modes, with the checks and without, and prints what it counts.
fn on_the_machine() -> Result<()> {
    let (toolchain, qemu) = (SourceToolchain::find()?, setup::qemu()?);
    let mut over = 0;
    for mode in [Mode::TwoLevel, Mode::Pae] {
        let count = |checks| -> Result<Vec<(u64, String)>> {
            let kernel = Kernel { directory: KERNEL.into(), profile: Profile::Release, mode, checks };
            let kernel = kernel.build(&toolchain)?;
            let boot = Boot { kernel, cpu: Some(CPU.to_owned()), icount: true, ..Boot::default() };
            let outcome = boot.captured(&qemu)?;
            ensure!(outcome.ending == Ending::Status(0), "{}\n{}", outcome.ending, outcome.output);
            Ok(outcome.output.lines().filter_map(counted).collect())
        };
        let (checked, unchecked) = (count(Checks::Checked)?, count(Checks::Unchecked)?);
        println!("\nInstructions of a call in QEMU, {mode}.\n");
        println!("{:<40} {:>9} {:>9} {:>9} {:>7}", "row", "checked", "unchecked", "checking", "budget");
        for ((checked, row), (unchecked, _)) in checked.iter().zip(&unchecked) {
            let checking = checked.saturating_sub(*unchecked);
            let budget = BUDGETS.iter().find(|(name, _)| name == row).map(|(_, budget)| *budget);
            over += usize::from(budget.is_some_and(|budget| checking > budget));
            let budget = budget.map_or(String::new(), |budget| budget.to_string());
            println!("{row:<40} {checked:>9} {unchecked:>9} {checking:>9} {budget:>7}");
        }
    }
    ensure!(over == 0, "{over} rows are over their budgets");
    Ok(())
}

/// What a line `count NUMBER NAME` of the kernel says.
fn counted(line: &str) -> Option<(u64, String)> {
    let (number, name) = line.strip_prefix("count ")?.split_once(' ')?;
    Some((number.parse().ok()?, name.to_owned()))
}

/// Builds the benchmark for the host and runs it.
fn on_the_host() -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_number_and_a_name() {
        assert_eq!(counted("count 12 swap there and back"), Some((12, "swap there and back".to_owned())));
        assert_eq!(counted("count many swaps"), None);
        assert_eq!(counted("status 0"), None);
    }
}
