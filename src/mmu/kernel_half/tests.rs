//! The kernel half of random layouts against a naive function from pages to translations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use crate::address::PhysAddr;
use crate::frame::table::tests::ram::Ram;
use crate::frame::word::Word;
use crate::layout::tests::{Owned, any_layout, segment, sound};
use crate::mmu::{Pae, TwoLevel};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::vec;
use std::vec::Vec;

/// Every third frame is no RAM.
const FRAMES: u32 = 128;
fn is_ram(frame: u32) -> bool {
    frame < FRAMES && frame % 3 != 2
}

fn frame_table() -> (Ram, Frames) {
    let ram = Ram::new(2 * FRAMES as usize);
    // SAFETY: 1. from 0 on, with a word pair for each frame. 2. Nobody else writes it.
    let frames = unsafe { Frames::new(PhysAddr::new(0), FRAMES) };
    for number in (0..FRAMES).filter(|number| is_ram(*number)) {
        let kind = if number % 2 == 0 { Kind::Free } else { Kind::Monitor };
        frames.write(&ram, Frame::new(number).unwrap(), Word::unused(kind));
    }
    (ram, frames)
}

/// What a page of the kernel translates to, read off the layout: frame, write, execute.
fn naive(layout: &Owned, page: u32) -> Option<(u32, bool, bool)> {
    let guard = |segment: &Segment| {
        let first = segment.first.number();
        segment.role == Role::Stack && page < first && page + 2 >= first
    };
    if layout.image.iter().any(guard) {
        return None;
    }
    for segment in &layout.image {
        let first = segment.first.number();
        if (first..first + segment.frames.count()).contains(&page) {
            let frame = segment.frames.first().number() + (page - first);
            let (write, execute) = match segment.role {
                Role::Text => (false, true),
                Role::ReadOnly => (false, false),
                Role::Data | Role::Stack => (true, false),
            };
            return Some((frame, write, execute));
        }
    }
    let (first, first_frame, count) = layout.direct_map;
    if !(first..first + count).contains(&page) {
        return None;
    }
    let frame = first_frame + (page - first);
    let constant = layout.image.iter().any(|segment| {
        let first = segment.frames.first().number();
        matches!(segment.role, Role::Text | Role::ReadOnly)
            && (first..first + segment.frames.count()).contains(&frame)
    });
    is_ram(frame).then_some((frame, !constant, false))
}

use crate::layout::Segment;

/// The first pages of tables of each level below the root that the layout needs.
fn naive_tables<P: PagingMode>(layout: &Owned) -> BTreeSet<(u8, u32)> {
    let (first, _, count) = layout.direct_map;
    let parts = layout.image.iter().map(|segment| (segment.first.number(), segment.frames.count()));
    let pages = parts.chain([(first, count)]).flat_map(|(first, count)| first..first + count);
    pages
        .flat_map(|page| (1..P::LEVELS).map(move |level| (level, page >> (u32::from(level) * P::INDEX_BITS))))
        .collect()
}

