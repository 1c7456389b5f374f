//! `bench`: what the checks cost, in instructions of 32-bit code.
//!
//! The benchmark `counts` counts itself under valgrind and prints the table. Here it is built, as it
//! is and without the checks.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::{read, run};
use crate::setup;
use crate::toolchain::SourceToolchain;

/// Builds the benchmark twice and runs it. An error if a row is over its budget.
pub fn bench() -> Result<()> {
    setup::linker_32_bit()?;
    setup::valgrind()?;
    let toolchain = SourceToolchain::find()?;
    let checked = build(toolchain.hosted("build").env("RUSTFLAGS", ""))?;
    let mut unchecked = toolchain.hosted("build");
    unchecked.arg("--target-dir=target/i686-unchecked").env("RUSTFLAGS", "--cfg sva_os_unchecked");
    run(Command::new(checked).arg("--unchecked").arg(build(&mut unchecked)?))
}

/// Lets cargo build the benchmark and returns where it is.
fn build(cargo: &mut Command) -> Result<PathBuf> {
    cargo.args(["--package=sva-os", "--release", "--bench=counts"]);
    cargo.arg("--message-format=json-render-diagnostics");
    executable(&read(cargo)?).context("cargo built no benchmark")
}

/// The benchmark among the artifacts that cargo reports, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut benches = artifacts.filter(|artifact| artifact["target"]["kind"][0] == "bench");
    benches.find_map(|bench| Some(bench["executable"].as_str()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_that_of_the_benchmark() {
        let library = r#"{"reason":"compiler-artifact","target":{"kind":["lib"]},"executable":null}"#;
        let tool = r#"{"reason":"compiler-artifact","target":{"kind":["bin"]},"executable":"target/tool"}"#;
        let bench =
            r#"{"reason":"compiler-artifact","target":{"kind":["bench"]},"executable":"target/counts"}"#;
        let end = r#"{"reason":"build-finished","success":true}"#;
        let messages = |lines: &[&str]| lines.join("\n");
        assert_eq!(executable(&messages(&[library, tool, bench, end])), Some("target/counts".into()));
        assert_eq!(executable(&messages(&[library, tool, end])), None);
        assert_eq!(executable("no JSON\n"), None);
    }
}
