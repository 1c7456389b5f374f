//! `mutations`: wrong orders written by hand, `tests/mutants/*.patch`, and some test has to fail.
//!
//! What cargo-mutants cannot think of: a lock taken too late, a flush before the clear. A patch
//! starts with lines that say what is wrong, then `expect:` and parts of the names of tests, of
//! which one has to fail, and perhaps `run:` with the arguments of a `cargo test` that is enough.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::mutants::without_shrinking;
use crate::process::run_quietly;
use crate::snapshot::Snapshot;

const PATCHES: &str = "tests/mutants";
/// A copy of the work tree to break. What is built of it goes beside it.
const TREE: &str = "target/mutations/tree";
const LOGS: &str = "target/mutations/logs";
/// Seconds after which a test run counts as hanging.
const LIMIT: &str = "1800";
const HANGS: &str = "the time limit";

/// Applies each patch whose name contains `name` to a copy of the work tree and runs the tests.
pub fn mutations(name: Option<&str>) -> Result<()> {
    let patches = patches(name.unwrap_or_default())?;
    ensure!(!patches.is_empty(), "no such patch in {PATCHES}");
    fs::create_dir_all(LOGS)?;
    let tree = Snapshot::take()?;

    tree.restore(Path::new(TREE))?;
    for run in patches.iter().map(|patch| &patch.run).collect::<BTreeSet<_>>() {
        println!("unchanged: {run}");
        let dead = run_tests("unchanged", run)?;
        ensure!(dead.is_empty(), "the tests fail before anything is broken: {}, see {LOGS}", dead.join(", "));
    }

    let mut failures = 0;
    for patch in &patches {
        tree.restore(Path::new(TREE))?;
        let verdict = patch.try_out().unwrap_or_else(|error| Verdict::Broken(format!("{error:#}")));
        failures += usize::from(!matches!(verdict, Verdict::Caught(_)));
        println!("{:<40} {}", patch.name, verdict.describe());
    }
    ensure!(
        failures == 0,
        "{failures} of {} patches are not caught as expected; logs in {LOGS}",
        patches.len()
    );
    println!("all caught: {}", patches.len());
    Ok(())
}

/// A wrong order and what its author says of it.
struct Patch {
    name: String,
    path: PathBuf,
    expect: Vec<String>,
    run: String,
}

enum Verdict {
    /// Some expected test failed: all that failed.
    Caught(Vec<String>),
    /// Only tests failed that were not expected to.
    Unexpected(Vec<String>),
    Survived,
    /// It was not tried: it does not apply, or does not build.
    Broken(String),
}

impl Patch {
    fn read(path: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(&path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (expect, run) = header(&text).with_context(|| name.clone())?;
        Ok(Self { name, path, expect, run })
    }

    fn try_out(&self) -> Result<Verdict> {
        let directory = format!("--directory={TREE}");
        run_quietly(Command::new("git").args(["apply", &directory]).arg(&self.path))
            .context("does not apply")?;
        let dead = run_tests(&self.name, &self.run)?;
        let expected = |name: &String| self.expect.iter().any(|part| name.contains(part));
        Ok(match dead {
            dead if dead.is_empty() => Verdict::Survived,
            dead if dead.iter().any(expected) => Verdict::Caught(dead),
            dead => Verdict::Unexpected(dead),
        })
    }
}

impl Verdict {
    fn describe(&self) -> String {
        match self {
            Self::Caught(dead) => dead.join(", "),
            Self::Unexpected(dead) => format!("NOT BY WHAT WAS EXPECTED, but by {}", dead.join(", ")),
            Self::Survived => "SURVIVED".to_owned(),
            Self::Broken(why) => format!("NOT TRIED: {why}"),
        }
    }
}

/// The patches whose name contains `part`, in order.
fn patches(part: &str) -> Result<Vec<Patch>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(PATCHES).context(PATCHES)? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    paths.sort();
    let patches: Result<Vec<_>> = paths.into_iter().map(Patch::read).collect();
    Ok(patches?.into_iter().filter(|patch| patch.name.contains(part)).collect())
}

