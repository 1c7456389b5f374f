//! QEMU: the i386 machine that kernels are booted on.

use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result};

use crate::ending::{Ending, Remains};
use crate::watch::{Reader, watch};

/// Where the logs of QEMU are while it runs.
const LOGS: &str = "target/qemu";

/// A kernel and the machine to boot it on.
#[derive(Clone, Debug, Default)]
pub struct Boot {
    /// A multiboot or PVH ELF.
    pub kernel: PathBuf,
    /// What follows the kernel's path in its command line.
    pub append: String,
    /// QEMU's name of the CPU with `,+FEATURE`s, or its default, `qemu32`.
    pub cpu: Option<String>,
    /// RAM in MiB, or QEMU's default, 128.
    pub memory: Option<u32>,
    /// Boot modules, each a file, perhaps followed by a space and arguments.
    pub modules: Vec<String>,
    /// Count time in instructions, one a nanosecond: the same on every run.
    pub icount: bool,
    /// Run on the host's CPU through KVM, which may be much slower on a host that emulates it.
    pub kvm: bool,
    /// What QEMU logs beside resets: an item of its `-d`.
    pub log: Option<&'static str>,
    /// How long the guest may run.
    pub limit: Option<Duration>,
    /// A port of this machine that leads to port 80 of the guest, which then has a network card.
    pub forward: Option<u16>,
    /// Further arguments of QEMU.
    pub extra: Vec<String>,
}

/// What came of a boot.
#[derive(Clone)]
pub struct Outcome {
    /// What the guest wrote to its serial port.
    pub output: String,
    /// What QEMU wrote to its standard error.
    pub errors: String,
    /// What QEMU logged, if the guest was not stopped.
    pub log: String,
    /// How it ended.
    pub ending: Ending,
}

impl Outcome {
    /// What QEMU itself had to say that the ending does not.
    pub fn warnings(&self) -> &str {
        match self.ending {
            // Its last words are that it was stopped.
            Ending::Qemu(_) | Ending::TimeLimit(_) => "",
            _ => &self.errors,
        }
    }
}

/// Who is at the serial port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Console {
    /// Nobody: the guest reads nothing, and what it writes is kept.
    None,
    /// Whatever our standard input and output are.
    Stream,
    /// A terminal, where Ctrl-A X leaves and Ctrl-C belongs to the guest.
    Terminal,
}

impl Boot {
    /// Boots with nobody at the serial port.
    pub fn captured(&self, qemu: &Path) -> Result<Outcome> {
        self.boot(qemu, Console::None, Reader::Nobody)
    }

    /// Boots with somebody at the serial port who waits for the first of each pair and then types the second.
    pub fn typed(&self, qemu: &Path, pairs: &[(&str, &str)]) -> Result<Outcome> {
        let pairs = pairs.iter().map(|(wanted, keys)| ((*wanted).to_owned(), (*keys).to_owned()));
        self.boot(qemu, Console::Stream, Reader::Typist(pairs.collect()))
    }

    /// Boots with the serial port on our standard input and output. The end of the input is not
    /// the end of the guest. If the input is a terminal, Ctrl-A X leaves.
    pub fn interactive(&self, qemu: &Path) -> Result<Outcome> {
        let terminal = io::IsTerminal::is_terminal(&io::stdin());
        self.boot(qemu, if terminal { Console::Terminal } else { Console::Stream }, Reader::Live)
    }

    fn boot(&self, qemu: &Path, console: Console, reader: Reader) -> Result<Outcome> {
        let file = Log::new(Path::new(LOGS))?;
        let mut command = Command::new(qemu);
        command.args(self.arguments(console)).arg("-D").arg(&file.0).args(&self.extra);
        if console == Console::None {
            command.stdin(Stdio::null());
        }
        let watched = watch(&mut command, self.limit, reader)?;
        let output = String::from_utf8_lossy(&watched.output).into_owned();
        let errors = String::from_utf8_lossy(&watched.errors).into_owned();
        let Some(exit) = watched.exit else {
            let ending = Ending::TimeLimit(self.limit.unwrap_or_default());
            return Ok(Outcome { output, errors, log: String::new(), ending });
        };
        let log = file.read()?;
        let ending = Remains { output: &output, errors: &errors, log: &log, exit }.judge();
        Ok(Outcome { output, errors, log, ending })
    }

