//! What is said of a measurement that was repeated.

use core::fmt::{self, Display, Formatter};

/// A number in hundredths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hundredths(pub u64);

impl Hundredths {
    /// `total` divided by `count`, rounded down. None if there is nothing to divide by.
    pub fn of(total: u64, count: u64) -> Option<Self> {
        total.checked_mul(100)?.checked_div(count).map(Self)
    }
}

impl Display for Hundredths {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// What repetitions of one measurement have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The least.
    pub min: Hundredths,
    /// The one in the middle; of an even number of them the lower.
    pub median: Hundredths,
    /// The greatest.
    pub max: Hundredths,
    /// The median of the distances from the median.
    pub spread: Hundredths,
}

impl Summary {
    /// Of these, which are sorted on the way and then replaced. None if there are none.
    pub fn of(values: &mut [Hundredths]) -> Option<Self> {
        values.sort_unstable();
        let (min, median, max) = (*values.first()?, middle(values)?, *values.last()?);
        for value in &mut *values {
            value.0 = value.0.abs_diff(median.0);
        }
        values.sort_unstable();
        Some(Self { min, median, max, spread: middle(values)? })
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "min={} median={} max={} spread={}", self.min, self.median, self.max, self.spread)
    }
}

fn middle(sorted: &[Hundredths]) -> Option<Hundredths> {
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundredths_are_printed_as_one_writes_them() {
        assert_eq!(Hundredths::of(1000, 3).unwrap().to_string(), "333.33");
        assert_eq!(Hundredths::of(1, 20).unwrap().to_string(), "0.05");
        assert_eq!(Hundredths::of(1, 0), None);
        assert_eq!(Hundredths::of(u64::MAX, 1), None);
    }

    #[test]
    fn a_summary_does_not_depend_on_the_order() {
        let expected = Summary {
            min: Hundredths(1),
            median: Hundredths(5),
            max: Hundredths(100),
            spread: Hundredths(3),
        };
        for values in [[5, 1, 100, 4, 8], [100, 8, 5, 4, 1]] {
            assert_eq!(Summary::of(&mut values.map(Hundredths)), Some(expected));
        }
    }

    #[test]
    fn one_value_has_no_spread_and_none_no_summary() {
        let summary = Summary::of(&mut [Hundredths(7)]).unwrap();
        assert_eq!(summary.to_string(), "min=0.07 median=0.07 max=0.07 spread=0.00");
        assert_eq!(Summary::of(&mut []), None);
        let even = Summary::of(&mut [4, 1, 2, 3].map(Hundredths)).unwrap();
        assert_eq!(even.median, Hundredths(2));
    }
}
