//! Every call that names a frame by its number, in every place that takes one.

use crate::stage::{Machine, Stage};
use sva_os::Violation;
use sva_os::address::{Frame, FrameRange};
use sva_os::frame::Kind;
use sva_os::mmu::{KernelPages, PagingMode, Rights};

/// What a call makes of the frame that it is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// To become a table or a root.
    Declared,
    /// A table, to be removed.
    RemovedTable,
    /// A root, to be removed.
    RemovedRoot,
    /// To become of another kind.
    Retyped,
    /// A table of leaves.
    Table,
    /// Where a leaf leads.
    Target,
    /// A table or root that links others.
    Parent,
    /// A table that is linked.
    Child,
    /// A root, to be loaded or walked.
    Root,
    /// A table or root, to be read.
    Read,
    /// Bytes, to be copied.
    Bytes,
    /// Memory for Rust.
    Lent,
}

/// A call, where it takes the frame, and its answer.
pub(crate) type Answer = (&'static str, Place, Result<(), Violation>);

/// Tries every call with `frame`; the other arguments are sound. None may change anything but with `Ok`.
#[track_caller]
pub(crate) fn by_number<P: PagingMode>(stage: &Stage<P>, frame: Frame) -> Vec<Answer> {
    let table = stage.leaf_table();
    let data = stage.data;
    let empty = Stage::<P>::INDEX + 1;
    let range = FrameRange::new(frame, 1).expect("one frame");
    let mut answers = Vec::new();
    let mut call = |name, place, call: &dyn Fn(&Machine<P>) -> Result<(), Violation>| {
        let before = stage.sva.machine().digest();
        let answer = call(&stage.sva);
        let same = stage.sva.machine().digest() == before;
        assert!(answer.is_ok() || same, "{name}({frame}) was refused and changed something");
        answers.push((name, place, answer));
    };
    for level in 1..P::LEVELS {
        call("declare_table", Place::Declared, &|sva| sva.declare_table(frame, level));
    }
    call("declare_root", Place::Declared, &|sva| sva.declare_root(frame));
    call("remove_table", Place::RemovedTable, &|sva| sva.remove_table(frame));
    call("remove_root", Place::RemovedRoot, &|sva| sva.remove_root(frame));
    for kind in [Kind::Free, Kind::UserData, Kind::KernelData, Kind::Dma] {
        call("retype", Place::Retyped, &|sva| sva.retype(frame, kind));
    }
    for rights in Rights::ALL {
        call("map", Place::Table, &|sva| sva.map(frame, 0, data, rights));
        call("replace", Place::Table, &|sva| sva.replace(frame, 0, data, rights).map(drop));
        call("protect", Place::Table, &|sva| sva.protect(frame, 0, rights).map(drop));
        call("map_batch", Place::Table, &|sva| {
            sva.map_batch(frame, 0, &[(data, rights)]).complete().map(drop)
        });
        call("protect_batch", Place::Table, &|sva| {
            sva.protect_batch(frame, 0, &[rights]).complete().map(drop)
        });
        call("map", Place::Target, &|sva| sva.map(table, empty, frame, rights));
        call("replace", Place::Target, &|sva| sva.replace(table, Stage::<P>::INDEX, frame, rights).map(drop));
        call("map_batch", Place::Target, &|sva| {
            sva.map_batch(table, empty, &[(frame, rights)]).complete().map(drop)
        });
    }
    call("unmap", Place::Table, &|sva| sva.unmap(frame, 0).map(drop));
    call("unmap_batch", Place::Table, &|sva| sva.unmap_batch(frame, 0, &mut [None]).complete().map(drop));
    call("take_accessed_dirty", Place::Table, &|sva| sva.take_accessed_dirty(frame, 0).map(drop));
    // The entries of the user window that the stage does not use.
    let index = stage.root_index() + 1;
    let table = stage.tables.first().copied().expect("a table below the root");
    call("link", Place::Parent, &|sva| sva.link(frame, index, table));
    call("unlink", Place::Parent, &|sva| sva.unlink(frame, index).map(drop));
    call("link", Place::Child, &|sva| sva.link(stage.root, index, frame));
    call("load_root", Place::Root, &|sva| sva.load_root(frame));
    call("translate", Place::Root, &|sva| sva.translate(frame, stage.page).map(drop));
    call("read_entry", Place::Read, &|sva| sva.read_entry(frame, 0).map(drop));
    call("read_bytes", Place::Bytes, &|sva| sva.read_bytes(frame, 0, &mut [0; 8]));
    call("write_bytes", Place::Bytes, &|sva| sva.write_bytes(frame, 0, &[0xff; 8]));
    call("KernelPages::new", Place::Lent, &|sva| KernelPages::new(sva, range).map(drop));
    call("grant_memory", Place::Lent, &|sva| sva.grant_memory(range).map(drop));
    answers
}

/// What a call must answer where the frame is none of what any call takes.
pub(crate) fn to_a_stranger(place: Place, frame: Frame) -> Violation {
    match place {
        Place::Declared | Place::Lent => Violation::NotFree(frame),
        Place::RemovedTable | Place::Table | Place::Parent | Place::Child | Place::Read => {
            Violation::NotATable(frame)
        }
        Place::RemovedRoot | Place::Root => Violation::NotARoot(frame),
        Place::Retyped => Violation::NotRetypable(frame),
        Place::Target => Violation::NotMappable(frame),
        Place::Bytes => Violation::NoBytes(frame),
    }
}

/// Every call that names `frame` by number is refused as `expected` says.
#[track_caller]
pub(crate) fn refuse_all<P: PagingMode>(
    stage: &Stage<P>,
    frame: Frame,
    expected: impl Fn(Place, Frame) -> Violation,
) {
    for (name, place, answer) in by_number(stage, frame) {
        assert_eq!(answer, Err(expected(place, frame)), "{name} with {frame} as {place:?}");
    }
    stage.sound();
}

/// As [`to_a_stranger`], of a frame that was typed at boot.
pub(crate) fn to_a_sealed_frame(place: Place, frame: Frame) -> Violation {
    if place == Place::Retyped { Violation::FrameSealed(frame) } else { to_a_stranger(place, frame) }
}
