//! The kernel: makes the calls, and holds what they hand out.

use super::operation::{Answer, Call, Seen};
use crate::common::world::count;
use core::mem::ManuallyDrop;
use std::collections::BTreeMap;
use sva_os::address::Frame;
use sva_os::machine::Emulated;
use sva_os::mmu::{AddressSpace, Entry, FrameSource, KernelPages, Leaf, PagingMode};
use sva_os::{Progress, Sva, Violation};

/// Frames to make tables of, last first.
struct Pool(Vec<Frame>);

impl FrameSource for Pool {
    fn take(&mut self) -> Option<Frame> {
        self.0.pop()
    }

    fn give_back(&mut self, frame: Frame) {
        self.0.push(frame);
    }
}

pub(crate) struct Client<'s, P: PagingMode> {
    sva: &'s Sva<Emulated<P>>,
    // Never dropped but by a call: after a failure the library may be in any state.
    pages: BTreeMap<Frame, ManuallyDrop<KernelPages<'s, Emulated<P>>>>,
    spaces: BTreeMap<Frame, AddressSpace<'s, Emulated<P>>>,
    /// Accessed and dirty of the leaf that the last call answered.
    pub(crate) history: Option<(bool, bool)>,
}

impl<'s, P: PagingMode> Client<'s, P> {
    pub(crate) fn new(sva: &'s Sva<Emulated<P>>) -> Self {
        Self { sva, pages: BTreeMap::new(), spaces: BTreeMap::new(), history: None }
    }

    /// Makes the call and says what it answered.
    pub(crate) fn call(&mut self, call: &Call) -> Answer {
        self.history = None;
        let sva = self.sva;
        let done = |()| Answer::Done;
        let result = match *call {
            Call::DeclareTable(frame, level) => sva.declare_table(frame, level).map(done),
            Call::RemoveTable(frame) => sva.remove_table(frame).map(done),
            Call::DeclareRoot(frame) => sva.declare_root(frame).map(done),
            Call::RemoveRoot(frame) => sva.remove_root(frame).map(done),
            Call::Map(table, index, frame, rights) => sva.map(table, index, frame, rights).map(done),
            Call::Unmap(table, index) => sva.unmap(table, index).map(|leaf| self.leaf(leaf)),
            Call::Protect(table, index, rights) => {
                sva.protect(table, index, rights).map(|leaf| self.leaf(leaf))
            }
            Call::Replace(table, index, frame, rights) => {
                sva.replace(table, index, frame, rights).map(|leaf| self.leaf(leaf))
            }
            Call::TakeAccessedDirty(table, index) => {
                sva.take_accessed_dirty(table, index).map(|leaf| self.leaf(leaf))
            }
            Call::MapBatch(table, first, ref runs) => {
                let runs = runs.iter().flat_map(|(frame, rights, times)| {
                    core::iter::repeat_n((*frame, *rights), count(*times))
                });
                Ok(progress(sva.map_batch(table, first, &runs.collect::<Vec<_>>()), Vec::new()))
            }
            Call::UnmapBatch(table, first, length) => {
                let mut old = vec![None; count(length)];
                let done = sva.unmap_batch(table, first, &mut old);
                let leaves: Vec<_> = old.iter().flatten().map(Seen::of).collect();
                assert!(old.iter().take(leaves.len()).all(Option::is_some), "a place was passed over");
                Ok(progress(done, leaves))
            }
            Call::ProtectBatch(table, first, ref rights) => {
                Ok(progress(sva.protect_batch(table, first, rights), Vec::new()))
            }
            Call::Link(parent, index, table) => sva.link(parent, index, table).map(done),
            Call::Unlink(parent, index) => sva.unlink(parent, index).map(Answer::Table),
            Call::LoadRoot(root) => sva.load_root(root).map(done),
            Call::Translate(root, page) => sva.translate(root, page).map(|leaf| self.maybe(leaf)),
            Call::ReadEntry(table, index) => sva.read_entry(table, index).map(|entry| match entry {
                Entry::Empty => Answer::Empty,
                Entry::Table(table) => Answer::Table(table),
                Entry::Leaf(leaf) => self.leaf(leaf),
                Entry::Illegal => panic!("entry {index} of {table} is illegal"),
            }),
            Call::Retype(frame, kind) => sva.retype(frame, kind).map(done),
            Call::ReadBytes(frame, offset, length) => {
                let mut bytes = vec![0xa5; count(length)];
                sva.read_bytes(frame, offset, &mut bytes).map(|()| Answer::Bytes(bytes))
            }
            Call::WriteBytes(frame, offset, ref bytes) => sva.write_bytes(frame, offset, bytes).map(done),
            Call::Flush => {
                sva.flush();
                Ok(Answer::Done)
            }
            Call::FlushPage(page) => {
                sva.flush_page(page);
                Ok(Answer::Done)
            }
            Call::FlushRange(pages) => {
                sva.flush_range(pages);
                Ok(Answer::Done)
            }
            Call::FlushAll => {
                sva.flush_all();
                Ok(Answer::Done)
            }
            Call::GrantMemory(frames) => sva.grant_memory(frames).map(|memory| {
                assert_eq!(memory.len(), count(frames.count()) << 12, "as much as was asked for");
                Answer::Done
            }),
            Call::PagesNew(frames) => KernelPages::new(sva, frames).map(|pages| {
                assert_eq!(pages.frames(), frames);
                self.pages.insert(frames.first(), ManuallyDrop::new(pages));
                Answer::Done
            }),
            Call::PagesWrite(first, offset, byte) => {
                Ok(self.pages.get_mut(&first).map_or(Answer::NoLeaf, |pages| {
                    let at = count(offset) % pages.len();
                    Answer::Number(core::mem::replace(&mut pages[at], byte).into())
                }))
            }
            Call::PagesDrop(first) => {
                drop(self.pages.remove(&first).map(ManuallyDrop::into_inner));
                Ok(Answer::Done)
            }
            Call::SpaceNew(root) => AddressSpace::new(sva, root).map(|space| {
                assert_eq!(space.root(), root);
                self.spaces.insert(root, space);
                Answer::Done
            }),
            _ => self.call_space(call),
        };
        result.into()
    }

