//! The invariants, recounted from RAM.
//!
//! The audit trusts nothing but the layout: it reads every table that the frame table knows, entry
//! by entry, and compares. It is for a moment at which no other CPU is inside an intrinsic, since
//! an intrinsic at work holds counts that no entry explains yet; nor is any thread suspended inside a copy of the
//! bytes of a frame (`read_bytes`, `write_bytes`, `copy_frame`), which can be preempted.

use crate::address::{Frame, FrameRange};
use crate::context::{STACK_PAGES, State};
use crate::frame::Kind;
use crate::frame::stamp::Stamp;
use crate::frame::word::{Uses, Word};
use crate::machine::{Cpu, Machine};
use crate::mmu::entry::{Raw, entry_address};
use crate::mmu::kernel_half::{Expected, Slot};
use crate::mmu::{Entry, Geometry, Half, PagingMode};
use crate::sva::Sva;

/// What an audit that found nothing wrong has counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Summary {
    /// Present entries of the kernel half, its root's included.
    pub kernel_entries: u32,
    /// Present entries of user-half tables and of the user half of roots.
    pub user_entries: u32,
    /// Those of them that map a page.
    pub user_leaves: u32,
    /// User-half tables.
    pub tables: u32,
    /// Roots, the sealed one included.
    pub roots: u32,
    /// Free frames.
    pub free: u32,
    /// Frames of stacks that were declared.
    pub stacks: u32,
}

/// The first thing that an audit found wrong: a bug of this library, or memory that broke.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Finding {
    /// Invariant 1 or 2: an entry has bits, or names a frame, that it must not.
    Entry(Frame, u32),
    /// Invariants 3 and 4: a leaf of the user half leads to a frame that is not user data.
    Target(Frame, u32),
    /// Invariant 5: a frame's counts are not what a recount gives.
    Count(Frame),
    /// Invariant 6: a table's parent slot and the entry that links it disagree.
    Parent(Frame),
    /// Invariant 7: an entry of the kernel half is not what the layout says.
    KernelHalf(Frame, u32),
    /// Invariant 8: CR3 of this CPU is not a root, or not the one on record.
    Root(Frame),
    /// Invariant 9: this CPU is said to have flushed later than now.
    FlushTime(Cpu),
    /// Invariant 10: a frame that is free, or was never mapped, has a stamp that says it may be cached.
    Stamp(Frame),
    /// Invariant 13: a thread is in a state that none is in between calls, runs on no CPU or on two, or its stack
    /// has frames that are no stack's.
    Thread(u32),
    /// Invariant 13: there are so many frames of stacks, and not as many in stacks that were declared.
    Stacks(u32),
    /// A frame is busy though no intrinsic is at work, or sealed though its kind never is, or the reverse.
    Word(Frame),
}

impl Finding {
    /// The invariant's number in the design.
    pub const fn invariant(self) -> u8 {
        match self {
            Finding::Entry(..) => 1,
            Finding::Target(..) => 4,
            Finding::Count(_) | Finding::Word(_) => 5,
            Finding::Parent(_) => 6,
            Finding::KernelHalf(..) => 7,
            Finding::Root(_) => 8,
            Finding::FlushTime(_) => 9,
            Finding::Stamp(_) => 10,
            Finding::Thread(_) | Finding::Stacks(_) => 13,
        }
    }
}

impl core::fmt::Display for Finding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "invariant {} broken: {self:?}", self.invariant())
    }
}

impl core::error::Error for Finding {}

/// Frames recounted in one pass over all tables when the caller lends no memory for more.
const FRAMES_PER_PASS: usize = 256;

impl<M: Machine> Sva<M> {
    /// Recounts everything and compares.
    ///
    /// # Errors
    ///
    /// The first [`Finding`].
    pub fn audit(&self) -> Result<Summary, Finding> {
        self.audit_with(&mut [0; FRAMES_PER_PASS])
    }

    /// As [`audit`](Self::audit); the more frames `scratch` has a word for, the fewer passes over
    /// the tables it takes. An empty `scratch` recounts nothing and checks the rest.
    ///
    /// # Errors
    ///
    /// The first [`Finding`].
    pub fn audit_with(&self, scratch: &mut [u32]) -> Result<Summary, Finding> {
        let _quiet = self.quiet();
        let mut summary = Summary::default();
        self.audit_kernel_half(&mut summary)?;
        self.audit_cpus()?;
        let stacks = self.audit_threads()?;
        for frame in self.all_frames() {
            self.audit_frame(frame, &mut summary)?;
        }
        if summary.stacks != stacks {
            return Err(Finding::Stacks(summary.stacks));
        }
        if !scratch.is_empty() {
            self.recount_all(self.client_tables(), scratch)?;
            self.audit_records()?;
        }
        Ok(summary)
    }

