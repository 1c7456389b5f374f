//! A child process that is watched: its output read as it comes, its time limited.

use std::collections::VecDeque;
use std::io::{self, Read, Stderr, Write};
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::process::{line, succeeds};

/// How often to look whether the child has ended.
const INTERVAL: Duration = Duration::from_millis(5);
/// How long a child may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(2);

/// What a watched child left behind.
pub struct Watched {
    /// What it wrote to standard output.
    pub output: Vec<u8>,
    /// What it wrote to standard error.
    pub errors: Vec<u8>,
    /// How it ended, or nothing if it was stopped at the time limit.
    pub exit: Option<ExitStatus>,
}

/// Who reads what a child writes, besides whoever watches it.
pub enum Reader {
    Nobody,
    /// Our standard output.
    Live,
    /// Somebody who types: each time the first of a pair is there, the second, and then goes on with the next pair.
    Typist(Vec<(String, String)>),
}

/// Runs `command` until it ends, or for as long as `limit`. Its standard input is as `command` has
/// it, unless somebody types.
pub fn watch(command: &mut Command, limit: Option<Duration>, reader: Reader) -> Result<Watched> {
    let started = Instant::now();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if matches!(reader, Reader::Typist(_)) {
        command.stdin(Stdio::piped());
    }
    let child = command.spawn().with_context(|| format!("cannot start `{}`", line(command)))?;
    let mut child = Running(child);

    let (failed, failure) = mpsc::channel();
    let output = child.stdout.take().context("standard output is piped")?;
    let copy: Option<Box<dyn Write + Send>> = match reader {
        Reader::Nobody => None,
        Reader::Live => Some(Box::new(io::stdout())),
        Reader::Typist(pairs) => {
            let keys = child.stdin.take().context("standard input is piped")?;
            Some(Box::new(Typist { pairs: pairs.into(), seen: Vec::new(), keys }))
        }
    };
    let output = collect(output, copy, failed.clone());
    let errors = child.stderr.take().context("standard error is piped")?;
    let errors = collect(errors, None::<Stderr>, failed.clone());

    let exit = loop {
        if let Some(exit) = child.try_wait()? {
            break Some(exit);
        }
        if limit.is_some_and(|limit| started.elapsed() >= limit) {
            child.stop()?;
            break None;
        }
        // `failed` lives as long as this loop, so the channel stays open and this is a pause.
        if let Ok(error) = failure.recv_timeout(INTERVAL) {
            return Err(error).with_context(|| format!("cannot pass on what `{}` writes", line(command)));
        }
    };
    drop(failed);
    let text = |collector: JoinHandle<Vec<u8>>| collector.join().map_err(|_| anyhow!("a reader panicked"));
    Ok(Watched { output: text(output)?, errors: text(errors)?, exit })
}

/// Reads `from` to its end in a thread, which returns it all. Each piece goes to `copy` at once.
fn collect(
    mut from: impl Read + Send + 'static,
    mut copy: Option<impl Write + Send + 'static>,
    failed: Sender<io::Error>,
) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let piece = match from.read(&mut buffer) {
                Ok(0) => return all,
                Ok(length) => &buffer[..length],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    _ = failed.send(error);
                    return all;
                }
            };
            all.extend_from_slice(piece);
            let copied =
                copy.as_mut().map_or(Ok(()), |copy| copy.write_all(piece).and_then(|()| copy.flush()));
            if let Err(error) = copied {
                _ = failed.send(error);
                return all;
            }
        }
    })
}

/// Types what is asked for, when it has seen what it waits for.
struct Typist<W> {
    pairs: VecDeque<(String, String)>,
    /// What came since it typed last.
    seen: Vec<u8>,
    keys: W,
}

impl<W: Write> Write for Typist<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.seen.extend_from_slice(piece);
        while let Some((wanted, keys)) = self.pairs.front() {
            let Some(place) = self.seen.windows(wanted.len()).position(|part| part == wanted.as_bytes())
            else {
                break;
            };
            self.seen.drain(..place + wanted.len());
            self.keys.write_all(keys.as_bytes())?;
            self.keys.flush()?;
            self.pairs.pop_front();
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A child that does not outlive its owner.
struct Running(Child);

impl Running {
    /// Ends the child: asks it first, so that it can leave the terminal as it was.
    fn stop(&mut self) -> io::Result<()> {
        // Not waited for yet, so no other process can have its number.
        succeeds(Command::new("sh").args(["-c", &format!("kill {}", self.id())]));
        let asked = Instant::now();
        while asked.elapsed() < GRACE {
            if self.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(INTERVAL);
        }
        self.kill()?;
        self.wait().map(drop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.try_wait() {
            _ = self.stop();
        }
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enough for a shell to start, on a busy machine too.
    const LIMIT: Duration = Duration::from_secs(1);

    fn shell(script: &str, limit: Option<Duration>) -> (Watched, Duration) {
        let started = Instant::now();
        let watched = watch(Command::new("sh").args(["-c", script]), limit, Reader::Nobody).unwrap();
        (watched, started.elapsed())
    }

    #[test]
    fn a_child_that_ends_leaves_all_it_wrote() {
        // More than a pipe holds.
        let (watched, _) = shell("head -c 200000 /dev/zero; echo no >&2; exit 7", None);
        assert_eq!(watched.output, [0; 200_000]);
        assert_eq!(watched.errors, b"no\n");
        assert_eq!(watched.exit.unwrap().code(), Some(7));
    }

    #[test]
    fn the_time_limit_ends_a_child_and_keeps_what_it_wrote() {
        let (watched, time) = shell("echo before; exec sleep 60", Some(LIMIT));
        assert!(watched.exit.is_none());
        assert_eq!(watched.output, b"before\n");
        assert!(time >= LIMIT && time < Duration::from_secs(20), "{time:?}");
    }

    #[test]
    fn a_child_that_will_not_end_is_killed() {
        let script = "trap '' TERM; echo deaf; while :; do :; done";
        let (watched, time) = shell(script, Some(LIMIT));
        assert!(watched.exit.is_none());
        assert_eq!(watched.output, b"deaf\n");
        assert!(time >= LIMIT + GRACE, "{time:?}");
    }

    #[test]
    fn somebody_types_when_he_has_seen_what_he_waits_for() {
        let script = "echo na; echo me; read first; echo hello $first; read last; echo bye $last";
        let pair = |wanted: &str, keys: &str| (wanted.to_owned(), keys.to_owned());
        let typist =
            Reader::Typist(vec![pair("me\n", "one\n"), pair("hello one", "two\n"), pair("never", "no\n")]);
        let watched = watch(Command::new("sh").args(["-c", script]), None, typist).unwrap();
        assert_eq!(watched.output, b"na\nme\nhello one\nbye two\n");
    }

    #[test]
    fn a_child_does_not_outlive_its_owner() {
        let child = Running(Command::new("sleep").arg("60").spawn().unwrap());
        let alive = format!("kill -0 {}", child.id());
        assert!(succeeds(Command::new("sh").args(["-c", &alive])));
        drop(child);
        assert!(!succeeds(Command::new("sh").args(["-c", &alive])));
    }
}
