//! What each call must answer, and what it changes, by the words of the documentation.
//!
//! Where a call is wrong in several ways the first reason counts, and arguments are looked at in
//! this order: the table or root, the index, the frame or table that is to stand there, what
//! stands there so far.

use super::operation::{Answer, Call, Seen};
use super::reference::{Effect, History, Item, World};
use crate::common::world::count;
use sva_os::Violation;
use sva_os::address::{FRAME_BYTES, Frame, FrameRange, Page};
use sva_os::frame::Kind;
use sva_os::mmu::Rights;

type Predicted = Result<Answer, Violation>;

impl World {
    /// Makes `cpu` call; [`effect`](Self::effect) then says what must be seen.
    pub(crate) fn call(&mut self, cpu: u32, call: &Call) {
        self.effect = Effect::default();
        self.has_dropped = false;
        let answer = self.answer(count(cpu), call);
        self.effect.answer = Some(answer.into());
    }

    fn answer(&mut self, cpu: usize, call: &Call) -> Predicted {
        match *call {
            Call::DeclareTable(frame, level) => self.declare_table(frame, level),
            Call::RemoveTable(frame) => self.remove_table(frame),
            Call::DeclareRoot(frame) => self.declare(frame, Kind::Root),
            Call::RemoveRoot(frame) => self.remove_root(frame),
            Call::Map(table, index, frame, rights) => self.map(table, index, frame, rights),
            Call::Unmap(table, index) => self.unmap(table, index).map(Answer::Leaf),
            Call::Protect(table, index, rights) => self.protect(table, index, rights),
            Call::Replace(table, index, frame, rights) => self.replace(table, index, frame, rights),
            Call::TakeAccessedDirty(table, index) => {
                let (frame, rights) = self.leaf_at(table, index)?;
                self.effect.slots.insert((table, index), History::Cleared);
                Ok(Answer::Leaf(Seen::user(frame, rights)))
            }
            Call::MapBatch(table, first, ref leaves) => {
                let leaves = leaves.iter().flat_map(|(frame, rights, times)| {
                    core::iter::repeat_n((*frame, *rights), count(*times))
                });
                self.batch(table, first, leaves, |world, index, (frame, rights)| {
                    world.map(table, index, frame, rights).map(|_| None)
                })
            }
            Call::UnmapBatch(table, first, length) => {
                self.batch(table, first, 0..length, |world, index, _| world.unmap(table, index).map(Some))
            }
            Call::ProtectBatch(table, first, ref rights) => {
                self.batch(table, first, rights.iter(), |world, index, rights| {
                    world.protect(table, index, *rights).map(|_| None)
                })
            }
            Call::Link(parent, index, table) => self.link(parent, index, table),
            Call::Unlink(parent, index) => self.unlink(parent, index).map(Answer::Table),
            Call::LoadRoot(root) => self.load_root(cpu, root),
            Call::Translate(root, page) => self.translate(root, page),
            Call::ReadEntry(table, index) => self.read_entry(table, index),
            Call::Retype(frame, kind) => self.retype(frame, kind),
            Call::ReadBytes(frame, offset, length) => {
                self.check_bytes(frame, offset, u64::from(length), 0)?;
                let bytes = self.bytes.get(&frame);
                let byte = |at| bytes.and_then(|bytes| bytes.get(&at)).copied().unwrap_or(0);
                Ok(Answer::Bytes((offset..offset + length).map(byte).collect()))
            }
            Call::WriteBytes(frame, offset, ref bytes) => {
                self.check_bytes(frame, offset, bytes.len().try_into().expect("64 bits"), 1)?;
                bytes.iter().zip(offset..).for_each(|(byte, at)| self.write_byte(frame, at, *byte));
                Ok(Answer::Done)
            }
            Call::Flush | Call::FlushPage(_) | Call::FlushRange(_) | Call::FlushAll => {
                self.effect.flushed = true;
                Ok(Answer::Done)
            }
            Call::GrantMemory(frames) => self.take_all(frames, Kind::Heap),
            Call::PagesNew(frames) => {
                let answer = self.take_all(frames, Kind::Pages)?;
                self.pages.insert(frames.first(), frames);
                Ok(answer)
            }
            Call::PagesWrite(first, offset, byte) => Ok(self.write_page(first, offset, byte)),
            Call::PagesDrop(first) => {
                let frames = self.pages.remove(&first);
                frames.iter().flat_map(|frames| frames.iter()).for_each(|frame| {
                    self.become_kind(frame, Kind::Free);
                });
                Ok(Answer::Done)
            }
            _ => self.answer_space(cpu, call),
        }
    }

