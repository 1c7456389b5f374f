//! A plugin of QEMU that counts the instructions which flush the TLB.
//!
//! QEMU shows it each block of the guest's code when it translates that. To the instructions that are to be counted the
//! plugin adds an increment, which the translation then does itself: so the counts are exact, and the guest's ticks are
//! what they are without it. Each time a user program reads its time-stamp counter, the counts are written to QEMU's
//! log (`-d plugin`) as a line
//!
//! ```text
//! counts instructions=1520000 cr3=20 cr4=0 invlpg=3
//! ```
//!
//! The difference of two lines is what happened between two reads: those of a measurement. The instructions are there
//! to be compared with the ticks that it took.

mod kind;
// Only QEMU has what this calls: no test can be linked to it.
#[cfg(not(test))]
mod api;
#[cfg(not(test))]
mod counts;
#[cfg(not(test))]
mod install;
