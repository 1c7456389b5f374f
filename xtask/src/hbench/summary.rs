//! What is said of a measurement that was repeated: the same as the program says of its ticks.

/// What repetitions have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub least: f64,
    /// Of an even number of values the lower of the two in the middle.
    pub median: f64,
    pub greatest: f64,
    /// The median of the distances from the median.
    pub spread: f64,
}

impl Summary {
    /// None of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values = sorted(values);
        let (least, median, greatest) = (*values.first()?, middle(&values)?, *values.last()?);
        let spread = middle(&sorted(values.iter().map(|value| (value - median).abs())))?;
        Some(Self { least, median, greatest, spread })
    }

    /// The median and the range, with so many digits after the point.
    pub fn with_range(self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$} to {:.digits$})", self.median, self.least, self.greatest)
    }

    /// The median and the spread, if there is one, with so many digits after the point.
    pub fn with_spread(self, digits: usize) -> String {
        let [median, spread] = [self.median, self.spread].map(|value| format!("{value:.digits$}"));
        let is_zero = spread.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        if is_zero { median } else { format!("{median} (±{spread})") }
    }
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

fn middle(values: &[f64]) -> Option<f64> {
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_does_not_depend_on_the_order() {
        for values in [[5.0, 1.0, 100.0, 4.0, 8.0], [100.0, 8.0, 5.0, 4.0, 1.0]] {
            let expected = Summary { least: 1.0, median: 5.0, greatest: 100.0, spread: 3.0 };
            assert_eq!(Summary::of(values), Some(expected));
        }
        assert_eq!(Summary::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.0);
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn a_spread_is_shown_if_one_would_see_it() {
        let shown = |values: [f64; 3], digits| Summary::of(values).unwrap().with_spread(digits);
        assert_eq!(shown([2.0; 3], 0), "2");
        assert_eq!(shown([1.2345, 1.2355, 1.2335], 2), "1.23");
        assert_eq!(shown([1.2345, 1.2855, 1.1835], 2), "1.23 (±0.05)");
    }

    #[test]
    fn a_range_is_from_the_least_to_the_greatest() {
        assert_eq!(Summary::of([1.0, 0.5, 1.25]).unwrap().with_range(2), "1.00 (0.50 to 1.25)");
    }
}
