//! What words become when a command runs.

use alloc::string::String;
use alloc::vec::Vec;

use super::token::{Part, Word};

/// What words refer to.
pub trait Surroundings {
    /// The value of a variable, of the special ones too, but `@` and `*`.
    fn variable(&self, name: &str) -> Option<String>;
    /// The arguments of the shell from the first on.
    fn arguments(&self) -> Vec<String>;
    /// What commands print.
    fn output(&mut self, commands: &str) -> String;
    /// The paths that match a pattern, sorted.
    fn paths(&self, pattern: &str) -> Vec<String>;
}

/// The fields that a word becomes: none, one, or several.
pub fn fields(word: &Word, surroundings: &mut impl Surroundings) -> Vec<String> {
    let mut fields = Fields::default();
    for part in word {
        match part {
            Part::Quoted(text) => fields.quoted(text),
            Part::Plain(text) => fields.plain(text),
            Part::Variable { name, quoted: false } if name == "@" || name == "*" => {
                fields.split(&surroundings.arguments().join(" "));
            }
            Part::Variable { name, quoted: true } if name == "@" => {
                for (index, argument) in surroundings.arguments().iter().enumerate() {
                    if index > 0 {
                        fields.end();
                    }
                    fields.quoted(argument);
                }
            }
            Part::Variable { name, quoted } => {
                let value = value(name, surroundings);
                if *quoted { fields.quoted(&value) } else { fields.split(&value) }
            }
            Part::Output { commands, quoted } => {
                let output = surroundings.output(commands);
                let output = output.trim_end_matches('\n');
                if *quoted { fields.quoted(output) } else { fields.split(output) }
            }
        }
    }
    // "$@" without arguments is no field, though its quotes would make an empty one.
    let none = word.iter().any(|part| matches!(part, Part::Variable { name, quoted: true } if name == "@"))
        && surroundings.arguments().is_empty()
        && fields.current.as_ref().is_some_and(|field| field.text.is_empty());
    if none {
        fields.current = None;
    }
    fields.end();
    let mut expanded = Vec::new();
    for Field { text, pattern } in fields.done {
        let mut paths = pattern.map(|pattern| surroundings.paths(&pattern)).unwrap_or_default();
        if paths.is_empty() { expanded.push(text) } else { expanded.append(&mut paths) }
    }
    expanded
}

/// The one text that a word becomes where nothing is split and nothing matches, as in an assignment.
pub fn text(word: &Word, surroundings: &mut impl Surroundings) -> String {
    let mut text = String::new();
    for part in word {
        match part {
            Part::Quoted(part) | Part::Plain(part) => text += part,
            Part::Variable { name, .. } => text += &value(name, surroundings),
            Part::Output { commands, .. } => {
                text += surroundings.output(commands).trim_end_matches('\n');
            }
        }
    }
    text
}

fn value(name: &str, surroundings: &impl Surroundings) -> String {
    match name {
        "@" | "*" => surroundings.arguments().join(" "),
        _ => surroundings.variable(name).unwrap_or_default(),
    }
}

#[derive(Default)]
struct Field {
    text: String,
    /// The same with a backslash before what stands for itself, if anything in it may match others.
    pattern: Option<String>,
}

#[derive(Default)]
struct Fields {
    done: Vec<Field>,
    current: Option<Field>,
}

impl Fields {
    fn add(&mut self, text: &str, matching: bool) {
        let field = self.current.get_or_insert_default();
        if matching && super::pattern::is_pattern(text) && field.pattern.is_none() {
            field.pattern = Some(escaped(&field.text));
        }
        if let Some(pattern) = &mut field.pattern {
            *pattern += &if matching { text.into() } else { escaped(text) };
        }
        field.text += text;
    }

    fn quoted(&mut self, text: &str) {
        self.add(text, false);
    }

    fn plain(&mut self, text: &str) {
        self.add(text, true);
    }

    fn end(&mut self) {
        self.done.extend(self.current.take());
    }

    /// Adds a value whose white space separates fields.
    fn split(&mut self, value: &str) {
        const SPACE: [char; 3] = [' ', '\t', '\n'];
        if value.starts_with(SPACE) {
            self.end();
        }
        for (index, piece) in value.split(SPACE).filter(|piece| !piece.is_empty()).enumerate() {
            if index > 0 {
                self.end();
            }
            self.plain(piece);
        }
        if value.ends_with(SPACE) {
            self.end();
        }
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if matches!(character, '*' | '?' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::{format, vec};

    use super::super::token::{Token, tokens};
    use super::*;

    struct World(Vec<String>);

    impl Surroundings for World {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "a" => Some("one two".into()),
                "s" => Some(" x ".into()),
                "star" => Some("*".into()),
                "?" => Some("0".into()),
                _ => None,
            }
        }

        fn arguments(&self) -> Vec<String> {
            self.0.clone()
        }

        fn output(&mut self, commands: &str) -> String {
            format!("<{commands}>\n\n")
        }

        fn paths(&self, pattern: &str) -> Vec<String> {
            if pattern == "no*" { vec![] } else { vec![format!("match {pattern}")] }
        }
    }

    fn all(text: &str, arguments: &[&str]) -> Vec<String> {
        let mut world = World(arguments.iter().map(ToString::to_string).collect());
        let mut result = Vec::new();
        for token in tokens(text).unwrap() {
            if let Token::Word(word) = token {
                result.append(&mut fields(&word, &mut world));
            }
        }
        result
    }

    #[test]
    fn values_are_split_unless_quoted() {
        assert_eq!(all("$a \"$a\" x$a'y z'", &[]), ["one", "two", "one two", "xone", "twoy z"]);
        assert_eq!(all("a$s\"b\"", &[]), ["a", "x", "b"]);
        assert_eq!(all("$none \"$none\" '' $?", &[]), ["", "", "0"]);
    }

    #[test]
    fn arguments_stay_apart() {
        assert_eq!(all("\"$@\"", &["a b", "c"]), ["a b", "c"]);
        assert_eq!(all("x\"$@\"y", &["a b", "c"]), ["xa b", "cy"]);
        assert_eq!(all("$@", &["a b", "c"]), ["a", "b", "c"]);
        assert_eq!(all("\"$*\"", &["a b", "c"]), ["a b c"]);
        assert!(all("\"$@\"", &[]).is_empty());
    }

    #[test]
    fn outputs_lose_their_last_newlines() {
        assert_eq!(all("$(a b) \"$(a b)\"", &[]), ["<a", "b>", "<a b>"]);
    }

    #[test]
    fn patterns_match_unless_quoted_and_stay_if_they_match_nothing() {
        assert_eq!(all("a?* '*' no* \"$star\"", &[]), ["match a?*", "*", "no*", "*"]);
        assert_eq!(all("'a*'?$star", &[]), ["match a\\*?*"]);
    }

    #[test]
    fn an_assignment_is_one_text() {
        let Token::Word(word) = tokens("$a-'*'*").unwrap().remove(0) else { panic!("no word") };
        assert_eq!(text(&word, &mut World(vec![])), "one two-**");
    }
}