    /// The frames from the first to the last table or root of the client.
    fn client_tables(&self) -> FrameRange {
        let is_one = |frame: &Frame| self.word(*frame).kind().level().is_some() || self.is_root(*frame);
        let first = self.all_frames().find(is_one);
        let last = self.all_frames().rev().find(is_one);
        first
            .zip(last)
            .and_then(|(first, last)| {
                FrameRange::new(first, last.number().wrapping_sub(first.number()).wrapping_add(1))
            })
            .unwrap_or(FrameRange::EMPTY)
    }

    /// Whether `frame` is a root that the client declared.
    fn is_root(&self, frame: Frame) -> bool {
        self.word(frame).kind() == Kind::Root && frame != self.half.root
    }

    /// Invariant 5, as many frames at a time as `scratch` has words. All that counts lies in `tables`.
    fn recount_all(&self, tables: FrameRange, scratch: &mut [u32]) -> Result<(), Finding> {
        let mut first = Frame::ZERO;
        loop {
            let left = self.frames.count().saturating_sub(first.number());
            let count = u32::try_from(scratch.len()).unwrap_or(u32::MAX).min(left);
            let Some(frames) = FrameRange::new(first, count).filter(|frames| !frames.is_empty()) else {
                return Ok(());
            };
            self.recount(tables, frames, scratch)?;
            let Some(next) = first.checked_add(count) else { return Ok(()) };
            first = next;
        }
    }

    fn all_frames(&self) -> impl DoubleEndedIterator<Item = Frame> {
        (0..self.frames.count()).filter_map(Frame::new)
    }

    fn all_cpus(&self) -> impl Iterator<Item = Cpu> {
        (0..self.machine.cpus()).filter_map(Cpu::new)
    }

    fn word(&self, frame: Frame) -> Word {
        self.frames.word(&self.machine, frame)
    }

    /// The entry as RAM has it now.
    fn raw(&self, table: Frame, index: u32) -> Raw<M> {
        // SAFETY: 1. callers name frames of the frame table, and indices of a whole table, so this is
        // RAM. 2. A read changes nothing, and every kind that is read here is the library's own.
        unsafe { self.machine.load(entry_address::<M::Mode>(table, index)) }
    }

    /// Invariant 7.
    fn audit_kernel_half(&self, summary: &mut Summary) -> Result<(), Finding> {
        self.half.visit::<M::Mode, Finding>(
            self.frames,
            &self.machine,
            &mut |slot: Slot, expected: Expected| {
                let raw = M::Mode::at_rest(slot.level, self.raw(slot.table, slot.index));
                if raw != expected.encode::<M::Mode>(slot.level) {
                    return Err(Finding::KernelHalf(slot.table, slot.index));
                }
                let present = u32::from(expected != Expected::Empty);
                summary.kernel_entries = summary.kernel_entries.saturating_add(present);
                Ok(())
            },
        )
    }

    /// Invariant 8 on this CPU, and that no CPU's flush lies in the future: it would never be asked for
    /// another.
    fn audit_cpus(&self) -> Result<(), Finding> {
        let root = self.machine.root();
        if self.word(root).kind() != Kind::Root
            || self.loaded.get(&self.machine, self.machine.cpu()) != Some(root)
        {
            return Err(Finding::Root(root));
        }
        let now = self.clock.now(&self.machine);
        let ahead = |cpu: &Cpu| self.clock.flushed(&self.machine, *cpu).is_after(now);
        self.all_cpus().find(ahead).map_or(Ok(()), |cpu| Err(Finding::FlushTime(cpu)))
    }

