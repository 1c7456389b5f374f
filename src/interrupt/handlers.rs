//! The table of handlers, and what each CPU is doing with it.

use super::frame::TrapFrame;
use super::lines::Lines;
use super::quiet::Locked;
use super::vector::Vector;
use crate::address::widen;
use crate::context::FpPolicy;
use crate::machine::{Cpu, Machine};
use crate::violation::Violation;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What runs when its vector is used: on the CPU that was interrupted, with interrupts off.
///
/// It may call the library. What is refused in it: enabling interrupts, and loading a root.
pub type Handler = &'static (dyn Fn(&TrapFrame<'_>) + Sync);

/// What runs after the outermost handler of an interrupt line.
pub type Preempt = &'static (dyn Fn() + Sync);

const VECTORS: usize = widen(Vector::COUNT);
const CPUS: usize = widen(Cpu::LIMIT);

/// What one borrow of per-CPU data counts.
const BORROW: u32 = 1 << 16;

/// What a CPU is in the middle of.
struct Nesting {
    /// Handlers that run on it, one inside the other, and in multiples of [`BORROW`] borrows of per-CPU data:
    /// while this is not zero, what is refused in handlers is refused.
    depth: AtomicU32,
    /// [`NoPreempt`](super::NoPreempt) guards on it.
    no_preempt: AtomicU32,
}

/// All that the library keeps of a machine's interrupts. A slot has a lock of its own, held for a copy.
pub struct Handlers {
    slots: [Locked<Option<Handler>>; VECTORS],
    /// How many slots are full: most digests are of machines without a handler.
    #[cfg(feature = "emulated")]
    full: AtomicU32,
    cpus: [Nesting; CPUS],
    preempt: Locked<Option<Preempt>>,
    pub(crate) lines: Lines,
    /// Held while several accesses to the timer belong together.
    pub(crate) timer: Locked<()>,
    eager_fp: AtomicBool,
    /// Software interrupts without a handler.
    stray: AtomicU32,
    /// Debug exceptions in the kernel.
    debug: AtomicU32,
    /// Non-maskable interrupts. The stub counts them.
    nmis: AtomicU32,
}

/// What came and led to no handler, since the machine was claimed. Each count wraps at 2^32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Counts {
    /// Interrupts that no device asked for any more when the controller answered.
    pub spurious: u32,
    /// Interrupts by lines without a handler. The line is masked then.
    pub stray_lines: u32,
    /// Software interrupts without a handler.
    pub stray_software: u32,
    /// Debug exceptions in the kernel.
    pub debug: u32,
    /// Non-maskable interrupts.
    pub nmis: u32,
}

impl Handlers {
    /// Where the count of non-maskable interrupts is, for their stub.
    #[cfg(all(target_arch = "x86", target_os = "none"))]
    pub(crate) const NMIS: usize = core::mem::offset_of!(Self, nmis);

    /// None is registered, all lines are masked.
    pub(crate) const fn new() -> Self {
        Self {
            slots: [const { Locked::new(None) }; VECTORS],
            #[cfg(feature = "emulated")]
            full: AtomicU32::new(0),
            cpus: [const { Nesting { depth: AtomicU32::new(0), no_preempt: AtomicU32::new(0) } }; CPUS],
            preempt: Locked::new(None),
            lines: Lines::new(),
            timer: Locked::new(()),
            eager_fp: AtomicBool::new(false),
            stray: AtomicU32::new(0),
            debug: AtomicU32::new(0),
            nmis: AtomicU32::new(0),
        }
    }
}

impl Handlers {
    fn slot(&self, vector: Vector) -> Option<&Locked<Option<Handler>>> {
        self.slots.get(usize::from(vector.number()))
    }

    fn nesting(&self, cpu: Cpu) -> Option<&Nesting> {
        self.cpus.get(widen(cpu.number()))
    }

    /// The handler of `vector`.
    pub(crate) fn get<M: Machine>(&self, machine: &M, vector: Vector) -> Option<Handler> {
        self.slot(vector)?.with(machine, |slot| *slot)
    }

