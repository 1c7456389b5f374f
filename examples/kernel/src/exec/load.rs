//! Giving a task another program.

use super::program::{self, HEADERS, Program};
use super::script;
use super::stack::{self, Given, auxiliary};
use crate::errno::{Errno, Result};
use crate::fs::file::File;
use crate::fs::flags::OpenFlags;
use crate::fs::random;
use crate::fs::subject::Subject;
use crate::fs::tree::{Follow, Tree};
use crate::machine::sva;
use crate::memory::region::{Backing, FilePart, Protection, Region};
use crate::memory::space::Space;
use crate::memory::{PAGE, STACK_END, STACK_PAGES, pages_for, user};
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Mutex;
use sva_os::address::VirtAddr;
use sva_os::context::UserContext;

/// The most scripts that name each other.
const MOST_SCRIPTS: u32 = 4;
/// The most links from the path of a program to its file.
const MOST_LINKS: u32 = 40;
/// Where the interpreter of a program goes.
const INTERPRETER_BASE: u32 = 0x4000_0000;
/// As `AT_CLKTCK` says: what `times` counts in.
const CLOCK_TICKS: u32 = 100;

/// A program, ready to run.
pub struct Loaded {
    /// Its memory.
    pub space: Arc<user::Shared>,
    /// Its registers.
    pub context: UserContext,
    /// The path of its file, from the root and without links.
    pub path: Vec<u8>,
}

fn open(tree: &Tree, subject: &Subject, path: &[u8]) -> Result<(Arc<File>, Vec<u8>)> {
    let inode = tree.find(subject, &subject.directory, path, Follow::Yes)?;
    inode.check_execute(subject)?;
    let file = tree.open_inode(subject, inode, OpenFlags::RDONLY)?;
    let mut bytes = Vec::new();
    file.read_at(0, HEADERS, &mut bytes)?;
    Ok((file, bytes))
}

/// The path of the file that is found at `path`, from the root and without links.
fn whole_path(tree: &Tree, subject: &Subject, path: &[u8]) -> Result<Vec<u8>> {
    let mut path = path.to_vec();
    let mut directory = subject.directory.clone();
    for _ in 0..MOST_LINKS {
        let (above, name) = match path.iter().rposition(|byte| *byte == b'/') {
            None => (&b"."[..], &path[..]),
            Some(0) => (&b"/"[..], path.get(1..).unwrap_or_default()),
            Some(slash) => (
                path.get(..slash).unwrap_or_default(),
                path.get(slash.saturating_add(1)..).unwrap_or_default(),
            ),
        };
        directory = tree.find_directory(subject, &directory, above)?;
        let inode = tree.find(subject, &directory, name, Follow::No)?;
        let Ok(text) = tree.read_link(&inode) else {
            let mut whole = tree.path_of(subject, &directory)?;
            if !whole.ends_with(b"/") {
                whole.push(b'/');
            }
            whole.extend_from_slice(name);
            return Ok(whole);
        };
        path = text.to_vec();
    }
    Err(Errno::ELOOP)
}

