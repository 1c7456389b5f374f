//! A machine in host memory, to run a kernel against before hardware does.
//!
//! [`Emulated`] has RAM, up to 32 CPUs and devices that answer what they are told to. It does
//! nothing by itself. What a CPU may do behind the kernel's back, it does when it is asked:
//!
//! * [`walks`](Emulated::walks) are all the ways in which a CPU might translate a page at this
//!   moment, and [`fill`](Emulated::fill) lets it do so and remember the translation and every
//!   table on the way, setting accessed and dirty bits as it goes;
//! * [`outcomes`](Emulated::outcomes) and [`reachable`](Emulated::reachable) are all that the MMU
//!   might answer, from the TLB, the paging-structure cache, the PDPTE registers and RAM;
//! * [`access`](Emulated::access) goes through one of them, as a program would, and
//!   [`load_through`](Emulated::load_through) and [`store_through`](Emulated::store_through) read
//!   and write RAM there;
//! * nothing is forgotten until the kernel says so, or [`evict`](Emulated::evict) does.
//!
//! So a test proposes, the machine does what such a CPU would, and all of it can be repeated. The
//! walker reads the tables by the Intel manual and shares no code with the library's encoders.
//!
//! ```
//! use sva_os::address::{Page, PhysAddr, VirtAddr};
//! use sva_os::machine::{Cpu, Emulated, emulated::Config};
//! use sva_os::mmu::{Half, TwoLevel};
//!
//! let machine = Emulated::<TwoLevel>::new(&Config::new(64, 1));
//! let (cpu, page) = (Cpu::new(0).unwrap(), Page::new(5).unwrap());
//! // CR3 is zero at power-on: frame 0 is the directory. It links frame 1, which maps page 5 to frame 2.
//! machine.poke(PhysAddr::new(0), 0x1007_u32);
//! machine.poke(PhysAddr::new(0x1014), 0x2007_u32);
//! assert!(machine.fill_nth(cpu, page, 0));
//! // The entry is cleared, but the TLB has it still: a store goes to frame 2.
//! machine.poke(PhysAddr::new(0x1014), 0_u32);
//! machine.store_through(cpu, VirtAddr::new(0x5000), 7_u32, Half::User, 0).unwrap();
//! assert_eq!(machine.peek::<u32>(PhysAddr::new(0x2000)), 7);
//! assert_eq!(machine.outcomes(cpu, page).len(), 1);
//! // Without it, all that is left is a page fault.
//! machine.evict(cpu, machine.cached_count(cpu) - 1);
//! assert!(machine.store_through(cpu, VirtAddr::new(0x5000), 8_u32, Half::User, 0).is_err());
//! ```
//!
//! Several CPUs are several threads, each inside [`as_cpu`](Emulated::as_cpu), or one that changes
//! roles. [`Schedule`] runs them one step at a time, and [`explore`] in every order with so many
//! preemptions. All of memory is sequentially consistent here: store buffers are not emulated.

#![allow(
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "test equipment: it runs on the host, and a panic is how it reports a bug"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test it is an assertion"))]

mod access;
mod cache;
mod context;
mod cpu;
mod device;
#[cfg(test)]
mod fixture;
mod format;
mod hook;
mod instructions;
mod outcome;
mod pci;
mod ram;
mod schedule;
mod trap;
mod turns;
mod walk;

pub use access::{Access, PageFault, Use};
pub use cache::{Structure, Translation};
pub use context::Program;
pub use cpu::Counters;
pub use device::{DeviceAccess, Devices, Direction, Register};
pub use format::Allowed;
pub use hook::{Event, Hook, Step};
pub use pci::{PciBus, PciFunction};
pub use schedule::{Failure, Run, Schedule, Switch, explore};
pub use trap::Trap;
pub use walk::{End, Start, Walk};

use crate::address::{FRAME_LIMIT, Frame, Page, PhysAddr};
use crate::interrupt::Handlers;
use crate::io::Claims;
use crate::machine::{Cpu, Word};
use crate::mmu::PagingMode;
use crate::observer::Observer;
use cache::Caches;
use context::{Entries, ProgramSlot};
use core::fmt;
use core::marker::PhantomData;
use cpu::{Core, Flag, become_cpu, current};
use hook::HookSlot;
use ram::{Ram, mix};
use std::string::String;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

/// What an [`Emulated`] machine is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// How many frames of RAM there are, from address 0 on: 1 to 2^20.
    pub frames: u32,
    /// How many CPUs, 1 to [`Cpu::LIMIT`].
    pub cpus: u32,
    /// What every CPU's TLB holds at power-on, left over from the firmware.
    pub left_over: Vec<(Page, Translation)>,
}

