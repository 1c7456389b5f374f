//! Files, directories, pipes, and what is printed.

use core::ffi::CStr;
use core::fmt::{self, Write};

use super::call::{Result, call3, call4};

const READ: usize = 3;
const WRITE: usize = 4;
const OPEN: usize = 5;
const CLOSE: usize = 6;
const UNLINK: usize = 10;
const CHDIR: usize = 12;
const LSEEK: usize = 19;
const MKDIR: usize = 39;
const PIPE: usize = 42;
const IOCTL: usize = 54;
const DUP2: usize = 63;
const READLINK: usize = 85;
const GETCWD: usize = 183;
const GETDENTS64: usize = 220;
const FCNTL64: usize = 221;

const DUPLICATE_FROM: usize = 0;
const SET_CONTROLLING: usize = 0x540e;
const GET_SETTINGS: usize = 0x5401;

/// An open file, by its number. It stays open until it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File(pub u32);

/// Where a program reads from.
pub const INPUT: File = File(0);
/// Where it prints to.
pub const OUTPUT: File = File(1);
/// Where it complains.
pub const ERRORS: File = File(2);

/// How a file is opened: these are or-ed.
pub mod mode {
    /// To be read.
    pub const READ: usize = 0;
    /// To be written.
    pub const WRITE: usize = 1;
    /// To be read and written.
    pub const READ_WRITE: usize = 2;
    /// Made if there is none.
    pub const CREATE: usize = 0o100;
    /// Emptied.
    pub const TRUNCATE: usize = 0o1000;
    /// Written at its end.
    pub const APPEND: usize = 0o2000;
    /// Only if it is a directory.
    pub const DIRECTORY: usize = 0o20_0000;
}

impl File {
    /// Opens a file, or makes it, with permissions 755.
    pub fn open(path: &CStr, mode: usize) -> Result<Self> {
        // SAFETY: the kernel reads a string.
        file(unsafe { call3(OPEN, [path.as_ptr().addr(), mode, 0o755]) })
    }

    /// Closes it.
    pub fn close(self) -> Result<()> {
        // SAFETY: no memory of ours is concerned.
        unsafe { call3(CLOSE, [self.0 as usize, 0, 0]) }.map(drop)
    }

    /// Reads up to `buffer.len()` bytes, and says how many. None is the end.
    pub fn read(self, buffer: &mut [u8]) -> Result<usize> {
        // SAFETY: the kernel writes into the buffer.
        unsafe { call3(READ, [self.0 as usize, buffer.as_mut_ptr().addr(), buffer.len()]) }
    }

    /// Writes up to `bytes.len()` bytes, and says how many.
    pub fn write(self, bytes: &[u8]) -> Result<usize> {
        // SAFETY: the kernel reads the bytes.
        unsafe { call3(WRITE, [self.0 as usize, bytes.as_ptr().addr(), bytes.len()]) }
    }

    /// Writes all of `bytes`.
    pub fn write_all(self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let written = self.write(bytes)?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Goes to a position, in bytes from the start.
    pub fn seek(self, position: usize) -> Result<()> {
        // SAFETY: no memory of ours is concerned.
        unsafe { call3(LSEEK, [self.0 as usize, position, 0]) }.map(drop)
    }

    /// Makes `to` the same open file.
    pub fn duplicate_to(self, to: Self) -> Result<()> {
        // SAFETY: no memory of ours is concerned.
        unsafe { call3(DUP2, [self.0 as usize, to.0 as usize, 0]) }.map(drop)
    }

    /// The same open file under the first free number from `first` on.
    pub fn duplicate_from(self, first: u32) -> Result<Self> {
        // SAFETY: no memory of ours is concerned.
        file(unsafe { call3(FCNTL64, [self.0 as usize, DUPLICATE_FROM, first as usize]) })
    }

    /// Makes this terminal the controlling one of our session.
    pub fn control(self) -> Result<()> {
        // SAFETY: no memory of ours is concerned.
        unsafe { call3(IOCTL, [self.0 as usize, SET_CONTROLLING, 0]) }.map(drop)
    }

    /// Whether it is a terminal.
    pub fn is_terminal(self) -> bool {
        let mut settings = [0_u32; 16];
        // SAFETY: the kernel writes a structure of 36 bytes.
        unsafe { call3(IOCTL, [self.0 as usize, GET_SETTINGS, settings.as_mut_ptr().addr()]) }.is_ok()
    }

    /// Reads entries of a directory as `struct linux_dirent64`, and says how many bytes. None is the end.
    pub fn entries(self, buffer: &mut [u8]) -> Result<usize> {
        // SAFETY: the kernel writes into the buffer.
        unsafe { call3(GETDENTS64, [self.0 as usize, buffer.as_mut_ptr().addr(), buffer.len()]) }
    }
}

/// A pipe: the end to read from, the end to write to.
pub fn pipe() -> Result<(File, File)> {
    let mut ends = [0_u32; 2];
    // SAFETY: the kernel writes two numbers.
    unsafe { call3(PIPE, [ends.as_mut_ptr().addr(), 0, 0]) }?;
    Ok((File(ends[0]), File(ends[1])))
}

/// Removes a name.
pub fn unlink(path: &CStr) -> Result<()> {
    // SAFETY: the kernel reads a string.
    unsafe { call3(UNLINK, [path.as_ptr().addr(), 0, 0]) }.map(drop)
}

/// Makes a directory, with permissions 755.
pub fn make_directory(path: &CStr) -> Result<()> {
    // SAFETY: the kernel reads a string.
    unsafe { call3(MKDIR, [path.as_ptr().addr(), 0o755, 0]) }.map(drop)
}

/// Goes to a directory.
pub fn change_directory(path: &CStr) -> Result<()> {
    // SAFETY: the kernel reads a string.
    unsafe { call3(CHDIR, [path.as_ptr().addr(), 0, 0]) }.map(drop)
}

/// Where we are: the length of the path in `buffer`, with the zero at its end.
pub fn current_directory(buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes into the buffer.
    unsafe { call3(GETCWD, [buffer.as_mut_ptr().addr(), buffer.len(), 0]) }
}

/// What a symbolic link leads to: the length of it in `buffer`.
pub fn read_link(path: &CStr, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel reads a string and writes into the buffer.
    unsafe { call3(READLINK, [path.as_ptr().addr(), buffer.as_mut_ptr().addr(), buffer.len()]) }
}

/// Mounts a file system of the kernel's own, such as `proc`.
pub fn mount(kind: &CStr, at: &CStr) -> Result<()> {
    const MOUNT: usize = 21;
    let kind = kind.as_ptr().addr();
    // SAFETY: the kernel reads strings.
    unsafe { call4(MOUNT, [kind, at.as_ptr().addr(), kind, 0]) }.map(drop)
}

/// Prints to a file. What cannot be written is lost.
pub fn print_to(file: File, text: fmt::Arguments<'_>) {
    struct Line {
        file: File,
        bytes: [u8; 256],
        length: usize,
    }

    impl Line {
        fn flush(&mut self) {
            _ = self.file.write_all(&self.bytes[..self.length]);
            self.length = 0;
        }
    }

    impl Write for Line {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for byte in text.bytes() {
                if self.length == self.bytes.len() {
                    self.flush();
                }
                self.bytes[self.length] = byte;
                self.length += 1;
            }
            Ok(())
        }
    }

    let mut line = Line { file, bytes: [0; 256], length: 0 };
    _ = line.write_fmt(text);
    line.flush();
}

fn file(answer: Result<usize>) -> Result<File> {
    answer.map(|number| File(number as u32))
}
