//! What a step of the model test is made of: one call of the library by some CPU, and what the
//! hardware does around it.

use sva_os::Violation;
use sva_os::address::{Frame, FrameRange, Page, PageRange};
use sva_os::frame::Kind;
use sva_os::mmu::{Half, Rights};

/// One call. Frames, indices and the rest are whatever a kernel might say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    DeclareTable(Frame, u8),
    RemoveTable(Frame),
    DeclareRoot(Frame),
    RemoveRoot(Frame),
    /// Table, index, frame.
    Map(Frame, u32, Frame, Rights),
    Unmap(Frame, u32),
    Protect(Frame, u32, Rights),
    Replace(Frame, u32, Frame, Rights),
    TakeAccessedDirty(Frame, u32),
    /// Table, first index; each frame with rights, so many times over.
    MapBatch(Frame, u32, Vec<(Frame, Rights, u32)>),
    /// Table, first index, how many.
    UnmapBatch(Frame, u32, u32),
    ProtectBatch(Frame, u32, Vec<Rights>),
    /// Parent, index, table.
    Link(Frame, u32, Frame),
    Unlink(Frame, u32),
    LoadRoot(Frame),
    Translate(Frame, Page),
    ReadEntry(Frame, u32),
    Retype(Frame, Kind),
    /// Frame, offset, how many.
    ReadBytes(Frame, u32, u32),
    WriteBytes(Frame, u32, Vec<u8>),
    Flush,
    FlushPage(Page),
    FlushRange(PageRange),
    FlushAll,
    GrantMemory(FrameRange),
    PagesNew(FrameRange),
    /// Writes one byte through the borrow of the pages that begin at the frame, if there are any.
    PagesWrite(Frame, u32, u8),
    /// Drops the pages that begin at the frame, if there are any.
    PagesDrop(Frame),
    SpaceNew(Frame),
    /// Root, page, frame, and the frames that tables may be made of, last first.
    SpaceMap(Frame, Page, Frame, Rights, Vec<Frame>),
    SpaceMapRange(Frame, Page, FrameRange, Rights, Vec<Frame>),
    SpaceUnmap(Frame, Page),
    SpaceUnmapRange(Frame, PageRange),
    SpaceProtect(Frame, Page, Rights),
    SpaceReplace(Frame, Page, Frame, Rights),
    SpaceTranslate(Frame, Page),
    SpaceLoad(Frame),
    SpaceTableCount(Frame),
    SpaceDestroy(Frame),
}

impl Call {
    /// The names of all intrinsics, as [`name`](Self::name) gives them.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Call::DeclareTable(..) => "declare_table",
            Call::RemoveTable(..) => "remove_table",
            Call::DeclareRoot(..) => "declare_root",
            Call::RemoveRoot(..) => "remove_root",
            Call::Map(..) => "map",
            Call::Unmap(..) => "unmap",
            Call::Protect(..) => "protect",
            Call::Replace(..) => "replace",
            Call::TakeAccessedDirty(..) => "take_accessed_dirty",
            Call::MapBatch(..) => "map_batch",
            Call::UnmapBatch(..) => "unmap_batch",
            Call::ProtectBatch(..) => "protect_batch",
            Call::Link(..) => "link",
            Call::Unlink(..) => "unlink",
            Call::LoadRoot(..) => "load_root",
            Call::Translate(..) => "translate",
            Call::ReadEntry(..) => "read_entry",
            Call::Retype(..) => "retype",
            Call::ReadBytes(..) => "read_bytes",
            Call::WriteBytes(..) => "write_bytes",
            Call::Flush => "flush",
            Call::FlushPage(..) => "flush_page",
            Call::FlushRange(..) => "flush_range",
            Call::FlushAll => "flush_all",
            Call::GrantMemory(..) => "grant_memory",
            Call::PagesNew(..) => "KernelPages::new",
            Call::PagesWrite(..) => "KernelPages::deref_mut",
            Call::PagesDrop(..) => "KernelPages::drop",
            Call::SpaceNew(..) => "AddressSpace::new",
            Call::SpaceMap(..) => "AddressSpace::map",
            Call::SpaceMapRange(..) => "AddressSpace::map_range",
            Call::SpaceUnmap(..) => "AddressSpace::unmap",
            Call::SpaceUnmapRange(..) => "AddressSpace::unmap_range",
            Call::SpaceProtect(..) => "AddressSpace::protect",
            Call::SpaceReplace(..) => "AddressSpace::replace",
            Call::SpaceTranslate(..) => "AddressSpace::translate",
            Call::SpaceLoad(..) => "AddressSpace::load",
            Call::SpaceTableCount(..) => "AddressSpace::table_count",
            Call::SpaceDestroy(..) => "AddressSpace::destroy",
        }
    }
}

