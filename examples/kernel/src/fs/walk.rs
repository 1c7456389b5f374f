//! From a path to an inode.

use super::inode::{Inode, Node, SEARCH};
use super::stat::NAME_MAX;
use super::subject::Subject;
use crate::errno::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// A path is shorter than this.
pub const PATH_MAX: usize = 4096;
/// How many symbolic links are followed on one walk.
const MAX_LINKS: u32 = 40;

/// A walk along a path, which stops before the last name.
pub(super) struct Walk<'w> {
    subject: &'w Subject,
    /// Where the walk is.
    pub(super) directory: Arc<Inode>,
    path: Text<&'w [u8]>,
    /// The symbolic links that the walk is in, the innermost last.
    links: Vec<Text<Arc<[u8]>>>,
    followed: u32,
    last: Last,
    /// A slash follows the last name, so it must be a directory's.
    pub(super) wants_directory: bool,
}

/// A text that is walked, and how far.
struct Text<T> {
    text: T,
    at: usize,
}

/// The last part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// The path ends where it began: it is `/`.
    Root,
    Dot,
    DotDot,
    /// A name, which is here in the innermost text.
    Name(Range<usize>),
}

impl<T: AsRef<[u8]>> Text<T> {
    fn is_at_end(&self) -> bool {
        self.at >= self.text.as_ref().len()
    }

    /// Whether there were slashes to skip.
    fn skip_slashes(&mut self) -> bool {
        let rest = self.text.as_ref().get(self.at..).unwrap_or_default();
        let slashes = rest.iter().take_while(|byte| **byte == b'/').count();
        self.at += slashes;
        slashes > 0
    }

    /// The next name, and whether slashes follow it.
    fn next(&mut self) -> (Range<usize>, bool) {
        let rest = self.text.as_ref().get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let name = self.at..self.at + len;
        self.at = name.end;
        (name, self.skip_slashes())
    }
}

impl<'w> Walk<'w> {
    /// Begins in `directory`, or in the root if the path says so.
    pub(super) fn new(subject: &'w Subject, directory: &Arc<Inode>, path: &'w [u8]) -> Result<Self> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut path = Text { text: path, at: 0 };
        let start = if path.skip_slashes() { &subject.root } else { directory };
        Ok(Self {
            subject,
            directory: start.clone(),
            path,
            links: Vec::new(),
            followed: 0,
            last: Last::Root,
            wants_directory: false,
        })
    }

    /// The next name and whether slashes follow it; `None` at the end.
    fn next(&mut self) -> Option<(Range<usize>, bool)> {
        while self.links.last().is_some_and(Text::is_at_end) {
            self.links.pop();
        }
        match self.links.last_mut() {
            Some(link) => Some(link.next()),
            None if self.path.is_at_end() => None,
            None => Some(self.path.next()),
        }
    }

    fn is_at_end(&self) -> bool {
        self.path.is_at_end() && self.links.iter().all(Text::is_at_end)
    }

    fn text(&self, range: Range<usize>) -> &[u8] {
        let text = self.links.last().map_or(self.path.text, |link| &link.text);
        text.get(range).unwrap_or_default()
    }

    /// The last name, if it is one.
    pub(super) fn name(&self) -> Option<&[u8]> {
        match &self.last {
            Last::Name(range) => Some(self.text(range.clone())),
            _ => None,
        }
    }

    pub(super) fn last(&self) -> &Last {
        &self.last
    }

    /// Goes on to the directory that the last name is in.
    pub(super) fn go_to_last(&mut self) -> Result<()> {
        self.last = Last::Root;
        while let Some((range, slash)) = self.next() {
            if !self.directory.is_directory() {
                return Err(Errno::ENOTDIR);
            }
            self.directory.check(self.subject, SEARCH)?;
            let name = self.text(range.clone());
            let part = match name {
                b"." => Last::Dot,
                b".." => Last::DotDot,
                _ if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
                _ => Last::Name(range),
            };
            if self.is_at_end() {
                self.wants_directory |= slash;
                self.last = part;
                return Ok(());
            }
            let inode = self.find(&part)?.ok_or(Errno::ENOENT)?;
            match inode.link_text() {
                Some(text) => self.follow(text)?,
                None => self.directory = inode,
            }
        }
        Ok(())
    }

    /// What a part is in the directory.
    fn find(&self, part: &Last) -> Result<Option<Arc<Inode>>> {
        match part {
            Last::Root | Last::Dot => Ok(Some(self.directory.clone())),
            Last::DotDot => self.above().map(Some),
            Last::Name(range) => lookup(&self.directory, self.text(range.clone())),
        }
    }

    /// What the last name is, if anything.
    pub(super) fn find_last(&self) -> Result<Option<Arc<Inode>>> {
        self.find(&self.last)
    }

    /// The directory above: of the root itself, and of a mounted root the one above where it is mounted.
    fn above(&self) -> Result<Arc<Inode>> {
        above(&self.directory, &self.subject.root)
    }

    /// Goes on along what a symbolic link says.
    pub(super) fn follow(&mut self, text: Arc<[u8]>) -> Result<()> {
        self.followed += 1;
        if self.followed > MAX_LINKS {
            return Err(Errno::ELOOP);
        }
        let mut link = Text { text, at: 0 };
        if link.skip_slashes() {
            self.directory = self.subject.root.clone();
        }
        self.links.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.links.push(link);
        Ok(())
    }

    /// Goes to the end. A link there is followed if asked for, or if a slash follows it.
    pub(super) fn go_to_end(mut self, follow: Follow) -> Result<Arc<Inode>> {
        loop {
            self.go_to_last()?;
            let inode = self.find_last()?.ok_or(Errno::ENOENT)?;
            match inode.link_text() {
                Some(text) if follow == Follow::Yes || self.wants_directory => self.follow(text)?,
                _ if self.wants_directory && !inode.is_directory() => return Err(Errno::ENOTDIR),
                _ => return Ok(inode),
            }
        }
    }
}

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    Yes,
    No,
}

/// What a directory has under a name, or what is mounted there.
pub(super) fn lookup(directory: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
    match &directory.node {
        Node::Directory(names) => Ok(names.get(directory, name)?.map(cross)),
        _ => Err(Errno::ENOTDIR),
    }
}

/// The root of what is mounted on a directory, or itself.
pub(super) fn cross(mut inode: Arc<Inode>) -> Arc<Inode> {
    while let Node::Directory(directory) = &inode.node
        && let Some(root) = directory.cover()
    {
        inode = root;
    }
    inode
}

/// The directory above one, as seen by who has this root.
pub(super) fn above(directory: &Arc<Inode>, root: &Arc<Inode>) -> Result<Arc<Inode>> {
    let mut inode = directory.clone();
    while !Arc::ptr_eq(&inode, root) {
        let Node::Directory(below) = &inode.node else { return Err(Errno::ENOTDIR) };
        match below.mounted_on() {
            Some(place) => inode = place,
            None if below.is_root() => break,
            None => return below.parent().map(cross).ok_or(Errno::ENOENT),
        }
    }
    Ok(inode)
}
