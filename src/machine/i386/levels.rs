//! The library, one level at a time, for a kernel that cannot move over at once.
//!
//! Each level has its own `unsafe` constructor, which says what the kernel must not do itself from then on.
//!
//! | level | constructor | what is checked then | promised of V1 to V8 |
//! |---|---|---|---|
//! | L0 | [`I386::adopt_ports`] | who reaches which I/O port | V3 and V7, of ports |
//! | L1 | [`I386::adopt_interrupts`] | GDT, IDT, TSS, who handles what | V8, of vectors |
//! | L2 | [`Sva::init`](crate::Sva::init) | page tables | V3 to V5, V8 |
//!
//! What was claimed and registered on a level stays so on the next. Init masks every interrupt line once
//! more.

use super::{I386, platform, registers};
use crate::address::PageRange;
use crate::interrupt::quiet::Quiet;
use crate::interrupt::{self, Interrupts, tables};
use crate::io::Io;
use crate::mmu::PagingMode;
use crate::violation::Violation;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, Ordering};

/// Whether the descriptor tables are the library's.
static TABLES: AtomicBool = AtomicBool::new(false);

impl<P: PagingMode> I386<P> {
    /// The machine before it has a direct map: for handles that reach no RAM by it.
    pub(crate) const WITHOUT_RAM: &'static Self = &Self { zero: 0, mode: PhantomData };

    /// Level 0: the ports that the [policy](crate::io::policy) offers, to be claimed one range at a time.
    ///
    /// # Safety
    ///
    /// 1. From now on the kernel executes IN and OUT on no port that the policy offers, except through the
    ///    library.
    /// 2. Every channel of the 8237 is masked, no PCI function is bus master, and so it stays, but for
    ///    devices that the policy offers no port of: init sees to it, this level does not.
    /// 3. This code runs in ring 0.
    pub const unsafe fn adopt_ports() -> Io<'static, Self> {
        Io::new(Self::WITHOUT_RAM)
    }

    /// Level 1: loads the library's GDT, IDT and task register, and gives the interrupt lines their vectors,
    /// masked. Interrupts are off afterwards.
    ///
    /// # Errors
    ///
    /// [`AlreadyInitialised`](Violation::AlreadyInitialised) if the library has loaded them before.
    ///
    /// # Safety
    ///
    /// 1. The library's variables are mapped, writable, and stay mapped where they are, in CR3 as it is now too:
    ///    that is the double fault's. So is the stack.
    /// 2. The segment registers are flat, base 0, limit 4 GiB, and nobody uses FS, GS or a local table.
    /// 3. From now on the kernel executes no LGDT, LIDT, LLDT or LTR, and reaches neither interrupt
    ///    controller nor timer except through the library.
    /// 4. This code runs in ring 0, on the only CPU that runs.
    pub unsafe fn adopt_interrupts() -> Result<Interrupts<'static, Self>, Violation> {
        let quiet = Quiet::new(Self::WITHOUT_RAM);
        if !begin_tables() {
            return Err(Violation::AlreadyInitialised(registers::root().start()));
        }
        // SAFETY: fewer interrupts break nothing.
        unsafe { platform::hold_nmi(true) };
        // SAFETY: 1. and 2. are the caller's. 3. interrupts are off, NMI is held back, and no other CPU runs.
        unsafe { tables::load(registers::root().start(), PageRange::EMPTY) };
        interrupt::start(Self::WITHOUT_RAM);
        // SAFETY: every vector has its gate.
        unsafe { platform::hold_nmi(false) };
        quiet.stay();
        Ok(Interrupts::new(Self::WITHOUT_RAM))
    }
}

/// Notes that the descriptor tables are the library's from now on; `false` if they were before.
pub(crate) fn begin_tables() -> bool {
    !TABLES.swap(true, Ordering::AcqRel)
}
