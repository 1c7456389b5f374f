//! Flushes, the client's and the library's own.
//!
//! Safety never depends on a client's flush: before a frame changes its kind, every CPU that may
//! remember it is made to flush. A client flushes so that *its* changes take effect in time.

use crate::address::{FRAME_LIMIT, Frame, Page, PageRange};
use crate::frame::stamp::{OLD, Stamp, Time};
use crate::machine::{Cpu, Machine};
use crate::sva::Sva;

/// From how many pages on a whole flush is cheaper than one INVLPG each.
const PAGES_WORTH_A_FLUSH: u32 = 32;

impl<M: Machine> Sva<M> {
    /// Makes this CPU forget every translation.
    #[doc(alias = "sva_mm_flush_tlb")]
    pub fn flush(&self) {
        let _quiet = self.quiet();
        if cfg!(sva_os_unchecked) {
            // SAFETY: as in `flush_here`.
            return unsafe { self.machine.load_root(self.machine.root()) };
        }
        self.flush_here();
    }

    /// Makes this CPU forget its translations of `page`.
    #[doc(alias = "sva_mm_flush_tlb_at")]
    pub fn flush_page(&self, page: Page) {
        self.machine.invalidate_page(page);
    }

    /// Makes this CPU forget its translations of `pages`.
    #[doc(alias = "sva_mm_flush_tlb_at")]
    pub fn flush_range(&self, pages: PageRange) {
        if pages.count() >= PAGES_WORTH_A_FLUSH {
            self.flush();
        } else {
            pages.iter().for_each(|page| self.flush_page(page));
        }
    }

    /// Makes every CPU forget every translation that was dropped before this call.
    #[doc(alias = "sva_mm_flush_tlb_global")]
    pub fn flush_all(&self) {
        let _quiet = self.quiet();
        self.flush_since(self.clock.now(&self.machine));
    }

    /// Makes every CPU flush that has not since `dropped`. Interrupts are off.
    #[inline(always)]
    pub(crate) fn flush_since(&self, dropped: Time) {
        for cpu in (0..self.machine.cpus()).filter_map(Cpu::new) {
            if !self.clock.flushed(&self.machine, cpu).is_after(dropped) {
                self.make_flush(cpu, dropped);
            }
        }
    }

    /// Makes `cpu` flush until it has since `dropped`.
    ///
    /// A CPU that waits for another flushes itself on every turn, so two that wait for each other
    /// both go on.
    #[cold]
    #[inline(never)]
    fn make_flush(&self, cpu: Cpu, dropped: Time) {
        loop {
            if cpu != self.machine.cpu() {
                self.ask_to_flush(cpu);
            }
            self.flush_here();
            if self.clock.flushed(&self.machine, cpu).is_after(dropped) {
                return;
            }
        }
    }

    /// Interrupts `cpu`, another one, so that it flushes soon.
    fn ask_to_flush(&self, cpu: Cpu) {
        // SAFETY: flushing is the library's own handler for this request.
        unsafe { self.machine.interrupt(cpu, &|| self.flush_here()) }
    }

    /// Flushes this CPU and moves the clock's hand. Interrupts are off.
    pub(crate) fn flush_here(&self) {
        let root = self.machine.root();
        let time = self.clock.tick(&self.machine);
        // SAFETY: the root that this CPU has loaded is counted for it, or sealed.
        unsafe { self.machine.load_root(root) }
        self.clock.publish(&self.machine, self.machine.cpu(), time);
        self.renew(time);
    }

    /// The clock's hand at `now`: looks at one CPU's flush time and one frame's stamp, and renews
    /// what is old.
    #[inline(always)]
    pub(crate) fn renew(&self, now: Time) {
        if cfg!(sva_os_unchecked) {
            return;
        }
        let hand = now.bits() >> 1;
        let cpu =
            Cpu::new(hand & Cpu::LIMIT.wrapping_sub(1)).filter(|cpu| cpu.number() < self.machine.cpus());
        if let Some(cpu) = cpu
            && now.since(self.clock.flushed(&self.machine, cpu)) > OLD
            && cpu != self.machine.cpu()
        {
            self.ask_to_flush(cpu);
        }
        let Some(frame) = Frame::new(hand & FRAME_LIMIT.wrapping_sub(1)) else {
            return;
        };
        if let Stamp::Dropped(dropped) = self.frames.stamp(&self.machine, frame)
            && now.since(dropped) > OLD
        {
            self.forget(frame, dropped);
        }
    }

    /// Makes the stamp of `frame` clean, once no CPU remembers what was `dropped`.
    #[cold]
    fn forget(&self, frame: Frame, dropped: Time) {
        let mut cpus = (0..self.machine.cpus()).filter_map(Cpu::new);
        if cpus.all(|cpu| self.clock.flushed(&self.machine, cpu).is_after(dropped)) {
            self.frames.forget_drop(&self.machine, frame, dropped);
        }
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
