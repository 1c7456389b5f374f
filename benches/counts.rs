//! Counts the instructions that each intrinsic executes, and of these the checking.
//!
//! ```text
//! cargo bench --bench counts                       checked only
//! cargo bench --bench counts -- --unchecked PATH   beside the same program, built with
//!                                                  RUSTFLAGS="--cfg sva_os_unchecked"
//! ```
//!
//! Each row runs under callgrind twice, with some calls and with twice as many; the difference is
//! what so many calls cost, and the same number every time. The figures of record are those of a
//! 32-bit build; `cargo xtask bench` makes all builds and runs this program. It fails if a row is over
//! its budget.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a benchmark fails by panicking"
)]

mod work;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use work::{Case, MOST, Work};

/// How many calls the two runs of a row make.
const CALLS: [u32; 2] = [MOST / 2, MOST];
/// Budgets are for this code.
const RECORD: u32 = 32;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let work = Work::new();
    if arguments.iter().any(|argument| argument == "--run") {
        run(&work);
        return ExitCode::SUCCESS;
    }
    let place = arguments.iter().position(|argument| argument == "--unchecked");
    let unchecked = place.map(|place| arguments.get(place + 1).expect("--unchecked needs a path"));
    let checked = count(&env::current_exe().unwrap());
    let unchecked = unchecked.map(|path| count(Path::new(path)));
    match print(&work.cases, &checked, unchecked.as_deref()) {
        0 => ExitCode::SUCCESS,
        over => {
            eprintln!("\n{over} rows are over their budgets");
            ExitCode::FAILURE
        }
    }
}

/// The part that callgrind counts. Not inlined, and no other function has such a name.
#[inline(never)]
fn measured(work: &dyn Fn()) {
    work();
}

/// Runs every case, as often as there are `CALLS`.
fn run(work: &Work) {
    for case in &work.cases {
        for calls in CALLS {
            (case.prepare)(calls);
            measured(&|| (case.run)(calls));
            (case.undo)(calls);
        }
    }
    assert!(work.sound.iter().all(|sound| sound()), "the audit finds a broken state");
}

/// Runs `program` under callgrind and returns instructions for each call, in the order of the cases.
fn count(program: &Path) -> Vec<f64> {
    let directory = env::temp_dir().join(format!("counts-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let output = directory.join("out");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--toggle-collect=*measured*", "--dump-after=counts::measured"]);
    valgrind.arg(format!("--callgrind-out-file={}", output.display())).arg(program).arg("--run");
    let run = valgrind.stdout(Stdio::null()).stderr(Stdio::piped()).output().expect("valgrind starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let totals: Vec<u64> = (1..).map_while(|part| total(&part_of(&output, part))).collect();
    fs::remove_dir_all(&directory).unwrap();
    totals.chunks_exact(2).map(|pair| (pair[1] - pair[0]) as f64 / f64::from(CALLS[1] - CALLS[0])).collect()
}

/// Where callgrind puts the profile of the `part`-th call of `measured`.
fn part_of(output: &Path, part: u32) -> PathBuf {
    output.with_extension(part.to_string())
}

/// The instructions in one profile; `None` if there is no such file.
fn total(profile: &Path) -> Option<u64> {
    let text = fs::read_to_string(profile).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.expect("callgrind gives a total").trim().parse().ok()
}

/// Prints the table, cases of one name together, and says how many are over their budgets.
fn print(cases: &[Case], checked: &[f64], unchecked: Option<&[f64]>) -> usize {
    let bits = usize::BITS;
    let judged = bits == RECORD && unchecked.is_some();
    println!("\nInstructions of a call, {bits}-bit code. Budgets are for {RECORD}-bit code.\n");
    println!(
        "{:<34} {:<15} {:>9} {:>9} {:>9} {:>7}",
        "row", "mode", "checked", "unchecked", "checking", "budget"
    );
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_key(|index| cases.iter().position(|first| first.name == cases[*index].name));
    let mut over = 0;
    for index in order {
        let case = &cases[index];
        // What checks nothing is the same program in both builds.
        let unchecked = unchecked.filter(|_| case.checks).map(|unchecked| unchecked[index]);
        let checking = unchecked.map(|unchecked| checked[index] - unchecked);
        let verdict = match (case.budget, checking) {
            (Some(budget), Some(checking)) if judged => {
                let fits = checking <= f64::from(budget);
                over += usize::from(!fits);
                if fits { "ok" } else { "over" }
            }
            _ => "",
        };
        let show = |number: Option<f64>| number.map_or(String::new(), |number| format!("{number:.1}"));
        let budget = case.budget.map_or(String::new(), |budget| budget.to_string());
        println!(
            "{:<34} {:<15} {:>9.1} {:>9} {:>9} {budget:>7} {verdict}",
            case.name,
            case.mode,
            checked[index],
            show(unchecked),
            show(checking)
        );
    }
    over
}
