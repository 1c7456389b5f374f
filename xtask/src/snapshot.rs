//! A copy of the work tree, to break things in.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::read;

/// The files of the work tree that git would keep, as they are now.
pub struct Snapshot(BTreeMap<PathBuf, Vec<u8>>);

impl Snapshot {
    pub fn take() -> Result<Self> {
        let mut list = Command::new("git");
        list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let mut files = BTreeMap::new();
        for path in read(&mut list)?.split_terminator('\0').map(PathBuf::from) {
            // A file that was deleted, but not yet in git, is listed too.
            if path.is_file() {
                files.insert(path.clone(), fs::read(&path)?);
            }
        }
        Ok(Self(files))
    }

    /// Makes the copy at `tree` equal. Equal files are left alone, so that cargo builds only what changed.
    pub fn restore(&self, tree: &Path) -> Result<()> {
        fs::create_dir_all(tree)?;
        self.remove_others(tree, tree)?;
        for (path, contents) in &self.0 {
            let copy = tree.join(path);
            if fs::read(&copy).ok().as_ref() != Some(contents) {
                fs::create_dir_all(copy.parent().context("a file is in a directory")?)?;
                fs::write(copy, contents)?;
            }
        }
        Ok(())
    }

    fn remove_others(&self, tree: &Path, directory: &Path) -> Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                self.remove_others(tree, &path)?;
            } else if !self.0.contains_key(path.strip_prefix(tree)?) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// A number that changes with any of the files that `chosen` names.
    pub fn fingerprint(&self, chosen: impl Fn(&Path) -> bool) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.iter().filter(|(path, _)| chosen(path)).for_each(|file| file.hash(&mut hasher));
        hasher.finish()
    }
}