/// A leaf as a call answers it, but for the CPU's notes of use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Seen {
    pub(crate) frame: Frame,
    pub(crate) rights: Rights,
    pub(crate) kernel: bool,
}

impl Seen {
    pub(crate) fn user(frame: Frame, rights: Rights) -> Self {
        Self { frame, rights, kernel: false }
    }

    pub(crate) fn of(leaf: &sva_os::mmu::Leaf) -> Self {
        Self { frame: leaf.frame(), rights: leaf.rights(), kernel: leaf.half() == Half::Kernel }
    }
}

/// What a call answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// `Ok(())`, or a call that cannot be refused.
    Done,
    Leaf(Seen),
    NoLeaf,
    Empty,
    Table(Frame),
    Bytes(Vec<u8>),
    Number(u32),
    /// How many elements are done, and why the next was refused. Leaves that were unmapped.
    Progress(u32, Option<Violation>, Vec<Seen>),
    /// Frames that the source of tables has left, in their order; then the answer proper.
    Left(Vec<Frame>, Box<Answer>),
    Refused(Violation),
}

impl Answer {
    /// Why the call, or the element of a batch at which it ended, was refused.
    pub(crate) fn refusal(&self) -> Option<Violation> {
        match self {
            Answer::Refused(violation) | Answer::Progress(_, Some(violation), _) => Some(*violation),
            Answer::Left(_, answer) => answer.refusal(),
            _ => None,
        }
    }

    /// Whether the call must have changed nothing at all.
    pub(crate) fn is_no_op(&self) -> bool {
        match self {
            Answer::Refused(_) | Answer::Progress(0, Some(_), _) => true,
            Answer::Left(_, answer) => answer.is_no_op(),
            _ => false,
        }
    }
}

impl From<Result<Answer, Violation>> for Answer {
    fn from(result: Result<Answer, Violation>) -> Self {
        result.unwrap_or_else(Answer::Refused)
    }
}

/// Which of the walks that a CPU could take for a page, and for a store or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    pub(crate) cpu: u32,
    pub(crate) page: Page,
    pub(crate) nth: usize,
    pub(crate) store: bool,
}

/// What hardware and user programs do between two calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// A walk, and its translation remembered.
    Fill(Way),
    /// A walk that notes its use and remembers nothing.
    Note(Way),
    /// A walk begins...
    Begin(Way),
    /// ...and the n-th of those under way ends, whatever happened meanwhile.
    Finish(usize),
    /// A CPU's TLB forgets its n-th entry.
    Evict(u32, usize),
    /// A CPU's paging-structure cache forgets its n-th entry.
    EvictStructure(u32, usize),
    /// A user program stores a byte at that offset of a page.
    Store(Way, u32, u8),
    /// The next requests to a CPU to take an interrupt are not heard.
    Defer(u32, u32),
    /// A quarter of the clock's circle goes by, and its hand is about to come round.
    Leap,
}

/// What another CPU and the MMUs do in the middle of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MidAct {
    Fill(Way),
    Begin(Way),
    /// The CPU, another than the one that calls, flushes itself.
    Flush(u32),
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) before: Vec<Act>,
    pub(crate) cpu: u32,
    /// Whether the kernel calls with interrupts on.
    pub(crate) interrupts: bool,
    pub(crate) call: Call,
    /// Happens just before the call's step of that number.
    pub(crate) during: Option<(u32, Vec<MidAct>)>,
}
