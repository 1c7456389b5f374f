//! The counts. QEMU's translations change them, on the thread of the one CPU.

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) static INSTRUCTIONS: AtomicU64 = AtomicU64::new(0);
pub(crate) static CR3: AtomicU64 = AtomicU64::new(0);
pub(crate) static CR4: AtomicU64 = AtomicU64::new(0);
pub(crate) static INVLPG: AtomicU64 = AtomicU64::new(0);

/// The line that says what they are.
pub(crate) fn line() -> String {
    let [instructions, cr3, cr4, invlpg] =
        [&INSTRUCTIONS, &CR3, &CR4, &INVLPG].map(|count| count.load(Ordering::Relaxed));
    format!("counts instructions={instructions} cr3={cr3} cr4={cr4} invlpg={invlpg}\n")
}
