//! Which calls a search tries: every intrinsic with every argument of a small domain, hostile
//! arguments among them.

use crate::call::Call;
use crate::recount::stage;
use crate::small::{KERNEL, TEXT, World};
use crate::view::entries;
use sva_os::frame::Kind;
use sva_os::mmu::{PagingMode, Rights};

/// How large the domain is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Domain {
    /// Free frames at the start.
    pub(crate) stage: u32,
    /// Pages, which are entries of a table of leaves, from 0 on.
    pub(crate) pages: u32,
    /// Kinds that `retype` is asked for; those that no retype leads to are asked for anyway.
    pub(crate) kinds: &'static [Kind],
    /// Rights that leaves are given.
    pub(crate) rights: &'static [Rights],
}

/// Calls that may succeed somewhere, and calls that never may.
pub(crate) struct Calls {
    pub(crate) sound: Vec<Call>,
    pub(crate) hostile: Vec<Call>,
}

/// Kinds that no retype leads to.
const KINDS_NOT_OFFERED: [Kind; 6] =
    [Kind::None, Kind::Table1, Kind::Root, Kind::Code, Kind::Heap, Kind::KernelTable];

impl Domain {
    /// Every call.
    pub(crate) fn calls<P: PagingMode>(&self, world: &World<P>) -> Calls {
        Calls { sound: self.sound(world), hostile: self.hostile(world) }
    }

    fn levels<P: PagingMode>() -> impl Iterator<Item = u8> {
        1..P::LEVELS
    }

    fn sound<P: PagingMode>(&self, world: &World<P>) -> Vec<Call> {
        let frames: Vec<u32> = stage(world).map(|frame| frame.number()).collect();
        let mut calls = vec![Call::Flush, Call::FlushAll, Call::LoadRoot(world.sealed_root().number())];
        calls.extend((0..self.pages).map(Call::FlushPage));
        calls.extend([Call::FlushRange(0, 0), Call::FlushRange(0, 100), Call::FlushPage(KERNEL)]);
        for &a in &frames {
            calls.extend([
                Call::RemoveTable(a),
                Call::DeclareRoot(a),
                Call::RemoveRoot(a),
                Call::LoadRoot(a),
            ]);
            calls.extend([Call::WriteBytes(a, 0), Call::ReadBytes(a, 0), Call::Lend(a), Call::Unlink(a, 0)]);
            calls.extend(Self::levels::<P>().map(|level| Call::DeclareTable(a, level)));
            calls.extend(self.kinds.iter().map(|kind| Call::Retype(a, *kind)));
            calls.extend([Call::UnmapBatch(a, 0), Call::ReadEntry(a, 0), Call::Translate(a, 0)]);
            calls.extend(self.rights.iter().map(|rights| Call::ProtectBatch(a, 0, *rights)));
            calls.extend(frames.iter().map(|b| Call::Link(a, 0, *b)));
            for index in 0..self.pages {
                calls.extend([Call::Unmap(a, index), Call::TakeAccessedDirty(a, index)]);
                for &rights in self.rights {
                    calls.push(Call::Protect(a, index, rights));
                    calls.extend(frames.iter().map(|b| Call::Map(a, index, *b, rights)));
                    calls.extend(frames.iter().map(|b| Call::Replace(a, index, *b, rights)));
                }
            }
            for &b in &frames {
                calls.extend(frames.iter().map(|c| Call::MapBatch(a, 0, [b, *c])));
            }
        }
        calls
    }

    fn hostile<P: PagingMode>(&self, world: &World<P>) -> Vec<Call> {
        let frames: Vec<u32> = stage(world).map(|frame| frame.number()).collect();
        let root = world.sealed_root().number();
        let past = world.machine().frames();
        let kernel_table = world.kernel_tables().first().number();
        // RAM that is never given out, text, frame table, clock, sealed root, kernel table, none.
        let foes = [0, TEXT, root - 2, root - 1, root, kernel_table, past, 0xf_ffff];
        let any = Rights::ReadWriteExecute;
        let root_entries = entries::<P>(P::LEVELS);
        let kernel_slot = root_entries / 4 * 3;
        let mut calls = Vec::new();
        for &a in &foes {
            calls.extend([Call::RemoveTable(a), Call::DeclareRoot(a), Call::RemoveRoot(a), Call::Lend(a)]);
            calls.extend([
                Call::Unmap(a, 0),
                Call::Unmap(a, TEXT),
                Call::Unlink(a, 0),
                Call::Unlink(a, kernel_slot),
            ]);
            calls.extend([Call::WriteBytes(a, 0), Call::ReadBytes(a, 0), Call::ReadEntry(a, 0)]);
            calls.extend([Call::TakeAccessedDirty(a, TEXT), Call::Protect(a, TEXT, any)]);
            calls.extend([Call::Protect(a, 0, any), Call::UnmapBatch(a, 0), Call::ProtectBatch(a, 0, any)]);
            calls.extend((0..=4).map(|level| Call::DeclareTable(a, level)));
            calls.extend(self.kinds.iter().map(|kind| Call::Retype(a, *kind)));
            if a != root {
                calls.extend([Call::LoadRoot(a), Call::Translate(a, 0)]);
            }
            for &b in &frames {
                calls.extend([
                    Call::Map(a, 0, b, any),
                    Call::Map(b, 0, a, any),
                    Call::Map(b, 0, a, Rights::Read),
                ]);
                calls.extend([Call::Replace(a, 0, b, any), Call::Replace(b, 0, a, any)]);
                calls.extend([Call::MapBatch(a, 0, [b; 2]), Call::MapBatch(b, 0, [a; 2])]);
                calls.extend([Call::Link(a, 0, b), Call::Link(a, kernel_slot, b), Call::Link(b, 0, a)]);
            }
        }
        for &a in &frames {
            calls.extend(KINDS_NOT_OFFERED.map(|kind| Call::Retype(a, kind)));
            calls.extend(
                (0..=4).filter(|level| !(1..P::LEVELS).contains(level)).map(|l| Call::DeclareTable(a, l)),
            );
            calls.extend([
                Call::WriteBytes(a, 4089),
                Call::ReadBytes(a, 4096),
                Call::WriteBytes(a, u32::MAX),
            ]);
            for index in [kernel_slot, root_entries - 1] {
                calls.push(Call::Unlink(a, index));
                calls.extend(frames.iter().map(|b| Call::Link(a, index, *b)));
            }
            for index in [entries::<P>(1), 1 << 31, u32::MAX] {
                calls.extend([Call::Unmap(a, index), Call::Unlink(a, index), Call::ReadEntry(a, index)]);
                calls.extend([Call::UnmapBatch(a, index), Call::TakeAccessedDirty(a, index)]);
                calls.extend([Call::Protect(a, index, any), Call::ProtectBatch(a, index, any)]);
                for &b in &frames {
                    calls.extend([Call::Map(a, index, b, any), Call::Replace(a, index, b, any)]);
                    calls.extend([Call::Link(a, index, b), Call::MapBatch(a, index, [b; 2])]);
                }
            }
        }
        calls
    }
}
