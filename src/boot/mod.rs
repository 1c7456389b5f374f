//! Boot for a kernel that has no boot code of its own.
//!
//! A loader that speaks multiboot 1 (GRUB, QEMU's `-kernel`) puts the image at 1 MiB, boot modules
//! behind it, and jumps to it with paging off. From there on:
//!
//! ```text
//! entry (assembly)   maps the first 16 MiB twice, at 0 and at 3 GiB, and goes to 3 GiB
//! start              reads the loader's structures, as hostile as they may be,
//!                    makes of them and of the linker's symbols a `Layout` and a memory map,
//!                    calls `Sva::init`, and then the kernel's `main`
//! the end            says `status N` on the console, and switches the machine off
//! ```
//!
//! The client crate links with `sva-os.ld`, which lies beside this file, and names its main function:
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! #![forbid(unsafe_code)]
//!
//! use sva_os::boot::{Boot, Status, entry};
//! use sva_os::mmu::TwoLevel;
//!
//! entry!(main);
//!
//! fn main(boot: &'static Boot<TwoLevel>) -> Status {
//!     assert!(boot.sva().audit().is_ok());
//!     Status::OK
//! }
//! ```
//!
//! A boot that is refused says why in one line on the first serial port, and ends with the
//! [`Status`] of its reason.

#![cfg_attr(
    not(all(target_arch = "x86", target_os = "none")),
    allow(
        dead_code,
        reason = "only the entry, on hardware, begins all this; the rest is tested on the host"
    )
)]

mod loader;
mod memory;
mod status;

#[cfg(all(target_arch = "x86", target_os = "none"))]
mod entry;
#[cfg(all(target_arch = "x86", target_os = "none"))]
mod start;

pub use loader::Refusal;
pub use status::Status;

#[cfg(all(target_arch = "x86", target_os = "none"))]
#[doc(hidden)]
pub use start::start;
#[cfg(all(target_arch = "x86", target_os = "none"))]
pub use start::{Boot, Module, exit};

/// Names the function that the kernel begins with: `fn(&'static Boot<P>) -> Status`.
///
/// Only a function of that very type is taken, so nothing of the client's is evaluated outside of
/// safe code:
///
/// ```compile_fail
/// sva_os::boot::entry!({ unsafe { core::hint::unreachable_unchecked() } });
/// ```
/// ```compile_fail
/// sva_os::boot::entry!(*(0x1000 as *const fn()));
/// ```
/// ```compile_fail
/// sva_os::boot::entry!("hlt");
/// ```
#[macro_export]
macro_rules! boot_entry {
    ($main:path) => {
        #[cfg(all(target_arch = "x86", target_os = "none"))]
        const _: () = {
            #[unsafe(no_mangle)]
            extern "C" fn sva_os_boot_main(magic: u32, information: u32) -> ! {
                let main: fn(&'static $crate::boot::Boot<_>) -> $crate::boot::Status = $main;
                // SAFETY: only the entry calls this, with what the loader left, and once.
                unsafe { $crate::boot::start(magic, information, main) }
            }
        };
    };
}
pub use boot_entry as entry;
