//! The host's side of the session in which the guest serves files.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, anyhow, ensure};

use crate::http::Server;

/// The files that the guest serves, by their lengths: the first numbers, each on a line.
const FILES: [usize; 3] = [1 << 10, 32 << 10, 1 << 20];
/// How many requests there are, and how many at the same time.
const REQUESTS: usize = 25;
const AT_ONCE: usize = 8;

/// What the guest has in its files, the first `length` bytes of it.
fn numbers(length: usize) -> Vec<u8> {
    let mut text: Vec<u8> =
        (1..).flat_map(|number: u32| format!("{number}\n").into_bytes()).take(length).collect();
    text.truncate(length);
    text
}

/// Asks for all kinds of things, and at last tells the guest that it was all.
pub fn visit(port: u16) -> Result<()> {
    let server = Server { port };
    let files = FILES.map(numbers);
    let fetch = |file: &Vec<u8>| server.fetch(&format!("/{}", file.len()), "200", |body| body == file);
    files.iter().try_for_each(fetch)?;

    let next = AtomicUsize::new(0);
    let work = || {
        while let request @ ..REQUESTS = next.fetch_add(1, Ordering::Relaxed) {
            fetch(&files[request % files.len()])?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let mut ends = workers.into_iter().map(|worker| worker.join());
        ends.try_for_each(|end| end.unwrap_or_else(|_| Err(anyhow!("a visitor panicked"))))
    })?;

    server.fetch("/nothing", "404", |_| true)?;
    break_off(server)?;
    fetch(&files[0])?;
    server.fetch("/cgi-bin/done", "200", |body| body == b"noted\n")
}

/// Leaves in the middle of an answer, and in the middle of a request.
fn break_off(server: Server) -> Result<()> {
    let mut stream = server.ask("/1048576")?;
    let mut some = [0; 10_000];
    stream.read_exact(&mut some)?;
    ensure!(some.starts_with(b"HTTP/1.1 200"), "no answer to be broken off");
    drop(stream);
    TcpStream::connect(("127.0.0.1", server.port))?.write_all(b"GET /1048576 HT")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_the_first_numbers() {
        assert_eq!(numbers(12), b"1\n2\n3\n4\n5\n6\n");
        assert_eq!(numbers(22)[16..], *b"9\n10\n1");
    }
}
