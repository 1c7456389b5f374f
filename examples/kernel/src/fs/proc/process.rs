//! What `/proc` tells of a process.

use super::super::device::DeviceNumber;
use super::super::inode::Inode;
use super::super::live::{Text, Writer};
use super::super::pages::PAGE_SIZE;
use super::{Process, Source, State};
use crate::errno::Result;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt::{self, Write};

/// Makes an inode with a number, for a process; `None` if it has no such thing.
type Make = fn(&Source, u32, u32) -> Result<Option<Arc<Inode>>>;

/// The entries of a process's directory, in the order in which they are listed.
pub(super) const PROCESS_FILES: &[(&str, Make)] = &[
    ("cmdline", |source, id, number| file(source, id, number, cmdline)),
    ("comm", |source, id, number| file(source, id, number, comm)),
    ("cwd", |source, id, number| {
        source.kernel.directory(id).map(|path| source.link(number, path)).transpose()
    }),
    ("exe", |source, id, number| {
        source.kernel.executable(id).map(|path| source.link(number, path)).transpose()
    }),
    ("stat", |source, id, number| file(source, id, number, stat)),
    ("statm", |source, id, number| file(source, id, number, statm)),
    ("status", |source, id, number| file(source, id, number, status)),
];

type Contents = fn(&Source, u32, &Process, &mut Writer) -> fmt::Result;

struct ProcessFile {
    source: Source,
    id: u32,
    write: Contents,
}

fn file(source: &Source, id: u32, number: u32, write: Contents) -> Result<Option<Arc<Inode>>> {
    let Some(process) = source.kernel.process(id) else { return Ok(None) };
    let text = Box::new(ProcessFile { source: source.clone(), id, write });
    source.file(number, text, process.uid, process.gid).map(Some)
}

impl Text for ProcessFile {
    /// Nothing of a process that is gone.
    fn write(&self, to: &mut Writer) -> fmt::Result {
        match self.source.kernel.process(self.id) {
            Some(process) => (self.write)(&self.source, self.id, &process, to),
            None => Ok(()),
        }
    }
}

impl State {
    const fn letter(self) -> char {
        match self {
            Self::Running => 'R',
            Self::Sleeping => 'S',
            Self::Stopped => 'T',
            Self::Zombie => 'Z',
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Sleeping => "sleeping",
            Self::Stopped => "stopped",
            Self::Zombie => "zombie",
        }
    }
}

impl Process {
    fn short_name(&self) -> &[u8] {
        self.name.get(..15).unwrap_or(&self.name)
    }
}

fn cmdline(source: &Source, id: u32, _: &Process, to: &mut Writer) -> fmt::Result {
    to.bytes(&source.kernel.arguments(id))
}

fn comm(_: &Source, _: u32, process: &Process, to: &mut Writer) -> fmt::Result {
    to.bytes(process.short_name())?;
    to.write_str("\n")
}

/// The fields that nobody counts are zero.
fn stat(_: &Source, id: u32, process: &Process, to: &mut Writer) -> fmt::Result {
    write!(to, "{id} (")?;
    to.bytes(process.short_name())?;
    write!(to, ") {} {} {} {}", process.state.letter(), process.parent, process.group, process.session)?;
    let terminal = process.terminal.map_or(0, |(device, _): (DeviceNumber, u32)| device.to_u32());
    let foreground = process.terminal.map_or(-1, |(_, group)| i64::from(group));
    write!(to, " {terminal} {foreground}")?;
    // flags minflt cminflt majflt cmajflt utime stime cutime cstime priority nice
    write!(to, " 0 0 0 0 0 {} {} 0 0 20 0", process.user_time, process.system_time)?;
    // num_threads itrealvalue starttime vsize rss rsslim
    write!(
        to,
        " {} 0 {} {} {} {}",
        process.threads,
        process.start,
        process.size,
        process.resident,
        u32::MAX
    )?;
    // startcode to cnswap: thirteen; exit_signal is SIGCHLD; processor to exit_code: fourteen.
    (0..12).try_for_each(|_| to.write_str(" 0"))?;
    to.write_str(" 17")?;
    (0..14).try_for_each(|_| to.write_str(" 0"))?;
    to.write_str("\n")
}

fn statm(_: &Source, _: u32, process: &Process, to: &mut Writer) -> fmt::Result {
    writeln!(to, "{} {} 0 0 0 0 0", process.size / PAGE_SIZE as u32, process.resident)
}

fn status(_: &Source, id: u32, process: &Process, to: &mut Writer) -> fmt::Result {
    to.write_str("Name:\t")?;
    to.bytes(process.short_name())?;
    writeln!(to, "\nState:\t{} ({})", process.state.letter(), process.state.word())?;
    writeln!(to, "Tgid:\t{id}\nPid:\t{id}\nPPid:\t{}", process.parent)?;
    for (name, number) in [("Uid", process.uid), ("Gid", process.gid)] {
        writeln!(to, "{name}:\t{number}\t{number}\t{number}\t{number}")?;
    }
    let resident = u64::from(process.resident) * (PAGE_SIZE as u64 / 1024);
    writeln!(to, "VmSize:\t{:>8} kB\nVmRSS:\t{resident:>8} kB", process.size / 1024)?;
    writeln!(to, "Threads:\t{}", process.threads)
}
