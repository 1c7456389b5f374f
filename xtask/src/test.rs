//! `test`: everything that every change has to pass, in order, up to the first failure.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::compare::compare;
use crate::kernels::kernels;
use crate::process::run;
use crate::safe::safe;
use crate::sessions::sessions;
use crate::setup;
use crate::system::System;
use crate::toolchain::{SourceToolchain, cargo};
use crate::userland;

struct Step {
    name: &'static str,
    quick: bool,
    run: fn() -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "format", quick: true, run: || run(cargo("fmt").args(["--all", "--check"])) },
    Step {
        name: "clippy: workspace, all targets",
        quick: true,
        run: || run(cargo("clippy").args(["--workspace", "--all-targets", "--", "-Dwarnings"])),
    },
    Step {
        name: "clippy: the library alone, no features",
        quick: false,
        run: || run(library("clippy").args(["--", "-Dwarnings"])),
    },
    Step {
        name: "clippy: the library alone, serial ports",
        quick: false,
        run: || run(library("clippy").args(["--features=uart", "--", "-Dwarnings"])),
    },
    Step { name: "documentation", quick: false, run: documentation },
    Step { name: "tests, with doc tests", quick: true, run: || run(cargo("test").arg("--workspace")) },
    Step {
        name: "tests: release profile",
        quick: false,
        run: || run(cargo("test").args(["--package=sva-os", "--release", "--tests"])),
    },
    Step { name: "unchecked build", quick: false, run: unchecked_build },
    Step { name: "tests: loom", quick: false, run: loom },
    Step { name: "bare i386 build", quick: false, run: bare_build },
    Step { name: "tests: 32-bit", quick: false, run: tests_32_bit },
    Step { name: "kernels are safe Rust", quick: false, run: safe },
    Step { name: "test kernels", quick: false, run: test_kernels },
    Step { name: "sessions on the example kernel", quick: false, run: || sessions(None) },
    Step {
        name: "sessions on the example kernel, compared with the host's",
        quick: false,
        run: || compare(&[System::Kernel]),
    },
];

/// Runs the steps and prints how long each took. `quick` leaves out all but the daily ones.
pub fn test(quick: bool) -> Result<()> {
    let mut times = Vec::new();
    let mut result = Ok(());
    for step in STEPS.iter().filter(|step| step.quick || !quick) {
        println!("==> {}", step.name);
        let start = Instant::now();
        result = (step.run)().with_context(|| format!("step \"{}\"", step.name));
        times.push((step.name, start.elapsed()));
        if result.is_err() {
            break;
        }
    }
    println!();
    for (name, time) in times {
        println!("{:>7.1} s  {name}", time.as_secs_f64());
    }
    result
}

/// The library without its tests, so without what only they switch on.
fn library(subcommand: &str) -> Command {
    let mut command = cargo(subcommand);
    command.args(["--package=sva-os", "--lib"]);
    command
}

fn documentation() -> Result<()> {
    let mut command = library("doc");
    command.args(["--no-deps", "--features=emulated,log"]);
    run(command.env("RUSTDOCFLAGS", "-Dwarnings"))
}

/// No kernel gets this build; it exists for the benchmarks, and must not rot.
fn unchecked_build() -> Result<()> {
    let mut command = library("build");
    command.args(["--features=emulated", "--target-dir=target/unchecked"]);
    run(command.env("RUSTFLAGS", "--cfg sva_os_unchecked"))
}

/// Under loom only its own tests can run: those beside the code are named after it.
fn loom() -> Result<()> {
    let loom = |tests: &[&str]| {
        let mut command = cargo("test");
        command.args(["--package=sva-os", "--release", "--target-dir=target/loom"]).args(tests);
        run(command.env("RUSTFLAGS", "--cfg loom"))
    };
    loom(&["--lib", "loom"])?;
    if Path::new("tests/loom.rs").exists() {
        loom(&["--test=loom"])?;
    }
    Ok(())
}

fn bare_build() -> Result<()> {
    let toolchain = SourceToolchain::find()?;
    run(toolchain.bare("build").args(["--package=sva-os", "--lib"]))?;
    run(toolchain.bare("build").args(["--package=sva-os", "--lib", "--features=boot,log"]))?;
    if toolchain.has_clippy() {
        let all = ["--package=sva-os", "--lib", "--features=boot,log", "--", "-Dwarnings"];
        run(toolchain.bare("clippy").args(all))?;
        // Most of it is for the machine alone, and the lints of the workspace do not see it.
        let kernel = ["--package=kernel", "--lib", "--bins", "--", "-Dwarnings"];
        run(toolchain.bare("clippy").args(kernel))?;
        userland::lint(&toolchain)?;
    }
    Ok(())
}

/// What depends on the width of a word: all but the searches, whose order of calls it does not change.
const SUITES_32_BIT: [&str; 6] =
    ["--lib", "--test=attacks", "--test=devices", "--test=model", "--test=space", "--test=threads"];

fn tests_32_bit() -> Result<()> {
    setup::linker_32_bit()?;
    run(SourceToolchain::find()?.hosted("test").arg("--package=sva-os").args(SUITES_32_BIT))
}

fn test_kernels() -> Result<()> {
    kernels(None)
}
