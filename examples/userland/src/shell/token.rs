//! Tokens: the words and operators that a text consists of.

use alloc::string::String;
use alloc::vec::Vec;

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text that stands for itself.
    Quoted(String),
    /// Text in which `*` and `?` may match.
    Plain(String),
    /// A variable; in quotes its value is not split.
    Variable { name: String, quoted: bool },
    /// What commands print; in quotes it is not split.
    Output { commands: String, quoted: bool },
}

/// A word, of at least one part.
pub type Word = Vec<Part>;

/// What is between words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Newline,
    Semicolon,
    Background,
    And,
    Or,
    Pipe,
    Open,
    Close,
    /// `<`, `>`, `>>` and `>&` (or `<&`) concern an open file, 0 or 1 if none is named.
    Read(Option<u32>),
    Write(Option<u32>),
    Append(Option<u32>),
    Duplicate(Option<u32>),
}

/// A word or an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Word(Word),
    Operator(Operator),
}

/// Why a text is no list of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends too early: there may be more to come.
    Incomplete,
    /// It cannot become one.
    Wrong(&'static str),
}

/// The tokens of `text`.
pub fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut reader = Reader { rest: text };
    let mut tokens = Vec::new();
    while let Some(token) = reader.token()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Reader<'a> {
    rest: &'a str,
}

