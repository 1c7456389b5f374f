//! Which answers of which intrinsic were seen, and which must be.

use super::operation::Answer;
use core::fmt::Write;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use sva_os::Violation;

/// Every refusal that a sequence of calls, one at a time, can bring about.
///
/// Not in the list:
/// * `FrameBusy`, `EntryContended`: only another CPU inside an intrinsic makes a frame busy or an
///   entry change under one; here each call ends before the next begins.
/// * `TooManyMappings` of tables and roots (`link`, `load_root` and the tables of the leaf calls): at
///   most 1024 entries, one link and 32 loads stand on a frame for which 4095 can be counted.
/// * `FrameBusy` and `FrameSealed` of frames to map: user data is never sealed.
/// * `InHandler` of `load_root`: no handler runs in the model. What is refused in one is in the attacks (S13).
/// * what `init` refuses: see the tests of memory maps and layouts.
pub(crate) const REACHABLE: &[(&str, &[&str])] = &[
    ("declare_table", &["NoSuchLevel", "NoSuchFrame", "NotFree"]),
    ("remove_table", &["NoSuchFrame", "NotATable", "WrongLevel", "TableLinked", "TableNotEmpty"]),
    ("declare_root", &["NoSuchFrame", "NotFree"]),
    ("remove_root", &["NoSuchFrame", "NotARoot", "FrameSealed", "RootInUse", "RootNotEmpty"]),
    ("map", MAP),
    ("unmap", UNMAP),
    ("protect", PROTECT),
    (
        "replace",
        &[
            "NoSuchFrame",
            "NotATable",
            "WrongLevel",
            "NoSuchEntry",
            "NotMappable",
            "TooManyMappings",
            "EntryEmpty",
        ],
    ),
    ("take_accessed_dirty", UNMAP),
    ("map_batch", MAP),
    ("unmap_batch", UNMAP),
    ("protect_batch", PROTECT),
    (
        "link",
        &[
            "NoSuchFrame",
            "NotATable",
            "WrongLevel",
            "FrameSealed",
            "NoSuchEntry",
            "KernelEntry",
            "TableLinked",
            "EntryPresent",
        ],
    ),
    (
        "unlink",
        &[
            "NoSuchFrame",
            "NotATable",
            "WrongLevel",
            "FrameSealed",
            "NoSuchEntry",
            "KernelEntry",
            "EntryEmpty",
        ],
    ),
    ("load_root", &["NoSuchFrame", "NotARoot"]),
    ("translate", &["NoSuchFrame", "NotARoot"]),
    ("read_entry", &["NoSuchFrame", "NotATable", "NoSuchEntry", "FrameSealed"]),
    ("retype", &["KindNotOffered", "NoSuchFrame", "FrameIsDma", "FrameSealed", "NotRetypable", "FrameInUse"]),
    ("read_bytes", BYTES),
    ("write_bytes", BYTES),
    ("flush", &[]),
    ("flush_page", &[]),
    ("flush_range", &[]),
    ("flush_all", &[]),
    ("grant_memory", FRAMES),
    ("KernelPages::new", FRAMES),
    ("KernelPages::deref_mut", &[]),
    ("KernelPages::drop", &[]),
    ("AddressSpace::new", &["NoSuchFrame", "NotFree"]),
    ("AddressSpace::map", SPACE_MAP),
    (
        "AddressSpace::map_range",
        &[
            "NotAUserPage",
            "NoTable",
            "NoSuchFrame",
            "NotFree",
            "NotMappable",
            "TooManyMappings",
            "EntryPresent",
            "NotATable",
            "WrongLevel",
            "RangeTooLong",
        ],
    ),
    ("AddressSpace::unmap", &["NotAUserPage", "NoTable", "EntryEmpty", "NotATable"]),
    ("AddressSpace::unmap_range", &["NotAUserPage", "NotATable"]),
    ("AddressSpace::protect", &["NotAUserPage", "NoTable", "EntryEmpty", "NotATable", "TooManyMappings"]),
    (
        "AddressSpace::replace",
        &[
            "NotAUserPage",
            "NoTable",
            "EntryEmpty",
            "NotATable",
            "NoSuchFrame",
            "NotMappable",
            "TooManyMappings",
        ],
    ),
    ("AddressSpace::translate", &["NotARoot"]),
    ("AddressSpace::load", &["NotARoot"]),
    ("AddressSpace::table_count", &[]),
    ("AddressSpace::destroy", &["RootInUse", "NotATable", "NotARoot"]),
];

