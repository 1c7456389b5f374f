//! Bytes to and from a file in RAM.

use alloc::vec;
use core::ffi::CStr;

use super::{Bench, time};
use crate::sys::{self, Errno, File, Result, mode};

const PLACE: &CStr = c"/tmp/hbench";
/// The most that one call moves, in bytes.
const CHUNK: usize = 64 << 10;
/// Names of the rows, bytes of the file.
const ROWS: [([&str; 2], usize); 6] = [
    (["write-4k", "read-4k"], 4 << 10),
    (["write-16k", "read-16k"], 16 << 10),
    (["write-64k", "read-64k"], 64 << 10),
    (["write-256k", "read-256k"], 256 << 10),
    (["write-1m", "read-1m"], 1 << 20),
    (["write-4m", "read-4m"], 4 << 20),
];

pub(super) fn measure(bench: &mut Bench) {
    let mut buffer = vec![0x5a; CHUNK];
    for ([write, read], bytes) in ROWS {
        let chunk = bytes.min(CHUNK);
        // An operation writes the whole file, which was empty.
        bench.row_of_bytes(write, 1, bytes, |count, counter| {
            let file = File::open(PLACE, mode::WRITE | mode::CREATE | mode::TRUNCATE)?;
            let ticks = time(count, counter, || whole(bytes, || file.write(&buffer[..chunk])));
            file.close()?;
            sys::unlink(PLACE)?;
            ticks
        });
        bench.row_of_bytes(read, 4, bytes, |count, counter| {
            let file = File::open(PLACE, mode::READ_WRITE | mode::CREATE | mode::TRUNCATE)?;
            whole(bytes, || file.write(&buffer[..chunk]))?;
            let ticks = time(count, counter, || {
                file.seek(0)?;
                whole(bytes, || file.read(&mut buffer[..chunk]))
            });
            file.close()?;
            sys::unlink(PLACE)?;
            ticks
        });
    }
}

/// Moves `bytes` bytes, each call as many as it says.
#[inline(always)]
fn whole(mut bytes: usize, mut call: impl FnMut() -> Result<usize>) -> Result<()> {
    while bytes > 0 {
        match call()? {
            0 => return Err(Errno::INVAL),
            moved => bytes = bytes.checked_sub(moved).ok_or(Errno::INVAL)?,
        }
    }
    Ok(())
}
