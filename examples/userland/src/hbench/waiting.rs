//! Processes that wait for each other: bytes that go round through pipes.

use super::{Bench, time};
use crate::sys::{self, Counter, End, Errno, File, Pid, Result};

/// The most processes in a ring.
const MOST: usize = 16;

pub(super) fn measure(bench: &mut Bench) {
    // A byte there and back.
    bench.row("pipe", 200, |count, counter| {
        let ring = Ring::start(2)?;
        let ticks = time(count, counter, || ring.pass());
        ring.stop()?;
        ticks
    });

    // A byte from one process to the next.
    for (name, processes) in [("switch-2", 2), ("switch-8", 8), ("switch-16", 16)] {
        bench.row(name, 128, |count, counter| {
            let ring = Ring::start(processes)?;
            let laps = count / processes as u32;
            let ticks = ring.pass().and_then(|()| laps_of(&ring, laps, counter));
            ring.stop()?;
            ticks
        });
    }
}

fn laps_of(ring: &Ring, laps: u32, counter: Counter) -> Result<u64> {
    time(laps, counter, || ring.pass())
}

/// This process and others, each with a pipe to the next, which hand a byte on.
struct Ring {
    to_next: File,
    from_last: File,
    others: [Option<Pid>; MOST],
}

impl Ring {
    /// `count` processes, this one included; from 2 to [`MOST`].
    fn start(count: usize) -> Result<Self> {
        let mut others = [None; MOST];
        let (mut read, to_next) = sys::pipe()?;
        for other in others.iter_mut().take(count - 1) {
            // From the one before to this other, from it to the one behind it.
            let (next_read, write) = sys::pipe()?;
            *other = Some(sys::spawn(|| {
                _ = to_next.close();
                _ = next_read.close();
                hand_on(read, write)
            })?);
            read.close()?;
            write.close()?;
            read = next_read;
        }
        Ok(Self { to_next, from_last: read, others })
    }

    /// Sends a byte round.
    fn pass(&self) -> Result<()> {
        self.to_next.write(b"x")?;
        match self.from_last.read(&mut [0])? {
            1 => Ok(()),
            _ => Err(Errno::CHILD),
        }
    }

    /// Ends the others: each sees the end of its pipe when the one before has ended.
    fn stop(self) -> Result<()> {
        self.to_next.close()?;
        for other in self.others.into_iter().flatten() {
            if sys::wait(Some(other))?.1 != End::Exit(0) {
                return Err(Errno::CHILD);
            }
        }
        self.from_last.close()
    }
}

fn hand_on(read: File, write: File) -> i32 {
    let mut byte = [0];
    loop {
        match read.read(&mut byte) {
            Ok(0) => return 0,
            Ok(_) if write.write(&byte).is_ok() => {}
            _ => return 1,
        }
    }
}
