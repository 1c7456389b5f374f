//! The tests in stages: what kills most for the least time comes first, and each stage runs only over
//! what all before it missed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Result, bail, ensure};

use super::verdicts::Outcome;
use super::{TOOL, without_shrinking};
use crate::process::{line, run_quietly};
use crate::snapshot::Snapshot;
use crate::toolchain::cargo;

/// A part of the tests, and how to build it.
pub struct Stage {
    pub name: &'static str,
    targets: &'static [&'static str],
    /// Tests left out, by parts of their names: a later stage has them.
    skip: &'static [&'static str],
    /// Unoptimised code builds in a fraction of the time and runs in a multiple.
    opt_level: u8,
    /// Seconds of processor time after which a test program counts as looping: about five times
    /// what the unbroken code takes.
    limit: u32,
    /// The tests that are run, by parts of their names; all if there is none.
    only: &'static [&'static str],
    /// Whose mutants this stage is for.
    scope: Scope,
}

/// Of what sources mutants are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    /// All but those whose own tests the stage skips: they wait for a later one.
    Core,
    Devices,
}

pub const STAGES: [Stage; 10] = [
    Stage {
        name: "quick unit tests",
        targets: &["--lib", "--test=space"],
        skip: &[
            "audit::",
            "boot::",
            "heap::",
            "io::",
            "a_sound_layout",
            "decode_takes",
            "every_frame_is_typed",
            "machine::",
            "more_rights_are_never_easier",
            "random_layouts",
            "the_mmu_does_what",
        ],
        opt_level: 0,
        limit: 20,
        only: &[],
        scope: Scope::Core,
    },
    Stage {
        name: "quick attacks",
        targets: &["--test=attacks"],
        skip: &["clock::", "concurrency::", "plans::", "ports::", "shootdown::"],
        opt_level: 0,
        limit: 150,
        only: &[],
        scope: Scope::Core,
    },
    Stage {
        name: "unit tests of devices",
        targets: &["--lib"],
        skip: &["a_claim_sets_its_bits", "a_refused_claim_names", "sequences_against_a_set"],
        opt_level: 0,
        limit: 20,
        only: &["io::"],
        scope: Scope::Devices,
    },
    Stage {
        name: "model of devices",
        targets: &["--test=devices"],
        skip: &[],
        opt_level: 1,
        limit: 120,
        only: &[],
        scope: Scope::Devices,
    },
    Stage {
        name: "all unit tests",
        targets: &["--lib"],
        skip: &[],
        opt_level: 1,
        limit: 60,
        only: &[],
        scope: Scope::All,
    },
    Stage {
        name: "all attacks",
        targets: &["--test=attacks"],
        skip: &[],
        opt_level: 1,
        limit: 120,
        only: &[],
        scope: Scope::All,
    },
    Stage {
        name: "model",
        targets: &["--test=model"],
        skip: &[],
        opt_level: 1,
        limit: 150,
        only: &[],
        scope: Scope::All,
    },
    Stage {
        name: "model of threads",
        targets: &["--test=threads"],
        skip: &[],
        opt_level: 1,
        limit: 150,
        only: &[],
        scope: Scope::All,
    },
    Stage {
        name: "worlds",
        targets: &["--test=worlds"],
        skip: &[],
        opt_level: 1,
        limit: 150,
        only: &[],
        scope: Scope::All,
    },
    Stage {
        name: "schedules",
        targets: &["--test=schedules"],
        skip: &[],
        opt_level: 1,
        limit: 400,
        only: &[],
        scope: Scope::All,
    },
];

const AUDIT: &str = "src/audit.rs";
const DEVICES: &str = "src/io/";
/// Seconds after which any command counts as hanging, on a machine as busy as may be.
const PATIENCE: &str = "--timeout=1800";
/// The profile, in `.cargo/config.toml`.
const PROFILE: &str = "--profile=mutants";
const FEATURES: &str = "--features=emulated";

/// A place to break things in: a copy of the work tree, and what is built of it.
pub struct Bench {
    tree: PathBuf,
    built: PathBuf,
    output: PathBuf,
}

impl Bench {
    /// The bench with this number, its tree equal to `snapshot`.
    pub fn new(directory: &str, number: usize, snapshot: &Snapshot) -> Result<Self> {
        let directory = env::current_dir()?.join(directory).join(format!("bench-{number}"));
        let bench = Self {
            tree: directory.join("tree"),
            built: directory.join("target"),
            output: directory.join("output"),
        };
        fs::create_dir_all(&bench.output)?;
        snapshot.restore(&bench.tree)?;
        Ok(bench)
    }

