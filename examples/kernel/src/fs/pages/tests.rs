use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Write(u64, Vec<u8>),
    Read(u64, usize),
    Resize(u64),
}

/// Offsets around the borders of pages.
fn offset() -> impl Strategy<Value = u64> {
    (0..4_u64, -3..4_i64).prop_map(|(page, near)| (page * 4096).saturating_add_signed(near))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (offset(), prop::collection::vec(any::<u8>(), 0..9000))
            .prop_map(|(at, bytes)| Step::Write(at, bytes)),
        (offset(), 0..9000_usize).prop_map(|(at, count)| Step::Read(at, count)),
        offset().prop_map(Step::Resize),
    ]
}

/// Takes at most so many bytes in all.
struct Short(Vec<u8>, usize);

impl Sink for Short {
    fn put(&mut self, bytes: &[u8]) -> Result<usize> {
        let count = bytes.len().min(self.1 - self.0.len());
        self.0.extend(&bytes[..count]);
        Ok(count)
    }
}

proptest! {
    #[test]
    fn pages_hold_what_a_vector_holds(steps in prop::collection::vec(step(), 0..40)) {
        let budget = Budget::new(1 << 20);
        let mut pages = Pages::default();
        let mut model = Vec::new();
        for step in steps {
            match step {
                Step::Write(at, bytes) => {
                    prop_assert_eq!(pages.write(at, bytes.len(), &mut &bytes[..], &budget), Ok(bytes.len()));
                    let (at, end) = (at as usize, at as usize + bytes.len());
                    if !bytes.is_empty() {
                        model.resize(model.len().max(end), 0);
                        model[at..end].copy_from_slice(&bytes);
                    }
                }
                Step::Read(at, count) => {
                    let rest = model.get(at as usize..).unwrap_or_default();
                    let expected = &rest[..count.min(rest.len())];
                    let mut bytes = Vec::new();
                    prop_assert_eq!(pages.read(at, count, &mut bytes), Ok(expected.len()));
                    prop_assert_eq!(&bytes, expected);
                    // A sink that stops is told no more than it took.
                    let mut short = Short(Vec::new(), expected.len() / 2);
                    prop_assert_eq!(pages.read(at, count, &mut short), Ok(expected.len() / 2));
                }
                Step::Resize(size) => {
                    pages.resize(size, &budget).unwrap();
                    model.resize(size as usize, 0);
                }
            }
            prop_assert_eq!(pages.size(), model.len() as u64);
            prop_assert_eq!(budget.total() - budget.left(), pages.count() * PAGE_COST);
        }
    }
}

#[test]
fn what_was_not_written_takes_nothing() {
    let budget = Budget::new(3 * PAGE_COST);
    let mut pages = Pages::default();
    assert_eq!(pages.write(1 << 40, 1, &mut &b"x"[..], &budget), Ok(1));
    assert_eq!((pages.size(), pages.count()), ((1 << 40) + 1, 1));
    // Two pages of three are left: what goes into them is written, then there is no more.
    let bytes = vec![1; 4 * PAGE_SIZE];
    assert_eq!(pages.write(0, bytes.len(), &mut &bytes[..], &budget), Ok(2 * PAGE_SIZE));
    assert_eq!(pages.write(2 * PAGE_SIZE as u64, 1, &mut &b"x"[..], &budget), Err(Errno::ENOSPC));
    assert_eq!(pages.write(5, 1, &mut &b"x"[..], &budget), Ok(1));
    pages.resize(PAGE_SIZE as u64, &budget).unwrap();
    assert_eq!(budget.left(), 2 * PAGE_COST);
}

#[test]
fn a_file_has_a_largest_size() {
    let budget = Budget::new(10 * PAGE_COST);
    let mut pages = Pages::default();
    assert_eq!(pages.write(MAX_SIZE - 1, 2, &mut &b"xy"[..], &budget), Ok(1));
    assert_eq!(pages.write(MAX_SIZE, 1, &mut &b"x"[..], &budget), Err(Errno::EFBIG));
    assert_eq!(pages.write(u64::MAX, 1, &mut &b"x"[..], &budget), Err(Errno::EFBIG));
    assert_eq!(pages.resize(MAX_SIZE + 1, &budget), Err(Errno::EFBIG));
    assert_eq!(pages.read(u64::MAX, usize::MAX, &mut Vec::new()), Ok(0));
}

#[test]
fn a_source_that_gives_nothing_changes_nothing() {
    let budget = Budget::new(PAGE_COST);
    let mut pages = Pages::default();
    assert_eq!(pages.write(100, 5, &mut &b""[..], &budget), Ok(0));
    assert_eq!((pages.size(), pages.count(), budget.left()), (0, 0, PAGE_COST));
    assert_eq!(pages.write(4090, 10, &mut &b"abc"[..], &budget), Ok(3));
    assert_eq!(pages.size(), 4093);
}