const MAP: &[&str] = &[
    "NoSuchFrame",
    "NotATable",
    "WrongLevel",
    "NoSuchEntry",
    "NotMappable",
    "TooManyMappings",
    "EntryPresent",
];
const UNMAP: &[&str] = &["NoSuchFrame", "NotATable", "WrongLevel", "NoSuchEntry", "EntryEmpty"];
const PROTECT: &[&str] =
    &["NoSuchFrame", "NotATable", "WrongLevel", "NoSuchEntry", "EntryEmpty", "TooManyMappings"];
// A space's root may be removed by number, and be a table then: hence the last two.
const SPACE_MAP: &[&str] = &[
    "NotAUserPage",
    "NoTable",
    "NoSuchFrame",
    "NotFree",
    "NotMappable",
    "TooManyMappings",
    "EntryPresent",
    "NotATable",
    "WrongLevel",
];
const BYTES: &[&str] = &["RangeTooLong", "NoSuchFrame", "NoBytes", "TooManyMappings"];
const FRAMES: &[&str] = &["EmptyRange", "NoSuchFrame", "NotFree"];

const OK: &str = "Ok";

/// Answers, counted.
#[derive(Default)]
pub(crate) struct Coverage(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

impl Coverage {
    fn cells(&self) -> MutexGuard<'_, BTreeMap<(&'static str, &'static str), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what `intrinsic` answered. Calls of what is no longer there do not count.
    pub(crate) fn count(&self, intrinsic: &'static str, answer: &Answer) {
        if (intrinsic.starts_with("AddressSpace") || intrinsic == "KernelPages::deref_mut")
            && *answer == Answer::NoLeaf
        {
            return;
        }
        let name = answer.refusal().map_or(OK, Violation::name);
        *self.cells().entry((intrinsic, name)).or_default() += 1;
    }

    /// How many calls there were.
    pub(crate) fn steps(&self) -> u64 {
        self.cells().values().sum()
    }

    /// How many in a hundred were not refused.
    pub(crate) fn percent_ok(&self) -> u64 {
        let ok: u64 = self.cells().iter().filter(|((_, name), _)| *name == OK).map(|(_, count)| count).sum();
        100 * ok / self.steps().max(1)
    }

    /// Reachable answers that were never seen.
    pub(crate) fn missing(&self) -> Vec<(&'static str, &'static str)> {
        let cells = self.cells();
        let wanted = REACHABLE
            .iter()
            .flat_map(|(intrinsic, names)| names.iter().chain([&OK]).map(move |name| (*intrinsic, *name)));
        wanted.filter(|cell| !cells.contains_key(cell)).collect()
    }

    /// Answers that were seen though the list says they cannot be.
    pub(crate) fn unlisted(&self) -> Vec<(&'static str, &'static str)> {
        let listed = |intrinsic: &str, name: &str| {
            name == OK
                || REACHABLE.iter().any(|(listed, names)| *listed == intrinsic && names.contains(&name))
        };
        let cells = self.cells();
        cells.keys().copied().filter(|(intrinsic, name)| !listed(intrinsic, name)).collect()
    }

    /// The table, a line for each intrinsic.
    pub(crate) fn table(&self) -> String {
        let cells = self.cells();
        let mut table = String::new();
        for (intrinsic, names) in REACHABLE {
            let count = |name: &'static str| cells.get(&(*intrinsic, name)).copied().unwrap_or(0);
            write!(table, "{intrinsic:26} Ok {:>8}", count(OK)).expect("a string takes all");
            for name in *names {
                write!(table, " | {name} {}", count(name)).expect("a string takes all");
            }
            table.push('\n');
        }
        table
    }
}
