//! Commands: how the tokens of a text belong together.

use alloc::string::String;
use alloc::vec::Vec;

use super::token::{Fault, Operator, Part, Token, Word, is_name, tokens};

/// How deep commands may be nested: a text cannot exhaust the stack.
const DEEPEST: u32 = 50;

/// Commands one after the other.
pub type List = Vec<Item>;

/// Pipelines, each of which may depend on how the one before ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub first: Pipeline,
    pub rest: Vec<(Condition, Pipeline)>,
    pub background: bool,
}

/// When a pipeline runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// If all went well before it.
    And,
    /// If not.
    Or,
}

/// Commands, each of which reads what the one before writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    pub negated: bool,
    pub commands: Vec<Command>,
}

/// One command, and where its open files lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub kind: Kind,
    pub redirections: Vec<Redirection>,
}

/// What a command is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Simple { assignments: Vec<(String, Word)>, words: Vec<Word> },
    Group(List),
    Subshell(List),
    If { branches: Vec<(List, List)>, otherwise: List },
    While { wanted: bool, condition: List, body: List },
    For { name: String, words: Vec<Word>, body: List },
}

/// An open file that leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    pub file: u32,
    pub how: How,
    pub target: Word,
}

/// Where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// To a file to be read.
    Read,
    /// To a file that is emptied, or made.
    Write,
    /// To the end of a file.
    Append,
    /// To what another open file leads to.
    Duplicate,
}

/// What opens a compound command, and what ends one or a part of one.
const ENDS: [&str; 8] = ["then", "elif", "else", "fi", "do", "done", "}", "in"];

/// The commands of `text`.
pub fn parse(text: &str) -> Result<List, Fault> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, depth: 0 };
    let list = parser.list()?;
    match parser.tokens.first() {
        None => Ok(list),
        Some(_) => Err(Fault::Wrong("something is closed that was not opened")),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    depth: u32,
}

