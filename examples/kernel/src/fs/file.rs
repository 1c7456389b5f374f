//! Open file descriptions.

use super::data::{Sink, Source};
use super::device::{DeviceNumber, Memory};
use super::directory::Directory;
use super::flags::OpenFlags;
use super::inode::{Inode, Node};
use super::live::{Told, Writer};
use super::pages::MAX_SIZE;
use super::pipe::{Ends, PIPE_BUF, Pipe};
use super::poll::Events;
use super::stat::{S_IFIFO, S_IFSOCK, Stat};
use super::tty::ioctl::{self, FIONBIO, FIONREAD, TIOCOUTQ};
use super::tty::{Job, Tty};
use super::volume::Volume;
use crate::errno::{Errno, Result};
use crate::net::socket::{Socket, Take};
use crate::wait::WaitQueue;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use spin::Mutex;

/// How many may be open at once, in all processes.
const MAX_FILES: u32 = 8192;
static OPEN_FILES: AtomicU32 = AtomicU32::new(0);

/// What was opened, and how: descriptors that were duplicated share it, with its offset.
#[derive(Debug)]
pub struct File {
    object: Object,
    inode: Option<Arc<Inode>>,
    flags: AtomicU32,
    offset: Mutex<u64>,
}

/// What reads and writes go to.
#[derive(Debug)]
pub(super) enum Object {
    /// What its inode holds.
    Inode,
    Memory(Memory),
    Pipe(Arc<Pipe>, Ends),
    Tty(Arc<Tty>),
    Socket(Box<Socket>),
    /// What its inode tells, as it was when last read from the start.
    Text(Mutex<Told>),
    /// Opened with `O_PATH`: neither read nor written.
    Path,
}

/// Where `lseek` counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    Start,
    Current,
    End,
}

