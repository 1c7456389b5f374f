//! The library's handle on a machine.

use crate::address::{Frame, FrameRange, PageRange};
use crate::context::processor::{Processor, Processors};
use crate::frame::Kind;
use crate::frame::table::{Frames, Place};
use crate::frame::word::Uses;
use crate::interrupt::quiet::Quiet;
use crate::io::Io;
use crate::machine::Machine;
use crate::mmu::clock::Clock;
use crate::mmu::kernel_half::KernelHalf;
use crate::mmu::loaded::Loaded;

/// The intrinsics of one machine.
///
/// Every method is one intrinsic or a convenience over several. All state lies in the machine's
/// RAM; this handle only says where, and never changes. Methods take `&self` and may be called from
/// every CPU at once, in any order, with any arguments.
#[derive(Clone, Debug)]
pub struct Sva<M: Machine> {
    pub(crate) machine: M,
    pub(crate) frames: Frames,
    pub(crate) clock: Clock,
    pub(crate) loaded: Loaded,
    pub(crate) processors: Processors,
    pub(crate) half: KernelHalf,
}

impl<M: Machine> Sva<M> {
    /// How many frames the frame table covers: every frame of RAM has a lower number.
    pub fn frame_count(&self) -> u32 {
        self.frames.count()
    }

    /// What `frame` is at this moment; [`Kind::None`] past the end of RAM.
    pub fn kind(&self, frame: Frame) -> Kind {
        self.frames.word(&self.machine, frame).kind()
    }

    /// How many present leaves map `frame`, and how many of these allow writing. For a table, its
    /// present entries and its link. Copies under way on another CPU count too.
    pub fn mappings(&self, frame: Frame) -> Mappings {
        let word = self.frames.word(&self.machine, frame);
        Mappings { total: word.total(), writable: word.writable() }
    }

    /// The pages that user programs may have mapped.
    pub fn user_window(&self) -> PageRange {
        self.half.user
    }

    /// The root that has the kernel half and nothing else. Sealed; any CPU may load it at any time.
    pub fn sealed_root(&self) -> Frame {
        self.half.root
    }

    /// The tables of the kernel half.
    pub fn kernel_tables(&self) -> FrameRange {
        self.half.tables
    }

    /// The machine's devices.
    pub const fn io(&self) -> Io<'_, M> {
        Io::new(&self.machine)
    }

    /// The record of this CPU. Interrupts are off.
    #[inline(always)]
    pub(crate) fn processor(&self) -> Processor {
        self.processors.of(self.machine.cpu())
    }

    /// Turns interrupts off on this CPU until the guard is dropped.
    #[inline(always)]
    pub(crate) fn quiet(&self) -> Quiet<'_, M> {
        Quiet::new(&self.machine)
    }

    /// Gives back uses that were acquired.
    #[inline(always)]
    pub(crate) fn release(&self, place: Place, uses: Uses) {
        if !place.release(&self.machine, uses) {
            self.below_zero()
        }
    }

    /// As [`release`](Self::release), for uses that only the total counts.
    #[inline(always)]
    pub(crate) fn release_of_total(&self, place: Place, uses: Uses) {
        if !place.release_of_total(&self.machine, uses) {
            self.below_zero()
        }
    }

    /// As [`release`](Self::release), on the way out of a call that was refused.
    #[cold]
    #[inline(never)]
    pub(crate) fn give_back(&self, frame: Frame, uses: Uses) {
        self.release(self.place(frame), uses);
    }

    #[cold]
    #[inline(never)]
    fn below_zero(&self) -> ! {
        self.machine.stop("a count of the frame table fell below zero")
    }

    /// Where the entry of `frame` lies, which an entry of a table or a CR3 names.
    #[inline(always)]
    pub(crate) fn place(&self, frame: Frame) -> Place {
        match self.frames.place(frame) {
            Some(place) => place,
            None => self.no_place(),
        }
    }

    #[cold]
    #[inline(never)]
    fn no_place(&self) -> ! {
        self.machine.stop("a table names a frame that does not exist")
    }

    /// Acquires `uses` of a frame of `kind`, to be given back when the guard is dropped.
    #[inline(always)]
    pub(crate) fn acquire(
        &self,
        frame: Frame,
        kind: Kind,
        uses: Uses,
    ) -> Result<Held<'_, M>, crate::Violation> {
        let place = self.frames.acquire(&self.machine, frame, kind, uses)?;
        Ok(Held { sva: self, frame, place, uses })
    }

    /// As [`acquire`](Self::acquire), for the link of a table.
    #[inline(always)]
    pub(crate) fn acquire_link(&self, table: Frame, kind: Kind) -> Result<Held<'_, M>, crate::Violation> {
        let place = self.frames.acquire_link(&self.machine, table, kind)?;
        Ok(Held { sva: self, frame: table, place, uses: Uses::LINK })
    }
}

/// How often a frame is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mappings {
    /// All mappings.
    pub total: u32,
    /// Those that allow writing.
    pub writable: u32,
}

/// Uses of a frame that this CPU acquired. While it lives the frame keeps its kind; dropping it
/// gives the uses back.
#[must_use]
pub(crate) struct Held<'s, M: Machine> {
    pub(crate) sva: &'s Sva<M>,
    pub(crate) frame: Frame,
    place: Place,
    uses: Uses,
}

impl<M: Machine> Held<'_, M> {
    /// The uses now belong to something in RAM: an entry, or a CR3.
    #[inline(always)]
    pub(crate) fn keep(self) {
        core::mem::forget(self);
    }

    /// Gives back the uses of a table, as dropping it does; a call that succeeds does so in line.
    #[inline(always)]
    pub(crate) fn release(self) {
        let uses = self.uses;
        self.release_instead(uses);
    }

    /// Gives back `uses` of a table instead: of what was acquired for entries, some stays with them.
    #[inline(always)]
    pub(crate) fn release_instead(self, uses: Uses) {
        self.sva.release_of_total(self.place, uses);
        self.keep();
    }

    /// Also gives back `uses` of a table that belonged to an entry which is gone.
    #[inline(always)]
    pub(crate) fn release_also(self, uses: Uses) {
        let both = self.uses.and(uses);
        self.release_instead(both);
    }
}

impl<M: Machine> Drop for Held<'_, M> {
    #[inline(always)]
    fn drop(&mut self) {
        self.sva.give_back(self.frame, self.uses);
    }
}