    fn arguments(&self, console: Console) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
        add("-accel", if self.kvm { "kvm" } else { "tcg" }.to_owned());
        if let Some(cpu) = &self.cpu {
            add("-cpu", cpu.clone());
        }
        if let Some(memory) = self.memory {
            add("-m", memory.to_string());
        }
        if self.icount {
            add("-icount", "shift=0,sleep=off".to_owned());
        }
        add("-kernel", self.kernel.display().to_string());
        if !self.append.is_empty() {
            add("-append", self.append.clone());
        }
        if !self.modules.is_empty() {
            let modules = self.modules.iter().map(|module| module.replace(',', ",,"));
            add("-initrd", modules.collect::<Vec<_>>().join(","));
        }
        if let Some(port) = self.forward {
            add("-netdev", format!("user,id=network,hostfwd=tcp:127.0.0.1:{port}-:80"));
            add("-device", "ne2k_pci,netdev=network".to_owned());
        }
        let keys = if console == Console::Terminal { ",mux=on,signal=off" } else { "" };
        add("-chardev", format!("stdio,id=console{keys}"));
        add("-serial", "chardev:console".to_owned());
        add("-device", "isa-debug-exit,iobase=0xf4,iosize=4".to_owned());
        add("-display", "none".to_owned());
        // The log has a line for a triple fault, which the exit code does not tell from a power-off.
        let further = self.log.map(|item| format!(",{item}")).unwrap_or_default();
        add("-d", format!("cpu_reset{further}"));
        arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
        arguments
    }
}

/// The file of one QEMU's log, which goes with its owner.
struct Log(PathBuf);

impl Log {
    /// A new name in `directory`.
    fn new(directory: &Path) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(directory)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self(directory.join(format!("{}-{number}.log", process::id()))))
    }

    /// What QEMU wrote: nothing, if it came to nothing.
    fn read(&self) -> Result<String> {
        match fs::read(&self.0) {
            Ok(log) => Ok(String::from_utf8_lossy(&log).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.0.display())),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    fn arguments(boot: &Boot, console: Console) -> String {
        boot.arguments(console).join(" ")
    }

    #[test]
    fn a_plain_boot_is_emulated_and_has_no_devices_of_its_own() {
        let boot = Boot { kernel: "k".into(), ..Boot::default() };
        assert_eq!(
            arguments(&boot, Console::None),
            "-accel tcg -kernel k -chardev stdio,id=console -serial chardev:console \
             -device isa-debug-exit,iobase=0xf4,iosize=4 -display none -d cpu_reset \
             -nodefaults -no-user-config -no-reboot"
        );
    }

    #[test]
    fn what_is_asked_for_is_passed_on() {
        let boot = Boot {
            kernel: "k".into(),
            append: "a b".to_owned(),
            cpu: Some("pentium3,+nx".to_owned()),
            memory: Some(64),
            modules: vec!["one,1 x".to_owned(), "two".to_owned()],
            icount: true,
            kvm: true,
            log: Some("plugin"),
            forward: Some(8080),
            ..Boot::default()
        };
        let arguments = boot.arguments(Console::Terminal);
        let value = |option: &str| {
            let at = arguments.iter().position(|argument| argument == option).unwrap();
            arguments[at + 1].as_str()
        };
        assert_eq!(value("-accel"), "kvm");
        assert_eq!(value("-append"), "a b");
        assert_eq!(value("-cpu"), "pentium3,+nx");
        assert_eq!(value("-m"), "64");
        assert_eq!(value("-initrd"), "one,,1 x,two", "a comma in a name is doubled");
        assert_eq!(value("-icount"), "shift=0,sleep=off");
        assert_eq!(value("-d"), "cpu_reset,plugin");
        assert_eq!(value("-netdev"), "user,id=network,hostfwd=tcp:127.0.0.1:8080-:80");
        assert!(arguments.iter().any(|argument| argument == "ne2k_pci,netdev=network"));
        assert_eq!(value("-chardev"), "stdio,id=console,mux=on,signal=off");
    }

    #[test]
    fn a_log_goes_with_its_owner() {
        let directory = env::temp_dir();
        let log = Log::new(&directory).unwrap();
        assert_ne!(log.0, Log::new(&directory).unwrap().0);
        assert_eq!(log.read().unwrap(), "");
        fs::write(&log.0, "Triple fault\n").unwrap();
        assert_eq!(log.read().unwrap(), "Triple fault\n");
        let path = log.0.clone();
        drop(log);
        assert!(!path.exists());
    }
}
