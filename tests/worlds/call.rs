//! Every intrinsic as a value, so that a search can list, perform and print it.

use crate::small::{World, frame, page};
use sva_os::address::VirtAddr;
use sva_os::address::{FrameRange, PageRange};
use sva_os::context::{StackId, ThreadId, UserContext};
use sva_os::frame::Kind;
use sva_os::machine::Machine;
use sva_os::mmu::{Entry, KernelPages, Leaf, PagingMode, Rights};
use sva_os::{Progress, Violation};

/// One call. Frames and pages are numbers, tables too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Call {
    DeclareTable(u32, u8),
    RemoveTable(u32),
    DeclareRoot(u32),
    RemoveRoot(u32),
    Retype(u32, Kind),
    Map(u32, u32, u32, Rights),
    Unmap(u32, u32),
    Protect(u32, u32, Rights),
    Replace(u32, u32, u32, Rights),
    TakeAccessedDirty(u32, u32),
    /// Two leaves from this entry on.
    MapBatch(u32, u32, [u32; 2]),
    UnmapBatch(u32, u32),
    ProtectBatch(u32, u32, Rights),
    Link(u32, u32, u32),
    Unlink(u32, u32),
    LoadRoot(u32),
    Flush,
    FlushPage(u32),
    FlushRange(u32, u32),
    FlushAll,
    WriteBytes(u32, u32),
    ReadBytes(u32, u32),
    /// `KernelPages` of one frame, given back at once.
    Lend(u32),
    Translate(u32, u32),
    ReadEntry(u32, u32),
    /// A stack of two frames.
    DeclareStack([u32; 2]),
    ReleaseStack(StackId),
    NewThread(StackId, Option<u32>),
    Swap(ThreadId),
    /// The thread that runs here ends.
    End(Option<ThreadId>),
    /// A program that calls the kernel at once.
    Run(u32),
    /// No call: the CPU's MMU looks a page up for a store, and some time later remembers it.
    Touch(u32),
}

/// What a call answered, but for the CPU's notes of use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Answer {
    Done,
    /// A leaf that is, or was, there: its frame, whether it allows writing.
    Leaf(u32, bool),
    /// A table that is, or was, there.
    Table(u32),
    /// Nothing is there.
    Empty,
    /// A slot of the thread table.
    Slot(u32),
    /// So many elements of a batch, and perhaps the name of a refusal.
    Batch(u32, Option<&'static str>),
    /// The name of a refusal.
    Refused(&'static str),
}

impl Answer {
    /// Whether the call was refused, and so must have changed nothing.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(self, Answer::Refused(_) | Answer::Batch(0, Some(_)))
    }
}

/// What is written by [`Call::WriteBytes`].
pub(crate) const BYTES: [u8; 8] = *b"\x67\x30\0\0\x67\x30\0\0";

fn done(result: Result<(), Violation>) -> Answer {
    result.map_or_else(refused, |()| Answer::Done)
}

fn refused(violation: Violation) -> Answer {
    Answer::Refused(violation.name())
}

fn leaf(result: Result<Leaf, Violation>) -> Answer {
    result.map_or_else(refused, |leaf| Answer::Leaf(leaf.frame().number(), leaf.write()))
}

fn slot(result: Result<u32, Violation>) -> Answer {
    result.map_or_else(refused, Answer::Slot)
}

fn batch(progress: Progress) -> Answer {
    Answer::Batch(progress.done, progress.refused.map(Violation::name))
}

impl Call {
    /// Whether it changes nothing even when it succeeds.
    pub(crate) fn only_looks(self) -> bool {
        matches!(self, Call::ReadBytes(..) | Call::Translate(..) | Call::ReadEntry(..))
    }

