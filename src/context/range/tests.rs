//! A range lies in the user window, and no piece of it lies outside the range.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::context::fixture::{at, in_both_modes, refused, space, threads};
use crate::init::tests::world::{World, frame};
use crate::mmu::{PagingMode, Rights};
use std::format;
use std::vec;
use std::vec::Vec;

const SPLIT: u32 = 0xc000_0000;
/// Two pages to write, one to read, nothing behind them; and the last of the window.
const PAGES: [(u32, Rights); 4] =
    [(5, Rights::ReadWrite), (6, Rights::ReadWrite), (7, Rights::Read), (0xb_ffff, Rights::ReadWrite)];

fn world<P: PagingMode>() -> &'static World<P> {
    let sva = threads::<P>();
    space(sva, 28, 29, &PAGES);
    sva.load_root(frame(28)).unwrap();
    sva
}

const fn done(done: u32) -> Progress {
    Progress { done, refused: None }
}

const fn stopped(done: u32, violation: Violation) -> Progress {
    Progress { done, refused: Some(violation) }
}

fn beyond(at: VirtAddr, bytes: u32) -> VirtAddr {
    VirtAddr::new(at.get() + bytes)
}

fn bytes(count: u8) -> Vec<u8> {
    (1..=count).collect()
}

in_both_modes! {
    /// Pieces of every size follow each other, and what is left is what was not done.
    fn pieces_follow_each_other<P>() {
        let sva = world::<P>();
        let start = beyond(at(5), 0xf9c);
        for size in [1, 7, 64, 150, 199, 200, 201] {
            let mut range = sva.user_range(start, 200).unwrap();
            let all = bytes(200);
            for piece in all.chunks(size) {
                let before = range;
                assert_eq!(range.write(piece), done(piece.len() as u32));
                assert_eq!(range.at().get(), before.at().get() + piece.len() as u32);
                assert_eq!(range.left(), before.left() - piece.len() as u32);
            }
            assert_eq!((range.at(), range.left()), (beyond(start, 200), 0));
            let mut range = sva.user_range(start, 200).unwrap();
            let mut read = vec![0; 200];
            for piece in read.chunks_mut(size) {
                assert_eq!(range.read(piece), done(piece.len() as u32));
            }
            assert_eq!((range.left(), &read), (0, &all));
            let mut range = sva.user_range(start, 200).unwrap();
            for piece in all.chunks(size) {
                assert_eq!(range.zero(piece.len()), done(piece.len() as u32));
            }
            assert_eq!(sva.copy_from_user(start, &mut read), done(200));
            assert_eq!((range.left(), read), (0, vec![0; 200]));
        }
    }

    /// What is asked for beyond its end is not done, and no refusal.
    fn it_ends_where_it_ends<P>() {
        let sva = world::<P>();
        let start = at(5);
        let whole = |sva: &World<P>| {
            let mut all = [0; 12];
            sva.copy_from_user(start, &mut all).complete().unwrap();
            all
        };
        sva.copy_to_user(start, &[9; 12]).complete().unwrap();
        let mut range = sva.user_range(start, 8).unwrap();
        assert_eq!(range.write(&bytes(3)), done(3));
        let mut copy = range;
        assert_eq!(range.write(&bytes(12)), done(5));
        assert_eq!(whole(sva), [1, 2, 3, 1, 2, 3, 4, 5, 9, 9, 9, 9]);
        assert_eq!(range.write(&[7]), done(0));
        assert_eq!(range.read(&mut [7]), done(0));
        assert_eq!(range.zero(1), done(0));
        let mut read = [8; 12];
        assert_eq!({ copy }.read(&mut read), done(5));
        assert_eq!(read, [1, 2, 3, 4, 5, 8, 8, 8, 8, 8, 8, 8]);
        assert_eq!(copy.zero(usize::MAX), done(5));
        assert_eq!(whole(sva), [1, 2, 3, 0, 0, 0, 0, 0, 9, 9, 9, 9]);
        assert_eq!(format!("{copy:?}"), format!("UserRange {{ at: {:?}, left: 0 }}", beyond(start, 8)));
    }

    /// Then it goes on from there.
    fn a_fault_is_where_it_stops<P>() {
        let sva = world::<P>();
        let mut range = sva.user_range(beyond(at(6), 0xffc), 0x3000).unwrap();
        let mut copy = range;
        assert_eq!(range.write(&bytes(8)), stopped(4, Violation::NotWritable(at(7))));
        assert_eq!((range.at(), range.left()), (at(7), 0x2ffc));
        assert_eq!(range.zero(1), stopped(0, Violation::NotWritable(at(7))));
        assert_eq!(range.read(&mut [0; 0x1000]), done(0x1000));
        assert_eq!(range.read(&mut [0]), stopped(0, Violation::NotReadable(at(8))));
        assert_eq!(copy.zero(8), stopped(4, Violation::NotWritable(at(7))));
        assert_eq!((copy.at(), copy.left()), (at(7), 0x2ffc));
    }

    /// To the last byte of the window, and not one more.
    fn no_range_leaves_the_window<P>() {
        let sva = world::<P>();
        let last = at(0xb_ffff);
        let mut range = sva.user_range(last, 0x1000).unwrap();
        assert_eq!(range.zero(0x2000), done(0x1000));
        assert_eq!(range.write(&[1]), done(0));
        sva.user_range(at(0), SPLIT).unwrap();
        sva.user_range(VirtAddr::new(SPLIT), 0).unwrap();
        let outside = [
            (last.get(), 0x1001), (0, SPLIT + 1), (1, SPLIT), (1, u32::MAX), (SPLIT, 1), (u32::MAX, 1), (u32::MAX, 2),
            (0xffff_f000, 0x1001), (0xffff_f000, 0x2000),
        ];
        for (at, length) in outside.map(|(at, length)| (VirtAddr::new(at), length)) {
            refused(sva, || sva.user_range(at, length).map(|_| ()), Violation::NotAUserRange(at));
        }
    }
}
