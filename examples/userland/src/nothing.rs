//! `nothing`: ends with status 0.

use crate::sys::Arguments;

/// Does nothing.
pub fn main(_: Arguments) -> i32 {
    0
}