    fn call_space(&mut self, call: &Call) -> Result<Answer, Violation> {
        let root = match *call {
            Call::SpaceMap(root, ..)
            | Call::SpaceMapRange(root, ..)
            | Call::SpaceUnmap(root, _)
            | Call::SpaceUnmapRange(root, _)
            | Call::SpaceProtect(root, ..)
            | Call::SpaceReplace(root, ..)
            | Call::SpaceTranslate(root, _)
            | Call::SpaceLoad(root)
            | Call::SpaceTableCount(root)
            | Call::SpaceDestroy(root) => root,
            _ => unreachable!("{call:?} is not one of a space"),
        };
        let Some(space) = self.spaces.remove(&root) else { return Ok(Answer::NoLeaf) };
        let result = match *call {
            Call::SpaceMap(_, page, frame, rights, ref source) => {
                let mut pool = Pool(source.clone());
                let answer = space.map(page, frame, rights, &mut pool).map(|()| Answer::Done);
                Ok(Answer::Left(pool.0, Box::new(answer.into())))
            }
            Call::SpaceMapRange(_, first, frames, rights, ref source) => {
                let mut pool = Pool(source.clone());
                let answer = progress(space.map_range(first, frames, rights, &mut pool), Vec::new());
                Ok(Answer::Left(pool.0, Box::new(answer)))
            }
            Call::SpaceUnmap(_, page) => space.unmap(page).map(|leaf| self.leaf(leaf)),
            Call::SpaceUnmapRange(_, pages) => {
                let mut leaves = Vec::new();
                let done = space.unmap_range(pages, |page, leaf| {
                    assert!(pages.contains(page));
                    leaves.push(Seen::of(&leaf));
                });
                Ok(progress(done, leaves))
            }
            Call::SpaceProtect(_, page, rights) => space.protect(page, rights).map(|leaf| self.leaf(leaf)),
            Call::SpaceReplace(_, page, frame, rights) => {
                space.replace(page, frame, rights).map(|leaf| self.leaf(leaf))
            }
            Call::SpaceTranslate(_, page) => space.translate(page).map(|leaf| self.maybe(leaf)),
            Call::SpaceLoad(_) => space.load().map(|()| Answer::Done),
            Call::SpaceTableCount(_) => Ok(Answer::Number(space.table_count())),
            _ => return Ok(self.destroy(space)),
        };
        self.spaces.insert(root, space);
        result
    }

    fn destroy(&mut self, space: AddressSpace<'s, Emulated<P>>) -> Answer {
        let (mut pool, mut leaves) = (Pool(Vec::new()), Vec::new());
        let refused = match space.destroy(&mut pool, |leaf| leaves.push(Seen::of(&leaf))) {
            Ok(()) => None,
            Err((space, violation)) => {
                self.spaces.insert(space.root(), space);
                Some(violation)
            }
        };
        let done = u32::try_from(leaves.len()).expect("few leaves");
        Answer::Left(pool.0, Box::new(Answer::Progress(done, refused, leaves)))
    }

    fn leaf(&mut self, leaf: Leaf) -> Answer {
        self.history = Some((leaf.accessed(), leaf.dirty()));
        Answer::Leaf(Seen::of(&leaf))
    }

    fn maybe(&mut self, leaf: Option<Leaf>) -> Answer {
        leaf.map_or(Answer::NoLeaf, |leaf| self.leaf(leaf))
    }
}

fn progress(progress: Progress, leaves: Vec<Seen>) -> Answer {
    Answer::Progress(progress.done, progress.refused, leaves)
}