impl Config {
    /// So many frames and CPUs, and a few left-over translations that allow everything, global
    /// ones and others.
    pub fn new(frames: u32, cpus: u32) -> Self {
        let pages = [0, 0x8048, 0xc_0000, 0xf_ffff].into_iter().filter_map(Page::new);
        let left_over = pages.zip(0..).flat_map(|(page, n)| {
            let entry = move |frame: u32, global| {
                let frame = Frame::new(frame % frames.max(1)).unwrap_or(Frame::ZERO);
                (
                    page,
                    Translation { frame, writable: true, user: true, executable: true, global, dirty: true },
                )
            };
            [entry(n * 5 + 1, true), entry(n * 3 + 2, false)]
        });
        Self { frames, cpus, left_over: left_over.collect() }
    }
}

/// An i386 machine in host memory, its MMU as hostile as the manuals allow.
///
/// `Clone` copies the whole world but the hook, the observer of refusals and the entries of threads. A copy, and a [`digest`](Self::digest), are exact
/// when no other thread changes the machine meanwhile.
///
/// # Frames lent to Rust
///
/// Bytes written through a borrow from [`lend`](crate::machine::Machine::lend) change unseen. So a
/// frame that was lent leaves the digest, reads as zero in a clone, and any access to it other
/// than the library's own panics, until the library zeroes it.
pub struct Emulated<P: PagingMode> {
    ram: Ram,
    cores: Vec<Core>,
    devices: Mutex<Devices>,
    ports: Claims,
    hook: HookSlot,
    claimed: AtomicBool,
    handlers: Handlers,
    observer: Observer,
    console: Mutex<String>,
    entries: Entries,
    program: ProgramSlot,
    mode: PhantomData<fn() -> P>,
}

impl<P: PagingMode> Emulated<P> {
    /// A machine at power-on: RAM all zero, CR3 zero in every CPU, IF set, the TLBs as `config`
    /// says. CPUs honour G until the library takes them over.
    ///
    /// # Panics
    ///
    /// If a number is out of its range.
    pub fn new(config: &Config) -> Self {
        assert!((1..=FRAME_LIMIT).contains(&config.frames), "{} frames of RAM", config.frames);
        assert!((1..=Cpu::LIMIT).contains(&config.cpus), "{} CPUs", config.cpus);
        Self {
            ram: Ram::new(config.frames),
            cores: (0..config.cpus).map(|_| Core::new(Caches::new(config.left_over.clone()))).collect(),
            devices: Mutex::default(),
            ports: Claims::new(),
            hook: HookSlot::default(),
            claimed: AtomicBool::new(false),
            handlers: Handlers::new(),
            observer: Observer::new(),
            console: Mutex::default(),
            entries: Entries::default(),
            program: ProgramSlot::default(),
            mode: PhantomData,
        }
    }

    /// How many frames of RAM there are.
    pub fn frames(&self) -> u32 {
        self.ram.frames()
    }

    /// Calls `run` with this thread in the role of `cpu`. Outside of it a thread is CPU 0.
    pub fn as_cpu<R>(&self, cpu: Cpu, run: impl FnOnce() -> R) -> R {
        self.core(cpu);
        let _role = become_cpu(cpu.number());
        run()
    }

    /// What stands in RAM at `at`. No CPU takes a step.
    pub fn peek<W: Word>(&self, at: PhysAddr) -> W {
        self.ram.refuse_lent(at);
        self.ram.load(at)
    }

    /// Writes RAM at `at`. No CPU takes a step.
    pub fn poke<W: Word>(&self, at: PhysAddr, value: W) {
        self.ram.refuse_lent(at);
        self.ram.exchange(at, value);
    }

    /// A digest of RAM alone. Takes the same time however much RAM there is.
    pub fn ram_digest(&self) -> u64 {
        self.ram.digest()
    }

    /// A digest of all state that hardware or the library could tell apart: RAM, each CPU's CR3,
    /// PDPTE registers, IF, TLB and paging-structure cache, the registered handlers, who has which
    /// port, and what was written to devices.
    /// [`Counters`], the device log and pending [`defer_interrupts`](Self::defer_interrupts) are
    /// not state.
    pub fn digest(&self) -> u64 {
        let claimed = u64::from(self.claimed.load(Ordering::Relaxed));
        let devices = mix(self.devices().digest(), self.handlers.digest());
        let devices = self
            .ports
            .taken()
            .fold(devices, |digest, (first, bits)| mix(digest, u64::from(first) << 32 | u64::from(bits)));
        let outside = mix(self.ram.digest(), mix(devices, claimed));
        self.cores.iter().fold(outside, |digest, core| mix(digest, core.digest()))
    }

    /// The devices. Release them before any CPU reaches for one.
    pub fn devices(&self) -> MutexGuard<'_, Devices> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that the library has said on its console. It grows until somebody clears it.
    pub fn console(&self) -> MutexGuard<'_, String> {
        self.console.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frame that CR3 of `cpu` names.
    pub fn root_of(&self, cpu: Cpu) -> Frame {
        self.core(cpu).caches().root
    }

