//! The rows of the library's own calls.

use super::world::{Spares, World, data, done, other, page, spare};
use super::{MOST, Row, call, nothing};
use std::hint::black_box;
use sva_os::frame::Kind;
use sva_os::machine::{Memory, Word};
use sva_os::mmu::{Half, Leaf, PagingMode, Rights};

/// Maps the first entries, as `rights` say. No stamp is as new as the clock any more.
fn mapped<P: PagingMode>(world: &World<P>, n: u32, rights: Rights) {
    (0..n).for_each(|index| done(world.sva.map(world.table, index, data(index), rights)));
    world.sva.flush();
}

fn mapped_read<P: PagingMode>(world: &World<P>, n: u32) {
    mapped(world, n, Rights::Read);
}

fn mapped_write<P: PagingMode>(world: &World<P>, n: u32) {
    mapped(world, n, Rights::ReadWrite);
}

fn unmapped<P: PagingMode>(world: &World<P>, n: u32) {
    (0..n).for_each(|index| _ = done(world.sva.unmap(world.table, index)));
    world.sva.flush();
}

fn declared<P: PagingMode>(world: &World<P>, n: u32) {
    (0..n).for_each(|index| done(world.sva.declare_table(spare(index), 1)));
}

fn removed<P: PagingMode>(world: &World<P>, n: u32) {
    (0..n).for_each(|index| done(world.sva.remove_table(spare(index))));
}

/// Declares tables and links them.
fn linked<P: PagingMode>(world: &World<P>, n: u32) {
    declared(world, n);
    (0..n).for_each(|index| done(world.sva.link(world.parent, index, spare(index))));
    world.sva.flush();
}

fn unlinked<P: PagingMode>(world: &World<P>, n: u32) {
    (0..n).for_each(|index| _ = done(world.sva.unlink(world.parent, index)));
    world.sva.flush();
    removed(world, n);
}

/// Every spare frame was mapped once and dropped, and every CPU has flushed since.
fn dropped<P: PagingMode>(world: &World<P>, n: u32) {
    (0..n).for_each(|index| {
        done(world.sva.retype(spare(index), Kind::UserData));
        done(world.sva.map(world.table, 0, spare(index), Rights::Read));
        done(world.sva.unmap(world.table, 0));
    });
    world.sva.flush();
    (0..n).for_each(|index| done(world.sva.retype(spare(index), Kind::Free)));
}

fn dropped_user_data<P: PagingMode>(world: &World<P>, n: u32) {
    dropped(world, n);
    (0..n).for_each(|index| done(world.sva.retype(spare(index), Kind::UserData)));
}

fn freed<P: PagingMode>(world: &World<P>, n: u32) {
    (0..n).for_each(|index| done(world.sva.retype(spare(index), Kind::Free)));
}

fn space_mapped<P: PagingMode>(world: &World<P>, n: u32) {
    (0..n).for_each(|n| done(world.space.map(page(n), data(n), Rights::ReadWrite, &mut Spares(0))));
    world.sva.flush();
}

fn space_unmapped<P: PagingMode>(world: &World<P>, n: u32) {
    (0..n).for_each(|n| _ = done(world.space.unmap(page(n))));
    world.sva.flush();
}

fn protect<P: PagingMode>(world: &World<P>, n: u32, rights: Rights) {
    let (sva, table, rights) = (world.sva, world.table, black_box(rights));
    (0..n).for_each(|index| _ = done(call::protect(sva, table, index, rights)));
}

fn protect_batch<P: PagingMode>(world: &World<P>, n: u32, rights: Rights) {
    let rights = [black_box(rights); MOST as usize];
    done(call::protect_batch(world.sva, world.table, 0, &rights[..n as usize]).complete());
}

fn retype<P: PagingMode>(world: &World<P>, n: u32, kind: Kind) {
    let kind = black_box(kind);
    (0..n).for_each(|index| done(call::retype(world.sva, spare(index), kind)));
}