impl Parser<'_> {
    /// The word that comes next, if it may be a reserved one.
    fn reserved(&self) -> Option<&str> {
        match self.tokens.first()? {
            Token::Word(word) => match &word[..] {
                [Part::Plain(text)] => Some(text),
                _ => None,
            },
            Token::Operator(_) => None,
        }
    }

    fn skip(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    fn takes(&mut self, operator: Operator) -> bool {
        let takes = self.tokens.first() == Some(&Token::Operator(operator));
        if takes {
            self.skip();
        }
        takes
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let takes = self.reserved() == Some(word);
        if takes {
            self.skip();
        }
        takes
    }

    fn needs_word(&mut self, word: &str) -> Result<(), Fault> {
        match self.takes_word(word) {
            true => Ok(()),
            false if self.tokens.is_empty() => Err(Fault::Incomplete),
            false => Err(Fault::Wrong("a part of a compound command is missing")),
        }
    }

    fn skip_newlines(&mut self) {
        while self.takes(Operator::Newline) {}
    }

    /// Commands up to the end, or to what ends the list.
    fn list(&mut self) -> Result<List, Fault> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Fault::Wrong("nested too deeply"));
        }
        let mut list = List::new();
        loop {
            self.skip_newlines();
            let ended = match self.tokens.first() {
                None | Some(Token::Operator(Operator::Close)) => true,
                Some(_) => self.reserved().is_some_and(|word| ENDS.contains(&word)),
            };
            if ended {
                break;
            }
            let first = self.pipeline()?;
            let mut rest = Vec::new();
            loop {
                let condition = match self.tokens.first() {
                    Some(Token::Operator(Operator::And)) => Condition::And,
                    Some(Token::Operator(Operator::Or)) => Condition::Or,
                    _ => break,
                };
                self.skip();
                self.skip_newlines();
                rest.push((condition, self.pipeline()?));
            }
            let background = self.takes(Operator::Background);
            if !background && !self.takes(Operator::Semicolon) && !self.takes(Operator::Newline) {
                list.push(Item { first, rest, background });
                break;
            }
            list.push(Item { first, rest, background });
        }
        self.depth -= 1;
        Ok(list)
    }

    /// A list that may not be empty.
    fn body(&mut self) -> Result<List, Fault> {
        let list = self.list()?;
        match (list.is_empty(), self.tokens.is_empty()) {
            (_, true) => Err(Fault::Incomplete),
            (true, false) => Err(Fault::Wrong("a command is missing")),
            (false, false) => Ok(list),
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, Fault> {
        let negated = self.takes_word("!");
        let mut commands = Vec::new();
        loop {
            commands.push(self.command()?);
            if !self.takes(Operator::Pipe) {
                return Ok(Pipeline { negated, commands });
            }
            self.skip_newlines();
        }
    }

    fn command(&mut self) -> Result<Command, Fault> {
        let kind = if self.takes(Operator::Open) {
            let list = self.body()?;
            if !self.takes(Operator::Close) {
                return Err(self.missing());
            }
            Kind::Subshell(list)
        } else if self.takes_word("{") {
            let list = self.body()?;
            self.needs_word("}")?;
            Kind::Group(list)
        } else if self.takes_word("if") {
            self.branches()?
        } else if self.takes_word("while") {
            self.repeat(true)?
        } else if self.takes_word("until") {
            self.repeat(false)?
        } else if self.takes_word("for") {
            self.each()?
        } else if self.takes_word("case") || self.takes_word("function") {
            return Err(Fault::Wrong("case and functions are not known"));
        } else {
            return self.simple();
        };
        let mut redirections = Vec::new();
        while let Some(redirection) = self.redirection()? {
            redirections.push(redirection);
        }
        Ok(Command { kind, redirections })
    }

    fn missing(&self) -> Fault {
        if self.tokens.is_empty() { Fault::Incomplete } else { Fault::Wrong("a command is not closed") }
    }

    fn branches(&mut self) -> Result<Kind, Fault> {
        let mut branches = Vec::new();
        loop {
            let condition = self.body()?;
            self.needs_word("then")?;
            branches.push((condition, self.body()?));
            if !self.takes_word("elif") {
                break;
            }
        }
        let otherwise = if self.takes_word("else") { self.body()? } else { List::new() };
        self.needs_word("fi")?;
        Ok(Kind::If { branches, otherwise })
    }

    fn repeat(&mut self, wanted: bool) -> Result<Kind, Fault> {
        let condition = self.body()?;
        Ok(Kind::While { wanted, condition, body: self.loop_body()? })
    }

    fn each(&mut self) -> Result<Kind, Fault> {
        let name = match self.reserved() {
            Some(name) if is_name(name) => name.into(),
            _ => return Err(self.missing()),
        };
        self.skip();
        self.needs_word("in")?;
        let mut words = Vec::new();
        while let Some(Token::Word(word)) = self.tokens.first() {
            words.push(word.clone());
            self.skip();
        }
        if !self.takes(Operator::Semicolon) && !self.takes(Operator::Newline) {
            return Err(self.missing());
        }
        self.skip_newlines();
        Ok(Kind::For { name, words, body: self.loop_body()? })
    }

    fn loop_body(&mut self) -> Result<List, Fault> {
        self.needs_word("do")?;
        let body = self.body()?;
        self.needs_word("done")?;
        Ok(body)
    }

    fn simple(&mut self) -> Result<Command, Fault> {
        let (mut assignments, mut words, mut redirections) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            if let Some(redirection) = self.redirection()? {
                redirections.push(redirection);
                continue;
            }
            let Some(Token::Word(word)) = self.tokens.first() else {
                break;
            };
            match assignment(word) {
                Some(assignment) if words.is_empty() => assignments.push(assignment),
                _ => words.push(word.clone()),
            }
            self.skip();
        }
        if assignments.is_empty() && words.is_empty() && redirections.is_empty() {
            return Err(match self.tokens.first() {
                None => Fault::Incomplete,
                Some(_) => Fault::Wrong("a command is missing"),
            });
        }
        if words.len() == 1 && self.tokens.first() == Some(&Token::Operator(Operator::Open)) {
            return Err(Fault::Wrong("functions are not known"));
        }
        Ok(Command { kind: Kind::Simple { assignments, words }, redirections })
    }

    fn redirection(&mut self) -> Result<Option<Redirection>, Fault> {
        let (file, how) = match self.tokens.first() {
            Some(Token::Operator(Operator::Read(file))) => (file.unwrap_or(0), How::Read),
            Some(Token::Operator(Operator::Write(file))) => (file.unwrap_or(1), How::Write),
            Some(Token::Operator(Operator::Append(file))) => (file.unwrap_or(1), How::Append),
            Some(Token::Operator(Operator::Duplicate(file))) => (file.unwrap_or(1), How::Duplicate),
            _ => return Ok(None),
        };
        self.skip();
        let Some(Token::Word(target)) = self.tokens.first() else {
            return Err(Fault::Wrong("a redirection leads nowhere"));
        };
        let redirection = Redirection { file, how, target: target.clone() };
        self.skip();
        Ok(Some(redirection))
    }
}

