//! Two CPUs on a dozen words of RAM.

use crate::address::{FRAME_BYTES, Frame, FrameRange, Page, PageRange, PhysAddr, VirtAddr};
use crate::context::processor::Processors;
use crate::context::threads::Threads;
use crate::context::{Entry, Top, UserBytes, UserContext, UserTrap};
use crate::frame::Kind;
use crate::frame::table::Frames;
use crate::frame::word::Word as FrameWord;
use crate::interrupt::Handlers;
use crate::interrupt::descriptor::Descriptor;
use crate::io::{Claims, Register};
use crate::layout::{DirectMap, Segments};
use crate::machine::{self, Cpu, Machine, Memory, Word, sealed::Sealed};
use crate::mmu::clock::Clock;
use crate::mmu::kernel_half::KernelHalf;
use crate::mmu::loaded::Loaded;
use crate::mmu::{Half, PagingMode, Rights, TwoLevel};
use crate::observer::Observer;
use crate::sva::Sva;
use core::mem::MaybeUninit;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicBool, AtomicU32, fence};
use std::cell::Cell;
use std::vec::Vec;

/// Frames with an entry: 0 is nothing, 1 a table, 2 and 3 data, 4 a root, 5 the sealed root.
pub(crate) const TABLE: Frame = frame(1);
pub(crate) const DATA: Frame = frame(2);
pub(crate) const OTHER: Frame = frame(3);
pub(crate) const ROOT: Frame = frame(4);
pub(crate) const SEALED_ROOT: Frame = frame(5);
const COUNT: u32 = 6;

/// Where the frame table and the clock lie: in frames that have no entry.
const FRAME_TABLE: u32 = 0x1_0000;
const CLOCK: u32 = 0x2_0000;
const RECORDS: u32 = CLOCK + 4 * (1 + Cpu::LIMIT);
/// What each CPU runs, behind them.
const PROCESSORS: u32 = CLOCK + 512;
/// Stacks, by what a stack pointer to them is.
pub(crate) const STACKS: u32 = 5;

pub(crate) const CPUS: u32 = 2;

const fn frame(number: u32) -> Frame {
    match Frame::new(number) {
        Some(frame) => frame,
        None => panic!("below 4 GiB"),
    }
}

pub(crate) fn cpu(number: u32) -> Cpu {
    Cpu::new(number).unwrap()
}

/// What all CPUs share.
struct Shared {
    words: Vec<(u32, AtomicU32)>,
    /// One TLB entry a CPU: the leaf that it cached, or zero.
    cached: [AtomicU32; CPUS as usize],
    roots: [AtomicU32; CPUS as usize],
    /// The stack that each CPU is on, and all stacks: whoever is on one writes it.
    stack_pointers: [AtomicU32; CPUS as usize],
    stacks: [Stack; STACKS as usize],
    /// IF is clear, or an interrupt is being run.
    quiet: [AtomicBool; CPUS as usize],
    /// None: no interrupt here has a vector.
    handlers: Handlers,
    observer: Observer,
}

/// What lies on a stack.
#[derive(Default)]
struct Stack(UnsafeCell<u32>);

// SAFETY: that no two threads write it at once is what `loom` checks.
unsafe impl Sync for Stack {}

/// A machine as one thread sees it, which is one CPU, and for a moment another whose interrupt it runs.
pub(crate) struct Tiny {
    shared: Arc<Shared>,
    cpu: Cell<u32>,
    /// Which CPUs' IF this thread has cleared.
    cleared: [Cell<bool>; CPUS as usize],
}

impl Tiny {
    /// All words zero but those given. Words that are nowhere given do not exist.
    pub(crate) fn new(words: &[(u32, u32)]) -> Self {
        let flags = || [AtomicBool::new(false), AtomicBool::new(false)];
        let zeroes = || [AtomicU32::new(0), AtomicU32::new(0)];
        let sealed = || AtomicU32::new(SEALED_ROOT.number());
        let shared = Shared {
            words: words.iter().map(|(at, word)| (*at, AtomicU32::new(*word))).collect(),
            cached: zeroes(),
            roots: [sealed(), sealed()],
            stack_pointers: [AtomicU32::new(0), AtomicU32::new(1)],
            stacks: Default::default(),
            quiet: flags(),
            handlers: Handlers::new(),
            observer: Observer::new(),
        };
        Self { shared: Arc::new(shared), cpu: Cell::new(0), cleared: Default::default() }
    }

    /// The same machine, for the thread that is `cpu`.
    pub(crate) fn as_cpu(&self, cpu: u32) -> Self {
        Self { shared: self.shared.clone(), cpu: Cell::new(cpu), cleared: Default::default() }
    }

