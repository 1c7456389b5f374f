//! Accesses as programs make them: through one of the MMU's outcomes, or a page fault.

use super::Emulated;
use super::cache::Translation;
use super::device::Register;
use super::walk::{End, Walk};
use crate::address::{PhysAddr, VirtAddr};
use crate::machine::{Cpu, Word};
use crate::mmu::{Half, PagingMode};
use core::fmt;
use std::vec::Vec;

/// What an access does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Use {
    /// Reads data.
    Read,
    /// Writes data.
    Write,
    /// Fetches an instruction.
    Execute,
}

/// An access to memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Access {
    /// What it does.
    pub what: Use,
    /// Whose it is: ring 3's, or ring 0's.
    pub by: Half,
}

/// #PF: its error code, and CR2 (Intel SDM vol. 3, 4.7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PageFault {
    /// What CR2 then holds.
    pub address: VirtAddr,
    /// P (1), W/R (2), U/S (4), RSVD (8) and, in a mode with NX, I/D (16).
    pub code: u32,
}

impl PageFault {
    /// The translation was present, and did not allow the access.
    pub const PROTECTION: u32 = 1 << 0;
    /// It was a store.
    pub const WRITE: u32 = 1 << 1;
    /// It came from ring 3.
    pub const USER: u32 = 1 << 2;
    /// A reserved bit was set in an entry.
    pub const RESERVED: u32 = 1 << 3;
    /// It was an instruction fetch.
    pub const FETCH: u32 = 1 << 4;
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page fault at {}, error code {:#x}", self.address, self.code)
    }
}

impl core::error::Error for PageFault {}

impl Translation {
    /// Whether it allows `access`. CR0.WP is set, CR4.SMEP and SMAP are clear.
    pub const fn allows(&self, access: Access) -> bool {
        let done = match access.what {
            Use::Read => true,
            Use::Write => self.writable,
            Use::Execute => self.executable,
        };
        done && (self.user || matches!(access.by, Half::Kernel))
    }
}

impl<P: PagingMode> Emulated<P> {
    /// Translates `at` for one access of `cpu`. The CPU uses the `n`-th of what it may use, counted
    /// modulo their number: the entries of its TLB for the page, oldest first, then all
    /// [walks](Self::walks). Sets A, and D for a store, as the CPU does; remembers nothing.
    ///
    /// # Errors
    ///
    /// The page fault, if what was chosen does not allow the access.
    pub fn access(&self, cpu: Cpu, at: VirtAddr, access: Access, n: usize) -> Result<PhysAddr, PageFault> {
        let mut caches = self.core(cpu).caches();
        let page = at.containing();
        let cached: Vec<_> = caches.cached(page).collect();
        let mut walks = Vec::new();
        self.each_walk(&caches, page, |walk| walks.push(walk));
        let n = n % (cached.len() + walks.len());
        let translation = match cached.get(n) {
            Some(translation) => *translation,
            None => self.finish(walks[n - cached.len()], at, access)?,
        };
        if !translation.allows(access) {
            return Err(self.fault(at, access, PageFault::PROTECTION));
        }
        if access.what == Use::Write && !translation.dirty && n < cached.len() {
            // The CPU sets D by another walk, where it finds a leaf that still fits.
            let again = walks.iter().find(|walk| {
                walk.translation().is_some_and(|now| now.frame == translation.frame && now.writable)
            });
            if let Some(walk) = again
                && self.set_history_in(&walk.for_write())
            {
                caches.set_dirty(page, translation);
            }
        }
        Ok(translation.frame.start().plus(at.offset()))
    }

    /// Takes `walk` for an access, as far as it allows it.
    fn finish(&self, walk: Walk, at: VirtAddr, access: Access) -> Result<Translation, PageFault> {
        let translation = match walk.end() {
            End::Leaf(translation) => translation,
            End::Absent(_) => return Err(self.fault(at, access, 0)),
            End::Reserved(_) => {
                return Err(self.fault(at, access, PageFault::PROTECTION | PageFault::RESERVED));
            }
        };
        if translation.allows(access) {
            let walk = if access.what == Use::Write { walk.for_write() } else { walk };
            self.set_history_in(&walk);
        }
        Ok(translation)
    }

    fn fault(&self, address: VirtAddr, access: Access, mut code: u32) -> PageFault {
        match access.what {
            Use::Read => {}
            Use::Write => code |= PageFault::WRITE,
            Use::Execute if P::NO_EXECUTE => code |= PageFault::FETCH,
            Use::Execute => {}
        }
        if access.by == Half::User {
            code |= PageFault::USER;
        }
        PageFault { address, code }
    }

    /// Reads `W` at `at` as `by`, through the `n`-th outcome: see [`access`](Self::access). Outside
    /// of RAM the [devices](Self::devices) answer.
    ///
    /// # Errors
    ///
    /// The page fault.
    ///
    /// # Panics
    ///
    /// If `at` is not a multiple of the size, or the frame is lent to Rust.
    pub fn load_through<W: Word>(&self, cpu: Cpu, at: VirtAddr, by: Half, n: usize) -> Result<W, PageFault> {
        let at = self.access(cpu, at, Access { what: Use::Read, by }, n)?;
        if self.ram.contains(at) {
            return Ok(self.peek(at));
        }
        Ok(W::low_bits_of(self.devices().read(cpu, Register::Memory(at), W::BYTES)))
    }

    /// Writes `value` at `at` as `by`, through the `n`-th outcome: see [`access`](Self::access).
    /// Outside of RAM the [devices](Self::devices) take it.
    ///
    /// # Errors
    ///
    /// The page fault; then nothing is written.
    ///
    /// # Panics
    ///
    /// If `at` is not a multiple of the size, or the frame is lent to Rust.
    pub fn store_through<W: Word>(
        &self,
        cpu: Cpu,
        at: VirtAddr,
        value: W,
        by: Half,
        n: usize,
    ) -> Result<(), PageFault> {
        let at = self.access(cpu, at, Access { what: Use::Write, by }, n)?;
        if self.ram.contains(at) {
            self.poke(at, value);
        } else {
            self.devices().write(cpu, Register::Memory(at), W::BYTES, value.into());
        }
        Ok(())
    }
}
