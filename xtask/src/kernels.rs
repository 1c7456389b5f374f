//! `kernels`: the test kernels, each a crate in `tests/kernels/`, booted in QEMU and judged.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::disassembly;
use crate::ending::Ending;
use crate::kernel::{Checks, Kernel, Mode, Profile};
use crate::qemu::{Boot, Outcome};
use crate::setup;
use crate::toolchain::SourceToolchain;

mod drivers;
mod threads;

const KERNELS: &str = "tests/kernels";
const EXAMPLES: &str = "examples/";
/// How many QEMUs run at the same time.
const AT_ONCE: usize = 2;

/// One boot of a test kernel, and what has to come of it.
#[derive(Clone, Copy)]
pub struct Run {
    /// The directory in `tests/kernels/`, or that of an example with `examples/` before it.
    pub kernel: &'static str,
    pub profile: Profile,
    pub mode: Mode,
    /// As in [`Boot`], as are the next four.
    pub cpu: Option<&'static str>,
    pub memory: Option<u32>,
    pub append: &'static str,
    pub modules: &'static [&'static str],
    pub extra: &'static [&'static str],
    /// Seconds after which the guest counts as hanging.
    pub limit: u64,
    /// What boots it, if it needs more than a machine.
    pub host: Option<Host>,
    pub expect: Expect,
}

/// Boots a kernel with what it needs beside it, and answers what came of that. An error is a failure of the run.
pub type Host = fn(Boot, &Path) -> Result<Outcome>;

/// What the guest has to do.
#[derive(Clone, Copy)]
pub struct Expect {
    pub status: u8,
    /// What it has to write, in this order.
    pub texts: &'static [&'static str],
}

/// What a run is if it does not say otherwise: `Run { kernel: "NAME", ..RUN }`.
const RUN: Run = Run {
    kernel: "",
    profile: Profile::Release,
    mode: Mode::TwoLevel,
    cpu: None,
    memory: None,
    append: "",
    modules: &[],
    extra: &[],
    limit: 120,
    host: None,
    expect: Expect { status: 0, texts: &[] },
};

/// What `cargo xtask test` boots.
pub fn runs() -> Vec<Run> {
    let mut runs = Vec::new();
    for profile in [Profile::Dev, Profile::Release] {
        for (mode, cpus) in MODES {
            for cpu in cpus {
                let run = Run { kernel: "machine", profile, mode, cpu: Some(cpu), ..RUN };
                let ends = [
                    ("walk", 0, &[] as &[_]),
                    ("traps", 0, &[]),
                    ("refusals", 0, &["refused", "told"]),
                    ("heap", 0, &["handlers"]),
                    ("bytes", 0, &["3600 moves"]),
                    ("lines", 0, &[]),
                    ("storm", 0, &[]),
                ]
                .into_iter()
                .chain(STOPS);
                runs.extend(ends.map(|(append, status, texts)| Run {
                    append,
                    expect: Expect { status, texts },
                    ..run
                }));
            }
        }
    }
    for profile in [Profile::Dev, Profile::Release] {
        for (mode, _) in MODES {
            let run = Run { kernel: "machine", profile, mode, cpu: Some("max"), ..RUN };
            let expect = Expect { status: 0, texts: &["NMI at boundaries "] };
            runs.push(Run { append: "step", memory: Some(16), expect, ..run });
            if profile == Profile::Release {
                let expect = Expect { status: 0, texts: &["timer at boundaries "] };
                runs.push(Run {
                    append: "strike",
                    memory: Some(16),
                    extra: COUNTED,
                    limit: 600,
                    expect,
                    ..run
                });
            }
        }
    }
    threads::add(&mut runs);
    drivers::add(&mut runs);
    runs.extend(BOOTS);
    runs.extend(PORTS);
    for (mode, _) in MODES {
        let run = Run { mode, cpu: Some("max"), ..RUN };
        let texts = &["hello from", "refused: frame", "may not be mapped for users", " ticks", "Summary"];
        runs.push(Run { kernel: "examples/minimal", expect: Expect { status: 0, texts }, ..run });
        let texts = &[
            "level 0",
            // A host that is busy delivers more than the three that are waited for.
            "level 1: ",
            " ticks by the library's gates",
            "level 2: Summary",
            "again: ",
            "the heap is as it was",
            " ticks more",
        ];
        for append in ["paging-off", "two-level", "pae"] {
            runs.push(Run { kernel: "examples/climb", append, expect: Expect { status: 0, texts }, ..run });
        }
    }
    runs
}

/// Time by the count of instructions.
const COUNTED: &[&str] = &["-icount", "shift=0,sleep=off"];

