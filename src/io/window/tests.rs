//! The words of the window, in a world that has one.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

use super::*;
use crate::init::tests::world::{DEVICES, frames, page, world_with_devices};
use crate::mmu::Pae;

#[test]
fn the_first_pages_in_a_row_are_taken() {
    let sva = world_with_devices::<Pae>(1);
    let (window, ram) = (sva.half.devices, sva.machine());
    assert_eq!(window.pages(), PageRange::new(page(DEVICES.0), DEVICES.1).unwrap());
    let take =
        |first, count| window.take(ram, frames(first, count)).map(|pages| pages.first().number() - DEVICES.0);
    assert_eq!(take(0xf_0000, 3), Ok(0));
    assert_eq!(take(0xf_0010, 2), Ok(3));
    assert_eq!(take(0xf_0003, 1), Ok(5));
    assert_eq!(take(0xf_0012, 34), Ok(6), "all that is left");
    assert_eq!(take(0xf_0100, 1), Err(Violation::NoDevicePages(1)));
    window.release(ram, PageRange::new(page(DEVICES.0 + 3), 2).unwrap());
    assert_eq!(take(0xf_0100, 3), Err(Violation::NoDevicePages(3)), "two are not three");
    assert_eq!(take(0xf_0100, 1), Ok(3));
    assert_eq!(take(0xf_0200, 1), Ok(4));
}

#[test]
fn what_is_taken_is_nobody_elses() {
    let sva = world_with_devices::<Pae>(1);
    let (window, ram) = (sva.half.devices, sva.machine());
    window.take(ram, frames(0xf_0010, 4)).unwrap();
    window.take(ram, frames(0, 1)).unwrap();
    for (first, count, taken) in
        [(0xf_0010, 1, 0xf_0010), (0xf_0013, 9, 0xf_0013), (0xf_0000, 0x20, 0xf_0010), (0, 1, 0)]
    {
        let taken = frames(taken, 1).first();
        assert_eq!(window.first_taken(ram, frames(first, count)), Some(taken));
        assert_eq!(window.take(ram, frames(first, count)), Err(Violation::DeviceTaken(taken)));
    }
    for (first, count) in [(0xf_000f, 1), (0xf_0014, 100), (1, 5)] {
        assert_eq!(window.first_taken(ram, frames(first, count)), None);
    }
    let under = |place| window.frame_under(ram, page(DEVICES.0 + place)).map(Frame::number);
    assert_eq!([0, 3, 4, 5].map(under), [Some(0xf_0010), Some(0xf_0013), Some(0), None]);
}

#[test]
fn a_window_has_a_word_for_each_page() {
    for (count, needed) in [(0, 0), (1, 1), (1024, 1), (1025, 2), (0x5000, 20)] {
        let window = Window::of(PageRange::new(page(0), count).unwrap());
        assert_eq!(window.frames_needed(), needed);
        // SAFETY: nothing is read or written.
        let window = unsafe { window.at(frames(7, needed), frames(100, 5)) };
        let lies_in = (0..40).filter(|number| window.lies_in(frames(*number, 1).first())).count();
        assert_eq!(lies_in, crate::address::widen(needed));
        assert!(needed == 0 || window.lies_in(frames(7, 1).first()));
        assert_eq!(window.bus(), frames(100, 5));
    }
}
