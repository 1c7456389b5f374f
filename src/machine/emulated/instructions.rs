//! What the library asks of a machine, done in host memory.

use super::Emulated;
use super::cache::Translation;
use super::cpu::{Flag, become_cpu, count, current, delivers_for};
use super::device::Register;
use super::format::{Format, Reading, is_uncached};
use super::hook::Step;
use crate::address::{FRAME_BYTES, Frame, FrameRange, Page, PhysAddr, VirtAddr};
use crate::interrupt::Handlers;
use crate::io::{self, Claims};
use crate::machine::{Cpu, Machine, Memory, Word, sealed::Sealed};
use crate::mmu::PagingMode;
use crate::observer::Observer;
use core::fmt;
use core::mem::MaybeUninit;
use std::sync::atomic::Ordering;
use std::thread;
use std::vec::Vec;

/// More requests than this that one CPU defers in a row are a hang.
const MOST_DEFERRED: u32 = 1 << 22;

impl<P: PagingMode> Sealed for Emulated<P> {}

impl<P: PagingMode> Memory for Emulated<P> {
    #[inline(always)]
    unsafe fn load<W: Word>(&self, at: PhysAddr) -> W {
        self.step(Step::Load(at));
        self.ram.load(at)
    }

    #[inline(always)]
    unsafe fn store<W: Word>(&self, at: PhysAddr, value: W) {
        self.step(Step::Store(at));
        self.ram.exchange(at, value);
    }

    #[inline(always)]
    unsafe fn exchange<W: Word>(&self, at: PhysAddr, value: W) -> W {
        self.step(Step::Exchange(at));
        self.ram.exchange(at, value)
    }

    #[inline(always)]
    unsafe fn compare_exchange<W: Word>(&self, at: PhysAddr, old: W, new: W) -> Result<W, W> {
        self.step(Step::Exchange(at));
        self.ram.compare_exchange(at, old, new)
    }

    #[inline(always)]
    unsafe fn fetch_add(&self, at: PhysAddr, value: u32) -> u32 {
        self.step(Step::Exchange(at));
        self.ram.fetch_add(at, value)
    }

    unsafe fn zero(&self, frame: Frame) {
        self.step(Step::Zero(frame));
        self.ram.zero(frame);
    }
}

impl<P: PagingMode> Machine for Emulated<P> {
    type Mode = P;
    const IS_ALONE: bool = false;

    #[inline(always)]
    fn cpu(&self) -> Cpu {
        self.current_cpu()
    }

    fn cpus(&self) -> u32 {
        self.cores.len() as u32
    }

    fn interrupts_off(&self) -> bool {
        self.step(Step::InterruptsOff);
        loop {
            match self.core(self.cpu()).clear_flag() {
                Flag::Set => return true,
                Flag::Clear => return false,
                Flag::Interrupted if delivers_for(current()) => return false,
                // Another thread runs an interrupt for this CPU: it goes on when that has ended.
                Flag::Interrupted => self.pause(),
            }
        }
    }

    unsafe fn wait(&self) {
        // SAFETY: the caller's.
        unsafe { self.interrupts_on() }
        self.pause();
        self.interrupts_off();
    }

    unsafe fn interrupts_on(&self) {
        self.step(Step::InterruptsOn);
        assert!(!delivers_for(current()), "IF is set in an interrupt that found it clear");
        self.core(self.cpu()).set_flag(true);
    }

    unsafe fn interrupt(&self, cpu: Cpu, run: &dyn Fn()) {
        self.step(Step::Interrupt(cpu));
        assert!(cpu != self.cpu(), "CPU {} asks itself for an interrupt", cpu.number());
        let core = self.core(cpu);
        let refused =
            core.refusing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        let delivery = if refused { None } else { core.begin_interrupt(cpu.number()) };
        if delivery.is_none() {
            count(&core.tally.deferred);
            let deferred = core.deferred_in_a_row.fetch_add(1, Ordering::Relaxed);
            assert!(deferred < MOST_DEFERRED, "CPU {} never takes an interrupt", cpu.number());
            self.pause();
            return;
        }
        core.deferred_in_a_row.store(0, Ordering::Relaxed);
        count(&core.tally.interrupts);
        let role = become_cpu(cpu.number());
        self.step(Step::Enter);
        run();
        drop(delivery);
        self.step(Step::Leave);
        drop(role);
    }

    fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::SeqCst)
    }

    unsafe fn take_over(&self, root: Frame) {
        self.step(Step::LoadRoot(root));
        self.core(self.cpu()).caches().global_pages = false;
        self.write_cr3(root);
        self.core(self.cpu()).caches().drop_all();
    }

    fn root(&self) -> Frame {
        self.core(self.cpu()).caches().root
    }

    unsafe fn load_root(&self, root: Frame) {
        self.step(Step::LoadRoot(root));
        self.write_cr3(root);
    }

    fn invalidate_page(&self, page: Page) {
        self.step(Step::InvalidatePage(page));
        let core = self.core(self.cpu());
        count(&core.tally.invalidations);
        core.caches().drop_page(page);
    }

    unsafe fn copy_out(&self, from: PhysAddr, to: &mut [u8]) {
        self.step(Step::CopyOut(from));
        self.ram.copy_out(from, to);
    }

    unsafe fn copy_in(&self, to: PhysAddr, from: &[u8]) {
        self.step(Step::CopyIn(to));
        self.ram.copy_in(to, from);
    }

    unsafe fn copy_frame(&self, from: Frame, to: Frame) {
        let mut bytes = [0; FRAME_BYTES as usize];
        // SAFETY: the caller's.
        unsafe { self.copy_out(from.start(), &mut bytes) }
        // SAFETY: the caller's.
        unsafe { self.copy_in(to.start(), &bytes) }
    }

    /// See [`Emulated`] for what a loan does to the digest.
    unsafe fn lend(&self, frames: FrameRange) -> *mut [MaybeUninit<u8>] {
        self.ram.lend(frames)
    }

    /// Fresh host memory of that size, aligned to a frame. The frames themselves are not touched.
    unsafe fn grant(&self, frames: FrameRange) -> &'static mut [MaybeUninit<u8>] {
        let alignment = FRAME_BYTES as usize;
        let bytes = frames.count() as usize * alignment;
        let memory: &'static mut [MaybeUninit<u8>] =
            Vec::leak(std::vec![MaybeUninit::uninit(); bytes + alignment]);
        let skipped = memory.as_ptr().align_offset(alignment);
        &mut memory[skipped..skipped + bytes]
    }

    fn claims(&self) -> &Claims {
        &self.ports
    }

    unsafe fn port_read<W: io::Register>(&self, port: u16) -> W {
        W::low_bits_of(self.devices().read(self.cpu(), Register::Port(port), W::BYTES))
    }

    unsafe fn port_write<W: io::Register>(&self, port: u16, value: W) {
        self.devices().write(self.cpu(), Register::Port(port), W::BYTES, value.into());
    }

    unsafe fn device_read<W: io::Register>(&self, at: VirtAddr, bus: PhysAddr) -> W {
        self.refuse_wrong_way(at, bus);
        W::low_bits_of(self.devices().read(self.cpu(), Register::Memory(bus), W::BYTES))
    }

    unsafe fn device_write<W: io::Register>(&self, at: VirtAddr, bus: PhysAddr, value: W) {
        self.refuse_wrong_way(at, bus);
        self.devices().write(self.cpu(), Register::Memory(bus), W::BYTES, value.into());
    }

    /// Injected like the answers of devices.
    fn time_stamp(&self) -> Option<u64> {
        Some(self.devices().read(self.cpu(), Register::TimeStamp, 8))
    }

    fn observer(&self) -> &Observer {
        &self.observer
    }

    fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    fn report(&self, words: fmt::Arguments<'_>) {
        self.console().push_str(&std::format!("{words}\n"));
    }

    /// Panics with `why`.
    fn stop(&self, why: &'static str) -> ! {
        panic!("the machine was stopped: {why}")
    }
}

impl<P: PagingMode> Emulated<P> {
    /// Tells the hook, if there is one, what this CPU is about to do.
    #[inline(always)]
    pub(super) fn step(&self, what: Step) {
        if self.hook.is_present() {
            self.tell(what);
        }
    }

    /// Lets other CPUs go on: for a body of a [`Schedule`](super::Schedule) that tries again until
    /// another has done something.
    pub fn pause(&self) {
        if self.hook.is_present() { self.tell(Step::Wait) } else { thread::yield_now() }
    }

    /// Loads CR3 of this CPU.
    fn write_cr3(&self, root: Frame) {
        let core = self.core(self.cpu());
        count(&core.tally.root_loads);
        assert!(self.ram.contains(root.start()), "CR3 names {root}, outside of RAM");
        let mut caches = core.caches();
        caches.root = root;
        caches.drop_local();
        if Self::FORMAT.root_in_registers() {
            let levels = Format::Pae.levels();
            for index in 0..4 {
                let raw = self.entry(root, index);
                let legal = Self::FORMAT.read(levels, raw) != Reading::Reserved;
                assert!(legal, "#GP: CR3 loaded with {root}, whose entry {index} is {raw:#x}");
                caches.registers[index as usize] = raw;
            }
        }
    }

    /// Every way in which this CPU might reach `at` leads to `bus`, past the caches, and no program has it.
    fn refuse_wrong_way(&self, at: VirtAddr, bus: PhysAddr) {
        assert!(!self.ram.contains(bus), "a device access to physical {bus}, which is RAM");
        let (cpu, page) = (self.cpu(), at.containing());
        let outcomes = self.outcomes(cpu, page);
        let leads = |to: &Translation| to.frame == bus.containing() && to.writable && !to.user;
        let right = !outcomes.is_empty() && outcomes.iter().all(leads) && at.offset() == bus.offset();
        assert!(right, "{at} may lead to {outcomes:?}, and not to {bus}");
        let leaves = self.walks(cpu, page).into_iter().filter(|walk| walk.translation().is_some());
        let cached = leaves.filter_map(|walk| walk.entries().last()).find(|(_, raw)| !is_uncached(*raw));
        assert_eq!(cached, None, "{at} leads to a device, and is cached");
    }
}

#[cfg(test)]
mod tests;
