//! What is said of a measurement that was repeated: the same as the program says of its ticks.

/// The median, and the median of the distances from it; of an even number of values the lower of the two in the middle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub spread: f64,
}

impl Summary {
    /// None of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<_> = values.into_iter().collect();
        let median = middle(values.clone())?;
        let spread = middle(values.iter().map(|value| (value - median).abs()).collect())?;
        Some(Self { median, spread })
    }

    /// With so many digits after the point; the spread only if there is one.
    pub fn shown(self, digits: usize) -> String {
        let [median, spread] = [self.median, self.spread].map(|value| format!("{value:.digits$}"));
        let is_zero = spread.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        if is_zero { median } else { format!("{median} (±{spread})") }
    }
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_does_not_depend_on_the_order() {
        for values in [[5.0, 1.0, 100.0, 4.0, 8.0], [100.0, 8.0, 5.0, 4.0, 1.0]] {
            assert_eq!(Summary::of(values), Some(Summary { median: 5.0, spread: 3.0 }));
        }
        assert_eq!(Summary::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.0);
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn a_spread_is_shown_if_one_would_see_it() {
        assert_eq!(Summary { median: 2.0, spread: 0.0 }.shown(0), "2");
        assert_eq!(Summary { median: 1.2345, spread: 0.001 }.shown(2), "1.23");
        assert_eq!(Summary { median: 1.2345, spread: 0.051 }.shown(2), "1.23 (±0.05)");
    }
}
