//! `mutants`: cargo-mutants breaks the source one operator at a time, and some test has to fail.
//!
//! The survivors must be exactly those that `tests/mutants/equivalent.txt` argues to be no
//! change at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{read, run};
use crate::toolchain::cargo;

/// What every proof of the library rests on: all of it has to be tested to the last operator.
const SOURCES: [&str; 4] = ["src/frame/**", "src/mmu/**", "src/address.rs", "src/audit.rs"];
const VERSION: &str = "27.1.0";
const TOOLS: &str = "target/tools";
const TOOL: &str = "target/tools/bin/cargo-mutants";
const OUTPUT: &str = "target/mutants";
const SURVIVORS: &str = "target/mutants/mutants.out/missed.txt";
const EQUIVALENT: &str = "tests/mutants/equivalent.txt";

#[derive(Default)]
pub struct Options {
    /// Globs of the files to break; [`SOURCES`] if none are named.
    pub files: Vec<String>,
    /// How many mutants to build and test at the same time.
    pub jobs: Option<u32>,
    /// Forget earlier runs, which say what has been caught already.
    pub fresh: bool,
}

/// Runs cargo-mutants, going on where it was stopped, and judges the survivors.
pub fn mutants(options: &Options) -> Result<()> {
    let listed = equivalents(&fs::read_to_string(EQUIVALENT).context(EQUIVALENT)?)?;
    install()?;
    if options.fresh && Path::new(OUTPUT).exists() {
        fs::remove_dir_all(OUTPUT)?;
    }
    let mut mutants = tool(options);
    mutants.args(["--iterate", "--output", OUTPUT]);
    if let Some(jobs) = options.jobs {
        mutants.arg(format!("--jobs={jobs}"));
    }
    without_shrinking(&mut mutants);
    match mutants.status()?.code() {
        // All caught; some missed; some timed out, which is caught too.
        Some(0 | 2 | 3) => {}
        Some(4) => bail!("the tests fail before anything is broken"),
        _ => bail!("cargo-mutants did not finish: the same command goes on where it stopped"),
    }

    let list = read(tool(options).args(["--list", "--line-col=false"]))?;
    let scope: BTreeSet<_> = list.lines().collect();
    ensure!(!scope.is_empty(), "no file holds a mutant");
    let survivors = fs::read_to_string(SURVIVORS).context(SURVIVORS)?;
    let survivors: Vec<_> = survivors.lines().map(without_position).collect();
    let complaints = complaints(&listed, &survivors, &scope, options.files.is_empty());
    for complaint in &complaints {
        println!("{complaint}");
    }
    ensure!(complaints.is_empty(), "{EQUIVALENT} and the survivors in {SURVIVORS} differ");
    println!("survivors: {}, each argued to be equivalent", survivors.len());
    Ok(())
}

/// Makes a failing property test end at once, and leave nothing behind for the next run.
pub fn without_shrinking(command: &mut Command) {
    command.env("PROPTEST_MAX_SHRINK_ITERS", "0").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
}

fn tool(options: &Options) -> Command {
    let mut command = Command::new(TOOL);
    command.arg("mutants");
    if options.files.is_empty() {
        command.args(SOURCES.map(|glob| format!("--file={glob}")));
    }
    command.args(options.files.iter().map(|glob| format!("--file={glob}")));
    command
}

/// Installs cargo-mutants beside the build, so that the machine's own tools stay as they are.
fn install() -> Result<()> {
    let installed = read(Command::new(TOOL).args(["mutants", "--version"])).unwrap_or_default();
    if installed.trim().ends_with(VERSION) {
        return Ok(());
    }
    println!("xtask: installing cargo-mutants {VERSION} into {TOOLS}");
    run(cargo("install").args([
        "cargo-mutants",
        "--version",
        VERSION,
        "--locked",
        "--quiet",
        "--root",
        TOOLS,
    ]))
}

/// The mutants listed as equivalent. Each needs its argument.
fn equivalents(text: &str) -> Result<Vec<String>> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).peekable();
    let mut mutants = Vec::new();
    let is_argument = |line: &&str| line.starts_with(char::is_whitespace);
    while let Some(mutant) = lines.next() {
        ensure!(!is_argument(&mutant) && lines.next_if(is_argument).is_some(), "no argument: {mutant}");
        while lines.next_if(is_argument).is_some() {}
        mutants.push(mutant.to_owned());
    }
    Ok(mutants)
}

/// `src/a.rs:1:2: replace ...` as `src/a.rs: replace ...`, which an edit above does not change.
fn without_position(mutant: &str) -> String {
    let (place, change) = mutant.split_once(": ").unwrap_or((mutant, ""));
    let file = place.split(':').next().unwrap_or_default();
    format!("{file}: {change}")
}

/// Where the list and the survivors differ. What is outside the `scope` of this run is judged
/// only if the run was over `everything`.
fn complaints(
    listed: &[String],
    survivors: &[String],
    scope: &BTreeSet<&str>,
    everything: bool,
) -> Vec<String> {
    let count = |mutants: &[String], mutant: &String| mutants.iter().filter(|other| *other == mutant).count();
    let mutants: BTreeSet<_> = listed.iter().chain(survivors).collect();
    let complaint = |mutant: &String| {
        let in_scope = scope.contains(mutant.as_str());
        let (listed, survivors) = (count(listed, mutant), count(survivors, mutant));
        if survivors > listed {
            Some(format!("survived, not listed: {mutant}"))
        } else if in_scope && survivors < listed {
            Some(format!("listed, but caught:   {mutant}"))
        } else if everything && !in_scope {
            Some(format!("listed, but is gone:  {mutant}"))
        } else {
            None
        }
    };
    mutants.into_iter().filter_map(complaint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_equivalent_has_an_argument() {
        let text = "# header\n\na.rs: x\n  because\n  it is\nb.rs: y\n\tsame\n";
        assert_eq!(equivalents(text).unwrap(), ["a.rs: x", "b.rs: y"]);
        assert!(equivalents("a.rs: x\nb.rs: y\n  because\n").is_err());
        assert!(equivalents("  because\n").is_err());
    }

    #[test]
    fn a_mutant_is_known_without_its_position() {
        let mutant = "src/a.rs:12:5: replace f -> Result<A::B> with Ok(C::D: e)";
        assert_eq!(without_position(mutant), "src/a.rs: replace f -> Result<A::B> with Ok(C::D: e)");
    }

    #[test]
    fn the_list_and_the_survivors_must_agree() {
        let judge = |listed: &[&str], survivors: &[&str], everything| {
            let own = |mutants: &[&str]| mutants.iter().map(|&mutant| mutant.to_owned()).collect::<Vec<_>>();
            complaints(&own(listed), &own(survivors), &BTreeSet::from(["a", "b"]), everything).len()
        };
        assert_eq!(judge(&["a"], &["a"], true), 0);
        assert_eq!(judge(&["a"], &["a", "a"], true), 1, "a twin that nobody argued");
        assert_eq!(judge(&[], &["b"], true), 1, "a survivor that nobody argued");
        assert_eq!(judge(&["a"], &[], true), 1, "an equivalent that a test kills");
        assert_eq!(judge(&["z"], &[], true), 1, "an equivalent that is gone");
        assert_eq!(judge(&["z"], &[], false), 0, "an equivalent in a file that was not run");
    }
}