    /// A table of leaves.
    fn check_leaf_table(&self, table: Frame) -> Result<(), Violation> {
        match self.kind(table) {
            Kind::Table1 => Ok(()),
            Kind::None => Err(Violation::NoSuchFrame(table)),
            Kind::Root | Kind::Table2 | Kind::Table3 => Err(Violation::WrongLevel(table)),
            _ => Err(Violation::NotATable(table)),
        }
    }

    fn check_leaf_slot(&self, table: Frame, index: u32) -> Result<(), Violation> {
        self.check_leaf_table(table)?;
        if index < self.shape.entries() { Ok(()) } else { Err(Violation::NoSuchEntry(index)) }
    }

    /// A frame that may get one more leaf with these rights.
    fn check_mappable(&self, frame: Frame, rights: Rights) -> Result<(), Violation> {
        match self.kind(frame) {
            Kind::UserData => self.check_room(frame, 1, u32::from(rights.write())),
            Kind::None => Err(Violation::NoSuchFrame(frame)),
            _ => Err(Violation::NotMappable(frame)),
        }
    }

    fn leaf_at(&self, table: Frame, index: u32) -> Result<(Frame, Rights), Violation> {
        self.check_leaf_slot(table, index)?;
        match self.item(table, index) {
            Some(Item::Leaf(frame, rights)) => Ok((frame, rights)),
            _ => Err(Violation::EntryEmpty(index)),
        }
    }

    fn set(&mut self, table: Frame, index: u32, item: Option<Item>, history: History) {
        let entries = self.tables.get_mut(&table).expect("a table");
        match item {
            Some(item) => entries.insert(index, item),
            None => entries.remove(&index),
        };
        self.effect.slots.insert((table, index), history);
    }

    pub(crate) fn declare_table(&mut self, frame: Frame, level: u8) -> Predicted {
        let below = [Kind::Table1, Kind::Table2];
        let kind = usize::from(level).checked_sub(1).filter(|_| level < self.shape.levels);
        let kind = kind.and_then(|n| below.get(n)).ok_or(Violation::NoSuchLevel(level.into()))?;
        self.declare(frame, *kind)
    }

    pub(crate) fn declare(&mut self, frame: Frame, kind: Kind) -> Predicted {
        match self.kind(frame) {
            Kind::Free => {
                self.become_kind(frame, kind);
                Ok(Answer::Done)
            }
            Kind::None => Err(Violation::NoSuchFrame(frame)),
            _ => Err(Violation::NotFree(frame)),
        }
    }

    pub(crate) fn remove_table(&mut self, frame: Frame) -> Predicted {
        match self.kind(frame) {
            Kind::Table1 | Kind::Table2 | Kind::Table3 => {}
            Kind::None => return Err(Violation::NoSuchFrame(frame)),
            Kind::Root => return Err(Violation::WrongLevel(frame)),
            _ => return Err(Violation::NotATable(frame)),
        }
        if self.parents.contains_key(&frame) {
            return Err(Violation::TableLinked(frame));
        }
        if self.present(frame) != 0 {
            return Err(Violation::TableNotEmpty(frame));
        }
        self.become_kind(frame, Kind::Free);
        Ok(Answer::Done)
    }

    pub(crate) fn remove_root(&mut self, frame: Frame) -> Predicted {
        match self.kind(frame) {
            Kind::Root if self.sealed.contains(&frame) => return Err(Violation::FrameSealed(frame)),
            Kind::Root => {}
            Kind::None => return Err(Violation::NoSuchFrame(frame)),
            _ => return Err(Violation::NotARoot(frame)),
        }
        if self.loads(frame) != 0 {
            return Err(Violation::RootInUse(frame));
        }
        if self.present(frame) != 0 {
            return Err(Violation::RootNotEmpty(frame));
        }
        self.become_kind(frame, Kind::Free);
        Ok(Answer::Done)
    }

    pub(crate) fn map(&mut self, table: Frame, index: u32, frame: Frame, rights: Rights) -> Predicted {
        self.check_leaf_slot(table, index)?;
        self.check_mappable(frame, rights)?;
        if self.item(table, index).is_some() {
            return Err(Violation::EntryPresent(index));
        }
        let rights = self.shape.effective(rights);
        self.gain(frame, rights);
        self.set(table, index, Some(Item::Leaf(frame, rights)), History::Cleared);
        Ok(Answer::Done)
    }

    pub(crate) fn unmap(&mut self, table: Frame, index: u32) -> Result<Seen, Violation> {
        let (frame, rights) = self.leaf_at(table, index)?;
        self.set(table, index, None, History::Cleared);
        self.lose(frame, rights);
        Ok(Seen::user(frame, rights))
    }

