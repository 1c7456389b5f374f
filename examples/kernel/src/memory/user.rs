//! What a program has in its memory, read and written on its behalf.
//!
//! The library's copies stop at a page that is not there; here it is brought in, as if the program itself had touched
//! it, and the copy goes on. Nobody who holds the address space may call this.

use super::space::{Access, Fault, Space};
use crate::errno::{Errno, Result};
use crate::machine::sva;
use spin::Mutex;
use sva_os::address::VirtAddr;
use sva_os::{Progress, Violation};

/// The address space of the running task.
pub type Shared = Mutex<Space>;

/// Brings in the page at which a copy stopped.
///
/// # Errors
///
/// EFAULT if it cannot be had.
#[cold]
pub fn bring_in(space: &Shared, refused: Violation) -> Result<()> {
    let (at, access) = match refused {
        Violation::NotReadable(at) => (at, Access::Read),
        Violation::NotWritable(at) => (at, Access::Write),
        _ => return Err(Errno::EFAULT),
    };
    match space.lock().fault(at.containing().number(), access) {
        Ok(()) => Ok(()),
        Err(Fault::NoFrame) => Err(Errno::ENOMEM),
        Err(_) => Err(Errno::EFAULT),
    }
}

/// Goes on with a copy that stopped after `progress` of `length` bytes.
#[cold]
#[inline(never)]
fn go_on(
    space: &Shared,
    length: usize,
    mut progress: Progress,
    copy: &mut dyn FnMut(usize) -> Progress,
) -> Result<()> {
    let mut done = 0;
    let mut stuck = 0;
    while let Some(refused) = progress.refused {
        done += progress.done as usize;
        // A page that is brought in and still cannot be used is somebody else's by now.
        stuck = if progress.done == 0 { stuck + 1 } else { 0 };
        if stuck > 2 {
            return Err(Errno::EFAULT);
        }
        bring_in(space, refused)?;
        if done >= length {
            break;
        }
        progress = copy(done);
    }
    Ok(())
}

fn address(start: u32, done: usize) -> VirtAddr {
    VirtAddr::new(start.wrapping_add(done as u32))
}

/// Fills `bytes` from what the program has at `from`.
#[inline(always)]
pub fn read(space: &Shared, from: u32, bytes: &mut [u8]) -> Result<()> {
    let progress = sva().copy_from_user(VirtAddr::new(from), bytes);
    if progress.refused.is_none() {
        return Ok(());
    }
    go_on(space, bytes.len(), progress, &mut |done| {
        sva().copy_from_user(address(from, done), bytes.get_mut(done..).unwrap_or_default())
    })
}

/// Writes `bytes` to what the program has at `to`.
#[inline(always)]
pub fn write(space: &Shared, to: u32, bytes: &[u8]) -> Result<()> {
    let progress = sva().copy_to_user(VirtAddr::new(to), bytes);
    if progress.refused.is_none() {
        return Ok(());
    }
    go_on(space, bytes.len(), progress, &mut |done| {
        sva().copy_to_user(address(to, done), bytes.get(done..).unwrap_or_default())
    })
}

/// So many bytes at `from`.
#[inline(always)]
pub fn array<const N: usize>(space: &Shared, from: u32) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    read(space, from, &mut bytes)?;
    Ok(bytes)
}

/// So many words at `from`.
#[inline(always)]
pub fn words<const N: usize>(space: &Shared, from: u32) -> Result<[u32; N]> {
    let mut bytes = [[0; 4]; N];
    read(space, from, bytes.as_flattened_mut())?;
    Ok(bytes.map(u32::from_le_bytes))
}

/// The word at `from`.
#[inline(always)]
pub fn word(space: &Shared, from: u32) -> Result<u32> {
    let [word] = words(space, from)?;
    Ok(word)
}

/// Writes words to `to`.
#[inline(always)]
pub fn put_words<const N: usize>(space: &Shared, to: u32, words: [u32; N]) -> Result<()> {
    write(space, to, words.map(u32::to_le_bytes).as_flattened())
}

/// Reads the string at `from` to `bytes`, and says how long it is.
///
/// # Errors
///
/// EFAULT, or ENAMETOOLONG if there is no zero in so many bytes.
pub fn string(space: &Shared, from: u32, bytes: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    let mut stuck = 0;
    loop {
        let progress =
            sva().copy_str_from_user(address(from, done), bytes.get_mut(done..).unwrap_or_default());
        done += progress.done as usize;
        match progress.refused {
            None => return Ok(done),
            Some(Violation::RangeTooLong(_)) => return Err(Errno::ENAMETOOLONG),
            Some(refused) => {
                stuck = if progress.done == 0 { stuck + 1 } else { 0 };
                if stuck > 2 {
                    return Err(Errno::EFAULT);
                }
                bring_in(space, refused)?;
            }
        }
    }
}