/// Walks the visited half and returns what each page translates to.
fn check<P: PagingMode>(layout: &Owned) {
    let (ram, frames) = frame_table();
    let mut half = layout.with(|layout| KernelHalf::new(layout).unwrap()).unwrap();
    let needed = half.tables_needed::<P>();
    let expected_tables = naive_tables::<P>(layout);
    assert_eq!(needed as usize, expected_tables.len(), "{layout:?}");

    // A few more than needed: they must be left over.
    half.root = Frame::new(0x7_0000).unwrap();
    half.tables = FrameRange::new(Frame::new(0x8_0000).unwrap(), needed + 3).unwrap();
    let mut serves = HashMap::from([(half.root, (P::LEVELS, 0))]);
    let mut order = vec![];
    let mut translations = HashMap::new();
    let mut visited = BTreeSet::new();
    let user = layout.user.0..layout.user.0 + layout.user.1;
    half.visit::<P, ()>(frames, &ram, &mut |slot, expected| {
        let (level, first) = serves[&slot.table];
        assert_eq!(slot.level, level);
        assert!(visited.insert((slot.table, slot.index)), "once each");
        let page = first + (slot.index << (u32::from(level - 1) * P::INDEX_BITS));
        assert!(!user.contains(&page));
        match expected {
            Expected::Empty => {}
            Expected::Table(child) => {
                assert!(level > 1);
                assert!(serves.insert(child, (level - 1, page)).is_none(), "one parent each");
                order.push(child);
                let prefix = page >> (u32::from(level - 1) * P::INDEX_BITS);
                assert!(expected_tables.contains(&(level - 1, prefix)));
            }
            Expected::Device(_) => panic!("no device was claimed"),
            Expected::Leaf(frame, rights) => {
                assert_eq!(level, 1);
                translations.insert(page, (frame.number(), rights.write(), rights.execute()));
            }
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(order, half.tables.iter().take(needed as usize).collect::<Vec<_>>(), "consumed in order");

    // The whole root but the user's entries, and the whole of every table below.
    let span = 1u32 << (20 - P::ROOT_INDEX_BITS);
    let user_entries = layout.user.1 / span;
    assert_eq!(
        visited.len() as u32,
        (1 << P::ROOT_INDEX_BITS) - user_entries + needed * (1 << P::INDEX_BITS)
    );
    for page in 0..1 << 20 {
        let expected = if user.contains(&page) { None } else { naive(layout, page) };
        assert_eq!(translations.get(&page).copied(), expected, "page {page:#x} of {layout:?}");
    }
    for index in 0..1 << P::ROOT_INDEX_BITS {
        assert_eq!(half.is_user_entry::<P>(index), user.contains(&(index * span)));
    }
    assert!(!half.is_user_entry::<P>(1 << P::ROOT_INDEX_BITS) && !half.is_user_entry::<P>(u32::MAX));
}

#[test]
fn a_sound_layout() {
    check::<TwoLevel>(&sound());
    check::<Pae>(&sound());
    let elsewhere = Owned {
        image: vec![
            segment(0xf_f000, 1, 2, Role::Text),
            segment(0xf_fff0, 7, 16, Role::Stack),
            segment(0xe_03ff, 30, 2, Role::ReadOnly),
        ],
        user: (0x4_0000, 0x4_0000),
        direct_map: (0x3_ffe0, 100, 32),
        stacks: (0, 0),
        devices: (0, 0),
    };
    check::<TwoLevel>(&elsewhere);
    check::<Pae>(&elsewhere);
}

#[test]
fn a_refusal_ends_the_visit() {
    let (ram, frames) = frame_table();
    let mut half = sound().with(|layout| KernelHalf::new(layout).unwrap()).unwrap();
    half.tables = FrameRange::new(Frame::new(64).unwrap(), 8).unwrap();
    for most in [0, 1, 300, 700] {
        let mut seen = 0;
        let answer = half.visit::<TwoLevel, u32>(frames, &ram, &mut |_, _| {
            seen += 1;
            if seen > most { Err(seen) } else { Ok(()) }
        });
        assert_eq!(answer, Err(most + 1));
    }
}

/// What is written for the kernel: never U, links with the frame, leaves with their rights.
#[test]
fn kernel_entries_are_for_ring_0() {
    let frame = Frame::new(0x123).unwrap();
    assert_eq!(Expected::Empty.encode::<TwoLevel>(1), 0);
    assert_eq!(Expected::Empty.encode::<Pae>(2), 0);
    assert_eq!(Expected::Table(frame).encode::<TwoLevel>(2), 0x12_3003);
    assert_eq!(Expected::Table(frame).encode::<Pae>(2), 0x12_3003);
    assert_eq!(Expected::Table(frame).encode::<Pae>(3), 0x12_3001);
    // Present, writable, PWT and PCD, NX: never for ring 3, never cached.
    assert_eq!(Expected::Device(frame).encode::<TwoLevel>(1), 0x12_301b);
    assert_eq!(Expected::Device(frame).encode::<Pae>(1), 0x12_301b | 1 << 63);
    for rights in Rights::ALL {
        let leaf = Expected::Leaf(frame, rights);
        let write = u32::from(rights.write()) << 1;
        assert_eq!(leaf.encode::<TwoLevel>(1), 0x12_3001 | write);
        let no_execute = u64::from(!rights.execute()) << 63;
        assert_eq!(leaf.encode::<Pae>(1), 0x12_3001 | u64::from(write) | no_execute);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn random_layouts(layout in any_layout()) {
        if layout.with(|layout| layout.check::<TwoLevel>()) == Some(Ok(())) {
            check::<TwoLevel>(&layout);
        }
        if layout.with(|layout| layout.check::<Pae>()) == Some(Ok(())) {
            check::<Pae>(&layout);
        }
    }
}