    pub(crate) fn protect(&mut self, table: Frame, index: u32, rights: Rights) -> Predicted {
        let (frame, old) = self.leaf_at(table, index)?;
        if rights.write() && !old.write() {
            self.check_room(frame, 0, 1)?;
        }
        let rights = self.shape.effective(rights);
        self.gain(frame, rights);
        let dropped = self.dropped.clone();
        let stamped = self.effect.stamped.clone();
        self.lose(frame, old);
        if rights.write() || !old.write() {
            // Nothing was taken away that the frame's kind depends on.
            (self.dropped, self.effect.stamped) = (dropped, stamped);
        }
        self.set(table, index, Some(Item::Leaf(frame, rights)), History::Kept);
        Ok(Answer::Leaf(Seen::user(frame, old)))
    }

    pub(crate) fn replace(&mut self, table: Frame, index: u32, frame: Frame, rights: Rights) -> Predicted {
        self.check_leaf_slot(table, index)?;
        // For a moment both are counted.
        self.check_mappable(frame, rights)?;
        let (old_frame, old) = self.leaf_at(table, index)?;
        let rights = self.shape.effective(rights);
        self.gain(frame, rights);
        self.lose(old_frame, old);
        self.set(table, index, Some(Item::Leaf(frame, rights)), History::Cleared);
        Ok(Answer::Leaf(Seen::user(old_frame, old)))
    }

    /// A batch looks at the table first, then at one element after the other, and ends with the
    /// first that is refused.
    fn batch<T>(
        &mut self,
        table: Frame,
        first: u32,
        elements: impl Iterator<Item = T>,
        mut step: impl FnMut(&mut Self, u32, T) -> Result<Option<Seen>, Violation>,
    ) -> Predicted {
        let (mut done, mut leaves) = (0, Vec::new());
        if let Err(violation) = self.check_leaf_table(table) {
            return Ok(Answer::Progress(done, Some(violation), leaves));
        }
        for element in elements {
            match step(self, first.wrapping_add(done), element) {
                Ok(leaf) => leaves.extend(leaf),
                Err(violation) => return Ok(Answer::Progress(done, Some(violation), leaves)),
            }
            done += 1;
        }
        Ok(Answer::Progress(done, None, leaves))
    }

    /// The level of a table that links others, after a look at the index.
    fn check_parent_slot(&self, parent: Frame, index: u32) -> Result<u8, Violation> {
        let level = match self.kind(parent) {
            Kind::Root if self.sealed.contains(&parent) => return Err(Violation::FrameSealed(parent)),
            Kind::Root => self.shape.levels,
            Kind::Table2 => 2,
            Kind::Table3 => 3,
            Kind::Table1 => return Err(Violation::WrongLevel(parent)),
            Kind::None => return Err(Violation::NoSuchFrame(parent)),
            _ => return Err(Violation::NotATable(parent)),
        };
        if index >= self.shape.entries_at(level) {
            Err(Violation::NoSuchEntry(index))
        } else if level == self.shape.levels && !self.is_user_slot(index) {
            Err(Violation::KernelEntry(index))
        } else {
            Ok(level)
        }
    }

    pub(crate) fn link(&mut self, parent: Frame, index: u32, table: Frame) -> Predicted {
        let level = self.check_parent_slot(parent, index)?;
        match (self.kind(table), self.level(table)) {
            (Kind::None, _) => return Err(Violation::NoSuchFrame(table)),
            (_, Some(found)) if found == level - 1 => {}
            (_, Some(_)) => return Err(Violation::WrongLevel(table)),
            (_, None) => return Err(Violation::NotATable(table)),
        }
        if self.parents.contains_key(&table) {
            return Err(Violation::TableLinked(table));
        }
        if self.item(parent, index).is_some() {
            return Err(Violation::EntryPresent(index));
        }
        self.parents.insert(table, (parent, index));
        self.effect.stamped.insert(table);
        self.effect.flushed |= self.is_loaded_register(parent);
        self.set(parent, index, Some(Item::Table(table)), History::Cleared);
        Ok(Answer::Done)
    }

    pub(crate) fn unlink(&mut self, parent: Frame, index: u32) -> Result<Frame, Violation> {
        self.check_parent_slot(parent, index)?;
        let Some(Item::Table(table)) = self.item(parent, index) else {
            return Err(Violation::EntryEmpty(index));
        };
        self.parents.remove(&table);
        self.set(parent, index, None, History::Cleared);
        self.note_drop(table);
        self.effect.flushed |= self.is_loaded_register(parent);
        Ok(table)
    }

    /// Whether the entries of `root` are in some CPU's registers.
    fn is_loaded_register(&self, root: Frame) -> bool {
        self.shape.pae && self.loads(root) != 0
    }

    pub(crate) fn load_root(&mut self, cpu: usize, root: Frame) -> Predicted {
        self.check_root(root)?;
        self.cr3[cpu] = root;
        self.effect.flushed = true;
        Ok(Answer::Done)
    }