/// The paging modes, and CPUs that have them.
const MODES: [(Mode, &[&str]); 2] =
    [(Mode::TwoLevel, &["qemu32", "pentium3", "max"]), (Mode::Pae, &["qemu32,+nx", "n270", "max"])];

/// What stops the machine, and what is said of it.
const STOPS: [(&str, u8, &[&str]); 7] = [
    ("panic", 101, &["panicked at", "on purpose, in a handler"]),
    ("unhandled", 125, &["#UD", "EIP", "an exception has no handler"]),
    ("machine-check", 125, &["#MC"]),
    ("task-gate", 125, &["#DF (double fault)", "EIP"]),
    ("overflow-small", 125, &["#DF (double fault), stack overflow", "CR2"]),
    ("overflow-large", 125, &["#DF (double fault), stack overflow", "CR2"]),
    ("overflow-at-base", 125, &["#DF (double fault), stack overflow", "CR2"]),
];

/// Machines that the library takes, and machines that it refuses.
const BOOTS: [Run; 20] = [
    Run { kernel: "machine", append: "walk", memory: Some(16), ..RUN },
    Run { kernel: "machine", append: "walk", memory: Some(1024), ..RUN },
    Run { kernel: "machine", append: "walk", memory: Some(16), mode: Mode::Pae, cpu: Some("max"), ..RUN },
    Run { kernel: "machine", append: "walk", memory: Some(1024), mode: Mode::Pae, cpu: Some("max"), ..RUN },
    Run {
        kernel: "machine",
        append: "walk",
        extra: &["-m", "1920K"],
        expect: Expect { status: 124, texts: &["sva-os: boot refused: ", "no "] },
        ..RUN
    },
    Run {
        kernel: "machine",
        append: "walk",
        mode: Mode::Pae,
        cpu: Some("qemu32"),
        expect: Expect { status: 123, texts: &["sva-os: boot refused: ", "NX"] },
        ..RUN
    },
    Run {
        kernel: "machine",
        append: "walk",
        mode: Mode::Pae,
        cpu: Some("pentium3"),
        expect: Expect { status: 123, texts: &["sva-os: boot refused: ", "NX"] },
        ..RUN
    },
    Run {
        kernel: "machine",
        append: "walk",
        mode: Mode::Pae,
        cpu: Some("pentium"),
        expect: Expect { status: 123, texts: &["sva-os: boot refused: ", "PAE"] },
        ..RUN
    },
    Run { kernel: "machine", append: "walk", cpu: Some("pentium"), ..RUN },
    Run { kernel: "machine", append: "walk", cpu: Some("pentium2"), ..RUN },
    Run { kernel: "machine", append: "walk", cpu: Some("coreduo"), mode: Mode::Pae, ..RUN },
    Run { kernel: "machine", append: "registers", cpu: Some("max"), ..RUN },
    Run { kernel: "machine", append: "registers !7", cpu: Some("max"), ..RUN },
    Run { kernel: "machine", append: "registers !7", mode: Mode::Pae, cpu: Some("max"), ..RUN },
    Run {
        kernel: "machine",
        append: "walk !1",
        expect: Expect { status: 120, texts: &["boot refused: not started by"] },
        ..RUN
    },
    Run {
        kernel: "machine",
        append: "walk !2",
        expect: Expect { status: 121, texts: &["boot refused: the loader's structure"] },
        ..RUN
    },
    Run {
        kernel: "machine",
        append: "walk !3",
        expect: Expect { status: 121, texts: &["boot refused: the loader's structure"] },
        ..RUN
    },
    Run {
        kernel: "machine",
        append: "walk !6",
        expect: Expect { status: 121, texts: &["boot refused: the loader's structure"] },
        ..RUN
    },
    Run {
        kernel: "machine",
        append: "walk !4",
        modules: &["Cargo.toml", "README.md"],
        expect: Expect { status: 122, texts: &["boot refused: the boot module"] },
        ..RUN
    },
    Run {
        kernel: "machine",
        append: "no such test",
        expect: Expect { status: 1, texts: &["no such test"] },
        ..RUN
    },
];

