//! Which answers of which call were seen, and which must be.

use super::operation::Note;
use core::fmt::Write;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use sva_os::Violation;

/// Every refusal that calls can meet which come one after the other.
///
/// Not in the list:
/// * `FrameBusy`: only another CPU inside an intrinsic makes a frame busy.
/// * `TooManyMappings` of a root: there are fewer CPUs and slots than can be counted.
/// * `RootNotEmpty`: nothing is linked here.
pub(crate) const REACHABLE: &[(&str, &[&str])] = &[
    ("declare_stack", &["NoSuchStackSize", "NoStackSlot", "NoSuchFrame", "NotFree"]),
    (
        "release_stack",
        &["NoSuchThread", "StaleThread", "ThreadRunning", "StackInUse", "ThreadEnded", "ThreadBusy"],
    ),
    (
        "new_thread",
        &[
            "EntryTooLarge",
            "NoSuchFrame",
            "NotARoot",
            "NoSuchThread",
            "StaleThread",
            "StackInUse",
            "ThreadRunning",
            "ThreadEnded",
            "ThreadBusy",
        ],
    ),
    (
        "swap",
        &[
            "InHandler",
            "PerCpuBorrowed",
            "NoSuchThread",
            "StaleThread",
            "ThreadRunning",
            "ThreadEnded",
            "ThreadBusy",
        ],
    ),
    ("end of a thread", NEXT),
    ("return of an entry", NEXT),
    ("abandon", NEXT),
    ("current_thread", &[]),
    ("declare_root", &["NoSuchFrame", "NotFree"]),
    ("remove_root", &["NoSuchFrame", "NotARoot", "FrameSealed", "RootInUse"]),
    ("load_root", ROOT),
    ("retype", &["NoSuchFrame", "FrameSealed", "NotRetypable"]),
    ("set_tls", &["NoSuchTlsSlot"]),
    ("save_fp", &[]),
    ("load_fp", &[]),
    ("set_fp_policy", &[]),
    ("enable", &["InHandler", "PerCpuBorrowed"]),
    ("interrupt in ring 0", &[]),
    ("PerCpu::with", &["PerCpuBorrowed", "CpuCount"]),
    ("no_preempt", &[]),
    ("run", ROOT),
];

const NEXT: &[&str] = &["NoSuchThread", "StaleThread", "ThreadRunning", "ThreadEnded", "ThreadBusy"];
const ROOT: &[&str] = &["InHandler", "PerCpuBorrowed", "NoSuchFrame", "NotARoot"];

const OK: &str = "Ok";

/// Answers, counted; those of calls in the midst of others too.
#[derive(Default)]
pub(crate) struct Coverage {
    cells: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    steps: Mutex<u64>,
}

impl Coverage {
    fn cells(&self) -> MutexGuard<'_, BTreeMap<(&'static str, &'static str), u64>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what was seen in a step.
    pub(crate) fn count(&self, notes: &[Note]) {
        *self.steps.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let mut cells = self.cells();
        for note in notes {
            if let Note::Returned(call, answer, _) = note {
                let name = answer.refusal().map_or(OK, Violation::name);
                *cells.entry((call, name)).or_default() += 1;
            }
        }
    }

    /// How many steps there were.
    pub(crate) fn steps(&self) -> u64 {
        *self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls in a hundred were not refused.
    pub(crate) fn percent_ok(&self) -> u64 {
        let cells = self.cells();
        let ok: u64 = cells.iter().filter(|((_, name), _)| *name == OK).map(|(_, count)| count).sum();
        100 * ok / cells.values().sum::<u64>().max(1)
    }

    /// Reachable answers that were never seen.
    pub(crate) fn missing(&self) -> Vec<(&'static str, &'static str)> {
        let cells = self.cells();
        let wanted = REACHABLE
            .iter()
            .flat_map(|(call, names)| names.iter().chain([&OK]).map(move |name| (*call, *name)));
        wanted.filter(|cell| !cells.contains_key(cell)).collect()
    }

    /// Answers that were seen though the list says they cannot be.
    pub(crate) fn unlisted(&self) -> Vec<(&'static str, &'static str)> {
        let listed = |call: &str, name: &str| {
            name == OK || REACHABLE.iter().any(|(listed, names)| *listed == call && names.contains(&name))
        };
        self.cells().keys().copied().filter(|(call, name)| !listed(call, name)).collect()
    }

    /// The table, a line for each call.
    pub(crate) fn table(&self) -> String {
        let cells = self.cells();
        let mut table = String::new();
        for (call, names) in REACHABLE {
            let count = |name: &'static str| cells.get(&(*call, name)).copied().unwrap_or(0);
            write!(table, "{call:20} Ok {:>8}", count(OK)).expect("a string takes all");
            for name in *names {
                write!(table, " | {name} {}", count(name)).expect("a string takes all");
            }
            table.push('\n');
        }
        table
    }
}
