//! What must hold at every moment, also in the middle of an intrinsic: the TLBs are harmless.
//!
//! Invariant 8: what CR3 names is a root and stays one. Invariant 9: whatever a CPU remembers or could find by walking now leads a user to user data, or
//! to a frame that is `BUSY` and will not change before it was forgotten; and through nothing
//! but tables.

use crate::small::{KERNEL, SLOT_PAGES, TEXT, World, cpu, frame, page};
use crate::view::{self, word};
use sva_os::address::Page;
use sva_os::frame::Kind;
use sva_os::machine::emulated::Translation;
use sva_os::mmu::PagingMode;

/// Lets every CPU remember all that it could find for `pages`, as stores would.
///
/// What a CPU remembers never changes what the library does, and more is never safer, so a
/// machine that remembers all it can is the worst of those that have seen the same.
pub(crate) fn fill_all<P: PagingMode>(world: &World<P>, pages: u32) {
    let machine = world.machine();
    for cpu in (0..cpus(world)).map(cpu) {
        // Of each stack the topmost pages.
        let window = view::stack_pages(world).filter(|number| number % SLOT_PAGES > SLOT_PAGES - 3);
        for page in (0..pages).chain(window).map(page) {
            loop {
                let before = (machine.cached_count(cpu), machine.structure_count(cpu));
                for walk in machine.walks(cpu, page) {
                    machine.fill(cpu, &walk.for_write());
                }
                if (machine.cached_count(cpu), machine.structure_count(cpu)) == before {
                    break;
                }
            }
        }
    }
}

/// How many CPUs there are.
pub(crate) fn cpus<P: PagingMode>(world: &World<P>) -> u32 {
    use sva_os::machine::Machine;
    world.machine().cpus()
}

/// CR3, the TLBs, paging-structure caches, PDPTE registers, and what walks would find for `pages`.
pub(crate) fn check<P: PagingMode>(world: &World<P>, pages: u32) -> Result<(), String> {
    let machine = world.machine();
    for cpu in (0..cpus(world)).map(cpu) {
        let who = |text: String| format!("CPU {}: {text}", cpu.number());
        let root = word(world, machine.root_of(cpu));
        if !root.may_be_loaded() {
            return Err(who(format!("CR3 names {root:?}")));
        }
        for (page, translation) in machine.cached(cpu) {
            check_translation(world, page, translation).map_err(|text| who(format!("TLB: {text}")))?;
        }
        for structure in machine.structures(cpu) {
            let target = word(world, structure.table);
            if structure.page.number() < KERNEL && !target.may_be_walked(structure.level) {
                return Err(who(format!("{structure:?} leads to {target:?}")));
            }
        }
        let registers = machine.root_registers(cpu);
        for raw in registers.iter().take(3).filter(|raw| **raw != 0) {
            let target = view::decode::<P>(P::LEVELS, *raw).map_err(who)?.expect("not zero");
            let target = word(world, frame(target.frame));
            if !target.may_be_walked(P::LEVELS - 1) {
                return Err(who(format!("a PDPTE register leads to {target:?}")));
            }
        }
        for page in (0..pages).map(page) {
            for walk in machine.walks(cpu, page) {
                if let Some(translation) = walk.translation() {
                    check_translation(world, page, translation)
                        .map_err(|text| who(format!("walk from {:?}: {text}", walk.start())))?;
                }
            }
        }
    }
    Ok(())
}

fn check_translation<P: PagingMode>(
    world: &World<P>,
    page: Page,
    translation: Translation,
) -> Result<(), String> {
    let target = word(world, translation.frame);
    let sound = if page.number() < KERNEL {
        translation.user && !translation.global && target.may_be_cached()
    } else if view::stack_pages(world).contains(&page.number()) {
        !translation.user && (target.busy || target.kind == Kind::Stack)
    } else {
        let direct = page.number() - KERNEL == translation.frame.number();
        let constant = translation.frame.number() == TEXT;
        direct && !translation.user && !(constant && translation.writable)
    };
    if sound { Ok(()) } else { Err(format!("page {page} is {translation:?}, which is {target:?}")) }
}
