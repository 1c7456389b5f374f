//! B7: range tests hold for supersets too, not only for end points.

use sva_os::address::{FRAME_LIMIT, Frame, FrameRange, Page, PageRange};

/// Every range of `limit` units at most, over `base`, against a set of its members.
macro_rules! ranges_are_sets {
    ($name:ident, $unit:ident, $range:ident) => {
        #[test]
        fn $name() {
            for base in [0, 1, FRAME_LIMIT - 8] {
                let all: Vec<$range> = (base..(base + 8).min(FRAME_LIMIT))
                    .flat_map(|first| (0..9).filter_map(move |count| $range::new($unit::new(first)?, count)))
                    .collect();
                assert!(all.len() >= 8 * 9 / 2);
                for one in &all {
                    let members: Vec<u32> = one.iter().map(|unit| unit.number()).collect();
                    assert_eq!(members.len() as u32, one.count());
                    assert_eq!(members.is_empty(), one.is_empty());
                    assert_eq!(one.end(), one.first().number() + one.count());
                    for number in base.saturating_sub(1)..(base + 10).min(FRAME_LIMIT) {
                        let unit = $unit::new(number).unwrap();
                        assert_eq!(one.contains(unit), members.contains(&number), "{one:?} {number}");
                        assert_eq!(
                            one.get(number - base.saturating_sub(1)).map($unit::number),
                            members.get((number - base.saturating_sub(1)) as usize).copied()
                        );
                    }
                    for other in &all {
                        let theirs: Vec<u32> = other.iter().map(|unit| unit.number()).collect();
                        let common = theirs.iter().any(|number| members.contains(number));
                        let within = theirs.iter().all(|number| members.contains(number));
                        assert_eq!(one.overlaps(*other), common, "{one:?} {other:?}");
                        assert_eq!(one.covers(*other), within, "{one:?} {other:?}");
                    }
                }
            }
            for (first, count) in
                [(0, FRAME_LIMIT + 1), (1, FRAME_LIMIT), (FRAME_LIMIT - 1, 2), (1, u32::MAX)]
            {
                assert_eq!($range::new($unit::new(first).unwrap(), count), None);
            }
            assert_eq!($unit::new(FRAME_LIMIT), None);
            assert_eq!($unit::new(u32::MAX), None);
            let whole = $range::new($unit::ZERO, FRAME_LIMIT).unwrap();
            assert!(whole.contains($unit::new(FRAME_LIMIT - 1).unwrap()) && whole.end() == FRAME_LIMIT);
        }
    };
}
ranges_are_sets!(attack_b07_frame_ranges_are_sets, Frame, FrameRange);
ranges_are_sets!(attack_b07_page_ranges_are_sets, Page, PageRange);
