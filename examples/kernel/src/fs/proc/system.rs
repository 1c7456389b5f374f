//! What `/proc` tells of the machine.

use super::super::live::{Text, Writer};
use super::Source;
use alloc::boxed::Box;
use core::fmt::{self, Write};

type Make = fn(&Source) -> Box<dyn Text>;

/// The files of the root, in the order in which they are listed.
pub(super) const SYSTEM_FILES: &[(&str, Make)] = &[
    ("filesystems", |source| file(source, filesystems)),
    ("loadavg", |source| file(source, loadavg)),
    ("meminfo", |source| file(source, meminfo)),
    ("mounts", |source| file(source, mounts)),
    ("stat", |source| file(source, stat)),
    ("uptime", |source| file(source, uptime)),
    ("version", |source| file(source, version)),
];

type Contents = fn(&Source, &mut Writer) -> fmt::Result;

struct SystemFile {
    source: Source,
    write: Contents,
}

fn file(source: &Source, write: Contents) -> Box<dyn Text> {
    Box::new(SystemFile { source: source.clone(), write })
}

impl Text for SystemFile {
    fn write(&self, to: &mut Writer) -> fmt::Result {
        (self.write)(&self.source, to)
    }
}

/// Hundredths as seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

fn filesystems(_: &Source, to: &mut Writer) -> fmt::Result {
    to.write_str("nodev\ttmpfs\nnodev\tproc\n")
}

/// The kernel keeps no averages: what runs now stands for all three.
fn loadavg(source: &Source, to: &mut Writer) -> fmt::Result {
    let system = source.kernel.system();
    let now = system.running.saturating_sub(1);
    writeln!(to, "{now}.00 {now}.00 {now}.00 {}/{} {}", system.running, system.processes, system.last_process)
}

fn meminfo(source: &Source, to: &mut Writer) -> fmt::Result {
    let system = source.kernel.system();
    let budget = source.volume.budget();
    let files = (budget.total() - budget.left().min(budget.total())) / 1024;
    for (name, kib) in [
        ("MemTotal", system.memory),
        ("MemFree", system.memory_free),
        ("MemAvailable", system.memory_free),
        ("Buffers", 0),
        ("Cached", u32::try_from(files).unwrap_or(u32::MAX)),
        ("SwapCached", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Shmem", u32::try_from(files).unwrap_or(u32::MAX)),
        ("SReclaimable", 0),
    ] {
        writeln!(to, "{name:<15} {kib:>8} kB", name = Colon(name))?;
    }
    Ok(())
}

/// A name with its colon, padded together.
struct Colon(&'static str);

impl fmt::Display for Colon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.0)?;
        let missing = f.width().unwrap_or(0).saturating_sub(self.0.len() + 1);
        (0..missing).try_for_each(|_| f.write_str(" "))
    }
}

fn mounts(source: &Source, to: &mut Writer) -> fmt::Result {
    to.write_str("rootfs / rootfs rw 0 0\n")?;
    let Some(mounts) = source.mounts.upgrade() else { return Ok(()) };
    for mount in mounts.lock().iter() {
        escape(&mount.source, to)?;
        to.write_str(" ")?;
        escape(&mount.path, to)?;
        writeln!(to, " {} rw 0 0", mount.kind)?;
    }
    Ok(())
}

/// Blanks, and what escapes them, in octal.
fn escape(text: &[u8], to: &mut Writer) -> fmt::Result {
    for byte in text {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => write!(to, "\\{byte:03o}")?,
            _ => to.bytes(&[*byte])?,
        }
    }
    Ok(())
}

fn stat(source: &Source, to: &mut Writer) -> fmt::Result {
    let system = source.kernel.system();
    let (user, kernel, idle) = (system.user_time, system.system_time, system.idle_time);
    for cpu in ["cpu ", "cpu0"] {
        writeln!(to, "{cpu} {user} 0 {kernel} {idle} 0 0 0 0 0 0")?;
    }
    writeln!(to, "intr {}", system.interrupts)?;
    writeln!(to, "ctxt {}", system.switches)?;
    writeln!(to, "btime {}", system.boot)?;
    writeln!(to, "processes {}", system.forks)?;
    writeln!(to, "procs_running {}", system.running)?;
    to.write_str("procs_blocked 0\n")
}

fn uptime(source: &Source, to: &mut Writer) -> fmt::Result {
    let system = source.kernel.system();
    writeln!(to, "{} {}", Seconds(system.uptime), Seconds(system.idle_time))
}

fn version(source: &Source, to: &mut Writer) -> fmt::Result {
    writeln!(to, "{}", source.kernel.system().version)
}