/// What ends a word.
const ENDS: [char; 10] = [' ', '\t', '\n', ';', '&', '|', '<', '>', '(', ')'];

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }

    /// Whether `text` comes next; then it is read.
    fn takes(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// What comes next while `belongs` says so.
    fn while_in(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let length = self.rest.find(|character| !belongs(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken.into()
    }

    fn token(&mut self) -> Result<Option<Token>, Fault> {
        loop {
            self.while_in(|character| character == ' ' || character == '\t');
            if self.rest == "\\" || self.rest == "\\\n" {
                return Err(Fault::Incomplete);
            }
            if !self.takes("\\\n") {
                break;
            }
        }
        if self.rest.starts_with('#') {
            self.while_in(|character| character != '\n');
        }
        let number = self.file_number();
        let operators = [
            ("\n", Operator::Newline),
            (";", Operator::Semicolon),
            ("&&", Operator::And),
            ("&", Operator::Background),
            ("||", Operator::Or),
            ("|", Operator::Pipe),
            ("(", Operator::Open),
            (")", Operator::Close),
            (">>", Operator::Append(number)),
            (">&", Operator::Duplicate(number)),
            ("<&", Operator::Duplicate(number.or(Some(0)))),
            (">", Operator::Write(number)),
            ("<", Operator::Read(number)),
        ];
        if self.rest.starts_with("<<") {
            return Err(Fault::Wrong("here-documents are not known"));
        }
        if let Some((_, operator)) = operators.into_iter().find(|(text, _)| self.takes(text)) {
            return Ok(Some(Token::Operator(operator)));
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.word().map(|word| Some(Token::Word(word)))
    }

    /// A number right before a redirection, which is read.
    fn file_number(&mut self) -> Option<u32> {
        let end = self.rest.find(|character: char| !character.is_ascii_digit())?;
        let (digits, rest) = self.rest.split_at(end);
        if !rest.starts_with(['<', '>']) {
            return None;
        }
        let number = digits.parse().ok()?;
        self.rest = rest;
        Some(number)
    }

    fn word(&mut self) -> Result<Word, Fault> {
        let mut word = Word::new();
        while let Some(character) = self.rest.chars().next()
            && !ENDS.contains(&character)
        {
            match character {
                '\'' => {
                    self.next();
                    let text = self.while_in(|character| character != '\'');
                    self.next().ok_or(Fault::Incomplete)?;
                    word.push(Part::Quoted(text));
                }
                '"' => {
                    self.next();
                    self.quoted(&mut word)?;
                }
                '\\' => {
                    self.next();
                    match self.next().ok_or(Fault::Incomplete)? {
                        '\n' if self.rest.is_empty() => return Err(Fault::Incomplete),
                        '\n' => {}
                        escaped => word.push(Part::Quoted(escaped.into())),
                    }
                }
                '$' => {
                    self.next();
                    word.push(self.dollar(false)?);
                }
                '`' => return Err(Fault::Wrong("` is not known, $( ) is")),
                _ => {
                    let special = |other| ENDS.contains(&other) || "'\"\\$`".contains(other);
                    word.push(Part::Plain(self.while_in(|other| !special(other))));
                }
            }
        }
        Ok(word)
    }

    /// What is between `"` and `"`, the first of which is read.
    fn quoted(&mut self, word: &mut Word) -> Result<(), Fault> {
        // That "" is a word.
        let mut text = String::new();
        word.push(Part::Quoted(String::new()));
        loop {
            match self.next().ok_or(Fault::Incomplete)? {
                '"' => break,
                '\\' => match self.next().ok_or(Fault::Incomplete)? {
                    '\n' => {}
                    escaped @ ('"' | '\\' | '$' | '`') => text.push(escaped),
                    other => text.extend(['\\', other]),
                },
                '$' => {
                    word.push(Part::Quoted(core::mem::take(&mut text)));
                    word.push(self.dollar(true)?);
                }
                '`' => return Err(Fault::Wrong("` is not known, $( ) is")),
                other => text.push(other),
            }
        }
        word.push(Part::Quoted(text));
        Ok(())
    }

    /// What follows a `$`.
    fn dollar(&mut self, quoted: bool) -> Result<Part, Fault> {
        if self.rest.starts_with("((") {
            return Err(Fault::Wrong("arithmetic is not known"));
        }
        if self.takes("(") {
            return Ok(Part::Output { commands: self.until_closed()?, quoted });
        }
        if self.takes("{") {
            let name = self.while_in(|character| character != '}');
            self.next().ok_or(Fault::Incomplete)?;
            if !is_name(&name) && !is_special(&name) {
                return Err(Fault::Wrong("of ${...} only a name is known"));
            }
            return Ok(Part::Variable { name, quoted });
        }
        let first = self.rest.chars().next();
        let name = match first {
            Some(special) if is_special(special.encode_utf8(&mut [0; 4])) => {
                self.next();
                special.into()
            }
            _ => self.while_in(|character| character.is_ascii_alphanumeric() || character == '_'),
        };
        // A dollar before anything else is one.
        Ok(if name.is_empty() { Part::Quoted("$".into()) } else { Part::Variable { name, quoted } })
    }

    /// Up to the `)` that closes a `(`, which is read: those in quotes, and those opened within, are not it.
    fn until_closed(&mut self) -> Result<String, Fault> {
        let mut text = String::new();
        let (mut depth, mut quote) = (0_u32, None);
        loop {
            let next = self.next().ok_or(Fault::Incomplete)?;
            match next {
                '\\' if quote != Some('\'') => {
                    text.push(next);
                    text.push(self.next().ok_or(Fault::Incomplete)?);
                    continue;
                }
                _ if quote == Some(next) => quote = None,
                '\'' | '"' if quote.is_none() => quote = Some(next),
                '(' if quote.is_none() => depth += 1,
                ')' if quote.is_none() && depth == 0 => return Ok(text),
                ')' if quote.is_none() => depth -= 1,
                _ => {}
            }
            text.push(next);
        }
    }
}

/// Whether a variable can be called so.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn is_special(name: &str) -> bool {
    matches!(name, "?" | "$" | "!" | "#" | "@" | "*") || matches!(name.as_bytes(), [b'0'..=b'9'])
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn word(text: &str) -> Word {
        match &tokens(text).unwrap()[..] {
            [Token::Word(word)] => word.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn plain(text: &str) -> Token {
        Token::Word(vec![Part::Plain(text.into())])
    }

    #[test]
    fn words_and_operators_need_no_space_between_them() {
        let expected = [
            plain("a"),
            Token::Operator(Operator::Pipe),
            plain("b"),
            Token::Operator(Operator::Write(Some(2))),
            plain("c"),
            Token::Operator(Operator::And),
            plain("d2"),
            Token::Operator(Operator::Append(None)),
            plain("e"),
            Token::Operator(Operator::Duplicate(Some(2))),
            plain("1"),
            Token::Operator(Operator::Newline),
        ];
        assert_eq!(tokens("a|b 2>c&&d2>>e 2>&1 # f; g\n").unwrap(), expected);
    }

    #[test]
    fn quotes_take_the_meaning_away() {
        assert_eq!(word("'a $b'"), [Part::Quoted("a $b".into())]);
        assert_eq!(word("\\$b"), [Part::Quoted("$".into()), Part::Plain("b".into())]);
        let variable = Part::Variable { name: "b".into(), quoted: true };
        let quoted = |text: &str| Part::Quoted(text.into());
        assert_eq!(word("\"a\\\"${b}c\""), [quoted(""), quoted("a\""), variable, quoted("c")]);
        assert_eq!(word("\"\""), [quoted(""), quoted("")]);
    }

    #[test]
    fn a_dollar_has_many_meanings() {
        let variable = |name: &str| Part::Variable { name: name.into(), quoted: false };
        assert_eq!(
            word("$?$12$ab-"),
            [variable("?"), variable("1"), Part::Plain("2".into()), variable("ab"), Part::Plain("-".into())]
        );
        assert_eq!(word("$"), [Part::Quoted("$".into())]);
        let output = Part::Output { commands: "a ')' (b) \\)".into(), quoted: false };
        assert_eq!(word("$(a ')' (b) \\))"), [output]);
    }

    #[test]
    fn what_ends_too_early_may_go_on() {
        for text in ["'a", "\"a", "$(a", "${a", "a \\", "a \\\n", "a\\\n", "\"a\\"] {
            assert_eq!(tokens(text), Err(Fault::Incomplete), "{text}");
        }
        assert_eq!(tokens("a \\\n b").unwrap(), [plain("a"), plain("b")]);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in ["cat <<E", "`a`", "$((1))", "${a:-b}", "\"`\""] {
            assert!(matches!(tokens(text), Err(Fault::Wrong(_))), "{text}");
        }
    }
}