    /// Fills an empty slot; `false` if it is full.
    pub(crate) fn put<M: Machine>(&self, machine: &M, vector: Vector, handler: Handler) -> bool {
        self.slot(vector).is_some_and(|slot| {
            slot.with(machine, |slot| {
                let is_empty = slot.is_none();
                if is_empty {
                    *slot = Some(handler);
                    #[cfg(feature = "emulated")]
                    self.full.fetch_add(1, Ordering::Relaxed);
                }
                is_empty
            })
        })
    }

    /// Empties a slot; `false` if it was empty.
    pub(crate) fn take<M: Machine>(&self, machine: &M, vector: Vector) -> bool {
        let was_full = self.slot(vector).is_some_and(|slot| slot.with(machine, Option::take).is_some());
        #[cfg(feature = "emulated")]
        self.full.fetch_sub(was_full.into(), Ordering::Relaxed);
        was_full
    }

    /// Whether neither a handler runs on `cpu` nor per-CPU data is borrowed there.
    #[inline(always)]
    pub(crate) fn is_outside(&self, cpu: Cpu) -> bool {
        self.nesting(cpu).is_none_or(|nesting| nesting.depth.load(Ordering::Relaxed) == 0)
    }

    /// How many handlers run on `cpu`, one inside the other.
    #[cfg(test)]
    pub(super) fn handlers_on(&self, cpu: Cpu) -> u32 {
        self.nesting(cpu).map_or(0, |nesting| nesting.depth.load(Ordering::Relaxed) % BORROW)
    }

    /// Why not, if [`is_outside`](Self::is_outside) says so.
    #[cold]
    pub(crate) fn why_not_outside(&self, cpu: Cpu) -> Violation {
        let depth = self.nesting(cpu).map_or(0, |nesting| nesting.depth.load(Ordering::Relaxed));
        match depth % BORROW {
            0 => Violation::PerCpuBorrowed(depth / BORROW),
            handlers => Violation::InHandler(handlers),
        }
    }

    /// One borrow of per-CPU data more on `cpu`. A handler takes back what it adds, so it may come in between.
    pub(crate) fn begin_borrow(&self, cpu: Cpu) {
        if let Some(nesting) = self.nesting(cpu) {
            nesting.depth.fetch_add(BORROW, Ordering::Relaxed);
        }
    }

    /// One less.
    pub(crate) fn end_borrow(&self, cpu: Cpu) {
        if let Some(nesting) = self.nesting(cpu) {
            nesting.depth.fetch_sub(BORROW, Ordering::Relaxed);
        }
    }

    /// How many borrows of per-CPU data there are on `cpu`.
    pub(crate) fn borrows_on(&self, cpu: Cpu) -> u32 {
        self.nesting(cpu).map_or(0, |nesting| nesting.depth.load(Ordering::Relaxed) / BORROW)
    }

    /// When floating-point states are loaded.
    #[inline(always)]
    pub(crate) fn fp_policy(&self) -> FpPolicy {
        if self.eager_fp.load(Ordering::Relaxed) { FpPolicy::Eager } else { FpPolicy::Lazy }
    }

    pub(crate) fn set_fp_policy(&self, policy: FpPolicy) {
        self.eager_fp.store(policy == FpPolicy::Eager, Ordering::Relaxed);
    }

    /// Calls the handler of the frame's vector, one level deeper; `false` if there is none. Interrupts
    /// are off.
    pub(crate) fn run<M: Machine>(&self, machine: &M, frame: &TrapFrame<'_>) -> bool {
        let (handler, nesting) = (self.get(machine, frame.vector()), self.nesting(machine.cpu()));
        let (Some(handler), Some(nesting)) = (handler, nesting) else {
            return false;
        };
        let _deeper = Deeper::new(&nesting.depth);
        handler(frame);
        true
    }