    fn check_root(&self, root: Frame) -> Result<(), Violation> {
        match self.kind(root) {
            Kind::Root => Ok(()),
            Kind::None => Err(Violation::NoSuchFrame(root)),
            _ => Err(Violation::NotARoot(root)),
        }
    }

    pub(crate) fn translate(&self, root: Frame, page: Page) -> Predicted {
        self.check_root(root)?;
        let leaf = if self.is_user_page(page) { self.user_leaf(root, page) } else { self.kernel_leaf(page) };
        Ok(leaf.map_or(Answer::NoLeaf, Answer::Leaf))
    }

    pub(crate) fn read_entry(&self, table: Frame, index: u32) -> Predicted {
        let level = match (self.kind(table), self.level(table)) {
            (Kind::None, _) => return Err(Violation::NoSuchFrame(table)),
            (Kind::Root, _) if self.sealed.contains(&table) => return Err(Violation::FrameSealed(table)),
            (_, Some(level)) => level,
            (_, None) => return Err(Violation::NotATable(table)),
        };
        if index >= self.shape.entries_at(level) {
            return Err(Violation::NoSuchEntry(index));
        }
        if level == self.shape.levels && !self.is_user_slot(index) {
            let kernel = self.start.place.first_page() >> self.shape.span_bits(level);
            let table = Answer::Table(self.first_kernel_table());
            return Ok(if index == kernel { table } else { Answer::Empty });
        }
        Ok(match self.item(table, index) {
            None => Answer::Empty,
            Some(Item::Table(child)) => Answer::Table(child),
            Some(Item::Leaf(frame, rights)) => Answer::Leaf(Seen::user(frame, rights)),
        })
    }

    fn retype(&mut self, frame: Frame, kind: Kind) -> Predicted {
        if !matches!(kind, Kind::Free | Kind::UserData | Kind::KernelData | Kind::Dma) {
            return Err(Violation::KindNotOffered(kind as u32));
        }
        match self.kind(frame) {
            Kind::Free | Kind::UserData | Kind::KernelData => {}
            Kind::None => return Err(Violation::NoSuchFrame(frame)),
            Kind::Dma => return Err(Violation::FrameIsDma(frame)),
            _ if self.sealed.contains(&frame) => return Err(Violation::FrameSealed(frame)),
            _ => return Err(Violation::NotRetypable(frame)),
        }
        if self.counts(frame) != (0, 0) {
            return Err(Violation::FrameInUse(frame));
        }
        self.become_kind(frame, kind);
        Ok(Answer::Done)
    }

    fn check_bytes(&self, frame: Frame, offset: u32, length: u64, writable: u32) -> Result<(), Violation> {
        if u64::from(offset) + length > u64::from(FRAME_BYTES) {
            return Err(Violation::RangeTooLong(offset));
        }
        match self.kind(frame) {
            Kind::UserData | Kind::KernelData | Kind::Dma => self.check_room(frame, 1, writable),
            Kind::None => Err(Violation::NoSuchFrame(frame)),
            _ => Err(Violation::NoBytes(frame)),
        }
    }

    /// A byte is stored, by a call or by a program.
    pub(crate) fn write_byte(&mut self, frame: Frame, at: u32, byte: u8) {
        let bytes = self.bytes.entry(frame).or_default();
        if byte == 0 {
            bytes.remove(&at);
        } else {
            bytes.insert(at, byte);
        }
        self.effect.written.insert(frame);
    }

    fn take_all(&mut self, frames: FrameRange, kind: Kind) -> Predicted {
        if frames.is_empty() {
            return Err(Violation::EmptyRange(frames.first().number()));
        }
        for frame in frames.iter() {
            match self.kind(frame) {
                Kind::Free => {}
                Kind::None => return Err(Violation::NoSuchFrame(frame)),
                _ => return Err(Violation::NotFree(frame)),
            }
        }
        for frame in frames.iter() {
            self.become_kind(frame, kind);
            if kind == Kind::Heap {
                self.sealed.insert(frame);
            }
        }
        Ok(Answer::Done)
    }

    /// Answers what stood in the byte.
    fn write_page(&mut self, first: Frame, offset: u32, byte: u8) -> Answer {
        let Some(frames) = self.pages.get(&first) else { return Answer::NoLeaf };
        let offset = offset % (frames.count() * FRAME_BYTES);
        let frame = frames.get(offset / FRAME_BYTES).expect("inside the range");
        let at = offset % FRAME_BYTES;
        let old = self.bytes.get(&frame).and_then(|bytes| bytes.get(&at)).copied().unwrap_or(0);
        self.write_byte(frame, at, byte);
        Answer::Number(old.into())
    }
}
