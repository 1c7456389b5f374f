//! The list of mutants that no test can kill, and how it has to agree with the survivors.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

/// The mutants listed in `text` as equivalent: each line needs its argument, and may say how many twins it is for.
pub fn equivalents(text: &str) -> Result<Vec<String>> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).peekable();
    let mut mutants = Vec::new();
    let is_argument = |line: &&str| line.starts_with(char::is_whitespace);
    while let Some(mutant) = lines.next() {
        ensure!(!is_argument(&mutant) && lines.next_if(is_argument).is_some(), "no argument: {mutant}");
        while lines.next_if(is_argument).is_some() {}
        let counted = mutant.split_once(" x ").and_then(|(count, rest)| Some((count.parse().ok()?, rest)));
        let (count, mutant) = counted.unwrap_or((1, mutant));
        mutants.extend(std::iter::repeat_n(mutant.to_owned(), count));
    }
    Ok(mutants)
}

/// `src/a.rs:1:2: replace ...` as `src/a.rs: replace ...`, which an edit above does not change.
pub fn without_position(mutant: &str) -> String {
    let (place, change) = mutant.split_once(": ").unwrap_or((mutant, ""));
    let file = place.split(':').next().unwrap_or_default();
    format!("{file}: {change}")
}

/// Where the list and the survivors differ. What is outside the `scope` of this run is judged
/// only if the run was over `everything`.
pub fn complaints(
    listed: &[String],
    survivors: &[String],
    scope: &BTreeSet<String>,
    everything: bool,
) -> Vec<String> {
    let count = |mutants: &[String], mutant: &String| mutants.iter().filter(|other| *other == mutant).count();
    let mutants: BTreeSet<_> = listed.iter().chain(survivors).collect();
    let complaint = |mutant: &String| {
        let in_scope = scope.contains(mutant);
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
        assert_eq!(equivalents("2 x a.rs: x\n  because\n").unwrap(), ["a.rs: x", "a.rs: x"]);
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
            let scope = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
            complaints(&own(listed), &own(survivors), &scope, everything).len()
        };
        assert_eq!(judge(&["a"], &["a"], true), 0);
        assert_eq!(judge(&["a"], &["a", "a"], true), 1, "a twin that nobody argued");
        assert_eq!(judge(&[], &["b"], true), 1, "a survivor that nobody argued");
        assert_eq!(judge(&["a"], &[], true), 1, "an equivalent that a test kills");
        assert_eq!(judge(&["z"], &[], true), 1, "an equivalent that is gone");
        assert_eq!(judge(&["z"], &[], false), 0, "an equivalent in a file that was not run");
    }
}
