//! The machine, and the library's handle on it.

use spin::Once;
use sva_os::Sva;
use sva_os::machine::I386;
#[cfg(feature = "pae")]
pub use sva_os::mmu::Pae as Mode;
#[cfg(not(feature = "pae"))]
pub use sva_os::mmu::TwoLevel as Mode;

/// What this kernel runs on.
pub type Machine = I386<Mode>;
/// The library's intrinsics, for that machine.
pub type Kernel = Sva<Machine>;

static SVA: Once<&'static Kernel> = Once::new();

/// Makes the intrinsics known to all of the kernel. Called once, by what the library's boot calls.
pub(crate) fn set(sva: &'static Kernel) {
    SVA.call_once(|| sva);
}

/// The intrinsics.
///
/// # Panics
///
/// Before the boot has made them known, when no other code of the kernel runs yet.
#[inline(always)]
pub fn sva() -> &'static Kernel {
    match SVA.get() {
        Some(sva) => sva,
        None => before_boot(),
    }
}

#[cold]
fn before_boot() -> ! {
    panic!("the intrinsics are used before the boot")
}