/// All rows.
pub(super) fn rows<P: PagingMode>() -> Vec<Row<World<P>>> {
    vec![
        Row {
            name: "store of an entry",
            budget: None,
            prepare: nothing,
            run: |world, n| {
                let leaf = black_box(P::leaf(data(0), Rights::ReadWrite, Half::User));
                (0..n).for_each(|index| call::store(world.sva, world.entry(index), leaf));
            },
            undo: |world, n| {
                for index in 0..n {
                    // SAFETY: an entry that was empty before this row.
                    unsafe { world.sva.machine().store(world.entry(index), <P::Raw as Word>::ZERO) }
                }
            },
        },
        Row {
            name: "map",
            budget: Some(48),
            prepare: nothing,
            run: |world, n| {
                let rights = black_box(Rights::ReadWrite);
                let (sva, table) = (world.sva, world.table);
                (0..n).for_each(|index| done(call::map(sva, table, index, data(index), rights)));
            },
            undo: unmapped,
        },
        Row {
            name: "unmap",
            budget: Some(48),
            prepare: mapped_write,
            run: |world, n| {
                (0..n).for_each(|index| _ = done(call::unmap(world.sva, world.table, index)));
            },
            undo: nothing,
        },
        Row {
            name: "protect: read to write",
            budget: Some(48),
            prepare: mapped_read,
            run: |world, n| protect(world, n, Rights::ReadWrite),
            undo: unmapped,
        },
        Row {
            name: "protect: write to read",
            budget: Some(48),
            prepare: mapped_write,
            run: |world, n| protect(world, n, Rights::Read),
            undo: unmapped,
        },
        Row {
            name: "protect: as it was",
            budget: Some(48),
            prepare: mapped_write,
            run: |world, n| protect(world, n, Rights::ReadWrite),
            undo: unmapped,
        },
        Row {
            name: "replace",
            budget: Some(96),
            prepare: mapped_write,
            run: |world, n| {
                let rights = black_box(Rights::ReadWrite);
                let (sva, table) = (world.sva, world.table);
                (0..n).for_each(|index| {
                    done(call::replace(sva, table, index, other(index), rights));
                });
            },
            undo: unmapped,
        },
        Row {
            name: "take_accessed_dirty",
            budget: None,
            prepare: mapped_write,
            run: |world, n| {
                let (sva, table) = (world.sva, world.table);
                (0..n).for_each(|index| _ = done(call::take_accessed_dirty(sva, table, index)));
            },
            undo: unmapped,
        },
        Row {
            name: "map_batch, each further",
            budget: Some(14),
            prepare: nothing,
            run: |world, n| {
                let leaves = &world.leaves[..n as usize];
                done(call::map_batch(world.sva, world.table, 0, leaves).complete());
            },
            undo: unmapped,
        },
        Row {
            name: "unmap_batch, each further",
            budget: Some(14),
            prepare: mapped_write,
            run: |world, n| {
                let mut old = [Option::<Leaf>::None; MOST as usize];
                let old = &mut old[..n as usize];
                done(call::unmap_batch(world.sva, world.table, 0, old).complete());
            },
            undo: nothing,
        },
        Row {
            name: "protect_batch: read to write",
            budget: Some(14),
            prepare: mapped_read,
            run: |world, n| protect_batch(world, n, Rights::ReadWrite),
            undo: unmapped,
        },
        Row {
            name: "protect_batch: write to read",
            budget: Some(14),
            prepare: mapped_write,
            run: |world, n| protect_batch(world, n, Rights::Read),
            undo: unmapped,
        },
        Row {
            name: "declare_table, clean frame",
            budget: Some(40),
            prepare: nothing,
            run: |world, n| {
                let level = black_box(1);
                (0..n).for_each(|index| done(call::declare_table(world.sva, spare(index), level)));
            },
            undo: removed,
        },
        Row {
            name: "remove_table",
            budget: Some(40),
            prepare: declared,
            run: |world, n| {
                (0..n).for_each(|index| done(call::remove_table(world.sva, spare(index))));
            },
            undo: nothing,
        },
        Row {
            name: "link",
            budget: None,
            prepare: declared,
            run: |world, n| {
                let (sva, parent) = (world.sva, world.parent);
                (0..n).for_each(|index| done(call::link(sva, parent, index, spare(index))));
            },
            undo: unlinked,
        },
        Row {
            name: "unlink",
            budget: None,
            prepare: linked,
            run: |world, n| {
                let (sva, parent) = (world.sva, world.parent);
                (0..n).for_each(|index| _ = done(call::unlink(sva, parent, index)));
            },
            undo: |world, n| {
                world.sva.flush();
                removed(world, n);
            },
        },
        Row {
            name: "declare_table, frame once dropped",
            budget: Some(40),
            prepare: dropped,
            run: |world, n| {
                let level = black_box(1);
                (0..n).for_each(|index| done(call::declare_table(world.sva, spare(index), level)));
            },
            undo: removed,
        },
        Row {
            name: "remove_table, once dropped",
            budget: Some(40),
            prepare: |world, n| {
                dropped(world, n);
                declared(world, n);
            },
            run: |world, n| {
                (0..n).for_each(|index| done(call::remove_table(world.sva, spare(index))));
            },
            undo: nothing,
        },
        Row {
            name: "retype: user data to free",
            budget: None,
            prepare: dropped_user_data,
            run: |world, n| retype(world, n, Kind::Free),
            undo: nothing,
        },
        Row {
            name: "retype: free to user data",
            budget: None,
            prepare: dropped,
            run: |world, n| retype(world, n, Kind::UserData),
            undo: freed,
        },
        Row {
            name: "load_root",
            budget: None,
            prepare: nothing,
            run: |world, n| {
                let [mut next, mut here] = world.roots;
                (0..n).for_each(|_| {
                    (next, here) = (here, next);
                    done(call::load_root(world.sva, next));
                });
            },
            undo: nothing,
        },
        Row {
            name: "flush",
            budget: None,
            prepare: nothing,
            run: |world, n| (0..n).for_each(|_| call::flush(world.sva)),
            undo: nothing,
        },
        Row {
            name: "translate",
            budget: None,
            prepare: mapped_write,
            run: |world, n| {
                let (sva, root) = (world.sva, world.roots[0]);
                (0..n).for_each(|number| {
                    let leaf = done(call::translate(sva, root, page(number)));
                    assert!(leaf.is_some());
                });
            },
            undo: unmapped,
        },
        Row {
            name: "walk and map",
            budget: None,
            prepare: nothing,
            run: |world, n| {
                let (rights, source) = (black_box(Rights::ReadWrite), &mut Spares(0));
                (0..n).for_each(|n| done(call::space_map(&world.space, page(n), data(n), rights, source)));
            },
            undo: space_unmapped,
        },
        Row {
            name: "walk and unmap",
            budget: None,
            prepare: space_mapped,
            run: |world, n| (0..n).for_each(|n| _ = done(call::space_unmap(&world.space, page(n)))),
            undo: nothing,
        },
        Row {
            name: "walk and protect",
            budget: None,
            prepare: space_mapped,
            run: |world, n| {
                let rights = black_box(Rights::Read);
                (0..n).for_each(|n| _ = done(call::space_protect(&world.space, page(n), rights)));
            },
            undo: space_unmapped,
        },
    ]
}
