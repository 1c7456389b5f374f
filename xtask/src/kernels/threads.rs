//! The runs of the kernel of threads and user programs.

use super::{Expect, MODES, RUN, Run};
use crate::kernel::{Mode, Profile};

/// The shipped profile on every CPU, the other on one.
pub fn add(runs: &mut Vec<Run>) {
    for (mode, cpus) in MODES {
        let old: &[_] = if mode == Mode::TwoLevel { &["486", "pentium"] } else { &[] };
        let shipped = cpus.iter().chain(old).map(|cpu| (Profile::Release, *cpu));
        for (profile, cpu) in shipped.chain([(Profile::Dev, "max")]) {
            let run = Run { kernel: "threads", profile, mode, cpu: Some(cpu), memory: Some(64), ..RUN };
            // Two million programs take long in the other.
            let tests = THREADS.iter().filter(|test| profile == Profile::Release || test.0 != "selectors");
            runs.extend(tests.map(|&(append, status, texts)| Run {
                append,
                expect: Expect { status, texts },
                ..run
            }));
        }
    }
}

/// What is booted only by its name: a million swaps, which take minutes.
pub const LONG: [Run; 2] = [
    Run { kernel: "threads", append: "soak-long", memory: Some(64), limit: 1200, expect: SOAKED, ..RUN },
    Run {
        kernel: "threads",
        append: "soak-long",
        memory: Some(64),
        limit: 1200,
        mode: Mode::Pae,
        cpu: Some("max"),
        expect: SOAKED,
        ..RUN
    },
];
const SOAKED: Expect = Expect { status: 0, texts: &["999 audits"] };

/// Its tests, and what stops it. The flags say that the overflow was inside an intrinsic: with interrupts off.
const THREADS: [(&str, u8, &[&str]); 23] = [
    ("swaps", 0, &["70 steps"]),
    ("users", 0, &[]),
    ("exceptions", 0, &["instructions and 256 vectors, twice", "20 ticks"]),
    ("selectors", 0, &["Ds: 16 loaded", "InterruptReturn"]),
    ("flags", 0, &["66 words"]),
    ("addresses", 0, &["faults"]),
    ("tls", 0, &["400 reads"]),
    ("copies", 0, &["1430 strings", "preemptions"]),
    ("calls", 0, &["refusals"]),
    ("soak", 0, &["audits"]),
    ("hostile", 0, &["hooks 5 deep", "abandoned", "48 refused"]),
    ("abandon-boot", 0, &["abandon-boot: "]),
    ("abandon-in-handler", 125, &["a thread ends inside a handler"]),
    ("abandon-in-borrow", 125, &["or while per-CPU data is borrowed"]),
    ("step", 0, &["NMIs", "boundaries in copies"]),
    ("floats", 0, &["1800 turns"]),
    ("overflow-small", 125, &["#DF (double fault), stack overflow", "CR2 0xf8"]),
    ("overflow-large", 125, &["#DF (double fault), stack overflow", "CR2 0xf8"]),
    ("overflow-at-base", 125, &["base", "#DF (double fault), stack overflow", "CR2 0xf8"]),
    ("overflow-in-swap", 125, &["32 swaps", "#DF (double fault), stack overflow", "EFLAGS 0x000000"]),
    ("overflow-in-declare", 125, &["#DF (double fault), stack overflow", "EFLAGS 0x000000"]),
    ("overflow-in-audit", 125, &["#DF (double fault), stack overflow", "EFLAGS 0x000000"]),
    ("overflow-in-handler", 125, &["#DF (double fault), stack overflow", "CR2 0xf8"]),
];