/// Loads the program at `path` for a task that is `subject` to the file system. Until the end nothing of the task changes
/// but its memory's place, which is as it was if this fails.
///
/// # Errors
///
/// ENOENT, EACCES and others of the path; ENOEXEC; E2BIG; ENOMEM; ELOOP.
pub fn load(tree: &Tree, subject: &Subject, path: &[u8], mut given: Given) -> Result<Loaded> {
    let mut path = path.to_vec();
    let mut scripts = 0;
    let (file, bytes) = loop {
        let (file, bytes) = open(tree, subject, &path)?;
        let Some(script) = script::parse(&bytes) else {
            break (file, bytes);
        };
        scripts += 1;
        if scripts > MOST_SCRIPTS {
            return Err(Errno::ELOOP);
        }
        let mut arguments = Vec::new();
        arguments.push(script.program.to_vec());
        arguments.extend(script.argument.map(<[u8]>::to_vec));
        arguments.push(path);
        arguments.extend(given.arguments.into_iter().skip(1));
        given.arguments = arguments;
        path = script.program.to_vec();
    };
    // A directory that was removed has no path, and its files can be executed all the same.
    let whole_path = whole_path(tree, subject, &path).unwrap_or_else(|_| path.clone());
    given.name = path;
    let program = program::plan(&bytes, program::BASE)?;
    let mut space = Space::new()?;
    place(&mut space, &file, &program)?;
    let (entry, base) = match program.interpreter {
        None => (program.entry, 0),
        Some((offset, length)) => {
            let mut path = Vec::new();
            if length as usize > HEADERS {
                return Err(Errno::ENOEXEC);
            }
            file.read_at(offset.into(), length as usize, &mut path)?;
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            let (file, bytes) = open(tree, subject, path)?;
            let interpreter = program::plan(&bytes, INTERPRETER_BASE)?;
            place(&mut space, &file, &interpreter)?;
            (interpreter.entry, interpreter.base)
        }
    };
    space.heap_start = pages_for(program.end) * PAGE;
    space.heap_end = space.heap_start;
    let protection = Protection::READ | Protection::WRITE;
    let region = Region { end: STACK_END, protection, backing: Backing::Anonymous };
    let first = STACK_END - STACK_PAGES;
    if !space.regions().is_free(first, STACK_END) {
        return Err(Errno::ENOEXEC);
    }
    space.add(first, region)?;

    let mut noise = Vec::new();
    random::put(16, &mut noise)?;
    let noise = noise.first_chunk().copied().unwrap_or_default();
    let (headers, bytes, count) = program.headers;
    let (user, group) = (subject.uid, subject.gid);
    let vector = [
        (auxiliary::PAGE_BYTES, PAGE),
        (auxiliary::TICKS, CLOCK_TICKS),
        (auxiliary::HEADERS, headers),
        (auxiliary::HEADER_BYTES, bytes),
        (auxiliary::HEADER_COUNT, count),
        (auxiliary::INTERPRETER, base),
        (auxiliary::FLAGS, 0),
        (auxiliary::ENTRY, program.entry),
        (auxiliary::USER, user),
        (auxiliary::EFFECTIVE_USER, user),
        (auxiliary::GROUP, group),
        (auxiliary::EFFECTIVE_GROUP, group),
        (auxiliary::SECURE, 0),
        (auxiliary::RANDOM, 0),
        (auxiliary::NAME, 0),
    ];
    let (esp, bytes) = stack::build(STACK_END * PAGE, &given, &vector, noise)?;
    let root = space.root();
    let space = Arc::new(Mutex::new(space));
    // The copies go where the CPU is.
    let before = sva().root();
    sva().load_root(root).map_err(|_| Errno::ENOMEM)?;
    if let Err(error) = user::write(&space, esp, &bytes) {
        sva().load_root(before).map_err(|_| Errno::ENOMEM)?;
        return Err(error);
    }
    let context = UserContext::new(VirtAddr::new(entry), VirtAddr::new(esp));
    Ok(Loaded { space, context, path: whole_path })
}

/// Adds the regions of a program.
fn place(space: &mut Space, file: &Arc<File>, program: &Program) -> Result<()> {
    for part in &program.parts {
        if !space.regions().is_free(part.first, part.end) {
            return Err(Errno::ENOEXEC);
        }
        let from_file = FilePart {
            file: file.clone(),
            page: part.first,
            offset: part.offset.into(),
            length: part.length,
        };
        // What lies behind the part that the file has is as anything else that is zero at first.
        let split = part.first + pages_for(part.length);
        let region = |end, backing| Region { end, protection: part.protection, backing };
        if split > part.first {
            space.add(part.first, region(split.min(part.end), Backing::File(from_file)))?;
        }
        if part.end > split {
            space.add(split, region(part.end, Backing::Anonymous))?;
        }
    }
    Ok(())
}