    /// Calls the hook, if no handler runs on this CPU and no guard forbids it. Interrupts are off.
    pub(crate) fn preempt<M: Machine>(&self, machine: &M) {
        let Some(nesting) = self.nesting(machine.cpu()) else {
            return;
        };
        let is_outermost = nesting.depth.load(Ordering::Relaxed) == 0;
        if is_outermost
            && nesting.no_preempt.load(Ordering::Relaxed) == 0
            && let Some(hook) = self.preempt.with(machine, |hook| *hook)
        {
            hook();
            // It may have enabled them; the way out of a trap wants them off.
            machine.interrupts_off();
        }
    }

    /// One more guard against preemption on `cpu`. A count that is full stays so: nothing on that CPU is
    /// preempted again.
    pub(crate) fn forbid_preemption(&self, cpu: Cpu) {
        self.change_guards(cpu, |guards| guards.checked_add(1));
    }

    /// One guard less on `cpu`.
    pub(crate) fn allow_preemption(&self, cpu: Cpu) {
        self.change_guards(cpu, |guards| if guards == u32::MAX { None } else { guards.checked_sub(1) });
    }

    fn change_guards(&self, cpu: Cpu, change: impl FnMut(u32) -> Option<u32>) {
        if let Some(nesting) = self.nesting(cpu) {
            // `None` leaves the count as it is.
            _ = nesting.no_preempt.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
        }
    }

    pub(crate) fn set_preempt<M: Machine>(&self, machine: &M, hook: Preempt) {
        self.preempt.with(machine, |place| *place = Some(hook));
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            spurious: self.lines.spurious(),
            stray_lines: self.lines.stray(),
            stray_software: self.stray.load(Ordering::Relaxed),
            debug: self.debug.load(Ordering::Relaxed),
            nmis: self.nmis.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn count_stray(&self) {
        self.stray.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_debug(&self) {
        self.debug.fetch_add(1, Ordering::Relaxed);
    }
}

/// For an emulated machine, while it stands still.
#[cfg(feature = "emulated")]
impl Handlers {
    pub(crate) fn duplicate(&self) -> Self {
        let copied = |count: &AtomicU32| AtomicU32::new(count.load(Ordering::Relaxed));
        Self {
            slots: self.slots.each_ref().map(|slot| Locked::new(slot.peek())),
            full: copied(&self.full),
            cpus: self
                .cpus
                .each_ref()
                .map(|cpu| Nesting { depth: copied(&cpu.depth), no_preempt: copied(&cpu.no_preempt) }),
            preempt: Locked::new(self.preempt.peek()),
            lines: self.lines.duplicate(),
            timer: Locked::new(()),
            eager_fp: AtomicBool::new(self.eager_fp.load(Ordering::Relaxed)),
            stray: copied(&self.stray),
            debug: copied(&self.debug),
            nmis: copied(&self.nmis),
        }
    }

    /// What the stub of a non-maskable interrupt does.
    pub(crate) fn count_nmi(&self) {
        self.nmis.fetch_add(1, Ordering::Relaxed);
    }

    /// Of all but the counters.
    pub(crate) fn digest(&self) -> u64 {
        use core::hash::{Hash, Hasher};
        let mut hasher = std::hash::DefaultHasher::new();
        // By address: closures have no other identity.
        if self.full.load(Ordering::Relaxed) != 0 {
            for slot in &self.slots {
                slot.peek().map(core::ptr::from_ref).hash(&mut hasher);
            }
        }
        self.preempt.peek().map(core::ptr::from_ref).hash(&mut hasher);
        for (number, cpu) in self.cpus.iter().enumerate() {
            let counts = (cpu.depth.load(Ordering::Relaxed), cpu.no_preempt.load(Ordering::Relaxed));
            if counts != (0, 0) {
                (number, counts).hash(&mut hasher);
            }
        }
        self.lines.digest().hash(&mut hasher);
        self.eager_fp.load(Ordering::Relaxed).hash(&mut hasher);
        hasher.finish()
    }
}

/// One handler more on a CPU. Only that CPU changes the count, with interrupts off.
struct Deeper<'n>(&'n AtomicU32);

impl<'n> Deeper<'n> {
    fn new(depth: &'n AtomicU32) -> Self {
        depth.store(depth.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        Self(depth)
    }
}

impl Drop for Deeper<'_> {
    fn drop(&mut self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