impl Whence {
    pub fn from_u32(number: u32) -> Result<Self> {
        match number {
            0 => Ok(Self::Start),
            1 => Ok(Self::Current),
            2 => Ok(Self::End),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl File {
    pub(super) fn new(object: Object, inode: Option<Arc<Inode>>, flags: OpenFlags) -> Result<Arc<Self>> {
        if OPEN_FILES.fetch_add(1, Ordering::Relaxed) >= MAX_FILES {
            OPEN_FILES.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::ENFILE);
        }
        if let Object::Pipe(pipe, ends) = &object {
            pipe.attach(*ends);
        }
        // These were for the opening alone.
        let flags = flags
            - (OpenFlags::CREAT
                | OpenFlags::EXCL
                | OpenFlags::NOCTTY
                | OpenFlags::TRUNC
                | OpenFlags::CLOEXEC);
        let file = Self { object, inode, flags: AtomicU32::new(flags.bits()), offset: Mutex::new(0) };
        Ok(Arc::new(file))
    }

    /// A pipe: the end to read, and the end to write.
    pub fn pipe(volume: &Volume, flags: OpenFlags) -> Result<(Arc<Self>, Arc<Self>)> {
        if !(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).contains(flags) {
            return Err(Errno::EINVAL);
        }
        let pipe = Pipe::new(volume.budget())?;
        let reads = Object::Pipe(pipe.clone(), Ends { reads: true, writes: false });
        let writes = Object::Pipe(pipe, Ends { reads: false, writes: true });
        Ok((Self::new(reads, None, flags)?, Self::new(writes, None, flags | OpenFlags::WRONLY)?))
    }

    /// A socket.
    pub fn socket(socket: Socket, flags: OpenFlags) -> Result<Arc<Self>> {
        let socket = Object::Socket(Box::new(socket));
        Self::new(socket, None, flags & OpenFlags::NONBLOCK | OpenFlags::RDWR)
    }

    pub fn inode(&self) -> Option<&Arc<Inode>> {
        self.inode.as_ref()
    }

    /// Whether it was opened with `O_PATH`.
    pub(super) fn is_path(&self) -> bool {
        matches!(self.object, Object::Path)
    }

    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// What `F_SETFL` does: of these flags, those that can be changed.
    pub fn set_flags(&self, flags: OpenFlags) {
        let kept = self.flags() - OpenFlags::SETTABLE;
        self.flags.store((kept | flags & OpenFlags::SETTABLE).bits(), Ordering::Relaxed);
    }

    /// Whether who would have to wait is told so.
    pub fn is_nonblocking(&self) -> bool {
        self.flags().contains(OpenFlags::NONBLOCK)
    }

    pub(super) fn check_reads(&self) -> Result<()> {
        if self.flags().reads() && !matches!(self.object, Object::Path) { Ok(()) } else { Err(Errno::EBADF) }
    }

    pub(super) fn check_writes(&self) -> Result<()> {
        if self.flags().writes() && !matches!(self.object, Object::Path) { Ok(()) } else { Err(Errno::EBADF) }
    }

    fn node(&self) -> Option<&Node> {
        self.inode.as_deref().map(|inode| &inode.node)
    }

    /// Reads at most so many bytes, from its offset on if it has one.
    ///
    /// # Errors
    ///
    /// EAGAIN if there is nothing yet: who may wait does so in its [`queues`](Self::queues).
    pub fn read(&self, count: usize, sink: &mut dyn Sink) -> Result<usize> {
        self.check_reads()?;
        match &self.object {
            Object::Memory(memory) => memory.read(count, sink),
            Object::Pipe(pipe, _) => pipe.read(count, sink),
            Object::Tty(tty) if self.is_nonblocking() => tty.read_nonblocking(count, sink),
            Object::Tty(tty) => tty.read(count, sink),
            Object::Socket(_) if count == 0 => Ok(0),
            Object::Socket(socket) => socket.receive(count, sink, Take::All).map(|taken| taken.put),
            Object::Inode | Object::Text(_) => {
                let mut offset = self.offset.lock();
                let done = self.read_inode(*offset, count, sink)?;
                *offset += done as u64;
                Ok(done)
            }
            Object::Path => Err(Errno::EBADF),
        }
    }

    /// Writes so many bytes, or fewer, at its offset if it has one.
    ///
    /// # Errors
    ///
    /// EAGAIN as [`read`](Self::read); EPIPE if nobody can read it.
    pub fn write(&self, count: usize, source: &mut dyn Source) -> Result<usize> {
        self.check_writes()?;
        match &self.object {
            Object::Memory(memory) => memory.write(count, source),
            Object::Pipe(pipe, _) => pipe.write(count, source),
            Object::Tty(tty) => tty.write(count, source),
            Object::Socket(socket) => socket.send(count, source, None),
            Object::Inode => {
                let mut offset = self.offset.lock();
                let end = self.flags().contains(OpenFlags::APPEND).then(|| self.size());
                let place = end.unwrap_or(*offset);
                let done = self.write_inode(place, count, source)?;
                *offset = place + done as u64;
                Ok(done)
            }
            Object::Text(_) | Object::Path => Err(Errno::EBADF),
        }
    }

    /// `pread`: reads at an offset of the caller's, and leaves its own.
    pub fn read_at(&self, offset: u64, count: usize, sink: &mut dyn Sink) -> Result<usize> {
        self.check_reads()?;
        match &self.object {
            Object::Inode | Object::Text(_) => self.read_inode(offset, count, sink),
            Object::Memory(memory) => memory.read(count, sink),
            Object::Pipe(..) | Object::Tty(_) | Object::Socket(_) => Err(Errno::ESPIPE),
            Object::Path => Err(Errno::EBADF),
        }
    }

    /// `pwrite`; with `O_APPEND` at the end nevertheless, as Linux does.
    pub fn write_at(&self, offset: u64, count: usize, source: &mut dyn Source) -> Result<usize> {
        self.check_writes()?;
        match &self.object {
            Object::Inode if self.flags().contains(OpenFlags::APPEND) => {
                self.write_inode(self.size(), count, source)
            }
            Object::Inode => self.write_inode(offset, count, source),
            Object::Memory(memory) => memory.write(count, source),
            Object::Pipe(..) | Object::Tty(_) | Object::Socket(_) => Err(Errno::ESPIPE),
            Object::Text(_) | Object::Path => Err(Errno::EBADF),
        }
    }

    fn read_inode(&self, offset: u64, count: usize, sink: &mut dyn Sink) -> Result<usize> {
        match self.node() {
            Some(Node::Regular(pages)) => {
                let done = pages.lock().read(offset, count, sink)?;
                if let Some(inode) = &self.inode {
                    inode.touch_read();
                }
                Ok(done)
            }
            Some(Node::Text(text)) => {
                let Object::Text(kept) = &self.object else { return Err(Errno::EINVAL) };
                if offset == 0 || kept.lock().is_empty() {
                    let new = Writer::all(&**text)?;
                    kept.lock().replace(new)?;
                }
                let kept = kept.lock();
                let rest = kept.from(offset);
                sink.put(rest.get(..count).unwrap_or(rest))
            }
            Some(Node::Directory(_)) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn write_inode(&self, offset: u64, count: usize, source: &mut dyn Source) -> Result<usize> {
        let (Some(inode), Some(Node::Regular(pages))) = (&self.inode, self.node()) else {
            return Err(Errno::EINVAL);
        };
        let done = pages.lock().write(offset, count, source, inode.volume().budget())?;
        if done > 0 {
            inode.touch();
        }
        Ok(done)
    }

    pub(super) fn size(&self) -> u64 {
        self.inode.as_ref().map_or(0, |inode| inode.size())
    }

    pub fn seek(&self, offset: i64, whence: Whence) -> Result<u64> {
        match self.object {
            Object::Pipe(..) | Object::Tty(_) | Object::Socket(_) => return Err(Errno::ESPIPE),
            Object::Path => return Err(Errno::EBADF),
            // As Linux: there is one place, wherever one goes.
            Object::Memory(Memory::Null | Memory::Zero | Memory::Full) => return Ok(0),
            Object::Memory(_) | Object::Inode | Object::Text(_) => {}
        }
        let mut place = self.offset.lock();
        let start = match whence {
            Whence::Start => 0,
            Whence::Current => *place,
            Whence::End => self.size(),
        };
        let new = start.checked_add_signed(offset).filter(|new| *new <= MAX_SIZE).ok_or(Errno::EINVAL)?;
        *place = new;
        Ok(new)
    }

    /// `ftruncate`.
    pub fn truncate(&self, size: u64) -> Result<()> {
        match (&self.inode, &self.object) {
            (_, Object::Path) => Err(Errno::EBADF),
            (Some(inode), Object::Inode) if self.flags().writes() => inode.truncate(size),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `fsync`: what is in memory is as safe as it will be.
    pub fn sync(&self) -> Result<()> {
        match self.object {
            Object::Inode | Object::Text(_) => Ok(()),
            Object::Path => Err(Errno::EBADF),
            Object::Memory(_) | Object::Pipe(..) | Object::Tty(_) | Object::Socket(_) => Err(Errno::EINVAL),
        }
    }

    pub fn stat(&self) -> Stat {
        if let Some(inode) = &self.inode {
            return inode.stat();
        }
        // As the volumes of pipes and of sockets, which nobody sees.
        let (minor, number, mode) = match &self.object {
            Object::Pipe(pipe, _) => (12, pipe.number(), S_IFIFO | 0o600),
            Object::Socket(socket) => (8, socket.number(), S_IFSOCK | 0o777),
            _ => (12, 0, S_IFIFO | 0o600),
        };
        Stat {
            device: DeviceNumber { major: 0, minor },
            inode: u64::from(number),
            mode,
            links: 1,
            block_size: PIPE_BUF as u32,
            ..Stat::default()
        }
    }

    /// What can be done with it now.
    pub fn poll(&self) -> Events {
        match &self.object {
            Object::Pipe(pipe, ends) => pipe.poll(*ends),
            Object::Tty(tty) => tty.poll(),
            Object::Socket(socket) => socket.poll(),
            Object::Inode | Object::Memory(_) | Object::Text(_) => Events::IN | Events::OUT,
            Object::Path => Events::NVAL,
        }
    }

    /// Shows the queues that are woken when one of these events may have come.
    #[inline(always)]
    pub fn queues(&self, interest: Events, visit: &mut dyn FnMut(&WaitQueue)) {
        match &self.object {
            Object::Pipe(pipe, ends) => pipe.queues(*ends, interest, visit),
            Object::Tty(tty) => tty.queues(interest, visit),
            Object::Socket(socket) => socket.queues(interest, visit),
            Object::Inode | Object::Memory(_) | Object::Text(_) | Object::Path => {}
        }
    }

    /// Of a fifo whose other end nobody has open, how often that was opened. `open` waits, in the queues, until this is
    /// another: whoever opens the other end may have closed it again before the one that waits gets its turn.
    pub fn awaited_peer(&self) -> Option<u32> {
        match &self.object {
            Object::Pipe(pipe, ends) => pipe.awaited_peer(*ends),
            _ => None,
        }
    }

    /// The socket it is.
    ///
    /// # Errors
    ///
    /// ENOTSOCK.
    pub fn as_socket(&self) -> Result<&Socket> {
        match &self.object {
            Object::Socket(socket) => Ok(socket),
            Object::Path => Err(Errno::EBADF),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    /// The terminal it is.
    pub fn terminal(&self) -> Option<&Arc<Tty>> {
        match &self.object {
            Object::Tty(tty) => Some(tty),
            _ => None,
        }
    }

    /// `ioctl`, as [`Tty::ioctl`]; of files that are no terminals, what they know.
    pub fn ioctl(
        &self,
        job: Job,
        request: u32,
        argument: u32,
        source: &mut dyn Source,
        sink: &mut dyn Sink,
    ) -> Result<u32> {
        match (&self.object, request) {
            (Object::Path, _) => Err(Errno::EBADF),
            (_, FIONBIO) => {
                let on = u32::from_le_bytes(ioctl::get(source)?) != 0;
                let mut flags = self.flags();
                flags.set(OpenFlags::NONBLOCK, on);
                self.set_flags(flags);
                Ok(0)
            }
            (Object::Tty(tty), _) => tty.ioctl(job, request, argument, source, sink),
            (Object::Socket(socket), TIOCOUTQ) => {
                let unsent = u32::try_from(socket.unsent()).unwrap_or(u32::MAX);
                ioctl::put(sink, &unsent.to_le_bytes())
            }
            (_, FIONREAD) => {
                let waiting = u32::try_from(self.waiting()?).unwrap_or(u32::MAX);
                ioctl::put(sink, &waiting.to_le_bytes())
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn waiting(&self) -> Result<usize> {
        match (&self.object, self.node()) {
            (Object::Pipe(pipe, _), _) => Ok(pipe.len()),
            (Object::Socket(socket), _) => Ok(socket.waiting()),
            (Object::Inode, Some(Node::Regular(_))) => {
                let left = self.size().saturating_sub(*self.offset.lock());
                Ok(usize::try_from(left).unwrap_or(usize::MAX))
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    /// Its directory.
    pub(super) fn directory(&self) -> Result<(&Arc<Inode>, &Directory)> {
        match (&self.object, &self.inode, self.node()) {
            (Object::Path, ..) => Err(Errno::EBADF),
            (_, Some(inode), Some(Node::Directory(directory))) => Ok((inode, directory)),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn offset(&self) -> u64 {
        *self.offset.lock()
    }

    pub(super) fn set_offset(&self, offset: u64) {
        *self.offset.lock() = offset;
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Object::Pipe(pipe, ends) = &self.object {
            pipe.detach(*ends);
        }
        self.release_whole();
        OPEN_FILES.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