/// `NAME=VALUE`, if the word is that.
fn assignment(word: &Word) -> Option<(String, Word)> {
    let [Part::Plain(first), rest @ ..] = &word[..] else {
        return None;
    };
    let (name, value) = first.split_once('=')?;
    if !is_name(name) {
        return None;
    }
    let value = (!value.is_empty()).then(|| Part::Plain(value.into()));
    Some((name.into(), value.into_iter().chain(rest.iter().cloned()).collect()))
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;

    use super::*;

    fn only(text: &str) -> Command {
        let list = parse(text).unwrap();
        assert_eq!(list.len(), 1, "{text}");
        list[0].first.commands[0].clone()
    }

    fn word(text: &str) -> Word {
        vec![Part::Plain(text.into())]
    }

    #[test]
    fn a_simple_command_has_assignments_words_and_redirections() {
        let command = only("A=1 B= >o c D=2 <i 2>&1");
        let assignments = vec![("A".into(), word("1")), ("B".into(), vec![])];
        assert_eq!(command.kind, Kind::Simple { assignments, words: vec![word("c"), word("D=2")] });
        let found: Vec<_> = command.redirections.iter().map(|found| (found.file, found.how)).collect();
        assert_eq!(found, [(1, How::Write), (0, How::Read), (2, How::Duplicate)]);
    }

    #[test]
    fn lists_bind_less_than_conditions_and_these_less_than_pipes() {
        let list = parse("a | b && ! c || d; e &\nf").unwrap();
        assert_eq!(list.len(), 3);
        assert_eq!(list[0].first.commands.len(), 2);
        let conditions: Vec<_> = list[0].rest.iter().map(|(when, what)| (*when, what.negated)).collect();
        assert_eq!(conditions, [(Condition::And, true), (Condition::Or, false)]);
        assert_eq!(list.iter().map(|item| item.background).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn compound_commands_nest() {
        let text = "if a; then b; elif c\nthen d; else for x in 1 2; do e; done; fi >o";
        let Command { kind: Kind::If { branches, otherwise }, redirections } = only(text) else {
            panic!("no if")
        };
        assert_eq!((branches.len(), otherwise.len(), redirections.len()), (2, 1, 1));
        assert!(matches!(only("until a; do b; done").kind, Kind::While { wanted: false, .. }));
        assert!(matches!(only("(a; b)").kind, Kind::Subshell(list) if list.len() == 2));
        assert!(matches!(only("{ a; }").kind, Kind::Group(list) if list.len() == 1));
    }

    #[test]
    fn what_is_not_finished_may_go_on_and_the_rest_is_wrong() {
        for text in
            ["if a", "if a; then b", "while a; do", "(a", "{ a;", "a &&", "a |", "for x in a; do b", "!"]
        {
            assert_eq!(parse(text), Err(Fault::Incomplete), "{text}");
        }
        for text in
            ["fi", "a )", "a; }", "| a", "&& a", "a >", "if ; then b; fi", "; a", "f() { a; }", "case a in"]
        {
            assert!(matches!(parse(text), Err(Fault::Wrong(_))), "{text}");
        }
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |depth| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(parse(&nested(40)).is_ok());
        assert!(matches!(parse(&nested(100_000)), Err(Fault::Wrong(_))));
    }

    #[test]
    fn nothing_is_an_empty_list() {
        assert_eq!(parse(" \n# nothing\n\n"), Ok(vec![]));
    }
}
