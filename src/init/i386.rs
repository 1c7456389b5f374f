//! Init on hardware: from any boot state to the library's own tables.

use super::{Parts, Plan};
use crate::interrupt::quiet::Quiet;
use crate::interrupt::{self, tables};
use crate::layout::Layout;
use crate::machine::I386;
use crate::machine::i386::first::{self, FirstTables};
use crate::machine::i386::registers::{self, Features};
use crate::machine::i386::{fp, levels, platform, switch::idle};
use crate::memory_map::Region;
use crate::mmu::PagingMode;
use crate::sva::Sva;
use crate::violation::Violation;

impl<P: PagingMode> Sva<I386<P>> {
    /// Takes the machine over: types every frame, builds fresh page tables and loads them. Interrupts
    /// are off afterwards, every interrupt line and DMA channel is masked, and no PCI function is
    /// bus master.
    ///
    /// It may be called in any 32-bit boot state: paging off or on, in either mode. The image must
    /// run at its linked address. Only the image is reachable while init works.
    ///
    /// # Errors
    ///
    /// What is wrong with the machine, `layout` or `regions`, or that the library holds the machine
    /// already. Nothing has changed then.
    ///
    /// # Checks
    ///
    /// Once; the layout and the memory map as in `src/layout.rs` and `src/memory_map.rs`; the CPU has
    /// what the mode needs; address line 20. Every control register is set to a stated value. Attacks
    /// B1 to B3, R4, P11.
    ///
    /// # Safety
    ///
    /// 1. `layout` and `regions` describe the machine: the image lies and runs where they say, all
    ///    values that Rust code can reach lie in the image or the in-use ranges, available regions
    ///    are RAM. Both lists themselves, and the stack, lie in the image.
    /// 2. The segment registers are flat: base 0, limit 4 GiB.
    /// 3. From now on nothing but this library executes privileged instructions, writes page tables
    ///    or descriptor tables, or programs a device that can write memory.
    /// 4. This is the only CPU that runs.
    #[doc(alias = "sva_mmu_init")]
    #[doc(alias = "sva_end_mem_init")]
    #[cfg(not(sva_os_unchecked))]
    pub unsafe fn init(layout: &Layout<'_>, regions: &[Region]) -> Result<Self, Violation> {
        // SAFETY: 1. to 4. are the caller's.
        unsafe { Self::take_over(layout, regions) }
    }

    /// As `init`, in a build that checks nothing: so that no kernel gets one unawares.
    ///
    /// # Errors
    ///
    /// As `init`.
    ///
    /// # Safety
    ///
    /// 1. to 4. as `init`. And nothing that this library promises holds.
    #[cfg(sva_os_unchecked)]
    pub unsafe fn init_without_checks(layout: &Layout<'_>, regions: &[Region]) -> Result<Self, Violation> {
        // SAFETY: 1. to 4. are the caller's.
        unsafe { Self::take_over(layout, regions) }
    }

    /// # Safety
    ///
    /// As `init`.
    pub(crate) unsafe fn take_over(layout: &Layout<'_>, regions: &[Region]) -> Result<Self, Violation> {
        let features = Features::detect::<P>()?;
        let mut plan = Plan::new::<P>(layout, regions, 1)?;
        plan.half.constant = Some(first::frame_of_variable(layout, tables::idt_page().start())?);
        let quiet = Quiet::new(I386::<P>::WITHOUT_RAM);
        if !I386::<P>::claim() {
            return Err(Violation::AlreadyInitialised(registers::root().start()));
        }
        // SAFETY: 1. to 4. are the caller's; the machine was claimed and interrupts are off.
        let result = unsafe { Self::claimed(features, layout, plan) };
        match result {
            Ok(_) => quiet.stay(),
            Err(_) => I386::<P>::disclaim(),
        }
        result
    }

    /// # Safety
    ///
    /// As `init`; the machine was claimed and interrupts are off.
    unsafe fn claimed(features: Features, layout: &Layout<'_>, plan: Plan<'_>) -> Result<Self, Violation> {
        // SAFETY: the machine was claimed.
        let first = unsafe { FirstTables::new(layout, features) }?;
        // SAFETY: 1. and 2. are the caller's.
        let window = unsafe { first.load::<P>(features) }?;
        // SAFETY: fewer interrupts break nothing.
        unsafe { platform::hold_nmi(true) };
        // SAFETY: the machine was claimed, and interrupts are off.
        unsafe { platform::make_quiet() };
        // SAFETY: this is init's, with whom nobody else shares the machine.
        unsafe { registers::close_side_doors(features) };
        // SAFETY: 1. and 2. are the caller's.
        let Parts { frames, clock, loaded, processors, half } = unsafe { plan.write::<P>(&window) };
        // From here on no level below this one begins any more.
        levels::begin_tables();
        // SAFETY: 1. the first tables map the image, writable, and the root's tables map it in the same place.
        // 2. is the caller's. 3. interrupts are off, NMI is held back, and no other CPU runs.
        unsafe { tables::load(half.root.start(), layout.stacks) };
        // SAFETY: the sealed root, complete, which is never changed.
        unsafe { registers::load_root(half.root) };
        // SAFETY: the root that was just loaded has this direct map, and so has every other.
        let machine = unsafe { I386::new(&half.direct_map) };
        interrupt::start(&machine);
        fp::detect(features);
        // SAFETY: every vector has its gate.
        unsafe { platform::hold_nmi(false) };
        let sva = Self { machine, frames, clock, loaded, processors, half };
        sva.prepare_idle_threads(idle);
        Ok(sva)
    }
}
