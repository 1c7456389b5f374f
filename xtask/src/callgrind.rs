//! Instructions counted by valgrind: the same number every time, whatever else the machine does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::run_quietly;

/// Runs `binary` and returns how many instructions it executes while inside `function`.
///
/// `function` is matched against demangled names and may hold `*`. It must not be inlined, and no
/// other function may match: each entry or leave of a match switches the counting over.
pub fn count(binary: &Path, arguments: &[&str], function: &str) -> Result<u64> {
    let report = PathBuf::from("target/callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", &format!("--toggle-collect={function}")]);
    valgrind.arg(format!("--callgrind-out-file={}", report.display())).arg(binary).args(arguments);
    run_quietly(&mut valgrind)?;

    let text = fs::read_to_string(&report).with_context(|| format!("cannot read {}", report.display()))?;
    let total =
        text.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind gave no total")?;
    let count = total.trim().parse()?;
    ensure!(count > 0, "{} {arguments:?} never entered `{function}`", binary.display());
    Ok(count)
}
