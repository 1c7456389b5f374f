//! What is known of a file without opening it.

use core::ffi::CStr;

use super::call::{Result, call3};

const LSTAT64: usize = 196;
const KIND: u32 = 0o17_0000;
const DIRECTORY: u32 = 0o04_0000;

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    mode: u32,
    /// In bytes.
    pub size: u64,
}

impl Status {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode & KIND == DIRECTORY
    }

    /// A letter for what it is.
    pub fn kind(&self) -> char {
        match self.mode & KIND {
            0o01_0000 => 'p',
            0o02_0000 => 'c',
            DIRECTORY => 'd',
            0o06_0000 => 'b',
            0o12_0000 => 'l',
            0o14_0000 => 's',
            _ => '-',
        }
    }

    /// Who may do what with it.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }
}

/// What is known of the file, or symbolic link, at `path`.
pub fn status(path: &CStr) -> Result<Status> {
    // `struct stat64` of i386: the mode at byte 16, the size at byte 44.
    let mut words = [0_u32; 24];
    // SAFETY: the kernel reads a string and writes a structure of 96 bytes.
    unsafe { call3(LSTAT64, [path.as_ptr().addr(), words.as_mut_ptr().addr(), 0]) }?;
    Ok(Status { mode: words[4], size: u64::from(words[11]) | u64::from(words[12]) << 32 })
}
