//! Page tables: the intrinsics that change what the MMU does.
//!
//! * [`tables`]: declare and remove; [`retype`](crate::Sva::retype): every other change of a kind;
//! * [`leaf`], [`link`]: entries of the two sorts; [`batch`]: many leaves of one table; [`root`], [`loaded`]: CR3 and translations;
//! * [`tlb`], [`clock`]: who may remember what, and until when;
//! * [`kernel_half`]: the half that no client changes;
//! * [`contents`], [`pages`], [`kept`]: the bytes of frames, by copy or lent to Rust;
//! * [`space`]: address spaces by pages, over all of these;
//! * [`mode`], [`two_level`], [`pae`]: how entries look.

mod batch;
pub(crate) mod clock;
mod contents;
pub(crate) mod entry;
mod kept;
pub(crate) mod kernel_half;
mod leaf;
mod link;
pub(crate) mod loaded;
mod mode;
mod pae;
mod pages;
mod retype;
mod root;
mod space;
mod tables;
mod tlb;
mod two_level;

pub use mode::{Entry, Geometry, Half, Leaf, PagingMode, Rights};
pub use pae::Pae;
pub use pages::KernelPages;
pub use space::{AddressSpace, FrameSource};
pub use two_level::TwoLevel;