    /// Puts `cpu` on another stack before anything begins.
    pub(crate) fn begin_on(&self, cpu: u32, stack_pointer: u32) {
        self.shared.stack_pointers[cpu as usize].store(stack_pointer, SeqCst);
    }

    /// Writes the stack that this CPU is on.
    fn touch_stack(&self) {
        let number = self.shared.stack_pointers[self.here()].load(Relaxed);
        // SAFETY: `loom` sees to it that nobody else does so now.
        self.shared.stacks[number as usize].0.with_mut(|value| unsafe { *value += 1 });
    }

    fn here(&self) -> usize {
        self.cpu.get() as usize
    }

    /// Clears IF of a CPU if it is set.
    fn begin_quiet(&self, cpu: usize) -> bool {
        self.shared.quiet[cpu].compare_exchange(false, true, AcqRel, Acquire).is_ok()
    }

    fn word(&self, at: PhysAddr) -> &AtomicU32 {
        match self.shared.words.iter().find(|(address, _)| *address == at.get()) {
            Some((_, word)) => word,
            None => panic!("no word of this machine is at {at}"),
        }
    }

    /// A locked instruction: a full barrier before and after.
    fn locked<R>(&self, at: PhysAddr, step: impl FnOnce(&AtomicU32) -> R) -> R {
        fence(SeqCst);
        let answer = step(self.word(at));
        fence(SeqCst);
        answer
    }

    /// Lets this CPU's MMU cache what entry 0 of the table says. An interrupt, which another thread
    /// may run for this CPU, comes before or after.
    pub(crate) fn fill(&self) {
        let was_on = self.interrupts_off();
        self.walk();
        if was_on {
            // SAFETY: undoes the `interrupts_off` above.
            unsafe { self.interrupts_on() }
        }
    }

    fn walk(&self) {
        let raw = self.word(entry_0()).load(Acquire);
        if raw & 1 != 0 {
            self.shared.cached[self.here()].store(raw, Release);
        }
    }

    /// Makes this CPU forget.
    pub(crate) fn invalidate_here(&self) {
        self.shared.cached[self.here()].store(0, Release);
    }

    /// Makes both TLBs hold `raw`.
    pub(crate) fn fill_all(&self, raw: u32) {
        self.shared.cached.iter().for_each(|cached| cached.store(raw, SeqCst));
    }

    /// Whether some CPU's TLB leads to `frame`.
    pub(crate) fn remembers(&self, frame: Frame) -> bool {
        self.shared.cached.iter().any(|cached| {
            let raw = cached.load(Acquire);
            raw & 1 != 0 && raw >> 12 == frame.number()
        })
    }
}

/// Where entry 0 of the table lies.
pub(crate) const fn entry_0() -> PhysAddr {
    TABLE.start()
}

fn narrow<W: Word>(value: W) -> u32 {
    assert_eq!(W::BYTES, 4, "words of 32 bits alone");
    let wide: u64 = value.into();
    wide as u32
}

fn widen<W: Word>(value: u32) -> W {
    W::low_bits_of(value.into())
}

impl Sealed for Tiny {}

impl Memory for Tiny {
    unsafe fn load<W: Word>(&self, at: PhysAddr) -> W {
        widen(self.word(at).load(Acquire))
    }

    unsafe fn store<W: Word>(&self, at: PhysAddr, value: W) {
        self.word(at).store(narrow(value), Release);
    }

    unsafe fn exchange<W: Word>(&self, at: PhysAddr, value: W) -> W {
        widen(self.locked(at, |word| word.swap(narrow(value), AcqRel)))
    }

    unsafe fn compare_exchange<W: Word>(&self, at: PhysAddr, old: W, new: W) -> Result<W, W> {
        let step = |word: &AtomicU32| word.compare_exchange(narrow(old), narrow(new), AcqRel, Acquire);
        self.locked(at, step).map(widen).map_err(widen)
    }

    unsafe fn fetch_add(&self, at: PhysAddr, value: u32) -> u32 {
        self.locked(at, |word| word.fetch_add(value, AcqRel))
    }

    /// A frame that gets new contents must be in no TLB.
    unsafe fn zero(&self, frame: Frame) {
        assert!(!self.remembers(frame), "{frame} is given new contents while a TLB leads to it");
        let words = self.shared.words.iter();
        let inside = words.filter(|(at, _)| at / FRAME_BYTES == frame.number());
        inside.for_each(|(_, word)| word.store(0, Release));
    }
}

impl Machine for Tiny {
    type Mode = TwoLevel;
    const IS_ALONE: bool = false;