    /// Invariant 13. Answers with how many frames all declared stacks have.
    fn audit_threads(&self) -> Result<u32, Finding> {
        let threads = self.half.threads;
        let mut frames = 0;
        for (number, record) in threads.all() {
            let wrong = Err(Finding::Thread(number));
            let on_cpus = self
                .all_cpus()
                .filter(|cpu| self.processors.of(*cpu).current(&self.machine) == record)
                .count();
            let state = record.word(&self.machine).state();
            let sound = match state {
                State::Running | State::Idle => on_cpus == 1,
                State::Busy | State::Ending | State::Abandoning => false,
                State::Ready | State::Saved | State::Waiting => {
                    on_cpus == 0 && self.word(record.root(&self.machine)).kind() == Kind::Root
                }
                State::Vacant => on_cpus == 0 && record.pages(&self.machine) == 0,
                State::Unused | State::Abandoned => on_cpus == 0,
            };
            if !sound {
                return wrong;
            }
            for place in 0..record.pages(&self.machine).min(STACK_PAGES) {
                let frame = record.frame(&self.machine, place);
                if frame.is_none_or(|frame| self.word(frame).kind() != Kind::Stack) {
                    return wrong;
                }
                frames = u32::from(number >= self.machine.cpus()).saturating_add(frames);
            }
        }
        Ok(frames)
    }

    /// Invariant 8 on the other CPUs, once the counts are known to be right.
    fn audit_records(&self) -> Result<(), Finding> {
        for cpu in self.all_cpus() {
            let root = self.loaded.get(&self.machine, cpu).unwrap_or(Frame::ZERO);
            if self.word(root).kind() != Kind::Root {
                return Err(Finding::Root(root));
            }
        }
        Ok(())
    }

    /// What init made of `frame`, if the handle itself says so: the image, and the library's own.
    fn kind_at_boot(&self, frame: Frame) -> Option<Kind> {
        let segment = self.half.segments.iter().find(|segment| segment.frames.contains(frame));
        if let Some(segment) = segment {
            Some(segment.role.kind())
        } else if frame == self.half.root {
            Some(Kind::Root)
        } else if self.half.tables.contains(frame) {
            Some(Kind::KernelTable)
        } else if self.half.threads.idle().contains(frame) {
            Some(Kind::Stack)
        } else if self.frames.lies_in(frame)
            || self.clock.lies_in(frame)
            || self.half.threads.lies_in(frame)
            || self.half.devices.lies_in(frame)
        {
            Some(Kind::Monitor)
        } else {
            None
        }
    }

    /// All about one frame that needs no recount.
    fn audit_frame(&self, frame: Frame, summary: &mut Summary) -> Result<(), Finding> {
        let word = self.word(frame);
        let kind = word.kind();
        let sound = match self.kind_at_boot(frame) {
            Some(expected) => kind == expected && word.is_sealed() && !word.is_busy(),
            None => match kind {
                Kind::Heap | Kind::Kept => word.is_sealed() && !word.is_busy(),
                Kind::Image | Kind::Code | Kind::Monitor | Kind::Descriptor | Kind::KernelTable => false,
                _ => !word.is_sealed() && !word.is_busy(),
            },
        };
        if !sound {
            return Err(Finding::Word(frame));
        }
        self.audit_stamp(frame, word)?;
        match kind {
            Kind::Root => {
                summary.roots = summary.roots.saturating_add(1);
                self.audit_root(frame)?;
            }
            Kind::Free => summary.free = summary.free.saturating_add(1),
            Kind::Stack if !word.is_sealed() => summary.stacks = summary.stacks.saturating_add(1),
            _ if kind.level().is_some() => summary.tables = summary.tables.saturating_add(1),
            _ => {}
        }
        self.each_user_entry(frame, |index, level, raw, entry| {
            // The sealed root's user half is empty for ever.
            if frame == self.half.root {
                return Err(Finding::Entry(frame, index));
            }
            summary.user_entries = summary.user_entries.saturating_add(1);
            let expected = match entry {
                Entry::Leaf(leaf) if leaf.is_device() => {
                    summary.user_leaves = summary.user_leaves.saturating_add(1);
                    if !self.half.devices.is_lent(&self.machine, leaf.frame()) {
                        return Err(Finding::Target(frame, index));
                    }
                    M::Mode::device_leaf(leaf.frame(), Half::User)
                }
                Entry::Leaf(leaf) => {
                    summary.user_leaves = summary.user_leaves.saturating_add(1);
                    if self.word(leaf.frame()).kind() != Kind::UserData {
                        return Err(Finding::Target(frame, index));
                    }
                    M::Mode::leaf(leaf.frame(), leaf.rights(), Half::User)
                }
                Entry::Table(table) => {
                    if self.word(table).kind().level() != level.checked_sub(1) {
                        return Err(Finding::Entry(frame, index));
                    }
                    if self.frames.stamp(&self.machine, table) != (Stamp::Linked { table: frame, index }) {
                        return Err(Finding::Parent(table));
                    }
                    M::Mode::link(level, table, Half::User)
                }
                Entry::Empty | Entry::Illegal => return Err(Finding::Entry(frame, index)),
            };
            let same = M::Mode::at_rest(level, raw) == expected;
            if same { Ok(()) } else { Err(Finding::Entry(frame, index)) }
        })
    }

