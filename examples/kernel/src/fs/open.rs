//! Opening files.

use super::device::{DeviceNumber, Memory};
use super::file::{File, Object};
use super::flags::OpenFlags;
use super::inode::{Inode, Node, READ, WRITE};
use super::live::Told;
use super::pages::Pages;
use super::pipe::Ends;
use super::subject::Subject;
use super::tree::{Place, Tree};
use super::tty::{Job, Tty};
use super::walk::{Follow, Walk};
use crate::errno::{Errno, Result};
use alloc::sync::Arc;
use spin::Mutex;

impl Tree {
    pub fn open(
        &self,
        subject: &Subject,
        at: &Arc<Inode>,
        path: &[u8],
        flags: OpenFlags,
        permissions: u16,
    ) -> Result<Arc<File>> {
        if flags.contains(OpenFlags::TMPFILE) {
            return Err(Errno::EOPNOTSUPP);
        }
        if flags.contains(OpenFlags::PATH) {
            return self.open_path(subject, at, path, flags);
        }
        if flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY) {
            return Err(Errno::EINVAL);
        }
        if flags.contains(OpenFlags::CREAT) {
            return self.open_or_create(subject, at, path, flags, permissions);
        }
        let inode = self.find(subject, at, path, Self::follow(flags))?;
        self.open_inode(subject, inode, flags)
    }

    fn follow(flags: OpenFlags) -> Follow {
        if flags.contains(OpenFlags::NOFOLLOW) { Follow::No } else { Follow::Yes }
    }

    fn open_path(
        &self,
        subject: &Subject,
        at: &Arc<Inode>,
        path: &[u8],
        flags: OpenFlags,
    ) -> Result<Arc<File>> {
        let inode = self.find(subject, at, path, Self::follow(flags))?;
        if flags.contains(OpenFlags::DIRECTORY) && !inode.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        let kept = flags & (OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW);
        File::new(Object::Path, Some(inode), kept)
    }

    fn open_or_create(
        &self,
        subject: &Subject,
        at: &Arc<Inode>,
        path: &[u8],
        flags: OpenFlags,
        permissions: u16,
    ) -> Result<Arc<File>> {
        let exclusive = flags.contains(OpenFlags::EXCL);
        let mut walk = Walk::new(subject, at, path)?;
        let inode = loop {
            walk.go_to_last()?;
            if walk.wants_directory && walk.name().is_some() {
                return Err(Errno::EISDIR);
            }
            let Some(inode) = walk.find_last()? else {
                let node = Node::Regular(Mutex::new(Pages::default()));
                let inode = Place { walk }.create(subject, node, permissions & !subject.umask)?;
                // Whatever its permissions are, who made it may use it as asked.
                return File::new(Object::Inode, Some(inode), flags);
            };
            match inode.link_text() {
                Some(text) if !exclusive && !flags.contains(OpenFlags::NOFOLLOW) => walk.follow(text)?,
                _ => break inode,
            }
        };
        if exclusive {
            return Err(Errno::EEXIST);
        }
        if inode.is_directory() {
            return Err(Errno::EISDIR);
        }
        self.open_inode(subject, inode, flags)
    }

    /// Opens what a path led to.
    pub fn open_inode(&self, subject: &Subject, inode: Arc<Inode>, flags: OpenFlags) -> Result<Arc<File>> {
        if flags.contains(OpenFlags::DIRECTORY) && !inode.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        // To cut a file is to write to it, however it is opened.
        let writes = flags.writes() || flags.contains(OpenFlags::TRUNC);
        if inode.is_directory() && writes {
            return Err(Errno::EISDIR);
        }
        let object = match &inode.node {
            Node::Symlink(_) => return Err(Errno::ELOOP),
            Node::Block(_) => return Err(Errno::ENXIO),
            Node::Regular(_) | Node::Directory(_) => Object::Inode,
            Node::Text(_) if flags.writes() => return Err(Errno::EACCES),
            Node::Text(_) => Object::Text(Mutex::new(Told::new(inode.volume().budget()))),
            Node::Character(device) => match Memory::of(*device) {
                Some(memory) => Object::Memory(memory),
                None => Object::Tty(self.terminal(subject.job, *device, flags)?),
            },
            Node::Fifo(fifo) => {
                let ends = Ends { reads: flags.reads(), writes: flags.writes() };
                let pipe = fifo.open(inode.volume().budget())?;
                if !ends.reads && flags.contains(OpenFlags::NONBLOCK) && !pipe.has_readers() {
                    return Err(Errno::ENXIO);
                }
                Object::Pipe(pipe, ends)
            }
        };
        let want = if flags.reads() { READ } else { 0 } | if writes { WRITE } else { 0 };
        inode.check(subject, want)?;
        if flags.contains(OpenFlags::TRUNC) && inode.is_regular() {
            inode.truncate(0)?;
        }
        File::new(object, Some(inode), flags)
    }

    /// Says which terminal a device is.
    pub fn add_terminal(&self, device: DeviceNumber, terminal: Arc<Tty>) {
        self.terminals.lock().push((device, terminal));
    }

    /// The terminal of a device, or of the caller's session if that is what is opened. A leader of a session that
    /// has none gets it.
    fn terminal(&self, job: Job, device: DeviceNumber, flags: OpenFlags) -> Result<Arc<Tty>> {
        let terminals = self.terminals.lock();
        let own =
            terminals.iter().find(|(_, terminal)| job.session != 0 && terminal.session() == job.session);
        if device == DeviceNumber::OWN_TERMINAL {
            return own.map(|(_, terminal)| terminal.clone()).ok_or(Errno::ENXIO);
        }
        let (_, terminal) = terminals.iter().find(|(other, _)| *other == device).ok_or(Errno::ENXIO)?;
        // As in Linux, the console is nobody's by being opened.
        let is_taken = device != DeviceNumber::CONSOLE && !flags.contains(OpenFlags::NOCTTY);
        if own.is_none() && is_taken && job.session != 0 {
            // That another session has it, or the caller leads none, is no reason not to open it.
            let _ = terminal.acquire(job);
        }
        Ok(terminal.clone())
    }
}
