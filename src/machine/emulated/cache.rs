//! What a CPU remembers of the page tables: its TLB and its paging-structure cache.

use super::format::Allowed;
use super::ram::mix;
use crate::address::{Frame, Page};
use std::vec::Vec;

/// How a page is translated: what a TLB entry holds, and what a walk that ends in a leaf finds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Translation {
    /// The frame that the page's bytes are in.
    pub frame: Frame,
    /// RW set at every level. With CR0.WP set, ring 0 needs it too.
    pub writable: bool,
    /// U set at every level: ring 3 may use it.
    pub user: bool,
    /// NX clear at every level.
    pub executable: bool,
    /// G set in the leaf while CR4.PGE is set: a load of CR3 does not drop it from the TLB.
    pub global: bool,
    /// D set in the leaf: a store through it need not set D any more.
    pub dirty: bool,
}

impl Translation {
    /// What it allows.
    pub const fn allowed(&self) -> Allowed {
        Allowed { writable: self.writable, user: self.user, executable: self.executable }
    }
}

/// An entry of the paging-structure cache: for all pages with this prefix, the walk begins at
/// `table` (Intel SDM vol. 3, 4.10.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Structure {
    /// The level of `table`; 1 holds 4 KiB leaves.
    pub level: u8,
    /// The first of the pages that `table` serves.
    pub page: Page,
    /// The table that was linked there when the entry was cached.
    pub table: Frame,
    /// What the levels above allow.
    pub allowed: Allowed,
}

/// One CPU's paging registers and caches.
#[derive(Clone, Debug)]
pub(super) struct Caches {
    pub(super) root: Frame,
    /// The PDPTE registers; only PAE uses them.
    pub(super) registers: [u64; 4],
    /// CR4.PGE.
    pub(super) global_pages: bool,
    pub(super) translations: Vec<(Page, Translation)>,
    pub(super) structures: Vec<Structure>,
    /// How often anything was dropped on demand: a walk from before that is void.
    pub(super) epoch: u64,
}

impl Caches {
    pub(super) fn new(translations: Vec<(Page, Translation)>) -> Self {
        Self {
            root: Frame::ZERO,
            registers: [0; 4],
            global_pages: true,
            translations,
            structures: Vec::new(),
            epoch: 0,
        }
    }

    pub(super) fn insert(&mut self, page: Page, translation: Translation) {
        if !self.translations.contains(&(page, translation)) {
            self.translations.push((page, translation));
        }
    }

    pub(super) fn insert_structure(&mut self, structure: Structure) {
        if !self.structures.contains(&structure) {
            self.structures.push(structure);
        }
    }

    /// Sets D in the TLB's entry for `page`.
    pub(super) fn set_dirty(&mut self, page: Page, translation: Translation) {
        self.translations.retain(|entry| *entry != (page, translation));
        self.insert(page, Translation { dirty: true, ..translation });
    }

    /// What a load of CR3 drops.
    pub(super) fn drop_local(&mut self) {
        self.translations.retain(|(_, translation)| translation.global);
        self.structures.clear();
        self.epoch += 1;
    }

    /// What INVLPG drops.
    pub(super) fn drop_page(&mut self, page: Page) {
        self.translations.retain(|(cached, _)| *cached != page);
        self.structures.clear();
        self.epoch += 1;
    }

    /// What a change of CR4.PGE drops.
    pub(super) fn drop_all(&mut self) {
        self.translations.clear();
        self.structures.clear();
        self.epoch += 1;
    }

    /// A digest in which the order of the entries does not matter.
    pub(super) fn digest(&self) -> u64 {
        let registers =
            self.registers.iter().fold(self.root.number().into(), |digest, raw| mix(digest, *raw));
        let translations = self.translations.iter().fold(0, |digest, (page, translation)| {
            let place = u64::from(page.number()) << 32 | u64::from(translation.frame.number());
            let history = (translation.global as u64) << 3 | (translation.dirty as u64) << 4;
            digest ^ mix(place, translation.allowed().bits() | history)
        });
        let structures = self.structures.iter().fold(0, |digest, structure| {
            let place = u64::from(structure.page.number()) << 32 | u64::from(structure.table.number());
            digest ^ mix(place, structure.allowed.bits() | 0x100 | u64::from(structure.level) << 16)
        });
        mix(mix(registers, translations), mix(structures, self.global_pages.into()))
    }
}