    /// The PDPTE registers of `cpu`; zeroes in a mode without.
    pub fn root_registers(&self, cpu: Cpu) -> [u64; 4] {
        self.core(cpu).caches().registers
    }

    /// All that the TLB of `cpu` holds, oldest first. A page may be there more than once.
    pub fn cached(&self, cpu: Cpu) -> Vec<(Page, Translation)> {
        self.core(cpu).caches().translations.clone()
    }

    /// How many entries that are.
    pub fn cached_count(&self, cpu: Cpu) -> usize {
        self.core(cpu).caches().translations.len()
    }

    /// All that the paging-structure cache of `cpu` holds, oldest first.
    pub fn structures(&self, cpu: Cpu) -> Vec<Structure> {
        self.core(cpu).caches().structures.clone()
    }

    /// How many entries that are.
    pub fn structure_count(&self, cpu: Cpu) -> usize {
        self.core(cpu).caches().structures.len()
    }

    /// Makes the TLB of `cpu` forget its `n`-th entry. `false` if there is none.
    pub fn evict(&self, cpu: Cpu, n: usize) -> bool {
        let mut caches = self.core(cpu).caches();
        let there = n < caches.translations.len();
        if there {
            caches.translations.remove(n);
        }
        there
    }

    /// Makes the paging-structure cache of `cpu` forget its `n`-th entry. `false` if there is none.
    pub fn evict_structure(&self, cpu: Cpu, n: usize) -> bool {
        let mut caches = self.core(cpu).caches();
        let there = n < caches.structures.len();
        if there {
            caches.structures.remove(n);
        }
        there
    }

    /// Drops everything that `cpu` remembers, global or not, as a change of CR4.PGE does. PDPTE
    /// registers stay.
    pub fn reset_translation_caches(&self, cpu: Cpu) {
        self.core(cpu).caches().drop_all();
    }

    /// Whether IF is set in `cpu`. Clear while it takes an interrupt.
    pub fn interrupts_enabled(&self, cpu: Cpu) -> bool {
        self.core(cpu).flag() == Flag::Set
    }

    /// Sets IF in `cpu`, or clears it, as its kernel would outside of the library.
    pub fn set_interrupts(&self, cpu: Cpu, enabled: bool) {
        self.core(cpu).set_flag(enabled);
    }

    /// Makes the next `count` requests for an interrupt of `cpu` do nothing, whatever its IF.
    pub fn defer_interrupts(&self, cpu: Cpu, count: u32) {
        self.core(cpu).refusing.store(count, Ordering::Relaxed);
    }

    /// What `cpu` was made to do since its counters were reset.
    pub fn counters(&self, cpu: Cpu) -> Counters {
        self.core(cpu).tally.counters()
    }

    /// Sets the counters of every CPU to zero.
    pub fn reset_counters(&self) {
        self.cores.iter().for_each(|core| core.tally.set(Counters::default()));
    }

    /// Installs what is called before every step that a CPU takes for the library, or removes it.
    /// Answers what was there. The hook may look at the machine and let its MMU act, but what it
    /// does is no step itself.
    pub fn set_hook(&self, hook: Option<Hook>) -> Option<Hook> {
        self.hook.replace(hook)
    }

    #[inline(always)]
    fn core(&self, cpu: Cpu) -> &Core {
        match self.cores.get(cpu.number() as usize) {
            Some(core) => core,
            None => panic!("there is no CPU {}", cpu.number()),
        }
    }

    #[inline(always)]
    fn current_cpu(&self) -> Cpu {
        Cpu::new(current()).unwrap_or_else(|| panic!("no such CPU"))
    }

    #[cold]
    fn tell(&self, what: Step) {
        self.hook.call(Event { cpu: self.current_cpu(), what, ram: self.ram.digest() });
    }
}

// A panic of a test leaves no lock of the machine held and no state half changed.
impl<P: PagingMode> core::panic::RefUnwindSafe for Emulated<P> {}

impl<P: PagingMode> Clone for Emulated<P> {
    fn clone(&self) -> Self {
        Self {
            ram: self.ram.clone(),
            cores: self.cores.clone(),
            devices: Mutex::new(self.devices().clone()),
            ports: self.ports.copy(),
            hook: HookSlot::default(),
            claimed: AtomicBool::new(self.claimed.load(Ordering::Relaxed)),
            handlers: self.handlers.duplicate(),
            observer: Observer::new(),
            console: Mutex::new(self.console().clone()),
            entries: Entries::default(),
            program: self.program.clone(),
            mode: PhantomData,
        }
    }
}

impl<P: PagingMode> fmt::Debug for Emulated<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulated")
            .field("mode", &P::NAME)
            .field("frames", &self.ram.frames())
            .field("cpus", &self.cores.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
