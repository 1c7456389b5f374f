//! What a host asks a guest that serves HTTP.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long a guest is waited for that is not ready yet.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may be silent.
const SILENCE: Duration = Duration::from_secs(10);

/// A port of this machine that nobody has at this moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A server behind a port of this machine.
#[derive(Clone, Copy)]
pub struct Server {
    pub port: u16,
}

impl Server {
    /// A connection on which `path` was asked for.
    pub fn ask(self, path: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(SILENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")?;
        Ok(stream)
    }

    /// Fetches `path`, and makes sure of the status and of what comes with it.
    pub fn fetch(self, path: &str, status: &str, is_right: impl Fn(&[u8]) -> bool) -> Result<()> {
        let answer = self.get(path)?;
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let (head, body) = answer.split_at(end.with_context(|| format!("{path}: no HTTP"))? + 4);
        let head = String::from_utf8_lossy(head);
        ensure!(head.split(' ').nth(1) == Some(status), "{path}: {head:?}");
        ensure!(is_right(body), "{path}: {} bytes that are not what the guest has", body.len());
        Ok(())
    }

    /// All that comes back for `path`. A connection that the guest is not ready for is tried again.
    fn get(self, path: &str) -> Result<Vec<u8>> {
        let started = Instant::now();
        loop {
            let answer = self.ask(path).and_then(|mut stream| {
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer)?;
                Ok(answer)
            });
            match answer {
                Ok(answer) if !answer.is_empty() => return Ok(answer),
                _ if started.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(50)),
                answer => return answer.with_context(|| format!("cannot fetch {path}")),
            }
        }
    }
}
