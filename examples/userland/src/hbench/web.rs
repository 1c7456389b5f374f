//! Files that a server on this machine serves, at port 80, by HTTP. The server's side is in the figures.

use alloc::vec;

use super::{Bench, time};
use crate::sys::{Errno, File, Result};

const PORT: u16 = 80;
/// The most that one call reads, in bytes.
const CHUNK: usize = 64 << 10;
/// Names of the rows, bytes of the file, what it is asked for by, how often in one repetition.
const ROWS: [(&str, usize, &[u8], u32); 4] = [
    ("http-1k", 1 << 10, b"GET /1024 HTTP/1.0\r\n\r\n", 16),
    ("http-32k", 32 << 10, b"GET /32768 HTTP/1.0\r\n\r\n", 8),
    ("http-256k", 256 << 10, b"GET /262144 HTTP/1.0\r\n\r\n", 2),
    ("http-1m", 1 << 20, b"GET /1048576 HTTP/1.0\r\n\r\n", 1),
];

pub(super) fn measure(bench: &mut Bench) {
    let mut buffer = vec![0; CHUNK];
    for (name, bytes, request, operations) in ROWS {
        if bench.is_asked_for(name) == Some(true) {
            bench.row_of_bytes(name, operations, bytes, |count, counter| {
                time(count, counter, || fetch(request, bytes, &mut buffer))
            });
        }
    }
}

/// Asks for a file and reads all of it; with the head in front it is longer than the file.
fn fetch(request: &[u8], bytes: usize, buffer: &mut [u8]) -> Result<()> {
    let server = File::connected(PORT)?;
    server.write_all(request)?;
    let mut received = 0;
    loop {
        match server.read(buffer)? {
            0 => break,
            more => received += more,
        }
    }
    server.close()?;
    if received > bytes { Ok(()) } else { Err(Errno::INVAL) }
}
