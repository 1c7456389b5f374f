//! Patterns: what `*` and `?` match.

/// Whether a text has a character that may match others.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether `pattern` matches all of `name`. A character after a backslash stands for itself, and a dot at the start
/// of a name is matched by a dot only.
pub fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') && !pattern.starts_with("\\.") {
        return false;
    }
    // Where to go on if what follows the last `*` does not match: it takes one character more.
    let (mut pattern, mut name) = (pattern, name);
    let mut again: Option<(&str, &str)> = None;
    loop {
        let mut rest = pattern.chars();
        let mut left = name.chars();
        let matched = match rest.next() {
            None if name.is_empty() => return true,
            None => false,
            Some('*') => {
                again = Some((rest.as_str(), name));
                pattern = rest.as_str();
                continue;
            }
            Some('?') => left.next().is_some(),
            Some('\\') => left.next().is_some_and(|character| rest.next() == Some(character)),
            Some(character) => left.next() == Some(character),
        };
        if matched {
            (pattern, name) = (rest.as_str(), left.as_str());
            continue;
        }
        let Some((after, from)) = again else { return false };
        let mut from = from.chars();
        if from.next().is_none() {
            return false;
        }
        again = Some((after, from.as_str()));
        (pattern, name) = (after, from.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_takes_as_much_as_it_must() {
        for (pattern, name) in [
            ("*", "abc"),
            ("a*c", "abc"),
            ("a*c", "ac"),
            ("*b*", "abc"),
            ("?b?", "abc"),
            ("a**", "a"),
            ("*.rs", "a.b.rs"),
            ("\\*", "*"),
            (".*", ".a"),
            ("*ab", "aab"),
            ("é?", "éa"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("a", "b"),
            ("a*c", "abd"),
            ("?", ""),
            ("?", "ab"),
            ("*", ".a"),
            ("\\*", "a"),
            ("a\\", "a"),
            ("", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let name = "a".repeat(2000);
        assert!(!matches(&("a*".repeat(50) + "b"), &name));
    }
}
