//! Layouts, by table and against a naive model that looks at single pages and frames.

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
use crate::mmu::{Pae, TwoLevel};
use proptest::prelude::*;
use std::collections::HashMap;
use std::vec;
use std::vec::Vec;

/// A layout that owns its lists.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) image: Vec<Segment>,
    pub(crate) user: (u32, u32),
    pub(crate) direct_map: (u32, u32, u32),
    pub(crate) stacks: (u32, u32),
    pub(crate) devices: (u32, u32),
}

impl Owned {
    /// The layout, unless a range in it cannot even be said.
    pub(crate) fn with<R>(&self, run: impl FnOnce(&Layout<'_>) -> R) -> Option<R> {
        let (page, frame, count) = self.direct_map;
        let layout = Layout {
            image: &self.image,
            user: PageRange::new(Page::new(self.user.0)?, self.user.1)?,
            direct_map: DirectMap {
                first: Page::new(page)?,
                frames: FrameRange::new(Frame::new(frame)?, count)?,
            },
            stacks: PageRange::new(Page::new(self.stacks.0)?, self.stacks.1)?,
            devices: PageRange::new(Page::new(self.devices.0)?, self.devices.1)?,
            in_use: &[],
        };
        Some(run(&layout))
    }

    fn check<P: PagingMode>(&self) -> Result<(), Violation> {
        self.with(|layout| layout.check::<P>()).unwrap()
    }
}

pub(crate) fn segment(first: u32, frame: u32, count: u32, role: Role) -> Segment {
    let frames = FrameRange::new(Frame::new(frame).unwrap(), count).unwrap();
    Segment { first: Page::new(first).unwrap(), frames, role }
}

/// Text, read-only data, data and a stack behind its guards, in the direct map at 3 GiB.
pub(crate) fn sound() -> Owned {
    Owned {
        image: vec![
            segment(0xc_0001, 1, 2, Role::Text),
            segment(0xc_0003, 3, 1, Role::ReadOnly),
            segment(0xc_0004, 4, 2, Role::Data),
            segment(0xc_0008, 8, 2, Role::Stack),
        ],
        user: (0, 0xc_0000),
        direct_map: (0xc_0000, 0, 64),
        stacks: (0, 0),
        devices: (0, 0),
    }
}

fn page(number: u32) -> Page {
    Page::new(number).unwrap()
}

fn frame(number: u32) -> Frame {
    Frame::new(number).unwrap()
}

/// [`sound`] with one change, and what is wrong with it then.
fn cases() -> Vec<(&'static str, Owned, Result<(), Violation>)> {
    use Violation::*;
    let change = |name, expected, change: &dyn Fn(&mut Owned)| {
        let mut layout = sound();
        change(&mut layout);
        (name, layout, expected)
    };
    let replace = |name, place: usize, segment: Segment, expected| {
        change(name, expected, &move |layout| layout.image[place] = segment)
    };
    vec![
        change("sound", Ok(()), &|_| {}),
        change("no user window", Ok(()), &|layout| layout.user = (0, 0)),
        change("no user window, elsewhere", Ok(()), &|layout| layout.user = (0x4_0000, 0)),
        change("window at 1 GiB", Ok(()), &|layout| layout.user = (0x4_0000, 0x4_0000)),
        change("window begins in an entry", Err(UserWindow(page(1))), &|layout| layout.user = (1, 0xb_ffff)),
        change("window ends in an entry", Err(UserWindow(page(0))), &|layout| layout.user = (0, 0xb_ff00)),
        change("window of one page", Err(UserWindow(page(0))), &|layout| layout.user = (0, 1)),
        change("window is all", Err(UserWindow(page(0))), &|layout| layout.user = (0, 0x10_0000)),
        change("window over the direct map", Err(InUserWindow(page(0xc_0000))), &|layout| {
            layout.user = (0x4_0000, 0xc_0000)
        }),
        change("direct map passes 4 GiB", Err(RangeTooLong(0x4_0001)), &|layout| {
            layout.direct_map = (0xc_0000, 0, 0x4_0001)
        }),
        change("direct map ends at 4 GiB", Ok(()), &|layout| layout.direct_map = (0xc_0000, 0, 0x4_0000)),
        change("direct map ends in the window", Err(InUserWindow(page(0xb_fff0))), &|layout| {
            layout.direct_map = (0xb_fff0, 0, 17)
        }),
        change("no direct map", Ok(()), &|layout| layout.direct_map = (0xc_0000, 0, 0)),
        change("direct map elsewhere", Ok(()), &|layout| layout.direct_map = (0xd_0000, 0, 64)),
        change("direct map shifted", Err(PagesOverlap(page(0xc_0001))), &|layout| {
            layout.direct_map = (0xc_0000, 1, 64)
        }),
        change("no image", Err(NoImage(u32::MAX)), &|layout| layout.image.clear()),
        change("no text", Err(NoImage(u32::MAX)), &|layout| {
            layout.image.remove(0);
        }),
        replace("empty segment", 2, segment(0xc_0004, 4, 0, Role::Data), Err(NoImage(2))),
        replace("text in the window", 0, segment(0x400, 1, 2, Role::Text), Err(InUserWindow(page(0x400)))),
        replace(
            "text ends past the window's start",
            0,
            segment(0xb_ffff, 1, 2, Role::Text),
            Err(InUserWindow(page(0xb_ffff))),
        ),
        replace("text passes 4 GiB", 0, segment(0xf_ffff, 1, 2, Role::Text), Err(RangeTooLong(2))),
        replace("text ends at 4 GiB", 0, segment(0xf_fffe, 1, 2, Role::Text), Ok(())),
        replace(
            "two on one page",
            1,
            segment(0xc_0002, 3, 1, Role::ReadOnly),
            Err(PagesOverlap(page(0xc_0001))),
        ),
        replace("two in one frame", 1, segment(0xc_1003, 2, 1, Role::ReadOnly), Err(FramesOverlap(frame(1)))),
        replace(
            "data on the upper guard",
            2,
            segment(0xc_0006, 4, 2, Role::Data),
            Err(PagesOverlap(page(0xc_0006))),
        ),
        replace(
            "stack without room for guards",
            3,
            segment(1, 8, 2, Role::Stack),
            Err(InUserWindow(page(1))),
        ),
        replace(
            "stack with one page of room",
            3,
            segment(0xc_0007, 7, 2, Role::Stack),
            Err(PagesOverlap(page(0xc_0007))),
        ),
        replace("stack elsewhere", 3, segment(0xd_0000, 8, 2, Role::Stack), Ok(())),
        replace(
            "not where the direct map has it",
            3,
            segment(0xc_0008, 9, 2, Role::Stack),
            Err(PagesOverlap(page(0xc_0008))),
        ),
        change("stack at the start of memory", Err(PagesOverlap(page(1))), &|layout| {
            layout.user = (0x4_0000, 0x4_0000);
            layout.image[3] = segment(1, 8, 2, Role::Stack);
        }),
        change("stack two pages into memory", Ok(()), &|layout| {
            layout.user = (0x4_0000, 0x4_0000);
            layout.image[3] = segment(2, 8, 2, Role::Stack);
        }),
    ]
}

#[test]
fn by_table() {
    for (name, layout, expected) in cases() {
        assert_eq!(layout.check::<Pae>(), expected, "{name}");
        assert_eq!(layout.check::<TwoLevel>(), expected, "{name}");
    }
}

/// A kernel stack that runs over must not reach a page of user programs.
#[test]
fn guard_pages_lie_outside_the_user_window() {
    for pages in [0, 1] {
        let mut layout = sound();
        layout.direct_map = (0xd_0000, 0, 64);
        let stack = segment(0xc_0000 + pages, 8, 1, Role::Stack);
        layout.image = vec![segment(0xd_0001, 1, 2, Role::Text), stack];
        let answer = layout.check::<Pae>();
        assert!(matches!(answer, Err(Violation::InUserWindow(_))), "{pages} pages between: {answer:?}");
    }
}

#[test]
fn the_window_is_made_of_whole_entries_of_the_mode() {
    for (user, two_level, pae) in [
        ((0, 0x400), true, false),
        ((0x400, 0x400), true, false),
        ((0, 0x4_0000), true, true),
        ((0x2_0000, 0x4_0000), true, false),
        ((0x4_0000, 0x6_0000), true, false),
        ((0, 0xc_0000), true, true),
        ((0, 0x200), false, false),
        ((0x200, 0x400), false, false),
        ((0x3ff, 0x401), false, false),
    ] {
        let layout = Owned { user, ..sound() };
        assert_eq!(layout.check::<TwoLevel>().is_ok(), two_level, "{user:x?}");
        assert_eq!(layout.check::<Pae>().is_ok(), pae, "{user:x?}");
    }
}

#[test]
fn segments_are_kept_in_order_up_to_a_limit() {
    for count in 0..12 {
        let image: Vec<_> = (0..count).map(|n| segment(0xc_0000 + n, n, 1, Role::Data)).collect();
        match Segments::new(&image) {
            Ok(kept) => {
                assert!(count <= 8);
                assert_eq!(kept.iter().copied().collect::<Vec<_>>(), image);
            }
            Err(violation) => {
                assert!(count > 8);
                assert_eq!(violation, Violation::TooManySegments(count));
            }
        }
    }
}

#[test]
fn cpus() {
    for count in [0, 1, 2, 31, 32, 33, u32::MAX] {
        let expected = if (1..=32).contains(&count) { Ok(()) } else { Err(Violation::CpuCount(count)) };
        assert_eq!(Layout::check_cpus(count), expected);
    }
}

#[test]
fn the_direct_map_goes_both_ways() {
    for (first, frame, count) in [(0xc_0000, 0, 64), (0, 7, 3), (0xf_fff0, 0x100, 16), (5, 5, 0)] {
        let frames = FrameRange::new(self::frame(frame), count).unwrap();
        let map = DirectMap { first: page(first), frames };
        for step in 0..count {
            assert_eq!(map.page(self::frame(frame + step)), Some(page(first + step)));
            assert_eq!(map.frame(page(first + step)), Some(self::frame(frame + step)));
        }
        assert_eq!(map.page(self::frame(frame + count)), None);
        assert_eq!(map.frame(page((first + count).min(0xf_ffff))).is_some(), first + count == 1 << 20);
        assert!(first == 0 || map.frame(page(first - 1)).is_none());
        assert!(frame == 0 || map.page(self::frame(frame - 1)).is_none());
    }
}

#[test]
fn two_pages_guard_each_stack() {
    let kept = Segments::new(&sound().image).unwrap();
    for number in 0xc_0000..0xc_0020 {
        assert_eq!(Layout::is_guard(&kept, page(number)), (0xc_0006..0xc_0008).contains(&number));
    }
    let text = Segments::new(&sound().image[..3]).unwrap();
    assert!((0xb_fff0..0xc_0020).all(|number| !Layout::is_guard(&text, page(number))));
}

/// What each page and frame is used for, one at a time.
fn is_sound<P: PagingMode>(layout: &Owned) -> bool {
    let span = 1 << P::ROOT_SPAN_BITS;
    let (user, count) = layout.user;
    if user % span != 0 || count % span != 0 || count == 0x10_0000 {
        return false;
    }
    let in_window = |page: u32| user <= page && page < user + count;
    let is_kernel = |page: u32| page < 0x10_0000 && !in_window(page);
    let (first, first_frame, count) = layout.direct_map;
    if !(first..first + count).all(is_kernel) {
        return false;
    }
    let mut pages: HashMap<u32, usize> = HashMap::new();
    let mut frames: HashMap<u32, usize> = HashMap::new();
    for (place, segment) in layout.image.iter().enumerate() {
        if segment.frames.is_empty() {
            return false;
        }
        for step in 0..segment.frames.count() {
            let (page, frame) = (segment.first.number() + step, segment.frames.first().number() + step);
            let direct = (first..first + count).contains(&page).then(|| first_frame + (page - first));
            let twice = pages.insert(page, place).is_some() || frames.insert(frame, place).is_some();
            if !is_kernel(page) || twice || direct.is_some_and(|direct| direct != frame) {
                return false;
            }
        }
    }
    for segment in layout.image.iter().filter(|segment| segment.role == Role::Stack) {
        for below in 1..=2 {
            match segment.first.number().checked_sub(below) {
                Some(guard) if pages.contains_key(&guard) || !is_kernel(guard) => return false,
                Some(_) => {}
                None => return false,
            }
        }
    }
    let windows = [layout.stacks, layout.devices].map(|(first, count)| first..first + count);
    let guards = layout.image.iter().filter(|segment| segment.role == Role::Stack);
    let guards = guards.flat_map(|segment| [1, 2].map(|below| segment.first.number() - below));
    let used: Vec<_> = pages.keys().copied().chain(guards).chain(first..first + count).collect();
    for (window, other) in [(&windows[0], &windows[1]), (&windows[1], &windows[0])] {
        let is_alone = |page| is_kernel(page) && !other.contains(&page) && !used.contains(&page);
        if !window.clone().all(is_alone) {
            return false;
        }
    }
    layout.stacks.1.is_multiple_of(16) && layout.image.iter().any(|segment| segment.role == Role::Text)
}

/// [`any_layout`], with windows that are often alone.
fn any_layout_with_windows() -> impl Strategy<Value = Owned> {
    let anywhere =
        proptest::sample::select(&[0xe_0000u32, 0xc_0010, 0x4_0004, 0xd_0000, 0xd_0020, 0x1000][..]);
    let first = |apart| prop_oneof![12 => Just(apart), 1 => anywhere.clone()];
    let count = prop_oneof![8 => Just(32u32), 8 => Just(0), 1 => 1..3u32];
    (any_layout(), (first(0xe_0000), count.clone()), (first(0xe_0020), count))
        .prop_map(|(layout, stacks, devices)| Owned { stacks, devices, ..layout })
}

/// Layouts that are often sound, and else nearly so.
pub(crate) fn any_layout() -> impl Strategy<Value = Owned> {
    let roles = proptest::sample::select(&[Role::Text, Role::ReadOnly, Role::Data, Role::Stack][..]);
    let place = prop_oneof![4 => Just(None), 1 => (0..0x40u32).prop_map(Some)];
    let one = (roles, 0..5u32, place, prop_oneof![6 => 1..4u32, 1 => 0..2u32]);
    let base =
        proptest::sample::select(&[0u32, 0x3_fff0, 0x4_0000, 0x4_0400, 0x8_0000, 0xc_0000, 0xf_ffc0][..]);
    let user = proptest::sample::select(
        &[
            (0u32, 0xc_0000u32),
            (0x4_0000, 0xc_0000),
            (0, 0x4_0000),
            (0x4_0000, 0x400),
            (0, 0),
            (0x400, 0x400),
            (0, 0x300),
        ][..],
    );
    let direct = (any::<bool>(), base.clone(), 0..80u32);
    let text = proptest::sample::select(&[0u32, 0x38][..]);
    let parts = (prop::collection::vec(one, 1..7), text);
    (parts, base, user, direct).prop_map(|((parts, text), base, user, (apart, other, count))| {
        let mut next = u32::from(text == 0);
        let mut image = vec![segment(base + text, text, 1, Role::Text)];
        for (role, gap, place, count) in parts {
            let first = next + gap;
            next = first + count;
            let at = (base + place.unwrap_or(first)).min(0xf_ffff);
            image.push(segment(at, first, count, role));
        }
        let direct = if apart { other } else { base };
        Owned { image, user, direct_map: (direct, 0, count), stacks: (0, 0), devices: (0, 0) }
    })
}

fn agrees<P: PagingMode>(layout: &Owned) -> Result<bool, TestCaseError> {
    let naive = is_sound::<P>(layout);
    let answer = layout.check::<P>();
    prop_assert!(answer.is_ok() == naive, "{answer:?}, naively {naive}");
    Ok(naive)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn as_page_by_page(layout in any_layout_with_windows()) {
        agrees::<TwoLevel>(&layout)?;
        agrees::<Pae>(&layout)?;
    }
}

/// The strategy above makes both sorts, or it would show nothing.
#[test]
fn many_layouts_are_sound_and_many_are_not() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let layouts: Vec<_> =
        (0..500).map(|_| any_layout_with_windows().new_tree(&mut runner).unwrap().current()).collect();
    let sound = layouts.iter().filter(|layout| is_sound::<Pae>(layout)).count();
    assert!((50..450).contains(&sound), "{sound} of 500");
}
