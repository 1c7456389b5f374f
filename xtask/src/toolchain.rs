//! The toolchains: the one that runs this program, and one that can build the standard library.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::{line, read, succeeds};
use crate::setup;

/// The oldest cargo 1.x that builds this project, as in the workspace's `rust-version`.
const OLDEST_MINOR: u32 = 95;
/// Hosted 32-bit programs: the tests and the benchmarks.
const HOSTED: &str = "i686-unknown-linux-gnu";
/// The bare machine.
const BARE: &str = "xtask/i386-unknown-none.json";
/// Programs that need nothing but the system calls of Linux on i386.
const PROGRAMS: &str = "xtask/i386-linux-programs.json";

/// The cargo that runs this program, with a subcommand.
pub fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(subcommand);
    command
}

/// A toolchain with the source of the standard library, so that it can build for any target.
///
/// Objects of different compilers do not mix, so what it builds has a target directory of its own.
pub struct SourceToolchain {
    /// Where `cargo`, `rustc` and `rustdoc` are, if they are not the ones that run this program.
    bin: Option<&'static str>,
}

impl SourceToolchain {
    /// Finds one, or installs what is missing: rustup's `rust-src`, else Debian's packages.
    pub fn find() -> Result<Self> {
        let own = Self { bin: None };
        let debian = Self { bin: Some("/usr/bin") };
        if own.has_source() {
            return Ok(own);
        }
        if !debian.has_source() {
            if add_component() && own.has_source() {
                return Ok(own);
            }
            setup::install(&["rustc-web", "cargo-web", "rust-web-src"], "to build the library for i386")
                .context(
                    "no source of the standard library (with rustup: `rustup component add rust-src`)",
                )?;
        }
        debian.check_version()?;
        Ok(debian)
    }

    /// This toolchain's cargo, with a subcommand, allowed to use the unstable `-Z` flags.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut command = match self.bin {
            None => cargo(subcommand),
            Some(bin) => {
                let mut command = self.tool("cargo");
                command.arg(subcommand);
                command.env("RUSTC", format!("{bin}/rustc")).env("RUSTDOC", format!("{bin}/rustdoc"));
                command.env("PATH", format!("{bin}:{}", env::var("PATH").unwrap_or_default()));
                // Left by the cargo that runs this program: the libraries of *its* compiler.
                command.env_remove("LD_LIBRARY_PATH");
                command
            }
        };
        command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", "target/i686");
        // The whole standard library is built: lines are enough for a backtrace.
        command.env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
        command
    }

    /// As [`cargo`](Self::cargo), for hosted 32-bit programs.
    pub fn hosted(&self, subcommand: &str) -> Command {
        let mut command = self.cargo(subcommand);
        command.args(["-Zbuild-std", "--target", HOSTED]);
        command
    }

    /// As [`cargo`](Self::cargo), for the bare machine.
    pub fn bare(&self, subcommand: &str) -> Command {
        self.freestanding(subcommand, BARE, "target/bare")
    }

    /// As [`cargo`](Self::cargo), for programs without a C library.
    pub fn programs(&self, subcommand: &str) -> Command {
        self.freestanding(subcommand, PROGRAMS, "target/programs")
    }

    fn freestanding(&self, subcommand: &str, target: &str, directory: &str) -> Command {
        let mut command = self.cargo(subcommand);
        command.env("CARGO_TARGET_DIR", directory);
        command.arg("-Zbuild-std=core,alloc,compiler_builtins");
        command.arg("-Zbuild-std-features=compiler-builtins-mem");
        command.args(["-Zjson-target-spec", "--target", target]);
        command
    }

    /// Whether it can lint: Debian packages its lints elsewhere.
    pub fn has_clippy(&self) -> bool {
        self.bin.is_none() && succeeds(cargo("clippy").arg("--version"))
    }

    fn has_source(&self) -> bool {
        let sysroot = read(self.tool("rustc").args(["--print", "sysroot"])).unwrap_or_default();
        Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/Cargo.lock").exists()
    }

    fn check_version(&self) -> Result<()> {
        let version = read(self.tool("cargo").arg("--version"))?;
        let minor = version.strip_prefix("cargo 1.").and_then(|rest| rest.split('.').next()?.parse().ok());
        ensure!(
            minor.is_some_and(|minor: u32| minor >= OLDEST_MINOR),
            "cargo 1.{OLDEST_MINOR} or later is needed, this is {}",
            version.trim()
        );
        Ok(())
    }

    fn tool(&self, name: &str) -> Command {
        Command::new(self.bin.map_or(PathBuf::new(), PathBuf::from).join(name))
    }
}

/// The executables of a `kind`, such as `bin`, among what cargo reports to have built: one JSON
/// object a line, as `--message-format=json` prints it.
pub fn executables(messages: &str, kind: &str) -> Vec<PathBuf> {
    of_kind(messages, kind).filter_map(|artifact| Some(artifact["executable"].as_str()?.into())).collect()
}

/// As [`executables`]: the shared libraries.
pub fn shared_libraries(messages: &str) -> Vec<PathBuf> {
    of_kind(messages, "cdylib")
        .filter_map(|artifact| Some(artifact["filenames"][0].as_str()?.into()))
        .collect()
}

fn of_kind(messages: &str, kind: &str) -> impl Iterator<Item = Value> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    artifacts.filter(move |artifact| artifact["target"]["kind"][0] == kind)
}

/// Adds `rust-src` through rustup, if there is one and it can.
fn add_component() -> bool {
    if !succeeds(Command::new("rustup").arg("--version")) {
        return false;
    }
    let mut add = Command::new("rustup");
    add.args(["component", "add", "rust-src"]);
    println!("xtask: no source of the standard library, trying `{}`", line(&add));
    succeeds(&mut add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_of_one_kind() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["bench"]},"executable":"target/cost"}
{"reason":"compiler-artifact","target":{"kind":["bin"]},"executable":"target/kernel"}
{"reason":"compiler-artifact","target":{"kind":["cdylib"]},"filenames":["target/plugin.so"],"executable":null}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executables(messages, "bench"), [PathBuf::from("target/cost")]);
        assert_eq!(executables(messages, "bin"), [PathBuf::from("target/kernel")]);
        assert!(executables(messages, "lib").is_empty());
        assert_eq!(shared_libraries(messages), [PathBuf::from("target/plugin.so")]);
    }
}
