//! Executing programs.

pub mod program;
pub mod script;
pub mod stack;

#[cfg(target_os = "none")]
pub mod load;