/// The kernel that drives ports.
const PORTS: [Run; 10] = [
    Run {
        kernel: "ports",
        append: "claims",
        expect: Expect { status: 0, texts: &["113 ports of 65536"] },
        ..RUN
    },
    Run { kernel: "ports", append: "devices", extra: VIDEO_AND_DRIVE, ..RUN },
    Run {
        kernel: "ports",
        append: "devices",
        extra: VIDEO_AND_DRIVE,
        mode: Mode::Pae,
        cpu: Some("max"),
        ..RUN
    },
    Run { expect: MAPPED, kernel: "ports", append: "memory", extra: CARDS, ..RUN },
    Run { expect: MAPPED, kernel: "ports", append: "memory", extra: Q35_CARDS, ..RUN },
    Run {
        expect: MAPPED,
        kernel: "ports",
        append: "memory",
        extra: CARDS,
        mode: Mode::Pae,
        cpu: Some("max"),
        ..RUN
    },
    Run { kernel: "ports", append: "power-off", ..RUN },
    Run { kernel: "ports", append: "power-off", extra: Q35, ..RUN },
    Run { kernel: "ports", append: "reset", ..RUN },
    Run { kernel: "ports", append: "reset", extra: Q35, ..RUN },
];
const VIDEO_AND_DRIVE: &[&str] = &["-vga", "std", "-device", "ide-cd,bus=ide.1"];
const Q35: &[&str] = &["-machine", "q35"];
/// Functions that reach RAM by themselves, and one that does not.
const CARDS: &[&str] = &[
    "-vga",
    "std",
    "-device",
    "e1000",
    "-device",
    "virtio-rng-pci",
    "-device",
    "rtl8139",
    "-device",
    "piix3-usb-uhci",
];
const Q35_CARDS: &[&str] =
    &["-machine", "q35", "-vga", "std", "-device", "e1000", "-device", "virtio-rng-pci", "-device", "ahci"];
const MAPPED: Expect = Expect {
    status: 0,
    texts: &[
        "the screen says text",
        "32 frames of 1048576",
        "16384 KiB of display, moved",
        "registers of others are nobody's",
    ],
};

/// Builds and boots what has `name` in its description, or all.
pub fn kernels(name: Option<&str>) -> Result<()> {
    let name = name.unwrap_or_default();
    let mut all = runs();
    all.extend(threads::LONG.into_iter().filter(|run| name.contains(run.append)));
    let runs: Vec<_> = all.iter().filter(|run| run.to_string().contains(name)).collect();
    ensure!(!runs.is_empty(), "there is no such run of a test kernel");
    let qemu = setup::qemu()?;
    let kernels = build(&runs, &SourceToolchain::find()?)?;

    let failures = AtomicUsize::new(0);
    in_parallel(&runs, |run| {
        let started = Instant::now();
        let boot = run.boot(&kernels[&run.kernel()]);
        let outcome = run.host.map_or_else(|| boot.captured(&qemu), |host| host(boot.clone(), &qemu));
        let (passed, report) = run.report(&outcome, started.elapsed());
        failures.fetch_add(usize::from(!passed), Ordering::Relaxed);
        print!("{report}");
    });
    let failures = failures.into_inner();
    ensure!(failures == 0, "{failures} of {} runs of test kernels failed", runs.len());
    Ok(())
}

/// Builds each kernel that `runs` need once, makes sure that it leaves the floating-point registers alone (attack
/// S14) and that an access to a device costs what it may, and returns where their ELFs are.
fn build(runs: &[&Run], toolchain: &SourceToolchain) -> Result<BTreeMap<Kernel, PathBuf>> {
    let kernels: BTreeSet<_> = runs.iter().map(|run| run.kernel()).collect();
    let build = |kernel: Kernel| {
        println!("building {kernel}");
        let elf = kernel.build(toolchain)?;
        disassembly::check(&elf, kernel.directory.ends_with("ports") && kernel.profile == Profile::Release)?;
        Ok((kernel, elf))
    };
    kernels.into_iter().map(build).collect()
}

/// Does the `work` on each of `items`, on [`AT_ONCE`] at a time.
fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

impl Run {
    fn kernel(&self) -> Kernel {
        Kernel {
            directory: match self.kernel.starts_with(EXAMPLES) {
                true => self.kernel.into(),
                false => Path::new(KERNELS).join(self.kernel),
            },
            profile: self.profile,
            mode: self.mode,
            checks: Checks::Checked,
        }
    }

    fn boot(&self, elf: &Path) -> Boot {
        Boot {
            kernel: elf.to_owned(),
            append: self.append.to_owned(),
            cpu: self.cpu.map(str::to_owned),
            memory: self.memory,
            modules: self.modules.iter().map(|&module| module.to_owned()).collect(),
            limit: Some(Duration::from_secs(self.limit)),
            extra: self.extra.iter().map(|&argument| argument.to_owned()).collect(),
            ..Boot::default()
        }
    }

    /// Whether the run passed, and the lines that say so: with all the guest wrote if it did not.
    fn report(&self, outcome: &Result<Outcome>, time: Duration) -> (bool, String) {
        let line = format!("{:>7.1} s  {self}", time.as_secs_f64());
        let (failure, output) = match outcome {
            Ok(outcome) => match self.expect.judge(outcome) {
                Ok(()) => return (true, format!("{line}\n")),
                Err(failure) => (failure, format!("{}{}", outcome.output, outcome.warnings())),
            },
            Err(failure) => (format!("{failure:#}"), String::new()),
        };
        let quoted: String = output.lines().map(|line| format!("    | {line}\n")).collect();
        (false, format!("{line}: FAILED: {failure}\n{quoted}"))
    }
}