    /// Performs it in the role that this thread has.
    pub(crate) fn perform<P: PagingMode>(self, sva: &World<P>) -> Answer {
        match self {
            Call::DeclareTable(table, level) => done(sva.declare_table(frame(table), level)),
            Call::RemoveTable(table) => done(sva.remove_table(frame(table))),
            Call::DeclareRoot(root) => done(sva.declare_root(frame(root))),
            Call::RemoveRoot(root) => done(sva.remove_root(frame(root))),
            Call::Retype(target, kind) => done(sva.retype(frame(target), kind)),
            Call::Map(table, index, target, rights) => {
                done(sva.map(frame(table), index, frame(target), rights))
            }
            Call::Unmap(table, index) => leaf(sva.unmap(frame(table), index)),
            Call::Protect(table, index, rights) => leaf(sva.protect(frame(table), index, rights)),
            Call::Replace(table, index, target, rights) => {
                leaf(sva.replace(frame(table), index, frame(target), rights))
            }
            Call::TakeAccessedDirty(table, index) => leaf(sva.take_accessed_dirty(frame(table), index)),
            Call::MapBatch(table, first, targets) => {
                let leaves = targets.map(|target| (frame(target), Rights::ReadWrite));
                batch(sva.map_batch(frame(table), first, &leaves))
            }
            Call::UnmapBatch(table, first) => batch(sva.unmap_batch(frame(table), first, &mut [None; 2])),
            Call::ProtectBatch(table, first, rights) => {
                batch(sva.protect_batch(frame(table), first, &[rights; 2]))
            }
            Call::Link(parent, index, table) => done(sva.link(frame(parent), index, frame(table))),
            Call::Unlink(parent, index) => {
                sva.unlink(frame(parent), index).map_or_else(refused, |table| Answer::Table(table.number()))
            }
            Call::LoadRoot(root) => done(sva.load_root(frame(root))),
            Call::Flush => done({
                sva.flush();
                Ok(())
            }),
            Call::FlushPage(number) => done({
                sva.flush_page(page(number));
                Ok(())
            }),
            Call::FlushRange(first, count) => done({
                sva.flush_range(PageRange::new(page(first), count).expect("pages below 4 GiB"));
                Ok(())
            }),
            Call::FlushAll => done({
                sva.flush_all();
                Ok(())
            }),
            Call::WriteBytes(target, offset) => done(sva.write_bytes(frame(target), offset, &BYTES)),
            Call::ReadBytes(target, offset) => done(sva.read_bytes(frame(target), offset, &mut [0; 8])),
            Call::Lend(target) => {
                let frames = FrameRange::new(frame(target), 1).expect("a frame below 4 GiB");
                done(KernelPages::new(sva, frames).map(drop))
            }
            Call::Translate(root, number) => match sva.translate(frame(root), page(number)) {
                Ok(Some(found)) => leaf(Ok(found)),
                Ok(None) => Answer::Empty,
                Err(violation) => refused(violation),
            },
            // Which slot it gets is no caller's business.
            Call::DeclareStack(frames) => done(sva.declare_stack(&frames.map(frame)).map(drop)),
            Call::ReleaseStack(stack) => done(sva.release_stack(stack).map(drop)),
            Call::NewThread(stack, root) => {
                slot(sva.new_thread(stack, root.map(frame), || None).map(ThreadId::number))
            }
            Call::Swap(thread) => done(sva.swap(thread)),
            Call::End(next) => {
                sva.end_thread(next);
                Answer::Done
            }
            Call::Run(root) => {
                let mut context = UserContext::new(VirtAddr::new(0), VirtAddr::new(0));
                done(sva.run(frame(root), &mut context).map(drop))
            }
            Call::Touch(number) => {
                let (machine, cpu) = (sva.machine(), sva.machine().cpu());
                let walks = machine.walks(cpu, page(number));
                machine.pause();
                for walk in walks {
                    machine.fill(cpu, &walk.for_write());
                }
                Answer::Done
            }
            Call::ReadEntry(table, index) => match sva.read_entry(frame(table), index) {
                Ok(Entry::Leaf(found)) => leaf(Ok(found)),
                Ok(Entry::Table(table)) => Answer::Table(table.number()),
                Ok(Entry::Empty | Entry::Illegal) => Answer::Empty,
                Err(violation) => refused(violation),
            },
        }
    }
}