    fn cpu(&self) -> Cpu {
        cpu(self.cpu.get())
    }

    fn cpus(&self) -> u32 {
        CPUS
    }

    fn interrupts_off(&self) -> bool {
        if self.cleared[self.here()].get() {
            return false;
        }
        while !self.begin_quiet(self.here()) {
            loom::thread::yield_now();
        }
        self.cleared[self.here()].set(true);
        true
    }

    unsafe fn interrupts_on(&self) {
        self.cleared[self.here()].set(false);
        self.shared.quiet[self.here()].store(false, Release);
    }

    unsafe fn wait(&self) {
        unimplemented!()
    }

    unsafe fn interrupt(&self, cpu: Cpu, run: &dyn Fn()) {
        let there = cpu.number() as usize;
        if !self.begin_quiet(there) {
            loom::thread::yield_now();
            return;
        }
        let here = self.cpu.replace(cpu.number());
        self.cleared[there].set(true);
        run();
        self.cleared[there].set(false);
        self.cpu.set(here);
        self.shared.quiet[there].store(false, Release);
    }

    fn claim(&self) -> bool {
        true
    }

    unsafe fn take_over(&self, root: Frame) {
        // SAFETY: the caller's promise is that of a load.
        unsafe { self.load_root(root) }
    }

    fn root(&self) -> Frame {
        frame(self.shared.roots[self.here()].load(Relaxed))
    }

    /// Serialises, drops what was cached, and caches it again if it still can.
    unsafe fn load_root(&self, root: Frame) {
        fence(SeqCst);
        self.shared.roots[self.here()].store(root.number(), Relaxed);
        self.shared.cached[self.here()].store(0, Release);
        fence(SeqCst);
        self.walk();
    }

    fn invalidate_page(&self, _: Page) {
        self.shared.cached[self.here()].store(0, Release);
    }

    unsafe fn copy_out(&self, _: PhysAddr, _: &mut [u8]) {
        unimplemented!()
    }

    unsafe fn copy_in(&self, _: PhysAddr, _: &[u8]) {
        unimplemented!()
    }

    unsafe fn copy_frame(&self, _: Frame, _: Frame) {
        unimplemented!()
    }

    unsafe fn lend(&self, _: FrameRange) -> *mut [MaybeUninit<u8>] {
        unimplemented!()
    }

    unsafe fn grant(&self, _: FrameRange) -> &'static mut [MaybeUninit<u8>] {
        unimplemented!()
    }

    fn claims(&self) -> &Claims {
        unimplemented!()
    }

    unsafe fn port_read<W: Register>(&self, _: u16) -> W {
        unimplemented!()
    }

    unsafe fn port_write<W: Register>(&self, _: u16, _: W) {
        unimplemented!()
    }

    unsafe fn device_read<W: Register>(&self, _: VirtAddr, _: PhysAddr) -> W {
        unimplemented!()
    }

    unsafe fn device_write<W: Register>(&self, _: VirtAddr, _: PhysAddr, _: W) {
        unimplemented!()
    }

    fn time_stamp(&self) -> Option<u64> {
        unimplemented!()
    }

    fn observer(&self) -> &Observer {
        &self.shared.observer
    }

    fn handlers(&self) -> &Handlers {
        &self.shared.handlers
    }

    fn report(&self, _: core::fmt::Arguments<'_>) {
        unimplemented!()
    }

    fn stop(&self, why: &'static str) -> ! {
        panic!("the machine was stopped: {why}")
    }
}

/// It has no programs, and whoever calls `switch` goes on as the next thread.
impl machine::Context for Tiny {
    unsafe fn prepare(&self, _: Top, _: impl Entry) -> u32 {
        unimplemented!()
    }

    unsafe fn discard(&self, _: Top, _: u32) {
        unimplemented!()
    }

    unsafe fn switch(&self, _: &Sva<Self>, save: PhysAddr, next: u32) {
        self.touch_stack();
        let here = &self.shared.stack_pointers[self.here()];
        // SAFETY: a word of this machine.
        unsafe { self.store(save, here.load(Relaxed)) }
        here.store(next, Relaxed);
        self.touch_stack();
    }

    unsafe fn enter_user(&self, _: &mut UserContext) -> UserTrap {
        unimplemented!()
    }

    unsafe fn load_thread_selectors(&self, _: u16, _: u16) {
        unimplemented!()
    }

    unsafe fn set_tls(&self, _: u32, _: Descriptor) {
        unimplemented!()
    }

    fn fault_address(&self) -> VirtAddr {
        unimplemented!()
    }

    fn has_fp(&self) -> bool {
        unimplemented!()
    }