impl Expect {
    fn judge(&self, outcome: &Outcome) -> Result<(), String> {
        if outcome.ending != Ending::Status(self.status) {
            return Err(format!("{}; expected status {}", outcome.ending, self.status));
        }
        let mut rest = outcome.output.as_str();
        for text in self.texts {
            let Some((_, after)) = rest.split_once(text) else {
                return Err(format!("did not write {text:?}, or not there"));
            };
            rest = after;
        }
        Ok(())
    }
}

/// What tells a run from the others.
impl Display for Run {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kernel())?;
        if let Some(cpu) = self.cpu {
            write!(f, " {cpu}")?;
        }
        if let Some(memory) = self.memory {
            write!(f, " {memory} MiB")?;
        }
        if !self.append.is_empty() {
            write!(f, " \"{}\"", self.append)?;
        }
        self.modules.iter().try_for_each(|module| write!(f, " +{module}"))?;
        self.extra.iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use anyhow::anyhow;

    use super::*;

    const EXAMPLE: Run = Run {
        kernel: "paging",
        mode: Mode::Pae,
        cpu: Some("pentium3,+nx"),
        memory: Some(64),
        append: "twice",
        modules: &["a b"],
        extra: &["-machine", "q35"],
        limit: 7,
        expect: Expect { status: 3, texts: &["first", "second"] },
        ..RUN
    };

    fn outcome(output: &str, ending: Ending) -> Result<Outcome> {
        Ok(Outcome { output: output.to_owned(), errors: "warning\n".to_owned(), log: String::new(), ending })
    }

    fn report(outcome: &Result<Outcome>) -> (bool, String) {
        EXAMPLE.report(outcome, Duration::from_millis(1540))
    }

    #[test]
    fn a_run_is_told_from_the_others() {
        assert_eq!(EXAMPLE.to_string(), "paging release pae pentium3,+nx 64 MiB \"twice\" +a b -machine q35");
        let mut names: Vec<_> = runs().iter().map(Run::to_string).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), runs().len(), "two runs are the same");
    }

    #[test]
    fn a_run_boots_what_it_says() {
        let boot = EXAMPLE.boot(Path::new("elf"));
        assert_eq!(boot.kernel, Path::new("elf"));
        assert_eq!((boot.cpu.as_deref(), boot.memory), (Some("pentium3,+nx"), Some(64)));
        assert_eq!((boot.append.as_str(), boot.modules), ("twice", vec!["a b".to_owned()]));
        assert_eq!(boot.extra, ["-machine", "q35"]);
        assert_eq!(boot.limit, Some(Duration::from_secs(7)));
        assert_eq!(EXAMPLE.kernel().directory, Path::new("tests/kernels/paging"));
    }

    #[test]
    fn a_run_that_passes_is_one_line() {
        let passed = report(&outcome("first\nsecond\nstatus 3\n", Ending::Status(3)));
        assert_eq!(passed, (true, format!("    1.5 s  {EXAMPLE}\n")));
    }

    #[test]
    fn a_run_that_fails_shows_why_and_everything() {
        let text = "first\nstatus 3\n";
        for (ending, why) in [
            (Ending::Status(0), "status 0; expected status 3"),
            (Ending::TripleFault, "triple fault; expected status 3"),
            (Ending::Status(3), "did not write \"second\", or not there"),
        ] {
            let lines = format!("FAILED: {why}\n    | first\n    | status 3\n    | warning\n");
            let (passed, report) = report(&outcome(text, ending));
            assert!(!passed);
            assert!(report.ends_with(&lines), "{report}");
        }
        let (passed, report) = report(&Err(anyhow!("no QEMU")));
        assert!(!passed && report.ends_with("FAILED: no QEMU\n"), "{report}");
    }

    #[test]
    fn texts_count_in_their_order_only() {
        let (passed, _) = report(&outcome("second\nfirst\nstatus 3\n", Ending::Status(3)));
        assert!(!passed);
    }

    #[test]
    fn all_is_done_once_and_never_more_at_a_time_than_allowed() {
        let (working, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
        in_parallel(&(0..20).collect::<Vec<_>>(), |&item| {
            most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(20));
            working.fetch_sub(1, Ordering::SeqCst);
            done.lock().unwrap().push(item);
        });
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..20).collect::<Vec<_>>());
        assert_eq!(most.into_inner(), AT_ONCE);
    }
}