/// What `expect:` and `run:` say before the diff starts.
fn header(patch: &str) -> Result<(Vec<String>, String)> {
    let lines = patch.lines().take_while(|line| !line.starts_with("diff ") && !line.starts_with("--- "));
    let (mut expect, mut run) = (Vec::new(), String::new());
    for line in lines {
        if let Some(tests) = line.strip_prefix("expect:") {
            expect.extend(tests.split(',').map(|test| test.trim().to_owned()));
        } else if let Some(arguments) = line.strip_prefix("run:") {
            run = arguments.trim().to_owned();
        }
    }
    expect.retain(|test| !test.is_empty());
    ensure!(!expect.is_empty(), "no `expect:` line before the diff");
    Ok((expect, run))
}

/// Builds and runs the tests of the copy and returns the names of those that fail.
fn run_tests(name: &str, arguments: &str) -> Result<Vec<String>> {
    let log = PathBuf::from(LOGS).join(name).with_extension("log");
    let file = File::create(&log)?;
    let test = |more: &[&str]| {
        // `timeout` ends the test programs too; a killed cargo would leave them.
        let mut command = Command::new("timeout");
        command.args([LIMIT, "cargo", "test", "--package=sva-os", "--profile=mutants", "--no-fail-fast"]);
        command.args(more).args(arguments.split_whitespace());
        command.current_dir(TREE).env("CARGO_TARGET_DIR", "../target");
        command.env("CARGO_PROFILE_MUTANTS_OPT_LEVEL", "1");
        without_shrinking(&mut command);
        command
    };
    run_quietly(&mut test(&["--no-run"])).context("does not build")?;
    let status = test(&[]).stdout(file.try_clone()?).stderr(file).status()?;
    let mut dead = failed(&fs::read_to_string(&log)?);
    if status.code() == Some(124) {
        dead.push(HANGS.to_owned());
    }
    if !status.success() && dead.is_empty() {
        bail!("the tests did not run: see {}", log.display());
    }
    Ok(dead)
}

/// The tests that a log says failed, and the programs that died of a signal.
fn failed(log: &str) -> Vec<String> {
    let failed = |line: &str| {
        if let Some(test) = line.strip_prefix("test ").and_then(|test| test.strip_suffix(" ... FAILED")) {
            return Some(test.trim_end_matches(" - should panic").to_owned());
        }
        let (_, program) = line.split_once("process didn't exit successfully: `")?;
        let (program, status) = program.split_once("` (signal: ")?;
        let program = Path::new(program.split(' ').next()?).file_name()?.to_string_lossy().into_owned();
        Some(format!(
            "{} (signal {}",
            program.rsplit_once('-').map_or(&*program, |(name, _hash)| name),
            status
        ))
    };
    log.lines().filter_map(failed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_ends_where_the_diff_starts() {
        let patch = "The count is dropped too late.\nexpect: model, release_\nrun: --test model\n--- a/x\nexpect: no\n";
        let (expect, run) = header(patch).unwrap();
        assert_eq!(expect, ["model", "release_"]);
        assert_eq!(run, "--test model");
        assert!(header("--- a/x\nexpect: no\n").is_err());
    }

    #[test]
    fn a_log_names_failed_tests_and_programs_that_died() {
        let log = "\
test frame::a ... ok
test frame::b ... FAILED
test frame::c - should panic ... FAILED
  process didn't exit successfully: `/x/deps/model-0123 --quiet` (signal: 6, SIGABRT: process abort signal)
  process didn't exit successfully: `/x/deps/model-0123` (exit status: 101)
";
        assert_eq!(failed(log), ["frame::b", "frame::c", "model (signal 6, SIGABRT: process abort signal)"]);
    }
}