    fn mxcsr_mask(&self) -> u32 {
        unimplemented!()
    }

    fn open_fp(&self) {
        unimplemented!()
    }

    fn close_fp(&self) {
        unimplemented!()
    }

    unsafe fn store_fp(&self, _: PhysAddr) {
        unimplemented!()
    }

    unsafe fn load_fp(&self, _: PhysAddr) {
        unimplemented!()
    }

    unsafe fn begin_fp(&self, _: PhysAddr) {
        unimplemented!()
    }

    unsafe fn copy_from_user(&self, _: VirtAddr, _: &mut [u8]) -> u32 {
        unimplemented!()
    }

    unsafe fn copy_to_user(&self, _: VirtAddr, _: &[u8]) -> u32 {
        unimplemented!()
    }

    unsafe fn zero_user(&self, _: VirtAddr, _: u32) -> u32 {
        unimplemented!()
    }

    unsafe fn copy_str_from_user(&self, _: VirtAddr, _: &mut [u8]) -> (u32, bool) {
        unimplemented!()
    }
}

/// The words of a machine whose frames have these words 0; entry 0 of the table is `entry`.
pub(crate) fn words(typed: &[(Frame, FrameWord)], entry: u32) -> Vec<(u32, u32)> {
    let at = |frame: Frame| FRAME_TABLE + 8 * frame.number();
    let word_0 = |number: u32| {
        let found = typed.iter().find(|(typed, _)| typed.number() == number);
        found.map_or(FrameWord::NONE, |(_, word)| *word).bits()
    };
    let table =
        (0..COUNT).flat_map(|number| [(at(frame(number)), word_0(number)), (at(frame(number)) + 4, 0)]);
    let clock = (0..=Cpu::LIMIT).map(|word| (CLOCK + 4 * word, 1)).filter(|(at, _)| *at <= CLOCK + 4 * CPUS);
    let records = (0..CPUS).map(|cpu| (RECORDS + 4 * cpu, SEALED_ROOT.number()));
    table.chain(clock).chain(records).chain([(entry_0().get(), entry)]).collect()
}

pub(crate) fn frames() -> Frames {
    // SAFETY: 1. a multiple of 8, with a word pair for each. 2. Only the library's code writes them.
    unsafe { Frames::new(PhysAddr::new(FRAME_TABLE), COUNT) }
}

pub(crate) fn clock() -> Clock {
    // SAFETY: 1. the start of a frame. 2. Only the library's code writes its words.
    unsafe { Clock::new(PhysAddr::new(CLOCK)) }
}

/// The words in which `cpu` keeps what it runs, `record`.
pub(crate) fn processor(cpu: u32, record: PhysAddr) -> [(u32, u32); 4] {
    let at = PROCESSORS + 16 * cpu;
    [(at, record.get()), (at + 4, 0), (at + 8, 0), (at + 12, 0)]
}

/// The records of what the CPUs run.
pub(crate) fn processors() -> Processors {
    // SAFETY: 1. the start of a frame. 2. Only the library's code writes its words.
    unsafe { Processors::new(PhysAddr::new(CLOCK)) }
}

/// The library on `machine`, of which only what the words say exists.
pub(crate) fn sva(machine: Tiny) -> Sva<Tiny> {
    sva_with(machine, Threads::NONE)
}

/// The same with these threads.
pub(crate) fn sva_with(machine: Tiny, threads: Threads) -> Sva<Tiny> {
    let user = PageRange::new(Page::ZERO, 0xc_0000).unwrap();
    let half = KernelHalf {
        segments: Segments::new(&[]).unwrap(),
        direct_map: DirectMap { first: Page::ZERO, frames: FrameRange::EMPTY },
        stacks: PageRange::EMPTY,
        devices: crate::io::window::Window::NONE,
        threads,
        user,
        user_bytes: UserBytes::of(user),
        constant: None,
        root: SEALED_ROOT,
        tables: FrameRange::EMPTY,
    };
    // SAFETY: 1. the start of a frame. 2. as for the clock.
    let loaded = unsafe { Loaded::new(PhysAddr::new(CLOCK)) };
    Sva { machine, frames: frames(), clock: clock(), loaded, processors: processors(), half }
}

/// A leaf for users.
pub(crate) fn leaf(frame: Frame, rights: Rights) -> u32 {
    TwoLevel::leaf(frame, rights, Half::User)
}

/// A frame of `kind` with so many uses.
pub(crate) fn used(kind: Kind, total: u32, writable: u32) -> FrameWord {
    FrameWord::from_bits(FrameWord::unused(kind).bits() | total << 19 | writable << 7)
}
