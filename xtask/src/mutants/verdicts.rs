//! What earlier runs found out, kept in a file, as far as it still holds.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::snapshot::Snapshot;

/// What became of a mutant in one stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A test failed, or took more time than the unbroken code ever does.
    Caught,
    Timeout,
    /// It does not compile.
    Unviable,
    Missed,
}

impl Outcome {
    /// All, each with the file of cargo-mutants that lists its mutants.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Caught, "caught.txt"),
        (Self::Timeout, "timeout.txt"),
        (Self::Unviable, "unviable.txt"),
        (Self::Missed, "missed.txt"),
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Timeout => "timeout",
            Self::Unviable => "unviable",
            Self::Missed => "missed",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().map(|(outcome, _)| outcome).find(|outcome| outcome.name() == name)
    }
}

/// An outcome and the number of the stage that brought it.
pub type Verdict = (usize, Outcome);

/// The last verdict on every mutant that was tried, by its line with position.
pub struct Verdicts {
    path: &'static str,
    /// Of all that a test depends on.
    tests: u64,
    known: BTreeMap<String, Verdict>,
}

impl Verdicts {
    /// Reads what still holds: what was caught, while the file that it breaks is the same, and what
    /// was missed, while everything is the same.
    pub fn read(path: &'static str, tree: &Snapshot) -> Result<Self> {
        let tests = tree.fingerprint(|file| {
            let is_text = file.starts_with("tests/mutants");
            !is_text
                && (file.starts_with("src") || file.starts_with("tests") || file.starts_with("Cargo.toml"))
        });
        let mut known = BTreeMap::new();
        if Path::new(path).exists() {
            for line in fs::read_to_string(path)?.lines() {
                // A line may be cut short if the machine went down.
                let Some((mutant, verdict, of_file, of_tests)) = parse(line) else { continue };
                let holds = match verdict.1 {
                    Outcome::Missed => of_tests == tests,
                    _ => of_file == of_broken_file(tree, mutant),
                };
                if holds {
                    known.insert(mutant.to_owned(), verdict);
                } else {
                    known.remove(mutant);
                }
            }
        }
        Ok(Self { path, tests, known })
    }

    pub fn get(&self, mutant: &str) -> Option<Verdict> {
        self.known.get(mutant).copied()
    }

    /// Adds verdicts, on disk too.
    pub fn add(&mut self, tree: &Snapshot, verdicts: Vec<(String, Verdict)>) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path).context(self.path)?;
        for (mutant, (stage, outcome)) in verdicts {
            let (of_file, of_tests) = (of_broken_file(tree, &mutant), self.tests);
            writeln!(file, "{of_file:016x} {of_tests:016x} {stage} {} {mutant}", outcome.name())?;
            self.known.insert(mutant, (stage, outcome));
        }
        Ok(())
    }
}

fn of_broken_file(tree: &Snapshot, mutant: &str) -> u64 {
    let broken = mutant.split(':').next().unwrap_or_default();
    tree.fingerprint(|file| file == Path::new(broken))
}

fn parse(line: &str) -> Option<(&str, Verdict, u64, u64)> {
    let mut words = line.splitn(5, ' ');
    let of_file = u64::from_str_radix(words.next()?, 16).ok()?;
    let of_tests = u64::from_str_radix(words.next()?, 16).ok()?;
    let stage = words.next()?.parse().ok()?;
    let outcome = Outcome::of_name(words.next()?)?;
    Some((words.next()?, (stage, outcome), of_file, of_tests))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let line = "00000000000000ff 0000000000000001 3 missed src/a.rs:1:2: replace a with b";
        let verdict = (3, Outcome::Missed);
        assert_eq!(parse(line), Some(("src/a.rs:1:2: replace a with b", verdict, 255, 1)));
        assert_eq!(parse("00000000000000ff 0000000000000001 3 mis"), None);
        assert_eq!(parse(""), None);
    }
}