    /// Runs the stage on unbroken code, which has to pass.
    pub fn try_unbroken(&self, stage: &Stage) -> Result<()> {
        let mut test = cargo("test");
        test.args([PROFILE, FEATURES, "--package=sva-os"]).args(stage.cargo_arguments());
        test.arg("--").args(stage.test_arguments());
        self.prepare(&mut test, stage);
        run_quietly(test.current_dir(&self.tree))
    }

    /// Runs the stage on each of `mutants`, which are lines of `cargo mutants --list`.
    pub fn try_mutants(&self, stage: &Stage, mutants: &[String]) -> Result<Vec<(String, Outcome)>> {
        let mut tool = Command::new(env::current_dir()?.join(TOOL));
        tool.args(["mutants", "--in-place", "--baseline=skip", PATIENCE]);
        tool.arg("--dir").arg(&self.tree).arg("--output").arg(&self.output);
        // The tool asks the patterns of some sorts of mutants only: the files keep the others out.
        tool.args(files(mutants).iter().map(|file| format!("--file={file}")));
        tool.args(mutants.iter().map(|mutant| format!("--re=^{}$", literally(mutant))));
        tool.args(stage.cargo_arguments().iter().map(|argument| format!("--cargo-arg={argument}")));
        tool.args(["--", "--"]).args(stage.test_arguments());
        self.prepare(&mut tool, stage);
        let status = tool.stdout(Stdio::null()).status()?;
        match status.code() {
            // All caught; some missed; some timed out.
            Some(0 | 2 | 3) => self.outcomes(),
            _ => bail!("`{}` did not finish: {status}", line(&tool)),
        }
    }

    /// What cargo-mutants wrote down.
    fn outcomes(&self) -> Result<Vec<(String, Outcome)>> {
        let mut outcomes = Vec::new();
        for (outcome, file) in Outcome::ALL {
            let list = fs::read_to_string(self.output.join("mutants.out").join(file))?;
            outcomes.extend(list.lines().map(|mutant| (mutant.to_owned(), outcome)));
        }
        ensure!(!outcomes.is_empty(), "cargo-mutants found none of its own mutants");
        Ok(outcomes)
    }

    fn prepare(&self, command: &mut Command, stage: &Stage) {
        command.env("CARGO_TARGET_DIR", &self.built);
        command.env("CARGO_PROFILE_MUTANTS_OPT_LEVEL", stage.opt_level.to_string());
        // The test harness stops at the first failure only if it takes itself for an unstable one.
        command.env("RUSTC_BOOTSTRAP", "1").env("RUST_TEST_THREADS", "1");
        without_shrinking(command);
    }
}

impl Stage {
    /// Whether it takes a few seconds.
    pub fn is_quick(&self) -> bool {
        self.opt_level == 0 && self.limit < 150
    }

    /// Whether this stage is worth while for the mutant on this line.
    pub fn is_for(&self, mutant: &str) -> bool {
        let (audit, devices) = (mutant.starts_with(AUDIT), mutant.starts_with(DEVICES));
        match self.scope {
            Scope::All => true,
            Scope::Core => !audit && !devices,
            Scope::Devices => devices,
        }
    }

    fn cargo_arguments(&self) -> Vec<String> {
        // Processor time, unlike time on the clock, is the same on a busy machine.
        let runner = format!("target.'cfg(unix)'.runner = ['prlimit', '--cpu={}']", self.limit);
        self.targets.iter().map(|&target| target.to_owned()).chain([format!("--config={runner}")]).collect()
    }

    fn test_arguments(&self) -> Vec<String> {
        let skip = self.skip.iter().map(|part| format!("--skip={part}"));
        let options = ["-Zunstable-options", "--fail-fast"].iter().chain(self.only);
        options.map(|&option| option.to_owned()).chain(skip).collect()
    }
}

/// The files that `mutants` break.
fn files(mutants: &[String]) -> BTreeSet<&str> {
    mutants.iter().filter_map(|mutant| mutant.split(':').next()).collect()
}

/// `text` as a regular expression that only it matches.
fn literally(text: &str) -> String {
    let mut expression = String::new();
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            expression.push('\\');
        }
        expression.push(character);
    }
    expression
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_is_a_pattern_of_itself() {
        assert_eq!(literally("a.rs:1: replace ^ with *"), r"a\.rs:1: replace \^ with \*");
        assert_eq!(literally("Sva<M>::f -> &'static [u8]"), r"Sva<M>::f -> &'static \[u8\]");
    }

    #[test]
    fn what_a_stage_skips_a_later_one_runs() {
        for (number, stage) in STAGES.iter().enumerate() {
            let later = STAGES.iter().skip(number + 1);
            let whole: Vec<_> =
                later.filter(|stage| stage.skip.is_empty()).flat_map(|stage| stage.targets).collect();
            let target = stage.targets.first();
            assert!(stage.skip.is_empty() || target.is_some_and(|target| whole.contains(&target)));
        }
    }
}
