//! What a shell remembers.

use core::fmt::Write;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::expand::Surroundings;
use super::{pattern, run};
use crate::directory;
use crate::sys::{self, File, Pid};

/// What a shell remembers.
pub(super) struct State {
    variables: BTreeMap<String, String>,
    exported: BTreeSet<String>,
    /// The name of the shell or of what it reads, and what follows it.
    pub(super) arguments: Vec<String>,
    /// How the last command ended.
    pub(super) status: u8,
    /// The last process in the background.
    pub(super) background: Option<Pid>,
    /// How those in the background ended that nobody has waited for.
    pub(super) ended: BTreeMap<Pid, u8>,
    /// How many loops are around what runs.
    pub(super) loops: u32,
}

impl State {
    pub(super) fn new<'a>(environment: impl Iterator<Item = &'a str>, arguments: Vec<String>) -> Self {
        let variables = environment.filter_map(|entry| entry.split_once('='));
        let variables: BTreeMap<String, String> =
            variables.map(|(name, value)| (name.into(), value.into())).collect();
        Self {
            exported: variables.keys().cloned().collect(),
            variables,
            arguments,
            status: 0,
            background: None,
            ended: BTreeMap::new(),
            loops: 0,
        }
    }

    pub(super) fn set(&mut self, name: &str, value: String) {
        self.variables.insert(name.into(), value);
    }

    pub(super) fn export(&mut self, name: &str) {
        self.exported.insert(name.into());
    }

    /// What programs find in their environment.
    pub(super) fn environment(&self) -> Vec<CString> {
        let exported = self.variables.iter().filter(|(name, _)| self.exported.contains(*name));
        exported.filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok()).collect()
    }
}

impl Surroundings for State {
    fn variable(&self, name: &str) -> Option<String> {
        Some(match name {
            "?" => self.status.to_string(),
            "$" => sys::own_pid().0.to_string(),
            "!" => self.background?.0.to_string(),
            "#" => self.arguments.len().saturating_sub(1).to_string(),
            _ => match name.parse::<usize>() {
                Ok(number) => self.arguments.get(number)?.clone(),
                Err(_) => self.variables.get(name)?.clone(),
            },
        })
    }

    fn arguments(&self) -> Vec<String> {
        self.arguments.iter().skip(1).cloned().collect()
    }

    fn output(&mut self, commands: &str) -> String {
        run::output(commands, self).unwrap_or_else(|error| {
            run::complain(format_args!("$( ): {error}"));
            self.status = 1;
            String::new()
        })
    }

    fn paths(&self, wanted: &str) -> Vec<String> {
        let (root, wanted) = match wanted.strip_prefix('/') {
            Some(rest) => ("/", rest),
            None => ("", wanted),
        };
        let mut paths = [String::from(root)].to_vec();
        for component in wanted.split('/') {
            let mut longer = Vec::new();
            for path in paths {
                let place = if path.is_empty() { "." } else { &path };
                for name in directory::names(place).unwrap_or_default() {
                    if pattern::matches(component, &name) {
                        let slash = if path.is_empty() || path.ends_with('/') { "" } else { "/" };
                        let mut found = path.clone();
                        _ = write!(found, "{slash}{name}");
                        longer.push(found);
                    }
                }
            }
            paths = longer;
        }
        paths.sort();
        paths
    }
}

/// The same file under a number that programs do not use.
pub(super) fn out_of_the_way(file: File) -> sys::Result<File> {
    const FIRST: u32 = 10;
    file.duplicate_from(FIRST)
}
