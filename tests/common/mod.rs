//! What several test crates share.
#![allow(dead_code, reason = "every crate uses its own part")]

pub(crate) mod world;
