//! What a root translates, in both halves.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

use super::*;
use crate::init::tests::world::{frame, page, world};
use crate::mmu::{Half, Pae, Rights, TwoLevel};

const ROOT: u32 = 20;
const DATA: u32 = 30;
const ACCESSED: u32 = 1 << 5;
const DIRTY: u32 = 1 << 6;

/// Sets `bits` in entry 0 of `table`, as a CPU does by itself.
fn note<P: PagingMode>(sva: &Sva<crate::machine::Emulated<P>>, table: Frame, bits: u32) {
    let low: u32 = sva.machine().peek(table.start());
    sva.machine().poke(table.start(), low | bits);
}

fn the_user_half_shows_the_notes_of_the_leaf_alone<P: PagingMode>() {
    let sva = world::<P>(1);
    sva.declare_root(frame(ROOT)).unwrap();
    let mut parent = frame(ROOT);
    for level in (1..P::LEVELS).rev() {
        let table = frame(ROOT + u32::from(level));
        sva.declare_table(table, level).unwrap();
        sva.link(parent, 0, table).unwrap();
        parent = table;
    }
    sva.retype(frame(DATA), Kind::UserData).unwrap();
    sva.map(parent, 0, frame(DATA), Rights::ReadWrite).unwrap();
    let notes = || {
        let leaf = sva.translate(frame(ROOT), page(0)).unwrap().unwrap();
        assert_eq!((leaf.frame(), leaf.half(), leaf.write()), (frame(DATA), Half::User, true));
        (leaf.accessed(), leaf.dirty())
    };
    for level in 2..P::LEVELS {
        note(&sva, frame(ROOT + u32::from(level)), ACCESSED);
    }
    assert_eq!(notes(), (false, false));
    note(&sva, parent, ACCESSED);
    assert_eq!(notes(), (true, false));
    note(&sva, parent, DIRTY);
    assert_eq!(notes(), (true, true));
    assert_eq!(sva.translate(frame(ROOT), page(1)), Ok(None));
}

fn the_kernel_half_is_the_same_from_every_root<P: PagingMode>() {
    let sva = world::<P>(1);
    sva.declare_root(frame(ROOT)).unwrap();
    for root in [frame(ROOT), sva.sealed_root()] {
        let leaf = |number: u32| sva.translate(root, page(0xc_0000 + number)).unwrap();
        let data = leaf(4).unwrap();
        assert_eq!((data.frame(), data.half(), data.write()), (frame(4), Half::Kernel, true));
        assert!(!leaf(1).unwrap().write(), "text");
        assert_eq!(leaf(6), None, "a guard page");
        assert_eq!(leaf(0x3_ffff), None, "past the direct map");
    }
}

#[test]
fn user_half() {
    the_user_half_shows_the_notes_of_the_leaf_alone::<TwoLevel>();
    the_user_half_shows_the_notes_of_the_leaf_alone::<Pae>();
}

#[test]
fn kernel_half() {
    the_kernel_half_is_the_same_from_every_root::<TwoLevel>();
    the_kernel_half_is_the_same_from_every_root::<Pae>();
}
