//! `mutants`: cargo-mutants breaks the source one operator at a time, and some test has to fail.
//!
//! The survivors must be exactly those that `tests/mutants/equivalent.txt` argues to be no
//! change at all.

mod equivalents;
mod stage;
mod verdicts;

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use crate::process::{read, run};
use crate::snapshot::Snapshot;
use crate::toolchain::cargo;
use equivalents::{complaints, equivalents, without_position};
use stage::{Bench, STAGES, Stage};
use verdicts::{Outcome, Verdicts};

/// What every proof of the library rests on: all of it has to be tested to the last operator.
const SOURCES: [&str; 7] = [
    "src/frame/**",
    "src/mmu/**",
    "src/context/**",
    "src/interrupt/**",
    "src/io/**",
    "src/address.rs",
    "src/audit.rs",
];
/// Of it, what is built on hardware only: no test of the host can tell.
const NOT_ON_A_HOST: [&str; 2] = ["src/interrupt/stubs.rs", "src/interrupt/tables.rs"];
const VERSION: &str = "27.1.0";
const TOOLS: &str = "target/tools";
const TOOL: &str = "target/tools/bin/cargo-mutants";
const OUTPUT: &str = "target/mutants";
const VERDICTS: &str = "target/mutants/verdicts.txt";
const EQUIVALENT: &str = "tests/mutants/equivalent.txt";
/// How many mutants a bench takes at a time: what is lost when the command is stopped.
const CHUNK: usize = 8;

#[derive(Default)]
pub struct Options {
    /// Globs of the files to break; [`SOURCES`] if none are named.
    pub files: Vec<String>,
    /// How many mutants to build and test at the same time.
    pub jobs: Option<usize>,
    /// Forget earlier runs, which say what has been caught already.
    pub fresh: bool,
    /// Run all tests on what is listed as equivalent too, not the quick ones alone.
    pub listed: bool,
}

/// Runs all stages, going on where it was stopped, and judges the survivors.
pub fn mutants(options: &Options) -> Result<()> {
    let listed = equivalents(&fs::read_to_string(EQUIVALENT).context(EQUIVALENT)?)?;
    install()?;
    if options.fresh && Path::new(VERDICTS).exists() {
        fs::remove_file(VERDICTS)?;
    }
    fs::create_dir_all(OUTPUT)?;
    let tree = Snapshot::take()?;
    let list = list(options)?;
    ensure!(!list.is_empty(), "no file holds a mutant");

    let jobs = options.jobs.unwrap_or(1).max(1);
    let benches = (0..jobs).map(|number| Bench::new(OUTPUT, number, &tree)).collect::<Result<Vec<_>>>()?;
    let verdicts = Mutex::new(Verdicts::read(VERDICTS, &tree)?);
    for (number, stage) in STAGES.iter().enumerate() {
        // No test tells an equivalent from the source; the slow ones take longest to say so. Some stage has to try it.
        let was_tried = |mutant: &str| verdicts.lock().is_ok_and(|verdicts| verdicts.get(mutant).is_some());
        let skips = |mutant: &str| {
            !options.listed
                && !stage.is_quick()
                && listed.contains(&without_position(mutant))
                && was_tried(mutant)
        };
        let list = list.iter().filter(|mutant| stage.is_for(mutant) && !skips(mutant)).cloned().collect();
        run_stage(number, stage, &list, &benches, &verdicts, &tree)?;
    }

    let verdicts = verdicts.into_inner().map_err(|_| anyhow!("a bench panicked"))?;
    summarise(&list, &verdicts);
    let missed = list.iter().filter(|mutant| matches!(verdicts.get(mutant), Some((_, Outcome::Missed))));
    let survivors: Vec<_> = missed.map(|mutant| without_position(mutant)).collect();
    let scope = list.iter().map(|mutant| without_position(mutant)).collect();
    let complaints = complaints(&listed, &survivors, &scope, options.files.is_empty());
    for complaint in &complaints {
        println!("{complaint}");
    }
    ensure!(complaints.is_empty(), "{EQUIVALENT} and the survivors differ; verdicts in {VERDICTS}");
    println!("survivors: {}, each argued to be equivalent", survivors.len());
    Ok(())
}

/// Runs one stage over the mutants that all stages before it missed.
fn run_stage(
    number: usize,
    stage: &Stage,
    list: &BTreeSet<String>,
    benches: &[Bench],
    verdicts: &Mutex<Verdicts>,
    tree: &Snapshot,
) -> Result<()> {
    let lock = || verdicts.lock().map_err(|_| anyhow!("a bench panicked"));
    let known = lock()?;
    let is_due = |mutant: &&String| match known.get(mutant) {
        None => true,
        Some((last, outcome)) => outcome == Outcome::Missed && last < number,
    };
    let due: Vec<_> = list.iter().filter(is_due).cloned().collect();
    drop(known);
    let Some(bench) = benches.first().filter(|_| !due.is_empty()) else {
        return Ok(());
    };
    println!("{}: {} mutants; first unbroken", stage.name, due.len());
    bench.try_unbroken(stage).context("the tests fail before anything is broken")?;

    let queue: Mutex<VecDeque<_>> = Mutex::new(due.chunks(CHUNK).map(<[_]>::to_vec).collect());
    let work = |bench: &Bench| -> Result<()> {
        loop {
            let Some(chunk) = queue.lock().map_err(|_| anyhow!("a bench panicked"))?.pop_front() else {
                return Ok(());
            };
            let outcomes = bench.try_mutants(stage, &chunk)?;
            for (mutant, _) in outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Missed) {
                println!("  missed: {mutant}");
            }
            let outcomes =
                outcomes.into_iter().map(|(mutant, outcome)| (mutant, (number, outcome))).collect();
            let mut verdicts = lock()?;
            verdicts.add(tree, outcomes)?;
            let done =
                due.iter().filter_map(|mutant| verdicts.get(mutant)).filter(|(last, _)| *last == number);
            let missed = done.clone().filter(|(_, outcome)| *outcome == Outcome::Missed);
            println!("{}: {} of {} done, {} missed", stage.name, done.count(), due.len(), missed.count());
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = benches.iter().map(|bench| scope.spawn(|| work(bench))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a bench panicked"))?)
    })
}

/// Prints what each stage found.
fn summarise(list: &BTreeSet<String>, verdicts: &Verdicts) {
    println!("{} mutants", list.len());
    for (number, stage) in STAGES.iter().enumerate() {
        let count =
            |outcome| list.iter().filter(|mutant| verdicts.get(mutant) == Some((number, outcome))).count();
        let [caught, timeout, unviable, missed] = Outcome::ALL.map(|(outcome, _)| count(outcome));
        println!(
            "{:<18} {caught} caught, {timeout} timed out, {unviable} did not compile, {missed} left",
            stage.name
        );
    }
}

/// Makes a failing property test end at once, and leave nothing behind for the next run.
pub fn without_shrinking(command: &mut Command) {
    command.env("PROPTEST_MAX_SHRINK_ITERS", "0").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
}

/// The mutants of the chosen files, one line each.
fn list(options: &Options) -> Result<BTreeSet<String>> {
    let mut command = Command::new(TOOL);
    command.args(["mutants", "--list"]);
    if options.files.is_empty() {
        command.args(SOURCES.map(|glob| format!("--file={glob}")));
    }
    command.args(NOT_ON_A_HOST.map(|glob| format!("--exclude={glob}")));
    command.args(options.files.iter().map(|glob| format!("--file={glob}")));
    Ok(read(&mut command)?.lines().map(str::to_owned).collect())
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
