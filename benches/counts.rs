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
use sva_os::mmu::{Pae, PagingMode, TwoLevel};
use work::rows::{Budget, rows};
use work::{MOST, World};

/// How many calls the two runs of a row make.
const CALLS: [u32; 2] = [MOST / 2, MOST];

/// A row, for the program that prints.
struct Line {
    mode: &'static str,
    name: &'static str,
    budget: Budget,
}

fn lines<P: PagingMode>() -> impl Iterator<Item = Line> {
    rows::<P>().into_iter().map(|row| Line { mode: P::NAME, name: row.name, budget: row.budget })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--run") {
        run::<TwoLevel>();
        run::<Pae>();
        return ExitCode::SUCCESS;
    }
    let place = arguments.iter().position(|argument| argument == "--unchecked");
    let unchecked = place.map(|place| arguments.get(place + 1).expect("--unchecked needs a path"));
    let checked = count(&env::current_exe().unwrap());
    let unchecked = unchecked.map(|path| count(Path::new(path)));
    match print(&checked, unchecked.as_deref()) {
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

/// Runs every row, as often as there are `CALLS`, in the order of `lines`.
fn run<P: PagingMode>() {
    let world = World::<P>::new();
    for row in rows::<P>() {
        for calls in CALLS {
            (row.prepare)(&world, calls);
            measured(&|| (row.run)(&world, calls));
            (row.undo)(&world, calls);
        }
    }
    assert!(cfg!(sva_os_unchecked) || world.sva.audit().is_ok(), "the audit finds a broken state");
}

/// Runs `program` under callgrind and returns instructions for each call, in the order of `lines`.
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

/// Prints the table and says how many rows are over their budgets.
fn print(checked: &[f64], unchecked: Option<&[f64]>) -> usize {
    let bits = usize::BITS;
    println!("\nInstructions for each call, {bits}-bit code\n");
    println!(
        "{:<34} {:<9} {:>9} {:>9} {:>9} {:>7}",
        "row", "mode", "checked", "unchecked", "checking", "budget"
    );
    let mut over = 0;
    for (index, line) in lines::<TwoLevel>().chain(lines::<Pae>()).enumerate() {
        let with = checked[index];
        let without = unchecked.map(|unchecked| unchecked[index]);
        let checking = without.map(|without| with - without);
        let show = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.1}"));
        let (budget, verdict) = match (line.budget, checking) {
            (Budget::None, _) => (String::new(), ""),
            (Budget::AtMost(most), None) => (most.to_string(), ""),
            (Budget::AtMost(most), Some(checking)) if checking <= f64::from(most) => (most.to_string(), "ok"),
            (Budget::AtMost(most), Some(_)) => {
                over += 1;
                (most.to_string(), "over")
            }
        };
        let (name, mode) = (line.name, line.mode);
        println!(
            "{name:<34} {mode:<9} {with:>9.1} {:>9} {:>9} {budget:>7} {verdict}",
            show(without),
            show(checking)
        );
    }
    over
}
