//! Memory: frames, address spaces, and the way to what a program has in its own.

pub mod region;

#[cfg(target_os = "none")]
pub mod pool;
#[cfg(target_os = "none")]
pub mod space;
#[cfg(target_os = "none")]
pub mod table;
#[cfg(target_os = "none")]
pub mod user;

/// Bytes of a page.
pub const PAGE: u32 = 4096;
/// The first page that a program may have: what a null pointer leads to stays empty.
pub const FIRST_PAGE: u32 = 16;
/// The page behind the last that a program has: the kernel half begins there.
pub const END_PAGE: u32 = 0xc_0000;
/// The page with the code that signal handlers return to.
pub const TRAMPOLINE: u32 = END_PAGE - 1;
/// The page behind the first stack, and how many pages that may grow to.
pub const STACK_END: u32 = END_PAGE - 16;
/// 8 MiB, as `RLIMIT_STACK` says.
pub const STACK_PAGES: u32 = 2048;
/// Below that `mmap` finds its places.
pub const MAP_END: u32 = STACK_END - STACK_PAGES - 256;

/// The page of an address, and the number of pages that so many bytes take.
pub const fn page_of(address: u32) -> u32 {
    address >> 12
}

/// How many pages `bytes` bytes take.
pub const fn pages_for(bytes: u32) -> u32 {
    bytes.div_ceil(PAGE)
}
