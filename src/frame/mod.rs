//! The inverted frame table: for every frame of RAM, what it is and what stands on that.
//!
//! Page tables say where an address leads; this table says, for every frame, who leads there. So
//! each check is a question about one or two words:
//!
//! * [`kind`]: the uses a frame can have;
//! * [`word`]: word 0, which alone decides: kind, busy, sealed, the two counts;
//! * [`stamp`]: word 1, when the frame was last dropped, or which slot links a table;
//! * [`table`]: the table itself, and the four moves on it: acquire, release, take, settle.

mod kind;
pub(crate) mod stamp;
pub(crate) mod table;
pub(crate) mod word;

pub use kind::Kind;

#[cfg(all(test, loom))]
pub(crate) mod loom_tests;