    /// Invariants 6 and 10 at `frame`.
    fn audit_stamp(&self, frame: Frame, word: Word) -> Result<(), Finding> {
        let is_table = word.kind().level().is_some();
        match self.frames.stamp(&self.machine, frame) {
            Stamp::Clean => {}
            Stamp::Linked { .. } if is_table && word.writable() == 1 => return Ok(()),
            Stamp::Linked { .. } => return Err(Finding::Parent(frame)),
            Stamp::Dropped(time) => {
                let impossible = !time.is_shown() || time.is_after(self.clock.now(&self.machine));
                let flushed = |cpu| self.clock.flushed(&self.machine, cpu).is_after(time);
                if impossible || (word.kind() == Kind::Free && !self.all_cpus().all(flushed)) {
                    return Err(Finding::Stamp(frame));
                }
            }
        }
        if is_table && word.writable() != 0 { Err(Finding::Parent(frame)) } else { Ok(()) }
    }

    /// Invariant 7 at a root: its kernel half is the sealed root's.
    fn audit_root(&self, root: Frame) -> Result<(), Finding> {
        let kernel = (0..M::Mode::ROOT_ENTRIES).filter(|index| !self.half.is_user_entry::<M::Mode>(*index));
        for index in kernel {
            let same = |frame| M::Mode::at_rest(M::Mode::LEVELS, self.raw(frame, index));
            if same(root) != same(self.half.root) {
                return Err(Finding::KernelHalf(root, index));
            }
        }
        Ok(())
    }

    /// Calls `visit` with index, level, raw and decoded form of every entry of `frame` that is not
    /// all zero, if it is a user-half table or a root.
    fn each_user_entry(
        &self,
        frame: Frame,
        mut visit: impl FnMut(u32, u8, Raw<M>, Entry) -> Result<(), Finding>,
    ) -> Result<(), Finding> {
        let level = match self.word(frame).kind() {
            Kind::Root => M::Mode::LEVELS,
            kind => match kind.level() {
                Some(level) => level,
                None => return Ok(()),
            },
        };
        for index in 0..M::Mode::entries(level) {
            if level == M::Mode::LEVELS && !self.half.is_user_entry::<M::Mode>(index) {
                continue;
            }
            let raw = self.raw(frame, index);
            match M::Mode::decode(level, raw) {
                Entry::Empty => {}
                entry => visit(index, level, raw, entry)?,
            }
        }
        Ok(())
    }

    /// Invariant 5 for `frames`, of which `scratch` holds a word each.
    fn recount(&self, tables: FrameRange, frames: FrameRange, scratch: &mut [u32]) -> Result<(), Finding> {
        for (word, frame) in scratch.iter_mut().zip(frames.iter()) {
            let seen = self.word(frame);
            let fresh = if seen.is_sealed() { Word::sealed(seen.kind()) } else { Word::unused(seen.kind()) };
            *word = fresh.bits();
        }
        let mut add = |frame: Frame, uses: Uses| {
            let place = frame.number().checked_sub(frames.first().number());
            let word = place.and_then(|place| scratch.get_mut(crate::address::widen(place)));
            if let Some(word) = word.filter(|_| frame != self.half.root) {
                *word = Word::from_bits(*word).with(uses).bits();
            }
        };
        for cpu in self.all_cpus() {
            if let Some(root) = self.loaded.get(&self.machine, cpu) {
                add(root, Uses::LOAD);
            }
        }
        for (_, record) in self.half.threads.all() {
            let state = record.word(&self.machine).state();
            if matches!(state, State::Ready | State::Saved | State::Waiting) {
                add(record.root(&self.machine), Uses::LOAD);
            }
        }
        for table in tables.iter() {
            self.each_user_entry(table, |_, _, _, entry| {
                add(table, Uses::ENTRY);
                match entry {
                    Entry::Leaf(leaf) => {
                        add(leaf.frame(), if leaf.write() { Uses::WRITE } else { Uses::READ })
                    }
                    Entry::Table(child) => add(child, Uses::LINK),
                    Entry::Empty | Entry::Illegal => {}
                }
                Ok(())
            })?;
        }
        for (word, frame) in scratch.iter().zip(frames.iter()) {
            if *word != self.word(frame).bits() {
                return Err(Finding::Count(frame));
            }
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
