//! `sh`: a small shell.
//!
//! `sh` reads commands from its input, `sh FILE [ARGUMENT]...` from a file, `sh -c COMMANDS [NAME [ARGUMENT]...]`
//! from its arguments. It knows
//!
//! * words with `'`, `"`, `\`, variables (`$NAME`, `${NAME}`, `$1`, `$#`, `$@`, `$?`, `$$`, `$!`), `$(...)`, `*` and `?`,
//! * assignments, `|`, `<`, `>`, `>>`, `2>`, `2>&1`, `;`, `&`, `&&`, `||`, `!`, `( )`, `{ }`,
//! * `if`, `while`, `until`, `for`, and `#` before what is not read,
//! * inside itself `cd`, `exit`, `export`, `exec`, `wait`, `break`, `continue`, `set`, `:`.
//!
//! Functions, `case`, here-documents, arithmetic and job control it does not know, and says so.

pub mod expand;
pub mod parse;
pub mod pattern;
pub mod token;

#[cfg(target_os = "none")]
mod builtin;
#[cfg(target_os = "none")]
mod input;
#[cfg(target_os = "none")]
mod run;
#[cfg(target_os = "none")]
mod state;

#[cfg(target_os = "none")]
pub use input::main;
